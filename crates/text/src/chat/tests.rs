use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn render(source: &str) -> Result<String, ChatError> {
    ChatTemplate::new(source)?.render(&Conversation::new(&[message("user", "hi")]))
}

#[test]
fn a_template_can_refuse_in_its_own_words() {
    let refused = render("{{ raise_exception('no ' ~ messages[0].role) }}");
    assert_eq!(refused, Err(ChatError::Refused("no user".to_owned())));
    let nested = render("{% macro m() %}{{ raise_exception('x') }}{% endmacro %}{{ m() }}");
    assert_eq!(nested, Err(ChatError::Refused("x".to_owned())));
    assert!(matches!(render("{{ 1 / 0 }}"), Err(ChatError::Failed(_))));
    let invalid = render("a\n{% for %}").expect_err("no template");
    assert!(invalid.to_string().contains("line 2"), "{invalid}");
}

#[test]
fn what_a_template_costs_is_bounded() {
    let loops = "{% for a in range(9999) %}".repeat(3) + &"{% endfor %}".repeat(3);
    assert_eq!(render(&loops), Err(ChatError::TooMuch));
    let doubling = "{% set ns = namespace(s='0123456789abcdef') %}\
        {% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
    assert_eq!(render(doubling), Err(ChatError::TooMuch));
    let lists = "{% set ns = namespace(l=[1]) %}\
        {% for i in range(25) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | tojson }}";
    assert!(render(lists).is_err());
    let deep = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert!(render(deep).is_err());
    assert!(render("{{ 'a' * 1000000000000 }}").is_err());
    assert!(ChatTemplate::new(&" ".repeat(MAX_SOURCE + 1)).is_err());
}

#[test]
fn a_conversation_can_not_replace_the_functions() {
    let messages = [message("user", "hi")];
    let mut conversation = Conversation::new(&messages);
    conversation.extra = BTreeMap::from([("raise_exception", Json::from(1)), ("x", Json::from(2))]);
    let template = ChatTemplate::new("{{ x }}{{ raise_exception('no') }}").expect("a template");
    assert_eq!(template.render(&conversation), Err(ChatError::Refused("no".to_owned())));
}

#[test]
fn a_job_gives_the_same_text_elsewhere() {
    let source = "{{ bos_token }}{{ x.b }}{% for k in tools[0] %}{{ k }}{% endfor %}\
        {{ messages | tojson }}{{ strftime_now('%Y') }}{{ add_generation_prompt }}";
    let messages = [message("user", "a \"quote\", ü, \n")];
    let tools = [Json::from_pairs([("z", 1), ("a", 2)])];
    let mut conversation = Conversation::new(&messages);
    conversation.tools = Some(&tools);
    conversation.now = 1_709_208_000;
    conversation.tokens.insert("bos_token", "<s>");
    conversation.extra.insert("x", Json::from_pairs([("b", 1.5)]));
    let here = ChatTemplate::new(source).expect("a template").render(&conversation);
    let sent = serde_json::to_vec(&Job::render(source, &conversation)).expect("has a JSON form");
    let job: Job = serde_json::from_slice(&sent).expect("the same form");
    assert_eq!(job.run(), here);
    assert!(here.expect("a text").starts_with("<s>1.5za[{\"role\""));
    assert_eq!(Job::compile(source).run(), Ok(String::new()));
    assert!(Job::compile("{% for %}").run().is_err());
}

#[test]
fn templates_are_chosen_by_name() {
    let choose = |json: &str, tools| {
        let templates = ChatTemplates::from_config(json.as_bytes()).expect("good");
        templates.choose(tools).map(|(_, source)| source.to_owned())
    };
    let two = r#"{"chat_template": [{"name": "default", "template": "d"},
        {"name": "tool_use", "template": "t"}]}"#;
    assert_eq!(choose(two, false).as_deref(), Some("d"));
    assert_eq!(choose(two, true).as_deref(), Some("t"));
    assert_eq!(choose(r#"{"chat_template": "one"}"#, true).as_deref(), Some("one"));
    assert_eq!(choose("{}", true), None);
    assert!(ChatTemplates::from_config(b"{\"chat_template\": 1}").is_err());
    let text = |text: &str| crate::Field::Text(text.to_owned().into());
    let metadata = BTreeMap::from([
        ("tokenizer.chat_template".to_owned(), text("d")),
        ("tokenizer.chat_template.tool_use".to_owned(), text("t")),
        ("tokenizer.chat_templates".to_owned(), text("names")),
    ]);
    let templates = ChatTemplates::from_gguf(&metadata);
    assert_eq!(templates.iter().collect::<Vec<_>>(), [("default", "d"), ("tool_use", "t")]);
}

proptest! {
    #[test]
    fn any_source_is_refused_or_ends(source in "[{}% a-z0-9'|.()~*+=-]{0,60}") {
        let _ = render(&source);
    }
}
