//! Room on the disk for what is to be fetched.

use std::path::Path;

use super::download::{self, Wanted};
use super::error::HubError;
use progress::{Counter, Note, Progress, Tell, Work};

/// Tells what will be fetched and refuses what does not fit on the disk.
pub(super) fn begin<'a, 't>(
    wanted: &[Wanted],
    folder: &Path,
    tell: &'a mut Tell<'t>,
) -> Result<Counter<'a, 't>, HubError> {
    let sum = |each: &dyn Fn(&Wanted) -> u64| {
        let mut sizes = wanted.iter().map(each);
        sizes.try_fold(0_u64, u64::checked_add).ok_or(HubError::Uncountable)
    };
    let bytes = sum(&|wanted| wanted.bytes)?;
    let missing = sum(&|wanted| wanted.bytes - download::begun(wanted))?;
    let (files, folder, free) = (wanted.len(), folder.to_owned(), free_space(folder)?);
    let to_fetch = Note::ToFetch { files, bytes, missing, folder: folder.clone(), free };
    tell(Progress::Note(to_fetch));
    match missing.saturating_add(MARGIN) > free {
        true => Err(HubError::NoRoom { missing, folder }),
        false => Ok(Counter::new(Work::Fetching, bytes, tell)),
    }
}

/// Bytes that can be written at a folder that may not exist yet.
fn free_space(folder: &Path) -> Result<u64, HubError> {
    let unknown = |source| HubError::Disk { folder: folder.to_owned(), source };
    let whole = std::path::absolute(folder).map_err(unknown)?;
    let there = whole.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there).map_err(|error| unknown(error.into()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Space that is left free.
const MARGIN: u64 = 1 << 26;

#[cfg(test)]
mod tests {
    use url::Url;

    use super::super::download::Place;
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_before_a_byte_comes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = dir.path().join("not/there/yet");
        let wanted = |bytes| Wanted {
            url: Url::parse("http://127.0.0.1:1/m").expect("an address"),
            to: folder.join("m"),
            bytes,
            expected: None,
            tag: None,
            place: Place::Theirs,
        };
        let begin = |wanted: &[Wanted]| begin(wanted, &folder, &mut |_| {}).map(drop);
        assert!(begin(&[wanted(1)]).is_ok());
        let error = begin(&[wanted(u64::MAX / 2)]).expect_err("no disk is so large");
        assert!(matches!(error, HubError::NoRoom { .. }) && !error.hints().is_empty(), "{error}");
        let error = begin(&[wanted(u64::MAX), wanted(2)]).expect_err("an overflow");
        assert!(matches!(error, HubError::Uncountable), "{error}");
    }
}
