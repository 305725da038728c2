//! What peers write to each other, byte by byte.
//!
//! Each side opens one unidirectional stream per connection and keeps it: first a [`Hello`] frame,
//! then messages and addresses as they come.
//!
//! ```text
//! frame     len u32 LE (1 to MAX_FRAME + 1) · kind u8 · body
//! kind 0    Hello        CBOR, at most MAX_HELLO
//! kind 1    a message of the swarm protocol, at most MAX_FRAME
//! kind 2    addresses    CBOR [record…], at most MAX_RECORDS
//! ```
//!
//! Objects are asked for on bidirectional streams, one each:
//!
//! ```text
//! request   hash 32 · len u64 LE · offset u64 LE
//! answer    status u8 (0 here it comes, 1 not here, 2 busy) · the bytes from offset to len
//! ```

use crate::transport::address::AddrRecord;
use ids::{Hash, ObjectRef};
use iroh::endpoint::{ReadExactError, RecvStream};

/// The name under which endpoints agree to speak this protocol.
pub const ALPN: &[u8] = b"understory/1";
/// The most bytes of one protocol message.
pub const MAX_FRAME: usize = 256 << 10;
/// The most address records in one frame.
pub(crate) const MAX_RECORDS: usize = 64;

const MAX_HELLO: usize = 2 << 10;
const HELLO: u8 = 0;
const MESSAGE: u8 = 1;
const ADDRESSES: u8 = 2;

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(crate) struct Hello {
    /// The run this endpoint takes part in; others do not talk to it.
    #[n(0)]
    pub run: Hash,
    /// Drawn anew at each start, so that a restarted peer is told from a second connection.
    #[n(1)]
    pub instance: u64,
    /// Where the sender can be reached.
    #[n(2)]
    pub at: AddrRecord,
    /// The sender's clock, in milliseconds since 1970; nothing but a warning follows from it.
    /// Senders of an earlier version do not tell it.
    #[n(3)]
    pub now: Option<u64>,
}

/// One frame of a message stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Hello(Box<Hello>),
    Message(Vec<u8>),
    Addresses(Vec<AddrRecord>),
}

/// Why a message stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes is beyond the bound")]
    Length(u32),
    #[error("a frame of kind {0} is malformed")]
    Malformed(u8),
    #[error("the stream ended")]
    Ended,
}

impl Frame {
    /// The frame with its length, ready to be written.
    pub fn encode(&self) -> Vec<u8> {
        let cbor = "writing to memory does not fail";
        match self {
            Self::Hello(hello) => frame_bytes(HELLO, &minicbor::to_vec(hello).expect(cbor)),
            Self::Message(bytes) => frame_bytes(MESSAGE, bytes),
            Self::Addresses(records) => {
                frame_bytes(ADDRESSES, &minicbor::to_vec(records).expect(cbor))
            }
        }
    }

    /// Reads a frame of `kind`.
    ///
    /// Errors: [`FrameError::Malformed`].
    pub fn decode(kind: u8, body: Vec<u8>) -> Result<Self, FrameError> {
        let malformed = FrameError::Malformed(kind);
        match kind {
            HELLO if body.len() <= MAX_HELLO => match whole(&body) {
                Some(hello) => Ok(Self::Hello(Box::new(hello))),
                None => Err(malformed),
            },
            MESSAGE => Ok(Self::Message(body)),
            ADDRESSES => match whole::<Vec<AddrRecord>>(&body) {
                Some(records) if records.len() <= MAX_RECORDS => Ok(Self::Addresses(records)),
                _ => Err(malformed),
            },
            _ => Err(malformed),
        }
    }

    /// Reads the next frame. A length beyond the bound costs nothing but the connection.
    pub async fn read(stream: &mut RecvStream) -> Result<Self, FrameError> {
        let mut len = [0; 4];
        read_exact(stream, &mut len).await?;
        let len = u32::from_le_bytes(len);
        if len == 0 || len as usize > MAX_FRAME + 1 {
            return Err(FrameError::Length(len));
        }
        let mut kind = [0];
        read_exact(stream, &mut kind).await?;
        let mut body = vec![0; len as usize - 1];
        read_exact(stream, &mut body).await?;
        Self::decode(kind[0], body)
    }
}

/// A message of the swarm protocol as a frame.
pub(crate) fn message_frame(bytes: &[u8]) -> Vec<u8> {
    frame_bytes(MESSAGE, bytes)
}

fn frame_bytes(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + body.len());
    out.extend_from_slice(&(body.len() as u32 + 1).to_le_bytes());
    out.push(kind);
    out.extend_from_slice(body);
    out
}

/// Decodes a value that takes up all of `body`.
pub(crate) fn whole<'b, T: minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> Option<T> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().ok()?;
    (decoder.position() == bytes.len()).then_some(value)
}

async fn read_exact(stream: &mut RecvStream, buffer: &mut [u8]) -> Result<(), FrameError> {
    stream.read_exact(buffer).await.map_err(|e| match e {
        ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(_) => FrameError::Ended,
    })
}

/// Bytes of a [`Request`].
pub(crate) const REQUEST_LEN: usize = 48;

/// A request for one object's bytes from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub object: ObjectRef,
    pub offset: u64,
}

impl Request {
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut out = [0; REQUEST_LEN];
        out[..32].copy_from_slice(&self.object.hash.0);
        out[32..40].copy_from_slice(&self.object.len.to_le_bytes());
        out[40..].copy_from_slice(&self.offset.to_le_bytes());
        out
    }

    /// `None` where the offset lies beyond the length.
    pub fn decode(bytes: &[u8; REQUEST_LEN]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes[at..at + 8].try_into().expect("eight bytes were sliced");
            u64::from_le_bytes(bytes)
        };
        let hash = Hash(bytes[..32].try_into().expect("32 bytes were sliced"));
        let request = Self { object: ObjectRef { hash, len: word(32) }, offset: word(40) };
        (request.offset <= request.object.len).then_some(request)
    }
}

/// The first byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Here = 0,
    NotHere = 1,
    Busy = 2,
}

impl Status {
    pub fn decode(byte: u8) -> Option<Self> {
        [Self::Here, Self::NotHere, Self::Busy].into_iter().find(|s| *s as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::address::{PeerAddr, peer_id};
    use iroh::SecretKey;

    fn hello() -> Frame {
        let key = SecretKey::from_bytes(&[7; 32]);
        let at = PeerAddr { peer: peer_id(key.public()), addrs: Vec::new(), relay: None };
        let at = AddrRecord::sign(at, 1, &key);
        Frame::Hello(Box::new(Hello { run: Hash::of(b"run"), instance: 3, at, now: Some(5) }))
    }

    #[test]
    fn frames_read_back_and_trailing_or_missing_bytes_are_refused() {
        for frame in [hello(), Frame::Addresses(Vec::new())] {
            let bytes = frame.encode();
            assert_eq!(
                bytes.len(),
                4 + u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
            );
            let (kind, body) = (bytes[4], bytes[5..].to_vec());
            let mut long = body.clone();
            long.push(0);
            assert!(Frame::decode(kind, long).is_err());
            assert!(Frame::decode(kind, body[..body.len() - 1].to_vec()).is_err());
            assert_eq!(Frame::decode(kind, body).expect("decode"), frame);
        }
        assert!(Frame::decode(3, Vec::new()).is_err());
    }

    #[test]
    fn requests_read_back_and_an_offset_beyond_the_end_is_refused() {
        let request = Request { object: ObjectRef::of(b"bytes"), offset: 5 };
        assert_eq!(Request::decode(&request.encode()), Some(request));
        assert_eq!(Request::decode(&Request { offset: 6, ..request }.encode()), None);
        assert_eq!(Status::decode(3), None);
    }
}
