//! The documentation of the crates this program was built from, as a corpus that every machine
//! with a Rust toolchain already has.

use super::{DocumentError, Documents, left_out::WhyFile};
use progress::{Counter, Tell, Work};
use std::path::{Path, PathBuf};

/// Longer files are generated tables rather than prose.
const MAX_SOURCE: u64 = 1 << 20;

/// Reads Markdown files and doc comments of every package that `lock_file` (the text of a
/// `Cargo.lock`) names, from the local cargo registry at `registries` (folders that hold
/// `NAME-VERSION` folders). Packages that are not there are left out. `tell` hears how much of the
/// files is read.
///
/// Errors: [`DocumentError::Nothing`] when none is found.
pub fn registry_documents(
    lock_file: &str,
    registries: &[PathBuf],
    tell: &mut Tell<'_>,
) -> Result<Documents, DocumentError> {
    let mut documents = Documents::default();
    let folder = |package: String| registries.iter().map(|r| r.join(&package)).find(|p| p.is_dir());
    let folders = locked_packages(lock_file).into_iter().filter_map(folder);
    let found: Vec<(PathBuf, Vec<Source>)> = folders.map(|at| (at.clone(), sources(&at))).collect();
    let packages = found.len();
    let all = found.iter().flat_map(|(_, sources)| sources).map(|source| source.bytes).sum();
    let mut count = Counter::new(Work::Gathering, all, tell);
    found.iter().for_each(|(folder, all)| add_package(&mut documents, folder, all, &mut count));
    count.end();
    documents.source = format!("documentation of {packages} crates in the local cargo registry");
    if documents.texts.is_empty() {
        documents.source = "the local cargo registry".to_owned();
        return Err(documents.nothing());
    }
    Ok(documents)
}

/// `NAME-VERSION` of every package that came from a registry.
fn locked_packages(lock_file: &str) -> Vec<String> {
    let table: toml::Table = lock_file.parse().unwrap_or_default();
    let packages = table.get("package").and_then(|p| p.as_array()).cloned().unwrap_or_default();
    let text = |p: &toml::Value, key: &str| p.get(key).and_then(|v| v.as_str()).map(str::to_owned);
    packages
        .iter()
        .filter(|p| text(p, "source").is_some_and(|s| s.starts_with("registry+")))
        .filter_map(|p| Some(format!("{}-{}", text(p, "name")?, text(p, "version")?)))
        .collect()
}

/// A file of a package with something to read in it.
struct Source {
    path: PathBuf,
    bytes: u64,
    /// What of it is prose.
    prose: fn(&str) -> String,
}

/// Those of a package, in the order of their paths.
fn sources(folder: &Path) -> Vec<Source> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let source = |entry: walkdir::DirEntry| {
        let prose: fn(&str) -> String = match entry.path().extension()?.to_str()? {
            "md" => str::to_owned,
            "rs" => doc_comments,
            _ => return None,
        };
        let bytes = entry.metadata().map_or(0, |known| known.len());
        entry.file_type().is_file().then(|| Source { path: entry.into_path(), bytes, prose })
    };
    entries.filter_map(|entry| source(entry.ok()?)).collect()
}

fn add_package(
    documents: &mut Documents,
    folder: &Path,
    sources: &[Source],
    count: &mut Counter<'_, '_>,
) {
    let mut files = 0;
    for Source { path, bytes, prose } in sources {
        let name = path.strip_prefix(folder.parent().unwrap_or(folder));
        let name = name.unwrap_or(path).to_string_lossy();
        let text = bounded::read_text(path, MAX_SOURCE);
        count.add(*bytes);
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                let long = bounded::is_too_long(&error);
                let why = if long { WhyFile::TooLarge } else { WhyFile::Unreadable };
                documents.left_out.file(why, &name);
                continue;
            }
        };
        documents.begin(&name);
        files += u64::from(documents.add(&prose(&text)));
    }
    documents.files += files;
    if files > 0 {
        *documents.licences.entry(licence(folder)).or_default() += files;
    }
}

/// The `license` field of the package's manifest; unstated too where that cannot be read.
fn licence(folder: &Path) -> String {
    let text = bounded::read_text(&folder.join("Cargo.toml"), MAX_SOURCE).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let licence = table.get("package").and_then(|p| p.get("license")).and_then(|l| l.as_str());
    licence.unwrap_or("unstated").to_owned()
}

/// The text of `///` and `//!` comments; consecutive lines stay together, blocks are paragraphs.
fn doc_comments(source: &str) -> String {
    let mut text = String::new();
    let mut in_block = false;
    for line in source.lines() {
        let line = line.trim_start();
        let comment = line
            .strip_prefix("//!")
            .or_else(|| line.strip_prefix("///").filter(|rest| !rest.starts_with('/')));
        match comment {
            Some(comment) => {
                text.push_str(comment.strip_prefix(' ').unwrap_or(comment).trim_end());
                text.push('\n');
                in_block = true;
            }
            None if in_block => {
                text.push('\n');
                in_block = false;
            }
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use progress::{At, Progress};
    use std::fs;

    const LOCK: &str = r#"
version = 4
[[package]]
name = "leaf"
version = "1.0.0"
source = "registry+https://example.org/index"
[[package]]
name = "ours"
version = "0.1.0"
[[package]]
name = "absent"
version = "2.0.0"
source = "registry+https://example.org/index"
"#;

    #[test]
    fn reads_markdown_and_doc_comments_of_locked_packages_only() {
        let registry = tempfile::tempdir().expect("a temporary folder");
        let leaf = registry.path().join("leaf-1.0.0");
        fs::create_dir_all(leaf.join("src")).expect("make");
        fs::create_dir_all(registry.path().join("other-1.0.0")).expect("make");
        fs::write(leaf.join("Cargo.toml"), "[package]\nlicense = \"MIT\"\n").expect("write");
        fs::write(leaf.join("README.md"), "# Leaf").expect("write");
        let source = "//! A leaf.\n//! Green.\n\n/// Falls.\nfn fall() {}\n// no\n//// no\n";
        fs::write(leaf.join("src/lib.rs"), source).expect("write");
        fs::write(registry.path().join("other-1.0.0/README.md"), "other").expect("write");
        let (mut told, registries) = (Vec::new(), [registry.path().to_path_buf()]);
        let tell = &mut |progress| told.push(progress);
        let found = registry_documents(LOCK, &registries, tell).expect("read");
        let all = (6 + source.len()) as u64;
        let end = At { work: Work::Gathering, done: all, total: all, fresh: all };
        assert!(told.len() > 2 && told.last() == Some(&Progress::At(end)), "{told:?}");
        assert_eq!(found.texts, ["# Leaf\n", "A leaf.\nGreen.\n\nFalls.\n"]);
        assert_eq!(found.licences.get("MIT"), Some(&2));
    }

    #[test]
    fn an_empty_registry_is_a_clear_error() {
        let error = registry_documents(LOCK, &[], &mut |_| {}).expect_err("nothing there");
        assert_eq!(error.to_string(), "no text found in the local cargo registry");
    }
}
