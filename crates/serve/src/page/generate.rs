//! Prompts: one answered at a time, a few waiting, text streamed as it comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use net::with_causes;
use progress::{At, Progress};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::{Prompt, PromptRequest, problem};

/// Prompts that may wait while one is answered.
const MAX_WAITING: usize = 4;
/// Events of progress before an answer.
const MAX_TOLD: usize = 32;
/// Longest time for one answer: a run trains on the same cores.
const MAX_ANSWER: Duration = Duration::from_secs(120);

type Lines = mpsc::Sender<Result<Event, Infallible>>;

/// Who answers, and the queue before them.
#[derive(Clone)]
pub(crate) struct PromptQueue {
    prompt: Arc<dyn Prompt>,
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl PromptQueue {
    pub(crate) fn new(prompt: Arc<dyn Prompt>) -> Self {
        Self {
            prompt,
            places: Arc::new(Semaphore::new(MAX_WAITING + 1)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

pub(crate) async fn generate(
    State(queue): State<PromptQueue>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let request = match read(&headers, body) {
        Ok(request) => request,
        Err((status, message)) => return problem(status, &message),
    };
    let Ok(place) = Arc::clone(&queue.places).try_acquire_owned() else {
        return problem(
            StatusCode::TOO_MANY_REQUESTS,
            "other prompts are waiting already, try again in a moment",
        );
    };
    // Room for what is told, every token and the closing event, so that generating never waits for
    // a slow reader.
    let (to_page, stream) = mpsc::channel(MAX_TOLD + request.max_tokens as usize + 2);
    tokio::spawn(answer(queue, request, place, to_page));
    Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response()
}

fn read(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<PromptRequest, (StatusCode, String)> {
    // Only JSON: other types a browser would send across origins without asking first.
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type must be application/json".into(),
        ));
    }
    let body = body.map_err(|rejection| (rejection.status(), rejection.body_text()))?;
    let request: PromptRequest = serde_json::from_slice(&body)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    request.check().map_err(|message| (StatusCode::BAD_REQUEST, message))?;
    Ok(request)
}

/// Waits for its turn and answers; gives its place up as soon as the page goes away.
async fn answer(
    queue: PromptQueue,
    request: PromptRequest,
    place: OwnedSemaphorePermit,
    to_page: Lines,
) {
    let turn = tokio::select! {
      turn = Arc::clone(&queue.turn).acquire_owned() => turn.expect("the queue never closes its queue"),
      () = to_page.closed() => return,
    };
    let page = to_page.clone();
    let worked = tokio::task::spawn_blocking(move || {
        // Both are held until the model is really free again, even if nobody listens any more.
        let _held = (turn, place);
        speak(&*queue.prompt, request, &page);
    });
    if let Err(error) = worked.await {
        tracing::error!("generation failed: {error}");
        let _ = to_page
            .try_send(Ok(event("error", &Problem { message: "generation failed unexpectedly" })));
    }
}

fn speak(prompt: &dyn Prompt, request: PromptRequest, page: &Lines) {
    let began = Instant::now();
    let mut emit = |text: &str| {
        // A page that went away closes its channel; one place stays free for the closing event.
        began.elapsed() < MAX_ANSWER
            && page.capacity() > 1
            && page.try_send(Ok(event("token", &Token { text }))).is_ok()
    };
    let mut thin = Thin::default();
    let mut tell = |progress: Progress| {
        if let Progress::At(at) = progress
            && thin.takes(at)
        {
            let _ = page.try_send(Ok(event("progress", &at))); // a page that is gone asks for none
        }
    };
    let last = match prompt.generate(request, &mut emit, &mut tell) {
        Ok(done) => event("done", &done),
        Err(error) => event("error", &Problem { message: &with_causes(&*error) }),
    };
    let _ = page.try_send(Ok(last)); // a page that is gone needs no goodbye
}

/// Thins out progress: a page needs no more than a step of a few percent.
#[derive(Default)]
struct Thin {
    told: usize,
    last: Option<At>,
}

impl Thin {
    fn takes(&mut self, at: At) -> bool {
        let step = at.total / 16;
        let same = |last: At| last.work == at.work && at.done < last.done.saturating_add(step);
        if self.told == MAX_TOLD || self.last.is_some_and(same) {
            return false;
        }
        (self.told, self.last) = (self.told + 1, Some(at));
        true
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).json_data(data).expect("strings and numbers are always JSON")
}

#[derive(Serialize)]
struct Token<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Problem<'a> {
    message: &'a str,
}
