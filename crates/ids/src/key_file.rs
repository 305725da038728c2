//! Secret keys as text: PKCS#8 of version 1 in PEM, which openssl and others read too.
//!
//! Under a passphrase it is PBES2 with scrypt and AES-256-CBC. The cost is the highest that
//! openssl opens (it gives scrypt 32 MiB), made up for by parallelization. A file says itself what
//! opening it costs, so that is bounded before any work is done.

use crate::Identity;
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, LineEnding, ObjectIdentifier,
    PrivateKeyInfoRef, SecretDocument,
    der::{Decode, Encode, asn1::OctetStringRef, pem::PemLabel},
    pkcs5::{
        EncryptionScheme,
        pbes2::{self, Kdf, Salt, ScryptParams},
    },
};
use zeroize::Zeroizing;

/// An Ed25519 secret, wiped from memory when dropped.
pub type Seed = Zeroizing<[u8; 32]>;

/// The longest text that is read as a key, in bytes.
pub const MAX_KEY_FILE: usize = 4096;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// 16 MiB, filled eight times.
const COST: (u64, u16, u16) = (1 << 14, 8, 8);

/// What opening a key may take: memory in bytes, and how often that of [`COST`]'s first two
/// numbers is filled, which takes some fiftieths of a second each time.
const MAX_MEMORY: u64 = 128 << 20;
const MAX_WORK: u64 = 128 * (1 << 17);

/// Why a text gives no secret key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not PEM, too long, or not what its first line says.
    #[error("this is no secret key in PEM")]
    NotPem,
    /// A key under a passphrase where one without is read.
    #[error("this key is under a passphrase")]
    Sealed,
    /// A key without a passphrase where one under a passphrase is read.
    #[error("this key is not under a passphrase")]
    NotSealed,
    /// Encrypted with something else.
    #[error("this key is not encrypted with scrypt and AES-256-CBC")]
    Scheme,
    /// Parameters of scrypt that are none, or whose cost is out of bounds.
    #[error("opening this key would cost too much (scrypt with N = {n}, r = {r}, p = {p})")]
    Cost {
        /// Cost.
        n: u64,
        /// Block size.
        r: u16,
        /// Parallelization.
        p: u16,
    },
    /// What came out is no key.
    #[error("this key does not open: the passphrase is another, or the file is damaged")]
    Passphrase,
    /// A key of another kind.
    #[error("this is no Ed25519 key")]
    NotEd25519,
}

/// A secret key as PEM, under nothing.
pub fn to_pem(seed: &[u8; 32]) -> Zeroizing<String> {
    pem_of(&encoded(seed), PrivateKeyInfoRef::PEM_LABEL)
}

/// Reads [`to_pem`].
///
/// Errors: it is no such key.
pub fn from_pem(text: &str) -> Result<Seed, KeyFileError> {
    match document(text)? {
        (PrivateKeyInfoRef::PEM_LABEL, key) => seed_of(key.as_bytes()),
        (EncryptedPrivateKeyInfoRef::PEM_LABEL, _) => Err(KeyFileError::Sealed),
        _ => Err(KeyFileError::NotPem),
    }
}

/// A secret key as PEM under a passphrase; `random` has to be new each time.
pub fn seal(seed: &[u8; 32], passphrase: &str, random: &[u8; 32]) -> Zeroizing<String> {
    let (salt, iv) = random.split_at(16);
    let params = pbes2::Parameters {
        kdf: scrypt(COST, salt),
        encryption: pbes2::EncryptionScheme::Aes256Cbc {
            iv: iv.try_into().expect("the second half has 16 bytes"),
        },
    };
    seal_with(params, seed, passphrase)
}

fn scrypt((n, r, p): (u64, u16, u16), salt: &[u8]) -> Kdf {
    Kdf::Scrypt(ScryptParams {
        salt: Salt::new(salt).expect("a short salt"),
        cost_parameter: n,
        block_size: r,
        parallelization: p,
        key_length: None,
    })
}

fn seal_with(params: pbes2::Parameters, seed: &[u8; 32], passphrase: &str) -> Zeroizing<String> {
    let sealed = params.encrypt(passphrase, encoded(seed).as_bytes()).expect("good parameters");
    pem_of_sealed(params, &sealed)
}

fn pem_of_sealed(params: pbes2::Parameters, sealed: &[u8]) -> Zeroizing<String> {
    let sealed = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: params.into(),
        encrypted_data: OctetStringRef::new(sealed).expect("a short text"),
    };
    let sealed = SecretDocument::encode_msg(&sealed).expect("a short structure");
    pem_of(&sealed, EncryptedPrivateKeyInfoRef::PEM_LABEL)
}

/// Reads [`seal`]. The text is not authenticated: whoever can write it can have another key come
/// out, so hold what it gives against a public key.
///
/// Errors: it is no such key, it costs too much to open, or the passphrase is another.
pub fn unseal(text: &str, passphrase: &str) -> Result<Seed, KeyFileError> {
    let sealed = match document(text)? {
        (EncryptedPrivateKeyInfoRef::PEM_LABEL, sealed) => sealed,
        (PrivateKeyInfoRef::PEM_LABEL, _) => return Err(KeyFileError::NotSealed),
        _ => return Err(KeyFileError::NotPem),
    };
    // What is encrypted with something that the library does not know is no such structure either.
    let sealed = EncryptedPrivateKeyInfoRef::from_der(sealed.as_bytes())
        .map_err(|_| KeyFileError::Scheme)?;
    check_cost(&sealed.encryption_algorithm)?;
    let key = sealed.decrypt(passphrase).map_err(|_| KeyFileError::Passphrase)?;
    // One in 256 wrong passphrases leaves a padding that looks like one, and then no structure.
    seed_of(key.as_bytes()).map_err(|error| match error {
        KeyFileError::NotPem => KeyFileError::Passphrase,
        other => other,
    })
}

fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyFileError> {
    let EncryptionScheme::Pbes2(pbes2::Parameters {
        kdf: Kdf::Scrypt(scrypt),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { .. },
    }) = scheme
    else {
        return Err(KeyFileError::Scheme);
    };
    let (n, r, p) = (scrypt.cost_parameter, scrypt.block_size, scrypt.parallelization);
    let memory = n.saturating_add(p.into()).saturating_mul(128 * u64::from(r));
    let work = n.saturating_mul(u64::from(r) * u64::from(p));
    let some = n > 1 && n.is_power_of_two() && r > 0 && p > 0;
    match some && memory <= MAX_MEMORY && work <= MAX_WORK {
        true => Ok(()),
        false => Err(KeyFileError::Cost { n, r, p }),
    }
}

/// The structure in a PEM text, with its label.
fn document(text: &str) -> Result<(&str, SecretDocument), KeyFileError> {
    if text.len() > MAX_KEY_FILE {
        return Err(KeyFileError::NotPem);
    }
    SecretDocument::from_pem(text).map_err(|_| KeyFileError::NotPem)
}

fn pem_of(document: &SecretDocument, label: &'static str) -> Zeroizing<String> {
    document.to_pem(label, LineEnding::LF).expect("a short structure")
}

/// The structure of a key: inside, the secret is an octet string once more (RFC 8410).
fn encoded(seed: &[u8; 32]) -> SecretDocument {
    let inner = OctetStringRef::new(seed).and_then(|seed| seed.to_der()).map(Zeroizing::new);
    let inner = inner.expect("32 bytes");
    let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let key = OctetStringRef::new(&inner).expect("34 bytes");
    SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, key)).expect("a short structure")
}

fn seed_of(document: &[u8]) -> Result<Seed, KeyFileError> {
    let key = PrivateKeyInfoRef::from_der(document).map_err(|_| KeyFileError::NotPem)?;
    let inner = <&OctetStringRef>::from_der(key.private_key.as_bytes()).ok();
    let seed = inner.and_then(|inner| inner.as_bytes().try_into().ok()).map(Zeroizing::new);
    let seed: Seed = seed
        .filter(|_| key.algorithm.oid == ED25519 && key.algorithm.parameters.is_none())
        .ok_or(KeyFileError::NotEd25519)?;
    let public = Identity::from_seed(*seed).id();
    match key.public_key.is_some_and(|said| said.as_bytes() != Some(&public.0[..])) {
        true => Err(KeyFileError::NotEd25519),
        false => Ok(seed),
    }
}

#[cfg(test)]
mod tests;
