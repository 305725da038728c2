//! Running the program as its users do.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// The program, with nothing of the developer's environment that changes what it says.
pub fn understory() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_understory"));
    for variable in ["UNDERSTORY_ISA", "NO_COLOR", "CLICOLOR_FORCE", "RUST_LOG", "COLUMNS"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Said { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Runs `understory` with these arguments to the end.
pub fn say(args: &[&str]) -> Said {
    run(understory().args(args))
}

/// A command whose reader is gone before it begins (`understory … | true`) ends in order and says
/// nothing of it.
pub fn ends_quietly_without_a_reader(command: &mut Command) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the program starts");
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{command:?}: {err}");
    assert!(!err.contains("error") && !err.contains("panicked"), "{command:?}: {err}");
}

/// Runs commands without a reader: `cases` are all that the list of commands says `file` runs, and no
/// others.
pub fn end_quietly_without_a_reader(
    file: &str,
    cases: &[&[&str]],
    mut command: impl FnMut() -> Command,
) {
    let listed = include_str!("../without_a_reader.txt").lines();
    let listed = listed.filter_map(|line| line.split_once(" = "));
    let mut missing: Vec<&str> =
        listed.filter(|(_, by)| *by == file).map(|(command, _)| command).collect();
    for args in cases {
        let line = format!("{} ", args.join(" "));
        missing.retain(|command| !line.starts_with(&format!("{command} ")));
        ends_quietly_without_a_reader(command().args(*args));
    }
    assert!(missing.is_empty(), "{file}.rs runs none of {missing:?}");
}

/// What lines of JSON on standard error tell of this kind of work. There is nothing else.
pub fn told(err: &str, work: &str) -> Vec<serde_json::Value> {
    let line = |line: &str| -> serde_json::Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let lines = err.lines().map(line).map(|line| line["progress"]["at"].clone());
    lines.filter(|at| at["work"] == work).collect()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test folders have plain names")
}

/// An untrained model with a tokenizer, as a Hugging Face folder.
pub fn model_folder(folder: &Path) -> PathBuf {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = text::Tokenizer::train([words.as_str()], 300).expect("enough text");
    let decoder = model::Decoder::tiny(tokenizer.len());
    let params = model::init(&decoder, 3).expect("a valid shape");
    let model = model::Parameters::new(&decoder, params).expect("a valid model");
    let lineage = engine::Lineage { name: "tiny".to_owned(), run: None, root: None };
    let path = folder.join("model");
    fs::create_dir(&path).expect("a folder can be made");
    engine::hf::export(&path, &model, &tokenizer, &lineage).expect("it can be written");
    path
}

/// A peer of a run on this machine; stops when dropped.
pub struct Peer {
    child: Child,
    leash: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: PathBuf,
}

impl Peer {
    /// Starts `understory swarm …` with a folder and a key of its own.
    pub fn spawn(args: &[&str], folder: &Path, key: u32, more: &[&str]) -> Self {
        let (key, errors) = (key.to_string(), folder.with_extension("stderr"));
        let mut child = understory()
            .args(["swarm"])
            .args(args)
            .args(["--dir", text(folder), "--bind", "127.0.0.1:0", "--key-seed", &key])
            .args(["--threads", "1", "--leash", "--json"])
            .args(more)
            .env("UNDERSTORY_PASSPHRASE", "soil")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors).expect("its folder's folder is there"))
            .spawn()
            .expect("the program starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let leash = child.stdin.take();
        Self { child, leash, lines, errors }
    }

    /// Waits for the first line with `what` in it.
    pub fn wait_for(&self, what: &str) -> String {
        loop {
            // Only to fail instead of hanging for good.
            match self.lines.recv_timeout(Duration::from_secs(300)) {
                Ok(line) if line.contains(what) => return line,
                Ok(_) => {}
                Err(error) => panic!("the peer never said {what}: {error}: {}", self.errors()),
            }
        }
    }

    /// What it has said on standard error.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.errors).expect("it was created")
    }
}

impl Peer {
    /// The next unused invitations that the founder says there are.
    pub fn invitations(&self) -> Vec<String> {
        let line = self.wait_for("\"invitations\"");
        let event: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let unused = event["unused"].as_array().expect("a list");
        unused.iter().map(|text| text.as_str().expect("text").to_owned()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.child.wait();
    }
}

/// A configuration of a tiny run of so many rounds in `folder`, with its text.
pub fn tiny_config(folder: &Path, rounds: u32) -> PathBuf {
    let data = folder.join("data");
    fs::create_dir_all(&data).expect("a folder can be made");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, file) in
        [("a.txt", "../../LICENSE"), ("b.txt", "../cotrain/src/worker.rs"), ("c.txt", "src/cli.rs")]
    {
        fs::copy(source.join(file), data.join(name)).expect("the sources are here");
    }
    let config = folder.join("config.toml");
    let tiny = TINY.replace("rounds = 4\n", &format!("rounds = {rounds}\n"));
    fs::write(&config, format!("[data]\npaths = [{:?}]\n{tiny}", text(&data))).expect("writes");
    config
}

/// Four rounds of a tiny model by four peers in `folder`/peer-1 … peer-4, of which the last turns
/// its updates around.
pub fn tiny_run(folder: &Path) {
    let config = tiny_config(folder, 4);
    let dir = |n: u32| -> PathBuf { folder.join(format!("peer-{n}")) };
    let founder = Peer::spawn(&["start", text(&config), "--friends", "3"], &dir(1), 1, &[]);
    let invitations = founder.invitations();
    let mut peers = vec![founder];
    for (n, invitation) in (2..).zip(&invitations) {
        let more: &[&str] = if n == 4 { &["--cheat", "signflip"] } else { &[] };
        peers.push(Peer::spawn(&["join", invitation], &dir(n), n, more));
    }
    for peer in &peers[..3] {
        peer.wait_for("\"finished\"");
    }
}

const TINY: &str = r#"
[data.options]
vocab = 600
held_out_bytes = 4096
[model]
dim = 32
layers = 2
heads = 2
kv_heads = 1
ffn = 64
context = 32
[inner]
seq = 32
batch = 2
[rounds]
rounds = 4
steps_min = 4
steps_max = 4
keep_every = 2
min_members = 1
"#;
