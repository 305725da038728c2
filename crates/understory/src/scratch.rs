//! Temporary folders that go away with the process, also when it is told to stop.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

type Cleanup = Box<dyn FnOnce() + Send>;

static INTERRUPTED: Mutex<Vec<Cleanup>> = Mutex::new(Vec::new());
static LISTENING: Once = Once::new();

/// A folder of its own below the system's temporary folder, removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder; `purpose` becomes part of its name.
    pub fn new(purpose: &str) -> Result<Self> {
        let base = std::env::temp_dir();
        let process = std::process::id();
        for number in 0..1000 {
            let path = base.join(format!("understory-{purpose}-{process}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let remove = path.clone();
                    on_interrupt(move || remove_busy(&remove));
                    return Ok(Self { path });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    return Err(e).with_context(|| format!("cannot make {}", path.display()));
                }
            }
        }
        anyhow::bail!("no free name for a folder in {}", base.display())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes a folder that other threads may still be writing to.
fn remove_busy(path: &Path) {
    for _ in 0..100 {
        let _ = fs::remove_dir_all(path);
        if !path.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// On Ctrl-C or SIGTERM runs `cleanup`, those given last first, and ends the process with status
/// 130. For commands that do not listen to signals themselves.
pub fn on_interrupt(cleanup: impl FnOnce() + Send + 'static) {
    cleanups().push(Box::new(cleanup));
    LISTENING.call_once(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            if runtime.block_on(signalled()).is_ok() {
                let all = std::mem::take(&mut *cleanups());
                all.into_iter().rev().for_each(|cleanup| cleanup());
                std::process::exit(130);
            }
        });
    });
}

async fn signalled() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

fn cleanups() -> MutexGuard<'static, Vec<Cleanup>> {
    INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_apart_and_gone_when_dropped() {
        let (a, b) = (Scratch::new("test").expect("made"), Scratch::new("test").expect("made"));
        assert_ne!(a.path(), b.path());
        fs::write(a.path().join("file"), "text").expect("writes");
        let path = a.path().to_path_buf();
        drop(a);
        assert!(!path.exists() && b.path().is_dir());
    }
}
