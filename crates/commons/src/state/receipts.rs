//! Receipts that somebody entered into the log: what its operator said it had and left out.

use super::{Detail, State, VoidReason};
use crate::{
    Body, Statement,
    receipt::Receipt,
    statement::{Check, Evidence},
};
use ids::{Hash, PeerId};

/// A statement that an operator signed to have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Promised {
    /// Where in the log the receipt was shown.
    pub index: u64,
    /// The statement.
    pub statement: Hash,
    /// Its author.
    pub author: PeerId,
    /// The question that it votes on, if it does.
    pub ballot: Option<Hash>,
    /// How long the log was when it was received.
    pub size: u64,
    /// Who signed.
    pub operator: PeerId,
    #[serde(skip)]
    place: (u64, Option<Hash>),
}

impl Receipt {
    /// Whether it is of this log, and by whoever operated it at that size, which the log has
    /// reached: a promise for a log that does not exist yet would never be due.
    pub fn is_of(&self, state: &State) -> bool {
        self.log == state.id
            && (1..=state.size).contains(&self.size)
            && self.operator == state.operator_at(self.size)
    }
}

impl State {
    /// A receipt with its statement, brought by anybody: both prove themselves.
    pub(super) fn take_receipt(&mut self, index: u64, check: &Check) -> Result<(), VoidReason> {
        let Evidence::Receipt(receipt, statement) = &check.evidence else {
            return Err(VoidReason::NoReceipt);
        };
        let receipt =
            Receipt::parse(receipt).map_err(|e| VoidReason::BadReceipt { why: Detail::of(e) })?;
        let statement = Statement::parse(statement)
            .map_err(|e| VoidReason::BadStatement { why: Detail::of(e) })?;
        let hash = statement.hash();
        if receipt.statement != hash || statement.log != self.id || !receipt.is_of(self) {
            return Err(VoidReason::ReceiptOfOther);
        }
        if let Some((index, _)) = self.place(&hash) {
            return Err(VoidReason::HasItsPlace { index });
        }
        // Of two receipts by one operator the earlier one counts.
        let key = (hash, receipt.operator);
        if self.promised.get(&key).is_some_and(|known| known.size <= receipt.size) {
            return Err(VoidReason::ReceiptKnown);
        }
        let ballot = match &statement.body {
            Body::Vote(vote) => Some(vote.proposal),
            _ => None,
        };
        let (author, place) = (statement.author, (statement.seq, statement.prev));
        let (size, operator) = (receipt.size, receipt.operator);
        let shown = Promised { index, statement: hash, author, ballot, size, operator, place };
        self.promised.insert(key, shown);
        Ok(())
    }

    /// What operators left out although they signed to have it: more marks than the rules allow
    /// have been made by them since, and it still could have its place.
    pub fn left_out(&self) -> impl Iterator<Item = &Promised> {
        self.promised.values().filter(|promised| self.is_left_out(promised))
    }

    fn is_left_out(&self, promised: &Promised) -> bool {
        let end = self.operator_until(promised.size);
        let first = self.marks.partition_point(|mark| mark.size <= promised.size);
        let last = self.marks.partition_point(|mark| mark.size < end);
        self.place(&promised.statement).is_none()
            && self.chain_head(&promised.author) == promised.place
            && last.saturating_sub(first) >= self.rules.overdue_after as usize
    }
}
