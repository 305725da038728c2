//! What a device does for a commons beside having its log: operating it, cosigning it.

use crate::{
    keys::{KeyError, Keys, Role},
    state::State,
};
use ids::{Identity, PeerId};

/// The tasks of a device, each with its key.
#[derive(Clone)]
pub struct Tasks {
    /// Operates the log, once and as long as it is this key's turn.
    pub operator: Option<Identity>,
    /// Cosigns heads, once and as long as members have named this key.
    pub witness: Option<Identity>,
}

/// Which tasks somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever there are keys for.
    All,
    /// All but operating the log.
    NoOperating,
    /// Cosigning and nothing else.
    OnlyWitness,
}

/// Why a device cannot do its task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It was to cosign and nothing else, and members have named no key of it.
    #[error("this commons has no witness with your key ({})", key.map_or("none yet".into(), |key| key.to_string()))]
    NoWitness {
        /// Its key, if there is one.
        key: Option<PeerId>,
    },
    /// A key does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl TaskError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<String> {
        match self {
            Self::NoWitness { .. } => Some(
                "`understory commons witness-key` prints it; the members name it when they create \
                 the commons"
                    .to_owned(),
            ),
            Self::Key(error) => error.todo(),
        }
    }
}

impl Tasks {
    /// Those that these keys are for. A person may be asked for their passphrase.
    ///
    /// Errors: [`TaskError`].
    pub fn of(keys: &Keys, state: &State, wanted: Wanted) -> Result<Self, TaskError> {
        let operates = wanted == Wanted::All && keys.has(Role::Operator);
        let operator = operates.then(|| keys.identity(Role::Operator)).transpose()?;
        let public = if keys.has(Role::Witness) { keys.public(Role::Witness).ok() } else { None };
        let is_named = public.is_some_and(|key| state.witness_name(&key).is_some());
        if wanted == Wanted::OnlyWitness && !is_named {
            return Err(TaskError::NoWitness { key: public });
        }
        // Whom members name later begins to cosign without being started again.
        let witness = public.map(|_| keys.identity(Role::Witness)).transpose()?;
        Ok(Self { operator, witness })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::member::tests::{Gardener, garden};

    #[test]
    fn a_device_does_what_it_has_keys_for_and_is_asked_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let garden = garden(dir.path());
        let tasks = |wanted| {
            let tasks = Tasks::of(&garden.keys, &garden.state, wanted).expect("it has keys");
            (tasks.operator.is_some(), tasks.witness.is_some())
        };
        assert_eq!(tasks(Wanted::All), (true, true));
        assert_eq!(tasks(Wanted::NoOperating), (false, true));
        assert_eq!(tasks(Wanted::OnlyWitness), (false, true));
    }

    #[test]
    fn who_is_no_witness_cosigns_later_but_does_nothing_else_meanwhile() {
        let dir = tempfile::tempdir().expect("a folder");
        let garden = garden(dir.path());
        let keys = Keys::at(&dir.path().join("cleo"), Gardener);
        let only = || Tasks::of(&keys, &garden.state, Wanted::OnlyWitness);
        assert!(matches!(only(), Err(TaskError::NoWitness { key: None })));
        let all = Tasks::of(&keys, &garden.state, Wanted::All).expect("nothing to do");
        assert!(all.operator.is_none() && all.witness.is_none());
        let made = keys.make(Role::Witness).expect("a key").id();
        let is_its = |error| matches!(error, TaskError::NoWitness { key } if key == Some(made));
        assert!(only().is_err_and(is_its));
        let all = Tasks::of(&keys, &garden.state, Wanted::All).expect("it may be named");
        assert_eq!(all.witness.map(|witness| witness.id()), Some(made));
    }
}
