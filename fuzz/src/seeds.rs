//! A good example or two for each target to begin from.

use engine::Lineage;
use ids::{Hash, Identity, ObjectRef};
use kernel::{Isa, Kernel, random::Stream};
use model::{Decoder, Parameters};
use std::{error::Error, fs, io::Write, path::Path};
use swarm::{
    Certificate, Contribution, Ejection, Evidence, Member, Message, Record, Signed, SignedRecord,
};
use text::Tokenizer;

/// Nothing, or why the examples cannot be made.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Writes them below `folder`, which gets a folder for each target.
pub fn write(folder: &Path) -> Outcome {
    protocol(folder)?;
    models(folder)?;
    manifests(folder)?;
    texts(folder)?;
    crate::tlog::seeds(folder)?;
    crate::statement::seeds(folder)?;
    let mut update: Vec<f32> = (0..300).map(|i| Stream::new(1, "seed", 0).normal_at(i)).collect();
    let update = recipe::update::encode(&Kernel::new(Isa::best(), 1), &mut update);
    save(folder, "update", &[&300u16.to_le_bytes()[..], &update].concat())?;
    let settings =
        [1.0f32, f32::from_bits(40), 0.9, 0.05, 0.0, 0.0, 1.1, 0.5, 0.5, 0.5, -1.0, 3.0];
    save(folder, "sampler", &recipe::checkpoint::to_bytes(&settings))
}

fn protocol(folder: &Path) -> Outcome {
    let (run, hash) = (Hash::of(b"run"), Hash::of(b"other"));
    let object = ObjectRef::of(b"object");
    let me = Identity::from_seed([1; 32]).id();
    let invitation = swarm::Invitation::new(&Identity::from_seed([2; 32]), &run, &me);
    let join = swarm::Join { nonce: hash, height: 0, chain: hash, invitation: Some(invitation) };
    let commit = swarm::Commit {
        height: 3,
        round: 2,
        base: hash,
        steps: 8,
        trail: ObjectRef { hash, len: 256 },
        update: object,
        carry_before: Some(object),
        carry: object,
    };
    let vote = |value| swarm::Vote { height: 3, view: 1, step: swarm::Step::Precommit, value };
    let proposal = swarm::Proposal { height: 3, view: 1, valid_view: Some(0), value: hash };
    let verdict = |scope, finding| {
        sealed(&run, swarm::Verdict { height: 3, contributor: me, scope, finding })
    };
    let disputed = verdict(swarm::Scope::Dispute { part: 1 }, swarm::Finding::Mismatch { part: 1 });
    let confirmed = verdict(swarm::Scope::Drawn, swarm::Finding::Confirmed { digest: hash });
    let missed = verdict(
        swarm::Scope::Recheck { auditor: me },
        swarm::Finding::Unavailable { part: 8, missing: hash },
    );
    let blind = Evidence::BlindConfirmation {
        confirmation: confirmed.clone(),
        verdicts: vec![missed.clone()],
    };
    let commit = sealed(&run, commit);
    let show = sealed(&run, swarm::Show { height: 3, link: hash });
    let (a, b) = (sealed(&run, vote(None)), sealed(&run, vote(Some(hash))));
    let evidence = Evidence::equivocation(a.envelope(), b.envelope());
    let said = [
        Message::Join(sealed(&run, join)).to_bytes(),
        Message::Commit(commit.clone()).to_bytes(),
        Message::Show(show.clone()).to_bytes(),
        Message::Vote(a).to_bytes(),
        Message::Verdict(disputed).to_bytes(),
        Message::Verdict(confirmed).to_bytes(),
        Message::Verdict(missed.clone()).to_bytes(),
    ];
    for (i, message) in said.iter().enumerate() {
        save(folder, "swarm_message", message)?;
        // A statement in a log: the same envelope under the log's tag.
        let mut entry = message.clone();
        entry[1] = 1;
        save(folder, "swarm_log", &sized(&[&entry]))?;
        save(folder, "wire_frame", &[&[1], &message[..]].concat())?;
        if i == 0 {
            save(folder, "store_log", &log_file(message)?)?;
        }
    }
    let header = sealed(&run, proposal);
    save(
        folder,
        "swarm_message",
        &Message::Proposal { header, record: vec![1].into() }.to_bytes(),
    )?;
    let evidence = evidence.ok_or("two votes for one step are evidence")?;
    save(folder, "swarm_message", &Message::Evidence(evidence).to_bytes())?;
    save(folder, "swarm_message", &Message::Evidence(blind.clone()).to_bytes())?;
    let head = Message::Head { run, height: Some(3), record: hash, elapsed_ms: 1500 };
    save(folder, "swarm_message", &head.to_bytes())?;
    let genesis = genesis(run, object);
    let have = sealed(&run, swarm::Have { height: 3, commit: commit.hash() });
    let advance = Record {
        height: 4,
        kind: swarm::Kind::Advance,
        round: 3,
        members: vec![member(me, object)],
        contributions: vec![Contribution { commit, haves: vec![have] }],
        shows: vec![show],
        verdicts: vec![missed],
        ejected: vec![Ejection { peer: me, evidence: blind }],
        ..genesis.clone()
    };
    save(folder, "swarm_record", &certified(&genesis)?)?;
    save(folder, "swarm_record", &certified(&advance)?)
}

fn member(id: ids::PeerId, object: ObjectRef) -> Member {
    Member {
        id,
        joined: 0,
        contributions: 1,
        grant: 512,
        earned: 64,
        clean: 1,
        missed: 0,
        carry: Some(object),
        link: object.hash,
        link_at: 3,
    }
}

fn sealed<T: swarm::Body>(run: &Hash, body: T) -> Signed<T> {
    Signed::seal(&Identity::from_seed([1; 32]), run, body)
}

fn genesis(run: Hash, object: ObjectRef) -> Record {
    Record {
        run,
        height: 0,
        kind: swarm::Kind::Genesis,
        round: 0,
        prev: Hash::default(),
        members: Vec::new(),
        joins: Vec::new(),
        contributions: Vec::new(),
        shows: Vec::new(),
        verdicts: Vec::new(),
        ejected: Vec::new(),
        state: swarm::State { model: object, outer: object },
        beacon: run,
    }
}

fn certified(record: &Record) -> Result<Vec<u8>, Box<dyn Error>> {
    let certificate = Certificate { view: 0, signatures: Vec::new() };
    Ok(SignedRecord::new(record.to_bytes(), certificate)?.to_bytes())
}

/// Entries as the target `swarm_log` splits them.
fn sized(entries: &[&[u8]]) -> Vec<u8> {
    entries.iter().flat_map(|e| [&(e.len() as u16).to_le_bytes()[..], e].concat()).collect()
}

fn log_file(entry: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let (mut log, _) = store::Log::open(&path)?;
    log.append_all(&[entry, b"second"])?;
    Ok(fs::read(path)?)
}

/// The models that the golden file of `text` has, in hexadecimal digits.
fn sentencepiece(folder: &Path) -> Outcome {
    let golden = include_str!("../../crates/text/tests/golden/sentencepiece.json");
    let golden: serde_json::Value = serde_json::from_str(golden)?;
    for model in golden["models"].as_object().into_iter().flat_map(|models| models.values()) {
        let hex = model.as_str().unwrap_or_default().as_bytes().chunks(2);
        let bytes = hex.map(|pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).map_err(Into::into));
        let bytes = bytes.collect::<Result<Vec<u8>, Box<dyn Error>>>()?;
        save(folder, "tokenizer_sentencepiece", &bytes)?;
    }
    Ok(())
}

fn models(folder: &Path) -> Outcome {
    let text = "a small text of small words, of which some come again\n".repeat(9);
    let tokenizer = Tokenizer::train([text.as_str()], 280)?;
    let decoder = Decoder::tiny(tokenizer.len());
    let model = Parameters::new(&decoder, model::init(&decoder, 1)?)?;
    let lineage = Lineage { name: "seed".into(), run: None, root: None };
    let work = tempfile::tempdir()?;
    engine::hf::export(work.path(), &model, &tokenizer, &lineage)?;
    let gguf = work.path().join("model.gguf");
    engine::gguf::export(&gguf, &model, &tokenizer, &lineage)?;
    save(folder, "gguf", &fs::read(&gguf)?)?;
    save(folder, "tokenizer_gguf", &fs::read(gguf)?)?;
    sentencepiece(folder)?;
    for (target, file) in [
        ("safetensors", "model.safetensors"),
        ("hf_config", "config.json"),
        ("tokenizer_json", "tokenizer.json"),
        ("tokenizer_hf", "tokenizer.json"),
    ] {
        save(folder, target, &fs::read(work.path().join(file))?)?;
    }
    families(folder)
}

/// The golden models of other families.
fn families(folder: &Path) -> Outcome {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/model/tests/families");
    for name in ["falcon_40b", "falcon_rw", "gemma3", "qwen2_yarn_window", "smollm3"] {
        save(folder, "hf_config", &fs::read(from.join(name).join("config.v4.json"))?)?;
    }
    let index = from.join("llama_linear_biases/model.safetensors.index.json");
    save(folder, "safetensors_index", &fs::read(index)?)
}

fn manifests(folder: &Path) -> Outcome {
    let object = ObjectRef { hash: Hash::of(b"x"), len: 24 };
    let tensor = store::TensorEntry {
        name: "w".into(),
        dtype: "f32".into(),
        shape: vec![2, 3],
        data: object,
    };
    let model = store::ModelManifest {
        version: 1,
        architecture: "{}".into(),
        tokenizer: object,
        tensors: vec![tensor],
        files: None,
    };
    save(folder, "model_manifest", &model.to_bytes())?;
    let file = store::FileEntry { name: "config.json".into(), data: object };
    let imported = store::ModelManifest { version: 2, files: Some(vec![file]), ..model };
    save(folder, "model_manifest", &imported.to_bytes())?;
    let corpus = recipe::CorpusManifest {
        version: 1,
        tokenizer: object,
        vocab: 512,
        shards: vec![object],
        held_out_text: object,
        held_out_tokens: object,
        train_bytes: 24,
        files: 1,
        licences: vec![("MIT".into(), 1)],
        source: "here".into(),
    };
    save(folder, "corpus_manifest", &corpus.to_bytes())?;
    let run = recipe::RunManifest {
        format: recipe::run::FORMAT,
        arithmetic: Default::default(),
        name: "seed".into(),
        founder: Hash::of(b"founder"),
        founders: vec![Hash::of(b"founder")],
        invitations: vec![Hash::of(b"invitation")],
        seed: 1,
        corpus: object,
        start: Some(recipe::run::Start { model: object, outer: object }),
        model: Decoder { context: 512, ..Decoder::tiny(512) },
        inner: recipe::run::Inner::default(),
        outer: recipe::run::Outer::default(),
        rounds: recipe::run::Rounds::default(),
    };
    save(folder, "run_manifest", run.to_toml().as_bytes())
}

fn texts(folder: &Path) -> Outcome {
    let lines = b"{\"text\":\"one\"}\n{\"messages\":[{\"content\":\"two\"}]}\n";
    save(folder, "documents", &[&[1], &lines[..]].concat())?;
    let mut packed = flate2::write::GzEncoder::new(vec![3], flate2::Compression::fast());
    packed.write_all(lines)?;
    save(folder, "documents", &packed.finish()?)?;
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/recipe/tests/parquet");
    for table in fs::read_dir(tables)? {
        let table = table?.path();
        if table.extension().is_some_and(|ending| ending == "parquet") {
            save(folder, "parquet", &fs::read(table)?)?;
        }
    }
    let request = serve::PromptRequest { prompt: "fn main".into(), ..Default::default() };
    save(folder, "prompt_request", &serde_json::to_vec(&request)?)?;
    let template =
        "{% for m in messages %}{{ m['role'] | trim + ': ' ~ m.content.strip() }}{% endfor %}";
    save(folder, "chat_template", template.as_bytes())?;
    save(folder, "tokenizer_text", "It's 12 o'clock, ä 水 \u{1F331}!\r\n".as_bytes())?;
    let peer = net::PeerAddr {
        peer: Identity::from_seed([1; 32]).id(),
        addrs: vec!["127.0.0.1:7".parse()?],
        relay: None,
    };
    let founder = peer.peer;
    let run = Hash::of(b"run");
    let commons = net::commons::Ticket { commons: run, peers: vec![peer.clone()] };
    save(folder, "commons_ticket", commons.to_string().as_bytes())?;
    for example in net::fuzz::commons_examples() {
        save(folder, "commons_frame", &example)?;
    }
    let checkpoint = Some(net::swarm::Mark { height: 3, record: run, standing: 512 });
    let ticket =
        net::swarm::Ticket { run, manifest_len: 8, founder, peers: vec![peer], checkpoint };
    save(folder, "ticket", ticket.to_string().as_bytes())?;
    let invitation = net::swarm::Invitation { ticket, secret: [7; 32] };
    save(folder, "ticket", invitation.to_secret_text().as_bytes())
}

pub(crate) fn save(folder: &Path, target: &str, bytes: &[u8]) -> Outcome {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(format!("seed-{:.8}", Hash::of(bytes).to_string())), bytes)?)
}
