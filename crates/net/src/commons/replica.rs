//! A member's log, as the network uses it. Every call opens the log's file, does one thing and
//! closes it, because commands use it too; the state that follows from the log stays in memory.

use super::{
    heads::{is_cosigned, leading_on, tidy, witnesses},
    intake::{Gate, Intake, Origin},
    waiting::Waiting,
    wire::{Growth, News, RangeRequest},
};
use commons::{
    Archive, ArchiveError, Home, HomeError, Snapshot, StateCache, Statement,
    cosigner::{CosignError, Cosigned, Cosigner},
    follow::{self, FollowError, RangeProof},
    operator::{self, Batch, OperatorError},
    portable,
    state::{ReplayError, State},
    statement::{Check, Evidence, MAX_STATEMENT, Subject, Verdict},
};
use ids::{Hash, Identity, PeerId};
use std::{
    fs,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};
use tlog::{
    AddCheckpoint, Checkpoint, KeyName, Policy, Response, SignedCheckpoint, SplitProof,
    consistency_proof,
};

/// Why something could not be done with the log here.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The commons' folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The log.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// What a peer sent does not continue the log.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// Operating the log.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A statement about a split view cannot be written.
    #[error(transparent)]
    Author(#[from] commons::author::AuthorError),
    /// A witness cannot answer.
    #[error(transparent)]
    Cosign(#[from] CosignError),
    /// A proof cannot be made.
    #[error("the log's tree: {0}")]
    Tree(String),
}

impl ReplicaError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Home(error) => error.todo(),
            _ => None,
        }
    }
}

/// What a head asks of a member who is shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It is here, or leads nowhere.
    Nothing,
    /// Statements from `first` on.
    On {
        /// The first that is lacking here.
        first: u64,
        /// Who signed the head.
        signed: SignedBy,
    },
    /// It contradicts what is here.
    Apart,
}

/// Who signed a head, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedBy {
    /// The log's operator.
    Operator,
    /// Somebody else: whether the log was handed over shows only once the statements are all here.
    Other,
}

/// What there is to do for the holder of an operator's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperatorTask {
    /// Another operates the log.
    None,
    /// Another does, but what waits names this key.
    TakeOver,
    /// It is this key's log.
    Operate {
        /// Whether statements wait for their place.
        waits: bool,
        /// Whether there are some that no mark covers.
        unmarked: bool,
    },
}

/// Where the log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub news: News,
    pub waiting: usize,
    pub operator: PeerId,
    pub splits: usize,
    /// When the newest mark was.
    pub time: u64,
    /// Digest of the charter in force.
    pub charter: Hash,
}

/// One member's log.
pub(crate) struct Replica {
    home: Home,
    id: Hash,
    genesis: Statement,
    size: AtomicU64,
    memory: Mutex<Memory>,
    /// What strangers say is let in by, where this member operates the log.
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Memory {
    state: StateCache,
    waiting: Option<Waiting>,
    /// When the file was last changed, as far as this process has seen.
    stamp: Option<SystemTime>,
}

type Result<T> = std::result::Result<T, ReplicaError>;

impl Replica {
    /// Reads the commons in a folder.
    ///
    /// Errors: the log, or one that it was forked from, is missing or damaged.
    pub fn open(home: Home) -> Result<Self> {
        Self::with_intake(home, Intake::default())
    }

    /// [`Self::open`] with a policy of one's own for strangers' statements.
    pub fn with_intake(home: Home, intake: Intake) -> Result<Self> {
        let archive = home.archive()?;
        let genesis = archive.genesis().clone();
        let id = archive.id();
        drop(archive);
        let gate = Mutex::new(Gate::new(intake, Instant::now()));
        let (size, memory) = (AtomicU64::new(0), Mutex::default());
        let replica = Self { home, id, genesis, size, memory, gate };
        replica.with(|_, _, _| Ok(()))?;
        Ok(replica)
    }

    /// The commons' id.
    pub fn id(&self) -> Hash {
        self.id
    }

    /// The folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Whether another process may have changed the log since it was last looked at.
    pub fn is_touched(&self) -> bool {
        self.stamp() != self.memory().stamp
    }

    /// How long the log was when it was last looked at: without waiting for the file.
    pub fn last_size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// Where the log stands.
    pub fn summary(&self) -> Result<Summary> {
        self.with(|archive, state, waiting| {
            let log = archive.snapshot()?;
            let covered = log.latest_checkpoint()?.map_or(0, |c| c.checkpoint().size);
            let waiting = waiting.fresh(&log)?;
            let news = News { size: log.size(), covered, pending: waiting.digest() };
            let operator = state.operator();
            let (waiting, splits) = (waiting.len(), state.splits.len());
            let (time, charter) = (state.now(), state.charter);
            Ok(Summary { news, waiting, operator, splits, time, charter })
        })
    }

    /// The heads that lead on from a log of `above` statements.
    pub fn heads(&self, above: u64, most: usize) -> Result<Vec<SignedCheckpoint>> {
        self.with(|archive, state, _| Ok(leading_on(&archive.snapshot()?, state, above, most)?))
    }

    /// The genesis of this commons or of an ancestor; `None` for another.
    pub fn genesis(&self, id: &Hash) -> Result<Option<Vec<u8>>> {
        if *id == self.id {
            return Ok(Some(self.genesis.bytes().to_vec()));
        }
        let _one = self.memory();
        match self.home.ancestor(id) {
            Ok(archive) => Ok(Some(archive.genesis().bytes().to_vec())),
            Err(HomeError::Ancestor { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// A range of this log or of an ancestor's; `None` where it is not here.
    pub fn range(&self, request: &RangeRequest) -> Result<Option<RangeProof>> {
        if request.log == self.id {
            return self.with(|archive, _, _| slice(&archive.snapshot()?, request));
        }
        let _one = self.memory();
        match self.home.ancestor(&request.log) {
            Ok(archive) => slice(&archive.snapshot()?, request),
            Err(HomeError::Ancestor { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// How the log grew from one size to another; `None` where it has not.
    pub fn growth(&self, old: u64, new: u64) -> Result<Option<Growth>> {
        self.with(|archive, _, _| {
            let log = archive.snapshot()?;
            if old > new || new > log.size() {
                return Ok(None);
            }
            let proof = consistency_proof(old, new, &log).map_err(tree)?;
            Ok(Some(Growth { root: log.root_at(old)?, proof }))
        })
    }

    /// What waits, by hash.
    pub fn waiting(&self) -> Result<Vec<Hash>> {
        self.with(|archive, _, waiting| Ok(waiting.fresh(&archive.snapshot()?)?.hashes()))
    }

    /// Those of `hashes` that are neither waiting nor in the log nor were refused lately.
    pub fn lacking(&self, hashes: &[Hash]) -> Result<Vec<Hash>> {
        self.with(|archive, _, waiting| {
            let log = archive.snapshot()?;
            let waiting = waiting.fresh(&log)?;
            let mut lacking = Vec::new();
            for hash in hashes {
                if !waiting.knows(hash) && log.place(hash)?.is_none() {
                    lacking.push(*hash);
                }
            }
            Ok(lacking)
        })
    }

    /// Those of `hashes` that wait or are in the log, up to `most` bytes of them.
    pub fn statements(&self, hashes: &[Hash], most: usize) -> Result<Vec<Vec<u8>>> {
        self.with(|archive, _, waiting| {
            let log = archive.snapshot()?;
            let waiting = waiting.fresh(&log)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            for hash in hashes {
                let one = match (waiting.bytes(hash), log.place(hash)?) {
                    (Some(bytes), _) => bytes.to_vec(),
                    (None, Some(index)) => log.entry(index)?,
                    (None, None) => continue,
                };
                bytes += one.len();
                if bytes > most {
                    break;
                }
                found.push(one);
            }
            Ok(found)
        })
    }

    /// Takes statements that shall wait for their place. For each, why it was not taken.
    /// Their signatures are the caller's to have checked.
    pub fn submit(
        &self,
        from: Option<Origin>,
        statements: &[Statement],
    ) -> Result<Vec<Option<String>>> {
        self.with(|archive, state, waiting| {
            let log = archive.snapshot()?;
            let waiting = waiting.fresh(&log)?;
            let (mut reasons, mut taken) = (vec![None; statements.len()], Vec::new());
            // Each after what it follows.
            let mut order: Vec<usize> = (0..statements.len()).collect();
            order.sort_by_key(|at| statements[*at].seq);
            for at in order {
                let statement = &statements[at];
                let known = log.place(&statement.hash())?.is_some();
                let outcome = if known { Ok(false) } else { waiting.admit(state, statement, from) };
                if let Ok(true) = outcome {
                    taken.push(statement.clone());
                }
                reasons[at] = outcome.err();
            }
            drop(log);
            if !taken.is_empty()
                && let Err(e) = archive.hold_all(&taken)
            {
                waiting.forget();
                return Err(e.into());
            }
            Ok(reasons)
        })
    }

    /// What to do about a head that a peer shows. A head whose statements are here is kept, with
    /// the cosignatures that are new.
    ///
    /// Errors: [`FollowError::Foreign`] for another log's.
    pub fn consider(&self, head: &SignedCheckpoint) -> Result<Lead> {
        self.with(|archive, state, _| {
            let log = archive.snapshot()?;
            let size = head.checkpoint().size;
            match follow::check_head(&log, state, head) {
                _ if size == 0 => Ok(Lead::Nothing),
                Ok(()) if size <= log.size() => {
                    keep_news(archive, log, state, head)?;
                    Ok(Lead::Nothing)
                }
                Ok(()) => Ok(Lead::On { first: log.size(), signed: SignedBy::Operator }),
                Err(FollowError::Unsigned { .. }) if size > log.size() => {
                    Ok(Lead::On { first: log.size(), signed: SignedBy::Other })
                }
                Err(FollowError::Unsigned { .. }) => Ok(Lead::Nothing),
                Err(FollowError::Split { .. }) => Ok(Lead::Apart),
                Err(e) => Err(e.into()),
            }
        })
    }

    /// Takes a range in that leads to `head`, as [`Self::consider`] said.
    ///
    /// Errors: [`FollowError`] says what is wrong with it.
    pub fn take(
        &self,
        range: &RangeProof,
        head: &SignedCheckpoint,
        signed: SignedBy,
    ) -> Result<()> {
        let mut memory = self.memory();
        let archive = self.home.archive()?;
        let mut state = self.current(&archive, &mut memory)?;
        let head = tidy(head, &state, None);
        let taken = match signed {
            SignedBy::Operator => follow::take_in(&archive, &mut state, range, &head),
            SignedBy::Other => {
                follow::take_hand_over(&archive, &state, range, &head).map(|next| state = next)
            }
        };
        let untouched = match &taken {
            Ok(()) => true,
            // Refused before the state was touched; after other errors it is read anew.
            Err(
                FollowError::Proof(_) | FollowError::Range { .. } | FollowError::Statement { .. },
            ) => true,
            Err(FollowError::Unsigned { .. }) => signed == SignedBy::Other,
            Err(_) => false,
        };
        if taken.is_ok() {
            drop_hopeless(&archive, &state, memory.waiting.get_or_insert_default())?;
        }
        if untouched {
            self.remember(archive, memory, state)?;
        }
        Ok(taken?)
    }

    /// Makes room for a head that what is here does not lead to: statements beyond the newest head
    /// are forgotten; heads that too few witnesses cosigned, where that one has enough, are taken
    /// back with their statements, which wait again. Whether anything went.
    ///
    /// Of two histories enough witnesses cosign one at most, so what they have seen never goes.
    pub fn give_way(&self, head: &SignedCheckpoint) -> Result<bool> {
        self.with(|archive, state, waiting| {
            let log = archive.snapshot()?;
            let covered = log.latest_checkpoint()?.map_or(1, |c| c.checkpoint().size);
            if covered < log.size() {
                drop(log);
                archive.cut_back()?;
            } else {
                let holds = |c: &SignedCheckpoint| state.is_witnessed(c);
                let seen = last_seen(&log, state, holds)?;
                if seen >= covered || !holds(head) {
                    return Ok(false);
                }
                drop(log);
                tracing::warn!("heads beyond size {seen} give way to what witnesses have seen");
                archive.roll_back(seen)?;
            }
            waiting.forget();
            *state = self.home.state(&archive.snapshot()?)?;
            Ok(true)
        })
    }

    /// The newest checkpoint, and whether there are statements beyond it.
    pub fn newest(&self) -> Result<Option<(SignedCheckpoint, bool)>> {
        self.with(|archive, _, _| {
            let log = archive.snapshot()?;
            let newest = log.latest_checkpoint()?;
            Ok(newest.map(|head| (head.clone(), head.checkpoint().size < log.size())))
        })
    }

    /// Proves that `head` is of another history than what is here, where the log's operator signed
    /// both; `growth` is how whoever showed the head says that it came from the size of the newest
    /// checkpoint here.
    pub fn contradiction(
        &self,
        head: &SignedCheckpoint,
        growth: Option<Growth>,
    ) -> Result<Option<SplitProof>> {
        self.with(|archive, state, _| {
            let log = archive.snapshot()?;
            let checkpoint = head.checkpoint();
            let key = state.log_key_at(checkpoint.size);
            let Some(newest) = log.latest_checkpoint()? else { return Ok(None) };
            if newest.checkpoint().size >= checkpoint.size {
                return Ok(portable::contradiction(&log, state, head)?);
            }
            let Some(growth) = growth else { return Ok(None) };
            let keys = std::slice::from_ref(&key);
            let proof = SplitProof {
                a: newest.only(keys),
                b: head.only(keys),
                root_at_a: Some(growth.root),
                proof: growth.proof,
            };
            Ok(proof.verify(keys).is_ok().then_some(proof))
        })
    }

    /// Keeps a proof of two histories as a file, and says so in the log if a member's key is at
    /// hand. Whether it was news.
    pub fn keep_split(&self, split: &SplitProof, member: Option<&Identity>) -> Result<bool> {
        if !self.home.keep_split(split)? {
            return Ok(false);
        }
        if let Some(member) = member {
            let evidence = Evidence::TwoHistories(split.to_bytes());
            let check = Check { subject: Subject::Log, verdict: Verdict::Equivocation, evidence };
            self.with(|archive, state, _| Ok(archive.write(state, member, check)?))?;
        }
        Ok(true)
    }

    /// Answers a request for a cosignature; what the witness promises is on disk before.
    pub fn cosign(&self, witness: &Identity, request: &[u8], now: u64) -> Result<Response> {
        let answer = self.with(|archive, state, _| {
            let Some(cosigner) = Cosigner::of(archive, state, witness) else { return Ok(None) };
            Ok(Some(cosigner.answer(state, request, now)?))
        })?;
        let Some(Cosigned { response, split }) = answer else { return Ok(Response::UnknownLog) };
        if let Some(split) = split {
            self.keep_split(&split, None)?;
        }
        Ok(response)
    }

    /// How the members named a key as a witness, in force or to come.
    pub fn witness_name(&self, key: &PeerId) -> Result<Option<KeyName>> {
        self.with(|_, state, _| Ok(state.witness_name(key)))
    }

    /// The policy in force, and that of the witnesses to come.
    pub fn policies(&self) -> Result<Vec<Policy>> {
        self.with(|_, state, _| Ok(state.policies().collect()))
    }

    /// Gives what waits its place. `None` if `operator` does not operate the log, and what waits
    /// does not hand it over; or if it has signed a longer log than is here yet.
    pub fn integrate(&self, operator: &Identity) -> Result<Option<Batch>> {
        self.with_gate(|archive, state, waiting, gate| {
            let log = archive.snapshot()?;
            let waiting = waiting.fresh(&log)?;
            let may = if state.operator() == operator.id() {
                // Beyond the newest head are only the first of the statements under one that comes.
                log.latest_checkpoint()?.is_some_and(|c| c.checkpoint().size == log.size())
            } else {
                waiting.names_operator(&operator.id())
            };
            drop(log);
            if !may {
                return Ok(None);
            }
            let mut admit = |s: &Statement| gate.lets_in(s, waiting.origin(s));
            let batch = match operator::integrate_some(archive, state, operator, &mut admit) {
                Err(OperatorError::NotOperator(_)) => None,
                batch => Some(batch?),
            };
            for (hash, _) in batch.iter().flat_map(|batch| &batch.refused) {
                waiting.refuse(*hash);
            }
            waiting.forget();
            Ok(batch)
        })
    }

    /// What there is to do for the holder of an operator's key.
    pub fn operator_task(&self, key: &PeerId) -> Result<OperatorTask> {
        self.with(|archive, state, waiting| {
            let waiting = waiting.fresh(&archive.snapshot()?)?;
            if state.operator() != *key {
                let named = waiting.names_operator(key);
                return Ok(if named { OperatorTask::TakeOver } else { OperatorTask::None });
            }
            // The mark itself comes after what it covers.
            let unmarked = state.newest_mark().is_none_or(|mark| state.size > mark.size + 1);
            Ok(OperatorTask::Operate { waits: waiting.len() > 0, unmarked })
        })
    }

    /// A newly signed head of the log as it is; `None` if `operator` does not operate it.
    pub fn fresh_head(&self, operator: &Identity) -> Result<Option<SignedCheckpoint>> {
        self.with(|archive, state, _| {
            if state.operator() != operator.id() {
                return Ok(None);
            }
            let log = archive.snapshot()?;
            let head = Checkpoint::new(archive.origin(), log.size(), log.root_at(log.size())?);
            Ok(Some(head.sign(operator).map_err(OperatorError::from)?))
        })
    }

    /// The request to cosign `head` for a witness that cosigned size `old` last.
    pub fn cosign_request(&self, old: u64, head: &SignedCheckpoint) -> Result<String> {
        self.with(|archive, _, _| {
            let request = AddCheckpoint::new(old, head.clone(), &archive.snapshot()?);
            Ok(request.map_err(tree)?.to_string())
        })
    }

    /// Keeps a cosigned head, and enters it as a mark if enough witnesses cosigned, with whatever
    /// else waits. Whether there is a new mark.
    pub fn mark(&self, operator: &Identity, head: &SignedCheckpoint) -> Result<bool> {
        self.with_gate(|archive, state, waiting, gate| {
            keep_news(archive, archive.snapshot()?, state, head)?;
            let written = operator::mark(archive, state, operator, head)?.is_some();
            if written {
                let waiting = waiting.fresh(&archive.snapshot()?)?;
                let mut admit = |s: &Statement| gate.lets_in(s, waiting.origin(s));
                operator::integrate_some(archive, state, operator, &mut admit)?;
                waiting.forget();
            }
            Ok(written)
        })
    }

    /// [`Self::with`] for what an operator does.
    pub(super) fn with_gate<T>(
        &self,
        work: impl FnOnce(&Archive, &mut State, &mut Waiting, &mut Gate) -> Result<T>,
    ) -> Result<T> {
        let mut gate = self.gate.lock().expect("no holder of this lock panics");
        self.with(|archive, state, waiting| work(archive, state, waiting, &mut gate))
    }

    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Archive, &mut State, &mut Waiting) -> Result<T>,
    ) -> Result<T> {
        let mut memory = self.memory();
        let archive = self.home.archive()?;
        let mut state = self.current(&archive, &mut memory)?;
        let mut waiting = memory.waiting.take().unwrap_or_default();
        let result = work(&archive, &mut state, &mut waiting);
        memory.waiting = Some(waiting);
        self.remember(archive, memory, state)?;
        result
    }

    /// The state of the log as it is on disk.
    fn current(&self, archive: &Archive, memory: &mut Memory) -> Result<State> {
        let state = memory.state.take(&self.home, &archive.snapshot()?)?;
        state.check_version().map_err(ReplayError::from)?;
        Ok(state)
    }

    fn remember(
        &self,
        archive: Archive,
        mut memory: MutexGuard<'_, Memory>,
        state: State,
    ) -> Result<()> {
        self.size.store(state.size, Relaxed);
        memory.state.keep(state, &archive.snapshot()?)?;
        // Closing writes too. What another process changes right after shows at the next look.
        drop(archive);
        memory.stamp = self.stamp();
        Ok(())
    }

    fn stamp(&self) -> Option<SystemTime> {
        fs::metadata(self.home.dir().join("log.redb")).and_then(|m| m.modified()).ok()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no holder of this lock panics")
    }
}

/// The size up to which enough witnesses have seen the log.
fn last_seen(
    log: &Snapshot,
    state: &State,
    holds: impl Fn(&SignedCheckpoint) -> bool,
) -> Result<u64> {
    let marked = state.newest_mark().map_or(1, |mark| mark.size);
    let mut size = log.size();
    while size > marked {
        let Some(head) = log.checkpoint_before(size)? else { break };
        if holds(&head) {
            return Ok(head.checkpoint().size.max(marked));
        }
        size = head.checkpoint().size.saturating_sub(1);
    }
    Ok(marked)
}

/// Forgets what can have no place any more, as the operator does.
fn drop_hopeless(archive: &Archive, state: &State, waiting: &mut Waiting) -> Result<()> {
    waiting.forget();
    let hopeless = waiting.fresh(&archive.snapshot()?)?.hopeless(state);
    if !hopeless.is_empty() {
        archive.drop_pending(&hopeless)?;
        hopeless.into_iter().for_each(|hash| waiting.refuse(hash));
        waiting.forget();
    }
    Ok(())
}

/// Keeps a head of a size that the log has, if it or a cosignature on it is new.
fn keep_news(
    archive: &Archive,
    log: Snapshot,
    state: &State,
    head: &SignedCheckpoint,
) -> Result<()> {
    let size = head.checkpoint().size;
    let known = log.checkpoint_from(size)?.filter(|c| c.checkpoint().size == size);
    drop(log);
    let tidy = tidy(head, state, known.as_ref());
    let cosigned = witnesses(state).iter().any(|w| is_cosigned(&tidy, w));
    if state.is_signed(&tidy) && (known.is_none() || cosigned) {
        archive.keep_checkpoint(&tidy)?;
    }
    Ok(())
}

fn slice(log: &Snapshot, request: &RangeRequest) -> Result<Option<RangeProof>> {
    let (first, head) = (request.first, request.head);
    if first >= head || head > log.size() {
        return Ok(None);
    }
    let most = (request.most as usize).max(MAX_STATEMENT);
    Ok(Some(follow::range(log, first, head, most)?))
}

fn tree(error: impl std::fmt::Display) -> ReplicaError {
    ReplicaError::Tree(error.to_string())
}
