//! What every command of a commons begins with: the folder, the log, its state, names and numbers.

use super::{
    cli::Place,
    keys::{Keys, Role},
    names::{self, find_member, name_of},
};
use crate::{
    hint::WithHint,
    units::{now, span},
};
use anyhow::{Context, Result, anyhow};
use commons::{
    Archive, Body, Home, Snapshot, Statement, author, operator,
    state::{Proposal, State, log_key},
};
use ids::{Hash, Identity, PeerId};
use std::path::Path;
use tlog::{AddCheckpoint, KeyName, Response, Witness};

/// Most bytes of a text that is asked about, agreed on or kept: a charter, rules, a list, evidence.
pub const MAX_DOCUMENT: u64 = 16 << 20;
/// Statements of those who are no members that one command gives a place to.
const STRANGERS_AT_ONCE: usize = 16;

/// An opened commons.
pub struct Desk {
    pub home: Home,
    pub archive: Archive,
    pub state: State,
    pub keys: Keys,
    json: bool,
}

impl Desk {
    pub fn open(place: &Place) -> Result<Self> {
        Self::with_keys(place, Keys::at(place.keys.as_deref())?)
    }

    /// [`Self::open`] for a command that signs: a person is asked for the passphrase first,
    /// because whoever serves the log waits while it is open here.
    pub fn to_sign(place: &Place) -> Result<Self> {
        let keys = Keys::at(place.keys.as_deref())?;
        keys.unlock()?;
        let desk = Self::with_keys(place, keys)?;
        let mark = desk.state.marks.last();
        if let Some(words) = mark.and_then(|mark| late(mark.time, mark.witnesses, now())) {
            eprintln!("{words}");
        }
        Ok(desk)
    }

    fn with_keys(place: &Place, keys: Keys) -> Result<Self> {
        let home = open_home(&place.dir)?;
        let archive = home.archive()?;
        let log = archive.snapshot()?;
        let state = home.state(&log)?;
        drop(log);
        Ok(Self { home, archive, state, keys, json: place.json })
    }

    /// The state as of `size` statements, by default all.
    pub fn at(&self, size: Option<u64>) -> Result<State> {
        match size {
            None => Ok(self.state.clone()),
            Some(size) => Ok(self.home.state_at(&self.log()?, size)?),
        }
    }

    pub fn log(&self) -> Result<Snapshot> {
        Ok(self.archive.snapshot()?)
    }

    /// Signs with this device's key, lets the statement wait, and, where the log's operator's key
    /// is here too, gives it its place.
    pub fn say(&mut self, body: impl Into<Body>) -> Result<Statement> {
        let me = self.keys.identity(Role::Current)?;
        self.say_as(&me, body)
    }

    pub fn say_as(&mut self, me: &Identity, body: impl Into<Body>) -> Result<Statement> {
        let body = body.into();
        names::check_statement(&self.ahead()?, self.state.member_of(&me.id()), &body)?;
        let statement = author::draft_at(&self.log()?, &self.state, me, now(), body)
            .hint("nothing was written; the command's --help says what it takes")?;
        self.rehearse(&statement)?;
        self.archive.hold(&statement)?;
        self.settle()?;
        self.report(&statement)?;
        Ok(statement)
    }

    /// The state once all that waits has its place.
    pub fn ahead(&self) -> Result<State> {
        let mut next = self.state.clone();
        let log = self.log()?;
        for waiting in log.pending()? {
            next.apply(&waiting.statement, &log)?;
        }
        Ok(next)
    }

    /// The member that this device's key signs for.
    pub fn me(&self) -> Result<PeerId> {
        let key = self.keys.public(Role::Current)?;
        let ahead = self.ahead()?;
        if let Some(member) = ahead.member_of(&key) {
            return Ok(member);
        }
        match ahead.owner_of(&key) {
            Some(owner) => {
                let (key, name) = (key.short(), name_of(&ahead, &owner));
                Err(anyhow!("your key {key} does not sign for {name} any more"))
                    .hint("`understory key rotate` puts your next key into force")
            }
            None => Err(anyhow!("your key {} is in force for nobody here", key.short()))
                .hint("begin with `understory commons introduce NAME`"),
        }
    }

    /// Whether a statement would count as things stand: one that would not is not even kept.
    fn rehearse(&self, statement: &Statement) -> Result<()> {
        let mut next = self.ahead()?;
        next.apply(statement, &self.log()?)?;
        match next.voids.last().filter(|void| void.statement == statement.hash()) {
            None => Ok(()),
            Some(void) => Err(anyhow!("this would count for nothing: {}", void.reason))
                .hint("nothing was written; `understory commons sync` brings the log up to date"),
        }
    }

    /// As the operator: places, a signed head, and the cosignature of a witness whose key is here.
    pub fn settle(&mut self) -> Result<bool> {
        let log = self.log()?;
        if log.pending()?.is_empty() || !self.operates()? {
            return Ok(false);
        }
        let key = self.keys.identity(Role::Operator)?;
        // What a service of this operator has left waiting is not let in by the next command.
        let mut left = STRANGERS_AT_ONCE;
        let mut admit = |_: &Statement| {
            let fits = left > 0;
            left = left.saturating_sub(1);
            fits
        };
        operator::integrate_some(&self.archive, &mut self.state, &key, &mut admit)?;
        self.mark(&key)?;
        Ok(true)
    }

    /// Whether the key that operates the log now, or will once what waits has its place, is here.
    pub fn operates(&self) -> Result<bool> {
        if !self.keys.has(Role::Operator) {
            return Ok(false);
        }
        let key = self.keys.public(Role::Operator)?;
        Ok(self.ahead()?.operator() == key || self.state.operator() == key)
    }

    /// Has the newest head cosigned by a witness whose key is here, if one is: after a genesis.
    pub fn first_mark(&mut self) -> Result<()> {
        let key = self.keys.identity(Role::Operator)?;
        self.mark(&key)
    }

    /// Lets a witness of this key folder cosign the newest head, and enters the mark.
    fn mark(&mut self, operator: &Identity) -> Result<()> {
        if !self.keys.has(Role::Witness) {
            return Ok(());
        }
        let public = self.keys.public(Role::Witness)?;
        let Some(name) = witness_name(&self.state, &public) else { return Ok(()) };
        let log = self.log()?;
        let Some(newest) = log.latest_checkpoint()? else { return Ok(()) };
        let key = log_key(&self.archive.origin(), self.state.operator_at(newest.checkpoint().size));
        // Without older cosignatures: of several by one witness the earliest time counts.
        let mut head = newest.only(std::slice::from_ref(&key));
        let mut witness = Witness::new(self.keys.identity(Role::Witness)?, name);
        let fact = format!("witness {public}");
        let mut old = 0;
        if let Some(bytes) = self.archive.fact(&fact)? {
            let latest = tlog::SignedCheckpoint::parse(&bytes)?;
            old = latest.checkpoint().size;
            witness.restore(latest);
        }
        let request = AddCheckpoint::new(old, head.clone(), &log)?.to_string();
        drop(log);
        let answer = witness.add_checkpoint(request.as_bytes(), now(), |_| Some(vec![key]));
        if let Some(latest) = &answer.persist {
            self.archive.keep_fact(&fact, latest.to_string().as_bytes())?;
        }
        let Response::Cosigned(lines) = answer.response else { return Ok(()) };
        for line in lines {
            head.add(line)?;
        }
        self.archive.keep_checkpoint(&head)?;
        if operator::mark(&self.archive, &self.state, operator, &head)?.is_some() {
            operator::integrate_some(&self.archive, &mut self.state, operator, &mut |_| false)?;
        }
        Ok(())
    }

    /// Says what became of a statement.
    fn report(&self, statement: &Statement) -> Result<()> {
        let (hash, kind) = (statement.hash(), statement.body.kind_name());
        let placed = self.state.place(&hash).map(|(index, _)| index);
        let void = self.state.voids.iter().find(|v| v.statement == hash).map(|v| v.reason.clone());
        if self.json {
            let object = serde_json::json!({
                "statement": hash, "kind": kind, "index": placed, "void": void,
            });
            println!("{object}");
        }
        match (placed, void) {
            (_, Some(reason)) => {
                Err(anyhow!("statement {} counts for nothing: {reason}", hash.short()))
                    .hint("it stays in the log; say it again once the reason is gone")
            }
            (Some(index), None) if !self.json => {
                println!("{kind} statement {index}, {}", hash.short());
                Ok(())
            }
            (None, None) if !self.json => {
                println!(
                    "{kind} statement {} is signed and waits for its place in the log",
                    hash.short()
                );
                println!("`understory commons serve` takes it to the others");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A member by name, id or the beginning of its id.
    pub fn member(&self, text: &str) -> Result<PeerId> {
        find_member(&self.state, text)
    }

    /// What a member is called.
    pub fn name(&self, id: &PeerId) -> String {
        name_of(&self.state, id)
    }

    /// A statement by number, as `37` or `#37`, or by the beginning of its hash, whatever digits
    /// that has.
    ///
    /// Errors: there is none, or it can be read in more than one way.
    pub fn statement(&self, text: &str) -> Result<Statement> {
        let log = self.log()?;
        let found = meant(text, log.size(), |index| Ok(log.statement(index)?.hash()))?;
        match found[..] {
            [index] => Ok(log.statement(index)?),
            [] => Err(anyhow!("no statement is {text:?}")).hint(format!(
                "the log has {} statements, from 0: give a number or at least four digits of a \
                 hash (`understory commons show log`); `understory commons sync` brings what \
                 others wrote since",
                log.size()
            )),
            _ => {
                let all = found.iter().map(|&index| {
                    let hash = log.statement(index)?.hash();
                    Ok(format!("statement #{index}, {hash}"))
                });
                let all = all.collect::<Result<Vec<_>>>()?.join(" and as ");
                Err(anyhow!("{text:?} can be read as {all}"))
                    .hint("give more digits of the hash, or the number with # before it")
            }
        }
    }

    /// A question by the number or hash of its statement.
    pub fn question<'a>(&self, state: &'a State, text: &str) -> Result<&'a Proposal> {
        let hash = self.statement(text)?.hash();
        state
            .proposals
            .get(&hash)
            .with_context(|| format!("statement {text} asks no question that counts"))
            .hint("`understory commons show questions` lists them")
    }
}

/// Which of `size` statements a text can mean: one by its number, those whose hashes begin so.
fn meant(text: &str, size: u64, hash: impl Fn(u64) -> Result<Hash>) -> Result<Vec<u64>> {
    let number = text.strip_prefix('#').unwrap_or(text).parse::<u64>().ok();
    let number = number.filter(|&index| index < size);
    // Fewer digits than are ever printed are a number where there is one.
    let least = if number.is_some() { ids::name::SHORTEST_ID } else { 4 };
    let mut found = Vec::new();
    if text.len() >= least && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let text = text.to_ascii_lowercase();
        for index in 0..size {
            if hash(index)?.to_string().starts_with(&text) {
                found.push(index);
            }
        }
    }
    found.extend(number.filter(|index| !found.contains(index)));
    Ok(found)
}

/// How the members named a key as a witness, in force or to come.
pub fn witness_name(state: &State, key: &PeerId) -> Option<KeyName> {
    let mut all = state.policies().flat_map(|policy| policy.witnesses().to_vec());
    all.find(|witness| witness.key() == *key).map(|witness| witness.name().clone())
}

/// The commons in a folder.
pub fn open_home(dir: &Path) -> Result<Home> {
    Home::open(dir)
        .hint("begin one with `understory commons create`, join one, or name its folder with --dir")
}

/// A digest in hex, or of a file's bytes.
pub fn digest(text: &str) -> Result<Hash> {
    if let Ok(hash) = text.parse() {
        return Ok(hash);
    }
    let bytes = bounded::read(Path::new(text), u64::MAX)
        .with_context(|| format!("{text:?} is no digest, and no file that can be read"))?;
    Ok(Hash::of(&bytes))
}

/// A clock that is behind by no more than this many seconds is right.
const TOLERANCE: u64 = 60;

/// That this machine's clock is behind a time that witnesses vouched for already.
fn late(marked: u64, witnesses: usize, now: u64) -> Option<String> {
    let behind = marked.saturating_sub(now);
    (behind > TOLERANCE).then(|| match witnesses {
        0 | 1 => format!(
            "WARNING: this machine's clock is {} behind that of the log's one witness, and one of \
             the two is wrong: look at yours before you sign",
            span(behind)
        ),
        n => format!(
            "WARNING: this machine's clock is {} behind that of {n} witnesses: set it right before \
             you sign",
            span(behind)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_found_by_the_digits_that_are_printed_whatever_they_are() {
        let hashes: [Hash; 3] = ["12345678", "abcd1234", "00000002"]
            .map(|start| format!("{start:0<64}").parse().expect("64 digits"));
        let meant = |text: &str, size: u64| {
            let hash = |at: u64| Ok(hashes[at as usize % 3]);
            meant(text, size, hash).expect("every statement can be read")
        };
        assert_eq!(meant("12345678", 3), [0], "all digits are decimal");
        assert_eq!(meant("ABCD1234", 3), [1]);
        assert_eq!(meant("abcd", 3), [1]);
        assert_eq!(meant("1234", 3), [0], "there is no such number");
        for number in ["2", "#2", "02"] {
            assert_eq!(meant(number, 3), [2], "{number}");
        }
        assert_eq!(meant("00000002", 3), [2], "number and hash are the same one");
        assert_eq!(meant("00000001", 3), [1]);
        for none in ["3", "#3", "", "#", "abc", "xyzw", "#abcd1234", "-1", "1.0"] {
            assert_eq!(meant(none, 3), [] as [u64; 0], "{none:?}");
        }
        // Both readings are found, and the one who asked for it says which.
        assert_eq!(meant("00000002", 2), [] as [u64; 0]);
        let both = meant("00000000", 1);
        assert_eq!(both, [0]);
    }
}
