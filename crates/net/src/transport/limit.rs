//! How much one peer, and all strangers of one address together, may send and hold.

use iroh::endpoint::IncomingAddr;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, Weak},
    time::Instant,
};

/// Messages and bytes one peer may send per second, and in one burst.
pub(crate) const MESSAGE_RATE: (f64, f64) = (500.0, 2_000.0);
const BYTE_RATE: (f64, f64) = (4e6, 32e6);
/// A stranger asks to be let in, and for records: it may send this part of what a member may.
const STRANGER: f64 = 0.04;
/// The strangers of one address together may send so many times what one stranger may.
const STRANGERS: f64 = 2.0;

/// Where a connection comes from, as far as quotas go: an IPv4 address, the /64 of an IPv6 address
/// (which one household has to itself), or a relay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Ip(IpAddr),
    Relay(String),
}

impl Origin {
    pub fn of(from: &IncomingAddr) -> Self {
        match from {
            IncomingAddr::Ip(addr) => Self::of_ip(addr.ip()),
            IncomingAddr::Relay { url, .. } => Self::Relay(url.to_string()),
            _ => Self::Relay(String::new()),
        }
    }

    pub fn of_ip(ip: IpAddr) -> Self {
        Self::Ip(network_of(ip))
    }
}

/// The network that one party is likely to have all of: an IPv4 address, or the upper 64 bits of
/// an IPv6 one.
pub(crate) fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// What may still be sent, in messages and bytes.
#[derive(Debug)]
pub(crate) struct Quota {
    messages: Bucket,
    bytes: Bucket,
}

impl Quota {
    pub fn of_a_peer(now: Instant) -> Self {
        Self::times(1.0, now)
    }

    pub fn of_a_stranger(now: Instant) -> Self {
        Self::times(STRANGER, now)
    }

    fn times(n: f64, now: Instant) -> Self {
        let bucket = |(rate, burst): (f64, f64)| Bucket::new(n * rate, n * burst, now);
        Self { messages: bucket(MESSAGE_RATE), bytes: bucket(BYTE_RATE) }
    }

    /// Takes one message of `len` bytes if it may be sent.
    pub fn take(&mut self, len: usize, now: Instant) -> bool {
        self.messages.take(1.0, now) && self.bytes.take(len as f64, now)
    }
}

/// The quotas that all strangers of an address share, as long as one of them is connected.
#[derive(Debug, Default)]
pub(crate) struct SharedQuotas(BTreeMap<Origin, Weak<Mutex<Quota>>>);

impl SharedQuotas {
    pub fn of(&mut self, origin: &Origin, now: Instant) -> Arc<Mutex<Quota>> {
        self.0.retain(|_, quota| quota.strong_count() > 0);
        if let Some(quota) = self.0.get(origin).and_then(Weak::upgrade) {
            return quota;
        }
        let quota = Arc::new(Mutex::new(Quota::times(STRANGER * STRANGERS, now)));
        self.0.insert(origin.clone(), Arc::downgrade(&quota));
        quota
    }
}

/// Refills at `rate` per second up to `burst`.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, level: burst, at: now }
    }

    /// Takes `amount` if the bucket holds it.
    pub fn take(&mut self, amount: f64, now: Instant) -> bool {
        let allowed = self.holds(amount, now);
        if allowed {
            self.level -= amount;
        }
        allowed
    }

    /// Whether it holds `amount`.
    pub fn holds(&mut self, amount: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.burst);
        self.at = now;
        amount <= self.level
    }

    /// Whether it is as a new one.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.holds(self.burst, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_strangers_of_one_address_share_a_quota_and_others_have_their_own() {
        let now = Instant::now();
        let origin = |text: &str| Origin::of_ip(text.parse().expect("an address"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"), "one household");
        assert_ne!(origin("2001:db8:0:1::1"), origin("2001:db8:0:2::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
        let mut quotas = SharedQuotas::default();
        let held: Vec<_> = (0..40).map(|_| quotas.of(&origin("10.0.0.1"), now)).collect();
        let other = quotas.of(&origin("10.0.0.2"), now);
        let take = |quota: &Arc<Mutex<Quota>>| quota.lock().expect("no panic").take(5, now);
        let sent = (0..4000).filter(|n| take(&held[n % 40])).count();
        assert_eq!(sent as f64, MESSAGE_RATE.1 * STRANGER * STRANGERS, "all forty together");
        assert!(take(&other));
        drop((held, other));
        quotas.of(&origin("10.0.0.3"), now);
        assert_eq!(quotas.0.len(), 1, "forgotten with their connections");
    }

    #[test]
    fn allows_a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 3.0, start);
        assert_eq!((0..5).filter(|_| bucket.take(1.0, start)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(1.0, later)).count(), 2);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..9).filter(|_| bucket.take(1.0, much_later)).count(), 3);
    }
}
