//! Serves the page over example data, to look at it and to check it in a browser:
//! `cargo run -p understory-serve --example page -- [PORT] [SECOND]`.
//!
//! Port 0 takes any free one. With a second, the made-up run stands still there; otherwise it
//! plays over and over.

mod data;

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serve::{Prompt, PromptDone, PromptRequest, Snapshot};
use tokio::sync::watch;

const PAUSE_S: f64 = 20.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(7071), |port| port.parse())?;
    let still: Option<f64> = arguments.next().map(|second| second.parse()).transpose()?;

    let at = |t: f64| Arc::new(if t < 0.0 { Snapshot::default() } else { data::snapshot(t) });
    let (sender, feed) = watch::channel(at(still.unwrap_or(0.0)));
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    let addr =
        serve::serve(([127, 0, 0, 1], port).into(), serve::router(feed, Arc::new(Echo)), stop)
            .await?;
    println!("http://{addr}");

    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let t = still.unwrap_or_else(|| began.elapsed().as_secs_f64() % (data::LENGTH_S + PAUSE_S));
        sender.send_replace(at(t));
    }
}

/// Stands in for a model: says what it was asked, word by word.
struct Echo;

impl Prompt for Echo {
    fn generate(
        &self,
        request: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
        _: &mut progress::Tell<'_>,
    ) -> Result<PromptDone, net::BoxError> {
        let text = format!(
            " bytes that the example server would continue here, if it had a model. \
       It has none: this text is made up, asked for with temperature {} and seed {}.\n///\n/// # Panics\n///\n\
       /// Never, it only repeats itself.",
            request.temperature, request.seed
        );
        let mut tokens = 0;
        for word in text.split_inclusive(' ').take(request.max_tokens as usize) {
            if !emit(word) {
                break;
            }
            tokens += 1;
            thread::sleep(Duration::from_millis(30));
        }
        Ok(PromptDone { root: "5a7be2c0".repeat(8), tokens, tokens_per_s: 33.0 })
    }
}
