//! What happens to a peer that takes part, told as it happens.

use super::{Peer, PeerError};
use crate::{
    MODEL_REF, RUN_REF,
    events::{CorpusInfo, ModelInfo, PeerEvent, Standing},
    marking::{Ended, Marking},
    status::Status,
    worker::WorkTime,
};
use ids::Hash;
use net::{
    swarm::{Handle, NetStatus, Outcome, Report},
    with_causes,
};
use progress::{At, Work};
use recipe::{Checkpoint, CorpusManifest, RunManifest};
use std::{pin::pin, time::Duration};
use swarm::{Lobby, Notice, RecordSummary};
use tokio::sync::{broadcast::error::RecvError, watch::Receiver};

/// A peer that takes part.
pub(super) struct Watch<'a> {
    peer: &'a Peer,
    handle: &'a Handle,
    time: &'a WorkTime,
    net: Receiver<NetStatus>,
    marking: Option<Marking>,
    newest: Newest,
    /// What was told last of the lobby, and of the members after which record.
    lobby: Option<Lobby>,
    standing: Option<u64>,
    /// The status could not be written, and that was told.
    unwritten: bool,
    /// The run that the store does not name yet.
    unset: Option<Hash>,
    /// The clock is wrong, and that was told.
    wrong_clock: bool,
    /// How far fetching was when that was told last.
    fetching: Option<At>,
    /// The height at which this peer was when it was found to be behind.
    behind_at: Option<u64>,
}

impl<'a> Watch<'a> {
    pub fn new(peer: &'a Peer, handle: &'a Handle, time: &'a WorkTime) -> Self {
        let (registrar, every) = (peer.options.registrar.clone(), peer.options.mark_every);
        let marking = registrar.map(|registrar| Marking::new(registrar, handle.run(), every));
        let (net, newest) = (handle.status(), Newest::default());
        Self {
            peer,
            handle,
            time,
            net,
            marking,
            newest,
            lobby: None,
            standing: None,
            unwritten: false,
            unset: None,
            wrong_clock: false,
            fetching: None,
            behind_at: None,
        }
    }

    /// Tells what happens until the run fails, or the user has had enough.
    pub async fn until(mut self, end: impl Future<Output = ()>) -> Result<Outcome, PeerError> {
        let mut reports = self.handle.subscribe();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(Outcome::Stopped),
                report = reports.recv() => match report {
                    Ok(report) => {
                        if let Some(outcome) = self.hear(report).await? {
                            return Ok(outcome);
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(self.handle.finished().await),
                },
                _ = tick.tick() => self.tick().await?,
            }
        }
    }

    /// Takes in a report; how it ends, if it ends with it.
    async fn hear(&mut self, report: Report) -> Result<Option<Outcome>, PeerError> {
        match report {
            Report::Outcome(outcome) => return self.end(outcome).await,
            Report::Notice(Notice::Ejected { peer, evidence, .. })
                if peer == self.handle.id() && self.peer.options.once =>
            {
                let why = format!("this peer was ejected: {evidence}");
                return Ok(Some(Outcome::Failed { why }));
            }
            Report::Fetching { bytes, bytes_known, bytes_fetched, .. } => {
                self.fetching(At {
                    work: Work::Fetching,
                    done: bytes,
                    total: bytes_known,
                    fresh: bytes_fetched,
                });
            }
            Report::Started { run } => self.started(run)?,
            Report::Connected { peer } => self.tell(&PeerEvent::Connection { peer, up: true }),
            Report::Disconnected { peer } => self.tell(&PeerEvent::Connection { peer, up: false }),
            Report::Notice(notice) => self.notice(notice),
            Report::Progress { step, steps, loss, tokens, .. } => {
                self.tell(&PeerEvent::Progress { step, steps, loss, tokens });
            }
            Report::Traffic { .. } => {}
        }
        Ok(None)
    }

    /// Says how far the run's objects are here; what is known of them grows while they come.
    fn fetching(&mut self, at: At) {
        if self.fetching.replace(at).is_none() {
            self.tell(&PeerEvent::Preparing { what: "fetching the run".to_owned() });
        }
        if at.total > 0 {
            self.tell(&PeerEvent::Working(at));
        }
    }

    /// The run is over, for this peer at least.
    async fn end(&mut self, outcome: Outcome) -> Result<Option<Outcome>, PeerError> {
        let finished = matches!(outcome, Outcome::Finished { .. });
        if let Outcome::Finished { state, .. } = &outcome {
            if let Some(marking) = &mut self.marking {
                marking.note_head(&self.net.borrow());
                let told = marking.close().await;
                told.iter().for_each(|event| self.tell(event));
            }
            self.record(state.model.hash).await?;
        }
        if finished && !self.peer.options.once {
            return Ok(None);
        }
        self.newest.publish(self.peer);
        Ok(Some(outcome))
    }

    fn notice(&mut self, notice: Notice) {
        if let (Notice::Decided(record), Some(marking)) = (&notice, &mut self.marking) {
            marking.note(record.height, record.record);
        }
        // After a restart the newest model may be one that nobody was told of.
        if let Notice::Decided(record) | Notice::Resumed(record) = &notice {
            self.newest.record = Some(record.clone());
        }
        self.tell(&PeerEvent::Protocol { notice });
        self.newest.publish(self.peer);
    }

    /// Once a second.
    async fn tick(&mut self) -> Result<(), PeerError> {
        self.newest.publish(self.peer);
        self.set_run()?;
        self.tell(&self.time.event());
        let net = self.net.borrow_and_update().clone();
        let ticket = self.handle.ticket().to_string();
        self.write_status(&Status::of(&net, &ticket))?;
        self.tell_clock(&net);
        self.tell_catching_up(&net);
        self.tell_lobby(&net);
        self.tell_standing(&net);
        if let Some(marking) = &mut self.marking {
            marking.note_head(&net);
            let told = marking.step().await;
            told.iter().for_each(|event| self.tell(event));
        }
        let t = net.total;
        self.tell(&PeerEvent::Traffic {
            sent: t.messages_out + t.objects_out,
            received: t.messages_in + t.objects_in,
        });
        Ok(())
    }

    /// Writes the status down; a disk that is full for a while is told of once.
    fn write_status(&mut self, status: &Status) -> Result<(), PeerError> {
        match status.write(&self.peer.options.folder) {
            Ok(()) => self.unwritten = false,
            Err(error) if !error.may_pass() => return Err(error.into()),
            Err(error) => {
                if !std::mem::replace(&mut self.unwritten, true) {
                    self.tell(&PeerEvent::NotWritten { why: with_causes(&error) });
                }
            }
        }
        Ok(())
    }

    fn tell(&self, event: &PeerEvent) {
        self.peer.tell(event);
    }

    /// Says that this machine's clock is wrong, and when it is right again.
    fn tell_clock(&mut self, net: &NetStatus) {
        let wrong = net.clock.is_some();
        if std::mem::replace(&mut self.wrong_clock, wrong) != wrong {
            let (ahead_s, others) = net.clock.map_or((0, 0), |doubt| (doubt.ahead_s, doubt.others));
            self.tell(&PeerEvent::Clock { ahead_s, others });
        }
    }

    /// Says how far behind this peer is while it is more than a record, and that it is not any more.
    fn tell_catching_up(&mut self, net: &NetStatus) {
        let Some(node) = &net.node else { return };
        let (Some(height), Some(others)) = (node.height, node.others) else { return };
        if others <= height.saturating_add(1) && self.behind_at.is_none() {
            return;
        }
        let from = *self.behind_at.get_or_insert(height);
        let (done, total) = (height.saturating_add(1), others.max(height).saturating_add(1));
        let fresh = height.saturating_sub(from);
        self.tell(&PeerEvent::Working(At { work: Work::CatchingUp, done, total, fresh }));
        if done == total {
            self.behind_at = None;
        }
    }

    /// Says who is there before the run begins, whenever that has changed, and what is left to hand
    /// out.
    fn tell_lobby(&mut self, net: &NetStatus) {
        let Some(lobby) = net.node.as_ref().and_then(|node| node.lobby.clone()) else { return };
        let told = self.lobby.replace(lobby.clone());
        if told.as_ref() == Some(&lobby) {
            return;
        }
        if told.as_ref().is_none_or(|told| told.unused != lobby.unused) {
            let texts = self.peer.invitations.texts(&self.handle.ticket(), &lobby.unused);
            if !texts.is_empty() {
                self.tell(&PeerEvent::Invitations { unused: texts });
            }
        }
        if told.is_none_or(|told| told.here != lobby.here) {
            let (here, awaited) = (lobby.here, lobby.awaited);
            self.tell(&PeerEvent::Lobby { here, awaited, unused: lobby.unused.len() });
        }
    }

    /// Says what the members weigh, after each record.
    fn tell_standing(&mut self, net: &NetStatus) {
        let Some(node) = &net.node else { return };
        let Some(height) = node.height.filter(|height| self.standing != Some(*height)) else {
            return;
        };
        self.standing = Some(height);
        let members = node.members.iter().map(|m| Standing {
            peer: m.member.id,
            steps: m.standing,
            vote: m.weight as f64 / node.weight.max(1) as f64,
        });
        self.tell(&PeerEvent::Standing { height, members: members.collect() });
    }

    /// Has written down, where somebody does, what this peer did and what came of the run.
    async fn record(&self, root: Hash) -> Result<(), PeerError> {
        let Peer { options, store, .. } = self.peer;
        let (Some(registrar), Some(id)) = (options.registrar.clone(), store.get_ref(RUN_REF)?)
        else {
            return Ok(());
        };
        let run = RunManifest::parse(&store.get(&id)?)?;
        let me = self.handle.id();
        let ended = Ended {
            run: id,
            name: run.name.clone(),
            corpus: run.corpus.hash,
            root,
            step_tokens: run.step_tokens(),
            peer: me,
            founder: run.founder.0 == me.0,
        };
        let folder = options.folder.clone();
        // The others' statements are waited for; the peer goes on serving meanwhile.
        let said = tokio::task::spawn_blocking(move || registrar.record(&ended, &folder)).await?;
        match said {
            Ok(statements) => self.tell(&PeerEvent::Recorded { statements }),
            // The run is safe whatever becomes of what is said about it.
            Err(e) => self.tell(&PeerEvent::NotRecorded { why: with_causes(&*e) }),
        }
        Ok(())
    }

    /// Names the run in the store; a disk that is full for a while is waited for.
    fn set_run(&mut self) -> Result<(), PeerError> {
        let Some(run) = self.unset else { return Ok(()) };
        match self.peer.store.set_ref(RUN_REF, &run) {
            Err(error) if error.may_pass() => {
                self.tell(&PeerEvent::NotWritten { why: with_causes(&error) });
            }
            set => {
                set?;
                self.unset = None;
            }
        }
        Ok(())
    }

    fn started(&mut self, id: Hash) -> Result<(), PeerError> {
        self.unset = Some(id);
        self.set_run()?;
        let store = &self.peer.store;
        let run = RunManifest::parse(&store.get(&id)?)?;
        let corpus = CorpusManifest::parse(&store.get(&run.corpus.hash)?)?;
        self.tell(&PeerEvent::Corpus(corpus_info(corpus)));
        self.tell(&PeerEvent::Started {
            run: id,
            name: run.name.clone(),
            peer: self.handle.id(),
            rounds: run.rounds.rounds,
            step_tokens: run.step_tokens(),
            model: model_info(&run),
            ticket: self.handle.ticket().to_string(),
        });
        Ok(())
    }
}

fn corpus_info(corpus: CorpusManifest) -> CorpusInfo {
    CorpusInfo {
        files: corpus.files,
        bytes: corpus.train_bytes,
        tokens: corpus.tokens(),
        held_out_bytes: corpus.held_out_text.len,
        licences: corpus.licences,
        source: corpus.source,
    }
}

fn model_info(run: &RunManifest) -> ModelInfo {
    ModelInfo {
        params: run.parameters() as u64,
        layers: run.model.layers.len() as u32,
        dim: run.model.dim as u32,
        heads: run.model.heads as u32,
        vocab: run.model.vocab as u32,
        seq: run.inner.seq as u32,
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
            peer.tell(&PeerEvent::Model { height, round, root });
            self.record = None;
        }
    }
}
