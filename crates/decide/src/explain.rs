//! A count in words.

use super::election::{Election, Method, Quorum, Ratio, TieRule, Unranked};
use super::houses::passed;
use super::outcome::{Defeat, Outcome, Step, TiePurpose};
use super::pairwise::Pairwise;
use data_encoding::HEXLOWER;

/// The rules and each step of the count, one sentence or so a line, in the words of a member.
pub fn explain(election: &Election, outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![rules(election)];
    lines.extend(outcome.spoilt.iter().map(|spoilt| {
        format!("The ballot of voter {} does not count: {}.", spoilt.voter, spoilt.why)
    }));
    lines.extend(outcome.steps.iter().map(|step| sentence(election, step)));
    lines.push(match outcome.winners.as_slice() {
        [] => "Nobody and nothing is elected.".to_owned(),
        winners => format!("Result: {}.", names(election, winners, ", ")),
    });
    lines
}

/// What two houses decided together, in words; their counts are put in words by [`explain`].
pub fn explain_houses(election: &Election, users: &Outcome, contributors: &Outcome) -> Vec<String> {
    let name = |outcome: &Outcome| match outcome.winners.as_slice() {
        [] => "nothing".to_owned(),
        winners => names(election, winners, ", "),
    };
    let first =
        format!("The users elect {}, the contributors {}.", name(users), name(contributors));
    let second = match passed(election, &users.winners, &contributors.winners) {
        Some(option) => format!("Both houses agree: “{}” is adopted.", election.name(option)),
        None => "They do not agree on a change: nothing changes.".to_owned(),
    };
    vec![first, second]
}

/// The pairwise matrix of the options with these names as a table: the number in row A and column
/// B prefers A to B.
pub fn matrix_table(names: &[&str], pairwise: &Pairwise) -> Vec<String> {
    let name = |option: usize| format!("{}. {}", option + 1, names.get(option).unwrap_or(&""));
    let count = pairwise.options();
    let first = (0..count).map(|o| name(o).chars().count()).max().unwrap_or(0);
    let cells = pairwise.rows().flatten().map(|votes| votes.to_string().len());
    let width = cells.max().unwrap_or(1).max(count.to_string().len());
    let mut lines = vec![format!("{:first$}", "")];
    (1..=count).for_each(|o| lines[0].push_str(&format!("  {o:>width$}")));
    for (a, row) in pairwise.rows().enumerate() {
        let mut line = format!("{:first$}", name(a));
        for (b, votes) in row.iter().enumerate() {
            let cell = if a == b { "–".to_owned() } else { votes.to_string() };
            line.push_str(&format!("  {cell:>width$}"));
        }
        lines.push(line);
    }
    lines
}

fn rules(election: &Election) -> String {
    let method = match election.method {
        Method::Approval => "Approval: whoever most members approve of is elected.",
        Method::Schulze => "Schulze, as in Debian's constitution (A.5).",
        Method::Committee => "Committee: seats are given down the Schulze order by winning votes.",
        Method::Stv => "Single transferable vote by the rules of Scottish local elections.",
    };
    let unranked = match (election.method, election.unranked) {
        (Method::Approval | Method::Stv, _) => "",
        (_, Unranked::Last) => " Options that a ballot does not name come last on it.",
        (_, Unranked::NoOpinion) => " A ballot says nothing about options that it does not name.",
    };
    let cap = match election.employer_cap {
        Some(_) => format!(
            " People of one employer may hold {} of {} seats.",
            election.cap(),
            election.all_seats()
        ),
        None => String::new(),
    };
    format!("{method}{unranked} Ties: {}.{}{cap}", tie_rule(election.tie), quorum(election))
}

fn tie_rule(rule: TieRule) -> String {
    match rule {
        TieRule::Listed => "the option that stands first on the ballot paper".to_owned(),
        TieRule::Lot { seed } => {
            format!("a lot drawn from the public seed {}…", HEXLOWER.encode(&seed[..4]))
        }
        TieRule::Casting { voter } => format!("the casting vote of voter {voter}"),
    }
}

fn quorum(election: &Election) -> String {
    let least = election.quorum.least(election.electors);
    let how = match election.quorum {
        Quorum::None => return String::new(),
        Quorum::Votes(_) => "a fixed number".to_owned(),
        Quorum::Share(part) => format!("{}/{} of {}", part.num, part.den, election.electors),
        Quorum::Root { times } => {
            let root = format!("half the square root of {}", election.electors);
            if times.den == 1 {
                format!("{} times {root}", times.num)
            } else {
                format!("{}/{} times {root}", times.num, times.den)
            }
        }
    };
    format!(" Quorum: {least} ({how}).")
}

fn sentence(e: &Election, step: &Step) -> String {
    let name = |option: &u32| e.name(*option);
    match step {
        Step::Counted { ballots, spoilt, electors } => counted(*ballots, *spoilt, *electors),
        Step::TooFewBallots { ballots, least } => {
            format!("{} are too few: {least} are needed.", plural(*ballots, "ballot"))
        }
        Step::BelowQuorum { option, votes, least } => below_quorum(e, *option, *votes, *least),
        Step::BelowMajority { option, votes, against, ratio } => {
            below_majority(e, *option, (*votes, *against), *ratio)
        }
        Step::Defeats { defeats } if defeats.is_empty() => "No option defeats another.".to_owned(),
        Step::Defeats { defeats } => {
            format!("Defeats among the options left: {}.", defeat_list(e, defeats))
        }
        Step::Schwartz { set } => schwartz(e, set),
        Step::WeakestDropped { defeats } => {
            let list = defeat_list(e, defeats);
            format!("The weakest of the defeats among these no longer count: {list}.")
        }
        Step::Tied { among, rule, purpose } => tied(e, among, *rule, *purpose),
        Step::Approvals { option, votes } => format!("{votes} approve of “{}”.", name(option)),
        Step::Next { option } => next(name(option)),
        Step::Capped { option, employer, cap } => capped(name(option), employer, *cap),
        Step::Elected { option } => format!("“{}” is elected.", name(option)),
        Step::DefaultStands { option } => {
            format!("Nothing else is elected: “{}” stands.", name(option))
        }
        Step::Vacant { seats } => match seats {
            1 => "1 seat stays empty.".to_owned(),
            _ => format!("{seats} seats stay empty."),
        },
        Step::Quota { ballots, quota } => droop(e, *ballots, *quota),
        Step::Stage { number, votes, lost } => stage(e, *number, votes, *lost),
        Step::Surplus { option, surplus, votes } => transfer(name(option), *surplus, *votes),
        Step::Excluded { option, votes } => excluded(name(option), *votes),
        Step::RestElected { options } => {
            format!("No more are left than seats: {}.", names(e, options, ", "))
        }
        Step::EarlierStage { among, stage, chosen } => format!(
            "{} are equal; at stage {stage} they were not, which makes it “{}”.",
            names(e, among, " and "),
            name(chosen)
        ),
    }
}

fn counted(ballots: u64, spoilt: u64, electors: u64) -> String {
    let and = if spoilt > 0 { format!(", {spoilt} more do not") } else { String::new() };
    format!("{} of {} count{and}.", plural(ballots, "ballot"), plural(electors, "elector"))
}

fn below_quorum(e: &Election, option: u32, votes: u64, least: u64) -> String {
    let (name, default) = (e.name(option), default(e));
    match e.method {
        Method::Approval => {
            format!("“{name}” is out: {votes} approve of it, {least} are needed.")
        }
        _ => format!("“{name}” is out: {votes} prefer it to {default}, the quorum is {least}."),
    }
}

fn below_majority(e: &Election, option: u32, (votes, against): (u64, u64), ratio: Ratio) -> String {
    let (name, default) = (e.name(option), default(e));
    let start = format!("“{name}” is out: {votes} prefer it to {default}, {against} the other way");
    if ratio.num == ratio.den {
        return format!("{start}; it needs more for it than against it.");
    }
    let Ratio { num, den } = ratio;
    format!("{start}; it needs at least {num} for it to every {den} against it.")
}

fn schwartz(e: &Election, set: &[u32]) -> String {
    match set {
        [one] => format!("Nothing defeats “{}”, not even by way of others.", e.name(*one)),
        _ => format!(
            "At the top are {}: each of them defeats, directly or by way of others, whatever so \
             defeats it.",
            names(e, set, ", ")
        ),
    }
}

fn tied(e: &Election, among: &[u32], rule: TieRule, purpose: TiePurpose) -> String {
    let (chosen, what) = match purpose {
        TiePurpose::First => (among.first(), "comes first"),
        TiePurpose::Exclude => (among.last(), "is out"),
        TiePurpose::Surplus => (among.first(), "gives its surplus first"),
    };
    let (among, rule) = (names(e, among, " and "), tie_rule(rule));
    let chosen = chosen.map_or("?", |&option| e.name(option));
    format!("{among} are equal. The tie rule ({rule}) puts them in this order: “{chosen}” {what}.")
}

fn next(name: &str) -> String {
    format!(
        "Next in the order is “{name}”: no option left has a stronger path of defeats to it than it \
         has back."
    )
}

fn capped(name: &str, employer: &str, cap: u32) -> String {
    let seats = plural(u64::from(cap), "seat");
    format!("“{name}” gets no seat: {employer} has {seats}, as many as one employer may have.")
}

fn droop(e: &Election, ballots: u64, quota: u64) -> String {
    format!(
        "{} rank somebody. {quota} elect: {ballots} divided by {} (the seats and one), rounded down, \
         and one more.",
        plural(ballots, "ballot"),
        u64::from(e.seats) + 1
    )
}

fn stage(e: &Election, number: u32, votes: &[u64], lost: u64) -> String {
    let all: Vec<String> =
        (0..).zip(votes).map(|(option, &v)| format!("{} {}", e.name(option), decimal(v))).collect();
    let lost =
        if lost > 0 { format!("; {} can go to nobody", decimal(lost)) } else { String::new() };
    format!("Stage {number}: {}{lost}.", all.join(", "))
}

fn transfer(name: &str, surplus: u64, votes: u64) -> String {
    let (surplus, votes) = (decimal(surplus), decimal(votes));
    format!(
        "“{name}” has {surplus} more than needed: all its papers go to their next choices, each at its \
         value times {surplus} / {votes}."
    )
}

fn excluded(name: &str, votes: u64) -> String {
    let votes = decimal(votes);
    format!("“{name}” is out with {votes}; its papers go to their next choices at their value.")
}

fn default(e: &Election) -> String {
    e.default.map_or_else(String::new, |default| format!("“{}”", e.name(default)))
}

fn defeat_list(e: &Election, defeats: &[Defeat]) -> String {
    let one = |d: &Defeat| {
        format!("“{}” over “{}” {} to {}", e.name(d.winner), e.name(d.loser), d.votes, d.against)
    };
    defeats.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn names(e: &Election, options: &[u32], between: &str) -> String {
    let all: Vec<String> = options.iter().map(|&option| format!("“{}”", e.name(option))).collect();
    all.join(between)
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Hundred-thousandths as a decimal number, without zeros at the end.
fn decimal(value: u64) -> String {
    let text = format!("{}.{:05}", value / 100_000, value % 100_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
