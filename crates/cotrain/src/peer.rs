//! One participant of a run, with a folder of its own: what it needs to begin, join or go on, and
//! its life until the run is over.

mod error;
mod open;
mod watch;

use crate::{
    RUN_REF,
    config::RunConfig,
    continuing::OldRun,
    events::PeerEvent,
    founding::{Founding, founded},
    invitations::Invitations,
    marking::Registrar,
    marks::{Marks, TwoHistories},
    status::Status,
    worker::{TrainingWorker, WorkTime},
};
pub use error::PeerError;
use ids::{Hash, Identity, PeerId};
use kernel::Kernel;
use net::{
    Relay,
    swarm::{Admission, Outcome, Source},
    with_causes,
};
use progress::{Progress, Work};
use recipe::{
    CorpusManifest, RunManifest,
    corpus::{self, Documents},
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use store::{
    Store,
    file::{Readers, write_atomically},
};
use swarm::{Checkpoint, Worker};
use watch::Watch;

/// The most bytes of one object of a run.
const MAX_TICKET: u64 = 32 << 10;
const MAX_OBJECT: u64 = 1 << 30;

/// What building a corpus consists of.
const LEARNING: &str = "learning the tokens of the text";
const TOKENIZING: &str = "cutting the text into tokens";

/// How a peer is to take part.
pub struct Options {
    /// Its folder: objects, log, status, invitations. Made where it is absent.
    pub folder: PathBuf,
    /// Its secret key.
    pub seed: [u8; 32],
    /// What it computes with.
    pub kernel: Kernel,
    /// Where it listens.
    pub bind: SocketAddr,
    /// Help for peers that cannot reach each other directly.
    pub relay: Relay,
    /// To end when the run has finished, or without this peer, instead of serving it to others.
    pub once: bool,
    /// Who writes down in a commons what becomes of the run.
    pub registrar: Option<Arc<dyn Registrar>>,
    /// Records at heights that this number divides are marked there.
    pub mark_every: u64,
}

/// Whoever is told what a peer does.
pub type Tell = Box<dyn Fn(&PeerEvent) + Send + Sync>;

/// What makes of honest work the work that a peer does.
pub type WorkAs = Arc<dyn Fn(TrainingWorker) -> Arc<dyn Worker> + Send + Sync>;

/// A participant that does not take part yet.
pub struct Peer {
    options: Options,
    store: Store,
    invitations: Invitations,
    /// Records that a commons knows the run to have.
    known: Vec<Checkpoint>,
    tell: Arc<Tell>,
    work_as: WorkAs,
}

/// Its folder.
impl Peer {
    /// Opens the peer of `options`, which tells `tell` what it does.
    ///
    /// Errors: its store or its invitations cannot be read.
    pub fn open(options: Options, tell: Tell) -> Result<Self, PeerError> {
        let store = Store::open(options.folder.join("store"))?;
        let invitations = Invitations::read(&options.folder)?;
        let work_as: WorkAs = Arc::new(|worker| Arc::new(worker));
        let tell = Arc::new(tell);
        Ok(Self { options, store, invitations, known: Vec::new(), tell, work_as })
    }

    /// Works otherwise than honestly, for demonstrations and tests.
    pub fn working_as(self, work_as: WorkAs) -> Self {
        Self { work_as, ..self }
    }

    /// Its key.
    pub fn id(&self) -> PeerId {
        Identity::from_seed(self.options.seed).id()
    }

    /// Whether somebody writes down in a commons what becomes of its run.
    pub fn has_registrar(&self) -> bool {
        self.options.registrar.is_some()
    }

    /// Tells an event to whoever watches this peer.
    pub fn tell(&self, event: &PeerEvent) {
        (self.tell)(event);
    }

    /// The run that it belongs to, if it belongs to one.
    ///
    /// Errors: the store cannot be read.
    pub fn run(&self) -> Result<Option<Hash>, PeerError> {
        Ok(self.store.get_ref(RUN_REF)?)
    }

    /// What it joined with, if it joined its run.
    pub fn ticket(&self) -> Option<String> {
        bounded::read_text(&self.ticket_file(), MAX_TICKET).ok()
    }

    fn ticket_file(&self) -> PathBuf {
        self.options.folder.join("ticket")
    }

    /// Checks that it belongs to no run but this one, or to none.
    ///
    /// Errors: it belongs to another.
    pub fn must_be_free_for(&self, run: Option<Hash>) -> Result<(), PeerError> {
        match self.run()? {
            Some(other) if Some(other) != run => {
                Err(PeerError::OtherRun { folder: self.options.folder.clone(), run: other })
            }
            _ => Ok(()),
        }
    }
}

/// What it takes part in.
impl Peer {
    /// The run that it founded earlier, with its manifest; `None` where it belongs to none.
    ///
    /// Errors: it joined its run, or the manifest cannot be read.
    pub fn founded(&self) -> Result<Option<(RunManifest, Source)>, PeerError> {
        let Some(run) = self.run()? else { return Ok(None) };
        if self.ticket_file().exists() {
            return Err(PeerError::Joined { folder: self.options.folder.clone(), run });
        }
        let manifest = self.store.get(&run)?;
        Ok(Some((RunManifest::parse(&manifest)?, Source::Founder { manifest })))
    }

    /// Checks what can be checked of a run before its text is read.
    ///
    /// Errors: it belongs to a run; a setting is out of range.
    pub fn check(&self, config: &RunConfig, founding: &Founding) -> Result<(), PeerError> {
        self.must_be_free_for(None)?;
        Ok(config.check(self.id(), founding)?)
    }

    /// Founds a run over a text.
    ///
    /// Errors: the text is too little, a setting is out of range, or the folder cannot be written.
    pub fn found(
        &mut self,
        config: &RunConfig,
        documents: &Documents,
        founding: &Founding,
    ) -> Result<Source, PeerError> {
        self.check(config, founding)?;
        let mut work = None;
        let tell = &mut |progress| {
            let Progress::At(at) = progress else { return };
            if work.replace(at.work) != Some(at.work) {
                let what = if at.work == Work::Learning { LEARNING } else { TOKENIZING };
                self.tell(&PeerEvent::Preparing { what: what.to_owned() });
            }
            self.tell(&PeerEvent::Working(at));
        };
        let built = corpus::build(&self.store, documents, &config.data.options, tell);
        let built = built.map_err(PeerError::Text);
        let mut left_out = documents.left_out.clone();
        if let Ok(built) = &built {
            left_out.merge(built.left_out.clone());
        }
        if !left_out.is_nothing() {
            self.tell(&PeerEvent::LeftOut(left_out));
        }
        let built = built?;
        let corpus = CorpusManifest::parse(&self.store.get(&built.root.hash)?)?;
        let manifest = config.manifest(self.id(), founding, built.root, corpus.vocab as usize)?;
        self.keep(&manifest, founding)
    }

    /// Founds a run that goes on from the last model of an old one; `changes` are settings that are
    /// to be others, as TOML.
    ///
    /// Errors: this peer belongs to a run; the changes are none; an object of the old run is
    /// missing; the folder cannot be written.
    pub fn go_on_from(
        &mut self,
        old: &OldRun,
        changes: &str,
        founding: &Founding,
    ) -> Result<Source, PeerError> {
        self.must_be_free_for(None)?;
        let manifest = founded(old.manifest(changes, self.id())?, founding)?;
        old.copy(&self.store)?;
        self.keep(&manifest, founding)
    }

    /// Keeps the manifest of a new run, and before it the secrets of its invitations.
    fn keep(&mut self, manifest: &RunManifest, founding: &Founding) -> Result<Source, PeerError> {
        founding.invitations.write(&self.options.folder)?;
        self.invitations = founding.invitations.clone();
        let manifest = manifest.to_toml().into_bytes();
        let id = self.store.put(&manifest)?;
        self.store.set_ref(RUN_REF, &id)?;
        Ok(Source::Founder { manifest })
    }

    /// What it joins with, given what it was handed now: an invitation from before stays one.
    ///
    /// Errors: it belongs to another run.
    pub fn admitted(&self, handed: Admission) -> Result<Admission, PeerError> {
        let run = handed.ticket().run;
        self.must_be_free_for(Some(run))?;
        let kept = self.ticket().and_then(|text| text.parse::<Admission>().ok());
        let admission = handed.or_secret_of(kept);
        self.tell(&PeerEvent::Joining { run, checkpoint: admission.ticket().checkpoint });
        Ok(admission)
    }

    /// Holds what a commons knows of the run, and what the ticket names, against the history that
    /// it will be shown.
    ///
    /// Errors: these contradict each other already.
    pub fn hold_against(
        &mut self,
        marks: Marks,
        named: Option<net::swarm::Mark>,
    ) -> Result<(), TwoHistories> {
        let named = named.map(|m| Checkpoint { height: m.height, record: m.record });
        self.known = marks.checkpoints(named)?;
        let Marks { commons, size, time, records, unwitnessed } = marks;
        let (marks, later) = (records, unwitnessed);
        self.tell(&PeerEvent::Marks { commons, size, witnessed: time, marks, later });
        Ok(())
    }

    /// Keeps what it joins with.
    ///
    /// Errors: the file cannot be written.
    pub fn join(&self, admission: Admission) -> Result<Source, PeerError> {
        let (path, text) = (self.ticket_file(), format!("{}\n", admission.to_secret_text()));
        // An invitation is worth a vote: the file is for nobody else.
        write_atomically(&path, text.as_bytes(), Readers::Owner)
            .map_err(|source| PeerError::Write { path, source })?;
        Ok(match admission {
            Admission::Ticket(ticket) => Source::Join { ticket },
            Admission::Invitation(invitation) => Source::Invited { invitation },
        })
    }
}

/// Its life.
impl Peer {
    /// Takes part until `until` ends, the run fails for this peer, or, with [`Options::once`], it is
    /// over. What happens meanwhile is told. Started again in the same folder the peer goes on.
    ///
    /// Errors: it cannot begin or cannot go on.
    pub async fn take_part(
        &self,
        source: Source,
        until: impl Future<Output = ()>,
    ) -> Result<(), PeerError> {
        let time = Arc::new(WorkTime::default());
        let Options { kernel, .. } = &self.options;
        let (kernel, work_as, tell) = (kernel.clone(), self.work_as.clone(), self.tell.clone());
        let open = open::opener(kernel, time.clone(), work_as, tell);
        let handle = net::swarm::start(self.node(source), Arc::new(open::run_parts), open).await?;
        let outcome = Watch::new(self, &handle, &time).until(until).await;
        let (status, ticket) = (handle.status(), handle.ticket().to_string());
        let stopped = handle.stop().await;
        match Status::of(&status.borrow(), &ticket).ended().write(&self.options.folder) {
            Err(error) if error.may_pass() => {
                self.tell(&PeerEvent::NotWritten { why: with_causes(&error) });
            }
            written => written?,
        }
        for outcome in [outcome?, stopped] {
            if let Outcome::Failed { why } = outcome {
                return Err(PeerError::Failed(why));
            }
        }
        self.tell(&PeerEvent::Stopped);
        Ok(())
    }

    fn node(&self, source: Source) -> net::swarm::Config {
        let Options { folder, seed, bind, relay, .. } = &self.options;
        net::swarm::Config {
            store: self.store.clone(),
            folder: folder.clone(),
            seed: *seed,
            source,
            known: self.known.clone(),
            bind: *bind,
            relay: relay.clone(),
            external: Vec::new(),
            max_object: MAX_OBJECT,
            keep_everything: false,
        }
    }
}
