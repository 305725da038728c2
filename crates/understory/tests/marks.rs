//! Marks of a run's records in a commons: members write them while they train, and whoever joins or
//! verifies holds them against the history that it is shown.

mod common;

use common::{Peer, Said, run, say, text, tiny_config, understory};
use commons::{
    Home, author,
    operator::{integrate, sign_head},
    statement::{
        Attest, Claim, DeviceKey, Founder, Genesis, Key, KeyOp, Milestone, RULES_VERSION, Rules,
        WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity};
use serde_json::Value;
use std::path::{Path, PathBuf};

const ANNA: u8 = 1;
const BERT: u8 = 2;
/// No member.
const EVE: u8 = 3;

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

/// A commons of Anna and Bert in `dir` that has these marks, each as who, height and record, of
/// which the first `witnessed` are in a head that its witness has cosigned.
fn commons_with(dir: &Path, run: Hash, marks: &[(u8, u64, Hash)], witnessed: usize) {
    let operator = identity(10);
    let founder = |(name, number): (&str, u8)| Founder {
        name: name.into(),
        member: identity(number).id(),
        next: Key::digest(&identity(number + 20).id()),
        guardians: vec![],
        threshold: 0,
        steward: true,
    };
    let genesis = Genesis {
        name: "garden".into(),
        charter: Hash::of(b"be kind"),
        rules: Rules::default(),
        founders: [("Anna", ANNA), ("Bert", BERT)].map(founder).to_vec(),
        operator: operator.id(),
        witnesses: Witnesses {
            threshold: 1,
            keys: vec![WitnessKey { name: "hedgehog".into(), key: identity(11).id() }],
        },
        parent: None,
        created: 1_800_000_000,
        version: Some(RULES_VERSION),
    };
    let (genesis, head) = author::found(&identity(ANNA), &operator, genesis).expect("a genesis");
    let home = Home::create(dir, &genesis, Some(&head)).expect("a new folder");
    let archive = home.archive().expect("opens");
    let mut state = home.state(&archive.snapshot().expect("reads")).expect("replays");
    for (number, &(who, height, record)) in marks.iter().enumerate() {
        if number == witnessed {
            cosign(&archive, &state, &operator);
        }
        let me = identity(who);
        if who == EVE && state.member_of(&me.id()).is_none() {
            let keys = vec![DeviceKey::bind(&me, &state.id, &me.id())];
            let next = Key::digest(&identity(EVE + 20).id());
            let (guardians, threshold) = (Vec::new(), 0);
            let op = KeyOp::Start;
            let start = Key { member: me.id(), op, keys, next, guardians, threshold };
            archive.write(&state, &me, start).expect("is held");
            integrate(&archive, &mut state, &operator).expect("has its place");
        }
        archive.write(&state, &me, Milestone { run, height, record }).expect("is held");
        integrate(&archive, &mut state, &operator).expect("has its place");
    }
    if witnessed >= marks.len() {
        // So that there is something to cosign without any mark too.
        let me = identity(ANNA);
        let claim = Claim::Person { name: "Anna".into() };
        archive.write(&state, &me, Attest { subject: me.id(), claim }).expect("is held");
        integrate(&archive, &mut state, &operator).expect("has its place");
        cosign(&archive, &state, &operator);
    }
}

fn cosign(archive: &commons::Archive, state: &commons::state::State, operator: &Identity) {
    let mut head = sign_head(archive, state, operator).expect("is signed");
    let witness = "hedgehog".parse().expect("a name");
    head.add(head.cosign(&identity(11), &witness, 1_800_000_060)).expect("has room");
    archive.keep_checkpoint(&head).expect("is kept");
}

/// The records of the run in a peer's folder.
fn records(peer: &Path) -> Vec<Hash> {
    let entries = store::Log::read(peer.join("log")).expect("a log");
    let log = swarm::read_log(entries.iter().map(Vec::as_slice)).expect("a run's");
    let hash = |bytes: &Vec<u8>| swarm::parse_record(bytes).expect("a record").hash();
    log.records.iter().map(hash).collect()
}

/// A run of one peer, and the commons of Anna, in which it marked every record it could.
struct Grove {
    folder: tempfile::TempDir,
}

impl Grove {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn found() -> Self {
        let grove = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let (keys, dir) = (grove.path("keys"), grove.path("commons"));
        let all: [&[&str]; 2] = [
            &["key", "create", "--keys", text(&keys)],
            &[
                "commons",
                "create",
                "Grove",
                "--me",
                "Anna",
                "--keys",
                text(&keys),
                "--dir",
                text(&dir),
            ],
        ];
        for args in all {
            let said = run(understory().args(args).env("UNDERSTORY_PASSPHRASE", "soil"));
            assert_eq!(said.code, Some(0), "{said:?}");
        }
        grove
    }

    fn start(&self) -> Peer {
        let config = tiny_config(self.folder.path(), 4);
        let (commons, keys) = (self.path("commons"), self.path("keys"));
        let more = ["--commons", text(&commons), "--keys", text(&keys), "--mark-every", "1"];
        Peer::spawn(&["start", text(&config)], &self.path("founder"), 1, &more)
    }

    /// A newcomer without any key in the commons of this name.
    fn join(&self, ticket: &str, name: &str, key: u32) -> Peer {
        let (commons, keys) = (self.path(name), self.path("no-keys"));
        let more = ["--commons", text(&commons), "--keys", text(&keys), "--once"];
        Peer::spawn(&["join", ticket], &self.path(&format!("peer-{key}")), key, &more)
    }

    fn verify(&self, commons: &str, more: &[&str]) -> Said {
        let (peer, commons, keys) =
            (self.path("founder"), self.path(commons), self.path("no-keys"));
        let args = ["verify", text(&peer), "--sample", "0%", "--keys", text(&keys)];
        run(understory().args(args).args(["--commons", text(&commons)]).args(more))
    }

    /// Heights that the commons has marks of, by `commons show milestones`.
    fn marked(&self) -> Vec<u64> {
        let commons = self.path("commons");
        let said = say(&["commons", "show", "milestones", "--dir", text(&commons), "--json"]);
        let view: Value = serde_json::from_str(&said.out).expect("one object");
        let marks = view["runs"][0]["milestones"].as_array().expect("a list").clone();
        marks.iter().map(|mark| mark["height"].as_u64().expect("a number")).collect()
    }
}

fn object(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("no object: {said:?}"))
}

fn has(said: &Said, code: i32, parts: &[&str]) {
    let all = format!("{}{}", said.out, said.err);
    let there = parts.iter().all(|part| all.contains(part));
    assert!(said.code == Some(code) && there, "not {code} with {parts:?}: {said:?}");
}

#[test]
fn records_are_marked_while_a_run_goes_on_and_compared_by_whoever_is_shown_it() {
    let grove = Grove::found();
    let founder = grove.start();
    let started: Value =
        serde_json::from_str(&founder.wait_for("\"started\"")).expect("it is JSON");
    let run: Hash = started["run"].as_str().expect("a hash").parse().expect("a hash");
    founder.wait_for("\"marked\"");
    founder.wait_for("\"recorded\"");
    let records = records(&grove.path("founder"));
    let last = records.len() as u64 - 1;
    // However fast the run: one a minute, and the close.
    let marked = grove.marked();
    assert!(marked.len() <= 2 && marked.last() == Some(&last), "{marked:?} of {last}");

    // Who has no key there verifies too.
    let said = grove.verify("commons", &["--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let checked = &object(&said)["marks"]["checked"];
    let checked = checked.as_array().expect("a list");
    assert_eq!(checked.len(), marked.len());
    for mark in checked {
        assert_eq!((&mark["found"], &mark["by"][0]), (&"confirmed".into(), &"Anna".into()));
    }

    // The founder starts again: nothing is marked twice.
    drop(founder);
    let founder = grove.start();
    let ticket = {
        let started: Value =
            serde_json::from_str(&founder.wait_for("\"started\"")).expect("it is JSON");
        started["ticket"].as_str().expect("a ticket").to_owned()
    };
    founder.wait_for("\"recorded\"");
    assert_eq!(grove.marked(), marked);

    // A newcomer is told of the marks and takes up a history that has them.
    let newcomer = grove.join(&ticket, "commons", 2);
    let marks = newcomer.wait_for("\"event\":\"marks\"");
    assert!(marks.contains(&records[last as usize].to_string()), "{marks}");
    newcomer.wait_for("\"finished\"");
    drop(newcomer);

    a_strangers_mark_changes_nothing(&grove, &ticket, run);
    a_forged_mark_is_found_and_its_author_named(&grove, &ticket, run, &records);
    a_contradiction_is_refused(&grove, &ticket, run, &records);
    a_mark_beyond_the_history_is_waited_for(&grove, &ticket, run, &records);
    what_no_witness_cosigned_does_not_count(&grove, run, &records);
    drop(founder);
    history_written_anew_with_the_same_keys_is_refused(&grove, run, &records);
}

fn a_strangers_mark_changes_nothing(grove: &Grove, ticket: &str, run: Hash) {
    commons_with(&grove.path("strangers"), run, &[(EVE, 2, Hash::of(b"false"))], 1);
    has(&grove.verify("strangers", &[]), 0, &["note: ", "no marks of this run"]);
    assert_eq!(
        object(&grove.verify("strangers", &["--json"]))["marks"]["checked"],
        Value::Array(vec![])
    );
    let newcomer = grove.join(ticket, "strangers", 3);
    assert!(newcomer.wait_for("\"event\":\"marks\"").contains("\"marks\":[]"));
    newcomer.wait_for("\"finished\"");
}

fn a_forged_mark_is_found_and_its_author_named(
    grove: &Grove,
    ticket: &str,
    run: Hash,
    records: &[Hash],
) {
    // The ticket is of another height, or none: the mark alone tells the histories apart.
    let marks = [(ANNA, 1, records[1]), (BERT, 2, Hash::of(b"false"))];
    commons_with(&grove.path("forged"), run, &marks, 2);
    has(
        &grove.verify("forged", &[]),
        1,
        &["mismatch: record 2 is ", "by Bert", "1 of 2 confirmed"],
    );
    let found = object(&grove.verify("forged", &["--json"]));
    assert_eq!(found["marks"]["checked"][1]["found"], "mismatch");
    let newcomer = grove.join(ticket, "forged", 4);
    newcomer.wait_for("this is another history of the run");
}

/// Whoever has all keys of a run writes another history of it, valid in itself, and a ticket for it.
fn history_written_anew_with_the_same_keys_is_refused(grove: &Grove, run: Hash, records: &[Hash]) {
    let (config, folder) = (grove.path("config.toml"), grove.path("forger"));
    let forger = Peer::spawn(&["start", text(&config)], &folder, 1, &["--cheat", "signflip"]);
    let started: Value = serde_json::from_str(&forger.wait_for("\"started\"")).expect("it is JSON");
    assert_eq!(started["run"], run.to_string(), "it is the same run");
    forger.wait_for("\"finished\"");
    let forged = self::records(&folder);
    assert_ne!(forged.last(), records.last());
    // The ticket is from before the run began, and names no record.
    let ticket = started["ticket"].as_str().expect("a ticket");
    let newcomer = grove.join(ticket, "commons", 7);
    newcomer.wait_for("this is another history of the run");
    drop(newcomer);
    // Nothing else is wrong with it.
    let quick = |more: &[&str]| {
        let keys = grove.path("no-keys");
        let args = ["verify", text(&folder), "--sample", "0%"];
        let more = if more.is_empty() { vec![] } else { [more, &["--keys", text(&keys)]].concat() };
        say(&[&args[..], &more].concat())
    };
    has(&quick(&[]), 0, &["confirmed"]);
    let commons = grove.path("commons");
    has(&quick(&["--commons", text(&commons)]), 1, &["mismatch: record ", "by Anna"]);
}

fn a_contradiction_is_refused(grove: &Grove, ticket: &str, run: Hash, records: &[Hash]) {
    let marks = [(ANNA, 2, records[2]), (BERT, 2, Hash::of(b"false"))];
    commons_with(&grove.path("contradiction"), run, &marks, 2);
    let both = ["two things of record 2: ", "by Anna", "by Bert"];
    has(&grove.verify("contradiction", &[]), 1, &both);
    let (commons, peer) = (grove.path("contradiction"), grove.path("peer-5"));
    let args = ["swarm", "join", ticket, "--dir", text(&peer), "--bind", "127.0.0.1:0"];
    let keys = grove.path("no-keys");
    let more = ["--commons", text(&commons), "--keys", text(&keys), "--once"];
    let said = say(&[&args[..], &more].concat());
    has(&said, 2, &[both[0], both[1], both[2], "\nhint: "]);
    let show = say(&["commons", "show", "milestones", "--dir", text(&commons)]);
    has(&show, 0, &["Anna  CONTRADICTION", "Bert  CONTRADICTION"]);
    has(
        &say(&["commons", "show", "health", "--dir", text(&commons)]),
        0,
        &["ALARM  members say two"],
    );
}

fn a_mark_beyond_the_history_is_waited_for(
    grove: &Grove,
    ticket: &str,
    run: Hash,
    records: &[Hash],
) {
    let beyond = records.len() as u64 + 3;
    commons_with(&grove.path("beyond"), run, &[(ANNA, beyond, Hash::of(b"later"))], 1);
    let ends = format!("ends before record {beyond}");
    has(&grove.verify("beyond", &[]), 2, &["unavailable: ", &ends, "by Anna"]);
    let found = object(&grove.verify("beyond", &["--json"]));
    assert_eq!(found["marks"]["checked"][0]["found"], "beyond");
    let newcomer = grove.join(ticket, "beyond", 6);
    newcomer.wait_for(&format!("at height {beyond}"));
}

fn what_no_witness_cosigned_does_not_count(grove: &Grove, run: Hash, records: &[Hash]) {
    let marks = [(ANNA, 1, records[1]), (BERT, 2, Hash::of(b"false"))];
    commons_with(&grove.path("ahead"), run, &marks, 1);
    has(&grove.verify("ahead", &[]), 0, &["1 of 1 confirmed", "1 that too few witnesses"]);
    let genesis_only = [(BERT, 2, Hash::of(b"false"))];
    commons_with(&grove.path("alone"), run, &genesis_only, 0);
    has(&grove.verify("alone", &[]), 0, &["no marks of this run", "1 that too few witnesses"]);
}
