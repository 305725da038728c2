//! What the trail and an audit cost beside a contribution: one line for each size of model.
//!
//!     cargo run --release -p understory-recipe --example trail [THREADS]

use ids::{Hash, ObjectRef};
use kernel::{Isa, Kernel};
use model::decoder::{Family, Sizes};
use recipe::corpus::{self, DataOptions, Documents};
use recipe::run::{FORMAT, Inner, Outer, Rounds};
use recipe::{Contributor, Corpus, RunManifest, Task, contribution::Digest};
use std::{hint::black_box, sync::Arc, time::Instant};
use store::Store;

/// Each piece of work is measured so often; the middle one counts.
const TIMES: usize = 7;
/// Fewer drawn steps than a new run has, for long rounds: `audit_steps` of the configuration.
const FEWER: f64 = 0.6;

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let all = || std::thread::available_parallelism().map_or(1, |n| n.get());
    let kernel = Kernel::new(Isa::best(), threads.unwrap_or_else(all));
    println!("{kernel:?}, milliseconds, the middle of {TIMES}");
    for (dim, layers, ffn) in [(128, 4, 352), (320, 8, 864)] {
        measure(&kernel, dim, layers, ffn);
    }
}

fn measure(kernel: &Kernel, dim: usize, layers: usize, ffn: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("an empty store");
    let corpus = Arc::new(text(&store, folder.path()));
    let run = Arc::new(manifest(dim, layers, ffn));
    let n = run.parameters();
    let mut work = Contributor::new(kernel.clone(), run.clone(), corpus).expect("text enough");
    let base = model::init(&run.model, 1).expect("a valid shape");
    let task = Task { beacon: Hash([1; 32]), worker: Hash([2; 32]), round: 0, steps: 64 };
    let mut state = work.start(&base, None);
    let mut next = 0;
    let step = middle(|| {
        work.step(&task, next, &mut state).expect("finite");
        next += 1;
    });
    let hash = middle(|| {
        black_box(work.state_hash(&state));
    });
    let bytes = work.state_bytes(&state);
    let keep = middle(|| {
        let bytes = work.state_bytes(&state);
        let hash = store.put_relaxed(&bytes).expect("kept");
        store.remove(&hash).expect("removed");
    });
    let load = middle(|| drop(black_box(work.read_state(&bytes).expect("whole"))));
    let encode = middle(|| {
        let change = work.change(&base, &state, None).expect("finite");
        drop(black_box(work.encode(change, &state)));
    });
    let change = work.change(&base, &state, None).expect("finite");
    let (_, carry) = work.encode(change, &state);
    let check = middle(|| drop(black_box(work.read_carry(&carry, 1 << 30).expect("honest"))));
    let digest = middle(|| {
        let mut digest = Digest::new(kernel);
        digest.add(work.gradient());
        black_box(digest.of(&Hash([3; 32])));
    });
    println!("{n} parameters: step {step:.1}, state hash {hash:.2} ({:.2} %)", 100.0 * hash / step);
    println!(
        "  keep a state {keep:.1}, load one {load:.1}, encode {encode:.1}, check a carry \
         {check:.1}, digest of a gradient {digest:.2}"
    );
    for h in [50.0, 64.0] {
        let contribution = h * (step + hash) + (h / 8.0f64).ceil() * keep + encode + check;
        // Both states read and checked by their hashes, the step, the encoding, both carries.
        let read = load + hash;
        let encoding = read + encode + 2.0 * check + digest;
        let audit = encoding + read + step + hash + digest;
        println!(
            "  {h} steps: one drawn step and the encoding {:.2} % of the contribution, the \
             encoding alone {:.2} %",
            100.0 * audit / contribution,
            100.0 * encoding / contribution
        );
        // What drawn steps, whole audits and confirmations made again come to together.
        let rounds = &run.rounds;
        for drawn in [rounds.audit_steps, FEWER] {
            let audits =
                (drawn * audit / contribution + rounds.audit_rate) * (1.0 + rounds.recheck_rate);
            let hashing = h * hash / contribution;
            println!(
                "    {drawn} steps drawn in the mean: audits {:.2} %, hashing of states {:.2} %, \
                 together {:.2} %",
                100.0 * audits,
                100.0 * hashing,
                100.0 * (audits + hashing)
            );
        }
    }
}

/// The middle of the times of `work`, in milliseconds.
fn middle(mut work: impl FnMut()) -> f64 {
    work();
    let mut times = [0.0; TIMES];
    for time in &mut times {
        let begun = Instant::now();
        work();
        *time = begun.elapsed().as_secs_f64() * 1000.0;
    }
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}

fn text(store: &Store, folder: &std::path::Path) -> Corpus {
    let path = folder.join("text.txt");
    let words: String = (0..20_000u64).map(|i| format!("{} ", i * i % 977)).collect();
    std::fs::write(&path, words).expect("written");
    let documents = Documents::from_paths(&[path]).expect("read");
    let options = DataOptions { vocab: 512, ..DataOptions::default() };
    let root = corpus::build(store, &documents, &options, &mut |_| ()).expect("built").root;
    Corpus::load(store, &root.hash).expect("loaded")
}

fn manifest(dim: usize, layers: usize, ffn: usize) -> RunManifest {
    let heads = dim / 32;
    let sizes = Sizes {
        dim,
        layers,
        heads,
        kv_heads: heads,
        head_dim: 32,
        ffn,
        context: 256,
        ..Sizes::tiny(4096)
    };
    let model = sizes.decoder(Family::Llama);
    RunManifest {
        format: FORMAT,
        arithmetic: Default::default(),
        name: "trail".into(),
        founder: Hash([1; 32]),
        founders: vec![Hash([1; 32])],
        invitations: Vec::new(),
        seed: 1,
        corpus: ObjectRef::of(b"text"),
        start: None,
        model,
        inner: Inner::default(),
        outer: Outer::default(),
        rounds: Rounds::default(),
    }
}
