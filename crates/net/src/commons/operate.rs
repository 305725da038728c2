//! Operating the log: places for what waits, and witnesses for the time.

use super::{
    client::ask,
    heads::is_cosigned,
    replica::OperatorTask,
    server::unix_time,
    service::{Pace, Shared, stopped},
    wire::Request,
};
use ids::{Identity, PeerId, Plain};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tlog::{NoteSignature, Policy, Response, SignedCheckpoint, VerifierKey};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{interval, sleep, timeout},
};

/// How long a start waits to have asked others: their log may be longer than a restored one.
const FIRST_ASK: Duration = Duration::from_secs(2);
/// How long a named successor waits before it takes the log over, so that what the old operator
/// signed last has come here.
const GRACE: Duration = Duration::from_secs(1);
/// How long witnesses may take.
const WITNESS_TIME: Duration = Duration::from_secs(10);
/// How long the slower witnesses are waited for once there are enough.
const OTHERS_TIME: Duration = Duration::from_millis(300);
/// After too few witnesses answered.
const RETRY: Duration = Duration::from_secs(1);
/// Requests to one witness for one head: its size may be another than was thought.
const MAX_TRIES: usize = 3;

/// The operator's part of a service.
pub(crate) struct Operating {
    shared: Arc<Shared>,
    operator: Identity,
    pace: Pace,
    /// What each who says that it is a witness cosigned last; none is this member itself.
    sizes: Arc<Mutex<BTreeMap<Option<PeerId>, u64>>>,
    marked: Option<Instant>,
    /// No mark is tried before.
    not_before: Instant,
    /// Since when what waits hands the log over to this operator.
    named: Option<Instant>,
    gathering: Option<JoinHandle<Result<SignedCheckpoint, String>>>,
}

impl Operating {
    /// The operator of a service that runs.
    pub fn new(shared: Arc<Shared>, operator: Identity, pace: Pace) -> Self {
        Self {
            shared,
            operator,
            pace,
            sizes: Arc::default(),
            marked: None,
            not_before: Instant::now(),
            named: None,
            gathering: None,
        }
    }

    /// Operates the log whenever it is this operator's, until told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut asked = self.shared.asked.subscribe();
        let _ = timeout(FIRST_ASK, asked.wait_for(|asked| *asked)).await;
        let mut tick = interval(self.pace.batch);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stopped(&mut stop) => break,
            }
            match self.step().await {
                Ok(()) => {}
                Err(why) => self.shared.set_trouble(Some(why)),
            }
        }
        if let Some(gathering) = self.gathering {
            gathering.abort();
        }
    }

    async fn step(&mut self) -> Result<(), String> {
        let key = self.operator.id();
        let operator_task =
            Shared::blocking(&self.shared.replica, move |replica| replica.operator_task(&key))
                .await;
        let operator_task = operator_task.map_err(|e| e.to_string())?;
        if operator_task != OperatorTask::TakeOver {
            self.named = None;
        }
        match operator_task {
            OperatorTask::None => Ok(()),
            OperatorTask::TakeOver => {
                if self.named.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                    self.integrate().await?;
                }
                Ok(())
            }
            OperatorTask::Operate { waits, unmarked } => {
                if waits && !self.integrate().await? {
                    return Ok(());
                }
                self.mark(unmarked).await
            }
        }
    }

    /// Gives what waits its place. Whether the log is this operator's.
    async fn integrate(&mut self) -> Result<bool, String> {
        let operator = self.operator.clone();
        let batch =
            Shared::blocking(&self.shared.replica, move |replica| replica.integrate(&operator))
                .await;
        let Some(batch) = batch.map_err(|e| e.to_string())? else { return Ok(false) };
        for (hash, why) in &batch.refused {
            tracing::info!("statement {} gets no place: {}", hash.short(), Plain(why));
        }
        if batch.taken > 0 || !batch.refused.is_empty() {
            self.shared.changed.notify_one();
        }
        Ok(true)
    }

    /// Has witnesses cosign the head where it is time, and enters what they signed: soon if there
    /// is something `unmarked`, else at the next heartbeat.
    async fn mark(&mut self, unmarked: bool) -> Result<(), String> {
        if let Some(gathering) = self.gathering.take_if(|g| g.is_finished()) {
            let gathered = gathering.await.map_err(|e| e.to_string())?;
            let head = gathered.inspect_err(|_| self.not_before = Instant::now() + RETRY)?;
            return self.enter(head).await;
        }
        let pause = if unmarked { self.pace.mark } else { self.pace.heartbeat };
        let due = self.marked.is_none_or(|at| at.elapsed() >= pause);
        if !due || self.gathering.is_some() || Instant::now() < self.not_before {
            return Ok(());
        }
        let operator = self.operator.clone();
        let head =
            Shared::blocking(&self.shared.replica, move |replica| replica.fresh_head(&operator))
                .await;
        let Some(head) = head.map_err(|e| e.to_string())? else { return Ok(()) };
        let gather = gather(self.shared.clone(), self.sizes.clone(), head);
        self.gathering = Some(tokio::spawn(gather));
        Ok(())
    }

    async fn enter(&mut self, head: SignedCheckpoint) -> Result<(), String> {
        let operator = self.operator.clone();
        let marked =
            Shared::blocking(&self.shared.replica, move |r| r.mark(&operator, &head)).await;
        let now = Instant::now();
        if marked.map_err(|e| e.to_string())? {
            self.marked = Some(now);
            self.shared.set_trouble(None);
            self.shared.changed.notify_one();
        } else {
            // Too few cosigned, or the clock of those who did stood still.
            self.not_before = now + RETRY;
        }
        Ok(())
    }
}

/// The head with the cosignatures of the policy's witnesses that can be reached.
///
/// Errors: too few of them cosigned.
async fn gather(
    shared: Arc<Shared>,
    sizes: Arc<Mutex<BTreeMap<Option<PeerId>, u64>>>,
    mut head: SignedCheckpoint,
) -> Result<SignedCheckpoint, String> {
    let policies = Shared::blocking(&shared.replica, |replica| replica.policies()).await;
    let policies = policies.map_err(|e| e.to_string())?;
    let mut witnesses: Vec<VerifierKey> = Vec::new();
    for witness in policies.iter().flat_map(Policy::witnesses) {
        if !witnesses.contains(witness) {
            witnesses.push(witness.clone());
        }
    }
    let has_enough = |head: &SignedCheckpoint| {
        policies.iter().any(|policy| policy.witnessed(head).is_ok_and(|found| found.holds()))
    };
    let mut asking = JoinSet::new();
    for (witness, peer) in claimants(&shared, &witnesses) {
        let (shared, sizes, head) = (shared.clone(), sizes.clone(), head.clone());
        asking.spawn(async move {
            let line = timeout(WITNESS_TIME, cosign(&shared, &sizes, peer, &witness, &head)).await;
            line.unwrap_or_default()
        });
    }
    let mut enough = None;
    loop {
        let left =
            enough.map_or(WITNESS_TIME, |at: Instant| OTHERS_TIME.saturating_sub(at.elapsed()));
        let Ok(Some(answer)) = timeout(left, asking.join_next()).await else { break };
        let Ok(Some(line)) = answer else { continue };
        // A second line of one witness would only make the note longer.
        let known = |l: &NoteSignature| (l.name(), l.key_id()) == (line.name(), line.key_id());
        if !head.note().signatures().iter().any(known) {
            head.add(line).map_err(|e| e.to_string())?;
        }
        if has_enough(&head) {
            enough.get_or_insert_with(Instant::now);
        }
    }
    if has_enough(&head) {
        return Ok(head);
    }
    let count =
        |policy: &Policy| policy.witnesses().iter().filter(|w| is_cosigned(&head, w)).count();
    let lacking: Vec<String> = policies
        .iter()
        .map(|policy| format!("{} of {} witnesses", count(policy), policy.threshold()))
        .collect();
    Err(format!("{} cosigned the head", lacking.join(", and of those to come ")))
}

/// Who says that it has a witness's key: this member itself (none) or linked ones. Anybody can say
/// so, so all are asked at once, and what holds is the witness's.
fn claimants(shared: &Shared, witnesses: &[VerifierKey]) -> Vec<(VerifierKey, Option<PeerId>)> {
    let own = shared.server.witness().map(Identity::id);
    let linked = shared.witnesses.lock().expect("no holder of this lock panics");
    let named = linked.iter().map(|(peer, name)| (Some(*peer), name.key));
    let all: Vec<_> = own.iter().map(|key| (None, *key)).chain(named).collect();
    let of = |witness: &VerifierKey| {
        let claims = all.iter().filter(|(_, key)| *key == witness.key());
        claims.map(|(peer, _)| (witness.clone(), *peer)).collect::<Vec<_>>()
    };
    witnesses.iter().flat_map(of).collect()
}

/// Asks `peer` for the cosignature of `witness`; `None` where what it answers does not hold.
async fn cosign(
    shared: &Shared,
    sizes: &Mutex<BTreeMap<Option<PeerId>, u64>>,
    peer: Option<PeerId>,
    witness: &VerifierKey,
    head: &SignedCheckpoint,
) -> Option<NoteSignature> {
    let size_of = || sizes.lock().expect("no holder of this lock panics").get(&peer).copied();
    let note = |size| sizes.lock().expect("no holder of this lock panics").insert(peer, size);
    for _ in 0..MAX_TRIES {
        let size = match request(shared, peer, size_of().unwrap_or(0), head).await? {
            Response::Cosigned(lines) => {
                note(head.checkpoint().size);
                return lines.into_iter().find(|line| holds(line, witness, head));
            }
            Response::Conflict { size } => size,
            other => {
                let body = other.body();
                let said = Plain(body.trim_end());
                tracing::debug!("witness {}: {said}", Plain(witness.name()));
                return None;
            }
        };
        if size > head.checkpoint().size {
            tracing::warn!(
                "witness {} has seen {size} statements, more than are here",
                Plain(witness.name())
            );
            return None;
        }
        note(size);
        sleep(Duration::from_millis(1)).await;
    }
    None
}

/// Whether a line is the cosignature of `witness` on `head`.
fn holds(line: &NoteSignature, witness: &VerifierKey, head: &SignedCheckpoint) -> bool {
    let mut with = head.clone();
    (line.name(), line.key_id()) == (witness.name(), witness.id())
        && with.add(line.clone()).is_ok()
        && is_cosigned(&with, witness)
}

async fn request(
    shared: &Shared,
    peer: Option<PeerId>,
    old: u64,
    head: &SignedCheckpoint,
) -> Option<Response> {
    let head = head.clone();
    let make = move |replica: &super::replica::Replica| replica.cosign_request(old, &head);
    let body = Shared::blocking(&shared.replica, make).await;
    let body = body.inspect_err(|e| tracing::warn!("asking a witness: {e}")).ok()?.into_bytes();
    let Some(peer) = peer else {
        let witness = shared.server.witness()?.clone();
        let work =
            move |replica: &super::replica::Replica| replica.cosign(&witness, &body, unix_time());
        return Shared::blocking(&shared.replica, work).await.ok();
    };
    let connection = shared.mesh.connection(peer)?;
    let answer = ask(&connection, &Request::Cosign(body)).await;
    let answer = answer.inspect_err(|e| tracing::debug!("asking a witness: {}", Plain(e))).ok()?;
    let (status, body) = answer.split_first_chunk::<2>()?;
    Response::parse(u16::from_le_bytes(*status), body).ok()
}
