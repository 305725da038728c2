//! What general compressors make of a text: the yardstick beside a model's bits per byte.

use flate2::{Compression, write::GzEncoder};
use liblzma::write::XzEncoder;
use std::io::Write;

/// What `gzip -9` and `xz -9` make of `text`: name and bits per byte of text. Empty for no text.
pub fn compressors(text: &[u8]) -> Vec<(String, f64)> {
    if text.is_empty() {
        return Vec::new();
    }
    let rate = |bytes: usize| bytes as f64 * 8.0 / text.len() as f64;
    vec![("gzip -9".to_owned(), rate(gzip(text))), ("xz -9".to_owned(), rate(xz(text)))]
}

fn gzip(text: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail").len()
}

fn xz(text: &[u8]) -> usize {
    let mut encoder = XzEncoder::new(Vec::new(), 9);
    encoder.write_all(text).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_costs_little_and_noise_costs_all_its_bits() {
        let repeated = b"the same words again and again. ".repeat(2000);
        let names: Vec<String> = compressors(&repeated).into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["gzip -9", "xz -9"]);
        assert!(compressors(&repeated).iter().all(|(_, bits)| *bits < 0.1));

        let stream = kernel::random::Stream::new(1, "noise", 0);
        let noise: Vec<u8> = (0..20_000).map(|i| stream.below(i, 256) as u8).collect();
        assert!(compressors(&noise).iter().all(|(_, bits)| (8.0..8.2).contains(bits)));
        assert!(compressors(b"").is_empty());
    }
}
