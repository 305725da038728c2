//! `understory propose` and `understory vote`.

use super::{
    cli::{ProposeArgs, TieName, VoteArgs},
    create::read_rules,
    desk::Desk,
    options,
};
use crate::{
    files::create_secret,
    hint::WithHint,
    random,
    units::{now, time},
};
use anyhow::{Context, Result, anyhow};
use commons::{
    state::{Proposal, State},
    statement::{
        Choice, Effect, HeldSeat, HeldSeats, House, Method, ProposalType, Propose, Quota, TieBreak,
        Vote, VoteBody,
    },
};
use ids::{Hash, PeerId, canonical, plain_short};
use std::path::{Path, PathBuf};

pub fn propose(args: &ProposeArgs) -> Result<()> {
    let mut desk = Desk::to_sign(&args.place)?;
    let topic = args.topic.0;
    let text = match &args.text {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => String::new(),
    };
    let majority = ratio(&args.majority, ':')?;
    let lot = topic == ProposalType::Panel;
    let elects = topic == ProposalType::Stewards;
    let mut options = args
        .options
        .iter()
        .map(|option| choice(&desk, args, topic, majority, option))
        .collect::<Result<Vec<_>>>()?;
    if options.is_empty() && !lot {
        options = default_options(topic, majority)?;
    }
    let method = match args.method {
        _ if lot => Method::Lot,
        Some(method) => method.0,
        None if elects => Method::Stv,
        None => Method::Schulze,
    };
    // A transferable vote has no default option: there "none of these" is a candidate.
    let default = (!lot && method != Method::Stv).then_some(options.len() as u16);
    if default.is_some() || elects {
        options.push(plain(&args.default, (1, 1)));
    }
    if options::check_names(names(&options)).is_err() {
        options.iter_mut().for_each(with_id);
    }
    options::check_names(names(&options))?;
    let seats = args.seats.unwrap_or(match topic {
        ProposalType::Stewards => seats_to_elect(&desk.state),
        ProposalType::Panel => 3,
        _ => 1,
    });
    let start = desk.state.now().max(now());
    let close = start.saturating_add(desk.state.rules.notice).saturating_add(args.open);
    let window = |seconds: u64| seconds.max(desk.state.rules.notice).max(1);
    // A panel is always drawn from members' secrets.
    let secret = args.secret.or(lot.then_some(0));
    let reveal = secret.map(|seconds| close.saturating_add(window(seconds)));
    let proposal = Propose {
        topic,
        title: args.title.clone(),
        text,
        options,
        default,
        houses: if topic.is_constitutional() {
            vec![House::Users, House::Contributors]
        } else {
            Vec::new()
        },
        method,
        unranked: args.unranked.0,
        tie: match args.tie {
            Some(TieName::Lot) => TieBreak::Lot,
            // A lot needs what kept ballots secret.
            None if reveal.is_some() => TieBreak::Lot,
            Some(TieName::Mine) => TieBreak::Casting(desk.me()?),
            Some(TieName::Listed) | None => TieBreak::Listed,
        },
        seats,
        cap: args.cap.as_deref().map(|text| ratio(text, '/')).transpose()?,
        quotas: args.quota.iter().map(|text| quota(text)).collect::<Result<_>>()?,
        close,
        reveal,
        appeals: match &args.appeal {
            Some(text) => Some(desk.question(&desk.state, text)?.statement),
            None => None,
        },
        held: match &args.held {
            Some(text) => Some(desk.question(&desk.state, text)?.statement),
            None => None,
        },
    };
    let statement = desk.say(proposal)?;
    if !args.place.json {
        println!("open until {}", time(close));
        let hash = statement.hash().short();
        println!("ballots: `understory vote {hash} …`; the count: `understory tally {hash}`");
    }
    Ok(())
}

/// The stewards' seats whose terms end before anything that is asked now is decided; all of them
/// where none does.
fn seats_to_elect(state: &State) -> u16 {
    let soon = state.now().max(now()).saturating_add(state.rules.notice.saturating_mul(2));
    let stays = |s: &&commons::state::Steward| s.until > soon && state.is_member(&s.member);
    let all = u16::from(state.rules.steward_seats);
    let staying = state.stewards.iter().filter(stays).count() as u16;
    if staying < all { all - staying } else { all }
}

fn names(options: &[Choice]) -> impl Iterator<Item = &str> {
    options.iter().map(|option| option.name.as_str())
}

/// A member's option with the beginning of its id: members call themselves what they like, also
/// what another one is called.
fn with_id(option: &mut Choice) {
    if let Effect::Seat(member) | Effect::Remove(member, _) = &option.effect {
        let name = plain_short(&ids::name::composed(&option.name), 60);
        option.name = format!("{name} ({})", member.short());
    }
}

fn plain(name: &str, ratio: (u32, u32)) -> Choice {
    Choice { name: name.to_owned(), digest: None, ratio, effect: Effect::None }
}

fn default_options(topic: ProposalType, majority: (u32, u32)) -> Result<Vec<Choice>> {
    match topic {
        ProposalType::Appeal => {
            Ok(vec![Choice { effect: Effect::Overturn, ..plain("overturn the result", majority) }])
        }
        ProposalType::Question => Ok(vec![plain("yes", majority), plain("no", majority)]),
        _ => Err(anyhow!("a question of this kind needs options")).hint(
            "name each with --option: a file for a charter or rules, else a member or a text",
        ),
    }
}

/// An option as the topic reads it.
fn choice(
    desk: &Desk,
    args: &ProposeArgs,
    topic: ProposalType,
    majority: (u32, u32),
    text: &str,
) -> Result<Choice> {
    let mut choice = plain(text, majority);
    match topic {
        ProposalType::Charter => {
            let charter =
                std::fs::read(text).with_context(|| format!("cannot read the charter {text}"))?;
            let digest = desk.home.objects()?.put(&charter)?;
            choice.effect = Effect::Charter(digest);
            choice.digest = Some(digest);
        }
        ProposalType::Rules => {
            choice.effect = Effect::Rules(read_rules(Some(Path::new(text)))?);
        }
        ProposalType::Stewards => {
            let member = desk.member(text)?;
            choice.name = desk.name(&member);
            choice.effect = Effect::Seat(member);
        }
        ProposalType::Removal => {
            let member = desk.member(text)?;
            choice.name = format!("remove {}", desk.name(&member));
            let evidence = args.text.as_deref().map(std::fs::read).transpose()?.unwrap_or_default();
            choice.effect = Effect::Remove(member, Hash::of(&evidence));
        }
        ProposalType::Appeal => choice.effect = Effect::Overturn,
        ProposalType::Question if args.list => {
            let text = std::fs::read_to_string(text)
                .with_context(|| format!("cannot read the list {text}"))?;
            let list: SeatList = toml::from_str(&text).context("it does not list seats").hint(
                "committee = \"…\" and for each seat [[seat]] with name, org (or none) and until",
            )?;
            choice.name = format!("seats held on {}", list.committee);
            choice.effect = Effect::Seats(list.seats());
        }
        _ => {}
    }
    Ok(choice)
}

/// Seats that are held already, in a file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatList {
    committee: String,
    seat: Vec<SeatEntry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatEntry {
    name: String,
    org: Option<String>,
    /// In Unix seconds.
    until: u64,
}

impl SeatList {
    fn seats(&self) -> HeldSeats {
        let seat = |entry: &SeatEntry| HeldSeat {
            name: entry.name.clone(),
            org: entry.org.clone(),
            until: entry.until,
        };
        HeldSeats { committee: self.committee.clone(), seats: self.seat.iter().map(seat).collect() }
    }
}

/// `3:1` or `1/3`.
fn ratio(text: &str, between: char) -> Result<(u32, u32)> {
    let parse = || {
        let (num, den) = text.split_once(between)?;
        Some((num.trim().parse().ok()?, den.trim().parse().ok()?))
    };
    parse().with_context(|| format!("{text:?} is not two numbers with {between} between"))
}

/// `users=1..2`.
fn quota(text: &str) -> Result<Quota> {
    let parse = || {
        let (stratum, range) = text.rsplit_once('=')?;
        let (min, max) = range.split_once("..")?;
        let (min, max) = (min.parse().ok()?, max.parse().ok()?);
        Some(Quota { stratum: stratum.to_owned(), min, max })
    };
    parse().with_context(|| format!("{text:?} is not a quota like users=1..2"))
}

pub fn vote(args: &VoteArgs) -> Result<()> {
    let mut desk = Desk::to_sign(&args.place)?;
    let state = desk.state.clone();
    let proposal = desk.question(&state, &args.question)?;
    in_time(&state, proposal, args.reveal)?;
    let all = &proposal.body.options;
    let ballot = if args.reveal {
        reveal(&desk, proposal)?
    } else {
        if args.ranking.is_empty() && proposal.body.method != Method::Lot {
            return Err(anyhow!("a ballot ranks at least one option"))
                .hint(format!("the options: {}", options::words(all, &every_one(all))));
        }
        let groups = options::ranking(all, &args.ranking)?;
        say_ballot(args, proposal, &groups);
        match (proposal.body.reveal, proposal.body.method) {
            (Some(_), _) => commit(&desk, proposal, groups)?,
            (None, Method::Approval) => VoteBody::Approve(groups.concat()),
            (None, _) => VoteBody::Ranking(groups),
        }
    };
    desk.say(Vote { proposal: proposal.statement, ballot })?;
    if proposal.body.reveal.is_some() && !args.reveal && !args.place.json {
        println!(
            "your ballot is secret; it counts if you reveal it between {} and {}: \
             `understory vote {} --reveal`",
            time(proposal.close),
            time(proposal.end()),
            proposal.statement.short()
        );
    }
    Ok(())
}

/// Repeats a ballot before it is signed: whoever mistyped sees it.
fn say_ballot(args: &VoteArgs, proposal: &Proposal, groups: &[Vec<u16>]) {
    let words = options::words(&proposal.body.options, groups);
    let words = format!("your ballot on {:?}: {words}", proposal.body.title);
    match args.place.json {
        true => eprintln!("{words}"),
        false => println!("{words}"),
    }
}

fn every_one(all: &[Choice]) -> Vec<Vec<u16>> {
    (0..all.len() as u16).map(|at| vec![at]).collect()
}

/// Whether a ballot, or what opens a secret one, is taken now.
fn in_time(state: &State, proposal: &Proposal, reveals: bool) -> Result<()> {
    let (close, end) = (proposal.close, proposal.end());
    let now = now().max(state.now());
    if reveals && proposal.body.reveal.is_none() {
        return Err(anyhow!("the question takes open ballots"))
            .hint("vote with `understory vote QUESTION OPTION…`; there is nothing to reveal");
    }
    if reveals && now <= close {
        return Err(anyhow!("ballots are still taken, until {}", time(close)))
            .hint("reveal yours after that: until then nobody should know how it goes");
    }
    if now > if reveals { end } else { close } {
        let what = if reveals { "secret ballots were opened" } else { "ballots were taken" };
        let until = time(if reveals { end } else { close });
        return Err(anyhow!("{what} until {until}, and it is {}", time(now)))
            .hint("`understory tally` shows what came out");
    }
    Ok(())
}

/// A commitment; what opens it is kept in the commons' folder, beside what opens earlier ones:
/// until the statement is written the earlier one is in force.
fn commit(desk: &Desk, proposal: &Proposal, groups: Vec<Vec<u16>>) -> Result<VoteBody> {
    let voter = desk.me()?;
    let salt = Hash(random::seed()?);
    let digest = commitment(proposal, &voter, &groups, &salt);
    let kept = serde_json::to_vec(&(groups, salt))?;
    let path = secret_path(desk, proposal, &voter, Some(&digest));
    std::fs::create_dir_all(path.parent().expect("it is in a folder"))?;
    create_secret(&path, &kept)?;
    Ok(VoteBody::Commit(digest))
}

/// What opens the commitment that is in force.
fn reveal(desk: &Desk, proposal: &Proposal) -> Result<VoteBody> {
    let voter = desk.me()?;
    let ahead = desk.ahead()?;
    let casts = ahead.proposals.get(&proposal.statement).and_then(|p| p.casts.get(&voter));
    let digest = casts.into_iter().flatten().rev().find_map(|cast| match cast.ballot {
        VoteBody::Commit(digest) => Some(digest),
        _ => None,
    });
    let none = "no ballot on this question was committed to on this device";
    let digest =
        digest.context(none).hint("cast one with `understory vote QUESTION …` while it is open")?;
    let kept = std::fs::read(secret_path(desk, proposal, &voter, Some(&digest)))
        // Earlier versions kept one ballot for each question.
        .or_else(|_| std::fs::read(secret_path(desk, proposal, &voter, None)))
        .context(none)
        .hint("reveal it on the device on which the newest ballot was cast")?;
    let (groups, salt): (Vec<Vec<u16>>, Hash) =
        serde_json::from_slice(&kept).context("the ballot that is kept here is damaged")?;
    if commitment(proposal, &voter, &groups, &salt) != digest {
        return Err(anyhow!("the ballot that is kept here is not the one that was cast last"))
            .hint("reveal it on the device on which the newest ballot was cast");
    }
    Ok(VoteBody::Reveal { groups, salt })
}

fn commitment(proposal: &Proposal, voter: &PeerId, groups: &Vec<Vec<u16>>, salt: &Hash) -> Hash {
    let ballot = canonical::encode(groups);
    Hash(decide::commitment(&proposal.statement.0, &voter.0, &salt.0, &ballot))
}

/// Where what opens a commitment is kept.
fn secret_path(
    desk: &Desk,
    proposal: &Proposal,
    voter: &PeerId,
    commitment: Option<&Hash>,
) -> PathBuf {
    let digest = commitment.map_or_else(String::new, |digest| format!("-{}", digest.short()));
    let name = format!("{}-{}{digest}.json", proposal.statement, voter.short());
    desk.home.dir().join("ballots").join(name)
}
