//! How bytes come: transfers in the world, with its clock, its links, and what attackers make of a
//! request.

use super::{Happening, World};
use crate::{
    attack::Serve,
    transfers::{Moved, Over, Task, Transfers},
};
use ids::PeerId;
use std::collections::BTreeSet;
use swarm::{
    Event, ObjectRef, Urgency,
    fetching::{End, Input},
};

/// Milliseconds until a request is answered, also that something is not here.
const ANSWER_MS: (u64, u64) = (2, 8);
/// Milliseconds for each half of a small object. A fetch waits for the slowest of some objects, so
/// it takes 5 to 40 ms: in the time scale of these runs, half a second of a real one.
const HALF_MS: (u64, u64) = (2, 12);

impl World {
    /// Begins what a node's action asks for.
    pub(crate) fn fetch(
        &mut self,
        n: usize,
        id: u64,
        (objects, models): (Vec<ObjectRef>, Vec<ObjectRef>),
        from: (Vec<PeerId>, Urgency),
    ) {
        let here = &self.nodes[n].objects;
        // What is here already was not stored by this fetch, and never goes because of it.
        let lacking = objects.iter().map(|o| o.hash).filter(|h| !here.contains_key(h)).collect();
        let mut seen = BTreeSet::new();
        let fits = |o: &ObjectRef| here.get(&o.hash).is_some_and(|b| b.len() as u64 == o.len);
        let wanted = models.into_iter().chain(objects).filter(|o| seen.insert(o.hash) && !fits(o));
        let wanted = (wanted.collect(), lacking);
        let now = self.clock(n);
        let tasks = self.nodes[n].transfers.begin(now, id, wanted, from);
        self.carry_on(n, tasks);
    }

    pub(crate) fn cancel_fetch(&mut self, n: usize, id: u64) {
        let now = self.clock(n);
        let tasks = self.nodes[n].transfers.cancel(now, id);
        self.carry_on(n, tasks);
    }

    /// Tells all schedulers that somebody has come or gone, so that transfers end with their
    /// links.
    pub(crate) fn links_changed(&mut self) {
        (0..self.nodes.len()).for_each(|n| self.relink(n));
    }

    fn relink(&mut self, n: usize) {
        if self.nodes[n].node.is_none() {
            return;
        }
        let now = self.clock(n);
        let others = (0..self.nodes.len()).filter(|other| self.is_linked(n, *other));
        let linked: BTreeSet<PeerId> = others.map(|other| self.id(other)).collect();
        let tasks = self.nodes[n].transfers.relink(now, linked);
        self.carry_on(n, tasks);
    }

    /// Does what the scheduler has ordered, and sees to it that it wakes in time.
    fn carry_on(&mut self, n: usize, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Ask { transfer, peer } => {
                    let Some(by) = self.index(&peer) else { continue };
                    let time = self.now + self.rng().range(ANSWER_MS.0, ANSWER_MS.1);
                    self.move_at(time, n, Moved::Answer { transfer, by });
                }
                Task::Over(over) => self.over(n, over),
            }
        }
        let Some(at) = self.nodes[n].transfers.fetching.wake_at() else { return };
        let due = self.due(n, at);
        let wakes_at = &mut self.nodes[n].transfers.wakes_at;
        if wakes_at.is_none_or(|earlier| due < earlier) {
            *wakes_at = Some(due);
            self.move_at(due, n, Moved::Tick);
        }
    }

    fn move_at(&mut self, time: u64, to: usize, moved: Moved) {
        let epoch = self.nodes[to].epoch;
        self.schedule(time, Happening::Moved { to, epoch, moved });
    }

    fn over(&mut self, n: usize, Over { id, missing, lacking }: Over) {
        let here = &self.nodes[n].objects;
        let stored = lacking.into_iter().filter(|hash| here.contains_key(hash)).collect();
        let event = match missing {
            None => Event::Fetched { id, stored },
            Some(missing) => Event::FetchFailed { id, missing, stored },
        };
        let epoch = self.nodes[n].epoch;
        self.schedule(self.now + 1, Happening::Tell { to: n, epoch, event });
    }

    pub(crate) fn moved(&mut self, n: usize, moved: Moved) {
        let now = self.clock(n);
        match moved {
            Moved::Tick => {
                // One that was put off since is not the last one.
                if self.nodes[n].transfers.wakes_at == Some(self.now) {
                    self.nodes[n].transfers.wakes_at = None;
                    let tasks = self.nodes[n].transfers.tell(now, Input::Tick);
                    self.carry_on(n, tasks);
                }
            }
            Moved::Answer { transfer, by } => self.answer(n, transfer, by),
            Moved::Bytes { transfer } => self.bytes_come(n, transfer),
            Moved::Whole { object, partial, earlier } => {
                let (bytes, tasks) = self.nodes[n].transfers.check(now, object, &partial, earlier);
                if let Some(bytes) = bytes {
                    self.nodes[n].objects.insert(object.hash, bytes);
                }
                self.carry_on(n, tasks);
            }
        }
    }

    /// A provider hears what it is asked for.
    fn answer(&mut self, n: usize, transfer: u64, by: usize) {
        let Some(stream) = self.nodes[n].transfers.streams.get(&transfer) else { return };
        let hash = stream.object.hash;
        let serve = self.act(by, |attack, scene, _| attack.serves(scene, &hash, n));
        let half_ms = self.rng().range(HALF_MS.0, HALF_MS.1);
        let own = self.nodes[by].objects.get(&hash).cloned();
        let Transfers { streams, limits, .. } = &mut self.nodes[n].transfers;
        let Some(stream) = streams.get_mut(&transfer) else { return };
        let serve = serve.unwrap_or(Serve::Honestly);
        match stream.serve(serve, own.as_ref(), limits, half_ms) {
            Some(()) => {
                let time = self.now + stream.pause_ms;
                self.move_at(time, n, Moved::Bytes { transfer });
            }
            None => self.ended(n, transfer, End::Elsewhere),
        }
    }

    fn bytes_come(&mut self, n: usize, transfer: u64) {
        let now = self.clock(n);
        let transfers = &mut self.nodes[n].transfers;
        let Some(stream) = transfers.streams.get_mut(&transfer) else { return };
        let piece = stream.piece.min(stream.bytes.len());
        let bytes: Vec<u8> = stream.bytes.drain(..piece).collect();
        let (object, goes_on, pause_ms) =
            (stream.object, !stream.bytes.is_empty(), stream.pause_ms);
        let (peer, ends) = (stream.peer, stream.ends);
        let partial = transfers.partials.entry(object).or_default();
        partial.add(peer, &bytes, object.len);
        let whole = partial.bytes().len() as u64 == object.len;
        let tasks = transfers.tell(now, Input::Received { transfer, bytes: bytes.len() as u64 });
        self.carry_on(n, tasks);
        match (goes_on, ends) {
            (true, _) => self.move_at(self.now + pause_ms, n, Moved::Bytes { transfer }),
            (false, true) if whole => self.whole(n, transfer, object),
            (false, true) => self.ended(n, transfer, End::Elsewhere),
            // It neither sends more nor says so.
            (false, false) => {}
        }
    }

    fn ended(&mut self, n: usize, transfer: u64, end: End) {
        let now = self.clock(n);
        let tasks = self.nodes[n].transfers.ended(now, transfer, end);
        self.carry_on(n, tasks);
    }

    /// Bytes are compared with the object's name beside everything else.
    fn whole(&mut self, n: usize, transfer: u64, object: ObjectRef) {
        let transfers = &mut self.nodes[n].transfers;
        let partial = transfers.partials.remove(&object).unwrap_or_default();
        let earlier = transfers.suspects.remove(&object).unwrap_or_default();
        self.move_at(self.now + 1, n, Moved::Whole { object, partial, earlier });
        self.ended(n, transfer, End::Whole);
    }
}
