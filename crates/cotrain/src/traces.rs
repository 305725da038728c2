//! What a start that comes to nothing takes back of what it has made in its folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What was absent before a peer began; nothing else is ever removed.
pub struct Traces {
    /// Folders on the way to the peer's and itself, the innermost first.
    folders: Vec<PathBuf>,
    key: Option<PathBuf>,
    store: Option<PathBuf>,
}

impl Traces {
    /// Looks before anything is made in the folder `dir`.
    pub fn before(dir: &Path) -> Self {
        let absent = |path: PathBuf| store::file::is_absent(&path).then_some(path);
        let folders = dir.ancestors().filter(|path| !path.as_os_str().is_empty());
        let folders = folders.take_while(|path| store::file::is_absent(path));
        Self {
            folders: folders.map(Path::to_owned).collect(),
            key: absent(dir.join("key")),
            store: absent(dir.join("store")),
        }
    }

    /// Passes a result on; takes back what was made where it is an error.
    pub fn undone_unless_ok<T, E>(self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            // What cannot be removed does no harm.
            let _ = self.key.map(fs::remove_file);
            let _ = self.store.map(fs::remove_dir_all);
            for folder in self.folders {
                let _ = fs::remove_dir(folder);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &Path) {
        fs::create_dir_all(dir.join("store/objects")).expect("a folder can be made");
        fs::write(dir.join("key"), "new").expect("writes");
    }

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let top = tempfile::tempdir().expect("a temporary folder");
        let dir = top.path().join("a/b");
        let traces = Traces::before(&dir);
        begin(&dir);
        assert_eq!(traces.undone_unless_ok(Err::<(), _>("refused")), Err("refused"));
        assert_eq!(fs::read_dir(top.path()).expect("there").count(), 0);

        fs::create_dir_all(&dir).expect("a folder can be made");
        fs::write(dir.join("key"), "old").expect("writes");
        let traces = Traces::before(&dir);
        begin(&dir);
        fs::write(dir.join("note"), "mine").expect("writes");
        let _ = traces.undone_unless_ok(Err::<(), _>("refused"));
        let mut left: Vec<_> =
            fs::read_dir(&dir).expect("there").map(|e| e.expect("one")).collect();
        left.sort_by_key(|entry| entry.file_name());
        let names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["key", "note"]);

        let traces = Traces::before(&dir);
        begin(&dir);
        assert_eq!(traces.undone_unless_ok(Ok::<_, &str>(3)), Ok(3));
        assert!(dir.join("store").is_dir());
    }
}
