//! Which files a path means: itself, or what is in its folder, links inside the folder included.

use super::{
    documents::DocumentError,
    kind::{self, Kind},
    left_out::{LeftOut, WhyFile},
};
use std::{
    collections::BTreeSet,
    fs::{self, FileType},
    io,
    path::{Path, PathBuf},
};

/// A file to read.
#[derive(Debug)]
pub(super) struct Found {
    /// What it is called, by the way it was found.
    pub name: PathBuf,
    /// Where it is, links followed.
    pub place: PathBuf,
    pub kind: Kind,
    /// Whether the user named it, and not only a folder that it is in.
    pub named: bool,
}

/// Looks for files; each is found once, however many names it has.
pub(super) struct Finder<'a> {
    pub left_out: &'a mut LeftOut,
    pub seen: BTreeSet<PathBuf>,
}

impl Finder<'_> {
    /// The files that `path` means, in the order of their names. Links in a folder are followed
    /// where they lead to something in it.
    pub fn find(&mut self, path: &Path) -> Result<Vec<Found>, DocumentError> {
        let place = fs::canonicalize(path).map_err(|e| unreadable(path, e))?;
        let kind = fs::metadata(&place).map_err(|e| unreadable(path, e))?.file_type();
        let mut found = Vec::new();
        if kind.is_dir() {
            self.seen.insert(place.clone());
            self.folder(path, &place, &place, &mut found)?;
        } else if !kind.is_file() {
            return Err(DocumentError::NoFile { path: path.to_owned() });
        } else if self.is_new(path, &place) {
            let kind = kind::of_named(path);
            found.push(Found { name: path.to_owned(), place, kind, named: true });
        }
        Ok(found)
    }

    fn folder(
        &mut self,
        name: &Path,
        place: &Path,
        root: &Path,
        found: &mut Vec<Found>,
    ) -> Result<(), DocumentError> {
        let entries = fs::read_dir(place).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|e| unreadable(name, e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = name.join(entry.file_name());
            let kind = entry.file_type().map_err(|e| unreadable(&name, e))?;
            let Some((place, kind)) = self.follow(&name, entry.path(), kind, root)? else {
                continue;
            };
            if kind.is_dir() {
                if self.is_new(&name, &place) {
                    self.folder(&name, &place, root, found)?;
                }
            } else if !kind.is_file() {
                self.leave_out(WhyFile::NoFile, &name);
            } else {
                self.file(name, place, found);
            }
        }
        Ok(())
    }

    /// Where something is and what it is; `None` for a link that is not followed.
    fn follow(
        &mut self,
        name: &Path,
        place: PathBuf,
        kind: FileType,
        root: &Path,
    ) -> Result<Option<(PathBuf, FileType)>, DocumentError> {
        if !kind.is_symlink() {
            return Ok(Some((place, kind)));
        }
        let Ok(place) = fs::canonicalize(&place) else {
            self.leave_out(WhyFile::LinkNowhere, name);
            return Ok(None);
        };
        if !place.starts_with(root) {
            self.leave_out(WhyFile::LinkOut, name);
            return Ok(None);
        }
        let kind = fs::metadata(&place).map_err(|e| unreadable(name, e))?.file_type();
        Ok(Some((place, kind)))
    }

    fn file(&mut self, name: PathBuf, place: PathBuf, found: &mut Vec<Found>) {
        match kind::by_name(&name) {
            None => self.leave_out(WhyFile::OtherKind, &name),
            Some(kind) if self.is_new(&name, &place) => {
                found.push(Found { name, place, kind, named: false });
            }
            Some(_) => {}
        }
    }

    fn is_new(&mut self, name: &Path, place: &Path) -> bool {
        let new = self.seen.insert(place.to_owned());
        if !new {
            self.leave_out(WhyFile::Again, name);
        }
        new
    }

    fn leave_out(&mut self, why: WhyFile, name: &Path) {
        self.left_out.file(why, &name.to_string_lossy());
    }
}

fn unreadable(path: &Path, source: io::Error) -> DocumentError {
    DocumentError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::symlink, net::UnixListener};

    fn find(path: &Path) -> (Vec<String>, LeftOut) {
        let mut left_out = LeftOut::default();
        let mut finder = Finder { left_out: &mut left_out, seen: BTreeSet::new() };
        let found = finder.find(path).expect("finds");
        let name = |f: Found| f.name.strip_prefix(path).map(|p| p.display().to_string());
        (found.into_iter().map(|f| name(f).expect("below the path")).collect(), left_out)
    }

    #[test]
    fn links_are_followed_inside_the_folder_and_never_out_of_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        for dir in ["cache/blobs", "cache/snapshots/abc", "outside"] {
            fs::create_dir_all(at(dir)).expect("makes");
        }
        fs::write(at("cache/blobs/1f3a"), "{\"text\":\"a\"}").expect("writes");
        fs::write(at("outside/secret.txt"), "secret").expect("writes");
        for (to, link) in [
            ("../../blobs/1f3a", "cache/snapshots/abc/train.jsonl"),
            ("../../../outside/secret.txt", "cache/snapshots/abc/stolen.txt"),
            ("../../../outside", "cache/snapshots/abc/all"),
            ("../..", "cache/snapshots/abc/loop"),
            ("itself.txt", "cache/snapshots/abc/itself.txt"),
            ("train.jsonl", "cache/snapshots/abc/zzz.jsonl"),
        ] {
            symlink(to, at(link)).expect("links");
        }
        let (found, left_out) = find(&at("cache"));
        assert_eq!(found, ["snapshots/abc/train.jsonl"]);
        let number = |why| left_out.files.get(&why).map_or(0, |named| named.number);
        assert_eq!(number(WhyFile::LinkOut), 2);
        assert_eq!(number(WhyFile::LinkNowhere), 1);
        assert_eq!(number(WhyFile::Again), 2, "the loop and the second name");
        assert_eq!(number(WhyFile::OtherKind), 1);
        let (found, left_out) = find(&at("cache/snapshots"));
        assert!(found.is_empty());
        assert_eq!(left_out.files[&WhyFile::LinkOut].number, 5);
        // The user's own word goes where it goes.
        symlink("cache", at("given")).expect("links");
        assert_eq!(find(&at("given")).0, ["snapshots/abc/train.jsonl"]);
        assert_eq!(find(&at("cache/snapshots/abc/stolen.txt")).0, [""]);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.txt");
        let _socket = UnixListener::bind(&path).expect("a socket");
        let (found, left_out) = find(folder.path());
        assert!(found.is_empty() && left_out.files[&WhyFile::NoFile].number == 1);
        let mut finder = Finder { left_out: &mut LeftOut::default(), seen: BTreeSet::new() };
        assert!(matches!(finder.find(&path), Err(DocumentError::NoFile { .. })));
    }
}
