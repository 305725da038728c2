//! One peer of a run as a process: `understory swarm start` and `join`.

use crate::{
    cli::{ContinueArgs, JoinArgs, PeerArgs, StartArgs},
    commons::{Ended, Scribe},
    config::{RunConfig, founded},
    continuing, corpus_source,
    events::{PeerEvent, Standing},
    files,
    founding::Founding,
    hint::WithHint,
    invitations::Invitations,
    kernel_for,
    marking::{self, Marking},
    model_source::{MODEL_REF, RUN_REF},
    peer_key, status, worker,
    worker::{TrainingWorker, WorkTime},
};
use anyhow::{Context, Result, bail};
use ids::{Hash, PeerId};
use kernel::Kernel;
use net::{
    Relay,
    swarm::{Admission, Handle, Outcome, Report, Source},
};
use recipe::{Checkpoint, Corpus, RunManifest, corpus};
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::Store;
use swarm::{Lobby, Notice, RecordSummary, Worker};
use tokio::io::AsyncReadExt;

/// Begins a run, or goes on with the one in the folder.
pub fn start(args: &StartArgs) -> Result<()> {
    let mut peer = Peer::open(&args.peer)?;
    let commons = args.peer.commons.as_deref();
    let manifest = match peer.store.get_ref(RUN_REF)? {
        Some(id) if peer.ticket_file().exists() => {
            return Err(anyhow::anyhow!("{} joined run {}", peer.dir.display(), id.short()))
                .hint("go on with `understory swarm join`, or choose another --dir");
        }
        Some(id) => {
            let bytes = peer.store.get(&id)?;
            Founding::same(&args.founding, commons, &RunManifest::parse(&bytes)?)?;
            bytes
        }
        None => {
            let path = args
                .config
                .as_ref()
                .context("no run in this folder and no configuration named")
                .hint("`understory swarm config > CONFIG.toml` writes one to begin from")?;
            let config = RunConfig::read(path)?;
            peer.found(&Founding::new(&args.founding, commons)?, |peer, founding| {
                peer.manifest(&config, founding)
            })?
        }
    };
    peer.take_part(Source::Founder { manifest })
}

/// Begins a new run from the last model of an old one.
pub fn go_on(args: &ContinueArgs) -> Result<()> {
    let old = continuing::OldRun::open(&args.from)?;
    // Who goes on is the same peer, unless another is named.
    let old_key = args.from.join("key");
    let key = args.peer.key.as_deref().or_else(|| old_key.exists().then_some(&*old_key));
    let mut peer = Peer::open_as(&args.peer, key, of_member)?;
    if let Some(id) = peer.store.get_ref(RUN_REF)? {
        return Err(anyhow::anyhow!("{} holds run {}", peer.dir.display(), id.short())).hint(
            "name a new folder with --dir; a run that was begun goes on with `understory swarm \
             start --dir DIR`",
        );
    }
    let founding = Founding::new(&args.founding, args.peer.commons.as_deref())?;
    let manifest = peer.found(&founding, |peer, founding| {
        let what = format!("taking over {}", old.words());
        peer.say(&PeerEvent::Preparing { what, done: None });
        let manifest = old.manifest(args.config.as_deref(), peer.id())?;
        let manifest = founded(manifest, founding)?;
        old.copy(&peer.store)?;
        Ok(manifest)
    })?;
    peer.take_part(Source::Founder { manifest })
}

/// Joins a run, or goes on with the one in the folder.
pub fn join(args: &JoinArgs) -> Result<()> {
    let mut peer = Peer::open_as(&args.peer, args.peer.key.as_deref(), Scribe::of_member)?;
    let path = peer.ticket_file();
    let kept = fs::read_to_string(&path).ok();
    let text = match args.ticket.as_deref() {
        Some("-") => std::io::read_to_string(std::io::stdin().take(MAX_TICKET))?,
        Some(ticket) => ticket.to_owned(),
        None => kept
            .clone()
            .with_context(|| format!("no run in {}", peer.dir.display()))
            .hint("name the ticket or invitation that `understory swarm start` printed")?,
    };
    let admission: Admission = text.parse().hint(
        "a ticket is one word that begins with understory2, an invitation one that begins with \
         understory2-secret-",
    )?;
    let run = admission.ticket().run;
    if let Some(id) = peer.store.get_ref(RUN_REF)?
        && id != run
    {
        return Err(anyhow::anyhow!("{} holds run {}", peer.dir.display(), id.short()))
            .hint("choose another --dir for another run");
    }
    let kept = kept.and_then(|text| text.parse::<Admission>().ok());
    let admission = admission.or_secret_of(kept);
    let named = admission.ticket().checkpoint;
    peer.say(&PeerEvent::Joining { run, checkpoint: named });
    peer.compare_with_commons(&run, named)?;
    // An invitation is worth a vote: the file is for nobody else.
    files::write_secret(&path, format!("{}\n", admission.to_secret_text()).as_bytes())?;
    peer.take_part(match admission {
        Admission::Ticket(ticket) => Source::Join { ticket },
        Admission::Invitation(invitation) => Source::Invited { invitation },
    })
}

/// The most bytes of a ticket that is read from standard input.
const MAX_TICKET: u64 = 32 << 10;

/// The commons of somebody who has to be a member of it.
fn of_member(dir: &Path, keys: Option<&Path>) -> Result<Option<Scribe>> {
    Scribe::open(dir, keys).map(Some)
}

/// The folder of a peer and how it is to run.
struct Peer<'a> {
    args: &'a PeerArgs,
    dir: PathBuf,
    store: Store,
    seed: [u8; 32],
    kernel: Kernel,
    scribe: Option<Scribe>,
    invitations: Invitations,
    /// Records that a commons knows the run to have.
    known: Vec<swarm::Checkpoint>,
}

/// How a commons is opened in a folder, with keys from another.
type OpenCommons = fn(&Path, Option<&Path>) -> Result<Option<Scribe>>;

impl<'a> Peer<'a> {
    fn open(args: &'a PeerArgs) -> Result<Self> {
        Self::open_as(args, args.key.as_deref(), of_member)
    }

    /// The peer whose secret key is in the file `named`, if one is.
    fn open_as(args: &'a PeerArgs, named: Option<&Path>, commons: OpenCommons) -> Result<Self> {
        let dir = args.dir.clone();
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let store = Store::open(dir.join("store"))?;
        let seed = match (args.key_seed, named) {
            (Some(number), _) => peer_key::demo_seed(number),
            (None, Some(file)) => peer_key::take(file, &dir.join("key"))?,
            (None, None) => peer_key::own(&dir.join("key"))?,
        };
        let kernel = kernel_for(args.threads)?;
        let scribe = args.commons.as_deref();
        let scribe = scribe.map(|dir| commons(dir, args.keys.as_deref())).transpose()?.flatten();
        let (invitations, known) = (Invitations::read(&dir)?, Vec::new());
        Ok(Self { args, dir, store, seed, kernel, scribe, invitations, known })
    }

    /// Has the run's records as a commons knows them, where one was named, held against the history
    /// that is shown.
    fn compare_with_commons(&mut self, run: &Hash, named: Option<net::swarm::Mark>) -> Result<()> {
        let Some(dir) = self.args.commons.as_deref() else { return Ok(()) };
        let named = named.map(|m| swarm::Checkpoint { height: m.height, record: m.record });
        let (known, event) = marking::known(dir, run, named)?;
        self.known = known;
        self.say(&event);
        if self.scribe.is_none() {
            let why = "your key is no member's there; its marks are looked at".to_owned();
            self.say(&PeerEvent::NotRecorded { why });
        }
        Ok(())
    }

    fn id(&self) -> PeerId {
        ids::Identity::from_seed(self.seed).id()
    }

    fn ticket_file(&self) -> PathBuf {
        self.dir.join("ticket")
    }

    fn say(&self, event: &PeerEvent) {
        say(self.args.json, event);
    }

    /// Keeps the manifest of a new run, and before it the secrets of its invitations.
    fn found(
        &mut self,
        founding: &Founding,
        manifest: impl FnOnce(&Self, &Founding) -> Result<RunManifest>,
    ) -> Result<Vec<u8>> {
        let manifest = manifest(&*self, founding)?;
        founding.invitations.write(&self.dir)?;
        self.invitations = founding.invitations.clone();
        let bytes = manifest.to_toml().into_bytes();
        let id = self.store.put(&bytes)?;
        self.store.set_ref(RUN_REF, &id)?;
        Ok(bytes)
    }

    /// Builds the corpus and the manifest of a run.
    fn manifest(&self, config: &RunConfig, founding: &Founding) -> Result<RunManifest> {
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
        config.manifest(self.id(), founding, root, corpus.vocab as usize)
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
        let config = net::swarm::Config {
            store: self.store.clone(),
            folder: self.dir.clone(),
            seed: self.seed,
            source,
            known: self.known.clone(),
            bind: self.args.bind,
            relay,
            external: Vec::new(),
            max_object: 1 << 30,
            keep_everything: false,
        };
        let time = Arc::new(WorkTime::default());
        let (kernel, cheat, clock) = (self.kernel.clone(), self.args.cheat, time.clone());
        let open = move |bytes: &[u8], store: &Store| {
            open_run(bytes, store, kernel, cheat, clock).map_err(|e| format!("{e:#}"))
        };
        let handle = net::swarm::start(config, Arc::new(run_parts), Box::new(open)).await?;
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
        let (mut lobby, mut standing) = (None, None);
        let mut marking = self.marking(handle.run());
        let mut hurry = std::pin::pin!(stop_signal(self.args.leash));
        loop {
            tokio::select! {
                () = &mut hurry => return Ok(Outcome::Stopped),
                report = reports.recv() => match report {
                    Ok(Report::Outcome(outcome)) => {
                        if let Outcome::Finished { state, .. } = &outcome {
                            if let Some(marking) = &mut marking {
                                marking.note_head(&net_status.borrow());
                                marking.close().await.iter().for_each(|event| self.say(event));
                            }
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
                    Ok(report) => {
                        if let (Some(marking), Report::Notice(Notice::Decided(record))) =
                            (&mut marking, &report)
                        {
                            marking.note(record.height, record.record);
                        }
                        self.report(handle, report, &mut newest)?;
                    }
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(_) => return Ok(handle.finished().await),
                },
                _ = tick.tick() => {
                    newest.publish(self);
                    self.say(&time.event());
                    let net = net_status.borrow_and_update().clone();
                    status::Status::of(&net, &handle.ticket().to_string()).write(&self.dir)?;
                    self.tell_lobby(handle, &net, &mut lobby);
                    self.tell_standing(&net, &mut standing);
                    if let Some(marking) = &mut marking {
                        marking.note_head(&net);
                        marking.step().await.iter().for_each(|event| self.say(event));
                    }
                    let t = net.total;
                    self.say(&PeerEvent::Traffic {
                        sent: t.messages_out + t.objects_out,
                        received: t.messages_in + t.objects_in,
                    });
                }
            }
        }
    }

    /// Says who is there before the run begins, whenever that has changed, and what is left to hand
    /// out.
    fn tell_lobby(&self, handle: &Handle, net: &net::swarm::NetStatus, told: &mut Option<Lobby>) {
        let Some(lobby) = net.node.as_ref().and_then(|node| node.lobby.clone()) else { return };
        if told.as_ref() == Some(&lobby) {
            return;
        }
        if told.as_ref().is_none_or(|told| told.unused != lobby.unused) {
            let texts = self.invitations.texts(&handle.ticket(), &lobby.unused);
            if !texts.is_empty() {
                self.say(&PeerEvent::Invitations { unused: texts });
            }
        }
        if told.as_ref().is_none_or(|told| told.here != lobby.here) {
            self.say(&PeerEvent::Lobby {
                here: lobby.here.clone(),
                awaited: lobby.awaited.clone(),
                unused: lobby.unused.len(),
            });
        }
        *told = Some(lobby);
    }

    /// Says what the members weigh, after each record.
    fn tell_standing(&self, net: &net::swarm::NetStatus, told: &mut Option<u64>) {
        let Some(node) = &net.node else { return };
        let Some(height) = node.height.filter(|height| *told != Some(*height)) else { return };
        *told = Some(height);
        let members = node.members.iter().map(|m| Standing {
            peer: m.member.id,
            steps: m.standing,
            vote: m.weight as f64 / node.weight.max(1) as f64,
        });
        self.say(&PeerEvent::Standing { height, members: members.collect() });
    }

    /// The marks of this run, where a commons was chosen and this peer's is a member's key there.
    fn marking(&self, run: Hash) -> Option<Marking> {
        let scribe = self.scribe.clone()?;
        Some(Marking::new(scribe, run, self.args.mark_every))
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
                layers: run.model.layers.len() as u32,
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
    protocol.validate()?;
    Ok((protocol, Arc::new(worker)))
}

/// What a run manifest names: its corpus, whose manifest names the rest and nothing further.
fn run_parts(manifest: &[u8]) -> Result<Vec<net::Want>, String> {
    let run = RunManifest::parse(manifest).map_err(|e| e.to_string())?;
    let corpus = |manifest: &[u8]| {
        let corpus = recipe::CorpusManifest::parse(manifest).map_err(|e| e.to_string())?;
        Ok(corpus.references().into_iter().map(net::Want::from).collect())
    };
    let mut wants = vec![net::Want::manifest(run.corpus, Arc::new(corpus))];
    if let Some(start) = run.start {
        wants.push(start.outer.into());
        let most = 4 * run.parameters() as u64 + MAX_TOKENIZER;
        let model = move |manifest: &[u8]| model_parts(manifest, most);
        wants.push(net::Want::manifest(start.model, Arc::new(model)));
    }
    Ok(wants)
}

/// More bytes than a tokenizer has.
const MAX_TOKENIZER: u64 = 64 << 20;

/// What the manifest of the model names that a run begins from, at most `most` bytes in all.
/// Whether it is this run's model is checked once it is here.
fn model_parts(manifest: &[u8], most: u64) -> Result<Vec<net::Want>, String> {
    let parts = store::ModelManifest::parse(manifest).map_err(|e| e.to_string())?.references();
    let bytes = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.len));
    match bytes {
        Some(bytes) if bytes <= most => Ok(parts.into_iter().map(net::Want::from).collect()),
        _ => Err(format!("the model to begin from is larger than the run's, {most} bytes")),
    }
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
