//! A server on loopback that speaks a hub's API, or does not behave.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Whether a connection to another server is wanted.
    is_connect: bool,
    /// By lower-case names.
    pub headers: BTreeMap<String, String>,
}

/// What is answered.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub how: How,
}

/// How a body is sent.
#[derive(Clone, Copy, PartialEq)]
pub enum How {
    Whole,
    /// The connection breaks after so many bytes.
    CutAfter(usize),
    /// The connection stays open after so many bytes, and nothing comes.
    StallAfter(usize),
    /// Over and over, without a length.
    Endless,
    /// With the length in a header that says otherwise.
    Lying(usize),
}

/// A server that runs as long as the test.
pub struct Server {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (log, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let requests = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (requests, answer) = (requests.clone(), answer.clone());
                std::thread::spawn(move || {
                    let Some(request) = asked_through(&stream) else { return };
                    requests.lock().expect("no panic").push(request.clone());
                    // Whoever asked may go away at any time.
                    let _ = write(stream, &answer(&request));
                });
            }
        });
        Server { address, log }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.log.lock().expect("no panic").clone()
    }

    /// How often something with `what` in its path was asked for.
    pub fn count(&self, what: &str) -> usize {
        self.asked().iter().filter(|request| request.path.contains(what)).count()
    }
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Reply {
    pub fn of(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), how: How::Whole }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub fn sent(mut self, how: How) -> Reply {
        self.how = how;
        self
    }

    /// A file, or the part of it that was asked for.
    pub fn file(request: &Request, bytes: &[u8]) -> Reply {
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
            return Reply { body: bytes.to_vec(), ..Reply::of(200) };
        };
        let first: usize = first.parse().expect("a number");
        if first >= bytes.len() {
            return Reply::of(416).with("content-range", format!("bytes */{}", bytes.len()));
        }
        let last = last.parse().unwrap_or(bytes.len() - 1);
        let range = format!("bytes {first}-{last}/{}", bytes.len());
        let body = bytes[first..=last].to_vec();
        Reply { body, ..Reply::of(206) }.with("content-range", range)
    }
}

/// What is asked here, or of another server with this one as the proxy.
fn asked_through(mut stream: &TcpStream) -> Option<Request> {
    let first = read(stream)?;
    if !first.is_connect {
        return Some(first);
    }
    stream.write_all(b"HTTP/1.1 200 connected\r\n\r\n").ok()?;
    read(stream)
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?;
    let (is_connect, path) = (line.starts_with("CONNECT "), line.split(' ').nth(1)?.to_owned());
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some(Request { path, is_connect, headers: headers.collect() })
}

fn write(mut stream: TcpStream, reply: &Reply) -> std::io::Result<()> {
    let Reply { status, headers, body, how } = reply;
    let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    match how {
        How::Endless => {}
        How::Lying(length) => head += &format!("content-length: {length}\r\n"),
        _ => head += &format!("content-length: {}\r\n", body.len()),
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    match how {
        How::Whole | How::Lying(_) => stream.write_all(body),
        How::CutAfter(count) => stream.write_all(&body[..body.len().min(*count)]),
        How::StallAfter(count) => {
            stream.write_all(&body[..body.len().min(*count)])?;
            stream.flush()?;
            // Until the other side goes away.
            BufReader::new(stream).lines().for_each(drop);
            Ok(())
        }
        How::Endless => loop {
            stream.write_all(&[7; 4096])?;
        },
    }
}

/// A repository of a hub.
#[derive(Clone, Default)]
pub struct Repository {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether the list of files says only names.
    pub names_only: bool,
    /// Where files of more than 4 kB are sent from.
    pub storage: Option<SocketAddr>,
}

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl Repository {
    pub fn of(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Repository {
        let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        Repository { files, ..Repository::default() }
    }

    /// Answers as a hub does for `OWNER/NAME`.
    pub fn answer(&self, request: &Request) -> Reply {
        if request.path == "/api/models/some/model/revision/main?blobs=true" {
            return Reply { body: self.list().into_bytes(), ..Reply::of(200) };
        }
        let prefix = format!("/some/model/resolve/{COMMIT}/");
        let Some(name) = request.path.strip_prefix(&prefix) else { return Reply::of(404) };
        let Some(bytes) = self.files.get(name) else { return Reply::of(404) };
        match (is_large(bytes), self.storage) {
            (true, Some(storage)) => Reply::of(302)
                .with("location", format!("http://{storage}/stored/{name}?signature=s3cret"))
                .with("x-linked-etag", format!("\"{}\"", sha256(bytes)))
                .with("x-linked-size", bytes.len().to_string()),
            (true, None) => {
                Reply::file(request, bytes).with("etag", format!("\"{}\"", sha256(bytes)))
            }
            (false, _) => {
                Reply::file(request, bytes).with("etag", format!("\"{}\"", git_blob(bytes)))
            }
        }
    }

    /// Answers as the storage behind a hub does.
    pub fn store(&self, request: &Request) -> Reply {
        let name = request.path.strip_prefix("/stored/").and_then(|path| path.split('?').next());
        match name.and_then(|name| self.files.get(name)) {
            Some(bytes) => Reply::file(request, bytes).with("etag", "\"of-the-storage\""),
            None => Reply::of(404),
        }
    }

    fn list(&self) -> String {
        let siblings = self.files.iter().map(|(name, bytes)| {
            let mut file = serde_json::json!({ "rfilename": name });
            if !self.names_only {
                file["size"] = bytes.len().into();
                file["blobId"] = git_blob(bytes).into();
            }
            if !self.names_only && is_large(bytes) {
                file["lfs"] = serde_json::json!({ "sha256": sha256(bytes), "size": bytes.len() });
            }
            file
        });
        let siblings: Vec<_> = siblings.collect();
        serde_json::json!({ "id": "some/model", "sha": COMMIT, "siblings": siblings }).to_string()
    }
}

fn is_large(bytes: &[u8]) -> bool {
    bytes.len() > 4096
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn git_blob(bytes: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::from(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    sha1.digest().to_string()
}
