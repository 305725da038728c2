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
        let excused = Duration::from_millis(1000 * bytes.len() as u64 / LEAST_RATE);
        let mut piece = [0; 8 << 10];
        let read = timeout_at(began + grace + excused, from.read(&mut piece)).await;
        match read {
            Err(_) => return Err(Unread::Slow),
            Ok(Err(_)) => return Err(Unread::Lost),
            Ok(Ok(0)) => return Ok(bytes),
            Ok(Ok(n)) if bytes.len() + n > most => return Err(Unread::TooLong),
            Ok(Ok(n)) => bytes.extend_from_slice(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncWriteExt, time::sleep};

    const GRACE: Duration = Duration::from_secs(10);

    /// What becomes of pieces that come so far apart, and when by a clock that only sleep moves.
    async fn sent(
        pieces: usize,
        size: usize,
        apart: Duration,
        most: usize,
    ) -> (Result<usize, Unread>, u64) {
        let (mut writer, mut reader) = tokio::io::duplex(1 << 20);
        let writing = tokio::spawn(async move {
            for _ in 0..pieces {
                if writer.write_all(&vec![7; size]).await.is_err() {
                    return;
                }
                sleep(apart).await;
            }
        });
        let began = Instant::now();
        let read = read_to_end(&mut reader, most, GRACE).await.map(|bytes| bytes.len());
        let took = began.elapsed().as_secs();
        writing.abort();
        (read, took)
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_a_second_is_cut_off_and_a_steady_sender_is_not() {
        let second = Duration::from_secs(1);
        let (dripped, took) = sent(1000, 1, second, 1 << 20).await;
        assert_eq!((dripped, took), (Err(Unread::Slow), 10));
        let (steady, took) = sent(64, 16 << 10, second, 1 << 20).await;
        assert_eq!((steady, took), (Ok(1 << 20), 64));
        // Much at once and then nothing is excused for as long as that would have taken.
        let (stalled, took) = sent(2, 160 << 10, Duration::from_secs(3600), 1 << 20).await;
        assert_eq!((stalled, took), (Err(Unread::Slow), 20));
    }

    #[tokio::test(start_paused = true)]
    async fn no_stream_lasts_longer_than_its_length_allows() {
        for (size, apart) in [(1, 9), (100, 1), (4096, 1), (16_383, 1), (17_000, 1)] {
            let most = 512 << 10;
            let (_, took) = sent(100_000, size, Duration::from_secs(apart), most).await;
            assert!(took <= 10 + most as u64 / LEAST_RATE, "{size} bytes: {took} s");
        }
        let (long, _) = sent(3, 400, Duration::ZERO, 1000).await;
        assert_eq!(long, Err(Unread::TooLong));
        assert_eq!(sent(3, 400, Duration::ZERO, 1200).await.0, Ok(1200));
    }
}
