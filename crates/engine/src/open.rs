//! A model by any name that a person may give it.

use progress::Tell;

use crate::hub::{self, HUB, HubName, Settings};
use crate::names::files_at;
use crate::{EngineError, Opened};

/// Opens what `name` means: as [`Opened::open`] does, or a model of a hub (`hf:OWNER/NAME`), which
/// is fetched unless it is here. `settings` is asked only then.
///
/// Errors: there is no such model, or none that can be read or fetched.
pub fn open(
    name: &str,
    settings: &dyn Fn() -> Settings,
    tell: &mut Tell<'_>,
) -> Result<Opened, EngineError> {
    if !name.starts_with(HUB) {
        return Opened::open(name);
    }
    let named = HubName::parse(name).map_err(|error| Box::new(error.into()))?;
    let path = hub::located(&named, &settings(), tell).map_err(Box::new)?;
    // By its files: whatever a stranger calls them, no name of theirs is one of a store.
    match files_at(&path)? {
        Some(files) => Opened::files(name, &files),
        None => Err(EngineError::NoModel(path)),
    }
}
