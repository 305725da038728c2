//! A small commons on a virtual clock: people, an operator, witnesses, and a log in memory.

use commons::{
    Archive, Body, Place, Seen, Statement, author, operator,
    state::State,
    statement::{
        Attest, Check, Claim, DeviceKey, Evidence, Founder, Genesis, House, Key, KeyOp, Purpose,
        RULES_VERSION, Rules, Subject, Use, Verdict, WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity, PeerId, canonical};
use redb::backends::InMemoryBackend;
use std::collections::BTreeMap;
use tlog::{AddCheckpoint, KeyName, Response, SignedCheckpoint, Witness};

pub const DAY: u64 = 24 * 60 * 60;
pub const START: u64 = 1_800_000_000;

/// Somebody's keys: the current one and the one committed to.
#[derive(Clone)]
pub struct Person {
    pub key: Identity,
    pub next: Identity,
    pub id: PeerId,
}

impl Person {
    pub fn new(number: u32) -> Self {
        let key = identity(number, 0);
        Self { id: key.id(), key, next: identity(number, 1) }
    }
}

/// The identity of a person's key number `generation`.
pub fn identity(number: u32, generation: u32) -> Identity {
    let seed = Hash::of_parts("test key", &[&number.to_le_bytes(), &generation.to_le_bytes()]);
    Identity::from_seed(seed.0)
}

pub struct Town {
    pub archive: Archive,
    pub state: State,
    pub operator: Identity,
    pub witnesses: Vec<Witness>,
    pub now: u64,
    pub people: Vec<Person>,
    pub genesis: Statement,
}

pub fn rules() -> Rules {
    Rules {
        vouches_needed: 2,
        notice: DAY,
        exit_period: 10 * DAY,
        recovery_delay: 3 * DAY,
        appeal_period: 5 * DAY,
        quorum: (1, 1),
        ..Rules::default()
    }
}

pub fn witness_identity(number: usize) -> Identity {
    identity(9_000 + number as u32, 0)
}

pub fn genesis(people: &[Person], operator: PeerId, rules: Rules) -> Genesis {
    let witness = |number: usize| WitnessKey {
        name: format!("witness{number}"),
        key: witness_identity(number).id(),
    };
    Genesis {
        name: "town".into(),
        charter: Hash::of(b"be kind"),
        rules,
        founders: people
            .iter()
            .enumerate()
            .map(|(at, person)| Founder {
                name: format!("person {at}"),
                member: person.id,
                next: Key::digest(&person.next.id()),
                guardians: vec![],
                threshold: 0,
                steward: at < 3,
            })
            .collect(),
        operator,
        witnesses: Witnesses { threshold: 2, keys: (0..3).map(witness).collect() },
        parent: None,
        created: START,
        version: Some(RULES_VERSION),
    }
}

impl Town {
    /// A commons of `count` founders, three of them stewards, with two of three witnesses needed.
    pub fn new(count: u32) -> Self {
        Self::with_rules(count, rules())
    }

    pub fn with_rules(count: u32, rules: Rules) -> Self {
        let people: Vec<Person> = (0..count).map(Person::new).collect();
        let operator = identity(8_000, 0);
        let body = genesis(&people, operator.id(), rules);
        let (genesis, head) = author::found(&people[0].key, &operator, body).unwrap();
        let archive = Archive::with_backend(InMemoryBackend::new(), Some(&genesis)).unwrap();
        archive.keep_checkpoint(&head).unwrap();
        let state = State::begin(&genesis, None).unwrap();
        let name = |number| format!("witness{number}").parse::<KeyName>().unwrap();
        let witnesses =
            (0..3).map(|number| Witness::new(witness_identity(number), name(number))).collect();
        let mut town = Self { archive, state, operator, witnesses, now: START, people, genesis };
        town.tick(60);
        town
    }

    /// Signs a statement and lets it wait for its place.
    pub fn say(&self, key: &Identity, body: impl Into<Body>) -> Hash {
        self.archive.write(&self.state, key, body).unwrap().hash()
    }

    /// Has each of them say something of its own.
    pub fn each_says<B: Into<Body>>(&self, people: &[Person], body: impl Fn(&Person) -> B) {
        for person in people {
            self.say(&person.key, body(person));
        }
    }

    /// Says it and gives it its place at once; whether it counts.
    pub fn try_say(&mut self, key: &Identity, body: impl Into<Body>) -> Result<Hash, String> {
        let hash = self.say(key, body);
        self.integrate();
        self.verdict(hash)
    }

    /// Says it, and it must count.
    pub fn must(&mut self, key: &Identity, body: impl Into<Body>) -> Hash {
        self.try_say(key, body).unwrap()
    }

    /// Says it, and it must be void: the reason.
    pub fn void(&mut self, key: &Identity, body: impl Into<Body>) -> String {
        self.try_say(key, body).unwrap_err()
    }

    pub fn verdict(&self, hash: Hash) -> Result<Hash, String> {
        assert!(self.state.place(&hash).is_some(), "{hash} is not in the log");
        match self.state.voids.iter().find(|void| void.statement == hash) {
            Some(void) => Err(void.reason.to_string()),
            None => Ok(hash),
        }
    }

    pub fn integrate(&mut self) {
        operator::integrate(&self.archive, &mut self.state, &self.operator).unwrap();
    }

    /// Lets time pass: what waits gets its place, witnesses cosign, and the log gets its mark.
    pub fn tick(&mut self, seconds: u64) {
        self.now += seconds;
        self.integrate();
        let head = operator::sign_head(&self.archive, &self.state, &self.operator).unwrap();
        let head = self.cosigned(head);
        let key = self.operator.clone();
        operator::mark(&self.archive, &self.state, &key, &head).unwrap().expect("a newer mark");
        self.integrate();
        assert_eq!(self.state.now(), self.now);
    }

    pub fn cosigned(&mut self, mut head: SignedCheckpoint) -> SignedCheckpoint {
        let log = self.archive.snapshot().unwrap();
        let keys = vec![commons::state::log_key(&self.archive.origin(), self.operator.id())];
        for witness in &mut self.witnesses {
            let origin = &head.checkpoint().origin;
            let old = witness.latest(origin).map_or(0, |c| c.checkpoint().size);
            let request = AddCheckpoint::new(old, head.clone(), &log).unwrap().to_string();
            let answer =
                witness.add_checkpoint(request.as_bytes(), self.now, |_| Some(keys.clone()));
            if let Response::Cosigned(lines) = answer.response {
                lines.into_iter().for_each(|line| head.add(line).unwrap());
            }
            if let Some(latest) = answer.persist {
                witness.restore(latest);
            }
        }
        self.archive.keep_checkpoint(&head).unwrap();
        head
    }

    /// Appends one statement and signs the head, leaving out all others that wait.
    pub fn append_only(&self, statement: &Statement) -> State {
        self.archive.append(std::slice::from_ref(statement)).unwrap();
        let mut state = self.state.clone();
        state.apply(statement, &self.archive.snapshot().unwrap()).unwrap();
        operator::sign_head(&self.archive, &state, &self.operator).unwrap();
        state
    }

    /// The state anew from the log: what a fresh member computes.
    pub fn replayed(&self) -> State {
        let log = self.archive.snapshot().unwrap();
        State::replay(&log, log.size(), None).unwrap()
    }

    /// The head that a statement written now has seen.
    pub fn seen(&self) -> Seen {
        author::head(&self.archive.snapshot().unwrap(), &self.state).unwrap()
    }

    /// A statement at any place of its author's chain.
    pub fn forge(
        &self,
        key: &Identity,
        seq: u64,
        prev: Option<Hash>,
        body: impl Into<Body>,
    ) -> Statement {
        let place = Place { log: self.state.id, seq, prev, seen: Some(self.seen()) };
        Statement::sign(key, place, body).unwrap()
    }

    /// Somebody new begins.
    pub fn start(&mut self, number: u32) -> Person {
        let person = Person::new(number);
        self.must(&person.key, self.start_body(&person));
        person
    }

    pub fn start_body(&self, person: &Person) -> Key {
        start_body(&self.state.id, person)
    }

    /// Somebody new whom the given people vouch for.
    pub fn join(&mut self, number: u32, vouchers: &[usize]) -> Person {
        let person = self.start(number);
        for &voucher in vouchers {
            let key = self.people[voucher].key.clone();
            self.must(&key, vouch(&person.id));
        }
        self.people.push(person.clone());
        person
    }

    /// Gives a member standing in the users' house.
    pub fn use_it(&mut self, person: &Person) {
        let (artifact, purpose) = (Hash::of(b"model"), Purpose::Personal);
        let expiry = self.now + 1000 * DAY;
        self.must(&person.key.clone(), Use { artifact, by: None, purpose, expiry });
        self.must(&person.key.clone(), about(person, Claim::House { house: House::Users }));
    }

    pub fn work_at(&mut self, person: &Person, org: &str) {
        let claim =
            Claim::Affiliation { org: org.into(), role: "engineer".into(), from: START, to: None };
        self.must(&person.key.clone(), about(person, claim));
    }
}

pub fn vouch(subject: &PeerId) -> Attest {
    Attest { subject: *subject, claim: Claim::Vouch { withdrawn: false } }
}

pub fn about(person: &Person, claim: Claim) -> Attest {
    Attest { subject: person.id, claim }
}

pub fn check(subject: Hash, verdict: Verdict) -> Check {
    Check { subject: Subject::Statement(subject), verdict, evidence: Evidence::None }
}

/// All views of a state, as bytes: what two members compare.
pub fn views(state: &State) -> BTreeMap<String, Hash> {
    commons::view::digests(state).into_iter().collect()
}

/// A commitment to a ballot.
pub fn commit(proposal: &Hash, voter: &PeerId, salt: &Hash, groups: &[Vec<u16>]) -> Hash {
    let ballot = canonical::encode(&groups.to_vec());
    Hash(decide::commitment(&proposal.0, &voter.0, &salt.0, &ballot))
}

/// How somebody begins in the log of this name.
pub fn start_body(log: &Hash, person: &Person) -> Key {
    Key {
        member: person.id,
        op: KeyOp::Start,
        keys: vec![DeviceKey::bind(&person.key, log, &person.id)],
        next: Key::digest(&person.next.id()),
        guardians: vec![],
        threshold: 0,
    }
}

/// The statements of a log that was written down: of each its `u32` length (little endian) and bytes.
pub fn statements_of(log: &[u8]) -> Vec<Statement> {
    let (mut rest, mut all) = (log, Vec::new());
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        all.push(Statement::parse(entry).unwrap());
        rest = tail;
    }
    all
}
