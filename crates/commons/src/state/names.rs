//! What members are called. Since version 3 of the rules a name that misleads counts for nothing,
//! whichever program wrote it: one that is none, and one that looks like that of a member.
//!
//! A name belongs to the member that took it until that one takes another, also while it is no
//! member: else whoever gets somebody out for a moment could have the name. Whoever never was a
//! member may be called like somebody else that is none: a stranger's word keeps no name from those
//! who come. Whoever becomes a member under a name that one has by then, has none until it says
//! another.

use super::{Member, State, VoidReason};
use crate::naming::{self, NameError, Named};
use ids::{PeerId, name};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

/// Who holds which name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// What a name looks like → the member that is called so.
    looks: BTreeMap<String, PeerId>,
    /// Who holds a name: members, and who was one.
    holders: BTreeSet<PeerId>,
    /// Who became a member since names were settled last.
    fresh: Vec<PeerId>,
    /// Members whose names look alike, found when somebody asks.
    alike: OnceLock<BTreeSet<PeerId>>,
}

impl State {
    /// Whether somebody may be called so: by `who`, a member or somebody new.
    ///
    /// Errors: [`NameError::Unfit`], [`NameError::Taken`].
    pub fn check_name(&self, who: Option<&PeerId>, name: &str) -> Result<(), NameError> {
        naming::check(Named::Name, name)?;
        match self.namesake(who, name) {
            None => Ok(()),
            Some(id) => {
                let other = self.members[&id].name.clone();
                Err(NameError::Taken { name: name.to_owned(), other, id })
            }
        }
    }

    /// A member other than `who` whose name looks like this one.
    fn namesake(&self, who: Option<&PeerId>, name: &str) -> Option<PeerId> {
        let looks = name::looks(name);
        if self.names_hold() {
            let mut held = looks.iter().filter_map(|look| self.names.looks.get(look));
            return held.find(|id| Some(*id) != who).copied();
        }
        let mut others = self
            .members
            .iter()
            .filter(|(id, member)| Some(*id) != who && member.is_member && !member.name.is_empty());
        let alike = |other: &str| name::looks(other).iter().any(|look| looks.contains(look));
        others.find(|(_, member)| alike(&member.name)).map(|(id, _)| *id)
    }

    /// Whether a member's name looks like another member's, as it may before version 3 of the rules.
    pub fn has_namesake(&self, id: &PeerId) -> bool {
        !self.names_hold() && self.names.alike.get_or_init(|| self.alike()).contains(id)
    }

    /// Members whose name looks like another member's.
    fn alike(&self) -> BTreeSet<PeerId> {
        let mut first: BTreeMap<String, PeerId> = BTreeMap::new();
        let mut alike = BTreeSet::new();
        let named = |(_, member): &(&PeerId, &Member)| member.is_member && !member.name.is_empty();
        for (id, member) in self.members.iter().filter(named) {
            for look in name::looks(&member.name) {
                let known = *first.entry(look).or_insert(*id);
                alike.extend((known != *id).then_some([known, *id]).into_iter().flatten());
            }
        }
        alike
    }

    /// Members and their names may be others from here on.
    pub(super) fn forget_alike(&mut self) {
        self.names.alike.take();
    }

    /// Whether names that mislead count for nothing in this log.
    pub(super) fn names_hold(&self) -> bool {
        self.version >= 3
    }

    /// What somebody calls itself.
    pub(super) fn take_name(&mut self, author: PeerId, name: &str) -> Result<(), VoidReason> {
        if self.names_hold() {
            self.check_name(Some(&author), name)?;
            self.release_name(&author);
        }
        if let Some(member) = self.members.get_mut(&author) {
            member.name = name.to_owned();
        }
        if self.names_hold() && self.is_member(&author) {
            self.hold_name(author);
        }
        Ok(())
    }

    /// Notes that somebody became a member.
    pub(super) fn note_fresh(&mut self, id: PeerId) {
        if self.names_hold() && !self.names.holders.contains(&id) {
            self.names.fresh.push(id);
        }
    }

    /// After members came: they hold their names, who began first before others.
    pub(super) fn settle_names(&mut self) {
        let mut fresh = std::mem::take(&mut self.names.fresh);
        fresh.retain(|id| self.is_member(id));
        fresh.sort_by_key(|id| (self.members[id].began, *id));
        for id in fresh {
            let name = self.members[&id].name.clone();
            if name.is_empty() {
                continue;
            }
            if self.check_name(Some(&id), &name).is_ok() {
                self.hold_name(id);
            } else if let Some(member) = self.members.get_mut(&id) {
                member.name.clear();
            }
        }
    }

    /// Frees the name of one.
    fn release_name(&mut self, id: &PeerId) {
        if self.names.holders.remove(id) {
            for look in name::looks(&self.members[id].name) {
                self.names.looks.remove(&look);
            }
        }
    }

    fn hold_name(&mut self, id: PeerId) {
        self.names.holders.insert(id);
        for look in name::looks(&self.members[&id].name) {
            self.names.looks.insert(look, id);
        }
    }
}
