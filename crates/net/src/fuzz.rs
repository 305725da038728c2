//! Ways in for fuzzing what has no public name. Not part of the API.

use crate::transport::{
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
    assert!(saved.peers.iter().all(crate::transport::PeerAddr::is_valid));
}

/// Reads a request of a member of a commons, then the same bytes as each kind of answer and as a
/// hint; what reads must write itself back.
pub fn commons_frame(bytes: &[u8]) {
    use crate::commons::wire::{
        HeadAnswer, News, Request, cbor, decode_growth, decode_list, decode_range,
    };
    if let Some(news) = News::decode(bytes) {
        assert_eq!(news.encode(), bytes);
    }
    let Some((kind, body)) = bytes.split_first() else { return };
    if let Ok(request) = Request::decode(*kind, body) {
        let again = request.encode();
        assert_eq!(Request::decode(again[0], &again[1..]), Ok(request));
    }
    if let Ok(answer) = HeadAnswer::decode(body) {
        assert_eq!(HeadAnswer::decode(&cbor(&answer)), Ok(answer));
    }
    if let Ok(range) = decode_range(body) {
        assert_eq!(decode_range(&cbor(&range)), Ok(range));
    }
    if let Ok(growth) = decode_growth(body) {
        assert_eq!(decode_growth(&cbor(&growth)), Ok(growth));
    }
    let hashes = decode_list::<ids::Hash>("hashes", body, 64);
    assert!(hashes.is_err() || hashes.is_ok_and(|hashes| hashes.len() <= 64));
    let reasons = decode_list::<Option<String>>("reasons", body, 64);
    assert!(reasons.is_err() || reasons.is_ok_and(|reasons| reasons.len() <= 64));
}

/// One example of each request and answer of a commons, for the fuzzer to begin from.
pub fn commons_examples() -> Vec<Vec<u8>> {
    use crate::commons::wire::{
        Growth, GrowthRequest, HeadAnswer, HeadRequest, News, RangeRequest, Request, cbor,
    };
    let hash = ids::Hash::of(b"x");
    let requests = [
        Request::Head(HeadRequest { above: 7 }),
        Request::Range(RangeRequest { log: hash, first: 1, head: 9, most: 1 << 20 }),
        Request::Genesis(hash),
        Request::Growth(GrowthRequest { old: 1, new: 9 }),
        Request::Pending,
        Request::Statements(vec![hash; 3]),
        Request::Submit(vec![vec![7; 40].into()]),
        Request::Cosign(b"old 0\n\n".to_vec()),
        Request::Length(hash),
        Request::Receipts(vec![hash; 3]),
    ];
    let head = HeadAnswer { size: 9, heads: vec!["a\n1\n".to_owned()], pending: 1, witness: None };
    let range = ::commons::follow::RangeProof {
        first: 1,
        entries: vec![vec![7; 40].into()],
        proof: vec![tlog::Hash::EMPTY_TREE],
    };
    let growth = Growth { root: tlog::Hash::EMPTY_TREE, proof: Vec::new() };
    let answers = [cbor(&head), cbor(&range), cbor(&growth)].map(|body| [&[0], &body[..]].concat());
    let mut all: Vec<Vec<u8>> = requests.iter().map(Request::encode).chain(answers).collect();
    all.push(News { size: 9, covered: 9, pending: 1 }.encode());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_and_what_is_left_of_them_read_or_are_refused() {
        for example in commons_examples() {
            commons_frame(&example);
            for cut in 0..example.len() {
                commons_frame(&example[..cut]);
                let mut changed = example.clone();
                changed[cut] ^= 0x55;
                commons_frame(&changed);
            }
        }
    }
}
