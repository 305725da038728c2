//! Where a peer can be reached: unsigned in tickets, signed by the peer itself when passed on.

use ids::PeerId;
use iroh::{EndpointAddr, PublicKey, RelayUrl, SecretKey, Signature};
use std::net::{IpAddr, SocketAddr};

/// The most socket addresses one peer may state.
pub const MAX_ADDRS: usize = 8;
/// The most bytes of a relay's URL.
pub const MAX_RELAY_LEN: usize = 200;

const RECORD_DOMAIN: &[u8] = b"understory address record v1";

/// A peer's key and where to try to reach it.
///
/// Encoding: CBOR `[key, [socket address…], relay URL or null]`.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct PeerAddr {
    /// Whom the connection must authenticate as.
    #[n(0)]
    pub peer: PeerId,
    /// At most [`MAX_ADDRS`].
    #[n(1)]
    pub addrs: Vec<SocketAddr>,
    /// The relay the peer listens at, if any.
    #[n(2)]
    pub relay: Option<String>,
}

impl PeerAddr {
    /// Whether every part is within its bound and could be dialled at all.
    pub fn is_valid(&self) -> bool {
        PublicKey::from_bytes(&self.peer.0).is_ok()
            && self.addrs.len() <= MAX_ADDRS
            && self.addrs.iter().all(can_be_dialled)
            && self.relay.as_deref().is_none_or(|url| parse_relay(url).is_some())
    }

    /// The form iroh dials; `None` where the key is no key.
    pub(crate) fn to_endpoint(&self) -> Option<EndpointAddr> {
        let mut endpoint = EndpointAddr::new(public_key(self.peer)?);
        for addr in &self.addrs {
            endpoint = endpoint.with_ip_addr(*addr);
        }
        if let Some(url) = self.relay.as_deref().and_then(parse_relay) {
            endpoint = endpoint.with_relay_url(url);
        }
        Some(endpoint)
    }

    /// What can be told to others of an endpoint's own address.
    pub(crate) fn from_endpoint(endpoint: &EndpointAddr) -> Self {
        let addrs = endpoint.ip_addrs().copied().filter(can_be_dialled).take(MAX_ADDRS);
        let relay = endpoint.relay_urls().next().map(|url| url.to_string());
        Self {
            peer: peer_id(endpoint.id),
            addrs: addrs.collect(),
            relay: relay.filter(|url| url.len() <= MAX_RELAY_LEN),
        }
    }
}

/// A [`PeerAddr`] that its peer signed, so that it can be passed on by others.
///
/// Encoding: CBOR `[address, time, signature]`; signed are the domain and the CBOR of the
/// first two.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(crate) struct AddrRecord {
    #[n(0)]
    pub at: PeerAddr,
    /// Milliseconds of the peer's wall clock; the later record replaces the earlier.
    #[n(1)]
    pub time: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    signature: [u8; 64],
}

impl AddrRecord {
    pub fn sign(at: PeerAddr, time: u64, key: &SecretKey) -> Self {
        let signature = key.sign(&Self::signed_bytes(&at, time)).to_bytes();
        Self { at, time, signature }
    }

    /// Whether the parts are within bounds and the signature is the peer's.
    pub fn is_valid(&self) -> bool {
        let Some(key) = self.at.is_valid().then(|| public_key(self.at.peer)).flatten() else {
            return false;
        };
        let bytes = Self::signed_bytes(&self.at, self.time);
        key.verify(&bytes, &Signature::from_bytes(&self.signature)).is_ok()
    }

    fn signed_bytes(at: &PeerAddr, time: u64) -> Vec<u8> {
        let body = minicbor::to_vec((at, time)).expect("writing to memory does not fail");
        [RECORD_DOMAIN, &body].concat()
    }
}

pub(crate) fn public_key(peer: PeerId) -> Option<PublicKey> {
    PublicKey::from_bytes(&peer.0).ok()
}

pub(crate) fn peer_id(key: PublicKey) -> PeerId {
    PeerId(*key.as_bytes())
}

/// A relay's URL, if it is one and within its bound.
pub(crate) fn parse_relay(url: &str) -> Option<RelayUrl> {
    let bounded = (1..=MAX_RELAY_LEN).contains(&url.len());
    bounded.then(|| url.parse().ok()).flatten()
}

fn can_be_dialled(addr: &SocketAddr) -> bool {
    let broadcast = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AddrRecord {
        let key = SecretKey::from_bytes(&[7; 32]);
        let at = PeerAddr {
            peer: peer_id(key.public()),
            addrs: vec!["127.0.0.1:4000".parse().expect("an address")],
            relay: Some("https://relay.example/".to_owned()),
        };
        AddrRecord::sign(at, 5, &key)
    }

    #[test]
    fn a_signed_record_survives_encoding_and_any_change_is_refused() {
        let record = record();
        assert!(record.is_valid());
        let bytes = minicbor::to_vec(&record).expect("encode");
        let mut decoded = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = minicbor::decode::<AddrRecord>(&flipped) {
                decoded += 1;
                assert!(!changed.is_valid() || changed == record, "bit {bit}");
            }
        }
        assert!(decoded > 500, "the signature's bits alone are 512");
    }

    #[test]
    fn addresses_nobody_can_dial_are_refused() {
        for addr in ["0.0.0.0:1", "[::]:1", "127.0.0.1:0", "224.0.0.1:9", "255.255.255.255:9"] {
            let mut at = record().at;
            at.addrs = vec![addr.parse().expect("an address")];
            assert!(!at.is_valid(), "{addr}");
        }
        let mut at = record().at;
        at.addrs = vec![at.addrs[0]; MAX_ADDRS + 1];
        assert!(!at.is_valid());
        at.addrs.truncate(1);
        at.relay = Some(format!("https://{}.example/", "a".repeat(MAX_RELAY_LEN)));
        assert!(!at.is_valid());
        at.relay = Some("not a url".to_owned());
        assert!(!at.is_valid());
    }
}
