//! With `--json` standard output is JSON and nothing else, whatever else a command has to say.

mod common;

use common::{Peer, model_folder, say, text, tiny_config, understory};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Commands with `--json` that are not run here, and why.
const NOT_RUN: [(&str, &str); 6] = [
    ("demo", "takes minutes; its lines are those of `Screen`, which are JSON or nothing"),
    ("bench train", "trains a model of a million parameters"),
    ("bench arithmetic", "trains for minutes"),
    ("bench swarm", "trains for minutes"),
    ("bench loss-gap", "trains for minutes"),
    ("sim attacks", "simulates for minutes without optimization"),
];

/// The commands that were run, and all there are.
struct Ran {
    done: BTreeSet<String>,
    all: Vec<&'static str>,
}

impl Ran {
    fn new() -> Self {
        let listed = include_str!("without_a_reader.txt").lines();
        let listed = listed.filter(|line| !line.starts_with('#'));
        let all = listed.map(|line| line.split([':', '=', '!']).next().unwrap_or_default().trim());
        Self { done: BTreeSet::new(), all: all.collect() }
    }

    /// What a command puts out that is run to its end with `--json`: an object on each line.
    fn lines(&mut self, args: &[&str], with: impl FnOnce(&mut Command)) -> Vec<Value> {
        let line = format!("{} ", args.join(" "));
        let named = self.all.iter().filter(|name| line.starts_with(&format!("{name} ")));
        self.done.extend(named.map(|name| (*name).to_owned()));
        let mut command = understory();
        command.args(args).arg("--json").env("UNDERSTORY_PASSPHRASE", "soil");
        with(&mut command);
        let said = common::run(&mut command);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
        assert!(!said.out.is_empty(), "{args:?} says nothing: {}", said.err);
        said.out.lines().map(|line| object(line, args)).collect()
    }

    /// The one object that a command puts out.
    fn object(&mut self, args: &[&str]) -> Value {
        let mut lines = self.lines(args, |_| ());
        assert_eq!(lines.len(), 1, "{args:?}: {lines:?}");
        lines.remove(0)
    }
}

fn object(line: &str, args: &[&str]) -> Value {
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{args:?}: {error}: {line}"));
    assert!(value.is_object(), "{args:?}: {line}");
    value
}

#[test]
fn every_command_with_json_puts_out_json_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut ran = Ran::new();
    models(&mut ran, folder.path());
    commons(&mut ran, folder.path());
    swarm(&mut ran, folder.path());
    let has_json = |command: &&&str| {
        let help: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        say(&help).out.contains("--json")
    };
    let with_json: BTreeSet<String> =
        ran.all.iter().filter(has_json).map(|command| (*command).to_owned()).collect();
    let known = NOT_RUN.iter().map(|(command, _)| (*command).to_owned());
    let known: BTreeSet<String> = known.chain(ran.done).collect();
    assert_eq!(known, with_json, "each command has a case here, or a reason why not");
}

fn models(ran: &mut Ran, folder: &Path) {
    let at = |name: &str| folder.join(name).to_str().expect("plain").to_owned();
    let model = model_folder(folder);
    let (model, words) = (text(&model), at("words.txt"));
    fs::write(&words, "the soil under the old trees ".repeat(20)).expect("writes");
    let (store, gguf) = (at("store"), at("gguf"));
    for args in [
        &["pull", model][..],
        &["run", model, "the soil", "-n", "4"],
        &["tokens", model, "the soil"],
        &["score", model, "the soil"],
        &["import", model, "--store", &store],
        &["inspect", model, "--tensors"],
        &["diff", model, model],
        &["export", model, "--to", "gguf", &gguf],
        &["bench", "run", model, "--prompt", "4", "--generate", "2", "--turns", "1"],
        &["bench", "inputs", model, "--text", &words, "--tokens", "32", "--window", "16"],
    ] {
        ran.object(args);
    }
}

/// A commons and its people, each with a folder of keys.
struct Garden {
    folder: PathBuf,
}

impl Garden {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("plain").to_owned()
    }

    /// Runs a command with the keys of this person, in a folder of the commons.
    fn object(&self, ran: &mut Ran, who: &str, dir: &str, args: &[&str]) -> Value {
        let (keys, dir) = (self.path(who), self.path(dir));
        ran.object(&[args, &["--keys", &keys, "--dir", &dir]].concat())
    }

    /// A commons of Anna and Bert, kept in `anna`, in which Anna orders the log.
    fn found(ran: &mut Ran, folder: &Path) -> Self {
        let garden = Self { folder: folder.to_owned() };
        let keys = |name: &str| garden.path(name);
        ran.object(&["key", "create", "--keys", &keys("anna-keys")]);
        ran.object(&["key", "create", "--keys", &keys("bert-keys")]);
        let card = ran.object(&["key", "show", "--keys", &keys("bert-keys")]);
        let bert = format!("Bert={}", card["card"].as_str().expect("a card"));
        let rules = keys("rules.toml");
        fs::write(&rules, "notice = 1\nquorum = [1, 1]\nvouches_needed = 1\n").expect("writes");
        let create = ["commons", "create", "Garden", "--me", "Anna", "--founder", &bert];
        let create = [&create[..], &["--rules", &rules]].concat();
        garden.object(ran, "anna-keys", "anna", &create);
        garden
    }

    /// What a service puts out first, which goes on until it is dropped.
    fn serves(&self, ran: &mut Ran, args: &[&str]) -> (Service, Value) {
        let line = args.join(" ");
        ran.done.extend(ran.all.iter().filter(|n| line == **n).map(|n| (*n).to_owned()));
        let mut command = understory();
        command.args(args).args(["--json", "--keys", &self.path("anna-keys")]);
        command.args(["--dir", &self.path("anna")]).env("UNDERSTORY_PASSPHRASE", "soil");
        match args {
            ["commons", "page"] => command.args(["--port", "0"]),
            _ => command.args(["--bind", "127.0.0.1:0", "--no-page"]),
        };
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("it says something").expect("it is text");
        (Service(child), object(&first, args))
    }
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().expect("it can be ended");
        self.0.wait().expect("it ends");
    }
}

fn commons(ran: &mut Ran, folder: &Path) {
    let garden = Garden::found(ran, folder);
    says_and_asks(ran, &garden);
    shows(ran, &garden);
    reaches_others(ran, &garden);
    replaces_keys(ran, &garden);
}

fn says_and_asks(ran: &mut Ran, garden: &Garden) {
    let digest = "ab".repeat(32);
    let charter = garden.path("rules.toml");
    let mut anna = |args: &[&str]| garden.object(ran, "anna-keys", "anna", args);
    anna(&["commons", "affiliation", "Orchard"]);
    anna(&["commons", "conflict", "plums"]);
    let published = anna(&["commons", "publish", "pear", &digest]);
    let parent = "cd".repeat(32);
    anna(&["commons", "derive", &digest, "--parent", &parent, "--recipe", &charter]);
    anna(&["commons", "use", &digest]);
    let open = anna(&["propose", "Where?", "--option", "North", "--option", "South"]);
    let open = open["statement"].as_str().expect("a hash").to_owned();
    anna(&["vote", &open, "North"]);
    let secret = anna(&["propose", "When?", "--option", "now", "--secret", "600"]);
    anna(&["vote", secret["statement"].as_str().expect("a hash"), "now"]);
    let panel = ["propose", "Who?", "--topic", "panel", "--seats", "1"];
    let panel = anna(&panel);
    let panel = panel["statement"].as_str().expect("a hash").to_owned();
    anna(&["tally"]);
    anna(&["tally", &open]);
    anna(&["margin", &open]);
    anna(&["panel", &panel]);
    let published = published["statement"].as_str().expect("a hash").to_owned();
    let mut bert = |args: &[&str]| garden.object(ran, "bert-keys", "anna", args);
    bert(&["commons", "use", &digest]);
    bert(&["commons", "house", "users"]);
    bert(&["commons", "check", &published, "confirmed"]);
    let key = garden.object(ran, "anna-keys", "anna", &["commons", "settle"]);
    assert!(key["size"].as_u64() > Some(10), "{key}");
    // Two statements, and more to say of somebody who is no member yet: one object all the same.
    ran.object(&["key", "create", "--keys", &garden.path("cleo-keys")]);
    let cleo = garden.object(ran, "cleo-keys", "anna", &["commons", "introduce", "Cleo"]);
    assert_eq!((&cleo["kind"], &cleo["is_member"]), (&"Attest".into(), &false.into()), "{cleo}");
    assert_eq!(cleo["key"]["kind"], "Key");
    garden.object(ran, "anna-keys", "anna", &["commons", "settle"]);
    garden.object(ran, "anna-keys", "anna", &["commons", "vouch", "Cleo"]);
}

fn shows(ran: &mut Ran, garden: &Garden) {
    garden.object(ran, "bert-keys", "anna", &["commons", "conflict", "pears"]);
    let anna = garden.path("anna");
    // These two put out an object for each statement.
    let waiting = ran.lines(&["commons", "show", "waiting", "--dir", &anna], |_| ());
    let log = ran.lines(&["commons", "show", "log", "--dir", &anna], |_| ());
    assert!(waiting.len() == 1 && log.len() > 20, "{waiting:?}");
    let mut anna = |args: &[&str]| garden.object(ran, "anna-keys", "anna", args);
    for view in ["members", "lineage", "milestones", "questions", "health", "rules", "charter"] {
        anna(&["commons", "show", view]);
    }
    anna(&["commons", "hash"]);
    anna(&["commons", "verify"]);
    anna(&["commons", "export", &garden.path("tiles")]);
    let proof = garden.path("one.tlog-proof");
    let id = anna(&["commons", "prove", "0", "--out", &proof])["commons"].clone();
    let id = id.as_str().expect("a hash");
    ran.object(&["commons", "check-proof", &proof, "--commons", id]);
    let mut anna = |args: &[&str]| garden.object(ran, "anna-keys", "anna", args);
    anna(&["commons", "fork", "Meadow", &garden.path("meadow")]);
}

fn reaches_others(ran: &mut Ran, garden: &Garden) {
    let keys = |name: &str| garden.path(name);
    for command in ["witness-key", "operator-key"] {
        ran.object(&["commons", command, "--keys", &keys("anna-keys")]);
    }
    for service in ["page", "witness"] {
        garden.serves(ran, &["commons", service]);
    }
    let (_service, said) = garden.serves(ran, &["commons", "serve"]);
    let ticket = said["ticket"].as_str().expect("a ticket");
    garden.object(ran, "bert-keys", "bert", &["commons", "join", ticket]);
    garden.object(ran, "bert-keys", "bert", &["commons", "sync"]);
}

/// Anna hands the log over at last: nothing more gets its place after that.
fn replaces_keys(ran: &mut Ran, garden: &Garden) {
    let mut anna = |args: &[&str]| garden.object(ran, "anna-keys", "anna", args);
    anna(&["key", "rotate", "--guardian", "Bert"]);
    let mut lost = |args: &[&str]| garden.object(ran, "new-keys", "anna", args);
    let new = garden.path("new-keys");
    lost_keys(&new);
    lost(&["key", "device", "Anna"]);
    lost(&["key", "recover", "Anna"]);
    garden.object(ran, "bert-keys", "anna", &["key", "revoke"]);
    let mut anna = |args: &[&str]| garden.object(ran, "anna-keys", "anna", args);
    anna(&["commons", "operator", "Anna"]);
    let secret = garden.path("secret");
    fs::write(&secret, [7; 32]).expect("writes");
    let imported = garden.path("imported");
    let args = ["key", "import", "--keys", &imported];
    let secret = fs::File::open(secret).expect("opens");
    let lines = ran.lines(&args, |command| {
        command.stdin(secret);
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}

fn lost_keys(folder: &str) {
    let mut command = understory();
    command.args(["key", "create", "--keys", folder]).env("UNDERSTORY_PASSPHRASE", "soil");
    assert_eq!(common::run(&mut command).code, Some(0));
}

fn swarm(ran: &mut Ran, folder: &Path) {
    let config = tiny_config(folder, 1);
    let peer = |name: &str| folder.join(name);
    let alone = ["--bind", "127.0.0.1:0", "--key-seed", "1", "--threads", "1", "--once"];
    let (first, second, third) = (peer("first"), peer("second"), peer("third"));
    let start = ["swarm", "start", text(&config), "--dir", text(&first)];
    ran.lines(&[&start[..], &alone].concat(), |_| ());
    {
        let founder = Peer::spawn(&["start", text(&config)], &peer("founder"), 1, &[]);
        let started = object(&founder.wait_for("\"started\""), &["swarm", "start"]);
        founder.wait_for("\"finished\"");
        let ticket = started["ticket"].as_str().expect("a ticket");
        let join = ["swarm", "join", ticket, "--dir", text(&second), "--key-seed", "2"];
        let join = [&join[..], &["--bind", "127.0.0.1:0", "--threads", "1", "--once"]].concat();
        ran.lines(&join, |_| ());
    }
    let go_on = ["swarm", "continue", text(&first), "--dir", text(&third)];
    ran.lines(&[&go_on[..], &alone].concat(), |_| ());
    ran.object(&["swarm", "status", text(&first)]);
    ran.object(&["swarm", "key", "--dir", text(&peer("key"))]);
    judges(ran, folder, &first);
}

/// Of a verification that also says in a commons what it found: one object, with that in it.
fn judges(ran: &mut Ran, folder: &Path, run: &Path) {
    let verified = ran.object(&["verify", text(run)]);
    assert_eq!((&verified["verdict"], &verified["judged"]), (&"confirmed".into(), &Value::Null));
    let root = verified["chain"]["root"].as_str().expect("a root").to_owned();
    let folder = folder.join("judged");
    fs::create_dir(&folder).expect("can be made");
    let garden = Garden::found(ran, &folder);
    let parent = "cd".repeat(32);
    let derive = ["commons", "derive", &root, "--parent", &parent, "--recipe", &parent];
    garden.object(ran, "bert-keys", "anna", &derive);
    garden.object(ran, "anna-keys", "anna", &["commons", "settle"]);
    let (commons, keys) = (garden.path("anna"), garden.path("anna-keys"));
    let verified = ran.object(&["verify", text(run), "--commons", &commons, "--keys", &keys]);
    let judged = &verified["judged"];
    assert_eq!((&judged["kind"], &judged["void"]), (&"Check".into(), &Value::Null), "{verified}");
}
