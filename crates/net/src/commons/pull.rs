//! Getting from a member what is lacking here: heads, the statements that lead to them, and what
//! waits. Whatever comes is checked; who sends what does not hold is a liar.

use super::{
    client::{AskError, ask},
    intake::{Network, Origin},
    replica::{Lead, Replica, ReplicaError, SignedBy},
    wire::{
        GrowthRequest, HeadAnswer, HeadRequest, MAX_STATEMENTS, RangeRequest, Request, WitnessName,
        decode_growth, decode_list, decode_range,
    },
};
use commons::{
    ArchiveError, Statement,
    follow::{FollowError, MAX_RANGE, MAX_RANGE_BYTES, RangeProof},
    receipt::Receipt,
    statement::MAX_STATEMENT,
};
use ids::{Hash, Identity, PeerId};
use iroh::endpoint::Connection;
use minicbor::bytes::ByteVec;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tlog::SignedCheckpoint;
use tokio::task::spawn_blocking;

/// Bytes of a first range, and of the smallest that a slow peer is asked for.
const FIRST_RANGE: u32 = 1 << 20;
const LEAST_RANGE: u32 = 64 << 10;
/// A range that takes longer is followed by a smaller one.
const LONG: Duration = Duration::from_secs(5);

/// What came of asking one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// Statements that the log grew by.
    pub statements: u64,
    /// Whether anything is new here: also a head of a size that was here already.
    pub news: bool,
    /// Statements that wait now and did not before.
    pub waiting: usize,
    /// How the member is named as a witness.
    pub witness: Option<WitnessName>,
    /// It shows another history of this log; whether the proof was news.
    pub split: Option<bool>,
    /// It showed a head that nobody in charge of the log signed.
    pub stray: bool,
}

/// Pulls from one member at a time.
pub(crate) struct Puller {
    replica: Arc<Replica>,
    /// Signs what is said about a split view.
    member: Option<Identity>,
    /// One at a time gets statements: two would get the same ones.
    following: tokio::sync::Mutex<()>,
}

impl Puller {
    /// A puller into one log.
    pub fn new(replica: Arc<Replica>, member: Option<Identity>) -> Self {
        Self { replica, member, following: tokio::sync::Mutex::default() }
    }

    /// Asks one member for all that is lacking here.
    ///
    /// Errors: [`AskError`]; what was taken in before stays.
    pub async fn pull(&self, peer: PeerId, connection: &Connection) -> Result<Pulled, AskError> {
        let mut pulled = Pulled::default();
        let before = self.here(|replica| replica.summary()).await?;
        let above = before.news.covered;
        let body = ask(connection, &Request::Head(HeadRequest { above })).await?;
        let answer = HeadAnswer::decode(&body)?;
        pulled.witness = answer.witness;
        let mut last = 0;
        for note in &answer.heads {
            let head = SignedCheckpoint::parse(note.as_bytes())
                .map_err(|e| AskError::Lie(e.to_string()))?;
            if head.checkpoint().size < last {
                return Err(AskError::Lie("heads out of order".to_owned()));
            }
            last = head.checkpoint().size;
            self.follow(connection, head, &mut pulled).await?;
        }
        if answer.pending != self.here(|replica| replica.summary()).await?.news.pending {
            pulled.waiting = self.pull_waiting(peer, connection).await?;
        }
        self.pull_receipts(connection).await?;
        let after = self.here(|replica| replica.summary()).await?;
        pulled.statements = after.news.size.saturating_sub(before.news.size);
        pulled.news = after.news != before.news;
        Ok(pulled)
    }

    /// Follows one head as far as it leads.
    async fn follow(
        &self,
        connection: &Connection,
        head: SignedCheckpoint,
        pulled: &mut Pulled,
    ) -> Result<(), AskError> {
        let _one = self.following.lock().await;
        let head = Arc::new(head);
        let mut most = FIRST_RANGE;
        loop {
            let shown = head.clone();
            let lead = self.here(move |replica| replica.consider(&shown)).await;
            let (first, signed) = match lead.map_err(blame)? {
                Lead::Nothing => return Ok(()),
                Lead::Apart => {
                    self.apart(connection, &head, pulled).await?;
                    if self.give_way(&head).await? {
                        continue;
                    }
                    return Ok(());
                }
                Lead::On { first, signed } => (first, signed),
            };
            let size = head.checkpoint().size;
            let whole = MAX_RANGE_BYTES as u32;
            let hand_over = signed == SignedBy::Other;
            let most_now = if hand_over { whole } else { most };
            let log = self.replica.id();
            let request = Request::Range(RangeRequest { log, first, head: size, most: most_now });
            let began = Instant::now();
            let body = match ask(connection, &request).await {
                Err(AskError::Slow) if most > LEAST_RANGE && !hand_over => {
                    most = LEAST_RANGE;
                    continue;
                }
                body => body?,
            };
            // Who sends slowly is asked for less at a time, so that others have their turn.
            let slow = began.elapsed() > LONG;
            most = if slow { (most / 4).max(LEAST_RANGE) } else { (most * 2).min(whole) };
            let shown = head.clone();
            let taken = self
                .here(move |replica| -> Result<_, TakeError> {
                    let range = decode_range(&body).map_err(|e| TakeError::Lie(e.to_string()))?;
                    if is_scanty(&range, size, most_now) {
                        return Err(TakeError::Lie("a range with less than fits".to_owned()));
                    }
                    Ok(replica.take(&range, &shown, signed)?)
                })
                .await;
            match taken {
                Ok(()) => {}
                Err(TakeError::Lie(why)) => return Err(AskError::Lie(why)),
                // What leads to a head that nobody in charge signed is not taken; an honest
                // member can have been shown it.
                Err(TakeError::Here(ReplicaError::Follow(
                    FollowError::Unsigned { .. }
                    | FollowError::Range { .. }
                    | FollowError::Proof(_),
                ))) if hand_over => {
                    pulled.stray = true;
                    return Ok(());
                }
                Err(TakeError::Here(ReplicaError::Follow(e @ FollowError::Proof(_)))) => {
                    return self.unfit(connection, &head, pulled, e).await;
                }
                Err(TakeError::Here(e)) => return Err(blame(e)),
            }
        }
    }

    /// A range did not lead to the head: a lie, unless what is here is of another history.
    async fn unfit(
        &self,
        connection: &Connection,
        head: &Arc<SignedCheckpoint>,
        pulled: &mut Pulled,
        error: FollowError,
    ) -> Result<(), AskError> {
        self.apart(connection, head, pulled).await?;
        // The next try begins at what stays.
        let gave_way = self.give_way(head).await?;
        match pulled.split {
            Some(_) => Ok(()),
            None if gave_way => Err(AskError::Gone("what was here did not lead to its head")),
            None => Err(AskError::Lie(error.to_string())),
        }
    }

    async fn give_way(&self, head: &Arc<SignedCheckpoint>) -> Result<bool, ReplicaError> {
        let shown = head.clone();
        self.here(move |replica| replica.give_way(&shown)).await
    }

    /// Proves that the head is of another history, if it is.
    async fn apart(
        &self,
        connection: &Connection,
        head: &Arc<SignedCheckpoint>,
        pulled: &mut Pulled,
    ) -> Result<(), AskError> {
        let Some((ours, _)) = self.here(|replica| replica.newest()).await? else { return Ok(()) };
        let (old, new) = (ours.checkpoint().size, head.checkpoint().size);
        let growth = if old < new {
            let body = ask(connection, &Request::Growth(GrowthRequest { old, new })).await?;
            Some(decode_growth(&body)?)
        } else {
            None
        };
        let (shown, member) = (head.clone(), self.member.clone());
        let kept = self
            .here(move |replica| -> Result<_, ReplicaError> {
                match replica.contradiction(&shown, growth)? {
                    Some(proof) => replica.keep_split(&proof, member.as_ref()).map(Some),
                    None => Ok(None),
                }
            })
            .await?;
        if let Some(true) = kept {
            tracing::warn!("the log's operator signed two histories: the proof is kept");
        }
        pulled.split = pulled.split.or(kept);
        Ok(())
    }

    /// Gets statements that wait there and not here.
    async fn pull_waiting(&self, peer: PeerId, connection: &Connection) -> Result<usize, AskError> {
        let from = Origin { peer, network: Network::of_connection(connection) };
        let body = ask(connection, &Request::Pending).await?;
        let most = commons::MAX_PENDING as usize;
        let hashes: Vec<Hash> = decode_list("a list of what waits", &body, most)?;
        let lacking = self.here(move |replica| replica.lacking(&hashes)).await?;
        let mut taken = 0;
        for part in lacking.chunks(MAX_STATEMENTS) {
            let mut part = part.to_vec();
            while !part.is_empty() {
                let body = ask(connection, &Request::Statements(part.clone())).await?;
                let bytes: Vec<ByteVec> = decode_list("statements", &body, part.len())?;
                if bytes.is_empty() {
                    // They got their place, or were dropped, since they were listed.
                    break;
                }
                let log = self.replica.id();
                let asked = std::mem::take(&mut part);
                let (came, reasons, left) = self
                    .here(move |replica| -> Result<_, TakeError> {
                        let statements = parse(&bytes, &asked, &log)?;
                        let reasons = replica.submit(Some(from), &statements)?;
                        let got: Vec<Hash> = statements.iter().map(Statement::hash).collect();
                        let last = asked.iter().rposition(|h| got.contains(h)).unwrap_or(0);
                        Ok((got.len(), reasons, asked[last + 1..].to_vec()))
                    })
                    .await
                    .map_err(|e| match e {
                        TakeError::Lie(why) => AskError::Lie(why),
                        TakeError::Here(e) => blame(e),
                    })?;
                part = left;
                taken += came - reasons.iter().flatten().count();
            }
        }
        Ok(taken)
    }

    /// Asks whether what waits here has reached the operator: receipts are its word for it.
    pub async fn pull_receipts(&self, connection: &Connection) -> Result<(), AskError> {
        let lacking = self.here(|replica| replica.unreceipted(MAX_STATEMENTS)).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        let body = ask(connection, &Request::Receipts(lacking.clone())).await?;
        let bytes: Vec<ByteVec> = decode_list("receipts", &body, lacking.len())?;
        let mut receipts = Vec::with_capacity(bytes.len());
        for bytes in &bytes {
            let receipt = Receipt::parse(bytes).map_err(|e| AskError::Lie(e.to_string()))?;
            if !lacking.contains(&receipt.statement) {
                return Err(AskError::Lie("a receipt that was not asked for".to_owned()));
            }
            receipts.push(receipt);
        }
        self.here(move |replica| replica.keep_receipts(&receipts)).await?;
        Ok(())
    }

    /// Works on the log, where waiting for the disk holds up nobody.
    async fn here<T, E>(
        &self,
        work: impl FnOnce(&Replica) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let replica = self.replica.clone();
        spawn_blocking(move || work(&replica)).await.expect("work on the log does not panic")
    }
}

/// Why something that came was not taken in.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error("{0}")]
    Lie(String),
    #[error(transparent)]
    Here(#[from] ReplicaError),
}

/// Whether more statements would have fitted: who sends them one by one keeps others waiting.
fn is_scanty(range: &RangeProof, head: u64, most: u32) -> bool {
    let bytes: usize = range.entries.iter().map(|e| e.len()).sum();
    let reached = range.first.saturating_add(range.entries.len() as u64);
    reached < head && range.entries.len() < MAX_RANGE && bytes + MAX_STATEMENT < most as usize
}

/// Statements that were asked for, and nothing else.
fn parse(bytes: &[ByteVec], asked: &[Hash], log: &Hash) -> Result<Vec<Statement>, TakeError> {
    let mut statements = Vec::with_capacity(bytes.len());
    for bytes in bytes {
        let statement = Statement::parse(bytes).map_err(|e| TakeError::Lie(e.to_string()))?;
        if !asked.contains(&statement.hash()) {
            return Err(TakeError::Lie("a statement that was not asked for".to_owned()));
        }
        if statement.log != *log {
            return Err(TakeError::Lie("a statement of another commons".to_owned()));
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// Tells a peer's fault from what is wrong here.
fn blame(error: ReplicaError) -> AskError {
    match error {
        ReplicaError::Follow(FollowError::Archive(
            e @ (ArchiveError::Foreign(_) | ArchiveError::Twice(_)),
        )) => AskError::Lie(e.to_string()),
        ReplicaError::Follow(e @ (FollowError::Archive(_) | FollowError::Replay(_))) => {
            AskError::Here(e.into())
        }
        ReplicaError::Follow(e) => AskError::Lie(e.to_string()),
        e => AskError::Here(e),
    }
}
