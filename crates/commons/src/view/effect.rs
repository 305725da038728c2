//! What an option does if it wins. Its name is what its author calls it; this is what counts.

use crate::{
    names::name_of,
    state::State,
    statement::{Effect, HeldSeats, Rules},
};
use ids::{Hash, PeerId, Quoted};

/// What an option does: its kind and data for programs, words for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EffectView {
    /// The kind and its data.
    #[serde(flatten)]
    pub what: EffectData,
    /// The same in words, which another version of the program may choose otherwise; empty where it
    /// does nothing by itself.
    pub words: String,
}

/// What an option does, as data.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EffectData {
    /// Nothing by itself.
    None,
    /// Another charter.
    Charter {
        /// Digest of its text.
        digest: Hash,
    },
    /// Other rules.
    Rules {
        /// What differs from the rules now: setting, value now, value then.
        changes: Vec<(String, serde_json::Value, serde_json::Value)>,
    },
    /// Other witnesses.
    Witnesses {
        /// How many of them must cosign.
        threshold: u8,
        /// Their names and keys.
        keys: Vec<(String, PeerId)>,
    },
    /// A seat.
    Seat {
        /// Whose.
        member: PeerId,
    },
    /// A removal.
    Remove {
        /// Whose.
        member: PeerId,
        /// Digest of the evidence.
        evidence: Hash,
    },
    /// The result that is appealed against is void.
    Overturn,
    /// Seats of a committee that are held already.
    Seats {
        /// What the committee is called.
        committee: String,
        /// Who holds them.
        names: Vec<String>,
    },
}

impl EffectView {
    /// What an option does in this state.
    pub fn new(state: &State, effect: &Effect) -> Self {
        let what = data(state, effect);
        let words = words(state, &what);
        Self { what, words }
    }
}

fn data(state: &State, effect: &Effect) -> EffectData {
    match effect {
        Effect::None => EffectData::None,
        Effect::Charter(digest) => EffectData::Charter { digest: *digest },
        Effect::Rules(rules) => EffectData::Rules { changes: changes(&state.rules, rules) },
        Effect::Witnesses(witnesses) => EffectData::Witnesses {
            threshold: witnesses.threshold,
            keys: witnesses.keys.iter().map(|key| (key.name.clone(), key.key)).collect(),
        },
        Effect::Seat(member) => EffectData::Seat { member: *member },
        Effect::Remove(member, evidence) => {
            EffectData::Remove { member: *member, evidence: *evidence }
        }
        Effect::Overturn => EffectData::Overturn,
        Effect::Seats(HeldSeats { committee, seats }) => EffectData::Seats {
            committee: committee.clone(),
            names: seats.iter().map(|seat| seat.name.clone()).collect(),
        },
    }
}

/// Settings that differ, with both values.
fn changes(now: &Rules, then: &Rules) -> Vec<(String, serde_json::Value, serde_json::Value)> {
    let settings = |rules: &Rules| match serde_json::to_value(rules) {
        Ok(serde_json::Value::Object(settings)) => settings,
        _ => serde_json::Map::new(),
    };
    let (now, then) = (settings(now), settings(then));
    let old = |key: &String| now.get(key).cloned().unwrap_or_default();
    let all = then.into_iter().map(|(key, value)| (old(&key), key, value));
    all.filter(|(old, _, new)| old != new).map(|(old, key, new)| (key, old, new)).collect()
}

fn words(state: &State, effect: &EffectData) -> String {
    let member = |id: &PeerId| match name_of(state, id) {
        name if name.contains(&id.short()) => name,
        name => format!("{} ({})", Quoted(name), id.short()),
    };
    let quoted = |names: &[String]| {
        names.iter().map(|name| Quoted(name).to_string()).collect::<Vec<_>>().join(", ")
    };
    match effect {
        EffectData::None => String::new(),
        EffectData::Charter { digest } => format!("the charter becomes text {}", digest.short()),
        EffectData::Rules { changes } if changes.is_empty() => {
            "the rules stay as they are now".to_owned()
        }
        EffectData::Rules { changes } => {
            let one = |(key, old, new): &(String, _, _)| format!("{key} from {old} to {new}");
            format!("the rules change: {}", changes.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        EffectData::Witnesses { threshold, keys } => {
            let keys = keys.iter().map(|(name, key)| format!("{} ({})", Quoted(name), key.short()));
            let keys = keys.collect::<Vec<_>>().join(", ");
            format!("the witnesses become {keys}, of which {threshold} must cosign")
        }
        EffectData::Seat { member: id } => format!("{} has a seat", member(id)),
        EffectData::Remove { member: id, .. } => format!("{} is no member any more", member(id)),
        EffectData::Overturn => "the result that is appealed against is void".to_owned(),
        EffectData::Seats { committee, names } => {
            format!("seats of {} are held by {}", Quoted(committee), quoted(names))
        }
    }
}
