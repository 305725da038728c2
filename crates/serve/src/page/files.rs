//! The page's files, built into the program so that it works without a network.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, type and text of a file.
type File = (&'static str, &'static str, &'static str);

const FILES: [File; 10] = [
    ("/", HTML, include_str!("../../page/index.html")),
    ("/style.css", CSS, include_str!("../../page/style.css")),
    ("/favicon.svg", SVG, include_str!("../../page/favicon.svg")),
    ("/app/main.js", SCRIPT, include_str!("../../page/main.js")),
    ("/app/dom.js", SCRIPT, include_str!("../../page/dom.js")),
    ("/app/format.js", SCRIPT, include_str!("../../page/format.js")),
    ("/app/curve.js", SCRIPT, include_str!("../../page/curve.js")),
    ("/app/peers.js", SCRIPT, include_str!("../../page/peers.js")),
    ("/app/rounds.js", SCRIPT, include_str!("../../page/rounds.js")),
    ("/app/prompt.js", SCRIPT, include_str!("../../page/prompt.js")),
];

const COMMONS: [File; 16] = [
    ("/", HTML, include_str!("../../page/commons/index.html")),
    ("/style.css", CSS, include_str!("../../page/style.css")),
    ("/commons.css", CSS, include_str!("../../page/commons/commons.css")),
    ("/favicon.svg", SVG, include_str!("../../page/favicon.svg")),
    ("/app/main.js", SCRIPT, include_str!("../../page/commons/main.js")),
    ("/app/dom.js", SCRIPT, include_str!("../../page/dom.js")),
    ("/app/format.js", SCRIPT, include_str!("../../page/format.js")),
    ("/app/words.js", SCRIPT, include_str!("../../page/commons/words.js")),
    ("/app/graph.js", SCRIPT, include_str!("../../page/commons/graph.js")),
    ("/app/layers.js", SCRIPT, include_str!("../../page/commons/layers.js")),
    ("/app/members.js", SCRIPT, include_str!("../../page/commons/members.js")),
    ("/app/lineage.js", SCRIPT, include_str!("../../page/commons/lineage.js")),
    ("/app/tallies.js", SCRIPT, include_str!("../../page/commons/tallies.js")),
    ("/app/tally.js", SCRIPT, include_str!("../../page/commons/tally.js")),
    ("/app/margin.js", SCRIPT, include_str!("../../page/commons/margin.js")),
    ("/app/health.js", SCRIPT, include_str!("../../page/commons/health.js")),
];

/// The files of a run's page.
pub(crate) fn run() -> Router {
    serving(&FILES)
}

/// The files of a commons' page.
pub(crate) fn commons() -> Router {
    serving(&COMMONS)
}

fn serving(files: &[File]) -> Router {
    files.iter().fold(Router::new(), |router, &(path, kind, text)| {
        router.route(
            path,
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text).into_response() }),
        )
    })
}
