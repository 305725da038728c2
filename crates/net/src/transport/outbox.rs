//! Frames waiting to be sent to one peer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// The most bytes that wait for one peer.
pub(crate) const MAX_WAITING: usize = 4 << 20;
const MAX_FRAMES: usize = 1024;

/// A bounded queue. When a peer reads too slowly the oldest frames give way: the protocol
/// retransmits, and what is newest matters most.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

impl Outbox {
    /// Queues a frame and returns how many older ones gave way.
    pub fn push(&self, frame: Arc<[u8]>) -> usize {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        let mut dropped = 0;
        while queue.frames.len() > MAX_FRAMES || queue.bytes > MAX_WAITING {
            let Some(oldest) = queue.frames.pop_front() else { break };
            queue.bytes -= oldest.len();
            dropped += 1;
        }
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// The next frame to send, waiting for one.
    pub async fn next(&self) -> Arc<[u8]> {
        loop {
            if let Some(frame) = self.pop() {
                return frame;
            }
            self.filled.notified().await;
        }
    }

    /// The next frame, if one waits.
    pub fn pop(&self) -> Option<Arc<[u8]>> {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        let frame = queue.frames.pop_front()?;
        queue.bytes -= frame.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_frames_give_way_and_order_is_kept() {
        let outbox = Outbox::default();
        let frame = |i: usize| Arc::<[u8]>::from(vec![i as u8; MAX_WAITING / 4]);
        let dropped: usize = (0..7).map(|i| outbox.push(frame(i))).sum();
        assert_eq!(dropped, 3);
        let left: Vec<u8> = std::iter::from_fn(|| outbox.pop()).map(|f| f[0]).collect();
        assert_eq!(left, [3, 4, 5, 6]);
        let dropped: usize = (0..MAX_FRAMES + 5).map(|_| outbox.push(Arc::from([1u8]))).sum();
        assert_eq!(dropped, 5);
    }
}
