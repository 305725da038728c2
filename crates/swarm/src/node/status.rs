//! Where a node stands, for people and programs; and what keeps it waiting.

use super::{Core, Node, Running, Stage};
use crate::{ChainState, Lobby, Member, MemberStatus, Phase, Status};
use ids::{Hash, PeerId};

impl Node {
    /// Where the node stands.
    pub fn status(&self) -> Status {
        let core = &self.core;
        let chain = self.chain_state();
        let state = chain.map_or(core.run.initial, |c| c.state);
        let agreement = self.running().map(|running| &running.work.agreement);
        let electorate = chain.map(|c| c.electorate(&core.run));
        Status {
            me: core.id(),
            height: chain.map(|c| c.height),
            record: chain.map(|c| c.hash),
            others: chain.and_then(|c| {
                let heads = c.members.iter().map(|m| core.peers.get(&m.id)?.head);
                heads.flatten().max()
            }),
            round: chain.map_or(0, |c| c.round),
            rounds: core.run.rules.rounds,
            phase: self.phase(),
            view: agreement.map_or(0, |a| a.view()),
            proposer: agreement.and_then(|a| a.proposer(a.view())),
            state,
            state_hash: state.hash(),
            beacon: chain.map_or(Hash::default(), |c| c.beacon),
            members: chain.map_or(Vec::new(), |c| self.member_lines(c)),
            weight: electorate.as_ref().map_or(0, |e| e.total()),
            quorum: electorate.as_ref().map_or(0, |e| e.quorum()),
            lobby: chain.is_none().then(|| core.lobby()),
            ejected: chain.map_or(Vec::new(), |c| c.ejected.iter().copied().collect()),
            steps: core.steps,
            ms_per_step: core.pace.ms_per_step(),
            elapsed_ms: core.pace.elapsed_ms(core.now),
        }
    }

    fn member_lines(&self, chain: &ChainState) -> Vec<MemberStatus> {
        let core = &self.core;
        let electorate = chain.electorate(&core.run);
        let committed = |id: &PeerId| self.running().is_some_and(|r| r.work.has_committed(id));
        let line = |member: &Member| MemberStatus {
            member: *member,
            standing: member.standing(),
            weight: electorate.weight(&member.id),
            away: member.is_away(&core.run.rules),
            probation_left: core.run.rules.probation.saturating_sub(member.clean),
            connected: member.id == core.id() || core.is_up(&member.id),
            committed: committed(&member.id),
        };
        chain.members.iter().map(line).collect()
    }

    fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Running(running) => running.phase(&self.core),
            Stage::Finished(_) => Phase::Finished,
            Stage::Left(_) | Stage::Dead(_) => Phase::Left,
            Stage::Lobby => Phase::Lobby,
            Stage::New(restored) => match restored.chain {
                None => Phase::Lobby,
                Some(_) => Phase::Syncing,
            },
        }
    }

    /// Says what has changed of what a person would ask.
    pub(super) fn tell_stage(&mut self) {
        let round = self.chain_state().map_or(0, |chain| chain.round);
        let phase = self.phase();
        self.core.note_phase(phase, round);
        let why = match &self.stage {
            Stage::Lobby => self.core.unshown().or_else(|| self.core.what_the_lobby_lacks()),
            Stage::Running(running) => {
                self.core.unshown().or_else(|| running.what_is_missing(&self.core))
            }
            _ => None,
        };
        self.core.note_waiting(why);
    }
}

impl Core {
    /// The past that nobody has shown yet.
    fn unshown(&self) -> Option<String> {
        let known = self.unproven()?;
        Some(format!(
            "no peer has shown a past yet with the record that the run is known to have ({} at \
             height {})",
            known.record.short(),
            known.height
        ))
    }

    fn what_the_lobby_lacks(&self) -> Option<String> {
        let Lobby { here, awaited, unused } = self.lobby();
        let needed = self.run.rules.min_members as usize;
        if !awaited.is_empty() || !unused.is_empty() {
            let mut lacks: Vec<String> = awaited.iter().map(PeerId::short).collect();
            match unused.len() {
                0 => {}
                1 => lacks.push("whoever uses the last invitation".to_owned()),
                n => lacks.push(format!("whoever uses the {n} invitations left")),
            }
            let here: Vec<String> = here.iter().map(PeerId::short).collect();
            return Some(format!(
                "the run begins once all founding voters are here; here: {}; missing: {}",
                here.join(", "),
                lacks.join(", ")
            ));
        }
        let here = here.len();
        (here < needed).then(|| format!("{here} of {needed} members are here to begin"))
    }
}

impl Running {
    fn phase(&self, core: &Core) -> Phase {
        match self.own_line(core) {
            _ if self.is_ejected(core) => Phase::Ejected,
            None => Phase::Watching,
            Some(_) => self.work.phase(self.chain.round >= core.run.rules.rounds, &core.id()),
        }
    }

    /// Why nothing can be decided: too few voters are connected, or two contradict each other.
    fn what_is_missing(&self, core: &Core) -> Option<String> {
        if let Some(peer) = self.stalemate(core) {
            return Some(format!(
                "a re-run of the work of {} gives other bits here; between two voters nothing can \
                 be proven, so the run stops",
                peer.short()
            ));
        }
        let electorate = self.chain.electorate(&core.run);
        let here = |v: &PeerId| *v == core.id() || core.is_up(v);
        let (there, away): (Vec<PeerId>, Vec<PeerId>) = electorate.voters().partition(here);
        let (weight, needed) = (electorate.weight_of(there), electorate.quorum());
        (weight < needed).then(|| {
            let total = electorate.total().max(1);
            let percent = |w: u64| u128::from(w) * 100 / u128::from(total);
            let names: Vec<String> = away.iter().map(PeerId::short).collect();
            format!(
                "{} % of the standing is connected, {} % decide; away: {}",
                percent(weight),
                percent(needed) + 1,
                names.join(", ")
            )
        })
    }
}
