//! Showing what others need to check this node's own contribution, and removing what a round left.

use super::{Core, Running, Task, auditing::claim, book::Book, working::Wanted};
use crate::{Action, ObjectRef, OpenJob, Sample, Scope, WorkError};
use ids::Hash;
use std::collections::BTreeSet;

impl Running {
    /// Opens the training states that draws and disputes about this node's contributions ask for.
    pub(super) fn open_states(&mut self, core: &mut Core) -> bool {
        let me = core.id();
        let due = |w: Wanted, now| matches!(w, Wanted::At(time) if time <= now);
        let now = core.now;
        let heights: Vec<u64> = self.books.keys().copied().collect();
        for height in heights {
            let Some(book) = self.books.get(&height) else { continue };
            let Some(commit) = book.commit(&me).filter(|_| due(book.opening, now)) else {
                continue;
            };
            let steps = commit.body().steps;
            let wanted = wanted_steps(book, &me, steps);
            let missing: Vec<u32> =
                wanted.into_iter().filter(|s| !book.opened.contains(s)).collect();
            if missing.is_empty() {
                continue;
            }
            let (job, _) = claim(&book.advance, commit);
            let kept = book.kept.clone();
            let id = core.task(Task::Open(height, missing.clone()));
            if let Some(book) = self.books.get_mut(&height) {
                book.opening = Wanted::Fetching(id);
            }
            core.out.push(Action::Open(OpenJob { id, job, kept, steps: missing }));
            return true;
        }
        false
    }

    pub(super) fn opened(
        &mut self,
        core: &mut Core,
        id: u64,
        result: Result<Vec<ObjectRef>, WorkError>,
    ) {
        let Some(Task::Open(height, steps)) = core.end_task(id) else { return };
        let (now, again) = (core.now, core.now.after(core.run.rules.retry_ms()));
        let Some(book) = self.books.get_mut(&height) else { return };
        match result {
            Ok(states) => {
                book.opening = Wanted::At(now);
                book.opened.extend(steps);
                core.note_stored(height, states.iter().map(|s| s.hash).collect());
            }
            Err(error) => {
                book.opening = Wanted::At(again);
                core.work_failed(height, &error);
            }
        }
    }

    /// Removes what was stored for advances that nobody looks at any more.
    pub(super) fn drop_old(&mut self, core: &mut Core) {
        let Some(oldest) = self.books.keys().next().copied() else { return };
        core.drop_before(oldest, &self.named(core));
    }

    /// What the chain and what is under way name: it stays whatever it was stored for.
    pub(super) fn named(&self, core: &Core) -> BTreeSet<Hash> {
        let mut named = BTreeSet::new();
        let mut state = |s: &crate::State| named.extend([s.model.hash, s.outer.hash]);
        state(&core.run.initial);
        state(&self.chain.state);
        self.books.values().for_each(|book| state(&book.advance.base));
        named.extend(self.chain.members.iter().filter_map(|m| m.carry).map(|c| c.hash));
        let commits = self.books.values().flat_map(|book| &book.advance.contributions);
        let open = self.work.commits.values().map(|slot| &slot.commit);
        for commit in commits.chain(open) {
            let body = commit.body();
            let objects =
                [Some(body.trail), Some(body.update), Some(body.carry), body.carry_before];
            named.extend(objects.into_iter().flatten().map(|o| o.hash));
        }
        named
    }
}

/// Steps before which the training state is asked for; `steps` itself stands for the last state.
fn wanted_steps(book: &Book, me: &ids::PeerId, steps: u32) -> BTreeSet<u32> {
    let mut wanted = BTreeSet::new();
    let mut part = |part: u32| wanted.extend([part, steps]);
    for draw in book.draws.iter().filter(|d| d.contributor == *me) {
        if let Sample::Parts(parts) = &draw.sample {
            parts.iter().for_each(|p| part(*p));
        }
    }
    for accusation in book.accusations().iter().filter(|a| a.contributor == *me) {
        // What a confirmation made again needs is open since it was drawn.
        if let Scope::Dispute { part: disputed } = accusation.asks() {
            part(disputed);
        }
    }
    for (contributor, _, passed) in book.passed_on() {
        if contributor == *me {
            part(passed);
        }
    }
    // The state before the first step is the base.
    wanted.remove(&0);
    wanted
}
