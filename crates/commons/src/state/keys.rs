//! Whose key is in force: start, rotation by a key committed to before, recovery by guardians.

use super::{State, VoidReason, people::Member};
use crate::{
    Statement,
    statement::{DeviceKey, Genesis, Key, KeyOp},
};
use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Which keys sign for whom.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    /// Key → member. A key that is out of force stays, so that nobody else can take it.
    owners: BTreeMap<PeerId, PeerId>,
    /// Member → its keys in force.
    in_force: BTreeMap<PeerId, BTreeSet<PeerId>>,
}

/// New keys for a member that lost its own, on their way.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The `Key` statement with the new keys.
    pub statement: Hash,
    /// Its index.
    pub index: u64,
    /// The keys.
    pub key: Key,
    /// Guardians who endorsed it.
    pub endorsed: BTreeSet<PeerId>,
    /// When it comes into force, once enough have.
    pub due: Option<u64>,
}

impl KeyRing {
    /// The member that `key` signs for now.
    pub fn member_of(&self, key: &PeerId) -> Option<PeerId> {
        let owner = *self.owners.get(key)?;
        self.in_force.get(&owner)?.contains(key).then_some(owner)
    }

    /// The member that `key` signs or once signed for.
    pub fn owner_of(&self, key: &PeerId) -> Option<PeerId> {
        self.owners.get(key).copied()
    }

    /// The keys in force of a member.
    pub fn keys_of(&self, member: &PeerId) -> Vec<PeerId> {
        self.in_force.get(member).into_iter().flatten().copied().collect()
    }

    fn is_free_for(&self, key: &PeerId, member: &PeerId) -> bool {
        self.owners.get(key).is_none_or(|owner| owner == member)
    }

    fn replace(&mut self, member: PeerId, keys: impl IntoIterator<Item = PeerId>) {
        let keys: BTreeSet<PeerId> = keys.into_iter().collect();
        for key in &keys {
            // A fork's genesis may give a founder what was somebody else's device in the old log.
            self.end(key);
            self.owners.insert(*key, member);
        }
        self.in_force.insert(member, keys);
    }

    fn end(&mut self, key: &PeerId) {
        if let Some(keys) = self.owners.get(key).and_then(|owner| self.in_force.get_mut(owner)) {
            keys.remove(key);
        }
    }
}

impl State {
    /// The keys that sign for a member now.
    pub fn keys_of(&self, member: &PeerId) -> Vec<PeerId> {
        self.keys.keys_of(member)
    }

    /// The first members.
    pub(super) fn found(&mut self, genesis: &Genesis) {
        for founder in &genesis.founders {
            // In a fork somebody may be known already, and may have rotated its keys.
            if !self.members.contains_key(&founder.member) {
                self.keys.replace(founder.member, [founder.member]);
                let mut member = Member::new(0, founder.next);
                member.guardians = founder.guardians.clone();
                member.threshold = founder.threshold;
                self.members.insert(founder.member, member);
            }
            let known = self.members.entry(founder.member);
            known.and_modify(|member| {
                member.name = founder.name.clone();
                member.founder = true;
            });
        }
        self.census();
        self.settle_names();
        self.seat_founders(genesis);
    }

    pub(super) fn take_key(
        &mut self,
        index: u64,
        statement: &Statement,
        key: &Key,
    ) -> Result<(), VoidReason> {
        match key.op {
            KeyOp::Start => self.start(index, statement, key),
            KeyOp::Rotate => self.rotate(statement, key),
            KeyOp::Recover => self.ask_recovery(index, statement, key),
            KeyOp::Revoke => self.revoke(statement, key),
        }
    }

    fn start(&mut self, index: u64, statement: &Statement, key: &Key) -> Result<(), VoidReason> {
        if key.member != statement.author || key.keys[0].key != statement.author {
            return Err(VoidReason::StartNotSelfSigned);
        }
        if self.members.contains_key(&key.member) {
            return Err(VoidReason::AlreadyBegun);
        }
        self.check_keys(&key.keys, &key.member)?;
        self.keys.replace(key.member, key.keys.iter().map(|k| k.key));
        let mut member = Member::new(index, key.next);
        member.guardians = key.guardians.clone();
        member.threshold = key.threshold;
        self.members.insert(key.member, member);
        Ok(())
    }

    /// A thief that has a current key cannot do this: it takes the key committed to before.
    fn rotate(&mut self, statement: &Statement, key: &Key) -> Result<(), VoidReason> {
        let member = self.members.get(&key.member).ok_or(VoidReason::RotatesForNobody)?;
        if Key::digest(&statement.author) != member.next {
            return Err(VoidReason::NotTheNextKey);
        }
        self.check_keys(&key.keys, &key.member)?;
        self.put_keys(key);
        Ok(())
    }

    fn ask_recovery(
        &mut self,
        index: u64,
        statement: &Statement,
        key: &Key,
    ) -> Result<(), VoidReason> {
        if key.keys[0].key != statement.author {
            return Err(VoidReason::RecoveryNotSelfSigned);
        }
        self.check_keys(&key.keys, &key.member)?;
        let member = self.members.get_mut(&key.member).ok_or(VoidReason::RecoversForNobody)?;
        if member.guardians.is_empty() {
            return Err(VoidReason::NoGuardians);
        }
        self.recoveries.insert(statement.hash(), key.member);
        let recovery = Recovery {
            statement: statement.hash(),
            index,
            key: key.clone(),
            endorsed: BTreeSet::new(),
            due: None,
        };
        // By its statement: anybody can ask for a recovery, as often as it likes.
        member.recoveries.insert(statement.hash(), recovery);
        Ok(())
    }

    fn revoke(&mut self, statement: &Statement, key: &Key) -> Result<(), VoidReason> {
        if self.member_of(&statement.author) != Some(key.member) {
            return Err(VoidReason::RevokesOtherKey);
        }
        self.keys.end(&statement.author);
        Ok(())
    }

    /// A guardian's word for a recovery. Whether the statement it checks is one.
    pub(super) fn endorse(
        &mut self,
        guardian: PeerId,
        statement: &Hash,
    ) -> Result<bool, VoidReason> {
        let due = self.now().saturating_add(self.rules.recovery_delay);
        let Some(member) = self.recoveries.get(statement).and_then(|m| self.members.get_mut(m))
        else {
            return Ok(false);
        };
        let Some(recovery) = member.recoveries.get_mut(statement) else {
            return Err(VoidReason::RecoverySettled);
        };
        if !member.guardians.contains(&guardian) {
            return Err(VoidReason::NotAGuardian);
        }
        recovery.endorsed.insert(guardian);
        if recovery.endorsed.len() >= usize::from(member.threshold) && recovery.due.is_none() {
            recovery.due = Some(due);
            self.due_recoveries.insert((due, recovery.index, *statement));
        }
        Ok(true)
    }

    /// Puts recoveries into force whose time has come; a rotation before that is the veto.
    pub(super) fn settle_recoveries(&mut self) {
        while let Some(&(due, index, statement)) = self.due_recoveries.first()
            && due <= self.now()
        {
            self.due_recoveries.remove(&(due, index, statement));
            let member = self.recoveries.get(&statement).and_then(|m| self.members.get_mut(m));
            let Some(member) = member else { continue };
            let Some(Recovery { key, .. }) = member.recoveries.remove(&statement) else { continue };
            // What was free when it was asked for may have been taken since.
            if self.check_keys(&key.keys, &key.member).is_ok() {
                self.put_keys(&key);
            }
        }
    }

    fn put_keys(&mut self, key: &Key) {
        self.keys.replace(key.member, key.keys.iter().map(|k| k.key));
        if let Some(member) = self.members.get_mut(&key.member) {
            member.next = key.next;
            member.guardians = key.guardians.clone();
            member.threshold = key.threshold;
            member.recoveries.clear();
        }
    }

    fn check_keys(&self, keys: &[DeviceKey], member: &PeerId) -> Result<(), VoidReason> {
        for device in keys {
            if !device.is_bound(&self.id, member) {
                return Err(VoidReason::KeyNotBound { key: device.key });
            }
            if !self.keys.is_free_for(&device.key, member) {
                return Err(VoidReason::KeyTaken { key: device.key });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_force_for_the_one_it_was_given_to_last() {
        let [anna, bert, a, b] = [1, 2, 3, 4].map(|byte| PeerId([byte; 32]));
        let mut ring = KeyRing::default();
        ring.replace(anna, [b, a]);
        assert_eq!((ring.keys_of(&anna), ring.member_of(&a)), (vec![a, b], Some(anna)));
        ring.replace(bert, [b]);
        assert_eq!((ring.keys_of(&anna), ring.keys_of(&bert)), (vec![a], vec![b]));
        ring.end(&a);
        assert_eq!((ring.keys_of(&anna), ring.member_of(&a)), (vec![], None));
        assert!(!ring.is_free_for(&a, &bert), "a key that ended is nobody else's");
        ring.replace(bert, []);
        assert_eq!(ring.member_of(&b), None);
    }
}
