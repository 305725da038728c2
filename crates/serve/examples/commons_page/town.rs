//! A commons in memory on a clock of its own: people, an operator, witnesses.

use commons::state::{State, log_key};
use commons::statement::{
    Attest, Check, Claim, DeviceKey, Evidence, Founder, Genesis, House, Key, KeyOp, Purpose,
    RULES_VERSION, Rules, Subject, Use, Verdict, Vote, VoteBody, WitnessKey, Witnesses,
};
use commons::{Archive, Body, Place, Statement, author, operator, view};
use ids::{Hash, Identity, PeerId};
use redb::backends::InMemoryBackend;
use serve::commons::Reading;
use tlog::{AddCheckpoint, KeyName, Response, SignedCheckpoint, Witness};

/// Seconds in a day.
pub const DAY: u64 = 24 * 60 * 60;
const START: u64 = 1_790_000_000;
const WITNESSES: usize = 3;

/// Somebody and their key.
#[derive(Clone)]
pub struct Person {
    pub key: Identity,
    pub id: PeerId,
}

/// The whole of it.
pub struct Town {
    pub archive: Archive,
    pub state: State,
    pub operator: Identity,
    pub now: u64,
    witnesses: Vec<Witness>,
}

/// The person of this number, the same at every call.
pub fn person(number: u32) -> Person {
    let key = identity("person", number);
    Person { id: key.id(), key }
}

fn identity(what: &str, number: u32) -> Identity {
    Identity::from_seed(Hash::of_parts("example key", &[what.as_bytes(), &number.to_le_bytes()]).0)
}

fn next_key(number: u32) -> Hash {
    Key::digest(&identity("next", number).id())
}

fn witness_name(number: usize) -> String {
    format!("witness-{}", ["tartu", "lagos", "recife"][number])
}

impl Town {
    /// A commons whose founders have these names; the first three are stewards.
    pub fn found(name: &str, founders: &[&str], rules: Rules) -> Self {
        let operator = identity("operator", 0);
        let witness = |number: usize| WitnessKey {
            name: witness_name(number),
            key: identity("witness", number as u32).id(),
        };
        let founder = |(number, name): (u32, &&str)| Founder {
            name: (*name).into(),
            member: person(number).id,
            next: next_key(number),
            guardians: vec![],
            threshold: 0,
            steward: number < 3,
        };
        let body = Genesis {
            name: name.into(),
            charter: Hash::of(b"charter"),
            rules,
            founders: (0..).zip(founders).map(founder).collect(),
            operator: operator.id(),
            witnesses: Witnesses { threshold: 2, keys: (0..WITNESSES).map(witness).collect() },
            parent: None,
            created: START,
            version: Some(RULES_VERSION),
        };
        let (genesis, head) =
            author::found(&person(0).key, &operator, body).expect("a genesis in bounds");
        let archive = Archive::with_backend(InMemoryBackend::new(), Some(&genesis)).expect("room");
        archive.keep_checkpoint(&head).expect("room");
        let state = State::begin(&genesis, None).expect("a genesis");
        let witness = |number: usize| {
            let name: KeyName = witness_name(number).parse().expect("a name");
            Witness::new(identity("witness", number as u32), name)
        };
        let witnesses = (0..WITNESSES).map(witness).collect();
        let mut town = Self { archive, state, operator, now: START, witnesses };
        town.tick(60);
        town
    }

    /// Signs a statement and lets it wait for its place.
    pub fn say(&self, who: &Person, body: impl Into<Body>) -> Hash {
        self.archive.write(&self.state, &who.key, body).expect("a statement in bounds").hash()
    }

    /// Says it and gives it its place.
    pub fn tell(&mut self, who: &Person, body: impl Into<Body>) -> Hash {
        let hash = self.say(who, body);
        self.integrate();
        hash
    }

    /// Gives what waits its place.
    pub fn integrate(&mut self) {
        operator::integrate(&self.archive, &mut self.state, &self.operator).expect("an operator");
    }

    /// Lets time pass: what waits gets its place, witnesses cosign, the log gets its mark.
    pub fn tick(&mut self, seconds: u64) {
        self.now += seconds;
        self.integrate();
        let head = operator::sign_head(&self.archive, &self.state, &self.operator).expect("a head");
        let head = self.cosigned(head);
        let mark = operator::mark(&self.archive, &self.state, &self.operator, &head);
        mark.expect("a log").expect("a newer mark");
        self.integrate();
    }

    fn cosigned(&mut self, mut head: SignedCheckpoint) -> SignedCheckpoint {
        let log = self.archive.snapshot().expect("a log");
        let keys = vec![log_key(&self.archive.origin(), self.operator.id())];
        for witness in &mut self.witnesses {
            let origin = &head.checkpoint().origin;
            let old = witness.latest(origin).map_or(0, |c| c.checkpoint().size);
            let request = AddCheckpoint::new(old, head.clone(), &log).expect("a proof").to_string();
            let answer =
                witness.add_checkpoint(request.as_bytes(), self.now, |_| Some(keys.clone()));
            if let Response::Cosigned(lines) = answer.response {
                lines.into_iter().for_each(|line| head.add(line).expect("a cosignature"));
            }
            if let Some(latest) = answer.persist {
                witness.restore(latest);
            }
        }
        self.archive.keep_checkpoint(&head).expect("room");
        head
    }

    /// Appends one statement of somebody, leaving out all others that wait.
    pub fn tell_past_the_others(&mut self, who: &Person, body: impl Into<Body>) {
        let (seq, prev) = self.state.chain_head(&who.id);
        let statement = self.sign(who, seq, prev, body);
        self.archive.append(std::slice::from_ref(&statement)).expect("room");
        let log = self.archive.snapshot().expect("a log");
        self.state.apply(&statement, &log).expect("a log");
        operator::sign_head(&self.archive, &self.state, &self.operator).expect("a head");
    }

    /// Has the operator sign that it has a statement which waits.
    pub fn promise(&mut self, statement: Hash) {
        let wanted = [statement].into();
        let mut all = |_: &Statement| true;
        operator::promise(&self.archive, &self.state, &self.operator, &wanted, &mut all)
            .expect("a log");
    }

    /// Says two things in one place.
    pub fn contradict(&mut self, who: &Person, bodies: [Body; 2]) {
        let (seq, prev) = self.state.chain_head(&who.id);
        for body in bodies {
            let statement = self.sign(who, seq, prev, body);
            self.archive.hold(&statement).expect("room");
            self.integrate();
        }
    }

    fn sign(&self, who: &Person, seq: u64, prev: Option<Hash>, body: impl Into<Body>) -> Statement {
        let log = self.archive.snapshot().expect("a log");
        let seen = author::head(&log, &self.state).expect("a head");
        let place = Place { log: self.state.id, seq, prev, seen: Some(seen) };
        Statement::sign(&who.key, place, body).expect("a statement in bounds")
    }

    /// Somebody begins and says a name; nobody vouches for them yet.
    pub fn start(&mut self, number: u32, name: &str) -> Person {
        let person = person(number);
        let key = Key {
            member: person.id,
            op: KeyOp::Start,
            keys: vec![DeviceKey::bind(&person.key, &self.state.id, &person.id)],
            next: next_key(number),
            guardians: vec![],
            threshold: 0,
        };
        self.say(&person, key);
        self.say(&person, about(&person, Claim::Person { name: name.into() }));
        self.integrate();
        person
    }

    /// Somebody joins for whom these vouch.
    pub fn join(&mut self, number: u32, name: &str, vouchers: &[u32]) -> Person {
        let joined = self.start(number, name);
        for &voucher in vouchers {
            self.say(&person(voucher), vouch(&joined));
        }
        self.integrate();
        joined
    }

    /// Somebody uses an artifact, and so sits in the users' house.
    pub fn uses(&mut self, who: &Person, artifact: Hash) {
        let expiry = self.now + 900 * DAY;
        self.say(who, Use { artifact, by: None, purpose: Purpose::Personal, expiry });
        self.say(who, about(who, Claim::House { house: House::Users }));
        self.integrate();
    }

    /// Somebody says where they work.
    pub fn works_at(&mut self, who: &Person, org: &str) {
        let (org, role) = (org.into(), "engineer".into());
        self.tell(who, about(who, Claim::Affiliation { org, role, from: START, to: None }));
    }

    /// What the page reads.
    pub fn reading(&self) -> Reading {
        let log = self.archive.snapshot().expect("a log");
        let overdue = view::overdue(&log, &self.state).expect("a log");
        let unanswered = view::unanswered(&log, &self.state).expect("a log");
        let beside = view::Beside { overdue, unanswered, split_proof: false };
        Reading { state: self.state.clone(), beside }
    }
}

/// A vouch for somebody.
pub fn vouch(subject: &Person) -> Attest {
    Attest { subject: subject.id, claim: Claim::Vouch { withdrawn: false } }
}

/// What somebody says of oneself.
pub fn about(who: &Person, claim: Claim) -> Attest {
    Attest { subject: who.id, claim }
}

/// A judgement on a statement.
pub fn check(subject: Hash, verdict: Verdict) -> Check {
    Check { subject: Subject::Statement(subject), verdict, evidence: Evidence::None }
}

/// A ballot that ranks options.
pub fn rank(proposal: Hash, options: &[u16]) -> Vote {
    let groups = options.iter().map(|&option| vec![option]).collect();
    Vote { proposal, ballot: VoteBody::Ranking(groups) }
}
