//! Heads as they are kept and given: with the signatures that mean something, and no others.

use commons::{ArchiveError, Body, Snapshot, state::State, statement::Evidence};
use tlog::{NoteSignature, SignedCheckpoint, VerifierKey};

/// Signatures of the log's own keys that a kept head may have: during a hand-over two know it.
const MAX_OWN: usize = 4;

/// The head with lines of the log's own name and cosignatures that hold, but without those of
/// `known`, the same head as it is here. A stranger can add lines to a note; kept, a wrong one
/// would spoil it.
pub(crate) fn tidy(
    head: &SignedCheckpoint,
    state: &State,
    known: Option<&SignedCheckpoint>,
) -> SignedCheckpoint {
    let origin = &head.checkpoint().origin;
    let witnesses = witnesses(state);
    let is_new = |w: &&VerifierKey| known.is_none_or(|k| !is_cosigned(k, w));
    let witnesses: Vec<&VerifierKey> =
        witnesses.iter().filter(|w| is_cosigned(head, w)).filter(is_new).collect();
    let mut own = 0;
    let mut once = vec![false; witnesses.len()];
    let mut keep = |line: &NoteSignature| {
        if line.name().to_string() == *origin {
            own += 1;
            return own <= MAX_OWN;
        }
        let by = witnesses.iter().position(|w| w.name() == line.name() && w.id() == line.key_id());
        by.is_some_and(|by| !std::mem::replace(&mut once[by], true))
    };
    let lines: Vec<&NoteSignature> = head.note().signatures().iter().filter(|l| keep(l)).collect();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let note = format!("{}\n{text}", head.note().text());
    // A note without any line is not read; then the head stays as it came, for others to refuse.
    SignedCheckpoint::parse(note.as_bytes()).unwrap_or_else(|_| head.clone())
}

/// The witnesses in force and those to come, each once.
pub(crate) fn witnesses(state: &State) -> Vec<VerifierKey> {
    let mut all: Vec<VerifierKey> = Vec::new();
    for witness in state.policies().flat_map(|policy| policy.witnesses().to_vec()) {
        if !all.contains(&witness) {
            all.push(witness);
        }
    }
    all
}

/// Whether `witness` cosigned, and nothing that claims so is wrong.
pub(crate) fn is_cosigned(head: &SignedCheckpoint, witness: &VerifierKey) -> bool {
    matches!(head.cosigned_by(witness), Ok(Some(_)))
}

/// The heads that lead a member whose log has `above` statements to this one: at each hand-over
/// the last head of the old operator and the first of the new, then the newest that enough
/// witnesses saw, then the newest.
///
/// Errors: the log cannot be read.
pub(crate) fn leading_on(
    log: &Snapshot,
    state: &State,
    above: u64,
    most: usize,
) -> Result<Vec<SignedCheckpoint>, ArchiveError> {
    let mut heads = Vec::new();
    for hand_over in state.operators.iter().filter(|o| o.since > above) {
        heads.extend(log.checkpoint_before(hand_over.since.saturating_sub(1))?);
        heads.extend(log.checkpoint_from(hand_over.since)?);
        if heads.len() + 4 > most {
            break;
        }
    }
    heads.extend(last_mark(log, state)?);
    heads.retain(|head| head.checkpoint().size >= above);
    // The newest also where the asker has more: it may be of another history.
    heads.extend(log.latest_checkpoint()?);
    heads.sort_by_key(|head| head.checkpoint().size);
    heads.dedup();
    Ok(heads)
}

/// The note that the newest mark has as its evidence.
fn last_mark(log: &Snapshot, state: &State) -> Result<Option<SignedCheckpoint>, ArchiveError> {
    let Some(mark) = state.newest_mark() else { return Ok(None) };
    let Body::Check(check) = log.statement(mark.index)?.body else { return Ok(None) };
    let Evidence::Checkpoint(note) = check.evidence else { return Ok(None) };
    Ok(SignedCheckpoint::parse(note.as_bytes()).ok())
}
