//! The members that somebody knows to be reachable before any of them is: those of the ticket that
//! was joined with, which is kept beside the log, and of further tickets.

use super::Ticket;
use crate::transport::{PeerAddr, TicketError};
use std::{
    io,
    path::{Path, PathBuf},
};
use store::file::{Readers, write_atomically};

/// Where the ticket is kept in the commons' folder.
const TICKET: &str = "ticket";

/// Most bytes of a ticket that is read back.
const MAX_TICKET: u64 = 1 << 20;

/// Why it is not known who is reachable.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// A ticket cannot be kept.
    #[error("cannot write {}", path.display())]
    Write {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The ticket that is kept is none.
    #[error("the ticket kept in the commons' folder")]
    Kept(#[source] TicketError),
    /// A text is no ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
}

/// Keeps the ticket that the commons in `folder` was joined with.
///
/// Errors: it cannot be written.
pub fn keep(folder: &Path, ticket: &str) -> Result<(), KnownError> {
    let path = folder.join(TICKET);
    write_atomically(&path, ticket.as_bytes(), Readers::Owner)
        .map_err(|source| KnownError::Write { path, source })
}

/// The members of the ticket that the commons in `folder` was joined with, if it was joined, and of
/// these tickets.
///
/// Errors: a ticket cannot be understood.
pub fn members(folder: &Path, tickets: &[String]) -> Result<Vec<PeerAddr>, KnownError> {
    let mut known = match bounded::read_text(&folder.join(TICKET), MAX_TICKET) {
        Ok(text) => text.parse::<Ticket>().map_err(KnownError::Kept)?.peers,
        Err(_) => Vec::new(),
    };
    for text in tickets {
        known.extend(text.parse::<Ticket>()?.peers);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ids::{Hash, PeerId};
    use iroh::SecretKey;

    fn ticket(number: u8) -> (PeerId, String) {
        let secret = SecretKey::from_bytes(&[number; 32]);
        let peer = crate::transport::address::peer_id(secret.public());
        let addrs = vec!["192.168.1.7:4711".parse().expect("an address")];
        let peers = vec![PeerAddr { peer, addrs, relay: None }];
        (peer, Ticket { commons: Hash::of(b"genesis"), peers }.to_string())
    }

    #[test]
    fn those_of_the_ticket_that_was_kept_and_of_further_ones_are_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let known = |tickets: &[String]| {
            let found = members(folder.path(), tickets);
            found.map(|all| all.iter().map(|known| known.peer).collect::<Vec<_>>())
        };
        let ((first, one), (second, other)) = (ticket(1), ticket(2));
        assert_eq!(known(&[]).expect("nobody"), []);
        assert_eq!(known(std::slice::from_ref(&other)).expect("one"), [second]);
        keep(folder.path(), &one).expect("written");
        assert_eq!(known(&[other]).expect("two"), [first, second]);
        assert!(matches!(known(&["x".to_owned()]), Err(KnownError::Ticket(_))));
        keep(folder.path(), "x").expect("written");
        assert!(matches!(known(&[]), Err(KnownError::Kept(_))));
    }
}
