//! How far one mark may move the time, and which witnesses may make one.
//!
//! Two witnesses who cosigned one head vouch for its time. One alone does not: it could close every
//! open question by a clock that is a year ahead, in one jump or in many small ones. So its marks
//! move the time only a little beyond what members have seen; one that goes further is *held*. It
//! counts once members have written statements that saw it and another mark follows those. A
//! commons that was idle for a year so goes on with the second mark after members speak again,
//! and members whose own clocks disagree speak without having seen it ([`State::doubtful`]). In
//! version 1 of the rules every mark counted, and witnesses were replaced at once.

use super::{Detail, Mark, State, VoidReason};
use crate::statement::Witnesses;
use ids::PeerId;
use tlog::{KeyName, Policy, SignedCheckpoint, Witnessed};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// How far beyond a member's own clock a mark of one witness may be for the member to say that it
/// has seen it.
const TOLERANCE: u64 = HOUR;

/// Members whose statements confirm the time of one witness.
const CONFIRMING: usize = 2;

/// Witnesses that members decided on and too few of whom have cosigned yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coming {
    /// Who they are.
    pub witnesses: Witnesses,
    /// The size of the log when the decision came into force: heads beyond it are to be cosigned.
    pub since: u64,
}

/// What holds the time of one witness.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    /// The time of the last mark that two witnesses vouch for.
    sure: u64,
    /// Marks of one witness that are too far ahead to count, the oldest first.
    held: Vec<Mark>,
    /// The members that saw most of the log, and how much of it, the one that saw most first.
    seen: [Option<(PeerId, u64)>; CONFIRMING],
}

impl State {
    /// The policies whose witnesses may vouch for the time: that in force, and the one to come.
    pub fn policies(&self) -> impl Iterator<Item = Policy> {
        let coming = self.coming.as_ref().map(|coming| &coming.witnesses);
        [Some(&self.witnesses), coming].into_iter().flatten().map(super::policy)
    }

    /// How the members named a key as a witness, in force or to come.
    pub fn witness_name(&self, key: &PeerId) -> Option<KeyName> {
        let mut policies = self.policies();
        policies.find_map(|policy| {
            let witness = policy.witnesses().iter().find(|witness| witness.key() == *key);
            witness.map(|witness| witness.name().clone())
        })
    }

    /// Whether enough witnesses of a policy cosigned a head.
    pub fn is_witnessed(&self, head: &SignedCheckpoint) -> bool {
        self.policies().any(|policy| policy.witnessed(head).is_ok_and(|found| found.holds()))
    }

    /// Whether one witness alone decides the time.
    pub fn one_decides(&self) -> bool {
        self.witnesses.threshold < 2
    }

    /// How far one witness alone may move the time beyond what members have seen, in seconds: an
    /// eighth of the notice, at least an hour and at most a day.
    pub fn step(&self) -> u64 {
        (self.rules.notice / 8).clamp(HOUR, DAY)
    }

    /// Marks that are too far ahead to count yet, the oldest first.
    pub fn held_marks(&self) -> &[Mark] {
        &self.steps.held
    }

    /// The newest mark, whether it counts yet or not.
    pub fn newest_mark(&self) -> Option<&Mark> {
        self.steps.held.last().or(self.marks.last())
    }

    /// The first mark that a member whose clock says `now` should not say it has seen: made by one
    /// witness, not confirmed yet, and ahead of that clock.
    pub fn doubtful(&self, now: u64) -> Option<&Mark> {
        let confirmed = self.confirmed_size();
        let from = self.marks.partition_point(|mark| mark.index < confirmed);
        let ahead = |mark: &&Mark| {
            mark.index >= confirmed
                && self.version >= 2
                && mark.witnesses < 2
                && mark.time > now.saturating_add(TOLERANCE)
        };
        self.marks[from..].iter().chain(&self.steps.held).find(ahead)
    }

    /// Appoints witnesses; they come into force when enough of them have cosigned a head that has
    /// the decision, so that those before them go on until then. Returns whom they replace.
    pub(super) fn appoint(&mut self, new: Witnesses) -> Witnesses {
        let old = match self.coming.take() {
            Some(coming) => coming.witnesses,
            None => self.witnesses.clone(),
        };
        if self.version < 2 {
            return std::mem::replace(&mut self.witnesses, new);
        }
        if new != self.witnesses {
            self.coming = Some(Coming { witnesses: new, since: self.size });
        }
        old
    }

    /// The cosignatures of a head by which it may be a mark, and whether those of the witnesses to
    /// come are enough.
    ///
    /// Errors: too few cosigned, or a cosignature is wrong.
    pub(super) fn vouched(&self, head: &SignedCheckpoint) -> Result<(Witnessed, bool), VoidReason> {
        let known = |witnesses: &Witnesses| {
            let found = super::policy(witnesses).witnessed(head);
            found.map_err(|e| VoidReason::BadCosignature { why: Detail::of(e) })
        };
        let size = head.checkpoint().size;
        let coming = self.coming.as_ref().filter(|coming| size > coming.since);
        let succeeds = match coming {
            Some(coming) => known(&coming.witnesses).ok().filter(Witnessed::holds),
            None => None,
        };
        match (known(&self.witnesses), succeeds) {
            (Ok(now), succeeds) if now.holds() => Ok((now, succeeds.is_some())),
            (_, Some(next)) => Ok((next, true)),
            (Ok(now), None) => Err(VoidReason::TooFewWitnesses {
                cosigned: now.count() as u64,
                needed: now.threshold as u64,
            }),
            (Err(why), None) => Err(why),
        }
    }

    /// Puts the witnesses to come in the place of those before them.
    pub(super) fn succeed(&mut self) {
        if let Some(coming) = self.coming.take() {
            self.witnesses = coming.witnesses;
        }
    }

    /// Takes a mark in that is newer than the last; whether the time has moved.
    pub(super) fn place_mark(&mut self, mark: Mark) -> bool {
        // A witness that puts its clock right takes back what it said.
        while self.steps.held.last().is_some_and(|held| held.time > mark.time) {
            self.steps.held.pop();
        }
        if mark.witnesses >= 2 || self.version < 2 {
            self.steps.sure = mark.time;
        } else if self.nothing_waits() {
            // It sets the clock, and what follows it goes on from there.
            self.steps.sure = self.steps.sure.max(mark.time);
        } else if mark.time > self.sure_time().saturating_add(self.step()) {
            // What members have seen counts now that another mark follows it.
            let confirmed = self.confirmed_size();
            let seen = self.steps.held.partition_point(|held| held.index < confirmed);
            self.marks.extend(self.steps.held.drain(..seen));
            self.steps.held.push(mark);
            return seen > 0;
        }
        self.marks.append(&mut self.steps.held);
        self.marks.push(mark);
        true
    }

    /// Notes how much of the log a member has seen, by a statement of it that counts.
    pub(super) fn saw(&mut self, member: PeerId, size: u64) {
        let [first, second] = &mut self.steps.seen;
        let more = |known: &Option<(PeerId, u64)>| known.is_none_or(|(_, most)| size > most);
        let is = |known: &Option<(PeerId, u64)>| known.is_some_and(|(who, _)| who == member);
        if more(first) {
            if !is(first) {
                *second = *first;
            }
            *first = Some((member, size));
        } else if !is(first) && more(second) {
            *second = Some((member, size));
        }
    }

    /// The size of the log that enough members have seen: two, or the one who is alone.
    fn confirmed_size(&self) -> u64 {
        match self.steps.seen {
            [Some(_), Some((_, size))] => size,
            [Some((_, size)), None] if self.is_alone() => size,
            _ => 0,
        }
    }

    fn is_alone(&self) -> bool {
        self.members.values().filter(|member| member.is_member).take(CONFIRMING).count()
            < CONFIRMING
    }

    /// The latest time that two witnesses or enough members vouch for.
    fn sure_time(&self) -> u64 {
        let confirmed = self.confirmed_size();
        let last = |marks: &[Mark]| {
            marks[..marks.partition_point(|mark| mark.index < confirmed)].last().map(|m| m.time)
        };
        let seen = last(&self.steps.held).or_else(|| last(&self.marks));
        self.steps.sure.max(seen.unwrap_or(0)).max(self.created)
    }

    /// Whether no time has been vouched for and none is waited for: the first mark sets the clock,
    /// because the founders' word for the time may be of any age.
    fn nothing_waits(&self) -> bool {
        self.marks.is_empty()
            && self.unopened.is_empty()
            && self.agenda.is_empty()
            && self.due_recoveries.is_empty()
    }
}
