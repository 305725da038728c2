//! What a user asks for: `hf:OWNER/NAME[@REV][:FILE]`, a URL, or a path. And which names of files
//! we take from strangers.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::error::NameError;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a repository of a hub.
    Hub(HubName),
    /// One file behind an address.
    Url(Box<Url>),
    /// On this machine.
    Path(PathBuf),
}

/// A repository of a hub, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    /// `OWNER/NAME`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// A file of it, or a part of a GGUF's name such as `Q4_K_M`.
    pub file: Option<String>,
}

/// What a hub's address begins with.
pub const HUB: &str = "hf:";

impl Source {
    /// Reads what a user wrote.
    pub fn parse(text: &str) -> Result<Source, NameError> {
        if text.starts_with(HUB) {
            return Ok(Source::Hub(HubName::parse(text)?));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let mut url = Url::parse(text).map_err(|_| NameError::Address(shown(text)))?;
            drop_login(&mut url);
            return Ok(Source::Url(Box::new(url)));
        }
        Ok(Source::Path(PathBuf::from(text)))
    }
}

impl HubName {
    /// Reads `hf:OWNER/NAME`, also with `@REVISION` and `:FILE` behind it.
    pub fn parse(text: &str) -> Result<HubName, NameError> {
        let text = text.strip_prefix(HUB).unwrap_or(text);
        let (repository, file) = match text.split_once(':') {
            Some((repository, file)) => (repository, Some(file)),
            None => (text, None),
        };
        let (repository, revision) = repository.split_once('@').unwrap_or((repository, "main"));
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| is_repository_part(part)) {
            return Err(NameError::Repository(repository.to_owned()));
        }
        if !is_revision(revision) {
            return Err(NameError::Revision(revision.to_owned()));
        }
        if let Some(file) = file {
            check_name(file)?;
        }
        let (repository, revision) = (repository.to_owned(), revision.to_owned());
        Ok(HubName { repository, revision, file: file.map(str::to_owned) })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HUB}{}@{}", self.repository, self.revision)?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

/// Takes the name and password of an address away. Nobody is sent them: a server that wants
/// something of us gets a token.
pub(super) fn drop_login(url: &mut Url) {
    // An address without a server has neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
}

/// An address as it may be printed and kept: without the name and the password that may stand before
/// the server, also where it is no good address. A text that is no address stays as it is.
pub fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    if let Ok(mut url) = Url::parse(address) {
        drop_login(&mut url);
        return url.into();
    }
    // What stands before the last @ may be a password with a slash in it, which ends a server's name.
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}://{rest}"),
        None => address.to_owned(),
    }
}

/// Refuses names that would not stay inside the folder they are joined to, on any system, or that
/// would do something to a terminal.
pub(super) fn check_name(name: &str) -> Result<(), NameError> {
    let part_is_good = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.len() <= 200 && !part.ends_with('.')
    };
    let good = name.len() <= 1000
        && name.split('/').all(part_is_good)
        && !name.contains(['\\', ':'])
        && ids::is_plain(name);
    if good { Ok(()) } else { Err(NameError::File(name.to_owned())) }
}

fn is_repository_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=96).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('.')
}

fn is_revision(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
    (1..=200).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with(['/', '.', '-'])
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    fn hub(repository: &str, revision: &str, file: Option<&str>) -> Source {
        let (repository, revision) = (repository.to_owned(), revision.to_owned());
        Source::Hub(HubName { repository, revision, file: file.map(str::to_owned) })
    }

    #[test]
    fn addresses_are_read() {
        let parse = |text: &str| Source::parse(text).expect("good");
        assert_eq!(parse("hf:a/b"), hub("a/b", "main", None));
        assert_eq!(parse("hf:a/b@refs/pr/1"), hub("a/b", "refs/pr/1", None));
        assert_eq!(parse("hf:a/b.c@v1:x/y.gguf"), hub("a/b.c", "v1", Some("x/y.gguf")));
        assert_eq!(parse("hf:a/b:Q4_K_M"), hub("a/b", "main", Some("Q4_K_M")));
        assert!(matches!(parse("https://example.org/a.gguf"), Source::Url(_)));
        for text in ["hf:a/b@main", "hf:a/b.c@v1:x/y.gguf"] {
            let Source::Hub(name) = parse(text) else { panic!("{text}") };
            assert_eq!(name.to_string(), text);
        }
        assert_eq!(parse("models/a.gguf"), Source::Path("models/a.gguf".into()));
        let bad = ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@../c", "hf:a/b:"];
        for text in bad.into_iter().chain(["hf:a/b:../x", "hf:a b/c", "hf:a/b@x y", "https://"]) {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for address in [
            "https://me:s3cret@hub.example/x.gguf",
            "https://s3cret@hub.example/x.gguf",
            "http://me:s3/cret@[hub/x.gguf",
            "https://me:s3@cret@hub.example:99999/x.gguf",
        ] {
            let said = match Source::parse(address) {
                Ok(Source::Url(url)) => url.to_string(),
                Ok(other) => panic!("{other:?}"),
                Err(error) => error.to_string(),
            };
            for said in [said, shown(address)] {
                assert!(!said.contains("cret") && said.contains("x.gguf"), "{said}");
            }
        }
        assert_eq!(shown("https://a.example/x?y=1"), "https://a.example/x?y=1");
        assert_eq!(shown("https://a.example/b@v1/y"), "https://a.example/b@v1/y");
        assert_eq!(shown("folder/a@b"), "folder/a@b");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let bad = ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a\\b", "C:a", "a\nb", "a\u{7}"];
        for name in bad.into_iter().chain(["a/./b", "..", "a\u{202e}b", "a."]) {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name(&"x".repeat(201)).is_err());
        for name in [".gitattributes", "a b.gguf", "Q8_0/m-00001-of-00002.gguf", "größe.txt"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_stays_in_its_folder(name in "[a-z./\\\\: \\x00-\\x1f]{0,24}") {
            if check_name(&name).is_ok() {
                let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
                prop_assert!(Path::new(&name).components().all(plain));
                let joined = Path::new("/folder").join(&name);
                prop_assert!(joined.starts_with("/folder") && joined != Path::new("/folder"));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(hf:)?\\PC{0,40}") {
            let _ = Source::parse(&text);
        }
    }
}
