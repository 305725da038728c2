//! Which of a model's chat templates is used.

use text::chat::ChatTemplates;

use super::ReadyError;
use progress::{Note, Progress, Tell};

/// Name and source of the template to use; tells which where there are several.
pub(super) fn choose<'t>(
    templates: &'t ChatTemplates,
    wanted: Option<&str>,
    tell: &mut Tell<'_>,
) -> Result<Option<(&'t str, &'t str)>, ReadyError> {
    let all: Vec<String> = templates.iter().map(|(name, _)| name.to_owned()).collect();
    let chosen = match wanted {
        None => templates.choose(false),
        Some(name) => match templates.iter().find(|(known, _)| *known == name) {
            Some(found) => Some(found),
            None => return Err(ReadyError::NoTemplate { wanted: name.to_owned(), known: all }),
        },
    };
    if all.len() > 1 {
        let chosen = chosen.map(|(name, _)| name.to_owned());
        tell(Progress::Note(Note::Templates { chosen, all }));
    }
    Ok(chosen)
}
