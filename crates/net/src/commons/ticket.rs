//! What one person hands another so that they can hold a commons too.

use crate::transport::{PeerAddr, TicketError, ticket_text};
use ids::Hash;
use std::{fmt, str::FromStr};

const PREFIX: &str = "understory-commons1";

/// Which commons, and where to reach some who hold it.
///
/// Encoding: `understory-commons1` and lower-case base32 (RFC 4648, no padding) of the first four
/// bytes of BLAKE3(body) and the body: CBOR `[commons id, [peer address…]]`. It holds no secret:
/// whoever has it can read the commons and send it statements.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Ticket {
    /// The commons' id, which its genesis proves.
    #[n(0)]
    pub commons: Hash,
    /// One to [`crate::MAX_TICKET_PEERS`] members that may be reachable.
    #[n(1)]
    pub peers: Vec<PeerAddr>,
}

impl Ticket {
    fn is_valid(&self) -> bool {
        ticket_text::are_peers(&self.peers)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ticket_text::write(PREFIX, self))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Accepts what [`Ticket`] prints, in either case, with white space anywhere.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let ticket: Self = ticket_text::read(PREFIX, text)?;
        if ticket.is_valid() { Ok(ticket) } else { Err(TicketError::Content) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iroh::SecretKey;

    fn ticket() -> Ticket {
        let peer = crate::transport::address::peer_id(SecretKey::from_bytes(&[7; 32]).public());
        let addrs = vec!["192.168.1.7:4711".parse().expect("an address")];
        Ticket { commons: Hash::of(b"genesis"), peers: vec![PeerAddr { peer, addrs, relay: None }] }
    }

    #[test]
    fn prints_and_reads_back_and_is_no_ticket_of_a_run() {
        let text = ticket().to_string();
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(text.to_uppercase().parse(), Ok(ticket()));
        assert!(text.parse::<crate::swarm::Ticket>().is_err());
        let changed = text.replace(&text[30..31], if &text[30..31] == "a" { "b" } else { "a" });
        assert!(changed.parse::<Ticket>().is_err());
    }

    #[test]
    fn content_out_of_bounds_is_refused() {
        let good = ticket();
        let many = Ticket { peers: vec![good.peers[0].clone(); 9], ..good.clone() };
        let none = Ticket { peers: Vec::new(), ..good };
        for bad in [many, none] {
            assert_eq!(bad.to_string().parse::<Ticket>(), Err(TicketError::Content));
        }
    }
}
