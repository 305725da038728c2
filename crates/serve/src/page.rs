//! The page of a co-training run, over plain data: it shows a [`Snapshot`] that somebody else keeps
//! fresh and hands prompts to a [`Prompt`]. Beside it, the page of a [`commons`](mod@commons).
//!
//! | Route | What it answers |
//! |---|---|
//! | `GET /` | the page, with `/app/*.js`, `/style.css`, `/favicon.svg` |
//! | `GET /api/snapshot` | the newest snapshot as JSON |
//! | `GET /api/events` | server-sent events `snapshot`, the whole at first, then at most 4 a second |
//! | `POST /api/generate` | server-sent events `token`, then `done` or `error` |

pub mod commons;
mod events;
mod files;
mod generate;
mod prompt;
mod snapshot;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::sync::watch;

use crate::guarded;
pub use prompt::{Prompt, PromptDone, PromptRequest};
pub use snapshot::{
    Audit, Baseline, Contribution, CurvePoint, Evidence, Peer, RoundInfo, Snapshot, Summary, Totals,
};

/// Most bytes of a request's body: the longest prompt, every character of it escaped.
const MAX_BODY: usize = 128 * 1024;

/// Builds the routes over a feed of snapshots and somebody who answers prompts.
///
/// The event streams end when the feed's sender is dropped.
pub fn router(feed: watch::Receiver<Arc<Snapshot>>, prompt: Arc<dyn Prompt>) -> Router {
    let events = Router::new()
        .route("/api/snapshot", get(events::snapshot))
        .route("/api/events", get(events::events))
        .with_state(events::Feed::new(feed));
    let generate = Router::new()
        .route("/api/generate", post(generate::generate))
        .with_state(generate::PromptQueue::new(prompt))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    guarded(files::run().merge(events).merge(generate))
}
