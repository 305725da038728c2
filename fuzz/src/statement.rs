//! Statements of a commons and ranges of them: what parses has one encoding, and whatever a member
//! signs has a place in a log without breaking its state or its views.

use crate::seeds::{Outcome, save};
use commons::{
    ArchiveError, Body, Place, Seen, Statement, author,
    follow::RangeProof,
    portable::{LoggedStatement, Portable, PortableSplit, Trust},
    receipt::Receipt,
    state::{Roots, State, log_key},
    statement::{
        Attest, Boundary, Check, Choice, Claim, Component, Derive, DeviceKey, Effect, Evaluate,
        Evidence, FenceCell, Founder, Genesis, Key, KeyOp, Method, Milestone, Parent, Pay, Power,
        ProposalType, Propose, Publish, Purpose, RULES_VERSION, Relation, Reproducible, Rights,
        Rules, SourceClass, Stance, Subject, TieRule, Unranked, Use, Verdict, Vote, VoteBody,
        WitnessKey, Witnesses, Work, WorkType,
    },
    view,
};
use ids::{Hash, Identity};
use std::{path::Path, sync::LazyLock};
use tlog::{Checkpoint, Hash as TreeHash, KeyName, SplitProof};

/// A statement: read, said again by a founder in a small commons, and seen in every view.
pub fn statement(bytes: &[u8]) {
    if let Ok(range) = ids::canonical::decode::<RangeProof>("range", bytes, 1 << 20) {
        assert_eq!(ids::canonical::encode(&range), bytes, "a range has one encoding");
    }
    if let Ok(receipt) = Receipt::parse(bytes) {
        assert_eq!(receipt.to_bytes(), bytes, "a receipt has one encoding");
    }
    let Ok(read) = Statement::parse_unsigned(bytes) else { return };
    assert_eq!(read.bytes(), bytes);
    let (mut state, seen) = TOWN.clone();
    for (author, twice) in [(0, false), (1, false), (1, true)] {
        let author = identity(author);
        let (seq, prev) = if twice { (0, None) } else { state.chain_head(&author.id()) };
        let place = Place { log: state.id, seq, prev, seen: Some(seen) };
        let Ok(said) = Statement::sign(&author, place, read.body.clone()) else { return };
        assert_eq!(Statement::parse(said.bytes()), Ok(said.clone()));
        state.apply(&said, &Fixed).expect("the log can be read");
        assert!(state.place(&said.hash()).is_some());
    }
    assert_eq!(view::digests(&state), view::digests(&state.clone()));
}

/// A proof that stands alone: judged by the genesis that it has with it.
pub fn portable(bytes: &[u8]) {
    let Ok(file) = Portable::parse(bytes) else { return };
    assert_eq!(file.to_bytes(), bytes, "a proof has one encoding");
    let trust = Trust::of_genesis(file.genesis());
    match file {
        Portable::Logged(logged) => drop(logged.check(&trust)),
        Portable::Split(split) => drop(split.check(&trust)),
    }
}

/// One of each kind.
pub fn seeds(folder: &Path) -> Outcome {
    let (state, seen) = TOWN.clone();
    save(folder, "statement", GENESIS.bytes())?;
    let place = Place { log: state.id, seq: 0, prev: None, seen: Some(seen) };
    let claim = Claim::Person { name: "left out".into() };
    let left = Statement::sign(&identity(1), place, Attest { subject: identity(1).id(), claim })?;
    let receipt = Receipt::sign(&identity(0), state.id, left.hash(), 1);
    save(folder, "statement", &receipt.to_bytes())?;
    let evidence = Evidence::Receipt(receipt.to_bytes(), left.bytes().to_vec());
    let check = Check { subject: Subject::Log, verdict: Verdict::Unavailable, evidence };
    save(folder, "statement", Statement::sign(&identity(0), place, check)?.bytes())?;
    for body in bodies(&state) {
        let place = Place { log: state.id, seq: 0, prev: None, seen: Some(seen) };
        save(folder, "statement", Statement::sign(&identity(0), place, body)?.bytes())?;
    }
    for file in proofs(&state)? {
        save(folder, "commons_proof", &file.to_bytes())?;
    }
    Ok(())
}

/// That the genesis is in its log, and that the log had another once.
fn proofs(state: &State) -> Result<[Portable; 2], Box<dyn std::error::Error>> {
    let (genesis, origin) = (GENESIS.clone(), commons::origin(&state.id));
    let head = |leaf: &[u8]| {
        Checkpoint::new(origin.clone(), 1, TreeHash::of_leaf(leaf)).sign(&identity(0))
    };
    let mut checkpoint = head(genesis.bytes())?;
    let witness: KeyName = "witness".parse()?;
    checkpoint.add(checkpoint.cosign(&identity(7), &witness, 1))?;
    let key = log_key(&origin, identity(0).id());
    let split = SplitProof::of_one_size(&key, &checkpoint, &head(b"other")?);
    let split = split.ok_or("two histories")?;
    let logged = LoggedStatement::assemble(genesis.clone(), genesis.clone(), 0, vec![], checkpoint);
    Ok([
        Portable::Logged(Box::new(logged)),
        Portable::Split(Box::new(PortableSplit { genesis, split })),
    ])
}

/// A log whose root is always that of its genesis.
struct Fixed;

impl Roots for Fixed {
    fn root_at(&self, _: u64) -> Result<TreeHash, ArchiveError> {
        Ok(TreeHash::of_leaf(GENESIS.bytes()))
    }
}

static GENESIS: LazyLock<Statement> = LazyLock::new(|| {
    let founder = |number| Founder {
        name: format!("founder {number}"),
        member: identity(number).id(),
        next: Key::digest(&identity(number + 10).id()),
        guardians: vec![],
        threshold: 0,
        steward: true,
    };
    let genesis = Genesis {
        name: "fuzz".into(),
        charter: Hash::of(b"charter"),
        rules: Rules::default(),
        founders: (0..3).map(founder).collect(),
        operator: identity(0).id(),
        witnesses: Witnesses {
            threshold: 1,
            keys: vec![WitnessKey { name: "witness".into(), key: identity(7).id() }],
        },
        parent: None,
        created: 1,
        version: Some(RULES_VERSION),
    };
    author::found(&identity(0), &identity(0), genesis).expect("it is within its bounds").0
});

static TOWN: LazyLock<(State, Seen)> = LazyLock::new(|| {
    let state = State::begin(&GENESIS, None).expect("it is a genesis");
    let root = TreeHash::of_leaf(GENESIS.bytes());
    let head = Checkpoint::new(commons::origin(&state.id), 1, root);
    let signature = identity(0).sign(head.to_string().as_bytes());
    (state, Seen { size: 1, root: root.0, signature })
});

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

fn bodies(state: &State) -> Vec<Body> {
    let (me, digest) = (identity(0).id(), Hash::of(b"something"));
    let (topic, language) = ("topic".to_owned(), "en".to_owned());
    vec![
        Key {
            member: me,
            op: KeyOp::Rotate,
            keys: vec![DeviceKey::bind(&identity(10), &state.id, &me)],
            next: digest,
            guardians: vec![identity(1).id()],
            threshold: 1,
        }
        .into(),
        Attest { subject: me, claim: Claim::Person { name: "Anna".into() } }.into(),
        Publish {
            name: "model".into(),
            artifact: digest,
            components: vec![Component {
                mof: 2,
                digest: Some(digest),
                licence: "Apache-2.0".into(),
                text: None,
                mutable: false,
                location: "here".into(),
            }],
            supersedes: None,
        }
        .into(),
        Derive {
            child: Hash::of(b"child"),
            parents: vec![Parent { digest, relation: Relation::Tuned, share: 1000 }],
            recipe: digest,
            tool: "understory".into(),
            reproducible: Reproducible::Exact,
        }
        .into(),
        Work {
            task: digest,
            work: WorkType::Review,
            quantity: 1,
            unit: "hour".into(),
            inputs: vec![digest],
            output: digest,
        }
        .into(),
        Evaluate {
            subject: digest,
            suite: digest,
            harness: digest,
            cells: vec![commons::statement::Cell {
                topic: topic.clone(),
                language: language.clone(),
                k: 1,
                n: 2,
            }],
        }
        .into(),
        Check {
            subject: Subject::Statement(digest),
            verdict: Verdict::Disputed,
            evidence: Evidence::Note("no".into()),
        }
        .into(),
        Use { artifact: digest, by: None, purpose: Purpose::Research, expiry: u64::MAX }.into(),
        Boundary {
            community: "us".into(),
            cells: vec![FenceCell { topic, language, stance: Stance::Care, reason: "so".into() }],
            replaces: None,
        }
        .into(),
        Rights {
            asset: commons::statement::Asset::Log,
            name: "this log".into(),
            holder: commons::statement::Candidate::Key(me),
            powers: vec![Power::Operate],
            revocable: true,
        }
        .into(),
        question(),
        Vote { proposal: digest, ballot: VoteBody::Ranking(vec![vec![0], vec![1]]) }.into(),
        Pay {
            from: "somebody".into(),
            to: me,
            amount: 1,
            unit: "EUR".into(),
            purpose: "thanks".into(),
            round: None,
            source: SourceClass::Person,
            receipt: None,
        }
        .into(),
        Milestone { run: digest, height: 16, record: digest }.into(),
    ]
}

fn question() -> Body {
    let choice = |name: &str| Choice {
        name: name.into(),
        digest: None,
        ratio: (1, 1),
        effect: Effect::None,
    };
    Propose {
        topic: ProposalType::Question,
        title: "a question".into(),
        text: String::new(),
        options: vec![choice("yes"), choice("no")],
        default: Some(1),
        houses: vec![],
        method: Method::Counted(decide::Method::Schulze),
        unranked: Unranked::Last,
        tie: TieRule::Lot { seed: () },
        seats: 1,
        cap: None,
        quotas: vec![],
        close: u64::MAX,
        reveal: None,
        appeals: None,
        held: None,
    }
    .into()
}
