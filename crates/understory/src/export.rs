//! `understory export`: a model in other programs' formats.

use crate::{
    cli::{ExportArgs, ExportFormat},
    hint::WithHint,
    model_source::{self, LoadedModel},
};
use anyhow::{Context, Result, bail};
use engine::Lineage;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

pub fn export(args: &ExportArgs) -> Result<()> {
    let loaded = model_source::load(&args.model)?;
    let occupied =
        args.dir.exists() && (args.dir.is_file() || fs::read_dir(&args.dir)?.next().is_some());
    if occupied {
        return Err(anyhow::anyhow!("{} exists already", args.dir.display()))
            .hint("name a folder that does not exist yet");
    }
    // Written beside it and renamed: the folder is whole or absent.
    let unfinished = beside(&args.dir)?;
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("cannot make {}", unfinished.display()))?;
    let result = write(&unfinished, loaded, args.to).and_then(|file| {
        if args.dir.exists() {
            fs::remove_dir(&args.dir)?;
        }
        fs::rename(&unfinished, &args.dir)
            .with_context(|| format!("cannot write {}", args.dir.display()))?;
        Ok(args.dir.join(file))
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    let written = result?;
    if args.json {
        println!("{}", serde_json::json!({ "written": written }));
    } else {
        println!("wrote {}", written.display());
    }
    Ok(())
}

fn write(folder: &Path, loaded: LoadedModel, to: ExportFormat) -> Result<PathBuf> {
    let LoadedModel { model, tokenizer, root, run } = loaded;
    let name = run.as_ref().map_or_else(|| "understory".to_owned(), |(run, _)| run.name.clone());
    let lineage = Lineage {
        name: name.clone(),
        run: run.map(|(_, id)| id.to_string()),
        root: root.map(|r| r.to_string()),
    };
    let file = match to {
        ExportFormat::Hf => {
            engine::hf::export(folder, &model, &tokenizer, &lineage)?;
            PathBuf::new()
        }
        ExportFormat::Gguf => {
            let plain: String =
                name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            let file = PathBuf::from(format!("{plain}-f32.gguf"));
            engine::gguf::export(&folder.join(&file), &model, &tokenizer, &lineage)?;
            file
        }
    };
    for entry in fs::read_dir(folder)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// A hidden neighbour of `dir`, on the same file system.
fn beside(dir: &Path) -> Result<PathBuf> {
    let Some(name) = dir.file_name() else { bail!("{} is no folder name", dir.display()) };
    let hidden = format!(".{}.unfinished", name.to_string_lossy());
    Ok(dir.with_file_name(hidden))
}
