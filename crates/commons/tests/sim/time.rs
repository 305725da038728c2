//! The clock held against its witnesses: who may move it how far, and that it never stands still
//! for good.

use crate::{town::*, voting::*};
use commons::{
    Archive, author, operator,
    state::{State, Status},
    statement::{Effect, Genesis, House, ProposalType, Propose, WitnessKey, Witnesses},
};
use ids::Hash;
use redb::backends::InMemoryBackend;
use tlog::{AddCheckpoint, KeyName, Response, SignedCheckpoint, Witness};

const HOUR: u64 = 60 * 60;

fn name(number: usize) -> KeyName {
    format!("witness{number}").parse().unwrap()
}

fn policy(threshold: u8, numbers: &[usize]) -> Witnesses {
    let key = |&number: &usize| WitnessKey {
        name: name(number).to_string(),
        key: witness_identity(number).id(),
    };
    Witnesses { threshold, keys: numbers.iter().map(key).collect() }
}

/// A commons with other witnesses than the usual ones; no mark yet.
fn town_of(people: u32, witnesses: Witnesses) -> Town {
    let people: Vec<Person> = (0..people).map(Person::new).collect();
    let operator = identity(8_000, 0);
    let body = Genesis { witnesses, ..genesis(&people, operator.id(), rules()) };
    let (genesis, head) = author::found(&people[0].key, &operator, body).unwrap();
    let archive = Archive::with_backend(InMemoryBackend::new(), Some(&genesis)).unwrap();
    archive.keep_checkpoint(&head).unwrap();
    let state = State::begin(&genesis, None).unwrap();
    Town { archive, state, operator, witnesses: vec![], now: START, people, genesis }
}

/// A commons that one witness decides the time of.
fn alone(people: u32) -> Town {
    let mut town = town_of(people, policy(1, &[0]));
    town.mark_by(&[0], START + 60).unwrap();
    town
}

impl Town {
    /// Has these witnesses cosign the head at a time that they like and enters it as a mark;
    /// whether it counts, or why not.
    fn mark_by(&mut self, witnesses: &[usize], time: u64) -> Result<(), String> {
        self.integrate();
        let mut head =
            operator::sign_head(&self.archive, &self.state, &self.operator.clone()).unwrap();
        let log = self.archive.snapshot().unwrap();
        let key = commons::state::log_key(&self.archive.origin(), self.operator.id());
        for &number in witnesses {
            let mut witness = Witness::new(witness_identity(number), name(number));
            let request = AddCheckpoint::new(0, head.clone(), &log).unwrap().to_string();
            let answer =
                witness.add_checkpoint(request.as_bytes(), time, |_| Some(vec![key.clone()]));
            let Response::Cosigned(lines) = answer.response else { panic!("{answer:?}") };
            lines.into_iter().for_each(|line| head.add(line).unwrap());
        }
        drop(log);
        self.enter(&head)
    }

    /// Enters a note as a mark, whatever it is worth.
    fn enter(&mut self, head: &SignedCheckpoint) -> Result<(), String> {
        use commons::statement::{Check, Evidence, Subject, Verdict};
        let evidence = Evidence::Checkpoint(head.to_string());
        let check = Check { subject: Subject::Log, verdict: Verdict::Confirmed, evidence };
        let key = self.operator.clone();
        self.try_say(&key, check).map(drop)
    }

    fn talk(&mut self, at: usize) {
        let person = self.people[at].clone();
        let claim = commons::statement::Claim::Conflict { with: "apples".into(), ended: false };
        self.must(&person.key, about(&person, claim));
    }
}

fn ask(town: &mut Town) -> Hash {
    let key = town.people[0].key.clone();
    let options = vec![choice("yes", Effect::None), no_change()];
    let body =
        Propose { close: town.now + 7 * DAY, ..question(town, ProposalType::Question, options) };
    town.must(&key, body)
}

/// The only witness says that a year has gone by, and the question stays open.
#[test]
fn the_only_witness_does_not_close_a_question_by_a_clock_that_is_a_year_ahead() {
    let mut town = alone(3);
    let asked = ask(&mut town);
    town.mark_by(&[0], START + 365 * DAY).unwrap();
    assert_eq!(status(&town, asked), Status::Open);
    assert_eq!(town.state.now(), START + 60);
}

/// Many small steps are one large one: the time stays within a step of what members have seen,
/// whatever the witness and one member who helps it do.
#[test]
fn neither_do_many_small_steps_nor_a_member_who_helps() {
    let mut town = alone(3);
    let asked = ask(&mut town);
    let mut time = START + 60;
    for _ in 0..60 {
        time += 20 * HOUR;
        town.mark_by(&[0], time).unwrap();
        town.talk(2);
        assert!(town.state.now() <= START + 60 + town.state.step(), "{}", town.state.now());
    }
    assert_eq!(status(&town, asked), Status::Open);
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// Two members have seen the mark that was too far ahead; the next one counts, and with it what was
/// witnessed in between: a ballot that a mark covered before the close is in time.
#[test]
fn a_commons_idle_for_a_year_goes_on_after_members_speak() {
    let mut town = alone(3);
    let asked = ask(&mut town);
    let close = START + 60 + 7 * DAY;
    town.mark_by(&[0], START + 5 * DAY).unwrap();
    let ballot = rank(asked, &[0, 1]);
    for person in town.people.clone() {
        town.must(&person.key, ballot.clone());
    }
    assert_eq!(town.state.now(), START + 60, "no second mark yet");
    town.mark_by(&[0], START + 5 * DAY + HOUR).unwrap();
    assert_eq!(town.state.now(), START + 5 * DAY + HOUR);
    town.now = START + 370 * DAY;
    town.mark_by(&[0], town.now).unwrap();
    town.mark_by(&[0], town.now + 60).unwrap();
    assert!(town.state.now() < close, "nobody has seen it");
    town.talk(0);
    town.talk(1);
    town.mark_by(&[0], town.now + 120).unwrap();
    assert_eq!(town.state.now(), town.now + 120);
    assert!(matches!(status(&town, asked), Status::Passed { .. }), "all ballots were in time");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// With two witnesses the first mark after a year counts.
#[test]
fn two_witnesses_take_an_idle_commons_on_at_once() {
    let mut town = Town::new(3);
    let asked = ask(&mut town);
    // Covered by a mark: so long everybody can have known of it.
    town.tick(60);
    town.tick(365 * DAY);
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
    assert!(town.state.held_marks().is_empty());
}

/// Of three witnesses one is enough, and one is false: alone it moves nothing far, two at once do.
#[test]
fn one_of_three_is_held_and_two_are_not() {
    let mut town = town_of(3, policy(1, &[0, 1, 2]));
    town.mark_by(&[0], START + 60).unwrap();
    let asked = ask(&mut town);
    town.mark_by(&[2], START + 365 * DAY).unwrap();
    assert_eq!(status(&town, asked), Status::Open);
    assert_eq!(town.state.held_marks().len(), 1);
    town.mark_by(&[0, 1], START + 8 * DAY).unwrap();
    assert_eq!(town.state.now(), START + 8 * DAY, "and what was held is taken back");
    assert!(town.state.held_marks().is_empty());
    town.mark_by(&[2], START + 365 * DAY).unwrap();
    assert_eq!(town.state.now(), START + 8 * DAY);
}

/// A member's program does not say that it has seen a mark that its own clock contradicts; what it
/// says counts all the same, and the witness can put its clock right.
#[test]
fn members_whose_clocks_disagree_do_not_confirm_a_false_time() {
    let mut town = alone(3);
    let asked = ask(&mut town);
    town.mark_by(&[0], START + 365 * DAY).unwrap();
    for at in 0..3 {
        let person = town.people[at].clone();
        let body = rank(asked, &[0, 1]);
        let said = town.archive.write_at(&town.state, &person.key, START + 2 * HOUR, body).unwrap();
        town.integrate();
        town.verdict(said.hash()).unwrap();
    }
    town.mark_by(&[0], START + 365 * DAY + 60).unwrap();
    assert_eq!(status(&town, asked), Status::Open);
    let log = town.archive.snapshot().unwrap();
    let right = author::head_at(&log, &town.state, START + 365 * DAY).unwrap();
    assert_eq!(right, town.seen(), "whose clock agrees has seen all");
    drop(log);
    town.mark_by(&[0], START + 3 * HOUR).unwrap();
    assert_eq!(town.state.now(), START + 3 * HOUR);
    assert!(town.state.held_marks().is_empty());
    assert!(town.state.doubtful(START + 2 * HOUR).is_none());
}

/// Marks themselves are no word of a member, even where a member operates the log.
#[test]
fn a_mark_does_not_confirm_the_mark_before_it() {
    let mut town = alone(3);
    let asked = ask(&mut town);
    for (at, person) in town.people.clone().iter().enumerate() {
        town.mark_by(&[0], START + 365 * DAY + at as u64).unwrap();
        let log = town.archive.snapshot().unwrap();
        let note = log.latest_checkpoint().unwrap().unwrap();
        drop(log);
        let evidence = commons::statement::Evidence::Checkpoint(note.to_string());
        let check = commons::statement::Check {
            subject: commons::statement::Subject::Log,
            verdict: commons::statement::Verdict::Confirmed,
            evidence,
        };
        let _ = town.try_say(&person.key, check);
    }
    town.mark_by(&[0], START + 366 * DAY).unwrap();
    assert_eq!(status(&town, asked), Status::Open);
}

/// Somebody who is alone cannot wait for a second member; once there is one, it takes two.
#[test]
fn who_is_alone_confirms_alone() {
    let mut town = alone(1);
    town.talk(0);
    town.mark_by(&[0], START + 365 * DAY).unwrap();
    assert!(town.state.now() < START + 2 * DAY);
    town.talk(0);
    town.mark_by(&[0], START + 365 * DAY + 60).unwrap();
    assert_eq!(town.state.now(), START + 365 * DAY + 60);
}

/// The same note again, or an older one, is nothing: neither a second mark nor a way to take back
/// what is held.
#[test]
fn notes_that_are_entered_again_move_nothing() {
    let mut town = alone(3);
    town.mark_by(&[0], START + 10 * DAY).unwrap();
    let log = town.archive.snapshot().unwrap();
    let old = commons::portable::cosigned_head(&log, &town.state).unwrap().unwrap();
    drop(log);
    town.mark_by(&[0], START + 11 * DAY).unwrap();
    let held = town.state.held_marks().to_vec();
    assert_eq!(held.len(), 2);
    assert!(town.enter(&old).unwrap_err().contains("not newer"));
    assert_eq!(town.state.held_marks(), held);
}

/// The founders' word for the time may be of any age, so the first mark sets the clock; not once
/// there is something that a clock could end.
#[test]
fn the_first_mark_sets_the_clock_before_there_is_a_question() {
    let mut town = town_of(3, policy(1, &[0]));
    town.mark_by(&[0], START + 400 * DAY).unwrap();
    assert_eq!(town.state.now(), START + 400 * DAY);
    // The clock goes on from there, also where nobody has said anything since.
    town.mark_by(&[0], START + 400 * DAY + 60).unwrap();
    assert_eq!(town.state.now(), START + 400 * DAY + 60);
    let mut town = town_of(3, policy(1, &[0]));
    let asked = ask(&mut town);
    town.mark_by(&[0], START + 400 * DAY).unwrap();
    assert_eq!((status(&town, asked), town.state.now()), (Status::Open, START));
}

/// A commons with both houses and two of three witnesses, and the decision for others.
fn decided(witnesses: &Witnesses) -> (Town, Hash) {
    let mut town = Town::new(3);
    for number in 3..6 {
        let user = town.join(number, &[0, 1]);
        town.use_it(&user);
    }
    let effect = Effect::Witnesses(witnesses.clone());
    let asked = propose(&mut town, effect);
    (town, asked)
}

fn propose(town: &mut Town, effect: Effect) -> Hash {
    let body = Propose {
        houses: vec![House::Users, House::Contributors],
        ..question(town, ProposalType::Witnesses, vec![choice("others", effect), no_change()])
    };
    let key = town.people[0].key.clone();
    let asked = town.must(&key, body);
    vote_all(town, asked, &[0, 1]);
    town.tick(DAY);
    town.tick(2 * DAY);
    asked
}

/// Witnesses whom nobody runs do not stop the clock: those before them go on until enough of the
/// new ones have cosigned a head that has the decision.
#[test]
fn witnesses_whom_nobody_runs_do_not_stop_the_clock() {
    let new = policy(2, &[5, 6, 7]);
    let (mut town, asked) = decided(&new);
    town.tick(20 * DAY);
    assert!(matches!(status(&town, asked), Status::Passed { in_force: true, .. }));
    for _ in 0..3 {
        town.tick(DAY);
    }
    assert_eq!(town.state.coming.as_ref().unwrap().witnesses, new);
    // One of them is not enough; two are, and need none of the old ones.
    let one = town.mark_by(&[5], town.now + DAY);
    assert!(one.unwrap_err().contains("0 of 2 witnesses"));
    town.now += DAY;
    town.mark_by(&[5, 6], town.now).unwrap();
    assert_eq!((town.state.now(), &town.state.witnesses), (town.now, &new));
    assert!(town.state.coming.is_none());
    let old = town.mark_by(&[0, 1, 2], town.now + DAY);
    assert!(old.unwrap_err().contains("witnesses cosigned"), "the old ones have no say any more");
    town.mark_by(&[6, 7], town.now + DAY).unwrap();
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// A head from before the decision was in force puts nobody into force, whoever cosigned it.
#[test]
fn witnesses_to_come_have_no_say_about_what_was_before_them() {
    let (mut town, _) = decided(&policy(1, &[5]));
    let before = operator::sign_head(&town.archive, &town.state, &town.operator.clone()).unwrap();
    let line = before.cosign(&witness_identity(5), &name(5), town.now + 900 * DAY);
    let mut early = before.clone();
    early.add(line).unwrap();
    assert!(town.enter(&early).is_err(), "nobody appointed it yet");
    town.tick(20 * DAY);
    assert!(town.state.coming.is_some());
    assert!(town.enter(&early).is_err());
    assert!(town.state.coming.is_some() && town.state.now() == town.now);
    // The one that is to decide alone does not jump either.
    town.mark_by(&[5], town.now + 900 * DAY).unwrap();
    assert!(town.state.coming.is_none() && town.state.now() == town.now);
}

/// A decision that follows another replaces it, in force or not; and both at once are judged by the
/// same log on every machine.
#[test]
fn later_witnesses_replace_those_who_never_came() {
    let (mut town, _) = decided(&policy(2, &[5, 6]));
    town.tick(20 * DAY);
    let back = policy(2, &[0, 1, 2]);
    propose(&mut town, Effect::Witnesses(back.clone()));
    town.tick(20 * DAY);
    assert_eq!((town.state.coming.clone(), &town.state.witnesses), (None, &back));
    assert!(town.mark_by(&[5, 6], town.now + 60).is_err());
    town.tick(60);
    assert_eq!(views(&town.state), views(&town.replayed()));
}
