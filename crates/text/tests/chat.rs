//! Chat templates against what `transformers` makes of them; the golden file is written by
//! `oracle/chat_golden.py`.

use std::collections::BTreeMap;

use serde::Deserialize;
use text::chat::{ChatError, ChatTemplate, Conversation, Json};

#[derive(Deserialize)]
struct Golden {
    now: u64,
    templates: BTreeMap<String, String>,
    conversations: BTreeMap<String, (Vec<Json>, BTreeMap<String, Json>)>,
    cases: Vec<(String, String, Outcome)>,
}

#[derive(Deserialize)]
struct Outcome {
    text: Option<String>,
    error: Option<String>,
}

#[test]
fn renders_like_transformers() {
    let golden = include_str!("golden/chat.json");
    let golden: Golden = serde_json::from_str(golden).expect("the oracle wrote it");
    for (template, name, want) in &golden.cases {
        let (messages, extra) = &golden.conversations[name];
        let compiled = ChatTemplate::new(&golden.templates[template]).expect("a template");
        let got = compiled.render(&conversation(messages, extra, golden.now));
        match (&want.text, &want.error) {
            (Some(text), _) => assert_eq!(got.as_ref(), Ok(text), "{template}, {name}"),
            (None, Some(error)) => match got {
                Err(ChatError::Refused(says)) => assert_eq!(&says, error, "{template}, {name}"),
                // Python's engine failed; its words are its own.
                got => assert!(got.is_err(), "{template}, {name}: {got:?}, want {error}"),
            },
            (None, None) => unreachable!("the oracle writes one of the two"),
        }
    }
    assert!(golden.cases.len() >= 60);
}

fn conversation<'a>(
    messages: &'a [Json],
    extra: &'a BTreeMap<String, Json>,
    now: u64,
) -> Conversation<'a> {
    let mut conversation = Conversation::new(messages);
    conversation.now = now;
    conversation.tokens = BTreeMap::from([("bos_token", "<s>"), ("eos_token", "</s>")]);
    for (name, value) in extra {
        match name.as_str() {
            "tools" => conversation.tools = Some(tools(value)),
            "add_generation_prompt" => conversation.add_generation_prompt = value.is_true(),
            name => drop(conversation.extra.insert(name, value.clone())),
        }
    }
    conversation
}

/// Tools as a slice that lives as long as the test.
fn tools(value: &Json) -> &'static [Json] {
    Vec::leak(value.try_iter().expect("a list").collect())
}
