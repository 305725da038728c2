//! Notes, cosignatures and requests that other programs made, of public logs with published keys.

use ids::{Identity, PeerId};
use tlog::{KeyKind, Policy, Response, Signed, SignedCheckpoint, VerifierKey, Witness};

/// A checkpoint of a Certificate Transparency log, with a signature of another kind under its own
/// name and cosignatures of four witnesses.
const ARCHE: &str = "arche2025h1.staging.ct.transparency.dev\n1432088532\n\
    U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n\
    \u{2014} arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n\
    \u{2014} arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n\
    \u{2014} transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n\
    \u{2014} witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n\
    \u{2014} remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n\
    \u{2014} witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";
const ARCHE_KEY: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const WITNESSES: [&str; 4] = [
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
];

/// A checkpoint of Go's checksum database, whose origin has spaces and is not its key's name.
const SUMDB: &str = "go.sum database tree\n35225469\n\
    vt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n\
    \u{2014} sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n";
const SUMDB_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

#[test]
fn a_public_checkpoint_and_its_cosignatures_verify() {
    let mut signed = SignedCheckpoint::parse(ARCHE.as_bytes()).unwrap();
    assert_eq!(signed.to_string(), ARCHE);
    assert_eq!(signed.signed_by(&key(ARCHE_KEY)), Signed::Yes);
    let witnesses = WITNESSES.map(key);
    let policy = Policy::new(3, witnesses.to_vec()).unwrap();
    let witnessed = policy.witnessed(&signed).unwrap();
    let time = Some(1_779_573_024);
    assert_eq!(witnessed.times, [time, time, time, None]);
    assert_eq!((witnessed.holds(), witnessed.time()), (true, time));
    assert!(!Policy::new(4, witnesses.to_vec()).unwrap().witnessed(&signed).unwrap().holds());

    signed = signed.only(&witnesses[1..2]);
    assert_eq!(signed.note().signatures().len(), 1);
    let bad = ARCHE.replace("\n1432088532\n", "\n1432088533\n");
    let bad = SignedCheckpoint::parse(bad.as_bytes()).unwrap();
    assert_eq!(bad.signed_by(&key(ARCHE_KEY)), Signed::Wrong);
    assert!(policy.witnessed(&bad).is_err());
}

#[test]
fn a_checkpoint_of_gos_checksum_database_is_cosigned() {
    let signed = SignedCheckpoint::parse(SUMDB.as_bytes()).unwrap();
    assert_eq!(signed.signed_by(&key(SUMDB_KEY)), Signed::Yes);
    assert_eq!(signed.checkpoint().origin, "go.sum database tree");
    let mut witness = Witness::new(Identity::from_seed([9; 32]), "w.example".parse().unwrap());
    let request = format!("old 0\n\n{SUMDB}");
    let keys = |origin: &str| (origin == "go.sum database tree").then(|| vec![key(SUMDB_KEY)]);
    let answer = witness.add_checkpoint(request.as_bytes(), 1, keys);
    assert_eq!(answer.response.status(), 200);
}

/// The conversation that another witness is tested with: a real log's signatures and proofs.
#[test]
fn a_conversation_of_another_witness_goes_the_same_way() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("golden/witness.json")).expect("the file is JSON");
    let log: PeerId = golden["key"].as_str().expect("text").parse().unwrap();
    let mut witness = Witness::new(Identity::from_seed([9; 32]), "w.example".parse().unwrap());
    let origin =
        "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    let log = VerifierKey::new(origin.parse().unwrap(), KeyKind::Log, log);
    let calls = golden["calls (request, status, what was asserted)"].as_array().expect("a list");
    for call in calls {
        let (request, status) = (call[0].as_str().expect("text"), call[1].as_u64());
        let keys = |asked: &str| (asked == origin).then(|| vec![log.clone()]);
        let answer = witness.add_checkpoint(request.as_bytes(), 1, keys);
        assert_eq!(Some(u64::from(answer.response.status())), status, "{request}");
        if let Response::Conflict { size } = answer.response {
            assert_eq!(call[2], format!("body == \"{size}\\n\""));
        }
    }
    assert_eq!(calls.len(), 9);
    assert_eq!(witness.latest(origin).unwrap().checkpoint().size, 5);
}

fn key(text: &str) -> VerifierKey {
    text.parse().expect("a published key")
}
