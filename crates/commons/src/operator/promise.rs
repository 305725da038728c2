//! Receipts for statements that wait: what the operator promises a place.

use super::is_members;
use crate::{
    Archive, ArchiveError, Pending, Statement, follow::MAX_RANGE_BYTES, receipt::Receipt,
    state::State,
};
use ids::{Hash, Identity, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Statements with a receipt that may wait at a time: as many as the next batch has room for, so
/// that an honest operator keeps its word whatever comes meanwhile. Of one author a sixteenth.
const MAX_PROMISED: (usize, usize) = (2048, MAX_RANGE_BYTES / 2);
const AUTHOR_PART: usize = 16;

/// Signs receipts for those of `wanted` that wait here and are ready for their place, durably
/// before they are returned; what has one gets the same again. `admit` says whether somebody who is
/// no member may have a place now ([`is_members`]).
///
/// Errors: the log cannot be read or written.
pub fn promise(
    archive: &Archive,
    state: &State,
    operator: &Identity,
    wanted: &BTreeSet<Hash>,
    admit: &mut dyn FnMut(&Statement) -> bool,
) -> Result<Vec<Receipt>, ArchiveError> {
    if state.operator() != operator.id() {
        return Ok(Vec::new());
    }
    let pending = archive.snapshot()?.pending()?;
    let mut room = Room::default();
    let is_own = |p: &Pending| p.receipt.is_some_and(|r| r.operator == operator.id());
    pending.iter().filter(|p| is_own(p)).for_each(|p| {
        room.take(&p.statement);
    });
    let (mut given, mut new) = (Vec::new(), Vec::new());
    let mut heads: BTreeMap<PeerId, (u64, Option<Hash>)> = BTreeMap::new();
    // Each author's in the order of its chain.
    for waiting in &pending {
        let (statement, hash) = (&waiting.statement, waiting.statement.hash());
        let head =
            heads.entry(statement.author).or_insert_with(|| state.chain_head(&statement.author));
        let ready = (statement.seq, statement.prev) == *head
            && statement.seen.is_some_and(|seen| seen.size <= state.size);
        if let Some(receipt) = waiting.receipt.filter(|_| is_own(waiting)) {
            given.extend(wanted.contains(&hash).then_some(receipt));
        } else if !ready
            || !wanted.contains(&hash)
            || !(is_members(state, statement) || admit(statement))
            || !room.take(statement)
        {
            continue;
        } else {
            let receipt = Receipt::sign(operator, state.id, hash, state.size);
            new.push(receipt);
        }
        if ready {
            *head = (statement.seq + 1, Some(hash));
        }
    }
    if !new.is_empty() {
        archive.keep_receipts(&new)?;
    }
    given.extend(new);
    Ok(given)
}

/// What may be promised beside what is.
#[derive(Default)]
struct Room {
    all: (usize, usize),
    authors: BTreeMap<PeerId, (usize, usize)>,
}

impl Room {
    fn take(&mut self, statement: &Statement) -> bool {
        let of_author = self.authors.entry(statement.author).or_default();
        let bytes = statement.bytes().len();
        let plus = |(count, sum): (usize, usize)| (count + 1, sum + bytes);
        let (all, own) = (plus(self.all), plus(*of_author));
        let fits = |(count, sum): (usize, usize), part: usize| {
            count <= MAX_PROMISED.0 / part && sum <= MAX_PROMISED.1 / part
        };
        if !fits(all, 1) || !fits(own, AUTHOR_PART) {
            return false;
        }
        (self.all, *of_author) = (all, own);
        true
    }
}
