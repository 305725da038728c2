//! Serves a commons' page over example data, to look at it and to check it in a browser:
//! `cargo run -p understory-serve --example commons_page -- [PORT] [SECONDS]`.
//!
//! Port 0 takes any free one. Every so many seconds, 10 unless told otherwise, the log grows.

mod data;
mod town;

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serve::commons::{Commons, Reading, version};
use town::Town;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(7072), |port| port.parse())?;
    let pause: u64 = arguments.next().map_or(Ok(10), |seconds| seconds.parse())?;

    let example = Arc::new(Example(Mutex::new(data::commons())));
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    let addr = serve::commons::serve(([127, 0, 0, 1], port).into(), example.clone(), stop).await?;
    println!("http://{addr}");
    loop {
        tokio::time::sleep(Duration::from_secs(pause.max(1))).await;
        let example = example.clone();
        tokio::task::spawn_blocking(move || example.with(data::grow)).await?;
    }
}

struct Example(Mutex<Town>);

impl Example {
    fn with<T>(&self, act: impl FnOnce(&mut Town) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Commons for Example {
    fn version(&self) -> Result<String, net::BoxError> {
        let log = self.with(|town| town.archive.snapshot()).map_err(|e| e.to_string())?;
        Ok(version(&log)?)
    }

    fn read(&self) -> Result<Reading, net::BoxError> {
        Ok(self.with(|town| town.reading()))
    }
}
