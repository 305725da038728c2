//! HTTP for this machine only: the [`page`] of a co-training run, and that of a
//! [commons](mod@commons).
//!
//! A page is for whoever sits at the machine. So it binds to loopback alone, answers only
//! to loopback's names (a hostile site cannot reach it by rebinding its own name), gives no other
//! origin leave to read it, and runs no script but its own. What other programs speak to, an API
//! over `engine`, goes beside [`page`] as `api`, behind the same server and guard.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod guard;
pub mod page;
mod server;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};

pub use page::commons;
pub use page::{
    Audit, Baseline, Contribution, CurvePoint, Evidence, Peer, Prompt, PromptDone, PromptRequest,
    RoundInfo, Snapshot, Summary, Totals, router,
};
pub use server::{ServeError, serve};

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
