//! `understory pull`: a model from a hub, from an address or from a path, checked.

use crate::{
    cli::PullArgs,
    hint::with_hints,
    model_source::{explained, opened},
    progress::Screen,
    terminal, units,
};
use anyhow::{Result, bail};
use engine::hub::{self, Digests, Expected, HubError, Pull, Pulled, PulledFile, Settings, Source};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

pub fn pull(args: &PullArgs) -> Result<()> {
    let source = Source::parse(&args.source).map_err(|error| hinted_by_hub(error.into()))?;
    let expected = args.sha256.as_deref().map(sha256).transpose()?;
    let wanted = Pull { source: &source, to: args.to.as_deref(), expected: expected.as_ref() };
    let mut screen = Screen::new(args.json);
    let pulled = hub::pull(&wanted, &settings(), &mut |progress| screen.tell(progress));
    drop(screen);
    print(args, &pulled.map_err(|error| failed(error, &source))?)
}

/// What this machine's user has set: hub, token, cache.
pub fn settings() -> Settings {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let endpoint = var("HF_ENDPOINT").map(text).filter(|value| !value.trim().is_empty());
    let folder = |name: &str| var(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let cache = cache.map(|cache| cache.join("understory/models"));
    Settings { endpoint, token: token(var), cache }
}

/// The token of the usual places: `HF_TOKEN`, else the file that `hf auth login` writes.
fn token(var: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    if let Some(given) = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(&var) {
        return Some(text(given));
    }
    let cache = var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(var("HOME")?).join(".cache")));
    let folder = var("HF_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(cache?.join("huggingface")));
    let path = var("HF_TOKEN_PATH").map(PathBuf::from);
    let path = path.or_else(|| Some(folder?.join("token")))?;
    bounded::read_named_text(&path, MAX_TOKEN).ok()
}

/// Bytes that are no text become what no token and no address has.
fn text(value: OsString) -> String {
    value.to_string_lossy().into_owned()
}

fn sha256(text: &str) -> Result<Expected> {
    match Expected::parse(text) {
        Ok(expected @ Expected::Sha256(_)) => Ok(expected),
        _ => bail!("--sha256 wants 64 hex digits"),
    }
}

fn failed(error: HubError, source: &Source) -> anyhow::Error {
    match (error, source) {
        (HubError::Model(error), Source::Path(path)) => explained(*error, path),
        (error, _) => hinted_by_hub(error),
    }
}

fn hinted_by_hub(error: HubError) -> anyhow::Error {
    let hints = error.hints();
    with_hints(error, hints)
}

fn print(args: &PullArgs, pulled: &Pulled) -> Result<()> {
    let Pulled { path, commit, files } = pulled;
    let mut out = terminal::stdout();
    if args.json {
        let files: Vec<_> = files.iter().map(to_json).collect();
        let object = serde_json::json!({
            "source": hub::shown(&args.source), "commit": commit, "path": path, "files": files,
        });
        return Ok(writeln!(out, "{object}")?);
    }
    for PulledFile { name, digests, was_there, .. } in files {
        let how = if *was_there { "was here" } else { "new" };
        eprintln!("{name}: {}, {how}", units::bytes(digests.bytes));
        eprintln!("  sha256 {}\n  blake3 {}", digests.sha256, digests.blake3);
    }
    if files.iter().all(|file| file.was_there) && !files.is_empty() {
        eprintln!("all of it was here and is whole");
    }
    match opened(&path.to_string_lossy(), args.json).and_then(|opened| Ok(opened.decoder()?)) {
        Ok(decoder) => {
            let parameters = units::count(decoder.parameters());
            eprintln!("{}, {parameters} parameters", decoder.family);
        }
        Err(error) => eprintln!("not run here: {error:#}"),
    }
    Ok(writeln!(out, "{}", path.display())?)
}

fn to_json(file: &PulledFile) -> serde_json::Value {
    let Digests { bytes, blake3, sha256, .. } = &file.digests;
    serde_json::json!({
        "name": file.name, "path": file.path, "bytes": bytes, "sha256": sha256,
        "blake3": blake3, "was_there": file.was_there,
    })
}

/// Bytes of the file with the token that are looked at.
const MAX_TOKEN: u64 = 1 << 12;
