//! HTTP for this machine only: the page of a co-training run, and that of a [commons](mod@commons).
//!
//! The run's page is over plain data. It shows a [`Snapshot`] that somebody else keeps fresh and
//! hands prompts to a [`Prompt`]:
//!
//! | Route | What it answers |
//! |---|---|
//! | `GET /` | the page, with `/app/*.js`, `/style.css`, `/favicon.svg` |
//! | `GET /api/snapshot` | the newest snapshot as JSON |
//! | `GET /api/events` | server-sent events `snapshot`, the whole at first, then at most 4 a second |
//! | `POST /api/generate` | server-sent events `token`, then `done` or `error` |
//!
//! A page is for whoever sits at the machine. So it binds to loopback alone, answers only
//! to loopback's names (a hostile site cannot reach it by rebinding its own name), gives no other
//! origin leave to read it, and runs no script but its own.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod commons;
mod events;
mod generate;
mod guard;
mod page;
mod prompt;
mod server;
mod snapshot;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;

pub use prompt::{Prompt, PromptDone, PromptRequest};
pub use server::{ServeError, serve};
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
        .with_state(generate::Desk::new(prompt))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    guarded(page::routes().merge(events).merge(generate))
}

/// Adds what every page has: answers for what is not there, and the guard before all.
fn guarded(routes: Router) -> Router {
    routes
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .layer(middleware::from_fn(guard::guard))
}

/// An answer that says what is wrong, as `{"error": "…"}`.
fn problem(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "error": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
