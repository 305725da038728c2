//! `understory score`: how likely a model finds a text.

use crate::{
    cli::ScoreArgs,
    kernel_for,
    progress::Screen,
    ready,
    tokens::{given, shown, to_json},
    units::plural,
};
use anyhow::{Result, bail};
use engine::{Opening, Ready, Tell};
use kernel::math::exp64;
use model::{Session, sampler::log_sum};
use progress::{At, Progress, Work};
use serde_json::{Value, json};
use std::f64::consts::LN_2;
use std::io::Write;
use std::ops::Range;

pub fn score(args: &ScoreArgs) -> Result<()> {
    let text = given(&args.text)?;
    let kernel = kernel_for(args.threads)?;
    let opening = Opening { context: args.context, raw: true, ..Opening::of(text.len()) };
    let model = ready::open(&args.model, &opening, &kernel, args.json)?;
    let prefix = model.prefix.len();
    let ids = model.text_ids(&text, args.text.special)?;
    // A text that spells the prefix itself is not given it twice.
    let text_starts = prefix.min(ids.len());
    if ids.len() < 2 {
        bail!("a text of one token has none that could be predicted");
    }
    let mut session = Session::with(model.model.clone(), kernel, args.inputs.into());
    session.set_context(model.context);
    let mut screen = Screen::new(args.json);
    let tell = &mut |progress| screen.tell(progress);
    let scores = scores(&mut session, &ids, text_starts, model.context, tell)?;
    drop(screen);
    print(args, &model, &text, &ids[text_starts..], &scores)
}

/// The natural logarithm of the probability of each token from `first` on, given those before;
/// nothing for a token that has none before it. The tokens before `first` stand before every window.
fn scores(
    session: &mut Session,
    ids: &[u32],
    first: usize,
    context: usize,
    tell: &mut Tell<'_>,
) -> Result<Vec<Option<f64>>> {
    let (prefix, text) = ids.split_at(first);
    let room = context.saturating_sub(prefix.len());
    if room < 2 {
        bail!("a context of {context} tokens is too short");
    }
    let total = text.len() as u64;
    let mut told = |done| {
        tell(Progress::At(At { work: Work::Scoring, done, total, fresh: done }));
    };
    let mut scores = vec![None; text.len()];
    for (window, counted) in windows(text.len(), room) {
        let ids = [prefix, &text[window.clone()]].concat();
        // What is not counted is read without its logits; the first token may have nothing before.
        let from = (prefix.len() + counted - window.start).max(1);
        session.truncate(0);
        if from > 1 {
            session.extend(&ids[..from - 1])?;
        }
        session.extend_all(&ids[from - 1..ids.len() - 1], |index, logits| {
            let at = from + index;
            let score = f64::from(logits[ids[at] as usize]) - log_sum(logits);
            let place = window.start + at - prefix.len();
            scores[place] = Some(score);
            told(place as u64);
        })?;
    }
    told(total);
    Ok(scores)
}

/// Windows of at most `room` tokens over a text, and from which token on each counts. They overlap
/// by half.
fn windows(length: usize, room: usize) -> Vec<(Range<usize>, usize)> {
    let mut all = vec![(0..length.min(room), 0)];
    let mut end = room;
    while end < length {
        let start = end - room / 2;
        all.push((start..length.min(start + room), end));
        end = start + room;
    }
    all
}

fn print(
    args: &ScoreArgs,
    model: &Ready,
    text: &str,
    ids: &[u32],
    scores: &[Option<f64>],
) -> Result<()> {
    let tokenizer = &model.tokenizer;
    let known: Vec<f64> = scores.iter().copied().flatten().collect();
    let (count, sum) = (known.len(), known.iter().sum::<f64>());
    let scored = ids.iter().zip(scores).filter(|(_, score)| score.is_some());
    let bytes = match count == ids.len() {
        true => text.len(),
        false => scored.map(|(&id, _)| tokenizer.bytes(id).len()).sum(),
    };
    let perplexity = exp64(-sum / count.max(1) as f64);
    let bits = -sum / LN_2 / bytes.max(1) as f64;
    let mut out = crate::terminal::stdout();
    if args.json {
        let token = |(&id, score): (&u32, &Option<f64>)| {
            let mut token = to_json(tokenizer, id);
            token["logprob"] = (*score).into();
            token
        };
        let tokens = ids.iter().zip(scores).map(token).collect::<Vec<_>>();
        let object = json!({
            "model": args.model, "root": model.root, "scored": count, "bytes": bytes,
            "sum": sum, "perplexity": perplexity, "bits_per_byte": bits,
            "tokens": if args.total { Value::Null } else { tokens.into() },
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if !args.total {
        for (&id, score) in ids.iter().zip(scores) {
            let score = score.map_or("first".to_owned(), |score| format!("{score:.4}"));
            writeln!(out, "{score:>10}  {}", shown(tokenizer, id))?;
        }
    }
    writeln!(out, "scored         {}, {}", plural(count, "token"), plural(bytes, "byte"))?;
    writeln!(out, "sum            {sum:.4}")?;
    writeln!(out, "perplexity     {perplexity:.4}")?;
    writeln!(out, "bits per byte  {bits:.4}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Isa, Kernel};
    use std::sync::Arc;

    #[test]
    fn windows_cover_a_text_once() {
        for (length, room) in [(1, 2), (5, 5), (6, 5), (100, 7), (64, 16), (3, 2)] {
            let all = windows(length, room);
            let mut next = 0;
            for (window, counted) in all {
                assert_eq!(counted, next, "{length} {room}");
                assert!(window.len() <= room && window.contains(&counted));
                assert!(counted == 0 || counted - window.start == room / 2);
                next = window.end;
            }
            assert_eq!(next, length);
        }
    }

    #[test]
    fn scores_are_those_of_single_steps() {
        let decoder = model::Decoder { context: 16, ..model::Decoder::tiny(50) };
        let params = model::init(&decoder, 3).expect("a valid shape");
        let model = Arc::new(model::Model::new(&decoder, params).expect("it fits"));
        let session = || Session::new(Arc::clone(&model), Kernel::new(Isa::best(), 1));
        let ids: Vec<u32> = (0..12).map(|i| i * 7 % 50).collect();
        let found = scores(&mut session(), &ids, 2, 16, &mut |_| {}).expect("it fits");
        let mut single = session();
        let mut last = single.extend(&ids[..2]).expect("room").to_vec();
        for (&id, score) in ids[2..].iter().zip(&found) {
            let want = f64::from(last[id as usize]) - log_sum(&last);
            assert_eq!(score.expect("all have one"), want);
            last = single.extend(&[id]).expect("room").to_vec();
        }
        let without = scores(&mut session(), &ids, 0, 16, &mut |_| {}).expect("it fits");
        assert!(without[0].is_none() && without[1..].iter().all(Option::is_some));
        assert_eq!(without[2..], found[..]);
        // A window begins anew behind the prefix, with half of it read before.
        let long = scores(&mut session(), &ids, 1, 7, &mut |_| {}).expect("windows");
        let mut last = session();
        last.extend(&[ids[0]]).expect("room");
        let logits = last.extend(&ids[4..7]).expect("room");
        let want = f64::from(logits[ids[7] as usize]) - log_sum(logits);
        assert_eq!(long[6], Some(want));
        assert!(scores(&mut session(), &ids, 1, 2, &mut |_| {}).is_err());
    }
}
