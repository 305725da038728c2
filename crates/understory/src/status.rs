//! `understory swarm status`: what a peer wrote about itself, at most a second ago.

use crate::hint::WithHint;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

/// The file in a peer's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Process that wrote it; 0 once it has ended in order.
    pid: u32,
    /// For others to join with.
    ticket: String,
    /// What the network and the protocol say.
    peer: serde_json::Value,
}

const FILE: &str = "status.json";

impl Status {
    /// Of a running peer.
    pub fn of(net: &net::NetStatus, ticket: &str) -> Self {
        let peer = serde_json::to_value(net).expect("a status has a JSON form");
        Self { pid: std::process::id(), ticket: ticket.to_owned(), peer }
    }

    /// The same, of a peer that has ended.
    pub fn ended(self) -> Self {
        Self { pid: 0, ..self }
    }

    /// Replaces the file in `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)?;
        let unfinished = dir.join(".status.json.unfinished");
        // No fsync: it is stale in a second anyway.
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, dir.join(FILE)))
            .with_context(|| format!("cannot write {}", dir.join(FILE).display()))
    }
}

fn read(dir: &Path) -> Result<Status> {
    let path = dir.join(FILE);
    let bytes = fs::read(&path).with_context(|| format!("no peer in {}", dir.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
}

/// Prints where the peer in `dir` stands.
pub fn print(dir: &Path, json: bool) -> Result<()> {
    let status =
        read(dir).hint("name the folder given to `understory swarm start` or `join` with --dir")?;
    let running = status.pid != 0 && Path::new(&format!("/proc/{}", status.pid)).exists();
    if json {
        let object = serde_json::json!({
            "running": running, "ticket": status.ticket, "peer": status.peer,
        });
        println!("{object}");
        return Ok(());
    }
    let text = |v: &serde_json::Value| v.as_str().unwrap_or("?").to_owned();
    let short = |v: &serde_json::Value| text(v).chars().take(8).collect::<String>();
    let (peer, node) = (&status.peer, &status.peer["node"]);
    println!("peer     {} ({})", short(&peer["me"]), if running { "running" } else { "stopped" });
    println!("run      {}", text(&peer["run"]));
    if node.is_null() {
        println!("stage    {}", text(&peer["stage"]));
        return Ok(());
    }
    println!("round    {} of {}, {}", node["round"], node["rounds"], text(&node["phase"]));
    println!("root     {}", text(&node["state"]["model"]["hash"]));
    for member in node["members"].as_array().into_iter().flatten() {
        let active = if member["active"] == true { "active" } else { "absent" };
        let connected = if member["connected"] == true { ", connected" } else { "" };
        println!(
            "member   {} {active}{connected}, {} contributions, {} confirmed by audit",
            short(&member["id"]),
            member["contributions"],
            member["clean"]
        );
    }
    for ejected in node["ejected"].as_array().into_iter().flatten() {
        println!("ejected  {}", short(ejected));
    }
    if running {
        println!("join     understory swarm join {}", status.ticket);
    }
    Ok(())
}

/// Writes a file so that it is old or new, whatever happens in between.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, 0o644)
}

/// The same, readable by the user alone.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, 0o600)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.unfinished"));
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&unfinished);
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
