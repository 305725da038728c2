//! Rotary positions: the frequencies of each way of scaling, and their sines and cosines.

use std::f64::consts::PI;
use std::sync::OnceLock;

use kernel::math::{cos64, ln64, pow64, sin64};
use serde::{Deserialize, Serialize};

use crate::DecoderError;

/// Rotary positions of some layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// How many values of a head, from its first on, are rotated; even.
    pub dims: usize,
    /// Base of the angles.
    pub theta: f32,
    /// How the frequencies were stretched for longer texts.
    #[serde(default)]
    pub scaling: Scaling,
}

/// How the frequencies were stretched for longer texts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaling {
    /// Not at all.
    #[default]
    None,
    /// All are divided by this.
    Linear(f32),
    /// Each is divided by a number of its own (`rope_freqs.weight`).
    Factors(Vec<f32>),
    /// Long waves are divided by `factor`, short ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// What long waves are divided by.
        factor: f32,
        /// `original / low` is where waves begin to count as long.
        low: f32,
        /// `original / high` is where waves cease to count as short.
        high: f32,
        /// Context before stretching.
        original: f32,
    },
    /// As in "YaRN" (Peng et al. 2023): blended between the turns `slow` and `fast`.
    Yarn {
        /// What long waves are divided by.
        factor: f32,
        /// Sines and cosines are multiplied by this.
        attention: f32,
        /// Turns within the original context above which a wave is kept.
        fast: f32,
        /// Turns below which it is divided.
        slow: f32,
        /// Context before stretching.
        original: f32,
        /// Whether the ends of the blend are rounded outwards to whole frequencies.
        truncate: bool,
    },
}

impl Scaling {
    /// Its numbers, for the error that says that one of them is no use.
    fn out_of_range(&self) -> String {
        let numbers = match self {
            Scaling::None => String::new(),
            Scaling::Linear(factor) => format!("factor {factor}"),
            Scaling::Factors(factors) => format!("{} factors of the frequencies", factors.len()),
            Scaling::Llama3 { factor, low, high, original } => format!(
                "factor {factor}, low_freq_factor {low}, high_freq_factor {high}, \
                 original context {original}"
            ),
            Scaling::Yarn { factor, attention, fast, slow, original, .. } => format!(
                "factor {factor}, attention factor {attention}, beta_fast {fast}, \
                 beta_slow {slow}, original context {original}"
            ),
        };
        format!("rope scaling by numbers that are out of range: {numbers}")
    }
}

impl Rotary {
    /// Without scaling.
    pub fn plain(dims: usize, theta: f32) -> Rotary {
        Rotary { dims, theta, scaling: Scaling::None }
    }

    /// Checks the numbers against the width of a head.
    pub(super) fn validate(&self, head_dim: usize) -> Result<(), DecoderError> {
        let invalid = |text: String| Err(DecoderError::Invalid(text));
        let good = |x: f32| x > 0.0 && x <= 1e9; // NaN fails
        if self.dims == 0 || !self.dims.is_multiple_of(2) || self.dims > head_dim {
            let text = format!("rotary positions rotate {} of {head_dim} values", self.dims);
            return invalid(text);
        }
        if !(self.theta >= 1.0 && good(self.theta)) {
            return invalid(format!("rope_theta ({}) must be from 1 to 1e9", self.theta));
        }
        let fine = match &self.scaling {
            Scaling::None => true,
            Scaling::Linear(factor) => good(*factor),
            Scaling::Factors(factors) => {
                factors.len() == self.dims / 2 && factors.iter().all(|&x| good(x))
            }
            Scaling::Llama3 { factor, low, high, original } => {
                [*factor, *low, *high, *original].into_iter().all(good) && high > low
            }
            Scaling::Yarn { factor, attention, fast, slow, original, .. } => {
                [*factor, *attention, *fast, *slow, *original].into_iter().all(good)
                    && self.theta > 1.0
            }
        };
        if fine { Ok(()) } else { invalid(self.scaling.out_of_range()) }
    }

    /// The angle of one position for each pair of values, `[dims / 2]`, and what sines and cosines
    /// are multiplied by.
    ///
    /// Bits: a frequency is `1 / theta^(2i / dims)`, power in f64 and rounded to f32 before the
    /// division, as in `transformers`; scalings follow `transformers`, in
    /// f32 but for powers and logarithms.
    pub fn frequencies(&self) -> (Vec<f32>, f32) {
        let plain = (0..self.dims / 2).map(|i| {
            let exponent = (2 * i) as f32 / self.dims as f32;
            1.0 / pow64(f64::from(self.theta), f64::from(exponent)) as f32
        });
        match &self.scaling {
            Scaling::None => (plain.collect(), 1.0),
            Scaling::Linear(factor) => (plain.map(|x| x / factor).collect(), 1.0),
            Scaling::Factors(factors) => (plain.zip(factors).map(|(x, f)| x / f).collect(), 1.0),
            Scaling::Llama3 { factor, low, high, original } => {
                (plain.map(|x| llama3(x, *factor, *low, *high, *original)).collect(), 1.0)
            }
            Scaling::Yarn { attention, .. } => {
                let kept = self.kept();
                (plain.zip(kept).map(|(x, kept)| self.blend(x, kept)).collect(), *attention)
            }
        }
    }

    fn blend(&self, frequency: f32, kept: f32) -> f32 {
        let Scaling::Yarn { factor, .. } = self.scaling else { return frequency };
        frequency / factor * (1.0 - kept) + frequency * kept
    }

    /// For YaRN: how much of each frequency is kept as it is, from 0 to 1.
    fn kept(&self) -> Vec<f32> {
        let Scaling::Yarn { fast, slow, original, truncate, .. } = self.scaling else {
            return Vec::new();
        };
        let dims = self.dims as f64;
        // The frequency that turns so often within the original context.
        let place = |turns: f32| {
            let wave = f64::from(original) / (f64::from(turns) * 2.0 * PI);
            dims * ln64(wave) / (2.0 * ln64(f64::from(self.theta)))
        };
        let (mut low, mut high) = (place(fast), place(slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dims - 1.0));
        if low == high {
            high += 0.001;
        }
        let ramp = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0) as f32;
        (0..self.dims / 2).map(|i| 1.0 - ramp(i)).collect()
    }
}

fn llama3(frequency: f32, factor: f32, low: f32, high: f32, original: f32) -> f32 {
    let wave = (2.0 * PI) as f32 / frequency;
    if wave > original / low {
        return frequency / factor;
    }
    if wave < original / high {
        return frequency;
    }
    let smooth = (original / wave - low) / (high - low);
    (1.0 - smooth) * (frequency / factor) + smooth * frequency
}

/// Sines and cosines, made `CHUNK` positions at a time when first asked for.
#[derive(Debug)]
pub struct RotaryTable {
    frequencies: Vec<f32>,
    attention: f32,
    chunks: Vec<OnceLock<Box<[f32]>>>,
}

impl RotaryTable {
    /// A table for positions below `context`; costs nothing before it is used.
    pub fn new(rotary: &Rotary, context: usize) -> RotaryTable {
        let (frequencies, attention) = rotary.frequencies();
        let chunks = (0..context.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        RotaryTable { frequencies, attention, chunks }
    }

    /// Cosines, then sines, of a position: `[2, dims / 2]`.
    ///
    /// Bits: the angle is the f32 product of position and frequency; sine and cosine are taken in
    /// f64 and rounded.
    /// Panics: for a position outside the context, rounded up to a whole chunk.
    pub fn row(&self, position: usize) -> &[f32] {
        let width = 2 * self.frequencies.len();
        let chunk = self.chunks[position / CHUNK].get_or_init(|| {
            let first = position / CHUNK * CHUNK;
            (first..first + CHUNK).flat_map(|position| self.make(position)).collect()
        });
        &chunk[position % CHUNK * width..][..width]
    }

    fn make(&self, position: usize) -> Vec<f32> {
        let angles: Vec<f64> =
            self.frequencies.iter().map(|f| f64::from(position as f32 * f)).collect();
        let cosines = angles.iter().map(|&angle| cos64(angle) as f32 * self.attention);
        let sines = angles.iter().map(|&angle| sin64(angle) as f32 * self.attention);
        cosines.chain(sines).collect()
    }
}

/// Positions made at a time.
const CHUNK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_keeps_short_waves_and_stretches_long_ones() {
        let llama3 = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let yarn = Scaling::Yarn {
            factor: 8.0,
            attention: 1.2,
            fast: 32.0,
            slow: 1.0,
            original: 8192.0,
            truncate: true,
        };
        let (plain, _) = Rotary::plain(128, 5e5).frequencies();
        for (scaling, attention) in [(llama3, 1.0), (yarn, 1.2)] {
            let rotary = Rotary { dims: 128, theta: 5e5, scaling };
            assert_eq!(rotary.validate(128), Ok(()));
            let (scaled, factor) = rotary.frequencies();
            assert_eq!(factor, attention);
            assert_eq!(scaled[0], plain[0]);
            assert_eq!(scaled[63], plain[63] / 8.0);
            let between = (0..64).filter(|&i| scaled[i] < plain[i] && scaled[i] > plain[i] / 8.0);
            assert!(between.count() > 4);
        }
    }

    #[test]
    fn a_row_is_cosines_and_sines_of_the_angles() {
        let table = RotaryTable::new(&Rotary::plain(4, 100.0), 200);
        for position in [0usize, 1, 63, 64, 199] {
            let angles = [position as f32, position as f32 * (1.0 / 10.0)].map(f64::from);
            let row = angles.map(|a| cos64(a) as f32).into_iter();
            let row: Vec<f32> = row.chain(angles.map(|a| sin64(a) as f32)).collect();
            assert_eq!(table.row(position), row);
        }
    }
}
