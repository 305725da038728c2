//! People: their keys, what is said about them, what they use.

use super::{
    bounds::{Bounded, Invalid, count, distinct, invalid, name},
    names::named,
};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ids::{Hash, Identity, PeerId, Signature};
use minicbor::{Decode, Encode};
use std::{fmt, str::FromStr};

/// Keys of one member at a time.
const MAX_KEYS: usize = 16;

/// What a [`Key`] statement does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum KeyOp {
    /// Begins a member: signed by the first of `keys`, whose bytes are the member's id for good.
    #[n(0)]
    Start,
    /// Replaces all keys: signed by the key whose digest the member committed to before.
    #[n(1)]
    Rotate,
    /// Replaces all keys of a member that lost them: signed by the first of the new `keys`,
    /// endorsed by the guardians, and in force only after a delay in which the committed next key
    /// can still rotate.
    #[n(2)]
    Recover,
    /// Ends the key that signs.
    #[n(3)]
    Revoke,
}

/// A key and its own word that it belongs to the member: nobody can claim another's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct DeviceKey {
    /// The key.
    #[n(0)]
    pub key: PeerId,
    /// By `key`, over [`DeviceKey::message`].
    #[n(1)]
    pub proof: Signature,
}

impl DeviceKey {
    /// The key of `identity`, bound to `member` in commons `log`.
    pub fn bind(identity: &Identity, log: &Hash, member: &PeerId) -> Self {
        Self { key: identity.id(), proof: identity.sign(&Self::message(log, member)) }
    }

    /// What the key signs: `"understory commons 1 device\n" ‖ log ‖ member`.
    pub fn message(log: &Hash, member: &PeerId) -> Vec<u8> {
        [b"understory commons 1 device\n".as_slice(), &log.0, &member.0].concat()
    }

    /// Whether the key says so itself.
    pub fn is_bound(&self, log: &Hash, member: &PeerId) -> bool {
        self.key.verifies(&Self::message(log, member), &self.proof)
    }
}

/// `KEY.PROOF` in hex: how a new device is handed over to the member's others.
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, HEXLOWER.encode(&self.proof.0))
    }
}

impl FromStr for DeviceKey {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceError> {
        let (key, proof) = text.split_once('.').ok_or(ParseDeviceError::Shape)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(proof.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(ParseDeviceError::Shape)?;
        Ok(Self { key: key.parse()?, proof: Signature(bytes) })
    }
}

/// Why a text is no device.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDeviceError {
    /// It is not a key and a signature with a dot between.
    #[error("a device is what `understory key device` prints on it")]
    Shape,
    /// Its key is none.
    #[error(transparent)]
    Key(#[from] ids::ParsePeerIdError),
}

/// A member's keys.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Key {
    /// The member: the key that it began with.
    #[n(0)]
    pub member: PeerId,
    /// What happens.
    #[n(1)]
    pub op: KeyOp,
    /// The keys that sign for the member from now on. Empty in [`KeyOp::Revoke`].
    #[n(2)]
    pub keys: Vec<DeviceKey>,
    /// [`Key::digest`] of the key that will sign the next rotation, and that exists already.
    #[n(3)]
    pub next: Hash,
    /// Members who together can give a member that lost its keys new ones.
    #[n(4)]
    pub guardians: Vec<PeerId>,
    /// How many of them it takes; 0 where there are none.
    #[n(5)]
    pub threshold: u8,
}

impl Key {
    /// What a member publishes of its next key.
    pub fn digest(next: &PeerId) -> Hash {
        Hash::of_parts("understory commons 1 next key", &[&next.0])
    }
}

impl Bounded for Key {
    fn check(&self) -> Result<(), Invalid> {
        let revoke = self.op == KeyOp::Revoke;
        count("keys", self.keys.len(), usize::from(!revoke), if revoke { 0 } else { MAX_KEYS })?;
        distinct("keys", &self.keys.iter().map(|k| k.key).collect::<Vec<_>>())?;
        guardians(&self.guardians, self.threshold)
    }
}

pub(super) fn guardians(guardians: &[PeerId], threshold: u8) -> Result<(), Invalid> {
    count("guardians", guardians.len(), 0, 16)?;
    distinct("guardians", guardians)?;
    let needed = usize::from(threshold);
    if needed > guardians.len() || (needed == 0) != guardians.is_empty() {
        let why = format!("is {needed} of {} guardians", guardians.len());
        return Err(invalid("threshold", why));
    }
    Ok(())
}

/// One of the two houses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum House {
    /// Those who use what is held here.
    #[n(0)]
    Users,
    /// Those who make it.
    #[n(1)]
    Contributors,
}

named! { House, "a house" { Users = "users", Contributors = "contributors" } }

/// What is said about a person.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Claim {
    /// The author is a person and goes by this name.
    #[n(0)]
    Person {
        /// The name.
        #[n(0)]
        name: String,
    },
    /// The author has met the subject and vouches that it is one person, not here already.
    #[n(1)]
    Vouch {
        /// Takes an earlier vouch back.
        #[n(0)]
        withdrawn: bool,
    },
    /// The author works for, or is paid by, an organisation.
    #[n(2)]
    Affiliation {
        /// The organisation.
        #[n(0)]
        org: String,
        /// As what.
        #[n(1)]
        role: String,
        /// Since when, in Unix seconds.
        #[n(2)]
        from: u64,
        /// Until when.
        #[n(3)]
        to: Option<u64>,
    },
    /// The author has an interest in something it may have to decide on.
    #[n(3)]
    Conflict {
        /// In what.
        #[n(0)]
        with: String,
        /// No longer.
        #[n(1)]
        ended: bool,
    },
    /// The author sits in this house.
    #[n(4)]
    House {
        /// Which.
        #[n(0)]
        house: House,
    },
}

/// Something about a person.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Attest {
    /// Whom it is about: a member's id. All claims but a vouch are about the author itself.
    #[n(0)]
    pub subject: PeerId,
    /// What.
    #[n(1)]
    pub claim: Claim,
}

impl Bounded for Attest {
    fn check(&self) -> Result<(), Invalid> {
        match &self.claim {
            Claim::Person { name: n } => name("name", n),
            Claim::Vouch { .. } | Claim::House { .. } => Ok(()),
            Claim::Affiliation { org, role, from, to } => {
                name("organisation", org)?;
                name("role", role)?;
                match to {
                    Some(to) if to < from => Err(invalid("affiliation", "ends before it begins")),
                    _ => Ok(()),
                }
            }
            Claim::Conflict { with, .. } => name("conflict", with),
        }
    }
}

/// What something is used for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// By a person for itself.
    #[n(0)]
    Personal,
    /// Teaching and research.
    #[n(1)]
    Research,
    /// A public body or an association.
    #[n(2)]
    Public,
    /// For profit.
    #[n(3)]
    Commercial,
}

/// Somebody uses an artifact: what standing in the users' house rests on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Use {
    /// The artifact's digest.
    #[n(0)]
    pub artifact: Hash,
    /// For which organisation, or the author itself.
    #[n(1)]
    pub by: Option<String>,
    /// What for.
    #[n(2)]
    pub purpose: Purpose,
    /// When this ends unless it is said again, in Unix seconds.
    #[n(3)]
    pub expiry: u64,
}

impl Bounded for Use {
    fn check(&self) -> Result<(), Invalid> {
        self.by.iter().try_for_each(|org| name("organisation", org))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_back_from_its_text_and_nothing_else_is_one() {
        let (phone, member) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]).id());
        let device = DeviceKey::bind(&phone, &Hash::of(b"garden"), &member);
        let text = device.to_string();
        assert_eq!(text.parse(), Ok(device));
        assert_eq!(text.to_uppercase().parse(), Ok(device), "hex of either case");
        let read = |text: &str| text.parse::<DeviceKey>();
        for bad in ["", ".", &text[..64], &text[..text.len() - 2], &text.replace('.', "")] {
            assert_eq!(read(bad), Err(ParseDeviceError::Shape), "{bad:?}");
        }
        assert!(matches!(read(&format!("x{text}")), Err(ParseDeviceError::Key(_))));
    }
}
