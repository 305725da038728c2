use super::*;
use pkcs8::{der::asn1::BitStringRef, pkcs5::pbes2::Pbkdf2Params};
use std::time::{Duration, Instant};

/// The example of RFC 8410, section 10.3.
const EXAMPLE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

const SEED: [u8; 32] = [7; 32];

/// Parameters that cost next to nothing.
fn cheap(cost: (u64, u16, u16)) -> pbes2::Parameters {
    let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: [3; 16] };
    pbes2::Parameters { kdf: scrypt(cost, &[2; 16]), encryption }
}

#[test]
fn a_key_is_the_structure_of_rfc_8410() {
    let seed = from_pem(EXAMPLE).expect("a key");
    assert_eq!(to_pem(&seed).as_str(), EXAMPLE);
    assert_eq!(*from_pem(&to_pem(&SEED)).expect("a key"), SEED);
}

#[test]
fn a_sealed_key_opens_with_its_passphrase_alone() {
    let sealed = seal(&SEED, "soil", &[1; 32]);
    assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(*unseal(&sealed, "soil").expect("it opens"), SEED);
    for wrong in ["", "Soil", "soil "] {
        assert!(matches!(unseal(&sealed, wrong), Err(KeyFileError::Passphrase)), "{wrong:?}");
    }
    assert_ne!(seal(&SEED, "soil", &[2; 32]), sealed);
}

#[test]
fn a_key_with_and_one_without_a_passphrase_are_told_apart() {
    let sealed = seal_with(cheap((2, 1, 1)), &SEED, "soil");
    assert!(matches!(from_pem(&sealed), Err(KeyFileError::Sealed)));
    assert!(matches!(unseal(EXAMPLE, "soil"), Err(KeyFileError::NotSealed)));
    let other = EXAMPLE.replace("PRIVATE", "PUBLIC");
    assert!(matches!(from_pem(&other), Err(KeyFileError::NotPem)));
    assert!(matches!(unseal(&other, "soil"), Err(KeyFileError::NotPem)));
}

#[test]
fn what_would_cost_too_much_is_refused_before_any_work() {
    let begun = Instant::now();
    for cost in [
        (0, 8, 1),
        (1, 8, 1),
        (3, 8, 1),
        (1 << 14, 0, 1),
        (1 << 14, 8, 0),
        (1 << 18, 8, 1),
        (1 << 63, 8, 1),
        (u64::MAX, u16::MAX, u16::MAX),
        (1 << 14, u16::MAX, 1),
        (1 << 14, 8, 129),
        (1 << 10, 8, u16::MAX),
        (1 << 4, u16::MAX, 17),
    ] {
        let file = pem_of_sealed(cheap(cost), &[0; 48]);
        let (n, r, p) = cost;
        match unseal(&file, "soil") {
            Err(KeyFileError::Cost { n: a, r: b, p: c }) => assert_eq!((a, b, c), (n, r, p)),
            other => panic!("{cost:?}: {other:?}"),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    for cost in [COST, (1 << 16, 8, 1)] {
        let file = pem_of_sealed(cheap(cost), &[0; 48]);
        assert!(matches!(unseal(&file, "soil"), Err(KeyFileError::Passphrase)), "{cost:?}");
    }
}

#[test]
fn other_ways_to_encrypt_are_refused_by_name() {
    let derived = Kdf::Pbkdf2(Pbkdf2Params::hmac_sha256(100_000_000, &[1; 16]).expect("good"));
    let aes = |kdf| pbes2::Parameters { kdf, ..cheap((2, 1, 1)) };
    let weaker = pbes2::EncryptionScheme::Aes128Cbc { iv: [3; 16] };
    let weaker = pbes2::Parameters { encryption: weaker, ..cheap((2, 1, 1)) };
    for params in [aes(derived), weaker] {
        let file = pem_of_sealed(params, &[0; 48]);
        assert!(matches!(unseal(&file, "soil"), Err(KeyFileError::Scheme)));
    }
}

#[test]
fn no_other_key_and_no_other_text_is_taken_for_one() {
    let key = |oid: &str, inner: &[u8], public: Option<&[u8]>| {
        let oid = ObjectIdentifier::new_unwrap(oid);
        let algorithm = AlgorithmIdentifierRef { oid, parameters: None };
        let private_key = OctetStringRef::new(inner).expect("short");
        let public_key = public.map(|key| BitStringRef::from_bytes(key).expect("short"));
        let key =
            PrivateKeyInfoRef { public_key, ..PrivateKeyInfoRef::new(algorithm, private_key) };
        from_pem(&pem_of(&SecretDocument::encode_msg(&key).expect("short"), "PRIVATE KEY"))
    };
    let inner = [&[4, 32][..], &SEED].concat();
    let public = Identity::from_seed(SEED).id();
    assert!(key("1.3.101.112", &inner, None).is_ok());
    assert!(key("1.3.101.112", &inner, Some(&public.0)).is_ok());
    assert!(key("1.3.101.112", &inner, Some(&[1; 32])).is_err(), "another public key");
    assert!(key("1.3.101.110", &inner, None).is_err(), "X25519");
    assert!(key("1.3.101.112", &SEED, None).is_err());
    assert!(key("1.3.101.112", &inner[..33], None).is_err());
    for text in ["", "07", &"-".repeat(MAX_KEY_FILE), &EXAMPLE.repeat(40)] {
        assert!(matches!(from_pem(text), Err(KeyFileError::NotPem)), "{:?}", text.get(..9));
    }
}

#[test]
fn a_damaged_file_is_an_error_or_another_key() {
    let sealed = seal_with(cheap((2, 1, 1)), &SEED, "soil");
    for at in 0..sealed.trim_end().len() {
        assert!(unseal(&sealed[..at], "soil").is_err(), "cut at {at}");
        for bit in 0..7 {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let text = String::from_utf8(bytes).expect("ASCII");
            drop(unseal(&text, "soil"));
        }
    }
}
