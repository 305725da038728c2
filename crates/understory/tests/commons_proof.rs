//! Proofs that stand alone: written beside a log, carried away, checked where there is none.

mod common;

use common::{Said, run, text, understory};
use commons::{
    Home, Statement, author,
    operator::{integrate, mark, sign_head},
    statement::{
        Attest, Claim, Founder, Genesis, Key, RULES_VERSION, Rules, WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tlog::{Checkpoint, SignedCheckpoint, TileReader};

/// Two folders with one commons, in which its operator shows different histories.
struct Garden {
    folder: tempfile::TempDir,
    id: Hash,
    genesis: Statement,
}

impl Garden {
    fn found() -> Self {
        let (me, operator, witness) = (identity(1), identity(2), identity(3));
        let genesis = Genesis {
            name: "garden".into(),
            charter: Hash::of(b"be kind"),
            rules: Rules::default(),
            founders: vec![Founder {
                name: "Anna".into(),
                member: me.id(),
                next: Key::digest(&identity(4).id()),
                guardians: vec![],
                threshold: 0,
                steward: true,
            }],
            operator: operator.id(),
            witnesses: Witnesses {
                threshold: 1,
                keys: vec![WitnessKey { name: "hedgehog".into(), key: witness.id() }],
            },
            parent: None,
            created: 1_800_000_000,
            version: Some(RULES_VERSION),
        };
        let (genesis, head) = author::found(&me, &operator, genesis).expect("a good genesis");
        let id = genesis.commons_id().expect("it is one");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let garden = Self { folder, id, genesis };
        for (history, name) in [("anna", "Anna"), ("bert", "Anna B.")] {
            let home = Home::create(&garden.path(history), &garden.genesis, Some(&head));
            garden.say(&home.expect("a new folder"), name);
        }
        garden
    }

    /// Statement 1, a cosigned head with it, and that head's mark as statement 2.
    fn say(&self, home: &Home, name: &str) {
        let archive = home.archive().expect("opens");
        let mut state = home.state(&archive.snapshot().expect("reads")).expect("replays");
        let (me, operator) = (identity(1), identity(2));
        let claim = Claim::Person { name: name.into() };
        archive.write(&state, &me, Attest { subject: me.id(), claim }).expect("is held");
        integrate(&archive, &mut state, &operator).expect("has its place");
        let mut head = sign_head(&archive, &state, &operator).expect("is signed");
        let witness = "hedgehog".parse().expect("a name");
        head.add(head.cosign(&identity(3), &witness, 1_800_000_060)).expect("has room");
        mark(&archive, &state, &operator, &head).expect("is written").expect("is news");
        integrate(&archive, &mut state, &operator).expect("has its place");
        assert_eq!((state.size, state.marks.len()), (3, 1));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prove(&self, history: &str, args: &[&str]) -> Said {
        let mut command = understory();
        command.args(["commons", "prove"]).args(args).args(["--dir", text(&self.path(history))]);
        run(command.args(["--keys", text(&self.path("keys"))]))
    }

    fn export(&self, to: &Path, more: &[&str]) -> Said {
        let (dir, keys) = (self.path("anna"), self.path("keys"));
        let args = ["commons", "export", text(to), "--dir", text(&dir), "--keys", text(&keys)];
        run(understory().args(args).args(more))
    }

    /// The statements of the log that was exported into a folder, read as somebody would who knows
    /// the commons' operator and witnesses and believes nothing else.
    fn read_exported(&self, folder: &Path) -> Result<Vec<Vec<u8>>, String> {
        let home = Home::open(&self.path("anna")).expect("it is there");
        let archive = home.archive().expect("opens");
        let state = home.state(&archive.snapshot().expect("reads")).expect("replays");
        let head = fs::read(folder.join("checkpoint")).map_err(|e| e.to_string())?;
        let head = SignedCheckpoint::parse(&head).map_err(|e| e.to_string())?;
        if !state.is_signed(&head) || !state.is_witnessed(&head) {
            return Err("the checkpoint is not signed and cosigned".to_owned());
        }
        let fetch = |path: &str, most: usize| bounded::read(&folder.join(path), most as u64);
        let Checkpoint { size, root, .. } = head.checkpoint();
        let reader = TileReader::new(*size, root, |path: &str, most| {
            fetch(path, most).map_err(|e| e.to_string())
        });
        reader.and_then(|reader| reader.entries(0)).map_err(|e| e.to_string())
    }

    fn check(&self, file: &Path, args: &[&str]) -> Said {
        run(understory().args(["commons", "check-proof", text(file)]).args(args))
    }
}

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

fn says(said: &Said, code: i32, what: &str) {
    let all = format!("{}{}", said.out, said.err);
    assert!(said.code == Some(code) && all.contains(what), "not {code} {what:?}: {said:?}");
}

#[test]
fn a_statement_is_proven_without_its_log() {
    let garden = Garden::found();
    let (file, id) = (garden.path("one.tlog-proof"), garden.id.to_string());
    says(&garden.prove("anna", &["2", "--out", text(&file)]), 2, "enough cosignatures");
    says(&garden.prove("anna", &["1", "--out", text(&file)]), 0, &id);
    says(&garden.prove("anna", &["1", "--out", text(&file)]), 2, "hint: name another file");

    let said = garden.check(&file, &["--commons", &id]);
    says(&said, 0, "holds: statement 1 is in the log");
    for part in ["\"Anna\"", "hedgehog, 2027-01-15 08:01:00 UTC", "2 statements", "by the genesis"]
    {
        says(&said, 0, part);
    }
    says(&garden.check(&file, &["--dir", text(&garden.path("anna"))]), 0, "by the log here");
    let said = garden.check(&file, &["--commons", &id, "--json"]);
    let object: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
    assert_eq!((&object["holds"], &object["index"]), (&true.into(), &1.into()));
    assert_eq!(object["cosigned"][0]["name"], "hedgehog");

    let other = Hash::of(b"other").to_string();
    says(&garden.check(&file, &["--commons", &other]), 1, "does not hold: it is about commons");
    says(&garden.check(&garden.path("none"), &["--commons", &id]), 2, "hint: ");
    says(&garden.check(&file, &["--dir", text(&garden.path("none"))]), 2, "no commons in");
    says(&garden.check(&file, &[]), 2, "--commons");
}

#[test]
fn a_changed_proof_does_not_hold() {
    let garden = Garden::found();
    let (file, id) = (garden.path("one.tlog-proof"), garden.id.to_string());
    says(&garden.prove("anna", &["1", "--out", text(&file)]), 0, "");
    let good = fs::read(&file).expect("reads");
    let step = good.len() / 16;
    for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        fs::write(&file, changed).expect("writes");
        says(&garden.check(&file, &["--commons", &id]), 1, "does not hold: ");
    }
    for bad in [&good[..good.len() / 2], b"", b"nothing of the kind", &[0x82, 0x40]] {
        fs::write(&file, bad).expect("writes");
        says(&garden.check(&file, &["--commons", &id]), 1, "does not hold: ");
    }
}

/// Bert's proof is of a history that Anna was not shown. With it she proves that there are two, to
/// somebody who has neither.
#[test]
fn who_holds_both_histories_proves_it_to_a_third() {
    let garden = Garden::found();
    let (file, id) = (garden.path("bert.tlog-proof"), garden.id.to_string());
    says(&garden.prove("bert", &["1", "--out", text(&file)]), 0, "");
    says(&garden.check(&file, &["--commons", &id]), 0, "Anna B.");
    says(&garden.prove("anna", &["--split"]), 2, "hint: ");
    says(&garden.check(&file, &["--dir", text(&garden.path("anna"))]), 1, "prove --split");

    let split = garden.path("split.proof");
    says(&garden.prove("anna", &["--split", "--out", text(&split)]), 0, &id);
    let said = garden.check(&split, &["--commons", &id]);
    says(&said, 0, "was shown with two histories");
    says(&said, 0, &identity(2).id().to_string());
    says(&garden.check(&split, &["--dir", text(&garden.path("bert"))]), 0, "two histories");
    says(&garden.check(&split, &["--commons", &Hash::of(b"").to_string()]), 1, "does not hold");
    let mut health = understory();
    health.args(["commons", "show", "health", "--dir", text(&garden.path("anna"))]);
    says(&run(health.args(["--keys", text(&garden.path("keys"))])), 0, "ALARM  the log has two");

    let mut changed = fs::read(&split).expect("reads");
    let middle = changed.len() - 40;
    changed[middle] ^= 1;
    fs::write(&split, changed).expect("writes");
    says(&garden.check(&split, &["--commons", &id]), 1, "does not hold");
}

#[test]
fn an_exported_log_is_read_back_and_every_damage_to_it_is_found() {
    let garden = Garden::found();
    let to = garden.path("tiles");
    let said = garden.export(&to, &["--json"]);
    let written: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
    // The head that is cosigned covers two of the three statements.
    assert_eq!(written, serde_json::json!({ "size": 2, "tiles": 1, "bundles": 1 }), "{said:?}");

    let home = Home::open(&garden.path("anna")).expect("it is there");
    let archive = home.archive().expect("opens");
    let log = archive.snapshot().expect("reads");
    let statements = log.entries(0..2).expect("reads").collect::<Result<Vec<_>, _>>();
    let statements = statements.expect("reads");
    drop((log, archive));
    assert_eq!(garden.read_exported(&to), Ok(statements));
    let policy = fs::read_to_string(to.join("policy")).expect("it is written");
    assert!(policy.starts_with("log ") && policy.contains("hedgehog"), "{policy}");

    for name in ["checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"] {
        let path = to.join(name);
        let good = fs::read(&path).expect("it is written");
        for at in (0..good.len()).step_by(7).chain([good.len() - 1]) {
            let mut changed = good.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).expect("writes");
            assert!(garden.read_exported(&to).is_err(), "byte {at} of {name}");
        }
        fs::write(&path, &good[..good.len() - 1]).expect("writes");
        assert!(garden.read_exported(&to).is_err(), "{name} is cut off");
        fs::remove_file(&path).expect("it was there");
        assert!(garden.read_exported(&to).is_err(), "{name} is gone");
        fs::write(&path, good).expect("writes");
    }
    assert!(garden.read_exported(&to).is_ok(), "all is as it was");

    says(&garden.export(&to, &[]), 2, "hint: name a folder that does not exist");
    let said = garden.export(&garden.path("again"), &[]);
    says(&said, 0, "2 statements as 1 tiles and 1 bundles");
}
