//! A member's own keys: beginning with them, replacing, ending and recovering them.

use super::{Result, Workspace, WorkspaceError};
use crate::{
    Statement, founding,
    keys::Role,
    statement::{DeviceKey, Key, KeyOp},
};
use ids::{Hash, PeerId};

/// What is to come in the place of a member's keys.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// Devices that sign beside this one.
    pub devices: Vec<DeviceKey>,
    /// Members who help if the keys are lost, by name or id; where nobody is named, those of
    /// before.
    pub guardians: Vec<String>,
    /// How many of them it takes; a majority where it is not said.
    pub threshold: Option<u8>,
}

impl Workspace {
    /// Begins as a member with this device's key, unless it signs for one already.
    ///
    /// Errors: as [`Self::say`].
    pub fn begin(&mut self, now: u64) -> Result<Option<Statement>> {
        let me = self.keys.identity(Role::Current)?;
        if self.ahead()?.member_of(&me.id()).is_some() {
            return Ok(None);
        }
        let key = Key {
            member: me.id(),
            op: KeyOp::Start,
            keys: vec![self.device(&me.id())?],
            next: self.keys.card()?.next,
            guardians: Vec::new(),
            threshold: 0,
        };
        self.say(key, now).map(Some)
    }

    /// This device's key as one of `member`'s: what a member's other device names in a
    /// [`Rotation`].
    ///
    /// Errors: there is no key, or it does not open.
    pub fn device(&self, member: &PeerId) -> Result<DeviceKey> {
        Ok(DeviceKey::bind(&self.keys.identity(Role::Current)?, &self.state.id, member))
    }

    /// Replaces the member's keys by the next one and the devices that are named, and commits to a
    /// new next key. Also a key that was ended is replaced: the next one is there for that.
    ///
    /// `None`: an earlier rotation was cut short after its statement was signed. It is whole now,
    /// and no other was begun.
    ///
    /// Errors: as [`Self::say`]; this device's key never signed for anybody here; nobody is meant
    /// by a guardian's name. The keys stay as they are where the statement counts for nothing.
    pub fn rotate(&mut self, rotation: &Rotation, now: u64) -> Result<Option<Statement>> {
        let ahead = self.ahead()?;
        let is_signed = |next| ahead.member_of(&next).is_some();
        if self.keys.is_halfway() || is_signed(self.keys.public(Role::Next)?) {
            self.keys.advance()?;
            return Ok(None);
        }
        let signer = self.keys.identity(Role::Next)?;
        let key = self.keys.public(Role::Current)?;
        let member = ahead.owner_of(&key).ok_or(WorkspaceError::NoMember { key })?;
        let guardians = match rotation.guardians.as_slice() {
            [] => ahead.members[&member].guardians.clone(),
            named => named.iter().map(|text| self.member(text)).collect::<Result<_>>()?,
        };
        if guardians.contains(&member) {
            return Err(WorkspaceError::OwnGuardian);
        }
        let threshold = match guardians.len() {
            0 => 0,
            all => rotation.threshold.unwrap_or(founding::majority(all)),
        };
        let mut keys = vec![DeviceKey::bind(&signer, &self.state.id, &member)];
        keys.extend_from_slice(&rotation.devices);
        let next = Key::digest(&self.keys.make_successor()?.id());
        let body = Key { member, op: KeyOp::Rotate, keys, next, guardians, threshold };
        let statement = self.say_as(&signer, body, now)?;
        if self.outcome(&statement).void.is_none() {
            self.keys.advance()?;
        }
        Ok(Some(statement))
    }

    /// Ends this device's key.
    ///
    /// Errors: as [`Self::say`]; it signs for nobody here.
    pub fn revoke(&mut self, now: u64) -> Result<Statement> {
        let key = Key {
            member: self.me()?,
            op: KeyOp::Revoke,
            keys: Vec::new(),
            next: Hash::default(),
            guardians: Vec::new(),
            threshold: 0,
        };
        self.say(key, now)
    }

    /// Asks the guardians of a member who lost its keys, named by name or id, to accept this
    /// device's. Returns also how many of them have to confirm the statement.
    ///
    /// Errors: as [`Self::say`]; nobody is meant by the name.
    pub fn recover(&mut self, member: &str, now: u64) -> Result<(Statement, u8)> {
        let member = self.member(member)?;
        let known = &self.state.members[&member];
        let (guardians, threshold) = (known.guardians.clone(), known.threshold);
        let key = Key {
            member,
            op: KeyOp::Recover,
            keys: vec![self.device(&member)?],
            next: self.keys.card()?.next,
            guardians,
            threshold,
        };
        Ok((self.say(key, now)?, threshold))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        founding::{Founding, create, founder},
        keys::{KeyHolder, Keys, PassphraseError, Purpose},
        statement::{Rules, WitnessKey, Witnesses},
    };
    use std::path::Path;
    use zeroize::Zeroizing;

    pub const NOW: u64 = 1_800_000_000;

    /// Somebody who knows the passphrase.
    pub struct Gardener;

    impl KeyHolder for Gardener {
        fn passphrase(
            &self,
            _: Purpose,
        ) -> std::result::Result<Zeroizing<String>, PassphraseError> {
            Ok(Zeroizing::new("soil".to_owned()))
        }

        fn exposed(&self, path: &Path) {
            panic!("{} can be read by others", path.display());
        }
    }

    fn keys(dir: &Path) -> Keys {
        let keys = Keys::at(dir, Gardener);
        for role in [Role::Next, Role::Current] {
            keys.make(role).expect("a key");
        }
        keys
    }

    /// A commons of Anna, who operates it with the keys in `anna`, and Berta.
    pub fn garden(dir: &Path) -> Workspace {
        let (anna, berta) = (keys(&dir.join("anna")), keys(&dir.join("berta")));
        let card = |keys: &Keys| keys.card().expect("a card");
        anna.make(Role::Operator).expect("a key");
        let witness = anna.make(Role::Witness).expect("a key").id();
        let founding = Founding {
            name: "Garden".to_owned(),
            charter: String::new(),
            rules: Rules::default(),
            founders: vec![founder("Anna", &card(&anna)), founder("Berta", &card(&berta))],
            witnesses: Witnesses {
                threshold: 1,
                keys: vec![WitnessKey { name: "w".to_owned(), key: witness }],
            },
        };
        let (me, operator) = (anna.identity(Role::Current), anna.identity(Role::Operator));
        let home = dir.join("commons");
        create(&home, &me.expect("a key"), &operator.expect("a key"), founding, NOW)
            .expect("a commons");
        Workspace::open(&home, anna).expect("it opens")
    }

    #[test]
    fn a_rotation_moves_the_keys_on_and_names_devices_and_guardians() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let anna = garden.me().expect("a member");
        let berta = garden.member("Berta").expect("a member");
        let phone = ids::Identity::from_seed([9; 32]);
        let device = DeviceKey::bind(&phone, &garden.state.id, &anna);
        let next = garden.keys.public(Role::Next).expect("a key");
        let rotation = Rotation {
            devices: vec![device],
            guardians: vec!["Berta".to_owned()],
            threshold: None,
        };
        let said = garden.rotate(&rotation, NOW).expect("it is said").expect("a rotation");
        assert_eq!(garden.outcome(&said).void, None);
        assert_eq!(garden.keys.public(Role::Current).expect("a key"), next, "the key moved");
        assert_eq!(garden.state.member_of(&next), Some(anna));
        assert_eq!(garden.state.member_of(&phone.id()), Some(anna));
        let member = &garden.state.members[&anna];
        assert_eq!((&member.guardians[..], member.threshold), (&[berta][..], 1));
        // Whoever names nobody keeps those of before, and the devices go.
        garden.rotate(&Rotation::default(), NOW).expect("it is said").expect("a rotation");
        let member = &garden.state.members[&anna];
        assert_eq!((&member.guardians[..], member.threshold), (&[berta][..], 1));
        assert_eq!(garden.state.member_of(&phone.id()), None);
    }

    #[test]
    fn a_rotation_that_was_cut_short_is_finished_and_none_begun() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let files = || -> Vec<(std::path::PathBuf, Vec<u8>)> {
            let all = std::fs::read_dir(dir.path().join("anna")).expect("keys");
            let paths = all.map(|file| file.expect("a file").path());
            paths.map(|path| (path.clone(), std::fs::read(path).expect("it reads"))).collect()
        };
        // As it is after a crash between the statement and the first renaming.
        let before = files();
        garden.rotate(&Rotation::default(), NOW).expect("it is said").expect("a rotation");
        let (next, successor) = (garden.keys.public(Role::Current), garden.keys.public(Role::Next));
        let after = files();
        for (path, _) in &after {
            std::fs::remove_file(path).expect("removed");
        }
        for (path, bytes) in &before {
            std::fs::write(path, bytes).expect("written");
        }
        for suffix in ["pub", "pem"] {
            let moved = after.iter().find(|(path, _)| path.ends_with(format!("next.{suffix}")));
            let new = dir.path().join("anna").join(format!("new.{suffix}"));
            std::fs::write(new, &moved.expect("the successor").1).expect("written");
        }
        let size = garden.state.size;
        assert_eq!(garden.rotate(&Rotation::default(), NOW).expect("it is finished"), None);
        assert_eq!(garden.state.size, size);
        assert_eq!(garden.keys.public(Role::Current).expect("a key"), next.expect("a key"));
        assert_eq!(garden.keys.public(Role::Next).expect("a key"), successor.expect("a key"));
    }

    #[test]
    fn a_guardian_whom_nobody_knows_leaves_everything_as_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let rotation = Rotation { guardians: vec!["Cleo".to_owned()], ..Rotation::default() };
        let (size, key) = (garden.state.size, garden.keys.public(Role::Current));
        assert!(matches!(garden.rotate(&rotation, NOW), Err(WorkspaceError::Find(_))));
        assert_eq!(garden.state.size, size);
        assert_eq!(garden.keys.public(Role::Current).expect("a key"), key.expect("a key"));
        assert!(!dir.path().join("anna/new.pub").exists(), "a successor was made");
    }

    #[test]
    fn an_ended_key_signs_no_more_until_the_next_one_does() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        garden.revoke(NOW).expect("it is said");
        assert!(matches!(garden.me(), Err(WorkspaceError::OutOfForce { .. })));
        garden.rotate(&Rotation::default(), NOW).expect("it is said").expect("a rotation");
        garden.me().expect("the next key signs");
    }

    #[test]
    fn lost_keys_are_recovered_by_those_who_were_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let anna = garden.me().expect("a member");
        let rotation = Rotation { guardians: vec!["Berta".to_owned()], ..Rotation::default() };
        garden.rotate(&rotation, NOW).expect("it is said").expect("a rotation");
        let own =
            Rotation { guardians: vec!["Berta".into(), "Anna".into()], ..Rotation::default() };
        assert!(matches!(garden.rotate(&own, NOW), Err(WorkspaceError::OwnGuardian)));
        let lost = std::mem::replace(&mut garden.keys, keys(&dir.path().join("new")));
        assert!(matches!(garden.rotate(&rotation, NOW), Err(WorkspaceError::NoMember { .. })));
        let (statement, threshold) = garden.recover("Anna", NOW).expect("it is said");
        assert_eq!(threshold, 1);
        // The log is operated with the old keys.
        garden.keys = lost;
        garden.settle(NOW).expect("it is settled");
        assert_eq!(garden.outcome(&statement).void, None);
        assert_eq!(garden.state.members[&anna].recoveries.len(), 1);
    }

    #[test]
    fn whoever_begins_is_a_member_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        assert_eq!(garden.begin(NOW).expect("nothing to do"), None, "a founder has begun");
        let founder = std::mem::replace(&mut garden.keys, keys(&dir.path().join("new")));
        garden.begin(NOW).expect("it is said").expect("the first time");
        assert_eq!(garden.begin(NOW).expect("nothing to do"), None, "it waits for its place");
        let cleo = garden.me().expect("a member");
        garden.keys = founder;
        garden.settle(NOW).expect("it is settled");
        assert!(garden.state.members.contains_key(&cleo) && !garden.state.is_member(&cleo));
    }
}
