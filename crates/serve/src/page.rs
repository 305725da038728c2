//! The page's files, built into the program so that it works without a network.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/style.css", CSS, include_str!("../page/style.css")),
    ("/favicon.svg", SVG, include_str!("../page/favicon.svg")),
    ("/app/main.js", SCRIPT, include_str!("../page/main.js")),
    ("/app/dom.js", SCRIPT, include_str!("../page/dom.js")),
    ("/app/format.js", SCRIPT, include_str!("../page/format.js")),
    ("/app/curve.js", SCRIPT, include_str!("../page/curve.js")),
    ("/app/peers.js", SCRIPT, include_str!("../page/peers.js")),
    ("/app/rounds.js", SCRIPT, include_str!("../page/rounds.js")),
    ("/app/prompt.js", SCRIPT, include_str!("../page/prompt.js")),
];

pub(crate) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, &(path, kind, text)| {
        router.route(
            path,
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text).into_response() }),
        )
    })
}
