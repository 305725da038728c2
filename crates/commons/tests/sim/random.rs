//! Random commons: whatever people say, everybody who has the log computes the same from it.

use crate::{town::*, voting::*};
use commons::{
    Archive, follow,
    state::{State, Status},
    statement::{
        Claim, Derive, DeviceKey, Effect, House, Key, KeyOp, Milestone, Parent, ProposalType,
        Propose, Purpose, Relation, Reproducible, Use, Verdict, Vote, VoteBody,
    },
    verify::verify,
    view,
};
use ids::{Hash, Identity};
use proptest::prelude::*;
use redb::backends::InMemoryBackend;

/// Something that somebody does.
#[derive(Clone, Debug)]
enum Act {
    Start(u8),
    Vouch(u8, u8, bool),
    Work(u8, u8),
    House(u8, bool),
    Uses(u8),
    Derive(u8, u8, u8),
    Judge(u8, u8, bool),
    Mark(u8, u8, u8),
    Ask(u8, bool),
    Vote(u8, u8, Vec<u16>),
    Rotate(u8, bool),
    Twice(u8),
    Tick(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0u8..8;
    prop_oneof![
        who.clone().prop_map(Act::Start),
        (who.clone(), 0u8..8, prop::bool::weighted(0.2)).prop_map(|(a, b, w)| Act::Vouch(a, b, w)),
        (who.clone(), 0u8..3).prop_map(|(a, o)| Act::Work(a, o)),
        (who.clone(), any::<bool>()).prop_map(|(a, h)| Act::House(a, h)),
        who.clone().prop_map(Act::Uses),
        (who.clone(), 0u8..5, 0u8..5).prop_map(|(a, c, p)| Act::Derive(a, c, p)),
        (who.clone(), any::<u8>(), any::<bool>()).prop_map(|(a, s, v)| Act::Judge(a, s, v)),
        (who.clone(), 0u8..4, 0u8..2).prop_map(|(a, h, r)| Act::Mark(a, h, r)),
        (who.clone(), any::<bool>()).prop_map(|(a, k)| Act::Ask(a, k)),
        (
            who.clone(),
            any::<u8>(),
            prop::sample::subsequence(vec![0u16, 1, 2], 0..=3).prop_shuffle()
        )
            .prop_map(|(a, q, r)| Act::Vote(a, q, r)),
        (who.clone(), any::<bool>()).prop_map(|(a, right)| Act::Rotate(a, right)),
        who.prop_map(Act::Twice),
        (1u32..200_000).prop_map(Act::Tick),
    ]
}

struct Play {
    town: Town,
    people: Vec<Person>,
    asked: Vec<Hash>,
}

impl Play {
    fn act(&mut self, act: &Act) {
        let town = &mut self.town;
        let person = |at: u8| &self.people[usize::from(at) % self.people.len()];
        let key = |at: u8| person(at).key.clone();
        match act {
            Act::Start(at) => drop(town.say(&key(*at), town.start_body(person(*at)))),
            Act::Vouch(a, b, withdrawn) => {
                let claim = Claim::Vouch { withdrawn: *withdrawn };
                town.say(&key(*a), about(person(*b), claim));
            }
            Act::Work(a, org) => {
                let claim = Claim::Affiliation {
                    org: format!("company {org}"),
                    role: "engineer".into(),
                    from: START,
                    to: None,
                };
                town.say(&key(*a), about(person(*a), claim));
            }
            Act::House(a, users) => {
                let house = if *users { House::Users } else { House::Contributors };
                town.say(&key(*a), about(person(*a), Claim::House { house }));
            }
            Act::Uses(a) => {
                let (artifact, purpose) = (Hash::of(b"model"), Purpose::Public);
                let expiry = town.now + 20 * DAY;
                town.say(&key(*a), Use { artifact, by: None, purpose, expiry });
            }
            Act::Derive(a, child, parent) => {
                let parents = if child == parent {
                    vec![]
                } else {
                    let digest = Hash::of(&[*parent]);
                    vec![Parent { digest, relation: Relation::Merged, share: 500 }]
                };
                let derive = Derive {
                    child: Hash::of(&[*child]),
                    parents,
                    recipe: Hash::of(b"recipe"),
                    tool: "understory".into(),
                    reproducible: Reproducible::Exact,
                };
                self.asked.push(town.say(&key(*a), derive));
            }
            Act::Judge(a, of, good) => {
                let Some(subject) = pick(&self.asked, *of) else { return };
                let verdict = if *good { Verdict::Confirmed } else { Verdict::Mismatch };
                town.say(&key(*a), check(subject, verdict));
            }
            Act::Mark(a, height, record) => {
                let (run, height) = (Hash::of(b"run"), u64::from(*height));
                town.say(&key(*a), Milestone { run, height, record: Hash::of(&[*record]) });
            }
            Act::Ask(a, charter) => {
                let (topic, effect, houses) = if *charter {
                    let houses = vec![House::Users, House::Contributors];
                    (ProposalType::Charter, Effect::Charter(Hash::of(b"new")), houses)
                } else {
                    (ProposalType::Question, Effect::None, vec![])
                };
                let options = vec![
                    choice("a", effect.clone()),
                    choice("b", effect),
                    choice("none", Effect::None),
                ];
                let ask = Propose { houses, ..question(town, topic, options) };
                self.asked.push(town.say(&key(*a), ask));
            }
            Act::Vote(a, on, ranking) => {
                let Some(proposal) = pick(&self.asked, *on) else { return };
                let groups = ranking.iter().map(|&option| vec![option]).collect();
                town.say(&key(*a), Vote { proposal, ballot: VoteBody::Ranking(groups) });
            }
            Act::Rotate(a, right) => self.rotate(*a, *right),
            Act::Twice(a) => {
                let (seq, prev) = town.state.chain_head(&person(*a).id);
                let names =
                    ["one", "two"].map(|n| about(person(*a), Claim::Person { name: n.into() }));
                for name in names {
                    let said = town.forge(&key(*a), seq, prev, name);
                    town.archive.hold(&said).unwrap();
                }
            }
            Act::Tick(seconds) => town.tick(u64::from(*seconds)),
        }
    }

    fn rotate(&mut self, at: u8, right: bool) {
        let at = usize::from(at) % self.people.len();
        let person = &mut self.people[at];
        let successor = Identity::from_seed(Hash::of(&person.next.id().0).0);
        let signer = if right { &person.next } else { &person.key };
        let rotate = Key {
            member: person.id,
            op: KeyOp::Rotate,
            keys: vec![DeviceKey::bind(signer, &self.town.state.id, &person.id)],
            next: Key::digest(&successor.id()),
            guardians: vec![],
            threshold: 0,
        };
        self.town.say(&signer.clone(), rotate);
        self.town.integrate();
        if self.town.state.member_of(&person.next.id()) == Some(person.id) {
            person.key = std::mem::replace(&mut person.next, successor);
        }
    }
}

fn pick(from: &[Hash], at: u8) -> Option<Hash> {
    from.get(usize::from(at) % from.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn everybody_computes_the_same(acts in prop::collection::vec(act(), 1..70), step in 1u64..30) {
        let town = Town::new(4);
        let mut people: Vec<Person> = town.people.clone();
        people.extend((4..8).map(Person::new));
        let mut play = Play { town, people, asked: Vec::new() };
        for act in &acts {
            play.act(act);
        }
        play.town.tick(1);
        let town = &play.town;
        // Anew, checked from the genesis, and followed in ranges: all the same.
        let all = views(&town.state);
        prop_assert_eq!(&all, &views(&town.replayed()));
        let log = town.archive.snapshot().unwrap();
        let (checked, report) = verify(&log, None, |_| ()).unwrap();
        prop_assert!(report.is_covered());
        prop_assert_eq!(&all, &views(&checked));
        prop_assert_eq!(&all, &views(&followed(town, step)));
        invariants(&town.state)?;
    }

    /// k fakes behind one voucher: whatever they decide, the margin names the voucher.
    #[test]
    fn the_margin_shows_a_voucher_and_its_fakes(fakes in 2u32..6) {
        let mut town = Town::with_rules(3, commons::statement::Rules {
            vouch_budget: 20, ..rules()
        });
        let (mole, second) = (town.join(3, &[0, 1]), town.join(4, &[0, 1]));
        let honest: Vec<Person> = town.people[..3].to_vec();
        let bought: Vec<Person> = (0..fakes + 2)
            .map(|n| {
                let fake = town.start(50 + n);
                town.must(&mole.key, vouch(&fake.id));
                town.must(&second.key, vouch(&fake.id));
                fake
            })
            .collect();
        let options = vec![choice("sell it", Effect::None), choice("keep it", Effect::None)];
        let ask = Propose { default: None, ..question(&town, ProposalType::Question, options) };
        let asked = town.must(&honest[0].key.clone(), ask);
        for fake in &bought {
            town.must(&fake.key, rank(asked, &[0, 1]));
        }
        for person in &honest {
            town.must(&person.key, rank(asked, &[1, 0]));
        }
        let margin = view::margin(&town.state, &town.state.proposals[&asked], view::Bounds::NONE).unwrap();
        prop_assert_eq!(&margin.winners, &vec![0]);
        let voucher = margin.voucher.expect("without the fakes the honest win");
        prop_assert!(voucher.who == mole.id || voucher.who == second.id);
        prop_assert_eq!((voucher.voters, voucher.winners), (u64::from(fakes) + 2, vec![1]));
        prop_assert!(margin.least.unwrap() <= u64::from(fakes) + 2);
    }

    /// However many of the stewards are captured, a charter needs the users.
    #[test]
    fn captured_stewards_change_no_charter(captured in 1usize..=3) {
        let mut town = Town::new(3);
        for number in 3..6 {
            let user = town.join(number, &[0, 1]);
            town.use_it(&user);
        }
        let people = town.people.clone();
        let effect = Effect::Charter(Hash::of(b"enclosed"));
        let ask = Propose {
            houses: vec![House::Users, House::Contributors],
            ..question(&town, ProposalType::Charter, vec![choice("enclose", effect), choice("no", Effect::None)])
        };
        let asked = town.must(&people[0].key, ask);
        for (at, person) in people.iter().enumerate() {
            let ballot: &[u16] = if at < captured { &[0, 1] } else { &[1, 0] };
            town.must(&person.key, rank(asked, ballot));
        }
        town.tick(DAY);
        town.tick(30 * DAY);
        let failed = matches!(town.state.proposals[&asked].status, Status::Failed { .. });
        prop_assert!(failed);
        prop_assert_eq!(town.state.charter, Hash::of(b"be kind"));
    }
}

fn followed(town: &Town, step: u64) -> State {
    let log = town.archive.snapshot().unwrap();
    let head = log.latest_checkpoint().unwrap().unwrap();
    let size = head.checkpoint().size;
    let archive = Archive::with_backend(InMemoryBackend::new(), Some(&town.genesis)).unwrap();
    let mut state = State::begin(&town.genesis, None).unwrap();
    while state.size < size {
        let mut range = follow::range(&log, state.size, size, follow::MAX_RANGE_BYTES).unwrap();
        let end = (state.size + step).min(size);
        range.entries.truncate((end - state.size) as usize);
        range.proof = tlog::consistency_proof(end, size, &log).unwrap();
        follow::take_in(&archive, &mut state, &range, &head).unwrap();
    }
    state
}

/// What holds of every commons.
fn invariants(state: &State) -> Result<(), TestCaseError> {
    let mut support = std::collections::BTreeMap::new();
    for member in state.members.values().filter(|member| member.is_member) {
        member.vouches.iter().for_each(|v| *support.entry(*v).or_insert(0u32) += 1);
    }
    for (id, member) in &state.members {
        prop_assert!(member.vouches.len() <= usize::from(state.rules.vouch_budget));
        let vouchers = support.get(id).copied().unwrap_or_default();
        prop_assert_eq!(member.support, vouchers);
        let deserved = member.founder || vouchers >= u32::from(state.rules.vouches_needed);
        prop_assert_eq!(member.is_member, deserved && !member.removed, "{}", id);
    }
    // Everybody stands on the founders in the end, and not on each other alone.
    let electorate = state.electorate();
    prop_assert_eq!(electorate.dependants(electorate.electors.len()), Vec::<u32>::new());
    for pair in state.marks.windows(2) {
        prop_assert!(pair[0].size <= pair[1].size && pair[0].time <= pair[1].time);
    }
    for proposal in state.proposals.values() {
        for count in proposal.count.iter().flat_map(|count| &count.houses) {
            prop_assert!(count.outcome.ballots <= count.election.electors);
            prop_assert!(count.ballots.len() as u64 <= count.election.electors);
        }
    }
    Ok(())
}
