//! How fast objects travel between two nodes on loopback, every byte hashed, stored and flushed.
//!
//! `cargo run --release -p understory-net --example transfer -- [MiB [MiB per object]]`

use ids::ObjectRef;
use net::{
    Relay,
    swarm::{Config, Handle, Report, Source, start},
};
use std::{error::Error, path::Path, sync::Arc, time::Instant};
use store::Store;

const MIB: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let total = numbers.next().transpose()?.unwrap_or(256);
    let each = numbers.next().transpose()?.unwrap_or(16).clamp(1, 64);
    let folder = tempfile::tempdir()?;
    let (has, wants) = (folder.path().join("has"), folder.path().join("wants"));
    let store = open_store(&has)?;
    let objects: Vec<ObjectRef> = (0..total / each)
        .map(|i| {
            store
                .put(&bytes(i, each * MIB))
                .map(|hash| ObjectRef { hash, len: (each * MIB) as u64 })
        })
        .collect::<Result<_, _>>()?;
    let manifest = [b"manifest ".as_slice(), &minicbor::to_vec(&objects)?].concat();
    let founder = node(&has, 1, Source::Founder { manifest }).await?;
    let begun = Instant::now();
    let joiner = node(&wants, 2, Source::Join { ticket: founder.ticket() }).await?;
    let mut reports = joiner.subscribe();
    let bytes = loop {
        if let Report::Fetching { objects, objects_known, bytes, .. } = reports.recv().await?
            && objects == objects_known
            && objects > 1
        {
            break bytes;
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let rate = bytes as f64 / 1e6 / seconds;
    println!("{} objects of {each} MiB in {seconds:.2} s: {rate:.0} MB/s", total / each);
    joiner.stop().await;
    founder.stop().await;
    Ok(())
}

fn open_store(folder: &Path) -> Result<Store, store::StoreError> {
    Store::open(folder.join("store"))
}

async fn node(folder: &Path, seed: u8, source: Source) -> Result<Handle, Box<dyn Error>> {
    let config = Config {
        store: open_store(folder)?,
        folder: folder.to_path_buf(),
        seed: [seed; 32],
        source,
        bind: "127.0.0.1:0".parse()?,
        relay: Relay::None,
        external: Vec::new(),
        max_object: net::swarm::MAX_OBJECT,
        known: Vec::new(),
        keep_everything: true,
    };
    let parts: Arc<net::Parts> = Arc::new(|bytes| {
        let cbor = bytes.strip_prefix(b"manifest ").ok_or("no manifest")?;
        let objects: Vec<ObjectRef> = minicbor::decode(cbor)?;
        Ok(objects.into_iter().map(net::FetchRequest::from).collect())
    });
    // Only the transfer is of interest: there is no run to take part in, so opening it takes as
    // long as the program runs.
    let open = Box::new(|_: &[u8], _: &Store| {
        loop {
            std::thread::park();
        }
    });
    Ok(start(config, parts, open).await?)
}

/// Bytes that no two objects share.
fn bytes(object: usize, len: usize) -> Vec<u8> {
    let mut state = object as u64 + 1;
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        out.extend_from_slice(&state.to_le_bytes());
    }
    out
}
