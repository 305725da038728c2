//! Chat templates that are made to exhaust whoever renders them: each ends, in bounded memory and
//! time, with an error that says so.

mod common;

use common::{say, text};
use std::{fs, path::Path, path::PathBuf};

/// What takes without end while it is rendered, by every means a template has.
const HOSTILE: [&str; 19] = [
    // Lists that are added to themselves, until the engine makes them whole.
    "{% set x = [1] %}DOUBLE{{ x | length }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    // Lists that are repeated lazily and then looked at as a whole.
    "{% set x = [[1] * 90000000] * 90000000 %}{{ ','.join(x) }}",
    "{% set x = [[1] * 90000000] * 90000000 %}{{ x | join(',') }}",
    "{% set x = [[1] * 90000000] * 90000000 %}{{ x | list | length }}",
    "{% set x = [[1] * 90000000] * 90000000 %}{{ 'x' ~ x }}",
    // Constants, which are operands of `~` and so no longer computed while it is compiled.
    "{{ 'x' ~ ([1] * 90000000) ~ ([1] * 90000000) ~ ([1] * 90000000) }}",
    "{% set x = [[1] * 90000000] * 90000000 %}{{ x | tojson }}",
    "{% set x = [[1] * 90000000] * 90000000 %}{{ x == [[1] * 90000000] * 90000000 }}",
    // Texts.
    "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "{% set x = 'x' * 1000000 %}{{ x.replace('x', x) | length }}",
    "{% set x = 'x' * 1000000 %}{{ x | replace('x', x) | length }}",
    "{{ '{:>99999999999}'.format('x') }}",
    // Calls and loops.
    "{% macro m(x) %}{{ m(x + x) }}{{ m(x + x) }}{% endmacro %}{{ m([1]) }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}\
     {% endfor %}{% endfor %}{% endfor %}",
    // Lists of lists of lists: equal only after every path was taken.
    "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}\
     {% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
];

/// Costly before anything is rendered: the engine computes constants.
const HOSTILE_TO_COMPILE: [&str; 2] = ["{{ LOOK false }}", "{% if LOOK false %}{% endif %}"];

#[test]
fn hostile_templates_end_with_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    for source in HOSTILE {
        let source = source.replace("DOUBLE", &"{% set x = x + x %}".repeat(60));
        fs::write(model.join("chat_template.jinja"), &source).expect("written");
        let said = say(&["run", text(&model), "hi", "-n", "1"]);
        assert_eq!(said.code, Some(2), "{source}: {}", said.err);
        assert!(said.err.contains("error: chat template: "), "{source}: {}", said.err);
        let of_memory = said.err.contains("took more than 500.0 MB of memory");
        assert!(of_memory || !source.contains("x.replace("), "{source}: {}", said.err);
    }
}

#[test]
fn templates_that_are_hostile_to_compile_are_left_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    for source in HOSTILE_TO_COMPILE {
        let source = source.replace("LOOK", &"2 in [1] * 90000000 or ".repeat(99));
        fs::write(model.join("chat_template.jinja"), &source).expect("written");
        let said = say(&["run", text(&model), "hi", "-n", "1"]);
        assert_eq!(said.code, Some(0), "{source}: {}", said.err);
        assert!(said.err.contains("is left out: chat template: "), "{source}: {}", said.err);
        let said = say(&["inspect", text(&model)]);
        assert_eq!(said.code, Some(0), "{source}: {}", said.err);
        assert!(said.out.contains("not run here: chat template: "), "{source}: {}", said.out);
    }
}

#[test]
fn an_honest_template_is_rendered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    let source = "{% for m in messages %}{{ m.role }} {{ m.content }}\n{% endfor %}";
    fs::write(model.join("chat_template.jinja"), source).expect("written");
    let talk = |args: &[&str]| {
        let object = say(&[&["run", text(&model), "--json", "-n", "4"], args].concat());
        let object: serde_json::Value = serde_json::from_str(&object.out).expect("one object");
        (object["prompt_tokens"].clone(), object["text"].clone())
    };
    let raw = talk(&["system be kind\nuser the soil\n", "--raw"]);
    assert_eq!(talk(&["the soil", "--system", "be kind"]), raw);
    let refusing = "{{ raise_exception('only of trees') }}";
    fs::write(model.join("chat_template.jinja"), refusing).expect("written");
    let said = say(&["run", text(&model), "hi"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("refuses this conversation: only of trees"), "{}", said.err);
}

#[test]
fn the_process_for_templates_takes_no_nonsense() {
    let said = say(&["render-template"]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    let help = say(&["--help"]);
    assert!(!help.out.contains("render-template"), "it is no command for people");
}

fn model_folder(folder: &Path) -> PathBuf {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = text::Tokenizer::train([words.as_str()], 300).expect("enough text");
    let decoder = model::Decoder::tiny(tokenizer.len());
    let params = model::init(&decoder, 3).expect("a valid shape");
    let model = model::Parameters::new(&decoder, params).expect("a valid model");
    let path = folder.join("model");
    engine::hf::export(&path, &model, &tokenizer, &engine::Lineage::default()).expect("written");
    path
}
