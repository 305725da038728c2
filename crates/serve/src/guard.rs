//! What every request passes and every answer carries.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem;

/// Longest time for reading a request and beginning its answer.
const MAX_REQUEST: Duration = Duration::from_secs(10);

const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refuse(request.headers(), request.uri()) {
        Some((status, message)) => problem(status, message),
        None => match tokio::time::timeout(MAX_REQUEST, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                problem(StatusCode::REQUEST_TIMEOUT, "the request took longer than 10 s to arrive")
            }
        },
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why a request is not for us: a browser may have been led here under another name (DNS
/// rebinding), or by a page of another origin.
fn refuse(headers: &HeaderMap, uri: &Uri) -> Option<(StatusCode, &'static str)> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Some((StatusCode::BAD_REQUEST, "exactly one host header is needed"));
    };
    let host = host.to_str().unwrap_or_default();
    if !is_loopback_name(host)
        || uri.authority().is_some_and(|authority| !is_loopback_name(authority.as_str()))
    {
        return Some((
            StatusCode::FORBIDDEN,
            "this page answers only to localhost, 127.0.0.1 and [::1]",
        ));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let same = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if same.is_none_or(|authority| !authority.eq_ignore_ascii_case(host)) {
            return Some((StatusCode::FORBIDDEN, "pages of another origin may not ask here"));
        }
    }
    None
}

/// Whether `host[:port]` is a name of this machine's loopback.
fn is_loopback_name(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => authority,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass() {
        for good in
            ["localhost", "LOCALHOST:7070", "127.0.0.1:7070", "127.0.0.1", "[::1]:7070", "[::1]"]
        {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "localhost.example.org",
            "example.org:7070",
            "127.0.0.1.nip.io:7070",
            "::1",
            "user@localhost",
            "localhost:7070x",
            "localhost:80:80",
            "192.168.0.7:7070",
        ] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
