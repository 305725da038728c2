//! What one person hands another so that they can join a run.

use crate::address::PeerAddr;
use std::{fmt, str::FromStr};
use store::{Hash, ObjectRef};
use swarm::PeerId;

/// The most bytes of a run manifest.
pub const MAX_MANIFEST: u64 = 1 << 20;
/// The most peers a ticket names.
pub const MAX_TICKET_PEERS: usize = 8;

const PREFIX: &str = "understory1";
const MAX_TEXT: usize = 8 << 10;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Which run to join, who founded it, and where to reach some of its peers.
///
/// Encoding: `understory1` and lower-case base32 (RFC 4648, no padding) of the first four bytes
/// of BLAKE3(body) and the body: CBOR `[run id, manifest length, founder, [peer address…]]`.
/// It holds no secret: whoever has it can read the run's objects and offer to take part.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Ticket {
    /// The run's id: BLAKE3 of its manifest.
    #[n(0)]
    pub run: Hash,
    /// Bytes of the manifest, at most [`MAX_MANIFEST`].
    #[n(1)]
    pub manifest_len: u64,
    /// Who began the run.
    #[n(2)]
    pub founder: PeerId,
    /// One to [`MAX_TICKET_PEERS`] peers that may be reachable.
    #[n(3)]
    pub peers: Vec<PeerAddr>,
}

/// Text that is not a ticket.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum TicketError {
    /// It does not begin as such tickets do.
    #[error("such a ticket begins with {0}")]
    Prefix(&'static str),
    /// Longer than any ticket.
    #[error("a ticket is at most {MAX_TEXT} characters")]
    TooLong,
    /// A character that tickets do not use.
    #[error("character {0} does not belong in a ticket")]
    Character(usize),
    /// Damaged on the way, or cut short.
    #[error("the ticket's checksum does not match: part of it is missing or mistyped")]
    Checksum,
    /// Made by something else, or by a later version.
    #[error("the ticket's content is malformed or out of bounds")]
    Content,
}

impl Ticket {
    /// The run manifest's name and length, as it can be asked of any peer.
    pub fn manifest(&self) -> ObjectRef {
        ObjectRef { hash: self.run, len: self.manifest_len }
    }

    fn is_valid(&self) -> bool {
        (1..=MAX_MANIFEST).contains(&self.manifest_len)
            && (1..=MAX_TICKET_PEERS).contains(&self.peers.len())
            && self.peers.iter().all(PeerAddr::is_valid)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = minicbor::to_vec(self).expect("writing to memory does not fail");
        f.write_str(&to_text(PREFIX, &body))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Accepts what [`Ticket`] prints, in either case, with white space anywhere (terminals wrap).
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let body = from_text(PREFIX, text)?;
        let ticket: Self = minicbor::decode(&body).map_err(|_| TicketError::Content)?;
        // One ticket has one text: what decodes but would print otherwise is not ours.
        let same = minicbor::to_vec(&ticket).is_ok_and(|again| again == body);
        if same && ticket.is_valid() { Ok(ticket) } else { Err(TicketError::Content) }
    }
}

/// A ticket's text: the prefix, and base32 of a check of four bytes and the body.
pub(crate) fn to_text(prefix: &str, body: &[u8]) -> String {
    let bytes = [&Hash::of(body).0[..4], body].concat();
    format!("{prefix}{}", base32(&bytes))
}

/// The body of what [`to_text`] wrote, in either case and with white space anywhere.
pub(crate) fn from_text(prefix: &'static str, text: &str) -> Result<Vec<u8>, TicketError> {
    if text.len() > 2 * MAX_TEXT {
        return Err(TicketError::TooLong);
    }
    let text: String =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    if text.len() > MAX_TEXT {
        return Err(TicketError::TooLong);
    }
    let rest = text.strip_prefix(prefix).ok_or(TicketError::Prefix(prefix))?;
    let mut bytes = from_base32(rest).map_err(|at| match at {
        Some(at) => TicketError::Character(prefix.len() + at),
        None => TicketError::Checksum,
    })?;
    if bytes.len() < 4 {
        return Err(TicketError::Checksum);
    }
    let body = bytes.split_off(4);
    if Hash::of(&body).0[..4] != *bytes { Err(TicketError::Checksum) } else { Ok(body) }
}

fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0u32, 0);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            out.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    out
}

/// The error is where a character is none of base32's, or nothing where the last one does not fit.
fn from_base32(text: &str) -> Result<Vec<u8>, Option<usize>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0u32, 0);
    for (i, c) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|&a| a == c);
        bits = bits << 5 | digit.ok_or(Some(i))? as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // Bits beyond the last byte are padding and must be zero, and less than a digit.
    if bits != 0 || count >= 5 {
        return Err(None);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::peer_id;
    use iroh::SecretKey;

    fn ticket() -> Ticket {
        let peer = peer_id(SecretKey::from_bytes(&[7; 32]).public());
        let addrs = ["192.168.1.7:4711", "[fe80::1]:9"];
        let addrs = addrs.iter().map(|a| a.parse().expect("an address")).collect();
        let peers = vec![PeerAddr { peer, addrs, relay: None }];
        Ticket { run: Hash::of(b"manifest"), manifest_len: 8, founder: peer, peers }
    }

    #[test]
    fn prints_and_reads_back_also_wrapped_and_in_capitals() {
        let ticket = ticket();
        let text = ticket.to_string();
        assert!(text.len() < 260, "{} characters", text.len());
        assert_eq!(text.parse(), Ok(ticket.clone()));
        let (a, b) = text.split_at(80);
        assert_eq!(format!(" {a}\n{b}\r\n").to_uppercase().parse(), Ok(ticket));
    }

    #[test]
    fn any_mistyped_character_is_noticed() {
        let text = ticket().to_string();
        for at in 0..text.len() {
            for replacement in ["a", "7", "!", ""] {
                if text[at..=at] == *replacement {
                    continue;
                }
                let changed = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
                assert!(changed.parse::<Ticket>().is_err(), "{replacement} at {at}");
            }
            assert!(text[..at].parse::<Ticket>().is_err(), "cut at {at}");
        }
    }

    #[test]
    fn content_out_of_bounds_is_refused() {
        let good = ticket();
        let many = Ticket { peers: vec![good.peers[0].clone(); 9], ..good.clone() };
        let none = Ticket { peers: Vec::new(), ..good.clone() };
        let large = Ticket { manifest_len: MAX_MANIFEST + 1, ..good.clone() };
        let empty = Ticket { manifest_len: 0, ..good };
        for bad in [many, none, large, empty] {
            assert_eq!(bad.to_string().parse::<Ticket>(), Err(TicketError::Content));
        }
        assert_eq!("a".repeat(MAX_TEXT + 1).parse::<Ticket>(), Err(TicketError::TooLong));
        assert_eq!("understory2abc".parse::<Ticket>(), Err(TicketError::Prefix("understory1")));
        assert_eq!("understory1é".parse::<Ticket>(), Err(TicketError::Character(11)));
    }

    #[test]
    fn base32_agrees_with_the_rfc() {
        for (bytes, text) in
            [("f", "my"), ("fo", "mzxq"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
            assert_eq!(from_base32(text), Ok(bytes.as_bytes().to_vec()));
        }
    }
}
