//! Whose statements an operator gives a place to, and how many at a time. Anybody with a key can
//! sign something, so strangers' statements have rates: for each key, for each network address that
//! brings them, and in all. Members' never have. It is the operator's policy and no part of the log's
//! meaning: another operator may have another, and what has its place counts by the log alone.

use crate::transport::limit::{Bucket, network_of};
use commons::Statement;
use ids::PeerId;
use iroh::{TransportAddr, endpoint::Connection};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How many statements in how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Statements in an hour.
    pub per_hour: f64,
    /// And so many at once.
    pub burst: f64,
}

/// What an operator takes in from those who are no members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intake {
    /// From one key.
    pub per_key: Rate,
    /// From one network address that brings them; from this machine itself any number.
    pub per_address: Rate,
    /// From all of them.
    pub in_all: Rate,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            per_key: Rate { per_hour: 12.0, burst: 8.0 },
            per_address: Rate { per_hour: 120.0, burst: 64.0 },
            in_all: Rate { per_hour: 600.0, burst: 256.0 },
        }
    }
}

/// Whose statements count together: see [`network_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// That of an address; none for this machine's own, which nobody has to be kept from.
    pub fn of(address: IpAddr) -> Option<Self> {
        (!address.to_canonical().is_loopback()).then(|| Self(network_of(address)))
    }

    /// Where the other end of a connection is now; none by a relay.
    pub fn of_connection(connection: &Connection) -> Option<Self> {
        let paths = connection.paths();
        let address = |path: iroh::endpoint::Path<'_>| match path.remote_addr() {
            TransportAddr::Ip(at) => Some(at.ip()),
            _ => None,
        };
        paths.iter().filter(|path| path.is_selected()).find_map(address).and_then(Self::of)
    }
}

/// Who brought something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The peer.
    pub peer: PeerId,
    /// Where it is.
    pub network: Option<Network>,
}

/// How much of it has been used.
pub(crate) struct Gate {
    intake: Intake,
    all: Bucket,
    keys: BTreeMap<PeerId, Bucket>,
    networks: BTreeMap<Network, Bucket>,
    /// When new receipts were given last.
    promised: Option<Instant>,
}

/// New receipts are given no more often: all that waits is looked through for them.
const PROMISE_PAUSE: Duration = Duration::from_millis(200);

impl Gate {
    /// A gate that lets in what the policy allows at once.
    pub fn new(intake: Intake, now: Instant) -> Self {
        let all = bucket(intake.in_all, now);
        Self { intake, all, keys: BTreeMap::new(), networks: BTreeMap::new(), promised: None }
    }

    /// Whether a stranger's statement may have a place now. Memory is one bucket for each key and
    /// network let in lately, and those are no more than are let in all together.
    pub fn admits(&mut self, author: PeerId, network: Option<Network>, now: Instant) -> bool {
        let Intake { per_key, per_address, .. } = self.intake;
        let of = |known: Option<&mut Bucket>, rate: Rate| match known {
            Some(bucket) => bucket.holds(1.0, now),
            None => rate.burst >= 1.0,
        };
        let fits = of(self.keys.get_mut(&author), per_key)
            && network.is_none_or(|network| of(self.networks.get_mut(&network), per_address));
        if !fits || !self.all.take(1.0, now) {
            return false;
        }
        self.keys.retain(|_, bucket| !bucket.is_full(now));
        self.networks.retain(|_, bucket| !bucket.is_full(now));
        self.keys.entry(author).or_insert_with(|| bucket(per_key, now)).take(1.0, now);
        if let Some(network) = network {
            let of_network = self.networks.entry(network);
            of_network.or_insert_with(|| bucket(per_address, now)).take(1.0, now);
        }
        true
    }

    /// Whether new receipts may be given now.
    pub fn may_promise(&mut self, now: Instant) -> bool {
        let may = self.promised.is_none_or(|at| now.saturating_duration_since(at) >= PROMISE_PAUSE);
        if may {
            self.promised = Some(now);
        }
        may
    }

    /// [`Self::admits`] for a statement.
    pub fn lets_in(&mut self, statement: &Statement, from: Option<Origin>) -> bool {
        let network = from.and_then(|from| from.network);
        self.admits(statement.author, network, Instant::now())
    }
}

fn bucket(rate: Rate, now: Instant) -> Bucket {
    Bucket::new(rate.per_hour / 3600.0, rate.burst, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        PeerId(bytes)
    }

    fn network(last: u8) -> Option<Network> {
        Network::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn keys_addresses_and_all_together_have_rates() {
        let start = Instant::now();
        let intake = Intake {
            per_key: Rate { per_hour: 60.0, burst: 2.0 },
            per_address: Rate { per_hour: 600.0, burst: 5.0 },
            in_all: Rate { per_hour: 3600.0, burst: 12.0 },
        };
        let mut gate = Gate::new(intake, start);
        let mut count = |keys: std::ops::Range<u32>, each: usize, at: Option<Network>, now| {
            keys.flat_map(|k| std::iter::repeat_n(k, each))
                .filter(|k| gate.admits(key(*k), at, now))
                .count()
        };
        assert_eq!(count(0..1, 9, network(1), start), 2, "of one key");
        assert_eq!(count(1..9, 9, network(1), start), 3, "and of its address");
        assert_eq!(count(0..1, 1, network(2), start), 0, "one key at another address");
        assert_eq!(count(10..30, 1, network(3), start), 5, "another address");
        assert_eq!(count(30..90, 1, network(4), start), 2, "and in all");
        let later = start + Duration::from_secs(60);
        assert_eq!(count(0..1, 9, network(5), later), 1, "a minute later one of that key");
        assert_eq!(count(100..200, 1, None, later), 11, "from this machine, but for all together");
    }

    #[test]
    fn many_keys_cost_no_memory_without_end() {
        let start = Instant::now();
        let mut gate = Gate::new(Intake::default(), start);
        for number in 0..100_000 {
            let now = start + Duration::from_secs(u64::from(number));
            let at = Network::of(IpAddr::from((u128::from(number) << 64).to_be_bytes()));
            gate.admits(key(number), at, now);
        }
        assert!(gate.keys.len() < 1024 && gate.networks.len() < 1024, "{}", gate.keys.len());
    }

    #[test]
    fn whoever_asks_often_does_not_have_all_that_waits_looked_through() {
        let start = Instant::now();
        let mut gate = Gate::new(Intake::default(), start);
        let every = Duration::from_millis(10);
        let given = (0..100).filter(|n| gate.may_promise(start + every * *n)).count();
        assert_eq!(given, 5);
    }

    #[test]
    fn a_network_is_what_one_party_has() {
        let of = |text: &str| Network::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!((of("127.0.0.1"), of("::1")), (None, None));
    }
}
