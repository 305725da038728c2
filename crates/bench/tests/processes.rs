//! Benches that start processes: what these do wrong is an error that says so.

use bench::{BenchError, swarm, train};
use kernel::{Isa, Kernel};
use model::Arithmetic;
use recipe::corpus::Documents;
use std::{fs, path::Path};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program.sh");

#[test]
fn a_size_is_measured_in_a_process_as_it_is_here() {
    let kernel = Kernel::new(Isa::best(), 1);
    let here = train::here(&kernel, "1m", 1, Arithmetic::Strict1).expect("a size");
    let text = serde_json::to_string(&here).expect("has a form");
    let back: train::Figures = serde_json::from_str(&text).expect("is read");
    assert_eq!((back.dtype.as_str(), back.step.size.as_str()), ("f32", "1m"));
    assert_eq!(back.step.loss, here.step.loss);
    let error = train::apart(Path::new(PROGRAM), "50m", None, 1, Arithmetic::Strict1);
    let error = error.expect_err("the program fails");
    assert_eq!(error.to_string(), "size 50m: no size for 50m");
}

#[test]
fn a_peer_that_is_killed_ends_the_bench_and_says_by_what() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("a.txt");
    let line = |n: u32| format!("leaf {n} falls on the soil of {} and feeds it\n\n", n * 7);
    fs::write(&text, (0..20_000).map(line).collect::<String>()).expect("written");
    let options = swarm::Options {
        program: PROGRAM.into(),
        folder: folder.path().to_owned(),
        seconds: 0.01,
        kernel: Kernel::new(Isa::best(), 1),
        threads_per_peer: 1,
    };
    let documents = Documents::from_paths(&[text]).expect("text");
    let mut started = 0;
    let error = swarm::swarm(&options, &documents, &mut |progress| {
        started += u32::from(matches!(progress, swarm::Progress::Starting(_)));
    });
    let error = error.expect_err("the first peer kills itself");
    assert!(matches!(error, BenchError::Killed { peer: 1, .. }), "{error}");
    assert_eq!(error.to_string(), "peer 1 was ended by signal 9 (SIGKILL)");
    assert_eq!(started, 1);
}
