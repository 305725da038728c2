//! Reads the log once for each of its versions, however many pages ask.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use net::{BoxError, with_causes};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{Commons, Reading, View, view};
use crate::problem;

/// How often a stream looks whether the log has grown.
const PACE: Duration = Duration::from_secs(1);
/// How long a page waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);
/// Streams at a time; a page uses one.
const MAX_STREAMS: usize = 32;
/// Answers kept for one version of the log.
const MAX_KEPT: usize = 64;
/// Most bytes of one answer: far more than the bounds of what is shown come to.
const MAX_ANSWER: usize = 32 << 20;

/// The commons, what was read of it last, and room for those who follow it.
#[derive(Clone)]
pub(super) struct LogReader {
    source: Arc<dyn Commons>,
    kept: Arc<Mutex<Kept>>,
    room: Arc<Semaphore>,
}

/// What is known of one version of the log.
#[derive(Default)]
struct Kept {
    version: String,
    reading: Option<Reading>,
    answers: BTreeMap<View, Bytes>,
}

impl LogReader {
    pub(super) fn new(source: Arc<dyn Commons>) -> Self {
        Self { source, kept: Arc::default(), room: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    /// A view as JSON; none if there is no such question.
    ///
    /// Errors: the log cannot be read, in words.
    pub(super) async fn answer(&self, view: View) -> Result<Option<Bytes>, BoxError> {
        // Only one reads and counts at a time: whoever waits finds the work done. It is done even
        // if nobody waits any more, so asking again after a time-out costs nothing.
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        let source = Arc::clone(&self.source);
        let work = tokio::task::spawn_blocking(move || kept.answer(&*source, view));
        work.await.unwrap_or_else(|error| Err(format!("this view failed: {error}").into()))
    }

    async fn version(&self) -> Result<String, BoxError> {
        let source = Arc::clone(&self.source);
        let work = tokio::task::spawn_blocking(move || source.version());
        work.await.unwrap_or_else(|error| Err(format!("the log cannot be read: {error}").into()))
    }
}

impl Kept {
    fn answer(&mut self, source: &dyn Commons, view: View) -> Result<Option<Bytes>, BoxError> {
        let version = source.version()?;
        if self.reading.is_none() || self.version != version {
            *self = Self { version, reading: Some(source.read()?), answers: BTreeMap::new() };
        }
        if let Some(answer) = self.answers.get(&view) {
            return Ok(Some(answer.clone()));
        }
        let Some(value) = self.reading.as_ref().and_then(|reading| view::json(reading, view))
        else {
            return Ok(None);
        };
        if value.len() > MAX_ANSWER {
            return Err(format!("this view has {} bytes, too many for a page", value.len()).into());
        }
        let answer = Bytes::from(value);
        if self.answers.len() == MAX_KEPT {
            self.answers.clear();
        }
        self.answers.insert(view, answer.clone());
        Ok(Some(answer))
    }
}

/// Streams the log's version: now, and whenever it is another.
pub(super) async fn events(Shared(reader): Shared<LogReader>) -> Response {
    let Ok(place) = Arc::clone(&reader.room).try_acquire_owned() else {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages follow this commons already",
        );
    };
    let (to_page, stream) = mpsc::channel(1);
    tokio::spawn(follow(reader, to_page, place));
    Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response()
}

async fn follow(
    reader: LogReader,
    to_page: mpsc::Sender<Result<Event, Infallible>>,
    _place: OwnedSemaphorePermit,
) {
    let mut last = None;
    loop {
        let now = reader.version().await.map_err(|error| with_causes(&*error));
        if last.as_ref() != Some(&now) {
            let (name, text) = match &now {
                Ok(version) => ("version", version),
                Err(message) => ("problem", message),
            };
            let event = Event::default()
                .event(name)
                .retry(RETRY)
                .json_data(text)
                .expect("a text is always JSON");
            if to_page.send(Ok(event)).await.is_err() {
                return;
            }
            last = Some(now);
        }
        tokio::select! {
          () = tokio::time::sleep(PACE) => {}
          () = to_page.closed() => return,
        }
    }
}
