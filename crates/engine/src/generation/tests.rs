use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use kernel::{Activations, Isa, Kernel};
use model::{Decoder, Finish, Parameters, Sampler};
use text::Tokenizer;
use text::chat::{Job, message};

use super::*;
use crate::ready::ReadyError;
use crate::template::{Render, TemplateError};
use crate::{Lineage, Opened, Opening};
use progress::Note;

/// Runs templates here: those of the tests are known.
struct Here;

impl Render for Here {
    fn render(&self, job: &Job) -> Result<String, TemplateError> {
        Ok(job.run()?)
    }
}

/// Finds that every template takes too much.
struct Nowhere;

impl Render for Nowhere {
    fn render(&self, _: &Job) -> Result<String, TemplateError> {
        Err(TemplateError::Excess("took more than it may".to_owned()))
    }
}

/// An untrained model in a folder, with a chat template.
fn folder(at: &Path) -> Opened {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = Tokenizer::train([words.as_str()], 300).expect("enough text");
    let decoder = Decoder { context: 2048, ..Decoder::tiny(tokenizer.len()) };
    let params = model::init(&decoder, 3).expect("a valid shape");
    let model = Parameters::new(&decoder, params).expect("a valid model");
    crate::hf::export(at, &model, &tokenizer, &Lineage::default()).expect("written");
    let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
    std::fs::write(at.join("chat_template.jinja"), template).expect("written");
    Opened::open(&at.display().to_string()).expect("a model")
}

fn kernel() -> Kernel {
    Kernel::new(Isa::best(), 1)
}

fn ready(
    opened: &Opened,
    opening: &Opening<'_>,
    render: impl Render + 'static,
) -> (Result<Ready, ReadyError>, Vec<Progress>) {
    let mut told = Vec::new();
    let tell = &mut |progress| told.push(progress);
    (Ready::open(opened, opening, &kernel(), Arc::new(render), tell), told)
}

fn at(work: Work, told: &[Progress]) -> Vec<At> {
    let at = |progress: &Progress| match progress {
        Progress::At(at) if at.work == work => Some(*at),
        _ => None,
    };
    told.iter().filter_map(at).collect()
}

#[test]
fn opening_tells_what_it_takes_and_how_far_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let opened = folder(dir.path());
    let (model, told) = ready(&opened, &Opening::default(), Here);
    let model = model.expect("it fits");
    assert_eq!((model.context, model.template.as_ref().map(|t| t.name())), (2048, Some("default")));
    assert!(matches!(told[0], Progress::Note(Note::Needs { context: 2048, .. })), "{:?}", told[0]);
    let loading = at(Work::Loading, &told);
    assert!(loading.len() > 2 && loading.is_sorted_by_key(|at| at.done), "{loading:?}");
    assert!(loading.last().is_some_and(|at| at.done == at.total && at.total == opened.bytes()));

    let small = Opening { context: Some(64), ..Opening::default() };
    let (model, told) = ready(&opened, &small, Here);
    assert_eq!(model.expect("it fits").context, 64);
    let shortened = |note: &Progress| {
        matches!(note, Progress::Note(Note::Shortened { used: 64, most: 2048, .. }))
    };
    assert!(told.iter().any(shortened), "{told:?}");
    let none = Opening { free: Some(1), ..Opening::default() };
    let error = ready(&opened, &none, Here).0.err().expect("a byte is not enough");
    assert!(matches!(error, ReadyError::Room(_)) && !error.hints().is_empty(), "{error}");
}

#[test]
fn an_end_token_that_is_none_is_told_with_the_one_that_is_taken() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    drop(folder(dir.path()));
    let config = dir.path().join("tokenizer_config.json");
    std::fs::write(config, r#"{"eos_token": "<|nothing|>"}"#).expect("written");
    let opened = Opened::open(&dir.path().display().to_string()).expect("a model");
    let (model, told) = ready(&opened, &Opening::default(), Here);
    let model = model.expect("another file names an end token");
    let named = "<|nothing|>".to_owned();
    let taken = model.tokenizer.token(model.tokenizer.end_of_text()).to_owned();
    let note = Note::OtherEnd { model: opened.name().to_owned(), named, taken };
    assert!(told.contains(&Progress::Note(note)), "{told:?}");
}

#[test]
fn a_template_that_cannot_be_used_is_left_out_unless_it_was_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let opened = folder(dir.path());
    let (model, told) = ready(&opened, &Opening::default(), Nowhere);
    assert!(model.expect("texts are continued").template.is_none());
    let left_out = |note: &Progress| matches!(note, Progress::Note(Note::TemplateLeftOut { .. }));
    assert!(told.iter().any(left_out), "{told:?}");
    let asked = Opening { template: Some("default"), ..Opening::default() };
    let error = ready(&opened, &asked, Nowhere).0.err().expect("it was asked for");
    assert!(matches!(error, ReadyError::Template(_)), "{error}");
    let other = Opening { template: Some("rag"), ..Opening::default() };
    let error = ready(&opened, &other, Here).0.err().expect("there is none");
    assert_eq!(error.hints(), ["the model has default"]);
    let raw = Opening { raw: true, ..Opening::default() };
    assert!(ready(&opened, &raw, Nowhere).0.expect("it is not looked at").template.is_none());
}

#[test]
fn a_conversation_is_read_once_and_its_progress_is_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let opened = folder(dir.path());
    let model = ready(&opened, &Opening::default(), Here).0.expect("it fits");
    let said = "the soil under the old trees ".repeat(200);
    let ids = model.chat_ids(&[message("user", &said)], 0).expect("renders").expect("a template");
    assert!(ids.len() > 600, "{}", ids.len());
    let mut generator = Generator::new(model, kernel(), Activations::default());
    let wanted = Wanted { sampler: Sampler::greedy(), max: 5, stops: Vec::new() };
    let (mut told, mut text) = (Vec::new(), String::new());
    let mut each = |event: Event<'_>| {
        match event {
            Event::Progress(progress) => told.push(progress),
            Event::Text(piece) => text.push_str(piece),
        }
        ControlFlow::Continue(())
    };
    let done = generator.continue_ids(&ids, &wanted, &mut each).expect("it fits");
    assert_eq!((done.read, done.tokens), (ids.len(), 5));
    let reading = at(Work::Reading, &told);
    assert!(reading.len() > 1, "{reading:?}");
    assert!(reading.iter().all(|at| at.total == ids.len() as u64));
    assert!(reading.last().is_some_and(|at| at.done == at.total));

    // The same again: only the last token is read, and the text is the same.
    let mut again = String::new();
    let done = generator.continue_ids(&ids, &wanted, &mut |event| {
        if let Event::Text(piece) = event {
            again.push_str(piece);
        }
        ControlFlow::Continue(())
    });
    assert_eq!((done.expect("it fits").read, again), (1, text));
}

#[test]
fn whoever_listens_may_end_it_while_the_prompt_is_read_or_after_a_token() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let opened = folder(dir.path());
    let model = ready(&opened, &Opening::default(), Here).0.expect("it fits");
    let ids = model.text_ids(&"the soil under the old trees ".repeat(200), false).expect("cheap");
    let mut generator = Generator::new(model, kernel(), Activations::default());
    let wanted = Wanted { sampler: Sampler::greedy(), max: 50, stops: Vec::new() };
    let done = generator.continue_ids(&ids, &wanted, &mut |_| ControlFlow::Break(()));
    let done = done.expect("it fits");
    assert_eq!((done.finish, done.tokens), (Finish::Cancelled, 0));
    assert!(generator.held() < ids.len(), "the rest of the prompt was not read");
    let done = generator.continue_ids(&ids, &wanted, &mut |event| match event {
        Event::Progress(_) => ControlFlow::Continue(()),
        Event::Text(_) => ControlFlow::Break(()),
    });
    let done = done.expect("it fits");
    assert_eq!((done.finish, done.tokens), (Finish::Cancelled, 1));
    let long = vec![ids[0]; 2049];
    let error = generator.continue_ids(&long, &wanted, &mut |_| ControlFlow::Continue(()));
    let error = error.expect_err("too long");
    assert!(matches!(error, GenerationError::TooLong { tokens: 2049, .. }), "{error}");
    assert!(!error.hints().is_empty());
}
