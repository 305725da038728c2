//! A made-up commons with something of everything: its statements are real, its people are not.

use commons::statement::{
    Choice, Claim, Component, Derive, Effect, House, Method, Parent, ProposalType, Propose,
    Publish, Quota, Relation, Reproducible, Rights, Rules, TieRule, Unranked, Verdict, Vote,
    VoteBody,
};
use ids::{Hash, canonical};

use crate::town::{DAY, Person, Town, about, check, person, rank, vouch};

/// Who joins after the founders: name, who vouches, where they work.
const JOINED: [(&str, [u32; 2], &str); 10] = [
    ("Emil Sørensen", [0, 1], ""),
    ("Fatou Ndiaye", [0, 2], ""),
    ("Goran Petrović", [1, 0], "Acme Research"),
    ("Nguyễn Thị Mai", [2, 3], "University of Tartu"),
    ("Ivo Tamm", [2, 3], ""),
    ("Juma Odhiambo", [3, 4], ""),
    ("Kaja Lepp", [1, 6], ""),
    ("ليلى منصور", [4, 5], "Library of Recife"),
    ("María José Carreño Quiñones", [1, 6], "Library of Recife"),
    ("Oren", [1, 6], ""),
];
const USERS: [u32; 5] = [4, 5, 9, 10, 11];

/// The made-up commons.
pub fn commons() -> Town {
    let rules = Rules {
        notice: DAY,
        exit_period: 10 * DAY,
        appeal_period: 5 * DAY,
        margin_floor: 2,
        quorum: (1, 1),
        ..Rules::default()
    };
    let founders = ["Anna Ferreira", "Bert Okafor", "Cleo Marsh", "Dina Haddad"];
    let mut town = Town::found("Mycelium", &founders, rules);
    people(&mut town);
    models(&mut town);
    decisions(&mut town);
    hand_over(&mut town);
    open_question(&mut town);
    troubles(&mut town);
    town
}

fn people(town: &mut Town) {
    town.works_at(&person(0), "Acme Research");
    town.works_at(&person(1), "Acme Research");
    town.works_at(&person(2), "University of Tartu");
    for (number, (name, vouchers, org)) in (4..).zip(JOINED) {
        let joined = town.join(number, name, &vouchers);
        if !org.is_empty() {
            town.works_at(&joined, org);
        }
    }
    let mira = town.start(20, "Mira Novak");
    town.tell(&person(2), vouch(&mira));
    town.start(21, "Noor");
    town.tick(3 * DAY);
}

fn models(town: &mut Town) {
    let corpus = artifact(town, 3, "soil-corpus 1", "CC-BY-4.0");
    let base = artifact(town, 0, "spore-1b", "Apache-2.0");
    let chat = artifact(town, 4, "spore-1b-chat", "Apache-2.0");
    let mini = artifact(town, 7, "spore-mini-150m", "Apache-2.0");
    let merge = artifact(town, 6, "truffle-merge of chat and hypha, for Estonian", "Apache-2.0");
    let quantized = artifact(town, 8, "truffle-q4", "Apache-2.0");
    let hypha = Hash::of(b"hypha-7b");

    let trained = derive(town, 0, base, &[(corpus, Relation::Trained, 0)], Reproducible::Exact);
    let tuned = derive(town, 4, chat, &[(base, Relation::Tuned, 900)], Reproducible::Exact);
    derive(town, 7, mini, &[(base, Relation::Distilled, 500)], Reproducible::Tolerance);
    let merged = [(chat, Relation::Merged, 600), (hypha, Relation::Merged, 400)];
    let merged = derive(town, 6, merge, &merged, Reproducible::Exact);
    let packed =
        derive(town, 8, quantized, &[(merge, Relation::Quantized, 1000)], Reproducible::Exact);
    for (statement, checks) in [
        (trained, vec![(2, Verdict::Confirmed), (4, Verdict::Confirmed), (5, Verdict::Confirmed)]),
        (tuned, vec![(5, Verdict::Confirmed)]),
        (merged, vec![(2, Verdict::Confirmed), (3, Verdict::Mismatch)]),
        (packed, vec![(0, Verdict::Confirmed), (3, Verdict::Confirmed)]),
    ] {
        for (who, verdict) in checks {
            town.say(&person(who), check(statement, verdict));
        }
        town.integrate();
    }
    for (at, user) in USERS.into_iter().enumerate() {
        town.uses(&person(user), [chat, quantized, chat, base, quantized][at]);
    }
    town.tick(DAY);
}

fn artifact(town: &mut Town, who: u32, name: &str, licence: &str) -> Hash {
    let artifact = Hash::of(name.as_bytes());
    let component = Component {
        mof: 0,
        digest: Some(artifact),
        licence: licence.into(),
        text: None,
        mutable: false,
        location: String::new(),
    };
    let (name, components) = (name.into(), vec![component]);
    town.tell(&person(who), Publish { name, artifact, components, supersedes: None });
    artifact
}

fn derive(
    town: &mut Town,
    who: u32,
    child: Hash,
    parents: &[(Hash, Relation, u16)],
    reproducible: Reproducible,
) -> Hash {
    let parent = |&(digest, relation, share): &_| Parent { digest, relation, share };
    let body = Derive {
        child,
        parents: parents.iter().map(parent).collect(),
        recipe: Hash::of_parts("example recipe", &[&child.0]),
        tool: "understory 0.1".into(),
        reproducible,
    };
    town.tell(&person(who), body)
}

fn option(name: &str, effect: Effect) -> Choice {
    Choice { name: name.into(), digest: None, ratio: (1, 1), effect }
}

fn question(town: &Town, topic: ProposalType, title: &str, options: Vec<Choice>) -> Propose {
    Propose {
        topic,
        title: title.into(),
        text: String::new(),
        default: options.len().checked_sub(1).map(|last| last as u16),
        options,
        houses: vec![],
        method: Method::Counted(decide::Method::Schulze),
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: 1,
        cap: None,
        quotas: vec![],
        close: town.now + 2 * DAY,
        reveal: None,
        appeals: None,
        held: None,
    }
}

fn votes(town: &mut Town, asked: Hash, ballots: &[(&[u32], &[u16])]) {
    for (who, options) in ballots {
        for &number in *who {
            town.say(&person(number), rank(asked, options));
        }
    }
    town.integrate();
}

/// Lets a question close; a mark in the last day before says which ballots were in time.
fn close(town: &mut Town) {
    town.tick(DAY);
    town.tick(DAY + 600);
}

fn decisions(town: &mut Town) {
    which_language(town);
    charter(town);
    stewards(town);
    grant(town);
    logo(town);
    corpora(town);
    council(town);
    removal(town);
}

/// Four options, of which three beat each other in a circle.
fn which_language(town: &mut Town) {
    let options = ["Estonian", "Wolof", "Quechua", "none of these"];
    let options = options.map(|name| option(name, Effect::None)).to_vec();
    let mut ask =
        question(town, ProposalType::Question, "Which language does spore learn next?", options);
    ask.text = "The corpus of the one that wins is gathered in spring. Whoever ranks a language \
                above “none of these” offers to read for it."
        .into();
    let asked = town.tell(&person(5), ask);
    let ballots: [(&[u32], &[u16]); 4] = [
        (&[0, 1, 4, 6, 10, 12], &[0, 1, 2]),
        (&[3, 5, 8, 9], &[1, 2, 0]),
        (&[2, 7, 11], &[2, 0, 1]),
        (&[13], &[3]),
    ];
    votes(town, asked, &ballots);
    close(town);
}

fn charter(town: &mut Town) {
    let effect = Effect::Charter(Hash::of(b"charter 2"));
    let options = vec![option("second version", effect), option("keep the first", Effect::None)];
    let ask = Propose {
        houses: vec![House::Users, House::Contributors],
        ..question(town, ProposalType::Charter, "Adopt the charter’s second version", options)
    };
    let asked = town.tell(&person(0), ask);
    let ballots: [(&[u32], &[u16]); 2] =
        [(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11], &[0, 1]), (&[7], &[1, 0])];
    votes(town, asked, &ballots);
    close(town);
    town.tick(11 * DAY);
}

fn stewards(town: &mut Town) {
    let seat = |number: u32| {
        let name = &town.state.members[&person(number).id].name;
        option(name, Effect::Seat(person(number).id))
    };
    let mut options = [0, 1, 2, 3, 4].map(seat).to_vec();
    options.push(option("none of these", Effect::None));
    let ask = Propose {
        method: Method::Counted(decide::Method::Committee),
        seats: 3,
        ..question(town, ProposalType::Stewards, "Stewards for the next year", options)
    };
    let asked = town.tell(&person(3), ask);
    let ballots: [(&[u32], &[u16]); 3] = [
        (&[0, 1, 6, 10, 12], &[0, 1, 2]),
        (&[2, 3, 7, 8, 9], &[2, 3, 0]),
        (&[4, 5, 11], &[0, 1, 3]),
    ];
    votes(town, asked, &ballots);
    close(town);
}

/// One voter decides: the result is withheld.
fn grant(town: &mut Town) {
    let options = vec![option("take it", Effect::None), option("decline", Effect::None)];
    let ask = question(town, ProposalType::Question, "Take Acme Research’s grant?", options);
    let asked = town.tell(&person(1), ask);
    let ballots: [(&[u32], &[u16]); 2] =
        [(&[0, 1, 6, 8, 10, 12], &[0, 1]), (&[2, 3, 4, 5, 7], &[1, 0])];
    votes(town, asked, &ballots);
    close(town);
}

fn logo(town: &mut Town) {
    let options = vec![option("a truffle", Effect::None), option("no logo", Effect::None)];
    let asked = town.tell(
        &person(12),
        question(town, ProposalType::Question, "A logo for the commons", options),
    );
    votes(town, asked, &[(&[0, 1], &[0, 1]), (&[2, 3, 4, 5, 7], &[1, 0])]);
    close(town);
}

/// Approval: whoever may be approved of, with a ballot of one's own.
fn corpora(town: &mut Town) {
    let names = ["forum threads", "court records", "song texts"];
    let options = names.map(|name| option(name, Effect::None)).to_vec();
    let ask = Propose {
        method: Method::Counted(decide::Method::Approval),
        default: None,
        seats: 2,
        ..question(town, ProposalType::Question, "Which corpora are cleaned first?", options)
    };
    let proposal = town.tell(&person(7), ask);
    let ballots: [(&[u32], &[u16]); 3] =
        [(&[0, 1, 2, 5], &[0]), (&[3, 4, 7], &[0, 2]), (&[8, 9, 10, 11, 12], &[2])];
    for (who, options) in ballots {
        for &number in who {
            let ballot = VoteBody::Approve(options.to_vec());
            town.say(&person(number), Vote { proposal, ballot });
        }
    }
    town.integrate();
    close(town);
}

/// Two seats by transferable vote.
fn council(town: &mut Town) {
    let names = ["Emil Sørensen", "Ivo Tamm", "Juma Odhiambo", "Kaja Lepp"];
    let options = names.map(|name| option(name, Effect::None)).to_vec();
    let ask = Propose {
        method: Method::Counted(decide::Method::Stv),
        default: None,
        seats: 2,
        ..question(town, ProposalType::Question, "Two readers for the summer school", options)
    };
    let asked = town.tell(&person(2), ask);
    let ballots: [(&[u32], &[u16]); 4] = [
        (&[0, 1, 5, 6, 11, 12], &[0, 1]),
        (&[2, 7, 8], &[1]),
        (&[3, 4, 9], &[2, 1]),
        (&[10, 13], &[3, 2]),
    ];
    votes(town, asked, &ballots);
    close(town);
}

/// A member is to be removed; a panel drawn by lot overturns it.
fn removal(town: &mut Town) {
    let effect = Effect::Remove(person(6).id, Hash::of(b"evidence"));
    let options = vec![option("remove", effect), option("no removal", Effect::None)];
    let ask = question(town, ProposalType::Removal, "Remove Goran Petrović", options);
    let removal = town.tell(&person(3), ask);
    votes(town, removal, &[(&[2, 3, 4, 5, 7, 8, 9], &[0, 1]), (&[1, 6], &[1, 0])]);
    close(town);
    let panel = draw(town);
    let options = vec![option("overturn", Effect::Overturn), option("uphold", Effect::None)];
    let title = "Appeal: was Goran given notice of the evidence?";
    let ask = Propose {
        appeals: Some(removal),
        close: town.now + DAY + 600,
        ..question(town, ProposalType::Appeal, title, options)
    };
    let appeal = town.tell(&person(6), ask);
    for number in panel {
        town.say(&person(number), rank(appeal, &[0, 1]));
    }
    town.tick(600);
    town.tick(DAY + 600);
}

/// Draws a panel; who sits on it.
fn draw(town: &mut Town) -> Vec<u32> {
    let quota = |stratum: &str, min, max| Quota { stratum: stratum.into(), min, max };
    let ask = Propose {
        method: Method::Lot,
        options: vec![],
        default: None,
        seats: 5,
        quotas: vec![
            quota("users", 2, 3),
            quota("contributors", 1, 3),
            quota("Acme Research", 0, 1),
        ],
        close: town.now + DAY,
        reveal: Some(town.now + 2 * DAY),
        ..question(town, ProposalType::Panel, "A panel for the appeal of Goran Petrović", vec![])
    };
    let asked = town.tell(&person(6), ask);
    let salt = |number: u32| Hash::of_parts("secret", &[&number.to_le_bytes()]);
    let ballot = canonical::encode(&Vec::<Vec<u16>>::new());
    for number in 0..9 {
        let who = person(number);
        let digest = decide::commitment(&asked.0, &who.id.0, &salt(number).0, &ballot);
        town.say(&who, Vote { proposal: asked, ballot: VoteBody::Commit(Hash(digest)) });
    }
    town.tick(1);
    town.tick(DAY + 1);
    for number in 0..9 {
        let ballot = VoteBody::Reveal { groups: vec![], salt: salt(number) };
        town.say(&person(number), Vote { proposal: asked, ballot });
    }
    town.tick(60);
    town.tick(DAY);
    let panel = town.state.proposals[&asked].panel.clone().map(|panel| panel.members);
    let seated = panel.unwrap_or_default();
    (0..14).filter(|&number| seated.contains(&person(number).id.to_string())).collect()
}

/// Two of three stewards name Cleo's machine: the log has a new operator.
fn hand_over(town: &mut Town) {
    let cleo = person(2);
    for steward in town.state.active_stewards() {
        let who = (0..14).map(person).find(|p| p.id == steward).expect("a steward is one of them");
        let rights = Rights::to_operate(cleo.id);
        town.say(&who, rights);
    }
    town.operator = cleo.key;
    town.integrate();
    town.tick(DAY);
}

fn open_question(town: &mut Town) {
    let options = vec![
        option("AGPL-3.0-or-later", Effect::None),
        option("Apache-2.0 with a naming duty", Effect::None),
        option("leave Apache-2.0", Effect::None),
    ];
    let ask = Propose {
        houses: vec![House::Users, House::Contributors],
        close: town.now + 20 * DAY,
        ..question(town, ProposalType::Licence, "A licence for spore-2b", options)
    };
    let asked = town.tell(&person(4), ask);
    let ballots: [(&[u32], &[u16]); 3] =
        [(&[0, 4, 5, 9, 10], &[0, 1, 2]), (&[2, 3, 11], &[1, 0, 2]), (&[1, 6], &[2, 1])];
    votes(town, asked, &ballots);
    town.tick(DAY);
}

/// One contradicts oneself, one is no member, one is left out by the operator.
fn troubles(town: &mut Town) {
    let name = |who: &Person, name: &str| about(who, Claim::Person { name: name.into() });
    let juma = person(9);
    town.contradict(&juma, [name(&juma, "Juma O.").into(), name(&juma, "J. Odhiambo").into()]);
    town.tell(&person(21), vouch(&person(20)));
    town.tick(600);
    let kaja = person(10);
    let said = town.say(&kaja, name(&kaja, "Kaja Lepp-Saar"));
    town.promise(said);
    for _ in 0..4 {
        grow(town);
    }
}

/// One more statement in the log, which changes no picture.
pub fn grow(town: &mut Town) {
    let dina = person(3);
    let claim = Claim::Conflict { with: "Library of Recife".into(), ended: false };
    town.tell_past_the_others(&dina, about(&dina, claim));
}
