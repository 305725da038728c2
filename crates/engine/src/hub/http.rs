//! HTTP as far as fetching files needs it: redirects followed by hand, so that a token is sent to
//! the hub and to nobody else and no server sends us into our own network, and no timeout but for
//! silence, for files are large.

use std::time::Duration;

use ureq::http::{HeaderMap, Response, header};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};
use url::{Host, Origin, Url};

use super::reach::{self, Far, Near};
use super::source;

/// Asks servers; keeps connections.
pub struct Client {
    agent: Agent,
    /// Reaches nothing on this machine or in its own network.
    far: Agent,
    token: Option<(Origin, String)>,
}

/// What a server answered, after redirects.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
    /// Headers of the redirects on the way, the first first: a hub says there what a file is.
    pub way: Vec<HeaderMap>,
    /// Whether it comes from another server than was asked.
    pub is_elsewhere: bool,
}

/// Which bytes of a file are wanted.
#[derive(Debug, Clone, Default)]
pub struct Part<'a> {
    /// First and, for a few bytes, last.
    pub range: Option<(u64, Option<u64>)>,
    /// Only if the file is still the one of this tag; else all of it.
    pub same_as: Option<&'a str>,
}

/// Why there is no answer, or none of use.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No server was reached, or it fell silent.
    #[error("{host} cannot be reached")]
    Unreached {
        /// The server.
        host: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was answered is not HTTP, or its certificate is not good.
    #[error("{host} does not answer properly")]
    Improper {
        /// The server.
        host: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that is not the file.
    #[error("{host} answers {status}{}", said(.says))]
    Status {
        /// The server.
        host: String,
        /// The status of HTTP.
        status: u16,
        /// What the server says of it, as one plain line.
        says: String,
    },
    /// A redirect that is not followed.
    #[error("{host} sends us to {to}, which is not followed")]
    Redirect {
        /// The server.
        host: String,
        /// Where it leads: scheme and server, for the rest of an address may hold secrets.
        to: String,
    },
}

impl HttpError {
    /// What to do about it, whoever was asked.
    pub fn advice(&self) -> &'static str {
        match self {
            HttpError::Unreached { .. } => OFFLINE,
            HttpError::Redirect { .. } => {
                "do not trust this server; a server of your own network is asked by its own address"
            }
            HttpError::Status { status: 404 | 410, .. } => {
                "there is no such file; look at the spelling"
            }
            HttpError::Status { status: 429, .. } => "the server asks us to wait a while",
            HttpError::Status { status: 500..=599, .. } => "the server has trouble, try later",
            _ => "fetch it with another program, then run it by its path",
        }
    }

    /// Whether it may be otherwise in a moment.
    pub fn may_pass(&self) -> bool {
        match self {
            HttpError::Unreached { .. } => true,
            HttpError::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            HttpError::Improper { .. } | HttpError::Redirect { .. } => false,
        }
    }
}

impl Client {
    /// `token` goes to servers of `home` only, and only where others on the way cannot read it.
    pub fn new(home: Option<&Url>, token: Option<String>) -> Client {
        // A proxy would read what goes to a server on this machine, token and all.
        let here = home.is_some_and(|url| url.scheme() == "http" && is_private(url));
        let proxy = if here { None } else { ureq::Proxy::try_from_env() };
        let config = Agent::config_builder()
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("understory/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(SILENCE))
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        let home = home.filter(|url| is_private(url)).map(Url::origin);
        let far = Agent::with_parts(config.clone(), DefaultConnector::default(), Far::default());
        Client { agent: config.into(), far, token: home.zip(token) }
    }

    /// Asks for `url`, or a part of it.
    pub fn get(&self, url: &Url, part: &Part<'_>) -> Result<Answer, HttpError> {
        let asked = url.origin();
        let (mut url, mut way) = (url.clone(), Vec::new());
        // The server that sent us on, once one of the open network has.
        let mut far_from = None;
        loop {
            let response = self.ask(&url, part, far_from.as_ref())?;
            let (parts, body) = response.into_parts();
            if !parts.status.is_redirection() || way.len() == MAX_REDIRECTS {
                let status = parts.status.as_u16();
                let (headers, is_elsewhere) = (parts.headers, url.origin() != asked);
                return match status {
                    200 | 206 | 416 => Ok(Answer { status, headers, body, way, is_elsewhere }),
                    _ => Err(refusal(&url, status, &headers)),
                };
            }
            let to = text(&parts.headers, header::LOCATION.as_str()).unwrap_or_default();
            let next = redirect(&url, to)?;
            if far_from.is_some() || !reach::leads_near(&url) {
                must_be_far(&url, &next)?;
                far_from = Some(url);
            }
            url = next;
            way.push(parts.headers);
        }
    }

    /// Asks one server; with `sent_by` it must not be near.
    fn ask(
        &self,
        url: &Url,
        part: &Part<'_>,
        sent_by: Option<&Url>,
    ) -> Result<Response<Body>, HttpError> {
        let agent = if sent_by.is_some() { &self.far } else { &self.agent };
        let mut request = agent.get(url.as_str());
        if let Some((_, token)) = self.token.as_ref().filter(|(home, _)| *home == url.origin()) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some((first, last)) = part.range {
            let last = last.map_or_else(String::new, |last| last.to_string());
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        if let Some(tag) = part.same_as {
            request = request.header(header::IF_RANGE, tag);
        }
        request.call().map_err(|source| match (&source, sent_by) {
            (ureq::Error::Other(error), Some(from)) if error.is::<Near>() => refused(from, url),
            _ => unanswered(url, source),
        })
    }
}

/// A header as text, if it is there and plain.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header as a number.
pub fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// What a stranger wrote, fit to be printed: one short line.
fn plain(text: &str) -> String {
    ids::plain_short(text, 300)
}

fn said(says: &str) -> String {
    if says.is_empty() { String::new() } else { format!(": {says}") }
}

fn refusal(url: &Url, status: u16, headers: &HeaderMap) -> HttpError {
    let says = text(headers, "x-error-message").map_or_else(String::new, plain);
    HttpError::Status { host: host(url), status, says }
}

fn unanswered(url: &Url, source: ureq::Error) -> HttpError {
    use ureq::Error as E;
    let host = host(url);
    let unreached = match &source {
        E::HostNotFound | E::ConnectionFailed | E::Timeout(_) => true,
        // TLS reports what it refuses as invalid data.
        E::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        _ => false,
    };
    let source = Box::new(source);
    match unreached {
        true => HttpError::Unreached { host, source },
        false => HttpError::Improper { host, source },
    }
}

/// Where a redirect leads: never from a private connection to one that others can read.
fn redirect(from: &Url, to: &str) -> Result<Url, HttpError> {
    let nowhere = || HttpError::Redirect { host: host(from), to: "what is no address".to_owned() };
    if to.is_empty() {
        return Err(nowhere());
    }
    let mut url = from.join(to).map_err(|_| nowhere())?;
    source::drop_login(&mut url);
    let good = matches!(url.scheme(), "http" | "https") && (is_private(&url) || !is_private(from));
    if good { Ok(url) } else { Err(refused(from, &url)) }
}

/// Refuses what a server of the open network must not send us to.
fn must_be_far(from: &Url, to: &Url) -> Result<(), HttpError> {
    if reach::is_near_by_name(to) { Err(refused(from, to)) } else { Ok(()) }
}

fn refused(from: &Url, to: &Url) -> HttpError {
    let to = plain(&format!("{}://{}", to.scheme(), host(to)));
    HttpError::Redirect { host: host(from), to }
}

/// Whether nobody between here and there can read along.
fn is_private(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || here
}

/// The server's name; the rest of an address may hold secrets.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the server");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What to do without a network.
const OFFLINE: &str =
    "is this machine online? A file that is here already is run by its path: understory run PATH";
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("an address")
    }

    #[test]
    fn redirects_do_not_leave_private_connections() {
        let from = url("https://hub.example/a/b");
        assert_eq!(redirect(&from, "/c").expect("same host"), url("https://hub.example/c"));
        assert!(redirect(&from, "https://cdn.example/x?signature=1").is_ok());
        for to in ["http://cdn.example/x", "file:///etc/passwd", "", "ftp://x/y", "http://"] {
            let error = redirect(&from, to).expect_err(to).to_string();
            assert!(error.starts_with("hub.example sends us to "), "{error}");
        }
        assert!(redirect(&url("http://127.0.0.1:1/"), "http://other.example/").is_err());
        assert!(redirect(&url("http://plain.example/"), "http://other.example/").is_ok());
    }

    #[test]
    fn a_server_far_away_sends_us_to_nothing_near() {
        let from = url("https://hub.example/a");
        for near in ["https://127.0.0.1:8443/x?key=s3cret", "https://[::1]/", "https://10.0.0.7/"] {
            let to = redirect(&from, near).expect("an address");
            let error = must_be_far(&from, &to).expect_err(near).to_string();
            assert!(error.contains("not followed") && !error.contains("s3cret"), "{error}");
        }
        let to = redirect(&from, "https://cdn.example/x").expect("an address");
        assert!(must_be_far(&from, &to).is_ok());
        // A name is looked at as what it stands for, when it is connected to.
        let client = Client::new(None, None);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let near = url(&format!("http://localhost:{port}/x"));
        let error = client.ask(&near, &Part::default(), Some(&from)).expect_err("refused");
        assert!(matches!(error, HttpError::Redirect { .. }), "{error}");
        listener.set_nonblocking(true).expect("it can be asked");
        assert!(listener.accept().is_err(), "nothing was connected");
    }

    #[test]
    fn what_a_redirect_holds_of_secrets_is_not_told() {
        let from = url("https://hub.example/a");
        let error = redirect(&from, "http://me:s3cret@cdn.example/x?signature=s3cret");
        let error = error.expect_err("not private").to_string();
        assert!(error.contains("cdn.example") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_token_is_for_private_connections() {
        let token = || Some("t".to_owned());
        assert!(Client::new(Some(&url("https://hub.example")), token()).token.is_some());
        assert!(Client::new(Some(&url("http://127.0.0.1:8080")), token()).token.is_some());
        assert!(Client::new(Some(&url("http://hub.example")), token()).token.is_none());
        assert!(Client::new(None, token()).token.is_none());
    }

    #[test]
    fn what_servers_say_is_printed_as_one_plain_line() {
        assert_eq!(plain("a\u{1b}[31m\nb"), r"a\u001b[31m\u000ab");
        assert!(plain(&"x".repeat(1000)).len() < 330);
    }
}
