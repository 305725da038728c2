//! Ctrl-C ends an answer, not the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody wants no more of a text.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// A text is in progress.
    busy: AtomicBool,
    asked: AtomicBool,
}

impl Cancel {
    /// Listens to Ctrl-C from now on. While a text is in progress the first ends it and the second
    /// ends the program with status 130; between texts `idle` is called.
    pub fn on_interrupt(idle: impl Fn() + Send + 'static) -> Self {
        let cancel = Self::default();
        let heard = cancel.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                match heard.0.busy.load(Ordering::SeqCst) {
                    false => idle(),
                    true if heard.0.asked.swap(true, Ordering::SeqCst) => std::process::exit(130),
                    true => {}
                }
            }
        });
        cancel
    }

    /// A text begins.
    pub fn begin(&self) {
        self.0.asked.store(false, Ordering::SeqCst);
        self.0.busy.store(true, Ordering::SeqCst);
    }

    /// It has ended.
    pub fn end(&self) {
        self.0.busy.store(false, Ordering::SeqCst);
    }

    /// Whether the text is to end.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
}
