//! What the commands say: standard output, standard error and exit status.
//!
//! Whole texts are compared with the files in `tests/golden`; `UNDERSTORY_BLESS=1 cargo test -p
//! understory --test cli` writes them anew.

mod common;

use common::{Said, model_folder, run, say, text, understory};
use kernel::Isa;
use std::{fs, net::UdpSocket, path::Path, process::Stdio};

/// What was asked for and does not get where it is to go is no success.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let full = std::fs::File::create("/dev/full").expect("Linux has it");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_understory"));
    let output = command.args(["swarm", "config"]).stdout(full).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("standard output"), "{said}");
}

#[test]
fn help_says_what_it_said() {
    for command in [
        "",
        "demo",
        "pull",
        "import",
        "run",
        "tokens",
        "score",
        "inspect",
        "diff",
        "verify",
        "export",
        "swarm",
        "swarm start",
        "swarm join",
        "swarm continue",
        "swarm key",
        "swarm status",
        "swarm config",
        "bench",
        "bench train",
        "bench swarm",
        "bench run",
        "bench inputs",
        "bench loss-gap",
        "bench arithmetic",
        "sim attacks",
        "commons",
        "commons serve",
        "key",
        "propose",
        "vote",
    ] {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let name = format!("help {command}").trim_end().replace(' ', "-");
        golden(&name, &say(&args));
    }
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    golden("unknown-command", &say(&["compost"]));
    golden("two-contradicting-flags", &say(&["verify", "x", "--all", "--sample", "5%"]));
    golden("share-out-of-range", &say(&["verify", "x", "--sample", "101%"]));
}

#[test]
fn without_any_text_it_says_how_to_get_some() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nowhere = folder.path().join("nowhere");
    let decoder = folder.path().join("config.toml");
    fs::write(&decoder, "").expect("writes");
    let said = run(understory()
        .args(["swarm", "start", text(&decoder), "--dir", text(&folder.path().join("peer"))])
        .args(["--bind", "127.0.0.1:0", "--once"])
        .env("HOME", &nowhere)
        .env("CARGO_HOME", &nowhere));
    is_hinted(&said, "--data PATH");
}

#[test]
fn errors_come_with_a_way_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = |name: &str| folder.path().join(name).to_str().expect("plain").to_owned();
    let damaged = here("damaged.toml");
    fs::write(&damaged, "[model]\ndim = \"wide\"\n").expect("writes");
    let unknown = here("unknown.toml");
    fs::write(&unknown, "[model]\nwidth = 3\n").expect("writes");
    let garbage = here("garbage.gguf");
    fs::write(&garbage, "no model at all").expect("writes");
    let voters = here("voters.txt");
    fs::write(&voters, "# friends\n\nBert\n").expect("writes");
    let decoder = here("config.toml");
    fs::write(&decoder, "").expect("writes");
    let with_voters = ["swarm", "start", &decoder, "--voters", &voters, "--dir", &here("p6")];
    let members = ["swarm", "start", &decoder, "--voters", "members", "--dir", &here("p7")];
    let cases: [(&str, &[&str]); 14] = [
        ("no-model", &["run", &here("no"), "hello"]),
        ("no-gguf", &["run", &garbage, "hello"]),
        ("no-model-to-export", &["export", &here("no"), "--to", "hf", &here("out")]),
        ("no-run", &["verify", &here("no")]),
        ("no-peer", &["swarm", "status", &here("no")]),
        ("bad-ticket", &["swarm", "join", "understory2nonsense", "--dir", &here("p1")]),
        ("old-ticket", &["swarm", "join", "understory1nonsense", "--dir", &here("p1")]),
        ("bad-voters", &with_voters),
        ("no-commons-for-voters", &members),
        ("nothing-to-continue", &["swarm", "continue", &here("no"), "--dir", &here("p8")]),
        ("no-ticket", &["swarm", "join", "--dir", &here("p2")]),
        ("no-config", &["swarm", "start", "--dir", &here("p3")]),
        ("damaged-config", &["swarm", "start", &damaged, "--dir", &here("p4")]),
        ("unknown-field", &["swarm", "start", &unknown, "--dir", &here("p5")]),
    ];
    for (name, args) in cases {
        let said = say(args);
        is_hinted(&said, "");
        golden(name, &Said { err: said.err.replace(text(folder.path()), "FOLDER"), ..said });
    }
    for refused in 1..=8 {
        let left = folder.path().join(format!("p{refused}"));
        assert!(!left.exists(), "{} was left behind", left.display());
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let data = folder.path().join("text.txt");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../LICENSE"), &data).expect("copies");
    let decoder = folder.path().join("config.toml");
    let options = "[data.options]\nvocab = 512\nheld_out_bytes = 2048\n";
    fs::write(&decoder, format!("[data]\npaths = [{:?}]\n{options}", text(&data))).expect("writes");
    let peer = folder.path().join("peer");
    let said = run(understory()
        .args(["swarm", "start", text(&decoder), "--dir", text(&peer), "--bind", &address])
        .arg("--once"));
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.err.contains(&address), "{}", said.err);
}

#[test]
fn the_printed_configuration_is_one_that_is_read() {
    let said = say(&["swarm", "config"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    golden("swarm-config", &said);
}

#[test]
fn generates_the_same_text_whatever_the_threads_and_instructions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    for choice in [&["--temperature", "0"] as &[&str], &["--seed", "7", "--min-p", "0"]] {
        let mut texts = Vec::new();
        for threads in ["1", "2", "3", "7"] {
            texts.push(generate(&model, threads, None, choice));
        }
        for isa in Isa::available() {
            texts.push(generate(&model, "2", Some(isa), choice));
        }
        assert!(texts[0].len() > 20, "{}", texts[0]);
        assert!(texts.iter().all(|t| *t == texts[0]), "{texts:?}");
    }
    let greedy = generate(&model, "1", None, &["--temperature", "0"]);
    let sampled = generate(&model, "1", None, &["--seed", "7", "--min-p", "0"]);
    let other = generate(&model, "1", None, &["--seed", "8", "--min-p", "0"]);
    assert!(greedy != sampled && sampled != other, "the flags do something");
}

#[test]
fn a_prompt_may_come_from_standard_input_and_json_says_the_rest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    let args = ["run", text(&model), "-n", "8", "--temperature", "0"];
    let mut child = understory()
        .args(args)
        .arg("--json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), b"the soil\n")
        .expect("reads");
    let output = child.wait_with_output().expect("it ends");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(object["prompt"], "the soil");
    assert_eq!(object["tokens"], 8);
    let said = run(understory().args(args).arg("the soil"));
    let continued = object["text"].as_str().expect("text");
    assert_eq!(said.out, format!("the soil{continued}\n"));
}

#[test]
fn exports_what_it_can_read_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    let greedy = generate(&model, "1", None, &["--temperature", "0"]);
    let (hf, gguf) = (folder.path().join("hf"), folder.path().join("gguf"));
    let said = say(&["export", text(&model), "--to", "hf", text(&hf)]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(generate(&hf, "1", None, &["--temperature", "0"]), greedy);

    let said = say(&["export", text(&model), "--to", "gguf", text(&gguf), "--json"]);
    let object: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
    let file = object["written"].as_str().expect("a path");
    assert_eq!(generate(Path::new(file), "1", None, &["--temperature", "0"]), greedy);

    let again = say(&["export", text(&model), "--to", "gguf", text(&gguf)]);
    is_hinted(&again, "does not exist yet");
}

#[test]
fn a_negative_number_is_refused_with_what_the_flag_takes() {
    for args in [
        &["run", "m", "x", "--top-k", "-1"][..],
        &["run", "m", "x", "--context", "-1"],
        &["run", "m", "x", "--threads", "-2"],
        &["demo", "--peers", "-1"],
        &["bench", "train", "--steps", "-3"],
        &["swarm", "start", "--friends", "-1"],
        &["propose", "x", "--open", "-1"],
    ] {
        let said = say(args);
        let flag = args.iter().find(|arg| arg.starts_with("--")).expect("a flag");
        let words = format!("invalid value '{}' for '{flag}", args[args.len() - 1]);
        assert!(said.code == Some(2) && said.err.contains(&words), "{}", said.err);
    }
    let said = say(&["demo", "--minutes", "-1"]);
    assert!(said.err.contains("--minutes is -1, must be above 0"), "{}", said.err);
    // A prompt may be a number.
    let said = say(&["run", "nowhere", "-5"]);
    assert!(said.err.contains("no model at nowhere"), "{}", said.err);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model_folder(folder.path());
    let (model, peer) = (text(&model), folder.path().join("peer"));
    let (gguf, store) = (folder.path().join("gguf"), folder.path().join("store"));
    let cases = [
        &["pull", model][..],
        &["run", model, "the", "-n", "40", "--temperature", "0"],
        &["run", model, "the", "-n", "4", "--json"],
        &["tokens", model, "the soil"],
        &["tokens", model, "the soil", "--json"],
        &["score", model, "the soil"],
        &["score", model, "the soil", "--json"],
        &["import", model, "--store", text(&store)],
        &["inspect", model, "--tensors"],
        &["inspect", model, "--json"],
        &["diff", model, model],
        &["diff", model, model, "--json"],
        &["export", model, "--to", "gguf", text(&gguf)],
        &["swarm", "config"],
        &["swarm", "key", "--dir", text(&peer)],
    ];
    common::end_quietly_without_a_reader("cli", &cases, understory);
    let listed = include_str!("without_a_reader.txt").lines().filter(|line| !line.starts_with('#'));
    for line in listed {
        let command = line.split(['=', '!']).next().unwrap_or_default();
        let help = command.split_whitespace().chain(["--help"]);
        common::ends_quietly_without_a_reader(understory().args(help));
    }
}

fn generate(model: &Path, threads: &str, isa: Option<Isa>, choice: &[&str]) -> String {
    let mut command = understory();
    command.args(["run", text(model), "the soil", "-n", "24", "--threads", threads]).args(choice);
    if let Some(isa) = isa {
        command.env("UNDERSTORY_ISA", isa.to_string());
    }
    let said = run(&mut command);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

fn is_hinted(said: &Said, hint: &str) {
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.err.starts_with("error: "), "{}", said.err);
    let hinted = said.err.lines().any(|l| l.starts_with("hint: ") && l.contains(hint));
    assert!(hinted, "no hint of {hint:?}: {}", said.err);
}

/// Compares with the file of that name.
fn golden(name: &str, said: &Said) {
    let Said { code, out, err } = said;
    let code = code.map_or("none".to_owned(), |c| c.to_string());
    let actual = format!("exit status {code}\n--- stdout\n{out}--- stderr\n{err}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var_os("UNDERSTORY_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("can be made");
        fs::write(&path, actual).expect("writes");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{} says otherwise", path.display());
}
