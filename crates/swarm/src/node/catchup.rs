//! Records that one peer has and another lacks, and what is said again because it may have been
//! lost.

use super::{Node, Running, Stage, peers::Peer};
use crate::{ChainState, MAX_RECORDS, Message, SignedRecord};
use ids::PeerId;
use minicbor::bytes::ByteVec;

/// Bytes of records in one answer.
const PAGE: usize = 192 * 1024;
/// Answers with records that one peer gets between two of this node's own rounds of repeats.
const ANSWERS: u32 = 32;
/// And one that is no member.
const STRANGER_ANSWERS: u32 = 8;
/// And all of those together: asking costs them little, and whoever comes has time.
const STRANGERS_ANSWERS: u32 = 32;

impl Node {
    /// Takes a certified record as the new head; `from` is who gave it.
    ///
    /// Errors: it does not follow the head, or is not the one that the run is known to have there.
    pub(super) fn follow(
        &mut self,
        record: SignedRecord,
        from: Option<PeerId>,
    ) -> Result<(), String> {
        let core = &mut self.core;
        match &mut self.stage {
            Stage::Running(running) => running.follow(core, record, from),
            Stage::Lobby => {
                let chain = ChainState::follow(None, &core.run, &record, &core.cache)
                    .map_err(|e| e.to_string())?;
                core.fits(chain.height, chain.hash)?;
                let running = Running::begin(core, record, chain, from);
                self.stage = Stage::Running(Box::new(running));
                Ok(())
            }
            _ => Err("the run is over for this node".to_owned()),
        }
    }

    pub(super) fn on_request(&mut self, to: PeerId, from: u64) {
        let strangers = |(id, peer): (&PeerId, &Peer)| self.is_stranger(id).then_some(peer.answers);
        let (most, all): (u32, u32) = match self.is_stranger(&to) {
            true => (STRANGER_ANSWERS, self.core.peers.iter().filter_map(strangers).sum()),
            false => (ANSWERS, 0),
        };
        let core = &mut self.core;
        let Some(peer) = core.peers.get_mut(&to) else { return };
        let enough = peer.answers >= most || all >= STRANGERS_ANSWERS;
        if enough || from >= core.records.len() as u64 {
            return;
        }
        peer.answers += 1;
        let mut records: Vec<ByteVec> = Vec::new();
        let mut size = 0;
        for record in &core.records[from as usize..] {
            let bytes = record.to_bytes();
            size += bytes.len();
            if !records.is_empty() && size > PAGE || records.len() == MAX_RECORDS {
                break;
            }
            records.push(bytes.into());
        }
        core.send(to, &Message::Records { run: core.run.id, records });
    }

    pub(super) fn on_records(&mut self, from: PeerId, records: &[ByteVec]) {
        let mut grew = 0;
        for bytes in records {
            let record = match SignedRecord::from_bytes(bytes) {
                Ok(record) => record,
                Err(error) => return self.core.strike(from, &error.to_string()),
            };
            if record.record().height != self.core.lacks_of(&from) {
                continue;
            }
            match self.take(record, from) {
                Ok(true) => grew += bytes.len(),
                Ok(false) => {}
                Err(error) => return self.core.strike(from, &error),
            }
        }
        let core = &mut self.core;
        core.note_shown(from, grew);
        let lacks = core.lacks_of(&from);
        if let Some(peer) = core.peers.get_mut(&from)
            && grew > 0
            && peer.head.is_some_and(|height| height >= lacks)
        {
            peer.ask_at = core.now;
            core.ask(from);
        }
    }

    /// Repeats what may have been lost, when it is time to.
    pub(super) fn resend_if_due(&mut self) {
        if self.core.resend_is_due() {
            for message in self.repeats() {
                self.core.broadcast(&message);
            }
        }
    }

    /// Everything of this node that others may lack.
    pub(super) fn repeats(&self) -> Vec<Message> {
        let mut messages = vec![self.core.head()];
        match &self.stage {
            Stage::Lobby => messages.push(Message::Join(self.core.own_join())),
            Stage::Running(running) => messages.extend(running.repeats(&self.core)),
            Stage::New { .. } | Stage::Finished(_) | Stage::Left(_) | Stage::Dead(_) => {}
        }
        messages
    }
}
