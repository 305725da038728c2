//! The values of an enum and their names: one list for JSON, messages, command lines and whatever
//! else shows or reads them.

/// Gives an enum `ALL`, `name`, and what [`known_by_name`] makes of them.
macro_rules! named {
    ($type:ident, $what:literal { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// Every value, in the order of the encoding.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, in JSON and wherever people read or write it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        $crate::statement::names::known_by_name!($type, $what);
    };
}

/// Gives an enum that has `ALL` and `name` its `Display`, `Serialize` and `Deserialize`.
macro_rules! known_by_name {
    ($type:ident, $what:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                let found = Self::ALL.iter().find(|value| value.name() == text).copied();
                let unknown =
                    || serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &$what);
                found.ok_or_else(unknown)
            }
        }
    };
}

pub(super) use {known_by_name, named};
