//! Times counts and margins.
//!
//! `bench_decide [ballots] [options]` takes one large election by each method. `bench_decide margins
//! [elections] [effort …]` takes many, of 12 to 5000 voters, and says of each kind how often the
//! margin by voters is exact, and how long the whole margin takes.

use std::time::{Duration, Instant};

use decide::{
    Ballot, Choice, DecideError, Election, House, MARGIN_EFFORT, Margin, Method, Quorum, Ratio,
    TieRule, Unranked, Voter, VoterMargin, margin, tally, two_houses_margin,
};

const METHODS: [Method; 4] = [Method::Approval, Method::Schulze, Method::Committee, Method::Stv];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| args.get(at).map_or(Ok(default), |text| text.parse());
    if args.first().is_some_and(|first| first == "margins") {
        let elections = number(1, 10)?;
        let efforts: Result<Vec<u64>, _> = args.iter().skip(2).map(|text| text.parse()).collect();
        let efforts = efforts?;
        margins(elections, if efforts.is_empty() { &[MARGIN_EFFORT] } else { &efforts })?;
    } else {
        one_of_each(number(0, 100_000)? as u32, number(1, 10)? as u32)?;
    }
    Ok(())
}

fn one_of_each(count: u32, options: u32) -> Result<(), DecideError> {
    println!("{count} ballots, {options} options");
    for method in METHODS {
        let election = election(method, options, u64::from(count));
        let ballots = ballots(&election, count, 0);
        let began = Instant::now();
        let winners = tally(&election, &ballots)?.winners;
        let counted = began.elapsed();
        let began = Instant::now();
        let margin = margin(&election, &ballots, &voters(count), MARGIN_EFFORT)?;
        let margin_of = match &margin.voters {
            VoterMargin::Exact(removal) => format!("{} voters", removal.voters.len()),
            VoterMargin::Between { at_least, found } => {
                let found = found.as_ref().map(|removal| removal.voters.len());
                format!("{at_least} to {found:?} voters")
            }
            VoterMargin::Never => "none".to_owned(),
        };
        let employer = margin.employer.map_or(0, |bloc| bloc.voters);
        let voucher = margin.voucher.map_or(0, |bloc| bloc.voters);
        println!(
            "{method:?}: {counted:.0?}, elects {winners:?}; margin in {:.0?}: {margin_of}, employer of \
             {employer}, voucher of {voucher}",
            began.elapsed()
        );
    }
    Ok(())
}

fn margins(elections: u64, efforts: &[u64]) -> Result<(), DecideError> {
    println!("voters options method     effort       exact  untried  mean ms  most ms");
    for count in [12, 30, 100, 300, 1000, 5000] {
        for options in [3, 5, 10] {
            for method in METHODS.map(Some).into_iter().chain([None]) {
                for &effort in efforts {
                    let (mut exact, mut untried) = (0, 0);
                    let mut times = Vec::new();
                    for seed in 0..elections {
                        let (found, time) = margin_of(method, options, count, seed, effort)?;
                        times.push(time);
                        exact += u64::from(!matches!(found.voters, VoterMargin::Between { .. }));
                        untried += u64::from(found.untried > 0);
                    }
                    let mean = times.iter().sum::<Duration>() / elections.max(1) as u32;
                    let most = times.iter().max().copied().unwrap_or_default();
                    println!(
                        "{count:6} {options:7} {:9} {effort:11} {exact:4}/{elections:<4} {untried:6} \
                         {:8.1} {:8.1}",
                        method.map_or("Houses".to_owned(), |method| format!("{method:?}")),
                        mean.as_secs_f64() * 1e3,
                        most.as_secs_f64() * 1e3
                    );
                }
            }
        }
    }
    Ok(())
}

/// The margin of one election and its time; without a method, of a change by two houses.
fn margin_of(
    method: Option<Method>,
    options: u32,
    count: u32,
    seed: u64,
    effort: u64,
) -> Result<(Margin, Duration), DecideError> {
    let mut election = election(method.unwrap_or(Method::Schulze), options, u64::from(count));
    let mut ballots = ballots(&election, count * 3 / 4, seed);
    let voters = voters(count);
    let began = Instant::now();
    if method.is_some() {
        return Ok((margin(&election, &ballots, &voters, effort)?, began.elapsed()));
    }
    election.electors /= 2;
    election.options[..options as usize - 1].iter_mut().for_each(|o| o.ratio = Ratio::new(3, 1));
    let contributors = ballots.split_off(ballots.len() / 2);
    let house = |ballots| House { election: &election, ballots };
    let found = two_houses_margin(house(&ballots), house(&contributors), &voters, effort)?;
    Ok((found, began.elapsed()))
}

/// Nearly a hundred employers, of one another as large; everybody vouched for twenty.
fn voters(count: u32) -> Vec<Voter> {
    let voter = |voter| Voter {
        employer: Some(format!("employer {}", voter % 97)),
        vouchers: vec![voter / 20],
    };
    (0..count).map(voter).collect()
}

/// Texts against a default option; people to a third of as many seats.
fn election(method: Method, options: u32, electors: u64) -> Election {
    let people = matches!(method, Method::Committee | Method::Stv);
    let default = (!people).then_some(options - 1);
    Election {
        options: (0..options).map(|number| Choice::new(format!("option {number}"))).collect(),
        default,
        method,
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: if people { options.div_ceil(3) } else { 1 },
        employer_cap: None,
        quorum: Quorum::Root { times: Ratio::new(3, 2) },
        electors,
        held: vec![],
    }
}

/// Rankings, some of which end early: in elections of an even number all as likely (an impartial
/// culture), in the others around a common order (Mallows, with a dispersion of 0.8).
fn ballots(election: &Election, count: u32, seed: u64) -> Vec<Ballot> {
    let options = election.options.len() as u32;
    let ballot = |voter: u32| {
        let key = [seed.to_le_bytes().as_slice(), &voter.to_le_bytes()].concat();
        let mut draws = blake3::Hasher::new().update(&key).finalize_xof();
        let mut draw = || {
            let mut bytes = [0; 8];
            draws.fill(&mut bytes);
            u64::from_le_bytes(bytes) as f64 / 2f64.powi(64)
        };
        let dispersion: f64 = if seed.is_multiple_of(2) { 1.0 } else { 0.8 };
        let mut order: Vec<u32> = Vec::new();
        for option in 0..options {
            // One place up is less likely by the dispersion than the place below.
            let weights: Vec<f64> = (0..=option).map(|up| dispersion.powi(up as i32)).collect();
            let mut at = draw() * weights.iter().sum::<f64>();
            let up = weights.iter().position(|weight| {
                at -= weight;
                at < 0.0
            });
            order.insert(order.len() - up.unwrap_or(0), option);
        }
        let named = 1 + (draw() * f64::from(options)) as usize;
        order.truncate(named);
        let groups = match election.method {
            Method::Approval => vec![order],
            _ => order.into_iter().map(|option| vec![option]).collect(),
        };
        Ballot { voter, groups }
    };
    (0..count).map(ballot).collect()
}
