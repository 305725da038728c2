//! `understory pull`: a model from a hub, from an address or from a path, checked.

use crate::{
    cli::PullArgs,
    hint::with_hints,
    hub_settings::settings,
    model_source::{explained, opened},
    progress::shown,
    terminal, units,
};
use anyhow::{Result, bail};
use engine::hub::{self, Digests, Expected, HubError, Pull, Pulled, PulledFile, Source};
use std::io::Write;

pub fn pull(args: &PullArgs) -> Result<()> {
    let source = Source::parse(&args.source).map_err(|error| hinted_by_hub(error.into()))?;
    let expected = args.sha256.as_deref().map(sha256).transpose()?;
    let wanted = Pull { source: &source, to: args.to.as_deref(), expected: expected.as_ref() };
    let pulled = shown(args.json, |tell| hub::pull(&wanted, &settings(), tell));
    print(args, &pulled.map_err(|error| failed(error, &source))?)
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
