//! The newest snapshot, once or as a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::{Snapshot, problem};

/// Shortest time between two events of one stream: four a second are smooth enough to watch.
const PACE: Duration = Duration::from_millis(250);
/// How long a page waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);
/// Streams at a time; a page uses one.
const MAX_STREAMS: usize = 32;

/// The run's feed and the room for those who follow it.
#[derive(Clone)]
pub(crate) struct Feed {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    room: Arc<Semaphore>,
}

impl Feed {
    pub(crate) fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { snapshots, room: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }
}

pub(crate) async fn snapshot(State(feed): State<Feed>) -> Response {
    let newest = feed.snapshots.borrow().clone();
    Json(&*newest).into_response()
}

pub(crate) async fn events(State(feed): State<Feed>) -> Response {
    let Ok(place) = feed.room.try_acquire_owned() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too many pages follow this run already");
    };
    let (to_page, stream) = mpsc::channel(1);
    tokio::spawn(follow(feed.snapshots, to_page, place));
    Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response()
}

/// Sends the whole snapshot now and after each change, until the run or the page is gone.
async fn follow(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    to_page: mpsc::Sender<Result<Event, Infallible>>,
    _place: OwnedSemaphorePermit,
) {
    loop {
        let newest = snapshots.borrow_and_update().clone();
        let event = match Event::default().event("snapshot").retry(RETRY).json_data(&*newest) {
            Ok(event) => event,
            Err(error) => return tracing::error!("snapshot cannot be written as JSON: {error}"),
        };
        if to_page.send(Ok(event)).await.is_err() {
            return;
        }
        tokio::time::sleep(PACE).await;
        tokio::select! {
          changed = snapshots.changed() => if changed.is_err() { return },
          () = to_page.closed() => return,
        }
    }
}
