//! The server as a client on this machine meets it: over a real socket, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serve::{CurvePoint, Prompt, PromptDone, PromptRequest, ServeError, Snapshot, router, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

/// Continues with numbers, one token each, as many as were asked for.
struct Counts;

impl Prompt for Counts {
    fn generate(
        &self,
        request: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
        tell: &mut progress::Tell<'_>,
    ) -> Result<PromptDone, net::BoxError> {
        if request.prompt == "load" {
            let mut count = progress::Counter::new(progress::Work::Loading, 100_000, tell);
            (0..100_000).for_each(|_| count.add(1));
        }
        if request.prompt == "refuse" {
            return Err("there is no model yet".into());
        }
        assert_ne!(request.prompt, "panic", "as the test asked");
        let spoken =
            (0..request.max_tokens).take_while(|number| emit(&format!("{number}\n"))).count();
        Ok(PromptDone { root: "ab".repeat(32), tokens: spoken as u32, tokens_per_s: 10.0 })
    }
}

/// A server over `prompt`, stopped when dropped.
struct Server {
    addr: SocketAddr,
    feed: watch::Sender<Arc<Snapshot>>,
    _stop: oneshot::Sender<()>,
}

async fn start(prompt: impl Prompt + 'static) -> Server {
    let (feed, snapshots) = watch::channel(Arc::new(named("first")));
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or_default() };
    let routes = router(snapshots, Arc::new(prompt));
    let addr = serve(([127, 0, 0, 1], 0).into(), routes, shutdown).await.expect("a free port");
    Server { addr, feed, _stop: stop }
}

fn named(name: &str) -> Snapshot {
    let point = CurvePoint { bits_per_byte: 2.5, ..CurvePoint::default() };
    Snapshot { name: name.into(), curve: vec![point], ..Snapshot::default() }
}

impl Server {
    async fn open(&self, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.addr).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the request is sent");
        BufReader::new(stream)
    }

    /// Sends a whole request and reads until the server closes.
    async fn exchange(&self, request: &str) -> Answer {
        let mut text = Vec::new();
        self.open(request).await.read_to_end(&mut text).await.expect("an answer");
        Answer::read(&String::from_utf8(text).expect("UTF-8"))
    }

    async fn get(&self, path: &str) -> Answer {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.addr
        ))
        .await
    }

    async fn generate(&self, body: &str) -> Answer {
        self.exchange(&self.generate_request(body)).await
    }

    fn generate_request(&self, body: &str) -> String {
        let (addr, length) = (self.addr, body.len());
        format!(
            "POST /api/generate HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\n\
       content-length: {length}\r\n\r\n{body}"
        )
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status =
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        Self { status, head: head.to_ascii_lowercase(), body: body.into() }
    }
}

/// Reads from a stream until `mark` has come.
async fn read_until(stream: &mut BufReader<TcpStream>, mark: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains(mark) {
        let length = stream.read(&mut chunk).await.expect("the stream goes on");
        assert_ne!(length, 0, "ended before {mark:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    text
}

#[tokio::test]
async fn every_file_of_the_page_is_served_with_its_type() {
    let server = start(Counts).await;
    for (path, kind) in [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/favicon.svg", "image/svg+xml"),
        ("/app/main.js", "text/javascript"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains(&format!("content-type: {kind}")), "{}", answer.head);
        assert!(answer.body.len() > 100, "{path}");
    }
}

#[tokio::test]
async fn every_file_that_the_page_names_exists() {
    let server = start(Counts).await;
    let mut to_read = vec!["/".to_owned()];
    let mut known = to_read.clone();
    while let Some(path) = to_read.pop() {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        let named =
            answer.body.split(['"', '\'']).filter_map(|word| match word.strip_prefix("./") {
                Some(module) if module.ends_with(".js") => Some(format!("/app/{module}")),
                _ if word.starts_with('/') && word.contains('.') && !word.contains(' ') => {
                    Some(word.to_owned())
                }
                _ => None,
            });
        let new: Vec<_> = named.filter(|path| !known.contains(path)).collect();
        known.extend(new.iter().cloned());
        to_read.extend(new);
    }
    assert!(known.len() >= 10, "{known:?}");
}

#[tokio::test]
async fn the_page_holds_no_inline_script_or_style() {
    let server = start(Counts).await;
    let page = server.get("/").await.body;
    for inline in
        ["<style", " style=", " onclick=", " onload=", "javascript:", "http://", "https://"]
    {
        assert!(!page.contains(inline), "{inline}");
    }
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=\"/app/").count()
    );
}

#[tokio::test]
async fn what_comes_from_the_run_is_never_taken_for_html() {
    let server = start(Counts).await;
    for module in ["main", "dom", "format", "curve", "peers", "rounds", "prompt"] {
        let script = server.get(&format!("/app/{module}.js")).await.body;
        for unsafe_sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
        {
            assert!(!script.contains(unsafe_sink), "{module}.js: {unsafe_sink}");
        }
    }
}

#[tokio::test]
async fn answers_carry_the_security_headers_and_allow_no_other_origin() {
    let server = start(Counts).await;
    for path in ["/", "/api/snapshot", "/nowhere"] {
        let head = server.get(path).await.head;
        assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("cross-origin-resource-policy: same-origin"), "{head}");
        assert!(!head.contains("access-control-allow"), "{head}");
    }
}

#[tokio::test]
async fn the_snapshot_is_the_newest() {
    let server = start(Counts).await;
    server.feed.send_replace(Arc::new(named("second")));
    let answer = server.get("/api/snapshot").await;
    let snapshot: Snapshot = serde_json::from_str(&answer.body).expect("a snapshot");
    assert_eq!(snapshot, named("second"));
}

#[tokio::test]
async fn events_begin_with_the_whole_snapshot_and_follow_changes() {
    let server = start(Counts).await;
    let mut stream =
        server.open(&format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr)).await;
    let first = read_until(&mut stream, "\n\n\r\n").await;
    assert!(first.to_ascii_lowercase().contains("content-type: text/event-stream"), "{first}");
    assert!(first.contains("event: snapshot\n") && first.contains("\"name\":\"first\""), "{first}");
    server.feed.send_replace(Arc::new(named("skipped")));
    server.feed.send_replace(Arc::new(named("latest")));
    let next = read_until(&mut stream, "\n\n\r\n").await;
    assert!(next.contains("\"name\":\"latest\"") && !next.contains("skipped"), "{next}");
}

#[tokio::test]
async fn events_end_with_the_run() {
    let server = start(Counts).await;
    let mut stream = server
        .open(&format!(
            "GET /api/events HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            server.addr
        ))
        .await;
    read_until(&mut stream, "event: snapshot").await;
    drop(server.feed);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the stream ends");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let server = start(Counts).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = server
            .open(&format!("GET /api/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr))
            .await;
        read_until(&mut stream, "event: snapshot").await;
        open.push(stream);
    }
    assert_eq!(server.get("/api/events").await.status, 503);
}

#[tokio::test]
async fn only_loopback_names_are_answered() {
    let server = start(Counts).await;
    let port = server.addr.port();
    for (host, status) in [
        (format!("host: localhost:{port}\r\n"), 200),
        (format!("host: 127.0.0.1:{port}\r\n"), 200),
        ("host: [::1]\r\n".into(), 200),
        (format!("host: example.org:{port}\r\n"), 403),
        ("host: 127.0.0.1.example.org\r\n".into(), 403),
        (String::new(), 400),
        ("host: localhost\r\nhost: example.org\r\n".into(), 400),
    ] {
        for path in ["/", "/api/snapshot"] {
            let answer = server
                .exchange(&format!("GET {path} HTTP/1.1\r\n{host}connection: close\r\n\r\n"))
                .await;
            assert_eq!(answer.status, status, "{host:?}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let server = start(Counts).await;
    for (origin, status) in [
        (format!("http://{}", server.addr), 200),
        ("https://example.org".into(), 403),
        ("null".into(), 403),
        ("http://localhost:1".into(), 403),
    ] {
        let request = server.generate_request(r#"{"prompt":"x","max_tokens":1}"#).replacen(
            "\r\n",
            &format!("\r\norigin: {origin}\r\n"),
            1,
        );
        assert_eq!(server.exchange(&request).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn tokens_stream_in_order_and_end_with_the_root() {
    let server = start(Counts).await;
    let answer = server.generate(r#"{"prompt":"count","max_tokens":3}"#).await;
    assert_eq!(answer.status, 200);
    let places: Vec<_> =
        [r#"{"text":"0\n"}"#, r#"{"text":"1\n"}"#, r#"{"text":"2\n"}"#, "event: done"]
            .map(|part| {
                answer.body.find(part).unwrap_or_else(|| panic!("{part} in {}", answer.body))
            })
            .to_vec();
    assert!(places.is_sorted(), "{places:?}");
    assert!(
        answer.body.contains(&"ab".repeat(32)) && answer.body.contains(r#""tokens":3"#),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_model_that_refuses_or_fails_is_told_as_an_event_and_the_next_prompt_is_answered() {
    let server = start(Counts).await;
    let refused = server.generate(r#"{"prompt":"refuse"}"#).await;
    assert!(
        refused.body.contains("event: error") && refused.body.contains("there is no model yet"),
        "{refused:?}"
    );
    let failed = server.generate(r#"{"prompt":"panic"}"#).await;
    assert!(failed.body.contains("event: error"), "{failed:?}");
    let fine = server.generate(r#"{"prompt":"count"}"#).await;
    assert!(fine.body.contains("event: done"), "{fine:?}");
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_reason() {
    let server = start(Counts).await;
    for (body, status, reason) in [
        (r#"{"prompt":"x","colour":1}"#.into(), 400, "colour"),
        (r#"{"prompt":"x","temperature":"hot"}"#.into(), 400, "f32"),
        (r#"{"prompt":"x","temperature":9}"#.into(), 400, "temperature is 9"),
        (r#"{"prompt":"x","max_tokens":0}"#.into(), 400, "max_tokens is 0"),
        (r#"{"prompt":"x","seed":-1}"#.into(), 400, "-1"),
        (r#"{"prompt":"x","prompt":"y"}"#.into(), 400, "duplicate"),
        ("{}".into(), 400, "prompt is empty"),
        ("{\"prompt\":".into(), 400, "EOF"),
        ("[".repeat(10_000), 400, ""),
        (format!(r#"{{"prompt":"{}"}}"#, "x".repeat(20_000)), 400, "20000 bytes"),
        (format!(r#"{{"prompt":"{}"}}"#, "x".repeat(200_000)), 413, ""),
    ] {
        let answer = server.generate(&body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let problem: serde_json::Value =
            serde_json::from_str(&answer.body).expect("a problem in JSON");
        assert!(problem["error"].as_str().is_some_and(|text| text.contains(reason)), "{problem}");
    }
}

#[tokio::test]
async fn only_json_is_taken_and_only_by_post() {
    let server = start(Counts).await;
    let form =
        server.generate_request(r#"{"prompt":"x"}"#).replace("application/json", "text/plain");
    assert_eq!(server.exchange(&form).await.status, 415);
    assert_eq!(server.get("/api/generate").await.status, 405);
    assert_eq!(server.get("/api/nothing").await.status, 404);
    assert_eq!(server.get("/app/../Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn a_request_head_beyond_the_limit_is_refused() {
    let server = start(Counts).await;
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    let mut stream = server.open(&long).await;
    let mut answer = Vec::new();
    // The server may close before it has read everything; what matters is that it never says 200.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.get("/").await.status, 200);
}

/// Speaks only when told to, and says when it stopped because nobody listened.
struct Held {
    go: std::sync::Mutex<mpsc::Receiver<()>>,
    started: AtomicUsize,
    left: tokio::sync::mpsc::UnboundedSender<&'static str>,
}

impl Prompt for Held {
    fn generate(
        &self,
        _: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
        _: &mut progress::Tell<'_>,
    ) -> Result<PromptDone, net::BoxError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        emit("begun");
        let go = self.go.lock().map_err(|_| "poisoned")?;
        while go.recv().is_ok() {
            if !emit(".") {
                self.left.send("nobody listens").map_err(|_| "test over")?;
                break;
            }
        }
        Ok(PromptDone::default())
    }
}

#[tokio::test]
async fn one_prompt_is_answered_at_a_time_a_few_wait_and_more_are_refused() {
    let (tell, go) = mpsc::channel();
    let (left, _) = tokio::sync::mpsc::unbounded_channel();
    let held = Arc::new(Held { go: go.into(), started: AtomicUsize::new(0), left });
    let server = start(Shared(Arc::clone(&held))).await;
    let request = server.generate_request(r#"{"prompt":"x"}"#);
    let mut first = server.open(&request).await;
    read_until(&mut first, "begun").await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut stream = server.open(&request).await;
        read_until(&mut stream, "200 OK").await;
        waiting.push(stream);
    }
    assert_eq!(held.started.load(Ordering::SeqCst), 1);
    assert_eq!(server.generate(r#"{"prompt":"x"}"#).await.status, 429);
    drop(tell); // the model may finish, and so may all that wait
    read_until(&mut first, "event: done").await;
    for stream in &mut waiting {
        read_until(stream, "event: done").await;
    }
    assert_eq!(held.started.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn generation_stops_when_the_page_goes_away() {
    let (tell, go) = mpsc::channel();
    let (left, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = start(Held { go: go.into(), started: AtomicUsize::new(0), left }).await;
    let mut stream =
        server.open(&server.generate_request(r#"{"prompt":"x","max_tokens":2048}"#)).await;
    read_until(&mut stream, "begun").await;
    drop(stream);
    // The model goes on until its words meet a closed connection.
    let nudge = async {
        loop {
            if tell.send(()).is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let said = tokio::select! { said = heard.recv() => said, () = nudge => None };
    assert_eq!(said, Some("nobody listens"));
}

#[tokio::test]
async fn what_takes_long_before_an_answer_is_told_in_a_few_events() {
    let server = start(Counts).await;
    let answer = server.generate(r#"{"prompt":"load","max_tokens":3}"#).await;
    let told = answer.body.matches("event: progress").count();
    assert!((4..=32).contains(&told), "{told}: {}", answer.body);
    assert!(answer.body.contains(r#""work":"loading""#), "{}", answer.body);
    assert_eq!(answer.body.matches("event: token").count(), 3, "no word is lost for it");
    assert!(answer.body.contains("event: done"), "{}", answer.body);
}

struct Shared(Arc<Held>);

impl Prompt for Shared {
    fn generate(
        &self,
        request: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
        tell: &mut progress::Tell<'_>,
    ) -> Result<PromptDone, net::BoxError> {
        self.0.generate(request, emit, tell)
    }
}

#[tokio::test]
async fn other_machines_cannot_be_let_in() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.168.1.4:7070"] {
        let addr: SocketAddr = addr.parse().expect("an address");
        let (_, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let refused = serve(addr, router(snapshots, Arc::new(Counts)), async {}).await;
        let Err(error @ ServeError::NotLoopback { .. }) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains(&addr.to_string()) && error.hint().is_some());
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_a_hint() {
    let server = start(Counts).await;
    let (_, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let refused = serve(server.addr, router(snapshots, Arc::new(Counts)), async {}).await;
    let Err(error @ ServeError::PortTaken { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(&server.addr.port().to_string()) && error.hint().is_some());
}

#[tokio::test]
async fn a_shutdown_closes_pages_that_are_still_open() {
    let server = start(Counts).await;
    let addr = server.addr;
    let mut stream =
        server.open(&format!("GET /api/events HTTP/1.1\r\nhost: {addr}\r\n\r\n")).await;
    read_until(&mut stream, "event: snapshot").await;
    drop(server._stop);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest));
    assert!(closed.await.is_ok(), "the stream is still open");
    drop(server.feed); // the run itself went on until here
}
