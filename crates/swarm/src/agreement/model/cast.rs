//! Who takes part in the model, and real records for them to decide on.

use super::*;
use crate::{
    Advance, ChainState, Commit, Contribution, Ejection, Evidence, Finding, Have, Kind, ObjectRef,
    Record, Rules, Run, Scope, State, Verdict,
    envelope::SignatureCache,
    members::{fresh_member, member},
    rules::tests::rules,
    standing::Voters,
};
use ids::Identity;
use std::{collections::HashMap, fmt};

pub const RUN: Hash = Hash([7; 32]);
/// The height that is decided.
pub const HEIGHT: u64 = 6;
/// Members that keep to the protocol: numbers 0, 1 and 2. Number 2 is a newcomer and weighs a
/// third of what the others do.
pub const HONEST: usize = 3;
/// The number of the arbitrary one.
pub const FAULTY: usize = 3;

/// A record that may be proposed.
pub struct Candidate {
    pub hash: Hash,
    /// What the chain says decides on it.
    pub ruling: Option<Ruling>,
    /// Whether it was made to follow the rules.
    pub allowed: bool,
    culprits: BTreeSet<PeerId>,
    /// What each member's vote for it weighs: none of a culprit's.
    weights: [u64; 4],
    needed: u64,
}

/// Author, slot and value of a vote.
type Ballot = (usize, usize, Option<u8>);

/// One setting.
pub struct Cast {
    pub ids: [PeerId; 4],
    pub electorate: Electorate,
    pub values: Vec<Candidate>,
    /// By view: there are as many views as proposers.
    pub proposers: Vec<usize>,
    pub seed: Hash,
    /// Whether members may know who cheated.
    pub disputed: bool,
    /// Every vote there may be; nobody here looks at signatures.
    pub ballots: HashMap<Ballot, Signed<Vote>>,
    names: String,
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, proposed by {:?}", self.names, self.proposers)
    }
}

impl Cast {
    pub fn new(proposers: &[usize], names: &[&str], disputed: bool) -> Self {
        let world = World::new();
        let ids = std::array::from_fn(|n| world.keys[n].id());
        let electorate = world.chain.electorate(&world.run);
        let draws = |seed: &Hash| {
            let a = Agreement::new(HEIGHT, electorate.clone(), ids[0], *seed, 1000);
            (0..).zip(proposers).all(|(view, by)| a.proposer(view) == Some(ids[*by]))
        };
        let mut seeds = (0u64..).map(|n| Hash::of(&n.to_le_bytes()));
        let seed = seeds.find(draws).expect("every order is drawn some time");
        let values: Vec<Candidate> = names.iter().map(|name| world.candidate(name)).collect();
        let (ballots, proposers) = (ballots(&ids, &values), proposers.to_vec());
        let names = names.join(" or ");
        Self { ids, electorate, values, proposers, seed, disputed, ballots, names }
    }

    /// How many values there are.
    pub fn count(&self) -> u8 {
        self.values.len() as u8
    }

    /// Whom the records of this setting eject.
    pub fn culprits(&self) -> BTreeSet<PeerId> {
        self.values.iter().filter(|v| v.allowed).flat_map(|v| v.culprits.clone()).collect()
    }

    /// Whether votes of these members for a value are a quorum: a bit for each member.
    pub fn suffice(&self, value: u8, voters: u8) -> bool {
        let of = &self.values[usize::from(value)];
        let weigh = |n: &usize| voters >> *n & 1 != 0;
        let weight: u64 = (0..4).filter(weigh).map(|n| of.weights[n]).sum();
        of.ruling.is_some() && weight >= of.needed
    }

    /// Whether members 0 and 1 are alike: they weigh the same, and neither proposes nor cheated.
    pub fn alike(&self) -> bool {
        let special =
            |n: usize| self.proposers.contains(&n) || self.culprits().contains(&self.ids[n]);
        !special(0) && !special(1)
    }
}

fn ballots(ids: &[PeerId; 4], values: &[Candidate]) -> HashMap<Ballot, Signed<Vote>> {
    let mut all = HashMap::new();
    for (author, id) in ids.iter().enumerate() {
        for slot in 0..SLOTS {
            let step = if slot % 2 == 0 { Step::Prevote } else { Step::Precommit };
            for value in (0..values.len() as u8).map(Some).chain([None]) {
                let (view, hash) = (slot as u32 / 2, value.map(|v| values[usize::from(v)].hash));
                let vote = Vote { height: HEIGHT, view, step, value: hash };
                let vote = Signed::assemble(&RUN, *id, vote, Signature([0; 64]));
                all.insert((author, slot, value), vote);
            }
        }
    }
    all
}

/// Four members after an advance to which number 0 and the arbitrary one contributed.
pub struct World {
    pub keys: Vec<Identity>,
    pub run: Run,
    pub chain: ChainState,
}

fn object(rules: &Rules, len: u64) -> ObjectRef {
    ObjectRef { hash: Hash::of(&rules.rounds.to_le_bytes()), len }
}

impl World {
    pub fn new() -> Self {
        let keys: Vec<Identity> = (1..=4).map(|n| Identity::from_seed([n; 32])).collect();
        let rules = rules();
        let state = State { model: object(&rules, 10), outer: object(&rules, 10) };
        let run = Run {
            id: RUN,
            founder: keys[0].id(),
            founders: [0, 1, FAULTY].map(|n| keys[n].id()).into(),
            invitations: BTreeSet::new(),
            initial: state,
            rules,
        };
        let grant = run.rules.grant();
        let founder = |n: usize| crate::Member { grant, ..fresh_member(keys[n].id(), 0) };
        let (earned, clean) = (grant / 3, run.rules.probation);
        let newcomer = crate::Member { earned, clean, ..fresh_member(keys[2].id(), 1) };
        let mut members = vec![founder(0), founder(1), newcomer, founder(FAULTY)];
        members.sort_unstable_by_key(|m| m.id);
        let chain = ChainState {
            height: HEIGHT - 1,
            hash: Hash::of(b"record 5"),
            kind: Kind::Advance,
            round: 1,
            state,
            beacon: Hash::of(b"beacon"),
            members: members.clone(),
            ejected: BTreeSet::new(),
            last: None,
            previous: None,
            wary_until: 0,
            voters: Voters::default(),
        };
        let mut world = Self { keys, run, chain };
        let mut contributions = vec![world.commit(0, HEIGHT - 1), world.commit(FAULTY, HEIGHT - 1)];
        contributions.sort_unstable_by_key(Signed::author);
        world.chain.last = Some(Advance {
            height: HEIGHT - 1,
            record: world.chain.hash,
            base: state,
            base_beacon: world.chain.beacon,
            base_members: members.clone(),
            wary: false,
            contributions,
            members,
            condemned: Vec::new(),
            verdicts: Vec::new(),
            gone: BTreeSet::new(),
            voters: Voters::default(),
        });
        world
    }

    pub fn commit(&self, by: usize, height: u64) -> Signed<Commit> {
        let rules = &self.run.rules;
        let steps = rules.steps_min;
        let commit = Commit {
            height,
            round: self.chain.round,
            base: self.chain.state.hash(),
            steps,
            trail: object(rules, rules.trail_len(steps)),
            update: object(rules, rules.update_len),
            carry_before: member(&self.chain.members, &self.keys[by].id()).and_then(|m| m.carry),
            carry: object(rules, rules.carry_len),
        };
        Signed::seal(&self.keys[by], &RUN, commit)
    }

    pub fn blank(&self, kind: Kind) -> Record {
        Record {
            run: RUN,
            height: HEIGHT,
            kind,
            round: 0,
            prev: self.chain.hash,
            members: Vec::new(),
            joins: Vec::new(),
            contributions: Vec::new(),
            shows: Vec::new(),
            verdicts: Vec::new(),
            ejected: Vec::new(),
            state: self.chain.state,
            beacon: Hash::default(),
        }
    }

    /// An advance with one contribution, which two others hold.
    pub fn advance(&self, by: usize) -> Record {
        self.advance_with(by, self.commit(by, HEIGHT))
    }

    pub fn advance_with(&self, by: usize, commit: Signed<Commit>) -> Record {
        let have = Have { height: HEIGHT, commit: commit.hash() };
        let holders = (0..HONEST).filter(|n| *n != by);
        let mut haves: Vec<_> = holders.map(|n| Signed::seal(&self.keys[n], &RUN, have)).collect();
        haves.sort_unstable_by_key(Signed::author);
        let contributions = vec![Contribution { commit, haves }];
        Record { contributions, ..self.blank(Kind::Advance) }
    }

    /// A repair that ejects these, with verdicts of those.
    pub fn repair(&self, culprits: &[usize], witnesses: &[usize]) -> Record {
        let eject = |culprit: &usize| {
            let verdict = Verdict {
                height: HEIGHT - 1,
                contributor: self.keys[*culprit].id(),
                scope: Scope::Drawn,
                finding: Finding::Mismatch { part: 0 },
            };
            let seal = |n: &usize| Signed::seal(&self.keys[*n], &RUN, verdict);
            let mut verdicts: Vec<_> = witnesses.iter().map(seal).collect();
            verdicts.sort_unstable_by_key(Signed::author);
            let evidence = Evidence::Mismatch { height: HEIGHT - 1, verdicts };
            Ejection { peer: verdict.contributor, evidence }
        };
        let mut ejected: Vec<_> = culprits.iter().map(eject).collect();
        ejected.sort_unstable_by_key(|e| e.peer);
        Record { ejected, ..self.blank(Kind::Repair) }
    }

    fn candidate(&self, name: &str) -> Candidate {
        let (mut record, allowed) = match name {
            "advance" => (self.advance(0), true),
            "another advance" => (self.advance(1), true),
            "repair" => (self.repair(&[FAULTY], &[0, 1]), true),
            // Number 0 votes as it should, but its machine counts wrong.
            "large repair" => (self.repair(&[0, FAULTY], &[1, 2]), true),
            "baseless repair" => (self.repair(&[0], &[FAULTY]), false),
            _ => unreachable!("no record of that name"),
        };
        self.chain.complete(&self.run, &mut record);
        let hash = Record::hash_of(&record.to_bytes());
        let cache = SignatureCache::default();
        let ruling = self.chain.ruling_on(&self.run, &record, hash, &cache).ok();
        assert!(!allowed || ruling.is_some(), "{name} breaks a rule");
        let culprits: BTreeSet<PeerId> = record.culprits().collect();
        let electorate = self.chain.electorate(&self.run);
        let weights = std::array::from_fn(|n| match culprits.contains(&self.keys[n].id()) {
            true => 0,
            false => electorate.weight(&self.keys[n].id()),
        });
        let needed = ruling.as_ref().map_or(u64::MAX, |r| r.needed);
        Candidate { hash, ruling, allowed, culprits, weights, needed }
    }
}
