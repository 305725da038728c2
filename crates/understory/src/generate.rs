//! Text from a model in the terminal: as it comes, until somebody wants no more of it.

use crate::{cancel::Cancel, hint::with_hints, progress::Screen};
use anyhow::Result;
use engine::Generator;
use engine::generation::{Event, Generated, GenerationError, Wanted};
use model::Finish;
use std::io::Write;
use std::ops::ControlFlow;

/// Continues `ids` and gives the text; unless `json` it also goes to standard output as it comes. A
/// reader that goes away ends it with that error, and `cancel` without one.
pub fn tell(
    generator: &mut Generator,
    cancel: &Cancel,
    ids: &[u32],
    wanted: &Wanted,
    json: bool,
) -> Result<(String, Generated)> {
    let (mut text, mut out, mut broken) = (String::new(), crate::terminal::stdout(), None);
    let mut screen = Screen::new(json);
    cancel.begin();
    let done = generator.continue_ids(ids, wanted, &mut |event| {
        match event {
            Event::Progress(progress) => screen.tell(progress),
            Event::Text(piece) => {
                text.push_str(piece);
                if !json && !piece.is_empty() && broken.is_none() {
                    broken = write!(out, "{piece}").and_then(|()| out.flush()).err();
                }
            }
        }
        match broken.is_some() || cancel.is_asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    cancel.end();
    match broken {
        Some(error) => Err(error.into()),
        None => Ok((text, done.map_err(failed)?)),
    }
}

fn failed(error: GenerationError) -> anyhow::Error {
    let hints = error.hints();
    with_hints(error, hints)
}

/// Why a text ended, in one word or two, for programs.
pub fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Cancelled => "cancelled",
        Finish::ContextFull => "context full",
        Finish::Length => "length",
    }
}

/// Why a text ended, as a sentence.
pub fn ending(done: &Generated) -> String {
    match (done.finish, &done.stop) {
        (Finish::Stop, Some(text)) => format!("it came to the stop text {text:?}"),
        (Finish::Stop, None) => "the model ended it".to_owned(),
        (Finish::Length, _) => format!(
            "cut off after {} tokens; -n sets how many there may be, -n -1 lifts the limit",
            done.tokens
        ),
        (Finish::ContextFull, _) => "cut off: the context is full".to_owned(),
        (Finish::Cancelled, _) => "cancelled".to_owned(),
    }
}
