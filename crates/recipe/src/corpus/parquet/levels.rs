//! Small numbers in runs and packed bits: levels of nesting, and indices into a dictionary.

use super::{ParquetError, damaged};

/// Where a decoder stands in the bytes of a page, which are handed to each call.
#[derive(Clone, Debug)]
pub(super) struct Hybrid {
    at: usize,
    end: usize,
    width: u32,
    run: Run,
}

#[derive(Clone, Debug)]
enum Run {
    /// So many more of the same.
    Same { left: u64, value: u32 },
    /// So many more in packed bits, from this bit on.
    Packed { left: u64, bit: usize },
}

impl Hybrid {
    /// Numbers of `width` bits, at most 32, in the bytes `at..end`.
    pub fn new(at: usize, end: usize, width: u32) -> Self {
        Self { at, end, width, run: Run::Same { left: 0, value: 0 } }
    }

    /// Zeros that take no bytes, as levels of what is never absent do.
    pub fn none() -> Self {
        Self { at: 0, end: 0, width: 0, run: Run::Same { left: u64::MAX, value: 0 } }
    }

    /// The next number.
    pub fn next(&mut self, bytes: &[u8]) -> Result<u32, ParquetError> {
        loop {
            match &mut self.run {
                Run::Same { left, value } if *left > 0 => {
                    *left -= 1;
                    return Ok(*value);
                }
                Run::Packed { left, bit } if *left > 0 => {
                    let value = bits(&bytes[..self.end], *bit, self.width).ok_or_else(ends)?;
                    *left -= 1;
                    *bit += self.width as usize;
                    return Ok(value);
                }
                _ => self.begin(bytes)?,
            }
        }
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), ParquetError> {
        let bytes = &bytes[..self.end];
        let head = varint(bytes, &mut self.at).ok_or_else(ends)?;
        self.run = if head & 1 == 0 {
            let long = self.width.div_ceil(8) as usize;
            let value = bits(bytes, 8 * self.at, 8 * long as u32).ok_or_else(ends)?;
            self.at += long;
            Run::Same { left: head >> 1, value }
        } else {
            let bit = 8 * self.at;
            // The last run may be cut: what is not there is missed when it is asked for.
            let long = (head >> 1).saturating_mul(u64::from(self.width));
            self.at = long.saturating_add(self.at as u64).min(self.end as u64) as usize;
            Run::Packed { left: (head >> 1).saturating_mul(8), bit }
        };
        Ok(())
    }
}

/// `width` bits, at most 32, from the bit `from` on, lowest first.
pub(super) fn bits(bytes: &[u8], from: usize, width: u32) -> Option<u32> {
    let (first, shift) = (from / 8, from % 8);
    let long = (shift + width as usize).div_ceil(8);
    let bytes = bytes.get(first..first + long)?;
    let word = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    Some((word >> shift & ((1 << width) - 1)) as u32)
}

/// A number of seven bits a byte, at most 64 in all.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

fn ends() -> ParquetError {
    damaged("a page has fewer values than it says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packed_bits_are_read_as_the_format_says() {
        // The example of the format: 0 to 7 in three bits each; then a run of 300 times 5.
        let bytes = [0x03, 0x88, 0xc6, 0xfa, 0xd8, 0x04, 5];
        let mut hybrid = Hybrid::new(0, bytes.len(), 3);
        let read: Vec<u32> = (0..308).map(|_| hybrid.next(&bytes).expect("a number")).collect();
        assert_eq!(read[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(read[8..].iter().all(|n| *n == 5));
        assert!(hybrid.next(&bytes).is_err());
    }

    #[test]
    fn what_is_claimed_and_not_there_is_an_error() {
        let far = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1];
        let mut hybrid = Hybrid::new(0, far.len(), 32);
        assert!(hybrid.next(&far).is_err());
        assert!(Hybrid::new(0, 0, 1).next(&[]).is_err());
        let mut none = Hybrid::new(0, 2, 0);
        assert_eq!(none.next(&[6, 0]).expect("no bits"), 0);
        assert_eq!(bits(&[0xff, 0xff, 0xff, 0xff, 0xff], 7, 32), Some(u32::MAX));
        assert_eq!(bits(&[0xff], 1, 8), None);
    }
}
