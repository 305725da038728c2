//! Flags whose values are those of an enum in a statement, under the names that they have in JSON.

use clap::{ValueEnum, builder::PossibleValue};
use commons::statement::{House, ProposalType, Relation, TieRule, Unranked, Verdict};
use decide::Method;

/// A value as a flag takes it. `ValueEnum` is another crate's, and so are the enums: hence this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<T>(pub T);

/// An enum whose values a flag takes.
pub trait FlagValue: Copy + Send + Sync + 'static {
    /// The values that somebody may name.
    const FLAGS: &'static [Flag<Self>];

    /// A value's name and, where the name does not say it, what it means.
    fn words(self) -> (&'static str, Option<&'static str>);
}

impl<T: FlagValue> ValueEnum for Flag<T> {
    fn value_variants<'a>() -> &'a [Self] {
        T::FLAGS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = self.0.words();
        let value = PossibleValue::new(name);
        Some(match help {
            Some(help) => value.help(help),
            None => value,
        })
    }
}

macro_rules! flag_values {
    ($($type:ident { $($variant:ident $(= $help:literal)?),* $(,)? })*) => {$(
        impl FlagValue for $type {
            const FLAGS: &'static [Flag<Self>] = &[$(Flag($type::$variant)),*];

            fn words(self) -> (&'static str, Option<&'static str>) {
                let help = match self {
                    $($($type::$variant => Some($help),)?)*
                    #[allow(unreachable_patterns)]
                    _ => None,
                };
                (self.name(), help)
            }
        }
    )*};
}

flag_values! {
    House { Users, Contributors }
    Relation { Trained, Tuned, Merged, Distilled, Quantized, Pruned, Converted }
    // Equivocation takes two statements as evidence, which no flag gives.
    Verdict { Confirmed, Mismatch, Unavailable, Disputed }
    // Who witnesses is not an option that can be written as a text.
    ProposalType { Question, Charter, Rules, Licence, Rights, Stewards, Removal, Panel, Appeal }
    // Whether members are drawn by lot follows from the topic.
    Method { Approval, Schulze, Committee, Stv }
    Unranked {
        Last = "Below everything ranked, as in Debian",
        NoOpinion = "No opinion, as in Kubernetes",
    }
}

impl FlagValue for TieRule<(), ()> {
    const FLAGS: &'static [Flag<Self>] =
        &[Flag(Self::Listed), Flag(Self::Lot { seed: () }), Flag(Self::Casting { voter: () })];

    fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Listed => ("listed", Some("The option listed first")),
            Self::Lot { .. } => {
                ("lot", Some("A lot drawn from the secrets of the ballots; only with --secret"))
            }
            Self::Casting { .. } => ("mine", Some("The proposer's ballot")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_house_and_relation_can_be_named() {
        let flags = |all: &[Flag<Relation>]| all.iter().map(|flag| flag.0).collect::<Vec<_>>();
        assert_eq!(flags(Relation::FLAGS), Relation::ALL);
        assert_eq!(House::FLAGS.iter().map(|flag| flag.0).collect::<Vec<_>>(), House::ALL);
    }

    #[test]
    fn values_are_read_by_the_names_that_json_has() {
        for method in Method::FLAGS {
            let name = commons::statement::Method::Counted(method.0);
            let name = serde_json::to_value(name).expect("a name");
            let name = name.as_str().expect("a text");
            assert_eq!(Flag::<Method>::from_str(name, false).as_ref(), Ok(method));
        }
        assert!(Flag::<Method>::from_str("lot", false).is_err(), "a lot follows from the topic");
    }
}
