//! `pull`: against a server on loopback that speaks a hub's API, and against worse.

#[path = "../common/mod.rs"]
mod common;
mod server;

use common::{Said, run, text, told, understory};
use engine::Lineage;
use model::{Decoder, Parameters};
use serde_json::{Value, json};
use server::{COMMIT, How, Reply, Repository, Request, Server, sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use text::Tokenizer;

#[test]
fn a_whole_repository_is_fetched_checked_and_run() {
    for names_only in [false, true] {
        let home = home();
        let mut files = hf_files(home.path());
        files.insert("pytorch_model.bin".to_owned(), vec![0; 10]);
        let repository = Repository { files, names_only, storage: None };
        let hub = Server::start(move |request| repository.answer(request));
        let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
        assert_eq!(said.code, Some(0), "{}", said.err);
        let folder = PathBuf::from(said.out.trim_end());
        assert!(folder.ends_with(format!("understory/models/some/model/{COMMIT}")), "{said:?}");
        assert!(folder.join("model.safetensors").exists());
        assert!(!folder.join("pytorch_model.bin").exists(), "not what run needs");
        assert_eq!(leftovers(home.path()), Vec::<PathBuf>::new());
        let said = run(understory().args(["run", text(&folder), "the soil", "-n", "4"]));
        assert_eq!(said.code, Some(0), "{}", said.err);

        let fetched = hub.count("/resolve/");
        let again = run(&mut pull(&home, &hub, &["hf:some/model", "--json"]));
        assert_eq!(again.code, Some(0), "{}", again.err);
        let object: Value = serde_json::from_str(&again.out).expect("one object");
        assert_eq!((&object["commit"], &object["path"]), (&COMMIT.into(), &text(&folder).into()));
        let files = object["files"].as_array().expect("a list");
        assert!(files.iter().all(|file| file["was_there"] == true), "{object}");
        // Where the list has only names, the hub is asked for the first byte of each.
        let asked = if names_only { files.len() } else { 0 };
        assert_eq!(hub.count("/resolve/") - fetched, asked);
    }
}

#[test]
fn a_model_in_several_files_comes_whole() {
    let home = home();
    let mut files = hf_files(home.path());
    let weights = files.remove("model.safetensors").expect("it is there");
    let shard = "model-00001-of-00001.safetensors";
    let parsed = model::safetensors::parse(&weights).expect("good");
    let map: BTreeMap<&String, &str> =
        parsed.tensors().keys().map(|tensor| (tensor, shard)).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    files.insert("model.safetensors.index.json".to_owned(), index.into_bytes());
    files.insert(shard.to_owned(), weights.clone());
    files.insert("other-00001-of-00001.safetensors".to_owned(), weights.clone());
    let repository = Repository { files, ..Repository::default() };
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let folder = PathBuf::from(said.out.trim_end());
    assert_eq!(fs::read(folder.join(shard)).expect("it is there"), weights);
    assert!(!folder.join("other-00001-of-00001.safetensors").exists());
    let said = run(understory().args(["inspect", text(&folder)]));
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_token_goes_to_the_hub_and_nowhere_else() {
    let home = home();
    let gguf = gguf(home.path());
    let mut repository = Repository::of([("m.gguf", gguf.clone())]);
    let copy = repository.clone();
    let storage = Server::start(move |request| copy.store(request));
    repository.storage = Some(storage.address);
    let hub = Server::start(move |request| match request.header("authorization") {
        Some("Bearer hf_s3cret") => repository.answer(request),
        _ => Reply::of(401).with("x-error-message", "Access to model is restricted"),
    });
    let without = run(&mut pull(&home, &hub, &["hf:some/model"]));
    fails(&without, "put it into HF_TOKEN");
    assert!(without.err.contains("Access to model is restricted"), "{}", without.err);
    let wrong = run(pull(&home, &hub, &["hf:some/model"]).env("HF_TOKEN", "hf_wrong"));
    fails(&wrong, "the token is not valid");
    assert_eq!(leftovers(home.path()), Vec::<PathBuf>::new());

    let folder = home.path().join("huggingface");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("token"), "hf_s3cret\n").expect("written");
    let right = run(pull(&home, &hub, &["hf:some/model:m.gguf"]).env("HF_HOME", &folder));
    assert_eq!(right.code, Some(0), "{}", right.err);
    assert_eq!(fs::read(right.out.trim_end()).expect("it is there"), gguf);
    let stored = storage.asked();
    assert!(!stored.is_empty() && stored.iter().all(|ask| ask.header("authorization").is_none()));
    for said in [without, wrong, right] {
        assert!(!said.err.contains("s3cret") && !said.out.contains("s3cret"), "{said:?}");
    }
    let unusual = run(pull(&home, &hub, &["hf:some/model"]).env("HF_TOKEN", "with\nnew lines"));
    fails(&unusual, "HF_TOKEN");
}

#[test]
fn a_hub_of_the_open_network_sends_us_to_nothing_of_our_own() {
    let home = home();
    let bytes = noise(10_000);
    let repository = Repository::of([("m.gguf", bytes.clone())]);
    let copy = repository.clone();
    let inside = Server::start(move |request| copy.store(request));
    let mut hub = repository.clone();
    hub.storage = Some(inside.address);
    let ours = hub.clone();
    // The proxy of this machine leads to the hub; what is on this machine is asked without it.
    let proxy = Server::start(move |request| hub.answer(request));
    let mut command = with(&home, "http://hub.example", &["pull", "hf:some/model"]);
    command.env("HTTP_PROXY", proxy.url("")).env("NO_PROXY", "127.0.0.1");
    let said = run(&mut command);
    fails(&said, "do not trust this server");
    assert!(said.err.contains(&format!("sends us to http://{}", inside.address)), "{}", said.err);
    assert!(!said.err.contains("s3cret"), "{}", said.err);
    assert_eq!((proxy.count("/resolve/"), inside.asked().len()), (1, 0));
    // A hub on this machine may have its storage there.
    let hub = Server::start(move |request| ours.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(said.out.trim_end()).expect("it is there"), bytes);
}

#[test]
fn a_password_in_an_address_is_told_to_nobody() {
    let home = home();
    let silent = Server::start(|_| Reply::of(404));
    let garbage = Server::start(|_| Reply { body: b"<html>".to_vec(), ..Reply::of(200) });
    let barred = Server::start(|_| Reply::of(401));
    let gguf = gguf(home.path());
    let server = Server::start(move |request| Reply::file(request, &gguf));
    let at = |server: &Server| format!("http://me:s3cret@{}", server.address);
    let file = format!("{}/m.gguf", at(&server));
    let no_address = "http://me:s3cret@[/m.gguf";
    let hubs = [at(&silent), at(&garbage), at(&barred), "ftp://me:s3cret@hub".to_owned()];
    let asked = hubs.iter().map(|hub| (hub.as_str(), ["pull", "hf:some/model"]));
    let missing = format!("{}/x.gguf", at(&silent));
    for (hub, args) in asked.chain([
        ("", ["pull", &*file]),
        ("", ["pull", &*missing]),
        ("", ["inspect", &*file]),
        ("", ["pull", no_address]),
        ("", ["inspect", no_address]),
    ]) {
        for more in [&[][..], &["--json"]] {
            let said = run(with(&home, hub, &args).args(more));
            assert!(!said.err.contains("s3cret") && !said.out.contains("s3cret"), "{said:?}");
        }
    }
    let kept = files(home.path());
    assert!(!kept.is_empty(), "the file was fetched");
    for path in kept {
        let bytes = fs::read(&path).expect("it is there");
        let holds = bytes.windows(6).any(|part| part == b"s3cret");
        assert!(!holds && !text(&path).contains("s3cret"), "{}", path.display());
    }
}

#[test]
fn what_broke_off_is_gone_on_with() {
    let home = home();
    let bytes = noise(3_000_000);
    let repository = Repository::of([("m.gguf", bytes.clone())]);
    let hub = Server::start(move |request| match request.header("range") {
        None => repository.answer(request).sent(cut(request, 1_000_000)),
        Some("bytes=1000000-") => repository.answer(request).sent(How::CutAfter(1_500_000)),
        Some(_) => repository.answer(request),
    });
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(said.out.trim_end()).expect("it is there"), bytes);
    assert_eq!(ranges(&hub), [None, Some("bytes=1000000-"), Some("bytes=2500000-")].map(owned));
    // With its pauses it took long enough for a line of progress, which is for terminals only.
    assert!(said.err.contains("trying again") && !said.err.contains('\r'), "{}", said.err);
}

#[test]
fn what_was_left_of_an_earlier_command_is_gone_on_with() {
    let home = home();
    let bytes = noise(100_000);
    let repository = Repository::of([("m.gguf", bytes.clone())]);
    let first = repository.clone();
    let broken = Server::start(move |request| match request.path.contains("resolve") {
        true if request.header("range").is_some() => Reply::of(503),
        _ => first.answer(request).sent(cut(request, 60_000)),
    });
    fails(&run(&mut pull(&home, &broken, &["hf:some/model"])), "the same command goes on");
    assert_eq!(leftovers(home.path()).len(), 1, "what came is kept");
    let copy = repository.clone();
    let hub = Server::start(move |request| copy.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(said.out.trim_end()).expect("it is there"), bytes);
    assert_eq!(ranges(&hub), [Some("bytes=60000-".to_owned())]);
    assert_eq!(leftovers(home.path()), Vec::<PathBuf>::new());
}

#[test]
fn damage_in_what_was_left_is_found_and_mended() {
    let home = home();
    let bytes = noise(100_000);
    let repository = Repository::of([("m.gguf", bytes.clone())]);
    let first = repository.clone();
    let broken = Server::start(move |request| match request.header("range") {
        Some(_) => Reply::of(503),
        None => first.answer(request).sent(cut(request, 60_000)),
    });
    fails(&run(&mut pull(&home, &broken, &["hf:some/model"])), "");
    let [part] = leftovers(home.path()).try_into().expect("one file");
    fs::write(&part, vec![1; 60_000]).expect("written");
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(said.out.trim_end()).expect("it is there"), bytes);
    assert_eq!(ranges(&hub), [Some("bytes=60000-".to_owned()), None]);
}

#[test]
fn other_bytes_than_the_hub_names_are_not_kept() {
    let home = home();
    for size in [1000, 100_000] {
        let repository = Repository::of([("m.gguf", noise(size))]);
        let mut other = noise(size);
        other[size / 2] ^= 1;
        let hub = Server::start(move |request| match request.path.contains("resolve") {
            true => Reply::file(request, &other),
            false => repository.answer(request),
        });
        let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
        fails(&said, "nothing of it was kept");
        assert_eq!(files(home.path()).iter().map(|file| size_of(file)).sum::<u64>(), 0);
    }
}

#[test]
fn more_or_fewer_bytes_than_said_are_refused() {
    let home = home();
    let tricks = [
        (How::Endless, "more than 10000 bytes are sent"),
        (How::Lying(1 << 40), "1099511627776 bytes are sent, not 10000"),
        (How::Lying(5), "5 bytes are sent, not 10000"),
    ];
    for (how, message) in tricks {
        let repository = Repository::of([("m.gguf", noise(10_000))]);
        let hub = Server::start(move |request| match request.path.contains("resolve") {
            true => repository.answer(request).sent(how),
            false => repository.answer(request),
        });
        let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(message), "{}", said.err);
        let largest = files(home.path()).iter().map(|file| size_of(file)).max();
        assert!(largest.unwrap_or(0) <= 10_000, "no more than there should be is written");
        files(home.path()).iter().for_each(|file| fs::remove_file(file).expect("removed"));
    }
    let endless = Server::start(|_| Reply::of(200).sent(How::Endless));
    fails(&run(&mut pull(&home, &endless, &["hf:some/model"])), "");
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let home = home();
    let repository = Repository::of([("m.gguf", noise(10_000))]);
    let hub = Server::start(move |request| match request.header("range") {
        None => repository.answer(request).sent(cut(request, 4000)),
        Some(_) => Reply { body: vec![0; 6000], ..Reply::of(206) }
            .with("content-range", "bytes 0-5999/10000"),
    });
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("bytes 4000-9999/10000"), "{}", said.err);
}

#[test]
fn names_that_lead_elsewhere_spoil_the_list() {
    let home = home();
    for name in ["../../model.gguf", "/tmp/m.gguf", "a\\..\\m.gguf", "m\u{1b}[2J.gguf"] {
        let mut repository = Repository::default();
        repository.files.insert(name.to_owned(), noise(100));
        repository.files.insert("m.gguf".to_owned(), noise(100));
        let hub = Server::start(move |request| repository.answer(request));
        let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains("is no name of a file"), "{}", said.err);
        assert!(!said.err.contains('\x1b'), "{}", said.err);
        assert_eq!(hub.count("/resolve/"), 0);
        assert_eq!(files(home.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_program_that_is_killed_leaves_nothing_under_the_name() {
    let home = home();
    let bytes = noise(200_000);
    let repository = Repository::of([("m.gguf", bytes.clone())]);
    let copy = repository.clone();
    let slow = Server::start(move |request| {
        let reply = copy.answer(request);
        if request.path.contains("resolve") { reply.sent(How::StallAfter(150_000)) } else { reply }
    });
    let mut child = pull(&home, &slow, &["hf:some/model"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    while files(home.path()).iter().map(|file| size_of(file)).sum::<u64>() < 150_000 {
        assert!(child.try_wait().expect("it can be asked").is_none(), "it runs still");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    assert_eq!(files(home.path()), leftovers(home.path()), "nothing under the final name");
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(said.out.trim_end()).expect("it is there"), bytes);
    assert_eq!(ranges(&hub), [Some("bytes=150000-".to_owned())]);
}

#[test]
fn of_many_at_once_one_fetches_and_the_others_wait() {
    let home = home();
    let files = hf_files(home.path());
    let repository = Repository { files: files.clone(), ..Repository::default() };
    let hub = Server::start(move |request| {
        // Long enough for all to come meanwhile.
        let slow = request.path.contains("model.safetensors");
        std::thread::sleep(std::time::Duration::from_millis(if slow { 800 } else { 20 }));
        repository.answer(request)
    });
    let said: Vec<Said> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| run(&mut pull(&home, &hub, &["hf:some/model"])));
        let all: Vec<_> = (0..6).map(|_| one()).collect();
        all.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    let first = said[0].out.clone();
    for said in &said {
        assert_eq!((said.code, &said.out), (Some(0), &first), "{}", said.err);
    }
    let waited = said.iter().filter(|said| said.err.contains("waiting for it")).count();
    assert!(waited > 0, "{said:?}");
    assert_eq!(hub.count("/resolve/"), files.len(), "every file was fetched once");
    assert_eq!(leftovers(home.path()), Vec::<PathBuf>::new());
}

#[test]
fn who_waits_goes_on_when_the_other_dies() {
    let home = home();
    let bytes = noise(200_000);
    let repository = Repository::of([("m.gguf", bytes.clone())]);
    let slow = Server::start(move |request| {
        let reply = repository.answer(request);
        let stalls = request.path.contains("resolve") && request.header("range").is_none();
        if stalls { reply.sent(How::StallAfter(150_000)) } else { reply }
    });
    let mut first = pull(&home, &slow, &["hf:some/model"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    while files(home.path()).iter().map(|file| size_of(file)).sum::<u64>() < 150_000 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut second = pull(&home, &slow, &["hf:some/model"]);
    let second = second.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut second = second.expect("it starts");
    let mut lines = BufReader::new(second.stderr.take().expect("it is piped")).lines();
    let waiting = lines.any(|line| line.expect("text").contains("waiting for it"));
    assert!(waiting, "it says that it waits");
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    let said = second.wait_with_output().expect("it ends");
    assert_eq!(said.status.code(), Some(0));
    let path = String::from_utf8(said.stdout).expect("text");
    assert_eq!(fs::read(path.trim_end()).expect("it is there"), bytes);
    assert_eq!(ranges(&slow), [None, Some("bytes=150000-".to_owned())]);
}

#[test]
fn a_fetched_file_that_became_another_is_found_and_mended() {
    let (home, name) = (home(), "hf:some/model");
    let mut files = hf_files(home.path());
    let repository = Repository { files: files.clone(), ..Repository::default() };
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &[name]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let weights = PathBuf::from(said.out.trim_end()).join("model.safetensors");
    let good = fs::read(&weights).expect("it is there");
    let time = fs::metadata(&weights).and_then(|found| found.modified()).expect("told");
    let spoil = |keep_time: bool| {
        let mut bytes = good.clone();
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&weights, bytes).expect("written");
        let file = fs::File::options().write(true).open(&weights).expect("it is there");
        let later = time + std::time::Duration::from_secs(5);
        file.set_modified(if keep_time { time } else { later }).expect("set");
    };
    spoil(false);
    let said = run(&mut with(&home, &hub.url(""), &["tokens", name, "the soil"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("not whole any more"), "{}", said.err);
    assert!(said.err.contains("model.safetensors is damaged"), "{}", said.err);
    assert_eq!(fs::read(&weights).expect("it is there"), good);
    // Of a change that left the time as it was, `pull` knows: it hashes everything.
    spoil(true);
    let said = run(&mut pull(&home, &hub, &[name]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("model.safetensors is damaged"), "{}", said.err);
    assert_eq!(fs::read(&weights).expect("it is there"), good);

    // A hub that says other bytes of the same commit is not believed over what it said before.
    let other = files.get_mut("model.safetensors").expect("it is there");
    *other.last_mut().expect("not empty") ^= 1;
    let repository = Repository { files, ..Repository::default() };
    let changed = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &changed, &[name]));
    fails(&said, "a commit does not change");
    assert_eq!(fs::read(&weights).expect("it is there"), good);
    assert_eq!(changed.count("model.safetensors"), 0);
}

#[test]
fn of_several_models_one_is_asked_for_or_the_usual_is_taken() {
    let home = home();
    let gguf = gguf(home.path());
    let (small, other) = (gguf.clone(), gguf.clone());
    let repository = Repository::of([("m-Q8_0.gguf", small), ("m-F16.gguf", other)]);
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model"]));
    fails(&said, "m-F16.gguf");
    let said = run(&mut pull(&home, &hub, &["hf:some/model:q8_0"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.trim_end().ends_with("m-Q8_0.gguf"), "{}", said.out);

    let usual = Repository::of([("m-Q8_0.gguf", gguf.clone()), ("m-Q4_K_M.gguf", gguf)]);
    let hub = Server::start(move |request| usual.answer(request));
    let to = home.path().join("here");
    let said = run(&mut pull(&home, &hub, &["hf:some/model", "--to", text(&to)]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.out.trim_end(), text(&to.join("m-Q4_K_M.gguf")));
    assert!(said.err.contains("there are also m-Q8_0.gguf"), "{}", said.err);
}

#[test]
fn a_file_of_the_user_is_not_replaced() {
    let home = home();
    let to = home.path().join("mine");
    fs::create_dir(&to).expect("made");
    fs::write(to.join("m.gguf"), "my own").expect("written");
    let repository = Repository::of([("m.gguf", noise(6))]);
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model", "--to", text(&to)]));
    fails(&said, "name another folder");
    assert_eq!(fs::read(to.join("m.gguf")).expect("it is there"), b"my own");
}

#[test]
fn what_is_not_there_is_said_with_a_way_out() {
    let home = home();
    let hub = Server::start(|_| Reply::of(404));
    fails(&run(&mut pull(&home, &hub, &["hf:some/model"])), "look at the spelling");
    fails(&run(&mut pull(&home, &hub, &[&hub.url("/m.gguf")])), "look at the spelling");
    let limited = Server::start(|_| Reply::of(429));
    fails(&run(&mut pull(&home, &limited, &[&limited.url("/m.gguf")])), "wait a while");
    fails(&run(&mut pull(&home, &limited, &["hf:some/model"])), "wait a while");
    let pickle = Repository::of([("pytorch_model.bin", noise(10))]);
    let hub = Server::start(move |request| pickle.answer(request));
    fails(&run(&mut pull(&home, &hub, &["hf:some/model"])), "pickle");
    fails(&run(&mut pull(&home, &hub, &["hf:some/model:x.gguf"])), "pytorch_model.bin");
    fails(&run(&mut pull(&home, &hub, &["hf:model"])), "OWNER/NAME");
    let address = hub.url("/m.gguf");
    fails(&run(understory().args(["run", &address, "hello"])), "understory pull http://");
    let html = Server::start(|_| Reply { body: b"<html>".to_vec(), ..Reply::of(200) });
    fails(&run(&mut pull(&home, &html, &["hf:some/model"])), "");
}

#[test]
fn offline_is_said() {
    let home = home();
    let nobody = Server::start(|_| Reply::of(404));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = closed.local_addr().expect("it is bound");
    drop(closed);
    let mut command = pull(&home, &nobody, &["hf:some/model"]);
    let said = run(command.env("HF_ENDPOINT", format!("http://{address}")));
    fails(&said, "is this machine online?");
    assert_eq!(nobody.asked().len(), 0);
    let said = run(&mut pull(&home, &nobody, &[&format!("http://{address}/m.gguf")]));
    fails(&said, "is this machine online?");
}

#[test]
fn a_name_of_a_hub_is_a_model_in_every_command() {
    let (home, name) = (home(), "hf:some/model");
    let files = hf_files(home.path());
    let repository = Repository { files, ..Repository::default() };
    let hub = Server::start(move |request| repository.answer(request));
    let say = |args: &[&str]| run(&mut with(&home, &hub.url(""), args));
    let first = say(&["run", name, "the soil", "-n", "4", "--json"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    let commit = json!({ "commit": { "repository": "some/model", "commit": COMMIT } });
    let not_here = json!({ "not_here": { "model": "hf:some/model@main" } });
    assert!(notes(&first).starts_with(&[not_here.clone(), commit.clone()]), "{first:?}");

    // From here on nobody is asked.
    let asked = hub.asked().len();
    let (store, out) = (home.path().join("store"), home.path().join("out"));
    let again = say(&["run", name, "the soil", "-n", "4", "--json"]);
    let text_of = |said: &Said| -> Value {
        serde_json::from_str::<Value>(&said.out).expect("one object")["text"].clone()
    };
    assert_eq!(text_of(&again), text_of(&first));
    assert!(notes(&again).starts_with(std::slice::from_ref(&commit)), "{again:?}");
    let inspected = say(&["inspect", name, "--json"]);
    let object: Value = serde_json::from_str(&inspected.out).expect("one object");
    assert_eq!((&object["model"], &object["format"]), (&name.into(), &"Hugging Face".into()));
    for args in [
        &["tokens", name, "the soil"][..],
        &["score", name, "the soil"],
        &["diff", name, "hf:some/model@main"],
        &["import", name, "--store", text(&store)],
        &["export", name, "--to", "gguf", text(&out)],
    ] {
        let said = say(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
    }
    assert_eq!(hub.asked().len(), asked);

    // What is missing is fetched again, and nothing else.
    let weights = home.path().join("cache/understory/models/some/model").join(COMMIT);
    fs::remove_file(weights.join("model.safetensors")).expect("it was there");
    let (listed, fetched) = (hub.count("/api/"), hub.count("/resolve/"));
    let said = say(&["tokens", name, "the soil"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!((hub.count("/api/"), hub.count("/resolve/")), (listed + 1, fetched + 1));
}

#[test]
fn with_json_what_long_work_tells_is_lines_of_json() {
    let (home, name) = (home(), "hf:some/model");
    let files = hf_files(home.path());
    let bytes: usize = files.values().map(Vec::len).sum();
    let repository = Repository { files, ..Repository::default() };
    let hub = Server::start(move |request| repository.answer(request));
    let begun = std::time::Instant::now();
    let said = run(&mut pull(&home, &hub, &[name, "--json"]));
    let most = begun.elapsed().as_millis() as usize / 250 + 2;
    let fetching = told(&said.err, "fetching");
    assert!((2..=most).contains(&fetching.len()), "{said:?}");
    let last = json!({ "work": "fetching", "done": bytes, "total": bytes, "fresh": bytes });
    assert_eq!(fetching.last(), Some(&last));
    assert!(notes(&said).iter().any(|note| note["to_fetch"]["bytes"] == bytes), "{said:?}");
    let object: Value = serde_json::from_str(&said.out).expect("one object and nothing else");
    assert_eq!(object["commit"], COMMIT);
    let (store, out) = (home.path().join("store"), home.path().join("out"));
    for (work, args) in [
        ("loading", &["run", name, "the soil", "-n", "4", "--json"][..]),
        ("reading", &["run", name, "the soil", "-n", "4", "--json"]),
        ("scoring", &["score", name, "the soil", "--json"]),
        ("hashing", &["inspect", name, "--json", "--tensors"]),
        ("comparing", &["diff", name, name, "--json"]),
        ("hashing", &["import", name, "--store", text(&store), "--json"]),
        ("writing", &["export", name, "--to", "gguf", text(&out), "--json"]),
    ] {
        let said = run(&mut with(&home, &hub.url(""), args));
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
        serde_json::from_str::<Value>(&said.out).expect("one object and nothing else");
        let told = told(&said.err, work);
        let last = told.last().unwrap_or_else(|| panic!("{args:?}: {}", said.err));
        assert_eq!(last["done"], last["total"], "{args:?}: {}", said.err);
    }
}

#[test]
fn a_model_that_is_here_needs_no_hub_and_another_says_what_to_do() {
    let home = home();
    let repository = Repository::of([("m.gguf", gguf(home.path()))]);
    let hub = Server::start(move |request| repository.answer(request));
    let said = run(&mut pull(&home, &hub, &["hf:some/model:m.gguf"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let nobody = format!("http://{}", closed.local_addr().expect("it is bound"));
    drop(closed);
    let say = |hub: &str, name: &str| run(&mut with(&home, hub, &["inspect", name]));
    let here = say(&nobody, "hf:some/model:m.gguf");
    assert_eq!(here.code, Some(0), "{}", here.err);
    fails(&say(&nobody, "hf:some/model"), "is this machine online?");
    fails(&say(&hub.url(""), "hf:other/model"), "look at the spelling");
    fails(&say(&hub.url(""), "hf:some/model:x.gguf"), "m.gguf");
    fails(&say(&nobody, "hf:model"), "OWNER/NAME");
    fails(&say(&nobody, "hf:some/model@"), "OWNER/NAME");
    let mut homeless = with(&home, &nobody, &["inspect", "hf:some/model:m.gguf"]);
    fails(&run(homeless.env_remove("HOME").env_remove("XDG_CACHE_HOME")), "XDG_CACHE_HOME");
}

#[test]
fn an_address_is_fetched_and_its_hashes_are_said() {
    let home = home();
    let gguf = gguf(home.path());
    let (good, bytes) = (sha256(&gguf), gguf.clone());
    let attempts = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &bytes).with("etag", "\"v1\"");
        let is_first =
            request.header("range").is_none() && attempts.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { reply.sent(How::CutAfter(5000)) } else { reply }
    });
    let url = server.url("/x/m.gguf?key=1");
    let said = run(&mut pull(&home, &server, &[&url, "--sha256", &good]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(said.out.trim_end()).expect("it is there"), gguf);
    let blake3 = blake3::hash(&gguf).to_hex().to_string();
    assert!(said.err.contains(&good) && said.err.contains(&blake3), "{}", said.err);
    let asked = server.asked();
    let rest = asked.last().expect("it was asked");
    assert_eq!(rest.header("range"), Some("bytes=5000-"));
    assert_eq!(rest.header("if-range"), Some("\"v1\""));

    let to = home.path().join("other");
    let wrong = "0".repeat(64);
    let said = run(&mut pull(&home, &server, &[&url, "--to", text(&to), "--sha256", &wrong]));
    fails(&said, "nothing of it was kept");
    assert!(!to.join("m.gguf").exists());
    let said = run(&mut pull(&home, &server, &[&url, "--sha256", "xyz"]));
    assert_eq!(said.code, Some(2), "{}", said.err);
    let said = run(&mut pull(&home, &server, &[&server.url("/")]));
    fails(&said, "by its path");
    let endless = Server::start(|_| Reply::of(200).sent(How::Endless));
    fails(&run(&mut pull(&home, &endless, &[&endless.url("/m.gguf")])), "by its path");
}

#[test]
fn a_path_is_checked_and_copied_where_asked() {
    let home = home();
    let path = home.path().join("m.gguf");
    fs::write(&path, gguf(home.path())).expect("written");
    let nobody = Server::start(|_| Reply::of(404));
    let said = run(&mut pull(&home, &nobody, &[text(&path), "--json"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let object: Value = serde_json::from_str(&said.out).expect("one object");
    assert_eq!(object["path"], text(&path));
    assert_eq!(object["files"][0]["sha256"], sha256(&fs::read(&path).expect("it is there")));
    let to = home.path().join("to");
    let said = run(&mut pull(&home, &nobody, &[text(&path), "--to", text(&to)]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.out.trim_end(), text(&to.join("m.gguf")));
    assert_eq!(leftovers(&to), Vec::<PathBuf>::new());

    let folder = home.path().join("hf");
    let files = hf_files(home.path());
    fs::create_dir(&folder).expect("made");
    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes).expect("written");
    }
    let to = home.path().join("to-hf");
    let said = run(&mut pull(&home, &nobody, &[text(&folder), "--to", text(&to)]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(to.join("tokenizer.json").exists() && to.join("model.safetensors").exists());
    let garbage = home.path().join("garbage.gguf");
    fs::write(&garbage, "GGUF is not enough").expect("written");
    fails(&run(&mut pull(&home, &nobody, &[text(&garbage)])), "");
    assert_eq!(nobody.asked().len(), 0);
}

/// The notes among the lines of JSON on standard error.
fn notes(said: &Said) -> Vec<Value> {
    let note = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("note").cloned();
    said.err.lines().filter_map(note).collect()
}

/// `understory pull` with a home and a cache of its own.
fn pull(home: &TempDir, hub: &Server, args: &[&str]) -> Command {
    with(home, &hub.url(""), &[&["pull"], args].concat())
}

/// The program with a home, a cache and a hub of its own.
fn with(home: &TempDir, hub: &str, args: &[&str]) -> Command {
    let mut command = understory();
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"] {
        command.env_remove(name);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env("HOME", home.path()).env("XDG_CACHE_HOME", home.path().join("cache"));
    command.env("HF_ENDPOINT", hub).args(args);
    command
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn fails(said: &Said, hint: &str) {
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.err.contains("error: "), "{}", said.err);
    let hinted = said.err.lines().any(|line| line.starts_with("hint: ") && line.contains(hint));
    assert!(hinted, "no hint of {hint:?}: {}", said.err);
}

/// Cuts off a file, and nothing else that is asked for.
fn cut(request: &Request, after: usize) -> How {
    if request.path.contains("resolve") { How::CutAfter(after) } else { How::Whole }
}

/// The ranges in which files were asked for.
fn ranges(hub: &Server) -> Vec<Option<String>> {
    let asked = hub.asked();
    let files = asked.iter().filter(|request| request.path.contains("/resolve/"));
    files.map(|request| owned(request.header("range"))).collect()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// Bytes that no two places have in common.
fn noise(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn tiny() -> (Parameters, Tokenizer) {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = Tokenizer::train([words.as_str()], 300).expect("enough text");
    let decoder = Decoder::tiny(tokenizer.len());
    let params = model::init(&decoder, 3).expect("a valid shape");
    (Parameters::new(&decoder, params).expect("a valid model"), tokenizer)
}

fn gguf(scratch: &Path) -> Vec<u8> {
    let (path, (model, tokenizer)) = (scratch.join("scratch.gguf"), tiny());
    engine::gguf::export(&path, &model, &tokenizer, &Lineage::default()).expect("written");
    let bytes = fs::read(&path).expect("it is there");
    fs::remove_file(&path).expect("removed");
    bytes
}

fn hf_files(scratch: &Path) -> BTreeMap<String, Vec<u8>> {
    let (path, (model, tokenizer)) = (scratch.join("scratch"), tiny());
    engine::hf::export(&path, &model, &tokenizer, &Lineage::default()).expect("written");
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(path).expect("it is there"))
    };
    let entries =
        fs::read_dir(&path).expect("it is there").map(|entry| entry.expect("read").path());
    let files = entries.map(read).collect();
    fs::remove_dir_all(&path).expect("removed");
    files
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("read").path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// Files on their way.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "part");
    files(folder).into_iter().filter(part).collect()
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}
