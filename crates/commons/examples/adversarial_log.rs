//! What a log costs that was written to be slow: `cargo run --release -p understory-commons --example
//! adversarial_log -- [STATEMENTS]`. Two founders build a tree of members, and all of them then toggle
//! vouches, change names between questions, ask for panels that nobody can draw, and say things that
//! count for nothing. Prints steps and time by statement, for each tenth of the log.

use commons::{
    ArchiveError, Body, Place, Seen, Statement, author,
    state::{Roots, State, log_key},
    statement::{
        Attest, Choice, Claim, DeviceKey, Effect, Founder, Genesis, Key, KeyOp, Method,
        ProposalType, Propose, Quota, RULES_VERSION, Rules, TieRule, Unranked, Use, Vote, VoteBody,
        WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity, PeerId};
use std::{collections::BTreeMap, error::Error, time::Instant};
use tlog::Hash as TreeHash;

const START: u64 = 1_800_000_000;
const DAY: u64 = 24 * 60 * 60;

struct FirstRoot(TreeHash);

impl Roots for FirstRoot {
    fn root_at(&self, _size: u64) -> Result<TreeHash, ArchiveError> {
        Ok(self.0)
    }
}

/// Signs statements as they come; folding them is measured apart.
struct Writer {
    log: Hash,
    seen: Seen,
    chains: BTreeMap<PeerId, (u64, Option<Hash>)>,
    statements: Vec<Statement>,
}

impl Writer {
    fn say(&mut self, key: &Identity, body: impl Into<Body>) -> Result<Hash, Box<dyn Error>> {
        let (seq, prev) = self.chains.get(&key.id()).copied().unwrap_or_default();
        let place = Place { log: self.log, seq, prev, seen: Some(self.seen) };
        let statement = Statement::sign(key, place, body)?;
        let hash = statement.hash();
        self.chains.insert(key.id(), (seq + 1, Some(hash)));
        self.statements.push(statement);
        Ok(hash)
    }
}

fn identity(number: u32) -> Identity {
    Identity::from_seed(Hash::of(&number.to_le_bytes()).0)
}

fn genesis() -> Genesis {
    let founder = |number: u32| Founder {
        name: format!("founder {number}"),
        member: identity(number).id(),
        next: Hash::default(),
        guardians: vec![],
        threshold: 0,
        steward: true,
    };
    Genesis {
        name: "slow".into(),
        charter: Hash::default(),
        rules: Rules::default(),
        founders: (0..3).map(founder).collect(),
        operator: identity(0).id(),
        witnesses: Witnesses {
            threshold: 1,
            keys: vec![WitnessKey { name: "witness".into(), key: identity(0).id() }],
        },
        parent: None,
        created: START,
        version: Some(RULES_VERSION),
    }
}

/// A tree of so many members under the first two founders.
fn tree(writer: &mut Writer, size: u32) -> Result<Vec<Identity>, Box<dyn Error>> {
    let (mut made, mut level) = (Vec::new(), vec![identity(0), identity(1)]);
    let mut number = 1_000;
    while (made.len() as u32) < size {
        let width = if made.is_empty() { 2 } else { 5 };
        let mut next = Vec::new();
        for pair in level.chunks_exact(2) {
            for _ in 0..width {
                number += 1;
                let key = identity(number);
                let member = key.id();
                let keys = vec![DeviceKey::bind(&key, &writer.log, &member)];
                let start = Key {
                    member,
                    op: KeyOp::Start,
                    keys,
                    next: Hash::default(),
                    guardians: vec![],
                    threshold: 0,
                };
                writer.say(&key, start)?;
                for voucher in pair {
                    writer.say(voucher, vouch(member, false))?;
                }
                next.push(key);
            }
        }
        made.extend(next.iter().cloned());
        level = next;
    }
    Ok(made)
}

fn vouch(subject: PeerId, withdrawn: bool) -> Attest {
    Attest { subject, claim: Claim::Vouch { withdrawn } }
}

fn ask(panel: bool) -> Propose {
    let option = |name: &str| Choice {
        name: name.into(),
        digest: None,
        ratio: (1, 1),
        effect: Effect::None,
    };
    let quota = Quota { stratum: "Nobody's".into(), min: 1, max: 9 };
    Propose {
        topic: if panel { ProposalType::Panel } else { ProposalType::Question },
        title: "?".into(),
        text: String::new(),
        options: if panel { vec![] } else { vec![option("yes"), option("no")] },
        default: (!panel).then_some(1),
        houses: vec![],
        method: if panel { Method::Lot } else { Method::Counted(decide::Method::Schulze) },
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: if panel { 256 } else { 1 },
        cap: None,
        quotas: if panel { vec![quota] } else { vec![] },
        close: START + 8 * DAY,
        reveal: panel.then_some(START + 16 * DAY),
        appeals: None,
        held: None,
    }
}

fn write(count: usize) -> Result<(Statement, FirstRoot, Vec<Statement>), Box<dyn Error>> {
    let (genesis, head) = author::found(&identity(0), &identity(0), genesis())?;
    let state = State::begin(&genesis, None)?;
    let (root, key) =
        (head.checkpoint().root, log_key(&head.checkpoint().origin, identity(0).id()));
    let signature = head.signature(&key).ok_or("the head is signed")?;
    let mut writer = Writer {
        log: state.id,
        seen: Seen { size: 1, root: root.0, signature },
        chains: BTreeMap::new(),
        statements: Vec::new(),
    };
    let tree = tree(&mut writer, 4_000)?;
    let (anna, top) = (identity(0), tree[0].id());
    let mut number = 0u64;
    while writer.statements.len() + 1 < count {
        number += 1;
        let someone = &tree[number as usize * 7_919 % tree.len()];
        writer.say(&anna, vouch(top, true))?;
        writer.say(&anna, vouch(top, false))?;
        let name = Claim::Person { name: format!("name {number}") };
        writer.say(someone, Attest { subject: someone.id(), claim: name })?;
        let asked = writer.say(someone, ask(number.is_multiple_of(3)))?;
        let used = Use {
            artifact: Hash::of(&number.to_le_bytes()),
            by: None,
            purpose: commons::statement::Purpose::Personal,
            expiry: START + 1,
        };
        writer.say(someone, used)?;
        let ballot = VoteBody::Ranking(vec![vec![0]]);
        writer.say(&identity(2), Vote { proposal: asked, ballot })?;
    }
    writer.statements.truncate(count.saturating_sub(1));
    Ok((genesis, FirstRoot(root), writer.statements))
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let (genesis, root, statements) = write(count)?;
    let mut state = State::begin(&genesis, None)?;
    for part in statements.chunks(statements.len().div_ceil(10).max(1)) {
        let (steps, start) = (state.steps(), Instant::now());
        let mut longest = 0;
        for statement in part {
            let one = Instant::now();
            state.apply(statement, &root)?;
            longest = longest.max(one.elapsed().as_micros());
        }
        let (each, took) = ((state.steps() - steps) / part.len() as u64, start.elapsed());
        println!(
            "up to {:>7}: {:>6.2} µs and {each:>4} steps a statement, the longest {longest} µs",
            state.size,
            took.as_secs_f64() * 1e6 / part.len() as f64
        );
    }
    let members = state.members.values().filter(|member| member.is_member).count();
    println!(
        "{} members, {} questions, {} void statements",
        members,
        state.proposals.len(),
        state.voids.len()
    );
    Ok(())
}
