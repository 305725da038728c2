//! What one person hands another so that they can join a run.

use crate::transport::{
    PeerAddr, TicketError,
    ticket_text::{self, OLD_RUN},
};
use ids::{Hash, ObjectRef, PeerId};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The most bytes of a run manifest.
pub const MAX_MANIFEST: u64 = 1 << 20;

const PREFIX: &str = "understory2";
/// What is behind it is for one person, and whoever finds it somewhere should see that.
const INVITATION: &str = "understory2-secret-";

/// Which run to join, who founded it, where to reach some of its peers, and how far it was.
///
/// Encoding: `understory2` and lower-case base32 (RFC 4648, no padding) of the first four bytes
/// of BLAKE3(body) and the body: CBOR `[run id, manifest length, founder, [peer address…],
/// checkpoint]`, without the last where the run has not begun.
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
    /// One to [`crate::MAX_TICKET_PEERS`] peers that may be reachable.
    #[n(3)]
    pub peers: Vec<PeerAddr>,
    /// The newest record that the ticket's author had; none before the run begins. Whoever joins
    /// refuses a chain without it, so that nobody can be shown another past (weak subjectivity).
    #[n(4)]
    pub checkpoint: Option<Mark>,
}

/// A record of a run, and who stood behind it.
///
/// Encoding: CBOR `[height, record, standing]`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode, Serialize, Deserialize,
)]
pub struct Mark {
    /// The record's height.
    #[n(0)]
    pub height: u64,
    /// Its hash.
    #[n(1)]
    pub record: Hash,
    /// The voting weight of all members after it, in inner steps.
    #[n(2)]
    pub standing: u64,
}

/// A ticket with the secret of one invitation: whoever uses it first is a founding voter.
///
/// Encoding: as a [`Ticket`], behind `understory2-secret-`, with the body `[ticket, secret]`.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Invitation {
    /// The run, as for everybody.
    #[n(0)]
    pub ticket: Ticket,
    /// The ed25519 secret whose public key the run's manifest names.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub secret: [u8; 32],
}

/// What somebody was handed to join with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// For anybody.
    Ticket(Ticket),
    /// For one person.
    Invitation(Invitation),
}

impl Ticket {
    /// The run manifest's name and length, as it can be asked of any peer.
    pub fn manifest(&self) -> ObjectRef {
        ObjectRef { hash: self.run, len: self.manifest_len }
    }

    fn is_valid(&self) -> bool {
        (1..=MAX_MANIFEST).contains(&self.manifest_len) && ticket_text::are_peers(&self.peers)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ticket_text::write(PREFIX, self))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Accepts what [`Ticket`] prints, in either case, with white space anywhere (terminals wrap).
    fn from_str(text: &str) -> Result<Self, TicketError> {
        if ticket_text::compact(text)?.starts_with(OLD_RUN) {
            return Err(TicketError::Old);
        }
        let ticket: Self = ticket_text::read(PREFIX, text)?;
        if ticket.is_valid() { Ok(ticket) } else { Err(TicketError::Content) }
    }
}

impl Invitation {
    /// The text for the one person who is invited. There is no `Display`, so that it is not
    /// printed or logged by mistake.
    pub fn to_secret_text(&self) -> String {
        ticket_text::write(INVITATION, self)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Admission {
    /// The run and where to reach it.
    pub fn ticket(&self) -> &Ticket {
        match self {
            Self::Ticket(ticket) | Self::Invitation(Invitation { ticket, .. }) => ticket,
        }
    }

    /// The secret of an invitation.
    pub fn secret(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Ticket(_) => None,
            Self::Invitation(invitation) => Some(&invitation.secret),
        }
    }

    /// The same, with the secret of an invitation to the same run where this one has none: an
    /// open ticket with newer addresses does not take a vote away.
    pub fn or_secret_of(self, kept: Option<Self>) -> Self {
        match (self, kept) {
            (Self::Ticket(ticket), Some(Self::Invitation(kept)))
                if kept.ticket.run == ticket.run =>
            {
                Self::Invitation(Invitation { ticket, secret: kept.secret })
            }
            (new, _) => new,
        }
    }

    /// The text it is read from, with the secret where there is one.
    pub fn to_secret_text(&self) -> String {
        match self {
            Self::Ticket(ticket) => ticket.to_string(),
            Self::Invitation(invitation) => invitation.to_secret_text(),
        }
    }
}

impl FromStr for Admission {
    type Err = TicketError;

    /// Accepts a ticket's text or an invitation's, in either case, with white space anywhere.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        if !ticket_text::compact(text)?.starts_with(INVITATION) {
            return text.parse().map(Self::Ticket);
        }
        let invitation: Invitation = ticket_text::read(INVITATION, text)?;
        match invitation.ticket.is_valid() {
            true => Ok(Self::Invitation(invitation)),
            false => Err(TicketError::Content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::address::peer_id;
    use crate::transport::ticket_text::MAX_TEXT;
    use iroh::SecretKey;

    fn ticket() -> Ticket {
        let peer = peer_id(SecretKey::from_bytes(&[7; 32]).public());
        let addrs = ["192.168.1.7:4711", "[fe80::1]:9"];
        let addrs = addrs.iter().map(|a| a.parse().expect("an address")).collect();
        let peers = vec![PeerAddr { peer, addrs, relay: None }];
        let checkpoint = Some(Mark { height: 4711, record: Hash::of(b"record"), standing: 90_000 });
        Ticket { run: Hash::of(b"manifest"), manifest_len: 8, founder: peer, peers, checkpoint }
    }

    fn invitation() -> Invitation {
        Invitation { ticket: Ticket { checkpoint: None, ..ticket() }, secret: [9; 32] }
    }

    #[test]
    fn prints_and_reads_back_also_wrapped_and_in_capitals() {
        let ticket = ticket();
        let text = ticket.to_string();
        assert!(text.len() < 330, "{} characters", text.len());
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
    fn before_the_run_begins_there_is_no_record_to_name() {
        let early = Ticket { checkpoint: None, ..ticket() };
        assert_eq!(early.to_string().parse(), Ok(early.clone()));
        assert!(early.to_string().len() < ticket().to_string().len());
        // Nothing in its place is not the same as nothing: one ticket has one text.
        let nothing = (early.run, early.manifest_len, early.founder, early.peers, None::<Mark>);
        let text = ticket_text::write(PREFIX, &nothing);
        assert_eq!(text.parse::<Ticket>(), Err(TicketError::Content));
    }

    #[test]
    fn an_invitation_is_read_back_and_is_no_ticket() {
        let text = invitation().to_secret_text();
        let read: Admission = text.parse().expect("an invitation");
        assert_eq!(read, Admission::Invitation(invitation()));
        assert_eq!((read.ticket(), read.secret()), (&invitation().ticket, Some(&[9; 32])));
        assert_eq!(text.to_uppercase().parse(), Ok(read));
        assert!(text.parse::<Ticket>().is_err(), "its secret would be lost");
        let open = ticket().to_string();
        assert_eq!(open.parse(), Ok(Admission::Ticket(ticket())));
        assert!(format!("{INVITATION}{}", &open[PREFIX.len()..]).parse::<Admission>().is_err());
        let none = Invitation { ticket: Ticket { peers: Vec::new(), ..ticket() }, ..invitation() };
        assert_eq!(none.to_secret_text().parse::<Admission>(), Err(TicketError::Content));
    }

    #[test]
    fn an_open_ticket_does_not_take_an_invitation_away() {
        let (open, kept) = (Admission::Ticket(ticket()), Admission::Invitation(invitation()));
        let both = open.clone().or_secret_of(Some(kept.clone()));
        assert_eq!((both.ticket(), both.secret()), (&ticket(), Some(&[9; 32])));
        assert_eq!(both.to_secret_text().parse(), Ok(both.clone()));
        let other = Ticket { run: Hash::of(b"another"), ..ticket() };
        let other = Admission::Ticket(other);
        assert_eq!(other.clone().or_secret_of(Some(kept.clone())), other, "of another run");
        assert_eq!(kept.clone().or_secret_of(Some(open)), kept);
    }

    #[test]
    fn an_invitation_is_not_logged_by_mistake() {
        let logged = format!("{:?} {:?}", invitation(), Admission::Invitation(invitation()));
        assert!(!logged.contains("9, 9") && !logged.contains("secret"), "{logged}");
    }

    #[test]
    fn tickets_of_version_1_are_refused_by_name() {
        for text in ["understory1abc", "  UNDERSTORY1ABC"] {
            assert_eq!(text.parse::<Ticket>(), Err(TicketError::Old));
            assert_eq!(text.parse::<Admission>(), Err(TicketError::Old));
        }
        let why = TicketError::Old.to_string();
        assert!(why.contains("version 1 of the rules"), "{why}");
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
        assert_eq!("understory3abc".parse::<Ticket>(), Err(TicketError::Prefix(PREFIX)));
        assert_eq!("understory2é".parse::<Ticket>(), Err(TicketError::Character(11)));
    }
}
