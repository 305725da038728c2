//! How tickets are written: a prefix, and base32 that notices what was mistyped.

use super::PeerAddr;
use data_encoding::{BASE32_NOPAD, DecodeKind};
use ids::{Hash, canonical};
use minicbor::{Decode, Encode};

/// The most peers a ticket names.
pub const MAX_TICKET_PEERS: usize = 8;
/// Begins tickets of runs under version 1 of the rules.
pub(crate) const OLD_RUN: &str = "understory1";
pub(crate) const MAX_TEXT: usize = 8 << 10;

/// Text that is not a ticket.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum TicketError {
    /// It does not begin as such tickets do.
    #[error("such a ticket begins with {0}")]
    Prefix(&'static str),
    /// Of a run under earlier rules.
    #[error(
        "this ticket begins with {OLD_RUN}: it is of a run under version 1 of the rules, which \
             this program does not follow any more"
    )]
    Old,
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

/// Whether these are one to [`MAX_TICKET_PEERS`] peers with addresses in bounds.
pub(crate) fn are_peers(peers: &[PeerAddr]) -> bool {
    (1..=MAX_TICKET_PEERS).contains(&peers.len()) && peers.iter().all(PeerAddr::is_valid)
}

/// A ticket's text: the prefix, and base32 of a check of four bytes and its CBOR.
pub(crate) fn write<T: Encode<()>>(prefix: &str, ticket: &T) -> String {
    let body = canonical::encode(ticket);
    let bytes = [&Hash::of(&body).0[..4], &body].concat();
    format!("{prefix}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// What [`write`] wrote, in either case and with white space anywhere. One ticket has one text:
/// what decodes but would print otherwise is refused.
pub(crate) fn read<T>(prefix: &'static str, text: &str) -> Result<T, TicketError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    let text = compact(text)?;
    let rest = text.strip_prefix(prefix).ok_or(TicketError::Prefix(prefix))?;
    let bytes = BASE32_NOPAD.decode(rest.to_ascii_uppercase().as_bytes());
    let bytes = bytes.map_err(|error| match error.kind {
        DecodeKind::Symbol => TicketError::Character(prefix.len() + error.position),
        _ => TicketError::Checksum,
    })?;
    let (check, body) = bytes.split_at_checked(4).ok_or(TicketError::Checksum)?;
    if Hash::of(body).0[..4] != *check {
        return Err(TicketError::Checksum);
    }
    canonical::decode("a ticket", body, MAX_TEXT).map_err(|_| TicketError::Content)
}

/// The text in lower case and without white space (terminals wrap).
pub(crate) fn compact(text: &str) -> Result<String, TicketError> {
    if text.len() > 2 * MAX_TEXT {
        return Err(TicketError::TooLong);
    }
    let text: String =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    if text.len() > MAX_TEXT { Err(TicketError::TooLong) } else { Ok(text) }
}
