//! The protocol's view of a run manifest.

use ids::{Hash, PeerId};
use recipe::{RunManifest, update};
use swarm::{Run, State};

/// What every participant of the run `id` knows before it says a word.
pub fn protocol_run(run: &RunManifest, id: Hash, initial: State) -> Run {
    let key = |hash: &Hash| PeerId(hash.0);
    Run {
        id,
        founder: key(&run.founder),
        founders: run.founders.iter().map(key).collect(),
        invitations: run.invitations.iter().map(key).collect(),
        rules: rules(run),
        initial,
    }
}

/// The protocol's rules out of a manifest's numbers.
pub fn rules(run: &RunManifest) -> swarm::Rules {
    let rounds = &run.rounds;
    let ms = |seconds: f64| (seconds * 1000.0) as u64;
    let n = run.parameters();
    swarm::Rules {
        rounds: rounds.rounds,
        steps_min: rounds.steps_min,
        steps_max: rounds.steps_max,
        target_ms: ms(rounds.target_seconds),
        commit_timeout_ms: ms(rounds.commit_timeout_seconds),
        view_timeout_ms: ms(rounds.view_timeout_seconds),
        draw_timeout_ms: ms(rounds.draw_timeout_seconds),
        audit_timeout_ms: ms(rounds.audit_timeout_seconds),
        probation: rounds.probation,
        audit_milli: (rounds.audit_steps * 1e3) as u32,
        audit_rate_ppm: (rounds.audit_rate * 1e6) as u32,
        recheck_ppm: (rounds.recheck_rate * 1e6) as u32,
        min_members: rounds.min_members,
        max_members: rounds.max_members,
        update_len: update::encoded_len(n) as u64,
        state_len: recipe::state_len(n) as u64,
        carry_len: recipe::carry::carry_len(n) as u64,
        absent_after: rounds.absent_after,
    }
}
