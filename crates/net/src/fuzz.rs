//! Ways in for fuzzing what has no public name. Not part of the API.

use crate::{
    book::Saved,
    wire::{Frame, REQUEST_LEN, Request},
};
use std::path::Path;

/// Reads one frame's kind and body, and an object request; what reads must write itself back.
pub fn frame(bytes: &[u8]) {
    if let Ok(request) = bytes.try_into() {
        let request: &[u8; REQUEST_LEN] = request;
        assert!(Request::decode(request).is_none_or(|r| r.encode() == *request));
    }
    let Some((kind, body)) = bytes.split_first() else { return };
    let Ok(frame) = Frame::decode(*kind, body.to_vec()) else { return };
    match &frame {
        Frame::Hello(hello) => _ = hello.at.is_valid(),
        Frame::Addresses(records) => records.iter().for_each(|r| _ = r.is_valid()),
        Frame::Message(_) => {}
    }
    let again = frame.encode();
    let read = Frame::decode(again[4], again[5..].to_vec());
    assert_eq!(read.expect("what was written reads back"), frame);
}

/// Reads a file of remembered addresses.
pub fn address_book(path: &Path) {
    let saved = Saved::read(path);
    assert!(saved.peers.iter().all(crate::PeerAddr::is_valid));
}
