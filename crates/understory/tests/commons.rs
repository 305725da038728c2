//! A commons of one on this machine: keys, questions, and what the commands refuse. With others:
//! `checks/commons.sh`.

mod common;

use common::{Said, run, text, understory};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A commons whose questions may close as soon as they are asked.
struct Commons {
    folder: tempfile::TempDir,
}

impl Commons {
    fn found() -> Self {
        let commons = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        commons.done(&["key", "create"]);
        let rules = commons.path("rules.toml");
        fs::write(&rules, "notice = 1\nquorum = [1, 1]\n").expect("writes");
        commons.done(&["commons", "create", "Garden", "--me", "Anna", "--rules", text(&rules)]);
        commons
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn say(&self, args: &[&str]) -> Said {
        self.say_with(args, "soil")
    }

    fn say_with(&self, args: &[&str], passphrase: &str) -> Said {
        let mut command = understory();
        command.args(args).args(["--keys", text(&self.path("keys"))]);
        if args[..2] != ["key", "create"] {
            command.args(["--dir", text(&self.path("commons"))]);
        }
        run(command.env("UNDERSTORY_PASSPHRASE", passphrase))
    }

    /// What a command printed that has to succeed.
    fn done(&self, args: &[&str]) -> String {
        let said = self.say(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Proposes; the question's statement.
    fn ask(&self, args: &[&str]) -> String {
        let out = self.done(&[&["propose"], args, &["--json"]].concat());
        let object: serde_json::Value = serde_json::from_str(&out).expect("one object");
        object["statement"].as_str().expect("a hash").to_owned()
    }

    /// A command that has to fail with these words and a hint, and to leave the log as it is.
    fn refuses(&self, args: &[&str], why: &str) {
        let before = self.size();
        let said = self.say(args);
        assert_ne!(said.code, Some(0), "{args:?}: {}", said.out);
        assert!(said.err.contains(why) && said.err.contains("\nhint: "), "{args:?}: {}", said.err);
        assert_eq!(self.size(), before, "{args:?} wrote something");
    }

    fn size(&self) -> u64 {
        let out = self.done(&["commons", "hash", "--json"]);
        let object: serde_json::Value = serde_json::from_str(&out).expect("one object");
        object["size"].as_u64().expect("a number")
    }
}

/// Until the clock shows more than these Unix seconds.
fn sleep_past(seconds: u64) {
    let then = UNIX_EPOCH + Duration::from_secs(seconds + 1);
    std::thread::sleep(then.duration_since(SystemTime::now()).unwrap_or_default());
}

#[test]
fn what_would_count_for_nothing_is_not_written() {
    let commons = Commons::found();
    commons.refuses(&["commons", "vouch", "Anna"], "this would count for nothing");
    commons.refuses(&["commons", "vouch", "Nobody"], "nobody here is \"Nobody\"");
    commons.refuses(&["commons", "introduce", "a1b2c3d4"], "reads like a key or a hash");
    commons.refuses(&["commons", "introduce", "A\u{200b}nna"], "cannot see");
    commons.refuses(&["vote", "0", "1"], "asks no question");
    commons.refuses(&["key", "recover", "Anna"], "this would count for nothing");
    commons.refuses(&["propose", "What?", "--majority", "1:3"], "less than 1:1");
    commons.refuses(&["propose", "What?", "--quota", "users=1..2"], "only a panel has quotas");
    commons.refuses(&["propose", "Who?", "--topic", "panel"], "a panel of 3 cannot be drawn");
}

#[test]
fn a_ballot_says_what_was_typed_and_is_repeated_in_words() {
    let commons = Commons::found();
    let ask = |options: [&str; 3]| {
        let [a, b, c] = options;
        commons.ask(&["Which?", "--option", a, "--option", b, "--option", c])
    };
    let numbers = ask(["3", "5", "7"]);
    let said = commons.done(&["vote", &numbers, "3"]);
    assert!(said.contains("your ballot on \"Which?\": #1 \"3\"\n"), "{said}");
    assert!(commons.done(&["vote", &numbers, "#3", "5"]).contains("#3 \"7\", then #2 \"5\""));
    commons.refuses(&["vote", &numbers, "1"], "\"1\" is no option");
    let years = ask(["2025 budget", "2024 budget", "neither"]);
    commons.refuses(
        &["vote", &years, "2"],
        "can be read as #1 \"2025 budget\" and as #2 \"2024 budget\"",
    );
    assert!(commons.done(&["vote", &years, "neith"]).contains("#3 \"neither\""));
    for [a, b] in [["red", "Red"], ["pay", "p\u{430}y"]] {
        commons.refuses(&["propose", "Colour?", "--option", a, "--option", b], "look alike");
    }
    commons.refuses(&["propose", "Colour?", "--option", "a b", "--option", "a  b"], "spaces");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let commons = Commons::found();
    let question = commons.ask(&["Where?", "--option", "North", "--option", "South"]);
    let (keys, dir) = (commons.path("keys"), commons.path("commons"));
    let drawn = commons.ask(&["Who?", "--topic", "panel", "--seats", "1"]);
    let (child, parent) = ("a".repeat(64), "b".repeat(64));
    let fork = commons.path("fork");
    let in_commons = [
        &["commons", "show", "members"][..],
        &["commons", "show", "members", "--json"],
        &["commons", "show", "log"],
        &["commons", "show", "questions"],
        &["commons", "show", "health"],
        &["commons", "show", "lineage"],
        &["commons", "hash"],
        &["commons", "verify"],
        &["tally", &question, "--explain"],
        &["tally", &question, "--json"],
        &["margin", &question],
        &["vote", &question, "North"],
        &["panel", &drawn],
        &["propose", "When?", "--option", "Now"],
        &["commons", "introduce", "Anna Berta"],
        &["commons", "affiliation", "Bakery"],
        &["commons", "conflict", "Mill"],
        &["commons", "publish", "Bread", &child, "--licence", "MIT"],
        &["commons", "derive", &child, "--parent", &parent, "--recipe", &parent],
        &["commons", "use", &child],
        &["commons", "settle"],
        &["commons", "fork", "Meadow", text(&fork)],
    ];
    let with_keys = [
        &["key", "show"][..],
        &["key", "create"],
        &["commons", "witness-key"],
        &["commons", "operator-key"],
    ];
    // A key that is there is never made anew, so that one is made elsewhere.
    let elsewhere = commons.path("other-keys");
    let place = |args: &[&str]| -> Vec<String> {
        let keys = if args == ["key", "create"] { &elsewhere } else { &keys };
        let dir = ["--dir".to_owned(), text(&dir).to_owned()];
        let dir = if with_keys.contains(&args) { &[][..] } else { &dir };
        let args = args.iter().map(|arg| (*arg).to_owned());
        let args = args.chain(["--keys".to_owned(), text(keys).to_owned()]);
        args.chain(dir.iter().cloned()).collect()
    };
    let cases: Vec<Vec<String>> =
        in_commons.iter().chain(&with_keys).map(|args| place(args)).collect();
    let cases: Vec<Vec<&str>> =
        cases.iter().map(|args| args.iter().map(String::as_str).collect()).collect();
    let cases: Vec<&[&str]> = cases.iter().map(Vec::as_slice).collect();
    common::end_quietly_without_a_reader("commons", &cases, || {
        let mut command = understory();
        command.env("UNDERSTORY_PASSPHRASE", "soil");
        command
    });
}

/// Commands and page give one schema: docs/commons.md has it.
#[test]
fn the_page_answers_what_commands_print_as_json() {
    let commons = Commons::found();
    let open = commons.ask(&["Where?", "--option", "North", "--option", "South"]);
    commons.done(&["vote", &open, "North"]);
    let drawn = commons.ask(&["Who?", "--topic", "panel", "--seats", "1"]);
    let (child, parent) = ("a".repeat(64), "b".repeat(64));
    commons.done(&["commons", "publish", "Bread", &child, "--licence", "MIT"]);
    commons.done(&["commons", "derive", &child, "--parent", &parent, "--recipe", &parent]);
    let page = Page::of(&commons);
    let (tally, panel) = (format!("tally/{open}"), format!("panel/{drawn}"));
    for (view, args) in [
        ("members", &["commons", "show", "members"][..]),
        ("lineage", &["commons", "show", "lineage"]),
        ("health", &["commons", "show", "health"]),
        ("tallies", &["commons", "show", "questions"]),
        ("tallies", &["tally"]),
        (&tally, &["tally", &open]),
        (&panel, &["panel", &drawn]),
    ] {
        let said = commons.done(&[args, &["--json"]].concat());
        let said: serde_json::Value = serde_json::from_str(&said).expect("one object");
        assert!(said["size"].as_u64() > Some(4), "{view}: {said}");
        assert_eq!(page.view(view), said, "{view}");
    }
    let margin = commons.done(&["margin", &open, "--json"]);
    let margin: serde_json::Value = serde_json::from_str(&margin).expect("one object");
    assert_eq!(page.view(&tally)["margin"], margin);
}

/// The page of a commons, served until this is dropped.
struct Page {
    child: std::process::Child,
    address: String,
}

impl Page {
    fn of(commons: &Commons) -> Self {
        let mut command = understory();
        command.args(["commons", "page", "--port", "0", "--json"]);
        command.args(["--dir", text(&commons.path("commons"))]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: serde_json::Value = serde_json::from_str(&line).expect("one object");
        let url = said["page"].as_str().expect("where the page is");
        Self { child, address: url.trim_start_matches("http://").to_owned() }
    }

    fn view(&self, name: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let request = format!(
            "GET /api/commons/{name} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{name}: {error}: {answer}"))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.child.kill().expect("it can be ended");
        self.child.wait().expect("it ends");
    }
}

#[test]
fn a_secret_ballot_is_opened_after_the_close_and_counts() {
    let commons = Commons::found();
    let open = commons.ask(&["Where?", "--option", "North", "--option", "South"]);
    commons.refuses(&["vote", &open, "East"], "\"East\" is no option");
    commons.refuses(&["vote", &open, "--reveal"], "takes open ballots");

    let secret = commons.ask(&["Secretly?", "--open", "20", "--secret", "600"]);
    let tally = || -> serde_json::Value {
        let out = commons.done(&["tally", &secret, "--json"]);
        serde_json::from_str(&out).expect("one object")
    };
    assert!(commons.done(&["vote", &secret, "no"]).contains("--reveal"), "it says how to reveal");
    // A second ballot that is never written leaves the first one as it is.
    let failed = commons.say_with(&["vote", &secret, "yes"], "weeds");
    assert!(failed.err.contains("passphrase"), "{}", failed.err);
    commons.refuses(&["vote", &secret, "--reveal"], "ballots are still taken, until 2");
    assert_eq!(tally()["counts"][0]["ballots"], 0, "what is secret counts already");

    sleep_past(tally()["close"].as_u64().expect("a time"));
    commons.refuses(&["vote", &secret, "yes"], "ballots were taken until 2");
    commons.done(&["vote", &secret, "--reveal"]);
    let counted = tally();
    assert_eq!(counted["counts"][0]["ballots"], 1);
    assert_eq!(counted["counts"][0]["winners"], serde_json::json!([1]));
}

#[test]
fn a_key_is_replaced_and_also_after_its_end() {
    let commons = Commons::found();
    let key = || fs::read_to_string(commons.path("keys/key.pub")).expect("a key");
    let first = key();
    commons.done(&["key", "rotate"]);
    assert_ne!(key(), first);
    commons.done(&["commons", "conflict", "plums"]);
    commons.done(&["key", "revoke"]);
    commons.refuses(&["commons", "conflict", "pears"], "does not sign for Anna any more");
    commons.done(&["key", "rotate"]);
    commons.done(&["commons", "conflict", "pears"]);
    let members = commons.done(&["commons", "show", "members"]);
    assert!(members.contains("plums") && members.contains("pears"), "{members}");
    assert!(commons.done(&["commons", "verify"]).contains("everything holds"));
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_secret_keys_are_for_their_owner() {
    let commons = Commons::found();
    let said = commons.say_with(&["commons", "conflict", "plums"], "weeds");
    assert_ne!(said.code, Some(0));
    assert!(said.err.contains("passphrase"), "{}", said.err);
    for file in fs::read_dir(commons.path("keys")).expect("the keys") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|e| e == "pem") {
            let text = fs::read_to_string(&path).expect("reads");
            ids::key_file::unseal(&text, "soil").expect("it opens");
            only_for_its_owner(&path);
        }
    }
}

#[test]
fn a_key_of_an_age_file_is_imported() {
    let commons = Commons::found();
    let [secret, old] = ["keys/key.pem", "keys/key.age"].map(|name| commons.path(name));
    let sealed = fs::read_to_string(&secret).expect("a key");
    let seed = ids::key_file::unseal(&sealed, "soil").expect("it opens");
    fs::rename(&secret, &old).expect("renamed");
    let hint = format!("age -d {} | understory key import --keys ", text(&old));
    for args in [["commons", "conflict", "plums"].as_slice(), &["key", "revoke"]] {
        commons.refuses(args, &format!("{} is an age file", text(&old)));
        assert!(commons.say(args).err.contains(&hint), "{args:?}");
    }
    let again = commons.say(&["key", "create"]);
    assert!(again.err.contains("is an age file"), "{}", again.err);

    let import = |secret: &[u8]| {
        let file = commons.path("secret");
        fs::write(&file, secret).expect("writes");
        let mut command = understory();
        command.args(["key", "import", "--keys", text(&commons.path("keys"))]);
        command.stdin(fs::File::open(file).expect("opens"));
        run(command.env("UNDERSTORY_PASSPHRASE", "soil"))
    };
    for (wrong, why) in [
        (&seed[..31], "32 bytes"),
        (&[&seed[..], b"\n"].concat(), "32 bytes"),
        (&[7; 32], "key.pub"),
    ] {
        let said = import(wrong);
        assert!(said.err.contains(why) && said.err.contains("hint: "), "{}", said.err);
        assert!(!secret.exists());
    }
    let said = import(&seed[..]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    only_for_its_owner(&secret);
    commons.done(&["commons", "conflict", "plums"]);
    assert!(import(&seed[..]).err.contains("is there already"));
}

#[test]
fn an_imported_key_gets_the_name_of_its_public_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = folder.path().join("keys");
    let import = |number: u8, args: &[&str]| {
        let file = folder.path().join("secret");
        fs::write(&file, [number; 32]).expect("writes");
        let mut command = understory();
        command.args(["key", "import", "--keys", text(&keys)]).args(args);
        command.stdin(fs::File::open(file).expect("opens"));
        run(command.env("UNDERSTORY_PASSPHRASE", "soil"))
    };
    let opens = |name: &str| {
        let text = fs::read_to_string(keys.join(name)).expect("a key");
        ids::key_file::unseal(&text, "soil").expect("it opens")[0]
    };
    for (number, args) in [(1, &[][..]), (2, &["--as", "next"]), (3, &["--as", "operator"])] {
        assert_eq!(import(number, args).code, Some(0));
    }
    fs::rename(keys.join("next.pem"), folder.path().join("elsewhere")).expect("renamed");
    assert_eq!(import(2, &[]).code, Some(0));
    assert_eq!(["key.pem", "next.pem", "operator.pem"].map(opens), [1, 2, 3]);
}

#[cfg(unix)]
fn only_for_its_owner(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{}", path.display());
}

#[cfg(not(unix))]
fn only_for_its_owner(_path: &Path) {}
