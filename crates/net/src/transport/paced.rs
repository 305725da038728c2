//! Reading at a least rate: whoever sends a byte now and then holds nothing for longer than what it
//! has sent so far excuses.

use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

/// Bytes a second that a sender has to keep up on the whole, after a time of grace.
pub(crate) const LEAST_RATE: u64 = 16 << 10;

/// Why the bytes did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// More than there may be.
    TooLong,
    /// Slower than the least rate.
    Slow,
    /// The stream broke off.
    Lost,
}

/// Reads to the stream's end, at most `most` bytes. At any time the sender has to have sent
/// [`LEAST_RATE`] for each second since the beginning beyond `grace`, so the whole takes `grace` and
/// `most / LEAST_RATE` seconds at the longest.
///
/// Errors: [`Unread`].
pub(crate) async fn read_to_end(
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
    grace: Duration,
) -> Result<Vec<u8>, Unread> {
    let began = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 8 << 10];
        let end = began + grace + excused(bytes.len());
        match timeout_at(end, from.read(&mut piece)).await {
            Err(_) => return Err(Unread::Slow),
            Ok(Err(_)) => return Err(Unread::Lost),
            Ok(Ok(0)) => return Ok(bytes),
            Ok(Ok(n)) if bytes.len() + n > most => return Err(Unread::TooLong),
            Ok(Ok(n)) => bytes.extend_from_slice(&piece[..n]),
        }
    }
}

/// How long so many bytes may have taken.
fn excused(bytes: usize) -> Duration {
    Duration::from_millis(1000 * bytes as u64 / LEAST_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// When somebody who sends pieces of `size` bytes so many milliseconds apart is cut off, if it
    /// sends without end and at most `most` bytes are read; in milliseconds.
    fn cut_off(size: usize, apart: u64, most: usize) -> u64 {
        let (mut at, mut received) = (0, 0);
        loop {
            let end = 10_000 + excused(received).as_millis() as u64;
            at += apart;
            if at > end {
                return end;
            }
            received += size;
            if received > most {
                return at;
            }
        }
    }

    #[test]
    fn no_stream_lasts_longer_than_its_length_allows() {
        let most = 512 << 10;
        let longest = 10_000 + 1000 * most as u64 / LEAST_RATE;
        for (size, apart) in [(1, 9000), (100, 1000), (4096, 1000), (16_000, 1000), (17_000, 1000)]
        {
            assert!(cut_off(size, apart, most) <= longest, "{size} bytes");
        }
        assert!(cut_off(1, 1000, most) < 11_000, "a byte a second buys a second at most");
        assert_eq!(cut_off(16 << 10, 1000, most), 33_000, "a steady sender comes to its bound");
        assert_eq!(excused(0), Duration::ZERO);
    }

    /// Sends pieces and then nothing, without an end.
    async fn sent(pieces: usize, size: usize, most: usize) -> Result<usize, Unread> {
        let (mut writer, mut reader) = tokio::io::duplex(1 << 20);
        for _ in 0..pieces {
            writer.write_all(&vec![7; size]).await.expect("room");
        }
        let read = read_to_end(&mut reader, most, Duration::from_millis(20)).await;
        drop(writer);
        read.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn a_stream_that_does_not_end_is_cut_off() {
        assert_eq!(sent(0, 0, 100).await, Err(Unread::Slow));
        assert_eq!(sent(3, 1, 100).await, Err(Unread::Slow));
        assert_eq!(sent(3, 400, 1000).await, Err(Unread::TooLong));
        let (mut writer, mut reader) = tokio::io::duplex(1 << 20);
        writer.write_all(&[7; 1000]).await.expect("room");
        drop(writer);
        let whole = read_to_end(&mut reader, 1000, Duration::from_secs(60)).await;
        assert_eq!(whole.map(|bytes| bytes.len()), Ok(1000));
    }
}
