//! Key files beside openssl, where it is installed; without it these tests say that they are
//! skipped.

use ids::key_file;
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// What `openssl` prints for these arguments and this on its standard input; nothing without it.
fn openssl(args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| println!("skipped: openssl cannot be run: {error}"))
        .ok()?;
    child.stdin.take().expect("it is piped").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "openssl {args:?}");
    Some(output.stdout)
}

#[test]
fn openssl_opens_our_keys() {
    let seed = [9; 32];
    let plain = key_file::to_pem(&seed);
    let sealed = key_file::seal(&seed, "soil", &[1; 32]);
    for file in [&plain, &sealed] {
        let args = ["pkey", "-passin", "pass:soil"];
        let Some(opened) = openssl(&args, file.as_bytes()) else { return };
        assert_eq!(String::from_utf8(opened).expect("PEM"), *plain);
    }
}

#[test]
fn we_open_keys_of_openssl() {
    let Some(plain) = openssl(&["genpkey", "-algorithm", "ed25519"], b"") else { return };
    let seal = ["pkcs8", "-topk8", "-scrypt", "-passout", "pass:soil"];
    let sealed = openssl(&seal, &plain).expect("it is installed");
    let text = |bytes| String::from_utf8(bytes).expect("PEM");
    let seed = key_file::from_pem(&text(plain)).expect("a key");
    assert_eq!(key_file::unseal(&text(sealed), "soil").expect("the same key"), seed);
}
