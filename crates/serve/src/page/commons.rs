//! The page of a commons: who belongs to it, what was made from what, what is decided, and
//! whether the log is well.
//!
//! Somebody else holds the log and hands over its state through [`Commons`]; the routes answer with
//! the views of it that commands print too ([`commons::view`](::commons::view)), and change nothing.
//!
//! | Route | What it answers |
//! |---|---|
//! | `GET /` | the page, with `/app/*.js`, `/style.css`, `/commons.css`, `/favicon.svg` |
//! | `GET /api/commons/members` | members, those who ask to join, who vouches for whom |
//! | `GET /api/commons/lineage` | artifacts and what they were made from, with all checks |
//! | `GET /api/commons/tallies` | the questions, newest first |
//! | `GET /api/commons/tally/HASH` | the count of one question, explained |
//! | `GET /api/commons/panel/HASH` | a panel drawn by lot |
//! | `GET /api/commons/health` | operators, witnesses, who decides the time, contradictions, overdue statements |
//! | `GET /api/commons/events` | server-sent events `version` when the log has grown, `problem` when it cannot be read |

mod folder;
mod reader;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use ::commons::state::State;
use ::commons::view::Beside;
use ::commons::{ArchiveError, Snapshot};
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::files;
use net::{BoxError, with_causes};

use crate::{ServeError, guarded, problem};
pub use folder::Folder;
use reader::LogReader;
pub use view::View;

/// Where the page gets a commons from; [`Folder`] is one that a member keeps on disk.
///
/// Both are called on threads that may block, [`Commons::read`] one call at a time. Errors are
/// sentences for whoever looks at the page.
pub trait Commons: Send + Sync + 'static {
    /// Some text that changes whenever the log does; [`version`] gives one. It is asked for once a
    /// second by each page that is open, and before each answer, so it should be cheap.
    fn version(&self) -> Result<String, BoxError>;

    /// The log's state now. It is asked for once for each version, and only while somebody looks.
    fn read(&self) -> Result<Reading, BoxError>;
}

/// A commons at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What the log means.
    pub state: State,
    /// What this member knows beside the log.
    pub beside: Beside,
}

/// A version for [`Commons::version`]: how many statements and checkpoints the log has.
///
/// Errors: the log cannot be read.
pub fn version(log: &Snapshot) -> Result<String, ArchiveError> {
    Ok(format!("{}-{}", log.size(), log.checkpoint_count()?))
}

/// Builds the routes over a commons. Needs a tokio runtime only once it is served.
pub fn router(source: Arc<dyn Commons>) -> Router {
    let api = Router::new()
        .route("/api/commons/events", get(reader::events))
        .route("/api/commons/{view}", get(whole))
        .route("/api/commons/{view}/{hash}", get(one))
        .with_state(LogReader::new(source));
    guarded(files::commons().merge(api))
}

/// Listens on `addr` and serves a commons' page in the background until `shutdown` completes.
///
/// Returns once the socket is open, with the address it got: port 0 takes any free one.
///
/// Errors: as for [`crate::serve`]; only loopback addresses are served.
pub async fn serve<S>(
    addr: SocketAddr,
    source: Arc<dyn Commons>,
    shutdown: S,
) -> Result<SocketAddr, ServeError>
where
    S: Future<Output = ()> + Send + 'static,
{
    crate::serve(addr, router(source), shutdown).await
}

async fn whole(Shared(reader): Shared<LogReader>, Path(name): Path<String>) -> Response {
    let view = match name.as_str() {
        "members" => View::Members,
        "lineage" => View::Lineage,
        "tallies" => View::Tallies,
        "health" => View::Health,
        _ => return no_such_view(),
    };
    answer(&reader, view).await
}

async fn one(
    Shared(reader): Shared<LogReader>,
    Path((name, hash)): Path<(String, String)>,
) -> Response {
    let view = match name.as_str() {
        "tally" => View::Tally,
        "panel" => View::Panel,
        _ => return no_such_view(),
    };
    match hash.parse() {
        Ok(hash) => answer(&reader, view(hash)).await,
        Err(_) => problem(StatusCode::BAD_REQUEST, "a question is named by 64 hex digits"),
    }
}

async fn answer(reader: &LogReader, view: View) -> Response {
    match reader.answer(view).await {
        Ok(Some(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "the log has no such question"),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &with_causes(&*error)),
    }
}

fn no_such_view() -> Response {
    problem(StatusCode::NOT_FOUND, "no such view")
}
