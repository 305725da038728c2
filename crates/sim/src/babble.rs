//! Nonsense with a good signature: what a member may send that has lost its mind.

use crate::rng::Rng;
use ids::{Hash, Identity, PeerId};
use swarm::{
    Commit, Finding, Have, Join, Message, ObjectRef, Proposal, Scope, Show, Signed, Step, Verdict,
    Vote,
};

/// Who speaks, and what it knows.
pub struct Words<'a> {
    /// The speaker.
    pub identity: &'a Identity,
    /// The run.
    pub run: Hash,
    /// Height of the speaker's head.
    pub height: u64,
    /// Whom it may speak of.
    pub everybody: Vec<PeerId>,
}

impl Words<'_> {
    /// One message.
    pub fn one(&self, rng: &mut Rng) -> Message {
        let height = match rng.range(0, 5) {
            0 => u64::MAX,
            1 => 0,
            2 => self.height,
            3 => self.height + 2,
            _ => self.height + 1,
        };
        let view = [0, 1, 3, 40, u32::MAX][rng.range(0, 4) as usize];
        let hash = Hash::of(&rng.next().to_le_bytes());
        match rng.range(0, 9) {
            0 => Message::Join(self.sealed(Join {
                nonce: hash,
                height,
                chain: hash,
                invitation: None,
            })),
            1 => Message::Commit(self.sealed(self.commit(rng, height, hash))),
            2 => Message::Show(self.sealed(Show { height, link: hash })),
            3 => Message::Have(self.sealed(Have { height, commit: hash })),
            4 => {
                let record = vec![0; rng.range(0, 300) as usize];
                let value = swarm::Record::hash_of(&record);
                let valid_view = rng.chance(50).then_some(view / 2);
                let header = self.sealed(Proposal { height, view, valid_view, value });
                Message::Proposal { header, record: record.into() }
            }
            5 => {
                let step = if rng.chance(50) { Step::Prevote } else { Step::Precommit };
                let value = rng.chance(70).then_some(hash);
                // Views far off only: two votes for one step would be proof enough to be ejected.
                let view = view.max(40);
                Message::Vote(self.sealed(Vote { height, view, step, value }))
            }
            6 => Message::Verdict(self.sealed(self.verdict(rng))),
            7 => Message::Head {
                run: self.run,
                height: Some(height),
                record: hash,
                elapsed_ms: u64::MAX,
            },
            8 => Message::RecordsRequest { run: self.run, from: rng.range(0, 2) },
            _ => Message::Records { run: self.run, records: vec![vec![0x82; 40].into()] },
        }
    }

    fn sealed<T: swarm::Body>(&self, body: T) -> Signed<T> {
        Signed::seal(self.identity, &self.run, body)
    }

    fn commit(&self, rng: &mut Rng, height: u64, hash: Hash) -> Commit {
        let object = ObjectRef { hash, len: rng.next() };
        Commit {
            height,
            round: rng.range(0, 5) as u32,
            base: hash,
            steps: rng.next() as u32,
            trail: object,
            update: object,
            carry_before: rng.chance(50).then_some(object),
            carry: object,
        }
    }

    fn verdict(&self, rng: &mut Rng) -> Verdict {
        let contributor = self.everybody[rng.range(0, self.everybody.len() as u64 - 1) as usize];
        let part = rng.next() as u32;
        let scope = match rng.range(0, 2) {
            0 => Scope::Drawn,
            1 => Scope::Dispute { part },
            _ => Scope::Recheck { auditor: contributor },
        };
        // A mismatch in a dispute would be an accusation, and that costs a liar its place.
        let finding = match rng.range(0, 2) {
            0 => Finding::Confirmed { digest: Hash::default() },
            1 => Finding::Mismatch { part: part.wrapping_add(1).max(1 << 20) },
            _ => Finding::Unavailable { part, missing: Hash::default() },
        };
        Verdict { height: rng.range(0, self.height + 1), contributor, scope, finding }
    }
}
