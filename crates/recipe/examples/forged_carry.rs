//! What a carry that was made up within the bounds does to the loss in the round it is used in.
//!
//! Four workers train honestly for some rounds; then one of them starts the next round from a
//! forged carry and does honest work from there on, so that no re-run of that round finds
//! anything but the carry's content.
//!
//!     cargo run --release -p understory-recipe --example forged_carry TEXT…

use ids::{Hash, ObjectRef};
use kernel::{Isa, Kernel};
use recipe::corpus::{self, DataOptions, Documents};
use recipe::outer::{self, Weighted};
use recipe::run::{FORMAT, Inner, Outer, Rounds, ScheduleKind};
use recipe::{Bounds, Carry, Contributor, Corpus, RunManifest, Task, held_out::HeldOut, update};
use std::sync::Arc;
use store::Store;

const WORKERS: u8 = 4;
const STEPS: u32 = 50;
/// Honest rounds before.
const ROUNDS: u32 = 6;

/// One way to make up a carry out of the honest one.
type Forge = fn(&mut Carry, f32);

/// `multiple` is the most that a first moment can be, in roots of its second moment.
const FORGERIES: [(&str, Forge); 6] = [
    ("honest", |_, _| ()),
    ("first moments turned round", |c, _| c.m.iter_mut().for_each(|m| *m = -*m)),
    ("turned round, as large as can be", |c, multiple| largest(c, -multiple)),
    ("the same, second moments a tenth", |c, multiple| {
        c.root.iter_mut().for_each(|root| *root *= 0.1);
        largest(c, -multiple);
    }),
    ("second moments as large as can be", |c, _| {
        let blocks = c.root.len().div_ceil(update::BLOCK) as f32;
        c.root.fill(1.14 / blocks.sqrt());
    }),
    ("what was lost, a million times", |c, _| c.lost.iter_mut().for_each(|l| *l *= -1e6)),
];

fn largest(carry: &mut Carry, multiple: f32) {
    for (m, root) in carry.m.iter_mut().zip(&carry.root) {
        *m = root * multiple * if *m < 0.0 { -0.999 } else { 0.999 };
    }
}

fn main() {
    let paths: Vec<_> = std::env::args().skip(1).map(Into::into).collect();
    let documents = Documents::from_paths(&paths).expect("files or folders of text");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("an empty store");
    let options = DataOptions {
        vocab: 1024,
        held_out_every: 10,
        held_out_bytes: 64 << 10,
        ..DataOptions::default()
    };
    let root = corpus::build(&store, &documents, &options, &mut |_| ()).expect("built").root;
    let corpus = Arc::new(Corpus::load(&store, &root.hash).expect("loaded"));
    let run = Arc::new(manifest(root, corpus.manifest.vocab as usize));
    let mut race = Race::new(run, corpus);
    let begun = race.loss(&race.params.clone());
    for round in 0..ROUNDS {
        let updates = (0..WORKERS).map(|worker| race.contribute(round, worker, None)).collect();
        (race.params, race.momentum) = race.sum(updates);
    }
    let before = race.loss(&race.params.clone());
    println!("{} parameters, {STEPS} steps, bits per byte held out", race.run.parameters());
    println!("{begun:.4} at first, {before:.4} after {ROUNDS} honest rounds; after the next:");
    let honest: Vec<Weighted> =
        (1..WORKERS).map(|worker| race.contribute(ROUNDS, worker, None)).collect();
    for (name, forge) in FORGERIES {
        let own = race.contribute(ROUNDS, 0, Some(forge));
        let copy = |w: &Weighted| Weighted { weight: 1, standing: 1, values: w.values.clone() };
        let alone = race.sum(vec![copy(&own)]).0;
        let beside = race.sum(honest.iter().map(copy).chain([own]).collect()).0;
        let (alone, beside) = (race.loss(&alone), race.loss(&beside));
        println!("  {name:<36} alone {alone:.4}, one of {WORKERS} {beside:.4}");
    }
}

struct Race {
    kernel: Kernel,
    run: Arc<RunManifest>,
    work: Contributor,
    held_out: HeldOut,
    params: Vec<f32>,
    momentum: Vec<f32>,
    carries: Vec<Option<Carry>>,
}

impl Race {
    fn new(run: Arc<RunManifest>, corpus: Arc<Corpus>) -> Self {
        let kernel = Kernel::new(Isa::best(), 2);
        let held_out = HeldOut::new(&corpus, &run.model, run.inner.seq, 1 << 14);
        let params = model::init(&run.model, run.seed).expect("a valid shape");
        let momentum = vec![0.0; params.len()];
        let work = Contributor::new(kernel.clone(), run.clone(), corpus).expect("text enough");
        let carries = vec![None; WORKERS.into()];
        Self { kernel, run, work, held_out, params, momentum, carries }
    }

    fn loss(&mut self, params: &[f32]) -> f64 {
        self.held_out.bits_per_byte(&self.kernel, params).expect("finite")
    }

    /// A contribution; one that starts from a forged carry leaves nothing behind.
    fn contribute(&mut self, round: u32, worker: u8, forge: Option<Forge>) -> Weighted {
        let mut carry = self.carries[usize::from(worker)].clone();
        if let (Some(forge), Some(carry)) = (forge, &mut carry) {
            let bounds = Bounds::new(&self.run.inner);
            forge(carry, bounds.multiple(carry.steps) as f32);
            bounds.check(carry, 1 << 30).expect("within the bounds");
        }
        let (beacon, key) = (Hash::of(&round.to_le_bytes()), Hash([worker; 32]));
        let task = Task { beacon, worker: key, round, steps: STEPS };
        let mut state = self.work.start(&self.params, carry.as_ref());
        for step in 0..STEPS {
            self.work.step(&task, step, &mut state).expect("finite");
        }
        let change = self.work.change(&self.params, &state, carry.as_ref()).expect("finite");
        let (bytes, left) = self.work.encode(change, &state);
        if forge.is_none() {
            let left = self.work.read_carry(&left, 1 << 30).expect("honest");
            self.carries[usize::from(worker)] = Some(left);
        }
        let values = update::decode(&self.kernel, &bytes, self.params.len()).expect("whole");
        Weighted { weight: 1, standing: 1, values }
    }

    fn sum(&self, updates: Vec<Weighted>) -> (Vec<f32>, Vec<f32>) {
        let (mut params, mut momentum) = (self.params.clone(), self.momentum.clone());
        outer::aggregate(&self.kernel, &self.run.outer, &mut params, &mut momentum, &updates)
            .expect("finite");
        (params, momentum)
    }
}

fn manifest(corpus: ObjectRef, vocab: usize) -> RunManifest {
    let schedule = ScheduleKind::Constant;
    RunManifest {
        format: FORMAT,
        arithmetic: Default::default(),
        name: "forged carry".into(),
        founder: Hash([1; 32]),
        founders: vec![Hash([1; 32])],
        invitations: Vec::new(),
        seed: 1,
        corpus,
        start: None,
        model: model::Decoder { context: 64, ..model::Decoder::tiny(vocab) },
        inner: Inner { seq: 64, batch: 8, schedule, ..Inner::default() },
        outer: Outer::default(),
        rounds: Rounds { rounds: ROUNDS + 1, ..Rounds::default() },
    }
}
