//! `understory swarm status`: what a peer wrote about itself, at most a second ago.

use crate::{
    events::{clock_words, invitation_words},
    hint::WithHint,
    peer, units,
};
use anyhow::Result;
use cotrain::status::Status;
use ids::PeerId;
use serde_json::Value;
use std::path::Path;
use store::Store;
use swarm::Lobby;

/// Prints where the peer in `dir` stands.
pub fn print(dir: &Path, json: bool) -> Result<()> {
    let status = Status::read(dir)
        .hint("name the folder given to `understory swarm start` or `join` with --dir")?;
    let running = status.is_running();
    let invitations = unused(dir, &status)?;
    let stored = Store::open_existing(dir.join("store"))?.bytes()?;
    if json {
        let object = serde_json::json!({
            "running": running, "ticket": status.ticket, "peer": status.peer,
            "invitations": invitations, "stored_bytes": stored,
        });
        println!("{object}");
        return Ok(());
    }
    lines(&status.peer, running).iter().for_each(|line| println!("{line}"));
    println!("{}", bytes_line(&status.peer, stored));
    if !invitations.is_empty() {
        println!("{}", invitation_words(&invitations));
    }
    if running {
        println!("anybody may contribute, and earns a vote by work that others have checked:");
        println!("  understory swarm join {}", status.ticket);
    }
    Ok(())
}

/// The texts of the invitations that this peer handed out and nobody has used yet.
fn unused(dir: &Path, status: &Status) -> Result<Vec<String>> {
    let lobby = &status.peer["node"]["lobby"];
    let Ok(lobby) = serde_json::from_value::<Lobby>(lobby.clone()) else { return Ok(Vec::new()) };
    let Ok(ticket) = status.ticket.parse() else { return Ok(Vec::new()) };
    Ok(peer::invitations(dir)?.texts(&ticket, &lobby.unused))
}

/// What is printed of a peer, line by line.
fn lines(peer: &Value, running: bool) -> Vec<String> {
    let node = &peer["node"];
    let mut lines = vec![
        format!(
            "peer     {} ({})",
            short(&peer["me"]),
            if running { "running" } else { "stopped" }
        ),
        format!("key      {}", text(&peer["me"])),
        format!("run      {}", text(&peer["run"])),
    ];
    if let (Some(ahead), Some(others)) =
        (peer["clock"]["ahead_s"].as_i64(), peer["clock"]["others"].as_u64())
    {
        lines.push(clock_words(ahead, others as usize));
    }
    if node.is_null() {
        lines.push(format!("stage    {}", text(&peer["stage"])));
        return lines;
    }
    let (round, rounds, phase) = (&node["round"], &node["rounds"], text(&node["phase"]));
    lines.push(format!("round    {round} of {rounds}, {phase}"));
    lines.push(format!("root     {}", text(&node["state"]["model"]["hash"])));
    if let Ok(lobby) = serde_json::from_value::<Lobby>(node["lobby"].clone()) {
        lines.extend(lobby_lines(&lobby));
        return lines;
    }
    lines.push(format!("record   {} at height {}", text(&node["record"]), node["height"]));
    let members = node["members"].as_array().into_iter().flatten();
    lines.extend(members.map(|member| member_line(member, &peer["me"], number(&node["weight"]))));
    let ejected = node["ejected"].as_array().into_iter().flatten();
    lines.extend(ejected.map(|key| format!("ejected  {}", short(key))));
    lines.extend(missing(node, &peer["me"]));
    lines
}

/// What taking part costs: bytes since this peer's last start, and what it keeps.
fn bytes_line(peer: &Value, stored: u64) -> String {
    let sum = |a: &str, b: &str| number(&peer["total"][a]) + number(&peer["total"][b]);
    let sent = units::bytes(sum("messages_out", "objects_out"));
    let received = units::bytes(sum("messages_in", "objects_in"));
    format!("bytes    {sent} sent, {received} received, {} stored", units::bytes(stored))
}

fn lobby_lines(lobby: &Lobby) -> Vec<String> {
    let line = |what: &str, id: &PeerId| format!("{what:<8} {id}");
    let mut lines: Vec<String> = lobby.here.iter().map(|id| line("here", id)).collect();
    lines.extend(lobby.awaited.iter().map(|id| line("missing", id)));
    match lobby.unused.len() {
        0 if lobby.awaited.is_empty() => {}
        0 => lines.push("waits    for the founding voters that are missing".to_owned()),
        1 => lines.push("waits    for whoever uses the last invitation".to_owned()),
        n => lines.push(format!("waits    for whoever uses the {n} invitations left")),
    }
    lines
}

fn member_line(member: &Value, me: &Value, total: u64) -> String {
    let here = match (&member["id"] == me, &member["connected"], &member["away"]) {
        (true, _, _) => "this peer",
        (_, Value::Bool(true), _) => "connected",
        (_, _, Value::Bool(true)) => "away, waited for no more",
        _ => "not connected",
    };
    let vote = match number(&member["weight"]) {
        0 => "no vote yet".to_owned(),
        weight => format!("weighs {weight} of {total}"),
    };
    format!(
        "member   {} {here}, {vote}, standing {}, {} contributions, {} audits clean",
        short(&member["id"]),
        member["standing"],
        member["contributions"],
        member["clean"]
    )
}

/// Who is missing while too little weight is here to decide.
fn missing(node: &Value, me: &Value) -> Option<String> {
    if node["phase"] == "finished" {
        return None;
    }
    let members = || node["members"].as_array().into_iter().flatten();
    let is_here = |m: &&Value| m["id"] == *me || m["connected"] == true;
    let here: u64 = members().filter(is_here).map(|m| number(&m["weight"])).sum();
    let needed = number(&node["quorum"]);
    let away: Vec<String> = members()
        .filter(|m| !is_here(m) && number(&m["weight"]) > 0)
        .map(|m| format!("{} ({})", short(&m["id"]), m["weight"]))
        .collect();
    (here < needed).then(|| {
        format!(
            "waits    for weight: {here} of the {needed} that decide is here; away: {}\n         \
             if they do not come back: understory swarm continue FOLDER --dir NEW",
            away.join(", ")
        )
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

fn short(value: &Value) -> String {
    text(value).chars().take(8).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> Value {
        let member = |id: &str, connected: bool, weight: u64| {
            json!({
                "id": id.repeat(8), "connected": connected, "away": false, "weight": weight,
                "standing": weight, "contributions": 3, "clean": 2,
            })
        };
        json!({
            "phase": "deciding", "round": 3, "rounds": 12, "weight": 400, "quorum": 267,
            "height": 4, "record": "ab", "lobby": null, "ejected": [],
            "state": { "model": { "hash": "cd" } },
            "members": [
                member("aa", true, 100), member("bb", true, 100), member("cc", false, 150),
                member("dd", false, 50), member("ee", false, 0),
            ],
        })
    }

    #[test]
    fn who_is_missing_is_named_with_the_weight_that_is_needed() {
        let me = json!("aa".repeat(8));
        let said = missing(&node(), &me).expect("200 of 267 is too little");
        for part in ["200 of the 267", "cccccccc (150)", "dddddddd (50)", "swarm continue"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("eeeeeeee"), "a newcomer without a vote is not waited for: {said}");
        let mut enough = node();
        enough["members"][3]["connected"] = true.into();
        enough["members"][2]["connected"] = true.into();
        assert_eq!(missing(&enough, &me), None);
        let mut over = node();
        over["phase"] = "finished".into();
        assert_eq!(missing(&over, &me), None);
    }

    #[test]
    fn bytes_are_those_of_messages_and_of_objects() {
        let total = json!({
            "messages_in": 1, "messages_out": 20, "objects_in": 300, "objects_out": 4000,
        });
        let line = bytes_line(&json!({ "total": total }), 50_000);
        assert_eq!(line, "bytes    4.0 kB sent, 301 B received, 50.0 kB stored");
    }

    #[test]
    fn before_the_run_begins_it_says_who_is_there_and_who_is_not() {
        let id = |n: u8| PeerId([n; 32]);
        let lobby = Lobby { here: vec![id(1)], awaited: vec![id(2)], unused: vec![id(3), id(4)] };
        let mut node = node();
        node["lobby"] = serde_json::to_value(lobby).expect("has a form");
        let peer = json!({ "me": id(1), "run": "r", "stage": "running", "node": node });
        let text = lines(&peer, true).join("\n");
        for part in [
            format!("key      {}", id(1)),
            format!("missing  {}", id(2)),
            "2 invitations left".into(),
        ] {
            assert!(text.contains(&part), "{text}");
        }
        assert!(!text.contains("record"), "{text}");
    }
}
