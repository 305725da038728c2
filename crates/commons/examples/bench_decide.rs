//! Times counts and margins: `bench_decide [ballots] [options]`, one line for each method.

use std::time::Instant;

use commons::decide::{
    Ballot, Choice, Election, MARGIN_EFFORT, Method, Quorum, Ratio, TieRule, Unranked, Voter,
    VoterMargin, margin, tally,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse::<u32>());
    let (count, options) = (number(0, 100_000)?, number(1, 10)?);
    let ballots: Vec<Ballot> = (0..count).map(|voter| ballot(voter, options)).collect();
    let voters: Vec<Voter> = (0..count)
        .map(|voter| Voter {
            employer: Some(format!("employer {}", voter % 97)),
            vouchers: vec![voter / 20],
        })
        .collect();
    println!("{count} ballots, {options} options");
    for method in [Method::Approval, Method::Schulze, Method::Committee, Method::Stv] {
        let election = election(method, options, u64::from(count));
        let began = Instant::now();
        let winners = tally(&election, &ballots)?.winners;
        let counted = began.elapsed();
        let began = Instant::now();
        let margin = margin(&election, &ballots, &voters, MARGIN_EFFORT)?;
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

fn election(method: Method, options: u32, electors: u64) -> Election {
    Election {
        options: (0..options).map(|number| Choice::new(format!("option {number}"))).collect(),
        default: None,
        method,
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: if method == Method::Schulze { 1 } else { options.div_ceil(3) },
        employer_cap: None,
        quorum: Quorum::Root { times: Ratio::new(3, 1) },
        electors,
    }
}

/// A ranking drawn from the voter's number; lower options are liked a little better.
fn ballot(voter: u32, options: u32) -> Ballot {
    let mut order: Vec<(u64, u32)> = (0..options)
        .map(|option| {
            let hash = blake3::hash(&[voter.to_le_bytes(), option.to_le_bytes()].concat());
            let number = u64::from(hash.as_bytes()[0]) + u64::from(hash.as_bytes()[1]);
            (number + u64::from(option) * 8, option)
        })
        .collect();
    order.sort_unstable();
    order.truncate(1 + (voter % options) as usize);
    Ballot { voter, groups: order.into_iter().map(|(_, option)| vec![option]).collect() }
}
