//! How likely a model finds a text, token by token.

use crate::{EngineError, Ready, Tell};
use kernel::{Activations, Kernel, math::exp64};
use model::{GenerateError, Session, sampler::log_sum};
use progress::{At, Progress, Work};
use std::{f64::consts::LN_2, ops::Range};

/// What a model makes of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The tokens of the text, without those that the model puts before it.
    pub ids: Vec<u32>,
    /// The natural logarithm of the probability of each, given those before; nothing for a token
    /// that has none before it.
    pub scores: Vec<Option<f64>>,
    /// How many tokens have one.
    pub count: usize,
    /// How many bytes of the text those stand for.
    pub bytes: usize,
    /// The sum of all scores.
    pub sum: f64,
    /// How many tokens would be as likely on average.
    pub perplexity: f64,
    /// Bits that the text would take for each of its bytes.
    pub bits_per_byte: f64,
}

/// Why a text has no score.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// There is nothing to predict.
    #[error("a text of one token has none that could be predicted")]
    OneToken,
    /// There is no place for a token and one before it.
    #[error("a context of {context} tokens is too short")]
    ShortContext {
        /// How many tokens it holds.
        context: usize,
    },
    /// The text cannot be read as tokens.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model cannot read it.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// Scores a text; where `special`, what looks like a special token in it is one. A text that is
/// longer than the model's context is read in windows that overlap by half.
///
/// Errors: [`ScoreError`].
pub fn score(
    model: &Ready,
    kernel: Kernel,
    inputs: Activations,
    text: &str,
    special: bool,
    tell: &mut Tell<'_>,
) -> Result<Scored, ScoreError> {
    let ids = model.text_ids(text, special)?;
    if ids.len() < 2 {
        return Err(ScoreError::OneToken);
    }
    // A text that spells the prefix itself is not given it twice.
    let first = model.prefix.len().min(ids.len());
    let mut session = Session::with(model.model.clone(), kernel, inputs);
    session.set_context(model.context);
    let scores = scores(&mut session, &ids, first, model.context, tell)?;
    let ids = ids[first..].to_vec();
    let known: Vec<f64> = scores.iter().copied().flatten().collect();
    let (count, sum) = (known.len(), known.iter().sum::<f64>());
    let scored = ids.iter().zip(&scores).filter(|(_, score)| score.is_some());
    let bytes = match count == ids.len() {
        true => text.len(),
        false => scored.map(|(&id, _)| model.tokenizer.bytes(id).len()).sum(),
    };
    let perplexity = exp64(-sum / count.max(1) as f64);
    let bits_per_byte = -sum / LN_2 / bytes.max(1) as f64;
    Ok(Scored { ids, scores, count, bytes, sum, perplexity, bits_per_byte })
}

/// The natural logarithm of the probability of each token from `first` on, given those before;
/// nothing for a token that has none before it. The tokens before `first` stand before every window.
fn scores(
    session: &mut Session,
    ids: &[u32],
    first: usize,
    context: usize,
    tell: &mut Tell<'_>,
) -> Result<Vec<Option<f64>>, ScoreError> {
    let (prefix, text) = ids.split_at(first);
    let room = context.saturating_sub(prefix.len());
    if room < 2 {
        return Err(ScoreError::ShortContext { context });
    }
    let total = text.len() as u64;
    let mut told = |done| {
        tell(Progress::At(At { work: Work::Scoring, done, total, fresh: done }));
    };
    let mut scores = vec![None; text.len()];
    for (window, counted) in windows(text.len(), room) {
        let ids = [prefix, &text[window.clone()]].concat();
        // What is not counted is read without its logits; the first token may have nothing before.
        let from = (prefix.len() + counted - window.start).max(1);
        session.truncate(0);
        if from > 1 {
            session.extend(&ids[..from - 1])?;
        }
        session.extend_all(&ids[from - 1..ids.len() - 1], |index, logits| {
            let at = from + index;
            let score = f64::from(logits[ids[at] as usize]) - log_sum(logits);
            let place = window.start + at - prefix.len();
            scores[place] = Some(score);
            told(place as u64);
        })?;
    }
    told(total);
    Ok(scores)
}

/// Windows of at most `room` tokens over a text, and from which token on each counts. They overlap
/// by half.
fn windows(length: usize, room: usize) -> Vec<(Range<usize>, usize)> {
    let mut all = vec![(0..length.min(room), 0)];
    let mut end = room;
    while end < length {
        let start = end - room / 2;
        all.push((start..length.min(start + room), end));
        end = start + room;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Isa;
    use std::sync::Arc;

    #[test]
    fn windows_cover_a_text_once() {
        for (length, room) in [(1, 2), (5, 5), (6, 5), (100, 7), (64, 16), (3, 2)] {
            let all = windows(length, room);
            let mut next = 0;
            for (window, counted) in all {
                assert_eq!(counted, next, "{length} {room}");
                assert!(window.len() <= room && window.contains(&counted));
                assert!(counted == 0 || counted - window.start == room / 2);
                next = window.end;
            }
            assert_eq!(next, length);
        }
    }

    #[test]
    fn scores_are_those_of_single_steps() {
        let decoder = model::Decoder { context: 16, ..model::Decoder::tiny(50) };
        let params = model::init(&decoder, 3).expect("a valid shape");
        let model = Arc::new(model::Model::new(&decoder, params).expect("it fits"));
        let session = || Session::new(Arc::clone(&model), Kernel::new(Isa::best(), 1));
        let ids: Vec<u32> = (0..12).map(|i| i * 7 % 50).collect();
        let found = scores(&mut session(), &ids, 2, 16, &mut |_| {}).expect("it fits");
        let mut single = session();
        let mut last = single.extend(&ids[..2]).expect("room").to_vec();
        for (&id, score) in ids[2..].iter().zip(&found) {
            let want = f64::from(last[id as usize]) - log_sum(&last);
            assert_eq!(score.expect("all have one"), want);
            last = single.extend(&[id]).expect("room").to_vec();
        }
        let without = scores(&mut session(), &ids, 0, 16, &mut |_| {}).expect("it fits");
        assert!(without[0].is_none() && without[1..].iter().all(Option::is_some));
        assert_eq!(without[2..], found[..]);
        // A window begins anew behind the prefix, with half of it read before.
        let long = scores(&mut session(), &ids, 1, 7, &mut |_| {}).expect("windows");
        let mut last = session();
        last.extend(&[ids[0]]).expect("room");
        let logits = last.extend(&ids[4..7]).expect("room");
        let want = f64::from(logits[ids[7] as usize]) - log_sum(logits);
        assert_eq!(long[6], Some(want));
        let short = scores(&mut session(), &ids, 1, 2, &mut |_| {});
        assert!(matches!(short, Err(ScoreError::ShortContext { context: 2 })));
    }
}
