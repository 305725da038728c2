//! What long work tells, in words.

use crate::units::{bytes, count, plural};
use ids::Plain;
use progress::{Note, Work};

/// What is being done.
pub fn work(work: Work) -> &'static str {
    match work {
        Work::Fetching => "fetching",
        Work::Hashing => "hashing",
        Work::Gathering => "reading the text",
        Work::Learning => "learning the tokens of the text",
        Work::Tokenizing => "cutting the text into tokens",
        Work::CatchingUp => "catching up",
        Work::Checking => "checking",
        Work::AddingUp => "adding up",
        Work::Rerunning => "re-running",
        Work::Loading => "loading the weights",
        Work::Reading => "reading the prompt",
        Work::Scoring => "scoring",
        Work::Comparing => "comparing",
        Work::Writing => "writing",
    }
}

/// A note as a line.
pub fn of(note: &Note) -> String {
    match note {
        Note::Commit { repository, commit } => format!("{repository} at commit {commit}"),
        Note::NotHere { model } => format!("{model} is not here yet: it is fetched"),
        Note::NotWhole { model } => {
            format!("what is here of {model} is not whole any more: the rest is fetched again")
        }
        Note::Chosen { name, others } => {
            format!("taking {}; there are also {}", Plain(name), Plain(others.join(", ")))
        }
        Note::ToFetch { files, bytes: all, missing, folder, free } => format!(
            "{}, {}; {} to fetch into {}, where {} are free",
            plural(*files, "file"),
            bytes(*all),
            bytes(*missing),
            folder.display(),
            bytes(*free)
        ),
        Note::Retry { why } => format!("{}; trying again", Plain(why)),
        Note::Waiting { file } => {
            format!("another program is fetching {}: waiting for it", Plain(file))
        }
        Note::Damaged { file } => {
            format!("what was there of {} is damaged: once more", Plain(file))
        }
        Note::Needs { model, parameters, weights, context, cache } => format!(
            "{model}: {} parameters; {} of weights, {} for its whole context of {context} tokens",
            count(*parameters),
            bytes(*weights),
            bytes(*cache)
        ),
        Note::Shortened { model, used, most } => {
            format!("{model}: {used} of the {most} tokens of its context are used")
        }
        Note::MoreTokens { model, count } => {
            let more = plural(*count, "token");
            format!("{model}: the tokenizer has {more} that the model has not")
        }
        Note::OtherEnd { model, named, taken } => format!(
            "{model}: a text ends with {}; {}, which tokenizer_config.json names, is no token",
            Plain(taken),
            Plain(named)
        ),
        Note::Templates { chosen: Some(name), all } => {
            let (name, all) = (Plain(name), Plain(all.join(", ")));
            format!("[chat template {name} of {all}; --template-name chooses]")
        }
        Note::Templates { chosen: None, all } => {
            let all = Plain(all.join(", "));
            format!("[of the chat templates {all} none is the default; --template-name chooses]")
        }
        Note::NotRun { why } => format!("it is not run here: {}", Plain(why)),
        Note::TemplateLeftOut { why } => {
            format!("the model's chat template is left out: {}", Plain(why))
        }
    }
}
