//! One peer of a run as a process: `understory swarm start` and `join`.

use crate::{
    cli::{JoinArgs, PeerArgs, StartArgs},
    commons::{Ended, Scribe},
    config::RunConfig,
    corpus_source,
    events::PeerEvent,
    hint::WithHint,
    kernel_for,
    model_source::{MODEL_REF, RUN_REF},
    random, status, worker,
    worker::{TrainingWorker, WorkTime},
};
use anyhow::{Context, Result, bail};
use kernel::Kernel;
use net::{Handle, Outcome, Relay, Report, Source, Ticket};
use recipe::{Checkpoint, Corpus, RunManifest, corpus};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::{Hash, Store};
use swarm::{Notice, PeerId, RecordSummary, Worker};
use tokio::io::AsyncReadExt;

/// Begins a run, or goes on with the one in the folder.
pub fn start(args: &StartArgs) -> Result<()> {
    let peer = Peer::open(&args.peer)?;
    let manifest = match peer.store.get_ref(RUN_REF)? {
        Some(id) if peer.ticket_file().exists() => {
            return Err(anyhow::anyhow!("{} joined run {}", peer.dir.display(), id.short()))
                .hint("go on with `understory swarm join`, or choose another --dir");
        }
        Some(id) => peer.store.get(&id)?,
        None => {
            let path = args
                .config
                .as_ref()
                .context("no run in this folder and no configuration named")
                .hint("`understory swarm config > CONFIG.toml` writes one to begin from")?;
            peer.found(&RunConfig::read(path)?)?
        }
    };
    peer.take_part(Source::Founder { manifest })
}

/// Joins a run, or goes on with the one in the folder.
pub fn join(args: &JoinArgs) -> Result<()> {
    let peer = Peer::open(&args.peer)?;
    let path = peer.ticket_file();
    let text = match &args.ticket {
        Some(ticket) => ticket.clone(),
        None => fs::read_to_string(&path)
            .with_context(|| format!("no run in {}", peer.dir.display()))
            .hint("name the ticket that `understory swarm start` printed")?,
    };
    let ticket: Ticket =
        text.trim().parse().hint("a ticket is one word that begins with understory1")?;
    if let Some(id) = peer.store.get_ref(RUN_REF)?
        && id != ticket.run
    {
        return Err(anyhow::anyhow!("{} holds run {}", peer.dir.display(), id.short()))
            .hint("choose another --dir for another run");
    }
    status::write_atomically(&path, format!("{ticket}\n").as_bytes())?;
    peer.take_part(Source::Join { ticket })
}

/// The folder of a peer and how it is to run.
struct Peer<'a> {
    args: &'a PeerArgs,
    dir: PathBuf,
    store: Store,
    seed: [u8; 32],
    kernel: Kernel,
    scribe: Option<Scribe>,
}

impl<'a> Peer<'a> {
    fn open(args: &'a PeerArgs) -> Result<Self> {
        let dir = args.dir.clone();
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let store = Store::open(dir.join("store"))?;
        let seed = match args.key_seed {
            Some(number) => Hash::of_parts("understory 1 demo key", &[&number.to_le_bytes()]).0,
            None => key(&dir.join("key"))?,
        };
        let kernel = kernel_for(args.threads)?;
        let scribe = args.commons.as_deref();
        let scribe = scribe.map(|dir| Scribe::open(dir, args.keys.as_deref())).transpose()?;
        Ok(Self { args, dir, store, seed, kernel, scribe })
    }

    fn ticket_file(&self) -> PathBuf {
        self.dir.join("ticket")
    }

    fn say(&self, event: &PeerEvent) {
        say(self.args.json, event);
    }

    /// Builds the corpus and the manifest of a new run.
    fn found(&self, config: &RunConfig) -> Result<Vec<u8>> {
        self.say(&PeerEvent::Preparing { what: "reading the text".to_owned(), done: None });
        let documents = corpus_source::documents(&config.data.paths)?;
        let mut last = -1.0;
        let root =
            corpus::build(&self.store, &documents, &config.data.options, &mut |what, done| {
                if done == 0.0 || done - last > 0.05 {
                    last = done;
                    let done = (done > 0.0).then_some(done);
                    self.say(&PeerEvent::Preparing { what: what.to_owned(), done });
                }
            })
            .hint("more text helps: --data takes files and folders")?;
        let corpus = recipe::CorpusManifest::parse(&self.store.get(&root.hash)?)?;
        let founder = Hash(swarm::Identity::from_seed(self.seed).id().0);
        let manifest = config.manifest(founder, root, corpus.vocab as usize)?;
        let bytes = manifest.to_toml().into_bytes();
        let id = self.store.put(&bytes)?;
        self.store.set_ref(RUN_REF, &id)?;
        Ok(bytes)
    }

    fn take_part(&self, source: Source) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(self.live(source));
        // A reader of standard input may still block; it must not keep the process.
        runtime.shutdown_background();
        if let Err(error) = &result {
            self.say(&PeerEvent::Failed { error: format!("{error:#}") });
        }
        result
    }

    async fn live(&self, source: Source) -> Result<()> {
        let relay = relay(self.args.relay.as_deref());
        let config = net::Config {
            store: self.store.clone(),
            folder: self.dir.clone(),
            seed: self.seed,
            source,
            bind: self.args.bind,
            relay,
            external: Vec::new(),
            max_object: 1 << 30,
            keep_everything: false,
        };
        let time = Arc::new(WorkTime::default());
        let references = |bytes: &[u8]| references_of_run(bytes);
        let (kernel, cheat, clock) = (self.kernel.clone(), self.args.cheat, time.clone());
        let open = move |bytes: &[u8], store: &Store| {
            open_run(bytes, store, kernel, cheat, clock).map_err(|e| format!("{e:#}"))
        };
        let handle = net::start(config, Arc::new(references), Box::new(open)).await?;
        let outcome = self.watch(&handle, &time).await;
        let (status, ticket) = (handle.status(), handle.ticket().to_string());
        let stopped = handle.stop().await;
        status::Status::of(&status.borrow(), &ticket).ended().write(&self.dir)?;
        match outcome? {
            Outcome::Failed { why } => bail!("{why}"),
            _ => {
                if let Outcome::Failed { why } = stopped {
                    bail!("{why}");
                }
                self.say(&PeerEvent::Stopped);
                Ok(())
            }
        }
    }

    /// Tells what happens until the run fails, or the user has had enough.
    async fn watch(&self, handle: &Handle, time: &WorkTime) -> Result<Outcome> {
        let mut reports = handle.subscribe();
        let mut net_status = handle.status();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut newest = Newest::default();
        let mut hurry = std::pin::pin!(stop_signal(self.args.leash));
        loop {
            tokio::select! {
                () = &mut hurry => return Ok(Outcome::Stopped),
                report = reports.recv() => match report {
                    Ok(Report::Outcome(outcome)) => {
                        if let Outcome::Finished { state, .. } = &outcome {
                            self.record(handle.id(), state.model.hash).await?;
                        }
                        if self.args.once || !matches!(outcome, Outcome::Finished { .. }) {
                            newest.publish(self);
                            return Ok(outcome);
                        }
                    }
                    Ok(Report::Notice(Notice::Ejected { peer, evidence, .. }))
                        if peer == handle.id() && self.args.once =>
                    {
                        let why = format!("this peer was ejected: {evidence}");
                        return Ok(Outcome::Failed { why });
                    }
                    Ok(report) => self.report(handle, report, &mut newest)?,
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(_) => return Ok(handle.finished().await),
                },
                _ = tick.tick() => {
                    newest.publish(self);
                    self.say(&time.event());
                    let net = net_status.borrow_and_update().clone();
                    status::Status::of(&net, &handle.ticket().to_string()).write(&self.dir)?;
                    let t = net.total;
                    self.say(&PeerEvent::Traffic {
                        sent: t.messages_out + t.objects_out,
                        received: t.messages_in + t.objects_in,
                    });
                }
            }
        }
    }

    /// Says in the commons, where one was chosen, what this peer did and what came of the run.
    async fn record(&self, me: PeerId, root: Hash) -> Result<()> {
        let (Some(scribe), Some(id)) = (self.scribe.clone(), self.store.get_ref(RUN_REF)?) else {
            return Ok(());
        };
        let run = RunManifest::parse(&self.store.get(&id)?)?;
        let ended = Ended {
            run: id,
            name: run.name.clone(),
            corpus: run.corpus.hash,
            root,
            step_tokens: run.step_tokens(),
            peer: me,
            founder: run.founder.0 == me.0,
        };
        let folder = self.dir.clone();
        // The others' statements are waited for; the peer goes on serving meanwhile.
        let said = tokio::task::spawn_blocking(move || scribe.record(&ended, &folder)).await?;
        match said.context("the commons") {
            Ok(statements) => self.say(&PeerEvent::Recorded { statements }),
            // The run is safe whatever becomes of what is said about it.
            Err(e) => self.say(&PeerEvent::NotRecorded { why: format!("{e:#}") }),
        }
        Ok(())
    }

    fn report(&self, handle: &Handle, report: Report, newest: &mut Newest) -> Result<()> {
        match report {
            Report::Fetching { bytes, bytes_known, .. } => {
                let done = (bytes_known > 0).then(|| bytes as f64 / bytes_known as f64);
                self.say(&PeerEvent::Preparing { what: "fetching the run".to_owned(), done });
            }
            Report::Started { run } => self.started(handle, run)?,
            Report::Connected { peer } => self.say(&PeerEvent::Connection { peer, up: true }),
            Report::Disconnected { peer } => self.say(&PeerEvent::Connection { peer, up: false }),
            Report::Notice(notice) => {
                if let Notice::Decided(record) = &notice {
                    newest.record = Some(record.clone());
                }
                self.say(&PeerEvent::Protocol { notice });
                newest.publish(self);
            }
            Report::Progress { step, steps, loss, tokens, .. } => {
                self.say(&PeerEvent::Progress { step, steps, loss, tokens });
            }
            Report::Traffic { .. } | Report::Outcome(_) => {}
        }
        Ok(())
    }

    fn started(&self, handle: &Handle, id: Hash) -> Result<()> {
        self.store.set_ref(RUN_REF, &id)?;
        let run = RunManifest::parse(&self.store.get(&id)?)?;
        let corpus = recipe::CorpusManifest::parse(&self.store.get(&run.corpus.hash)?)?;
        self.say(&PeerEvent::Corpus(serve::Corpus {
            files: corpus.files,
            bytes: corpus.train_bytes,
            tokens: corpus.tokens(),
            held_out_bytes: corpus.held_out_text.len,
            licences: corpus.licences.clone(),
            source: corpus.source.clone(),
        }));
        self.say(&PeerEvent::Started {
            run: id,
            name: run.name.clone(),
            peer: handle.id(),
            rounds: run.rounds.rounds,
            step_tokens: run.step_tokens(),
            model: serve::ModelInfo {
                params: run.parameters() as u64,
                layers: run.model.layers as u32,
                dim: run.model.dim as u32,
                heads: run.model.heads as u32,
                vocab: run.model.vocab as u32,
                seq: run.inner.seq as u32,
            },
            ticket: handle.ticket().to_string(),
        });
        Ok(())
    }
}

/// The newest decided state, until it is in this store and the ref points at it.
#[derive(Default)]
struct Newest {
    record: Option<RecordSummary>,
}

impl Newest {
    fn publish(&mut self, peer: &Peer) {
        let Some(record) = &self.record else { return };
        let root = record.state.model.hash;
        // After a catch-up the state may still be on its way.
        if Checkpoint::load(&peer.store, &root).is_err() {
            return;
        }
        if peer.store.set_ref(MODEL_REF, &root).is_ok() {
            let (height, round) = (record.height, record.round);
            peer.say(&PeerEvent::Model { height, round, root });
            self.record = None;
        }
    }
}

/// Checks a manifest and makes what works on it.
pub fn open_run(
    bytes: &[u8],
    store: &Store,
    kernel: Kernel,
    cheat: Option<crate::cheat::Cheat>,
    time: Arc<WorkTime>,
) -> Result<(swarm::Run, Arc<dyn Worker>)> {
    let run = Arc::new(RunManifest::parse(bytes)?);
    let corpus = Arc::new(Corpus::load(store, &run.corpus.hash)?);
    if corpus.manifest.vocab as usize != run.model.vocab {
        bail!("the corpus has {} tokens, the model {}", corpus.manifest.vocab, run.model.vocab);
    }
    let worker =
        TrainingWorker::new(store.clone(), run.clone(), corpus, kernel, cheat)?.timed(time);
    let initial = worker.initial_state()?;
    let protocol = worker::protocol_run(&run, Hash::of(bytes), initial);
    protocol.rules.validate()?;
    Ok((protocol, Arc::new(worker)))
}

/// What a run manifest, a corpus or a model refers to.
fn references_of_run(bytes: &[u8]) -> Result<Vec<store::ObjectRef>, String> {
    if let Ok(run) = RunManifest::parse(bytes) {
        return Ok(vec![run.corpus]);
    }
    worker::references(bytes).map_err(|e| e.to_string())
}

fn say(json: bool, event: &PeerEvent) {
    let mut out = crate::terminal::stdout();
    // Whoever reads this may be gone; the run does not depend on it.
    if json {
        let line = serde_json::to_string(event).expect("an event has a JSON form");
        let _ = writeln!(out, "{line}");
    } else if let Some(words) = event.words() {
        let _ = writeln!(out, "{words}");
    }
    let _ = out.flush();
}

/// The relay that a flag names: a URL, or iroh's public ones.
pub fn relay(text: Option<&str>) -> Relay {
    match text {
        None => Relay::None,
        Some("public") => Relay::Public,
        Some(url) => Relay::Url(url.to_owned()),
    }
}

/// The secret key in `path`, made where there is none, readable by the user alone.
pub fn key(path: &Path) -> Result<[u8; 32]> {
    if let Ok(text) = fs::read_to_string(path) {
        let secret: Hash = text
            .trim()
            .parse()
            .with_context(|| format!("{} holds no key", path.display()))
            .hint("restore it from a copy, or remove it to become a new peer")?;
        return Ok(secret.0);
    }
    let seed = random::seed()?;
    status::write_secret(path, format!("{}\n", Hash(seed)).as_bytes())?;
    Ok(seed)
}

/// Ends on Ctrl-C or SIGTERM, and with `leash` when standard input closes.
pub async fn stop_signal(leash: bool) {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("signals can be listened to");
    let leash = async {
        if !leash {
            return std::future::pending().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut buffer = [0; 64];
        while stdin.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        () = leash => {}
    }
}
