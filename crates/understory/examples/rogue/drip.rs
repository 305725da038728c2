//! F5: a member whose objects come a byte every few seconds, and who reads others' as slowly.

use crate::{
    line::{Serve, lock},
    peer::{Habit, Scene},
};
use ids::{Hash, ObjectRef, PeerId};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Requests of others that it leaves half read at a time, for each peer.
const HELD: usize = 16;
const PAUSE: Duration = Duration::from_secs(3);
const REPORT: Duration = Duration::from_secs(5);

/// What the line has to know of the attack.
#[derive(Default)]
pub struct Dripping {
    on: bool,
    /// Objects of this length come as they should.
    spared: Option<u64>,
    own: Vec<Hash>,
    asked_own: usize,
    asked_others: usize,
}

/// How a request is answered as long as the attack lasts.
pub fn serve(state: &Mutex<Dripping>, object: ObjectRef) -> Serve {
    let mut state = lock(state);
    if !state.on {
        return Serve::Honestly;
    }
    match state.own.contains(&object.hash) {
        true => state.asked_own += 1,
        false => state.asked_others += 1,
    }
    match state.spared == Some(object.len) {
        true => Serve::Honestly,
        false => Serve::Dripping,
    }
}

/// Drips from the height `from` on.
pub struct Dripper {
    pub from: u64,
    /// Updates come as they should, so that its work is in the record: it is the audits that wait.
    pub audits: bool,
    pub state: Arc<Mutex<Dripping>>,
    pub reported: Instant,
}

impl Dripper {
    fn begin(&self, scene: &Scene) {
        let rules = &scene.node.run().rules;
        println!("drips from now on");
        let mut state = lock(&self.state);
        state.on = true;
        state.spared = self.audits.then_some(rules.update_len);
        let Some(model) = scene.node.chain_state().map(|chain| chain.state.outer) else { return };
        for peer in scene.line.linked() {
            for _ in 0..HELD {
                let line = scene.line.clone();
                tokio::spawn(async move { line.read_slowly(peer, model, PAUSE).await });
            }
        }
    }
}

impl Habit for Dripper {
    fn claims(&mut self, _: &Scene, _: u64, output: &mut swarm::TrainOutput) {
        let own = [output.trail.hash, output.update.hash, output.carry.hash];
        lock(&self.state).own.extend(own);
    }

    fn besides(&mut self, scene: &Scene) -> Vec<swarm::Message> {
        let height = scene.node.status().height.unwrap_or(0);
        let on = lock(&self.state).on;
        if !on && height >= self.from {
            self.begin(scene);
        }
        if on && self.reported.elapsed() > REPORT {
            self.reported = Instant::now();
            let mut state = lock(&self.state);
            let (own, others) = (state.asked_own, state.asked_others);
            (state.asked_own, state.asked_others) = (0, 0);
            println!(
                "height {height}: asked {own} times for its own, {others} for others' objects"
            );
        }
        Vec::new()
    }
}

/// The decision about requests, for a line.
pub fn serving(state: &Arc<Mutex<Dripping>>) -> Box<crate::line::Serving> {
    let state = state.clone();
    Box::new(move |_: PeerId, object| serve(&state, object))
}
