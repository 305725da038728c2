//! Whether a proof that stands alone holds: by the genesis that is in it, or by the log here.

use crate::{
    Home, HomeError, Snapshot,
    portable::{LoggedStatement, Portable, PortableError, Trust, contradiction},
    state::State,
};
use ids::{Hash, PeerId};
use tlog::{NotLogged, SplitError, VerifierKey};

/// What holds of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A statement is in the log.
    Logged {
        /// Who cosigned, and when, in Unix seconds.
        cosigned: Vec<(VerifierKey, u64)>,
        /// How many had to.
        need: usize,
    },
    /// This operator signed two histories.
    Split(PeerId),
}

/// Why a proof does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] PortableError),
    /// It is about another commons.
    #[error("it is about commons {about}, not {expected}")]
    OtherCommons {
        /// Which.
        about: Hash,
        /// Which it should be about.
        expected: Hash,
    },
    /// Its checkpoint contradicts the log here.
    #[error(
        "its checkpoint of size {size} is not of the log here{}",
        if *.proven {
            "; the operator signed both: `understory commons prove --split` writes the proof"
        } else {
            ""
        }
    )]
    OtherHistory {
        /// The checkpoint's size.
        size: u64,
        /// Whether the operator signed both; then the proof of that is kept.
        proven: bool,
    },
    /// Those who signed or cosigned it are not known to be who may.
    #[error("{0}, as far as is known here")]
    Unknown(#[source] NotLogged),
    /// The statement is not in such a log.
    #[error(transparent)]
    NotLogged(NotLogged),
    /// It does not show two histories.
    #[error(transparent)]
    NoSplit(#[from] SplitError),
}

/// What holds, or why not.
pub type Verdict = Result<Found, Flaw>;

/// Judges by the genesis of the commons `id`, and operators that are known beside it.
pub fn by_genesis(proof: &Portable, id: Hash, operators: &[PeerId]) -> Verdict {
    if proof.commons() != id {
        return Err(Flaw::OtherCommons { about: proof.commons(), expected: id });
    }
    let trust = Trust::of_genesis(proof.genesis());
    judge(proof, &operators.iter().fold(trust, |trust, key| trust.and_operator(*key)))
}

/// Judges by the log of a member. A second history that the proof shows is kept there.
///
/// Errors: the log cannot be read.
pub fn by_log(proof: &Portable, home: &Home) -> Result<Verdict, HomeError> {
    let archive = home.archive()?;
    let log = archive.snapshot()?;
    if proof.commons() != archive.id() {
        let (about, expected) = (proof.commons(), archive.id());
        return Ok(Err(Flaw::OtherCommons { about, expected }));
    }
    let state = home.state(&log)?;
    let Portable::Logged(logged) = proof else {
        return Ok(judge(proof, &Trust::of_all(&state)));
    };
    if let Some(flaw) = other_history(logged, home, &log, &state)? {
        return Ok(Err(flaw));
    }
    let size = logged.proof.checkpoint.checkpoint().size;
    let now = judge(proof, &Trust::of_state(&state, size));
    if now.is_ok() || size == 0 || size >= state.size {
        return Ok(now);
    }
    // Other witnesses may have been in force when they cosigned.
    let then = home.state_at(&log, size)?;
    Ok(judge(proof, &Trust::of_state(&then, size)).or(now))
}

/// Says so if the checkpoint is of another history than the log here, and keeps the proof of that.
fn other_history(
    logged: &LoggedStatement,
    home: &Home,
    log: &Snapshot,
    state: &State,
) -> Result<Option<Flaw>, HomeError> {
    let head = logged.proof.checkpoint.checkpoint();
    if head.size > log.size() || log.root_at(head.size)? == head.root {
        return Ok(None);
    }
    let split = contradiction(log, state, &logged.proof.checkpoint)?;
    if let Some(split) = &split {
        home.keep_split(split)?;
    }
    Ok(Some(Flaw::OtherHistory { size: head.size, proven: split.is_some() }))
}

fn judge(proof: &Portable, trust: &Trust) -> Verdict {
    match proof {
        Portable::Logged(logged) => match logged.check(trust) {
            Ok(witnessed) => {
                let witnesses = trust.policy().witnesses().iter().zip(&witnessed.times);
                let cosigned = witnesses.filter_map(|(key, at)| Some((key.clone(), (*at)?)));
                Ok(Found::Logged { cosigned: cosigned.collect(), need: witnessed.threshold })
            }
            Err(e @ (NotLogged::Unsigned { .. } | NotLogged::TooFew { .. })) => {
                Err(Flaw::Unknown(e))
            }
            Err(e) => Err(Flaw::NotLogged(e)),
        },
        Portable::Split(split) => Ok(Found::Split(split.check(trust)?)),
    }
}
