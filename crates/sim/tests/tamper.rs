//! A chain that was changed is refused: by the signatures, and, where enough voters would sign the
//! change, by the rules.

use ids::Hash;
use sim::{
    habits::Habit::{Honest, Noise},
    rng::Rng,
    work::rules,
    world::{Net, World},
};
use swarm::{
    Certificate, ChainState, Electorate, Evidence, Join, Kind, Record, Rules, Signed, SignedRecord,
    Step, Vote, verify_chain,
};

/// A run with everything in it: a cheat, so a repair, and a close.
fn finished() -> World {
    let roles = [Honest, Honest, Honest, Noise].map(|habit| habit.role());
    let rules = Rules { probation: 10, ..rules() };
    let mut world = World::new(7, roles.to_vec(), rules, Net::GOOD);
    (0..4).for_each(|n| world.start(n));
    world.run(1_000_000, |w| (0..3).all(|n| w.nodes[n].finished.is_some()));
    assert!(world.is_ejected(3));
    world
}

fn chain(world: &World) -> Vec<SignedRecord> {
    world.nodes[0].node.as_ref().expect("node 0 runs").chain().to_vec()
}

fn check(world: &World, chain: &[SignedRecord]) -> Result<(), String> {
    let bytes: Vec<Vec<u8>> = chain.iter().map(SignedRecord::to_bytes).collect();
    verify_chain(world.run_of(), bytes.iter().map(Vec::as_slice))
        .map(|_| ())
        .map_err(|e| e.to_string())
}

/// The record signed by every peer that had a vote on the original.
fn certified(world: &World, before: &[SignedRecord], record: &Record) -> SignedRecord {
    let mut state = None;
    for known in before {
        let next = ChainState::follow(state.as_ref(), world.run_of(), known, &world.signatures);
        state = Some(next.expect("the original follows"));
    }
    let culprits: Vec<_> = record.culprits().collect();
    let founder = || Electorate::from_weights(vec![(world.run_of().founder, 1)]);
    let voters = state.map_or_else(founder, |s: ChainState| s.electorate(world.run_of()));
    let body = record.to_bytes();
    let value = Some(Record::hash_of(&body));
    let vote = Vote { height: record.height, view: 0, step: Step::Precommit, value };
    let mut signatures: Vec<_> = world
        .nodes
        .iter()
        .filter(|p| voters.weight(&p.identity.id()) > 0)
        .filter(|p| record.kind != Kind::Repair || !culprits.contains(&p.identity.id()))
        .map(|p| {
            let vote = Signed::seal(&p.identity, &world.run_of().id, vote);
            (p.identity.id(), vote.signature())
        })
        .collect();
    signatures.sort_unstable();
    SignedRecord::new(body, Certificate { view: 0, signatures }).expect("a record")
}

type Change = fn(&mut Record);

/// What a quorum of liars might write, and for which records it makes sense.
const CHANGES: &[(&str, &[Kind], Change)] = {
    use Kind::{Advance, Close, Genesis, Repair};
    &[
        ("prev", &[Genesis, Advance, Repair, Close], |r| r.prev = Hash::of(b"elsewhere")),
        ("run", &[Genesis, Advance, Repair, Close], |r| r.run = Hash::of(b"another")),
        ("round", &[Genesis, Advance, Repair, Close], |r| r.round += 1),
        ("beacon", &[Genesis, Advance, Repair, Close], |r| r.beacon = Hash::of(b"chosen")),
        ("clean", &[Advance, Close], |r| r.members[0].clean += 1),
        ("granted", &[Genesis, Advance, Repair, Close], |r| r.members[0].grant *= 2),
        ("earned", &[Advance, Repair, Close], |r| r.members[0].earned += 1000),
        ("absent", &[Advance, Repair, Close], |r| r.members[0].missed += 9),
        ("another link", &[Genesis, Advance], |r| r.members[0].link = Hash::of(b"chosen")),
        ("shows forged", &[Advance], |r| {
            r.shows.iter_mut().for_each(|show| {
                let body = swarm::Show { link: Hash::of(b"drawn to please"), ..*show.body() };
                *show = Signed::assemble(&r.run, show.author(), body, show.signature());
            });
            if r.shows.is_empty() {
                r.round += 1;
            }
        }),
        ("member gone", &[Genesis, Advance, Repair, Close], |r| r.members.truncate(1)),
        ("state", &[Genesis, Close], |r| r.state.model.hash = Hash::of(b"a better model")),
        ("contribution gone", &[Advance], |r| r.contributions.truncate(1)),
        ("contribution twice", &[Advance], |r| r.contributions.push(r.contributions[0].clone())),
        ("holders gone", &[Advance], |r| r.contributions[0].haves.clear()),
        ("holder twice", &[Advance], |r| {
            let have = r.contributions[0].haves[0].clone();
            r.contributions[0].haves = vec![have.clone(), have];
        }),
        ("order", &[Advance], |r| r.contributions.reverse()),
        ("culprit spared", &[Repair], |r| r.ejected.clear()),
        ("one witness", &[Repair], |r| {
            if let Evidence::Mismatch { verdicts, .. } = &mut r.ejected[0].evidence {
                verdicts.truncate(1);
            }
        }),
        ("witness twice", &[Repair], |r| {
            if let Evidence::Mismatch { verdicts, .. } = &mut r.ejected[0].evidence {
                *verdicts = vec![verdicts[0].clone(), verdicts[0].clone()];
            }
        }),
        ("innocent", &[Repair], |r| {
            let culprit = r.ejected[0].peer;
            let innocent = r.members.iter().find(|m| m.id != culprit);
            r.ejected[0].peer = innocent.expect("others are left").id;
        }),
        ("work at the end", &[Close], |r| r.kind = Kind::Advance),
        ("end too early", &[Advance], |r| r.kind = Kind::Close),
        ("second genesis", &[Advance], |r| r.kind = Kind::Genesis),
    ]
};

#[test]
fn what_breaks_a_rule_is_refused_though_everybody_signed_it() {
    let world = finished();
    let chain = chain(&world);
    assert_eq!(check(&world, &chain), Ok(()));
    let mut tried = 0;
    for (at, original) in chain.iter().enumerate() {
        let again = certified(&world, &chain[..at], original.record());
        let honest = [&chain[..at], &[again]].concat();
        assert_eq!(check(&world, &honest), Ok(()), "unchanged {at}");
        for (name, kinds, change) in CHANGES {
            if kinds.contains(&original.record().kind) {
                let mut record = original.record().clone();
                change(&mut record);
                let changed = certified(&world, &chain[..at], &record);
                let changed = [&chain[..at], &[changed]].concat();
                assert!(check(&world, &changed).is_err(), "{name} in record {at}");
                tried += 1;
            }
        }
    }
    let kinds: Vec<Kind> = chain.iter().map(|r| r.record().kind).collect();
    assert!(kinds.contains(&Kind::Repair) && kinds.last() == Some(&Kind::Close), "{kinds:?}");
    assert!(tried > 50);
}

#[test]
fn a_join_or_an_ejection_nobody_signed_is_refused() {
    let world = finished();
    let chain = chain(&world);
    let at = chain.iter().position(|r| r.record().kind == Kind::Advance).expect("an advance");
    let stranger = ids::Identity::from_seed([99; 32]);
    // Signed for another run.
    let join = Join { nonce: Hash::default(), height: 0, chain: Hash::default(), invitation: None };
    let mut record = chain[at].record().clone();
    record.joins.push(Signed::seal(&stranger, &Hash::default(), join));
    let changed = [&chain[..at], &[certified(&world, &chain[..at], &record)]].concat();
    let error = check(&world, &changed).expect_err("must be refused");
    assert!(error.contains("may not join"), "{error}");
}

#[test]
fn fewer_signatures_than_a_quorum_or_a_strangers_are_refused() {
    let world = finished();
    let chain = chain(&world);
    let last = chain.len() - 1;
    let with = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate =
            certified(&world, &chain[..last], chain[last].record()).certificate().clone();
        change(&mut certificate);
        let record = SignedRecord::new(chain[last].body().to_vec(), certificate).expect("a record");
        check(&world, &[&chain[..last], &[record]].concat())
    };
    assert_eq!(with(&|_| ()), Ok(()));
    assert!(with(&|c| c.signatures.truncate(1)).is_err());
    assert!(with(&|c| c.signatures.reverse()).is_err());
    assert!(with(&|c| c.signatures[1] = c.signatures[0]).is_err());
    assert!(with(&|c| c.view = 1).is_err(), "the signatures are for view 0");
    // The ejected peer's own signature.
    let vote = |c: &mut Certificate| {
        let cheat = &world.nodes[3].identity;
        let value = Some(chain[last].hash());
        let vote = Vote { height: last as u64, view: 0, step: Step::Precommit, value };
        c.signatures[0] = (cheat.id(), Signed::seal(cheat, &world.run_of().id, vote).signature());
        c.signatures.sort_unstable();
    };
    assert!(with(&vote).expect_err("must be refused").contains("has no vote"));
}

#[test]
fn a_flipped_bit_anywhere_in_a_chain_is_found() {
    let world = finished();
    let bytes: Vec<Vec<u8>> = chain(&world).iter().map(SignedRecord::to_bytes).collect();
    let mut rng = Rng::new(1);
    for _ in 0..200 {
        let mut bad = bytes.clone();
        let record = rng.range(0, bad.len() as u64 - 1) as usize;
        let bit = rng.range(0, bad[record].len() as u64 * 8 - 1) as usize;
        bad[record][bit / 8] ^= 1 << (bit % 8);
        let checked = verify_chain(world.run_of(), bad.iter().map(Vec::as_slice));
        assert!(checked.is_err(), "record {record}, bit {bit}");
    }
    // A chain that lacks its end is a chain; one that lacks its middle is none.
    let part = |range: &[Vec<u8>]| {
        verify_chain(world.run_of(), range.iter().map(Vec::as_slice)).map(|_| ())
    };
    assert_eq!(part(&bytes[..3]), Ok(()));
    assert!(part(&[&bytes[..1], &bytes[2..]].concat()).is_err());
}

/// The most members there may be, each with a contribution, receipts, a link and its audits, fit
/// into one message.
#[test]
fn a_record_of_the_most_members_fits_a_message() {
    let world = finished();
    let advances = chain(&world);
    let advances = advances.iter().filter(|r| r.record().kind == Kind::Advance);
    let each = advances.map(|r| r.to_bytes().len() / r.record().contributions.len()).max();
    let each = each.expect("a run has advances");
    // Of four, every contribution is audited by three in probation: more cannot be.
    println!("{each} bytes a contribution");
    assert!(each * swarm::MAX_MEMBERS as usize <= swarm::MAX_RECORD, "{each} bytes each");
}
