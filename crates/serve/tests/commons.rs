//! The page of a commons as a client on this machine meets it.

#[path = "../examples/commons_page/data.rs"]
mod data;
#[path = "../examples/commons_page/town.rs"]
mod town;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commons::Home;
use commons::statement::{
    Choice, Effect, Method, Milestone, ProposalType, Propose, Rules, TieRule, Unranked,
};
use serde_json::Value;
use serve::ServeError;
use serve::commons::{Commons, Folder, Reading, serve, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use town::{DAY, Town, person, rank, vouch};

/// A town, and how often its state was asked for.
struct Source {
    town: Mutex<Town>,
    reads: AtomicUsize,
    broken: Mutex<Option<String>>,
}

impl Commons for Source {
    fn version(&self) -> Result<String, net::BoxError> {
        if let Some(message) = self.broken.lock().unwrap().clone() {
            return Err(message.into());
        }
        let log = self.town.lock().unwrap().archive.snapshot().unwrap();
        Ok(version(&log)?)
    }

    fn read(&self) -> Result<Reading, net::BoxError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.town.lock().unwrap().reading())
    }
}

struct Server {
    addr: SocketAddr,
    source: Arc<Source>,
    _stop: oneshot::Sender<()>,
}

async fn start(town: Town) -> Server {
    let source = Arc::new(Source {
        town: town.into(),
        reads: AtomicUsize::new(0),
        broken: Mutex::default(),
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or_default() };
    let addr = serve(([127, 0, 0, 1], 0).into(), source.clone(), shutdown).await.unwrap();
    Server { addr, source, _stop: stop }
}

impl Server {
    async fn open(&self, path: &str, host: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Status, head and body.
    async fn get_as(&self, path: &str, host: &str) -> (u16, String, String) {
        let mut text = String::new();
        self.open(path, host).await.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.into())
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        self.get_as(path, &self.addr.to_string()).await
    }

    async fn view(&self, name: &str) -> Value {
        let path = format!("/api/commons/{name}");
        let (mut status, mut head, mut body) = self.get(&path).await;
        // On a busy machine a long count outlasts a request; it is done when asked for again.
        for _ in 0..10 {
            if status == 408 {
                (status, head, body) = self.get(&path).await;
            }
        }
        assert_eq!(status, 200, "{name}: {body}");
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_str(&body).unwrap()
    }
}

fn small() -> Town {
    Town::found("small", &["Anna", "Bert", "Cleo"], Rules::default())
}

#[tokio::test]
async fn every_file_of_the_page_is_there_and_none_takes_text_for_html() {
    let server = start(small()).await;
    let mut to_read = vec!["/".to_owned()];
    let mut known = to_read.clone();
    while let Some(path) = to_read.pop() {
        let (status, head, body) = server.get(&path).await;
        assert_eq!(status, 200, "{path}");
        assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="]
        {
            assert!(!body.contains(sink), "{path}: {sink}");
        }
        assert!(!body.contains("https://") && !body.contains("import("), "{path}");
        let named = body.split(['"', '\'']).filter_map(|word| match word.strip_prefix("./") {
            Some(module) if module.ends_with(".js") => Some(format!("/app/{module}")),
            _ if word.starts_with('/')
                && [".js", ".css", ".svg"].iter().any(|e| word.ends_with(e)) =>
            {
                Some(word.to_owned())
            }
            _ => None,
        });
        let new: Vec<_> = named.filter(|path| !known.contains(path)).collect();
        known.extend(new.iter().cloned());
        to_read.extend(new);
    }
    assert_eq!(known.len(), 16, "{known:?}");
}

#[tokio::test]
async fn only_loopback_names_and_known_paths_are_answered() {
    let server = start(small()).await;
    assert_eq!(server.get_as("/api/commons/members", "example.org").await.0, 403);
    let unknown = "0".repeat(64);
    for (path, status, reason) in [
        ("/api/commons/nothing".to_owned(), 404, "no such view"),
        (format!("/api/commons/members/{unknown}"), 404, "no such view"),
        ("/api/commons/tally/x".to_owned(), 400, "64 hex digits"),
        (format!("/api/commons/tally/{unknown}"), 404, "no such question"),
        (format!("/api/commons/panel/{unknown}"), 404, "no such question"),
        ("/api/snapshot".to_owned(), 404, "no such page"),
    ] {
        let (code, _, body) = server.get(&path).await;
        assert_eq!(code, status, "{path}");
        assert!(body.contains(reason), "{path}: {body}");
    }
    let refused = serve(([0, 0, 0, 0], 0).into(), server.source.clone(), async {}).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback { .. })));
}

#[tokio::test]
async fn the_views_say_what_the_log_says() {
    let server = start(data::commons()).await;
    let members = server.view("members").await;
    let of = |name: &str| {
        let all = members["members"].as_array().unwrap();
        all.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(
        (members["count"].as_u64(), members["vouches_needed"].as_u64()),
        (Some(16), Some(2))
    );
    let mira = of("Mira Novak");
    assert_eq!((mira["is_member"].as_bool(), mira["vouchers"].as_u64()), (Some(false), Some(1)));
    assert_eq!(of("Goran Petrović")["employer"], "Acme Research");
    assert_eq!(of("Fatou Ndiaye")["house"], "users");

    let lineage = server.view("lineage").await;
    let verdicts: std::collections::BTreeSet<_> =
        lineage["edges"].as_array().unwrap().iter().map(|e| e["verdict"].to_string()).collect();
    assert_eq!(verdicts.len(), 3, "{verdicts:?}");
    let edge = &lineage["edges"][0];
    let known = &lineage["derivations"][edge["statement"].as_str().unwrap()];
    assert_eq!(
        (known["count"].as_u64(), known["tool"].as_str()),
        (Some(3), Some("understory 0.1"))
    );
    assert_eq!(known["checks"][0][1], "confirmed");

    let tallies = server.view("tallies").await;
    let states: Vec<_> =
        tallies["questions"].as_array().unwrap().iter().map(|q| &q["status"]["state"]).collect();
    // Results that were withheld and that no appeal took up have lapsed.
    for state in ["open", "passed", "failed", "overturned"] {
        assert!(states.iter().any(|s| **s == state), "{state} in {states:?}");
    }

    let health = server.view("health").await;
    assert_eq!(health["counts"]["equivocations"], 1);
    assert_eq!(health["counts"]["operators"], 2);
    assert_eq!(health["overdue"].as_array().unwrap().len(), 1);
    assert_eq!((&health["threshold"], &health["witnesses"]), (&2.into(), &3.into()));
}

#[tokio::test]
async fn records_of_runs_are_shown_and_contradictions_counted() {
    let mut town = small();
    let run = |name: &[u8]| ids::Hash::of(name);
    let marked = |name: &[u8], height, record: &[u8]| Milestone {
        run: run(name),
        height,
        record: ids::Hash::of(record),
    };
    town.say(&person(0), marked(b"false", 16, b"one"));
    town.say(&person(1), marked(b"false", 16, b"other"));
    for number in 0..2 {
        town.say(&person(number), marked(b"fine", 16, b"one"));
        town.say(&person(number), marked(b"fine", 32, b"two"));
    }
    town.integrate();
    let server = start(town).await;
    let health = server.view("health").await;
    let counts = &health["counts"];
    assert_eq!((&counts["runs"], &counts["contradicted"]), (&2.into(), &1.into()));
    let of = |name: &[u8]| {
        let id = run(name).to_string();
        health["runs"].as_array().unwrap().iter().find(|r| r["run"] == id.as_str()).unwrap()
    };
    assert_eq!(of(b"false")["contradicted"][0], 16);
    let fine = of(b"fine");
    assert_eq!((&fine["heights"], &fine["newest"]["height"]), (&2.into(), &32.into()));
    assert_eq!(fine["newest"]["records"][0]["by"].as_array().unwrap().len(), 2);
    assert_eq!(fine["contradicted"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_question_is_told_with_its_count_and_a_panel_with_its_draw() {
    let server = start(data::commons()).await;
    let tallies = server.view("tallies").await;
    let path = |method: &str, title: &str| {
        let all = tallies["questions"].as_array().unwrap();
        let wanted = |q: &&Value| q["title"].as_str().unwrap().starts_with(title);
        let found = all.iter().find(wanted).unwrap_or_else(|| panic!("{title}"));
        format!("{method}/{}", found["proposal"].as_str().unwrap())
    };
    let tally = server.view(&path("tally", "Which language")).await;
    let house = &tally["counts"][0];
    assert_eq!((&house["ballots"], &house["winners"][0]), (&14.into(), &0.into()));
    assert_eq!(house["pairwise"]["votes"][1], 9);
    assert_eq!(
        (&house["standings"][0]["elected"], &house["standings"][0]["beats"]),
        (&1.into(), &2.into())
    );
    let margin = &tally["margin"];
    assert_eq!((&margin["least"], &margin["voters"]), (&3.into(), &14.into()));
    assert_eq!(margin["example"]["who"].as_array().unwrap().len(), 3);
    assert_eq!(margin["employer"]["who"], "Acme Research");
    let lines = house["explanation"].as_array().unwrap();
    assert!(lines.last().unwrap().as_str().unwrap().contains("Estonian"), "{lines:?}");

    let licence = server.view(&path("tally", "A licence")).await;
    let houses: Vec<_> =
        licence["counts"].as_array().unwrap().iter().map(|h| &h["house"]).collect();
    assert_eq!(houses, ["users", "contributors"]);
    assert_eq!(licence["margin"]["voters"], 10, "of both houses together");
    let out = &licence["counts"][1]["standings"][1]["out"];
    assert_eq!(out, "majority");

    let stewards = server.view(&path("tally", "Stewards")).await;
    let standings = stewards["counts"][0]["standings"].as_array().unwrap();
    assert!(standings.iter().any(|s| s["out"] == "cap"), "{standings:?}");

    let corpora = server.view(&path("tally", "Which corpora")).await;
    let standings = corpora["counts"][0]["standings"].as_array().unwrap();
    let votes: Vec<_> = standings.iter().map(|s| (&s["option"], &s["approvals"])).collect();
    assert_eq!(votes, [(&2.into(), &8.into()), (&0.into(), &7.into()), (&1.into(), &0.into())]);

    let readers = server.view(&path("tally", "Two readers")).await;
    let standings = readers["counts"][0]["standings"].as_array().unwrap();
    let fared: Vec<_> =
        standings.iter().map(|s| (&s["option"], &s["elected"], &s["out"])).collect();
    assert_eq!(fared[0], (&0.into(), &1.into(), &Value::Null), "{standings:?}");
    assert!(fared.contains(&(&3.into(), &Value::Null, &"excluded".into())), "{standings:?}");
    // At the last stage that they took part in, one by one; a vote is 100,000 parts.
    let votes: Vec<u64> =
        standings.iter().map(|s| s["transferable"].as_u64().unwrap() / 100_000).collect();
    assert!(votes.iter().all(|v| (1..=14).contains(v)), "{votes:?}");

    let panel = server.view(&path("panel", "A panel")).await;
    assert_eq!(panel["drawn"].as_array().unwrap().len(), 5);
    assert_eq!(panel["quotas"].as_array().unwrap().len(), 3);
    assert_eq!(server.get(&format!("/api/commons/{}", path("panel", "A logo"))).await.0, 404);
}

#[tokio::test]
async fn the_log_is_read_once_for_each_version() {
    let server = start(small()).await;
    for name in ["members", "lineage", "health", "members"] {
        server.view(name).await;
    }
    assert_eq!(server.source.reads.load(Ordering::SeqCst), 1);
    let before = server.view("health").await["size"].as_u64().unwrap();
    server.source.town.lock().unwrap().start(7, "Dina");
    let health = server.view("health").await;
    assert_eq!(health["size"].as_u64().unwrap(), before + 2);
    assert_eq!(server.source.reads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_stream_tells_when_the_log_grows_and_when_it_cannot_be_read() {
    let server = start(small()).await;
    let mut stream = server.open("/api/commons/events", "localhost").await;
    let mut text = String::new();
    let mut until = async |mark: &str| {
        let mut chunk = [0; 1024];
        while !text.contains(mark) {
            let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut chunk)).await;
            let length = read.expect("an event").unwrap();
            assert_ne!(length, 0, "ended before {mark:?}: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    };
    until("event: version").await;
    let now = server.source.version().unwrap();
    until(&format!("data: \"{now}\"")).await;
    server.source.town.lock().unwrap().start(7, "Dina");
    let now = server.source.version().unwrap();
    until(&format!("data: \"{now}\"")).await;
    *server.source.broken.lock().unwrap() = Some("the disk is gone".into());
    until("event: problem").await;
    let (status, _, body) = server.get("/api/commons/members").await;
    assert_eq!(status, 503);
    assert!(body.contains("the disk is gone"), "{body}");
}

/// 300 members with names that mean harm, one question of 64 options.
#[tokio::test]
async fn hostile_names_and_many_of_everything_come_out_as_plain_json() {
    let rules = Rules { vouches_needed: 1, vouch_budget: 255, ..Rules::default() };
    let script = "<script>alert(1)</script>\"'&\\";
    let long = "ש".repeat(128);
    let mut town = Town::found(script, &["Anna", "Bert", "Cleo"], rules);
    for number in 3..300 {
        let name = [script, &long, "Z\u{301}\u{301}\u{301}"][number as usize % 3];
        town.start(number, name);
    }
    for number in 3..300 {
        town.say(&person(number % 3), vouch(&person(number)));
    }
    town.integrate();
    let options = (0..64).map(|at| Choice {
        name: format!("{at:02}{}", "x".repeat(254)),
        digest: None,
        ratio: (1, 1),
        effect: Effect::None,
    });
    let ask = Propose {
        topic: ProposalType::Question,
        title: script.into(),
        text: String::new(),
        options: options.collect(),
        default: Some(63),
        houses: vec![],
        method: Method::Counted(decide::Method::Schulze),
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: 1,
        cap: None,
        quotas: vec![],
        close: town.now + 30 * DAY,
        reveal: None,
        appeals: None,
        held: None,
    };
    let asked = town.tell(&person(0), ask);
    for number in 0..60 {
        let ranking: Vec<u16> = (0..64).map(|at| (at + number as u16) % 64).collect();
        town.say(&person(number), rank(asked, &ranking));
    }
    town.integrate();
    let server = start(town).await;
    let members = server.view("members").await;
    assert_eq!(members["members"].as_array().unwrap().len(), 300);
    assert_eq!(members["vouches"].as_array().unwrap().len(), 297);
    assert!(members["members"].as_array().unwrap().iter().any(|m| m["name"] == script));
    let tally = server.view(&format!("tally/{asked}")).await;
    assert_eq!(tally["options"].as_array().unwrap().len(), 64);
    assert_eq!(tally["counts"][0]["pairwise"]["votes"].as_array().unwrap().len(), 64 * 64);
    assert_eq!(tally["title"], script);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let server = start(small()).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = server.open("/api/commons/events", "localhost").await;
        let mut text = [0; 512];
        assert_ne!(stream.read(&mut text).await.unwrap(), 0);
        open.push(stream);
    }
    assert_eq!(server.get("/api/commons/events").await.0, 503);
}

#[test]
fn a_folder_is_read_on_from_where_it_was_and_anew_once_it_was_cut_back() {
    let mut town = small();
    let log = town.archive.snapshot().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commons");
    let genesis = log.statement(0).unwrap();
    let head = log.checkpoint_before(1).unwrap();
    let home = Home::create(&path, &genesis, head.as_ref()).unwrap();
    let folder = Folder::new(home.clone());
    let same = |folder: &Folder| {
        let reading = folder.read().unwrap();
        let archive = home.archive().unwrap();
        let anew = home.state(&archive.snapshot().unwrap()).unwrap();
        assert_eq!(commons::view::digests(&reading.state), commons::view::digests(&anew));
        reading.state.size
    };
    assert_eq!(same(&folder), 1);
    let before = folder.version().unwrap();
    for number in 5..8 {
        town.start(number, "Dina");
        town.tick(60);
        let log = town.archive.snapshot().unwrap();
        let archive = home.archive().unwrap();
        let new = archive.snapshot().unwrap().size()..log.size();
        let new: Vec<_> = new.map(|index| log.statement(index).unwrap()).collect();
        archive.append(&new).unwrap();
        drop(archive);
        assert_eq!(same(&folder), log.size());
    }
    assert_ne!(folder.version().unwrap(), before);
    assert_eq!(home.archive().unwrap().cut_back().unwrap(), 1);
    assert_eq!(same(&folder), 1);
    assert_eq!(folder.version().unwrap(), before);
    std::fs::remove_file(path.join("log.redb")).unwrap();
    assert!(folder.read().is_err() && folder.version().is_err());
}
