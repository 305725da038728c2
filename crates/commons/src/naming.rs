//! What members, options and a commons may be called.
//!
//! One rule ([`ids::name`]), held before anything is signed, and since version 3 of the rules by
//! the log itself ([`crate::state::State::check_name`]). What other programs wrote into a log of an
//! older version may break it.

use ids::{PeerId, Quoted, name};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// A commons or a member, whose name stands by itself.
    Name,
    /// One of those who begin a commons.
    Founder,
    /// An option of a question.
    Option,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Founder => "founder",
            Self::Option => "option",
        })
    }
}

/// Why something cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// People cannot read or type it, or it reads like something else.
    #[error("the {of} {} {why}", Quoted(name))]
    Unfit {
        /// What is called so.
        of: Named,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: name::NameError,
    },
    /// It looks like the name of a member.
    #[error("{} looks like {}, which is what {} is called", Quoted(name), Quoted(other), id.short())]
    Taken {
        /// The name.
        name: String,
        /// The other's name.
        other: String,
        /// The other.
        id: PeerId,
    },
    /// An option's name that reads like its number.
    #[error("the option {} reads like a place on the ballot", Quoted(name))]
    LikePlace {
        /// The name.
        name: String,
    },
    /// Two options that people cannot tell apart.
    #[error("the options {} and {} look alike", Quoted(other), Quoted(name))]
    AlikeOptions {
        /// The one that is listed first.
        other: String,
        /// The other.
        name: String,
    },
}

impl NameError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Unfit { .. } => name::HINT,
            Self::Taken { .. } => {
                "names differ in more than case, spacing or form; add a second name"
            }
            Self::LikePlace { .. } => "#1, #2 and so on are how ballots number the options",
            Self::AlikeOptions { .. } => {
                "give them names that differ in more than case, spacing or form"
            }
        }
    }
}

/// Whether people can tell these options apart when they read and type them.
///
/// Errors: a name is none ([`name::check`]) or reads like a place; two names are alike.
pub fn check_options<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), NameError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        check(Named::Option, name)?;
        if name.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            return Err(NameError::LikePlace { name: name.to_owned() });
        }
        for look in BTreeSet::from(name::looks(name)) {
            if let Some(other) = seen.insert(look, name) {
                let (other, name) = (other.to_owned(), name.to_owned());
                return Err(NameError::AlikeOptions { other, name });
            }
        }
    }
    Ok(())
}

/// Errors: a text is no name; `of` says what it would be of. Only options may have the digits of a
/// key inside, as those that name a member do.
pub fn check(of: Named, text: &str) -> Result<(), NameError> {
    let unfit = |why| NameError::Unfit { of, name: text.to_owned(), why };
    name::check(text).map_err(unfit)?;
    match of != Named::Option && name::has_id(text) {
        true => Err(unfit(name::NameError::LikeId)),
        false => Ok(()),
    }
}

/// Errors: a name looks like that of `id`.
pub(crate) fn refuse_alike(name: &str, other: &str, id: &PeerId) -> Result<(), NameError> {
    match name::alike(name, other) {
        true => Err(NameError::Taken { name: name.to_owned(), other: other.to_owned(), id: *id }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_people_cannot_tell_apart_are_refused() {
        let good: [&[&str]; 4] =
            [&["yes", "no"], &["3", "5", "7"], &["für", "wider"], &["Ja", "Nein", "日本"]];
        for names in good {
            check_options(names.iter().copied()).expect("they differ");
        }
        let bad: [&[&str]; 10] = [
            &["#1", "x"],
            &["red", "Red"],
            &["a b", "a  b"],
            &["ﬁne", "fine"],
            &["pаy", "pay"], // the first with a Cyrillic letter
            &["modern", "rnodern"],
            &["Il", "ll"],
            &[" "],
            &["a\u{200b}b"],
            &["fu\u{308}r"],
        ];
        for names in bad {
            assert!(check_options(names.iter().copied()).is_err(), "{names:?}");
        }
    }
}
