//! Names that another program writes into a log, to pass for somebody or something else.

use crate::{town::*, voting::*};
use commons::{
    Archive, Body, Home, Statement, author,
    founding::{self, Forking},
    operator,
    state::{State, Status},
    statement::{Claim, Effect, Genesis, ProposalType, RULES_VERSION},
};
use ids::PeerId;

/// A log of version 2, written by the program before version 3, in the form of that of version 1.
/// In it members are called alike, by a key, and by what cannot be seen or typed, and a question
/// has options that nobody can tell apart.
const LOG: &[u8] = include_bytes!("../golden/log-rules-2.bin");

fn named(name: &str) -> Claim {
    Claim::Person { name: name.into() }
}

/// Somebody says by another program what it is called; whether it counts.
fn calls(town: &mut Town, person: &Person, name: &str) -> Result<(), String> {
    town.try_say(&person.key, about(person, named(name))).map(drop)
}

fn name<'a>(town: &'a Town, id: &PeerId) -> &'a str {
    &town.state.members[id].name
}

fn agrees(town: &Town) {
    assert_eq!(views(&town.replayed()), views(&town.state), "whoever replays it has the same");
}

fn refuses(town: &mut Town, person: &Person, other: &str) {
    let reason = calls(town, person, other).unwrap_err();
    assert!(!reason.is_empty());
}

#[test]
fn a_name_that_misleads_counts_for_nothing() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    calls(&mut town, &people[0], "Anna").unwrap();
    let id = people[0].id;
    let cyrillic = id.short().replace('a', "\u{430}").replace('e', "\u{435}");
    let bad = [
        "\u{410}nna",
        " anna ",
        "ANNA",
        "\u{ff21}nna",
        "A\u{200d}nna",
        "Be\u{200b}rt",
        "\u{202f}",
        " ",
        "fu\u{308}r",
        "a\u{378}",
        "\u{e000}",
        "\u{2800}",
    ];
    let ids = [id.short(), id.to_string(), id.short().to_uppercase(), cyrillic];
    for name in bad.into_iter().chain(ids.iter().map(String::as_str)) {
        for person in [people[1].clone(), Person::new(77)] {
            if town.state.members.contains_key(&person.id) {
                refuses(&mut town, &person, name);
                continue;
            }
            town.start(77);
        }
        let stranger = Person::new(77);
        refuses(&mut town, &stranger, name);
    }
    assert_eq!(name(&town, &people[1].id), "person 1");
    let reason = calls(&mut town, &people[1], "\u{410}nna").unwrap_err();
    assert!(reason.contains("looks like \"Anna\"") && reason.contains(&id.short()), "{reason}");
    for (person, own) in [(0, "anna"), (0, "Anna"), (1, "Anna Berta"), (2, "日本")] {
        calls(&mut town, &people[person], own).unwrap();
    }
    agrees(&town);
}

#[test]
fn of_one_name_from_two_devices_the_first_in_the_log_counts() {
    for (first, second) in [("Dora", "Dora"), ("Dora", "D\u{43e}ra"), ("dora", "DORA")] {
        let mut town = Town::new(3);
        let people = town.people.clone();
        // Both are written before either has its place.
        let said = [(0, first), (1, second)]
            .map(|(at, name)| town.say(&people[at].key, about(&people[at], named(name))));
        town.integrate();
        let place = |at: usize| town.state.place(&said[at]).unwrap().0;
        let (winner, loser) = if place(0) < place(1) { (0, 1) } else { (1, 0) };
        town.verdict(said[winner]).unwrap();
        town.verdict(said[loser]).unwrap_err();
        assert_eq!(name(&town, &people[winner].id), [first, second][winner]);
        assert_eq!(name(&town, &people[loser].id), format!("person {loser}"));
        agrees(&town);
    }
}

#[test]
fn a_name_is_free_once_its_member_is_called_otherwise() {
    let mut town = Town::new(2);
    let people = town.people.clone();
    calls(&mut town, &people[0], "Rose").unwrap();
    refuses(&mut town, &people[1], "R\u{43e}se");
    calls(&mut town, &people[0], "Iris").unwrap();
    calls(&mut town, &people[1], "R\u{43e}se").unwrap();
    refuses(&mut town, &people[0], "Rose");
    calls(&mut town, &people[0], "person 1").unwrap();
    agrees(&town);
}

#[test]
fn a_strangers_name_keeps_nobody_from_it_and_no_member_gets_one_that_is_taken() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let [eve, mallory] = [20, 21].map(|number| town.start(number));
    calls(&mut town, &eve, "Dora").unwrap();
    calls(&mut town, &mallory, "Dora").unwrap();
    calls(&mut town, &people[0], "Dora").unwrap();
    let vouched = |town: &mut Town, person: &Person| {
        for voucher in 0..2 {
            let key = town.people[voucher].key.clone();
            town.must(&key, vouch(&person.id));
        }
        assert!(town.state.is_member(&person.id));
    };
    vouched(&mut town, &eve);
    assert_eq!(name(&town, &eve.id), "", "a member was called so before it became one");
    calls(&mut town, &people[0], "Anna").unwrap();
    vouched(&mut town, &mallory);
    assert_eq!(name(&town, &mallory.id), "Dora", "nobody was");
    refuses(&mut town, &eve, "Dora");
    calls(&mut town, &eve, "Dora the Second").unwrap();
    agrees(&town);
}

/// Else one who vouched, and an accomplice, could take a member's name away for good.
#[test]
fn a_name_stays_with_who_had_it_as_a_member_until_that_one_takes_another() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let eve = town.join(20, &[0, 1]);
    calls(&mut town, &eve, "Eve").unwrap();
    refuses(&mut town, &people[2], "Eve");
    let (key, subject) = (people[0].key.clone(), eve.id);
    let withdrawn = Claim::Vouch { withdrawn: true };
    town.must(&key, commons::statement::Attest { subject, claim: withdrawn });
    refuses(&mut town, &people[2], "Eve");
    // Who is a member is counted anew once statements have paid for it.
    for turn in 0..40 {
        calls(&mut town, &people[1], &format!("somebody {turn}")).unwrap();
    }
    assert!(!town.state.is_member(&eve.id));
    refuses(&mut town, &people[2], "Eve");
    town.must(&key, vouch(&eve.id));
    assert!(town.state.is_member(&eve.id));
    assert_eq!(name(&town, &eve.id), "Eve");
    calls(&mut town, &eve, "Eve the Second").unwrap();
    calls(&mut town, &people[2], "Eve").unwrap();
    agrees(&town);
}

#[test]
fn a_question_whose_options_nobody_can_tell_apart_is_none() {
    let mut town = Town::new(3);
    let key = town.people[0].key.clone();
    for [a, b] in
        [["red", "Red"], ["pay", "p\u{430}y"], ["#1", "x"], [" ", "x"], ["a\u{200b}", "x"]]
    {
        let options = vec![choice(a, Effect::None), choice(b, Effect::None), no_change()];
        let ask = question(&town, ProposalType::Question, options);
        let reason = town.void(&key, ask);
        assert!(reason.contains("option"), "{reason}");
    }
    let options = vec![choice("red", Effect::None), choice("blue", Effect::None), no_change()];
    let ask = question(&town, ProposalType::Question, options);
    town.must(&key, ask);
    agrees(&town);
}

#[test]
fn founders_whom_nobody_can_tell_apart_begin_no_commons() {
    let town = Town::new(2);
    let Body::Genesis(body) = &town.genesis.body else { panic!("a genesis") };
    for [a, b] in
        [["Anna", "\u{410}nna"], ["Il", "ll"], ["Anna", "12345678"], ["Anna", "fu\u{308}r"]]
    {
        let found = |version| {
            let mut body = Genesis { version, ..body.clone() };
            (body.founders[0].name, body.founders[1].name) = (a.into(), b.into());
            author::found(&town.people[0].key, &town.operator, body)
        };
        let refused = found(Some(RULES_VERSION)).unwrap_err().to_string();
        assert!(refused.contains("names do not hold"), "{refused}");
        let (old, _) = found(Some(2)).expect("as it always was");
        assert!(Statement::parse(old.bytes()).is_ok());
    }
}

fn old(dir: &std::path::Path) -> (Home, Archive, State) {
    let statements = statements_of(LOG);
    let home = Home::create(dir, &statements[0], None).unwrap();
    let archive = home.archive().unwrap();
    archive.append(&statements[1..]).unwrap();
    let state = home.state(&archive.snapshot().unwrap()).unwrap();
    (home, archive, state)
}

#[test]
fn a_log_of_version_2_means_what_it_meant_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (_, archive, mut state) = old(dir.path());
    assert_eq!(state.version, 2);
    assert_eq!(state.voids, []);
    // As the program before version 3 had it.
    let id = "f9fcdeee3038aea540a3eccadf381478bc445f0612d78939c8d9b9a3486a8464";
    assert_eq!((state.id.to_string().as_str(), state.size), (id, 20));
    let called = [0, 1, 2, 3, 5].map(|number| {
        let member = &state.members[&Person::new(number).id];
        assert!(member.is_member);
        member.name.as_str()
    });
    let key = Person::new(0).id.short();
    assert_eq!(called, ["fu\u{308}r", "Anna", key.as_str(), "Be\u{200b}rt", "Anna"]);
    let asked = state.proposals.values().next().expect("a question");
    let names: Vec<&str> = asked.body.options.iter().map(|option| option.name.as_str()).collect();
    assert_eq!(names, ["red", "Red", "#1", " "]);
    let closed = 1_800_259_260;
    let status = Status::Passed { winners: vec![1], closed, due: closed, in_force: true };
    assert_eq!(asked.status, status);
    let operator = identity(8_000, 0);
    operator::sign_head(&archive, &state, &operator).unwrap();
    let bert = Person::new(1);
    archive.write(&state, &bert.key, about(&bert, named("\u{410}nna"))).unwrap();
    operator::integrate(&archive, &mut state, &operator).unwrap();
    assert_eq!(state.voids, []);
    assert_eq!(state.members[&bert.id].name, "\u{410}nna");
}

#[test]
fn a_fork_of_an_old_log_gives_its_founders_names_that_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (home, archive, state) = old(&dir.path().join("old"));
    drop(archive);
    let people = [0, 1, 2, 5].map(Person::new);
    let Body::Genesis(body) = &statements_of(LOG)[0].body else { panic!("a genesis") };
    let forking = Forking {
        name: "Orchard".into(),
        charter: None,
        with: people[1..].iter().map(|person| person.id.to_string()).collect(),
        size: None,
        witnesses: body.witnesses.clone(),
    };
    let operator = identity(8_000, 0);
    let to = dir.path().join("new");
    let fork = founding::fork(&home, &to, &people[0].key, &operator, forking, START).unwrap();
    let archive = fork.archive().unwrap();
    let new = fork.state(&archive.snapshot().unwrap()).unwrap();
    assert_eq!(new.version, RULES_VERSION);
    let names = people.each_ref().map(|person| new.members[&person.id].name.clone());
    // Fewer digits than pass for an id.
    let member = |at: usize| format!("member {}", &people[at].id.to_string()[..7]);
    // One with an accent of its own, one who is called so, one by a key, one like the second.
    assert_eq!(names, [member(0), "Anna".to_owned(), member(2), member(3)]);
    assert_eq!(state.members[&people[3].id].name, "Anna");
}
