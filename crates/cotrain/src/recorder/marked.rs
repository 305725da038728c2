//! Marks of a training run's records in the log of a commons: read for whoever is shown the run's
//! history, and written by members who take part in it.

use super::{RecorderError, RunRecorder, now};
use crate::{
    marking::Marked,
    marks::{self, Mark, Marks, contradictions},
};
use commons::{
    Home,
    names::name_of,
    portable::cosigned_head,
    state::{MarkedRecord, State},
    statement::Milestone,
};
use ids::Hash;
use std::{collections::BTreeMap, path::Path};

fn mark(state: &State, marked: &MarkedRecord) -> Mark {
    let by = marked.by.iter().map(|(member, _)| name_of(state, member)).collect();
    Mark { height: marked.height, record: marked.record, by }
}

/// What the log in `dir` says of a run's records, as far as enough witnesses have cosigned it.
///
/// Errors: there is no commons, or it cannot be read.
pub fn marks(dir: &Path, run: &Hash) -> Result<Marks, RecorderError> {
    let home = Home::open(dir)?;
    let archive = home.archive()?;
    let log = archive.snapshot()?;
    let whole = home.state(&log)?;
    let head = cosigned_head(&log, &whole)?;
    let size = head.as_ref().map_or(0, |head| head.checkpoint().size);
    let time = head.and_then(|head| whole.policy().witnessed(&head).ok()?.time());
    let count = |marked: &[MarkedRecord]| marked.iter().map(|m| m.by.len()).sum::<usize>();
    let all = count(&whole.marked_records(run));
    let state = if size == 0 { None } else { Some(home.state_at(&log, size)?) };
    let marked = state.as_ref().map_or(Vec::new(), |state| state.marked_records(run));
    let unwitnessed = all.saturating_sub(count(&marked));
    let records = state.iter().flat_map(|state| marked.iter().map(|m| mark(state, m)));
    Ok(Marks { commons: whole.id, size, time, records: records.collect(), unwitnessed })
}

impl RunRecorder {
    /// Marks the record `due`, and one that somebody marked otherwise than it is in `own`, by
    /// height. What was marked before is not marked again.
    ///
    /// Errors: the commons cannot be read or written, or its member is none any more.
    pub fn mark(
        &self,
        run: Hash,
        due: (u64, Hash),
        own: &BTreeMap<u64, Hash>,
    ) -> Result<Marked, RecorderError> {
        let workspace = self.workspace()?;
        let ahead = workspace.ahead()?;
        let me = ahead.member_of(&self.me.id()).filter(|me| ahead.is_member(me));
        let me = me.ok_or(RecorderError::NoMemberAnyMore)?;
        let known = ahead.marked_records(&run);
        let mine = |height: u64| {
            known.iter().any(|m| m.height == height && m.by.iter().any(|(by, _)| *by == me))
        };
        // Others learn by it that the two contradict each other.
        let other = known.iter().find(|m| {
            own.get(&m.height).is_some_and(|record| *record != m.record) && !mine(m.height)
        });
        let other = other.map(|m| (m.height, own[&m.height]));
        let wanted = [Some(due), other.filter(|other| other.0 != due.0)];
        let mut said = Vec::new();
        for (height, record) in wanted.into_iter().flatten().filter(|(height, _)| !mine(*height)) {
            let milestone = Milestone { run, height, record };
            workspace.archive.write_at(&workspace.state, &self.me, now(), milestone)?;
            said.push(height);
        }
        let marks: Vec<Mark> =
            workspace.ahead()?.marked_records(&run).iter().map(|m| mark(&ahead, m)).collect();
        let two = contradictions(&marks).into_iter();
        let contradictions = two.map(|(height, said)| (height, marks::words(&said))).collect();
        Ok(Marked { said, contradictions })
    }
}
