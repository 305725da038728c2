//! `understory swarm status`: what a peer wrote about itself, at most a second ago.

use crate::{
    events::{clock_words, invitation_words},
    hint::WithHint,
    units,
};
use anyhow::Result;
use cotrain::status::Status;
use ids::PeerId;
use net::{Traffic, swarm::NetStatus};
use std::path::Path;
use store::Store;
use swarm::{Lobby, MemberStatus, TooLight};

/// Prints where the peer in `dir` stands.
pub fn print(dir: &Path, json: bool) -> Result<()> {
    let status = Status::read(dir)
        .hint("name the folder given to `understory swarm start` or `join` with --dir")?;
    let running = status.is_running();
    let invitations = status.unused_invitations(dir)?;
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
    println!("{}", bytes_line(&status.peer.total, stored));
    if !invitations.is_empty() {
        println!("{}", invitation_words(&invitations));
    }
    if running {
        println!("anybody may contribute, and earns a vote by work that others have checked:");
        println!("  understory swarm join {}", status.ticket);
    }
    Ok(())
}

/// What is printed of a peer, line by line.
fn lines(peer: &NetStatus, running: bool) -> Vec<String> {
    let state = if running { "running" } else { "stopped" };
    let mut lines = vec![
        format!("peer     {} ({state})", peer.me.short()),
        format!("key      {}", peer.me),
        format!("run      {}", peer.run),
    ];
    lines.extend(peer.clock.map(|clock| clock_words(clock.ahead_s, clock.others)));
    let Some(node) = &peer.node else {
        lines.push(format!("stage    {}", peer.stage.name()));
        return lines;
    };
    lines.push(format!("round    {} of {}, {}", node.round, node.rounds, node.phase.name()));
    lines.push(format!("root     {}", node.state.model.hash));
    if let Some(lobby) = &node.lobby {
        lines.extend(lobby_lines(lobby));
        return lines;
    }
    let (record, height) = (node.record.unwrap_or_default(), node.height.unwrap_or_default());
    lines.push(format!("record   {record} at height {height}"));
    lines.extend(node.members.iter().map(|member| member_line(member, &peer.me, node.weight)));
    lines.extend(node.ejected.iter().map(|key| format!("ejected  {}", key.short())));
    lines.extend(node.too_light().map(|light| missing(&light)));
    lines
}

/// What taking part costs: bytes since this peer's last start, and what it keeps.
fn bytes_line(total: &Traffic, stored: u64) -> String {
    let sent = units::bytes(total.messages_out.saturating_add(total.objects_out));
    let received = units::bytes(total.messages_in.saturating_add(total.objects_in));
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

fn member_line(line: &MemberStatus, me: &PeerId, total: u64) -> String {
    let MemberStatus { member, standing, weight, away, connected, .. } = line;
    let here = match (member.id == *me, connected, away) {
        (true, _, _) => "this peer",
        (_, true, _) => "connected",
        (_, _, true) => "away, waited for no more",
        _ => "not connected",
    };
    let vote = match weight {
        0 => "no vote yet".to_owned(),
        weight => format!("weighs {weight} of {total}"),
    };
    format!(
        "member   {} {here}, {vote}, standing {standing}, {} contributions, {} audits clean",
        member.id.short(),
        member.contributions,
        member.clean
    )
}

/// Who is missing while too little weight is here to decide.
fn missing(light: &TooLight) -> String {
    let TooLight { here, needed, away } = light;
    let away = away.iter().map(|(id, weight)| format!("{} ({weight})", id.short()));
    format!(
        "waits    for weight: {here} of the {needed} that decide is here; away: {}\n         \
         if they do not come back: understory swarm continue FOLDER --dir NEW",
        away.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    #[test]
    fn who_is_missing_is_named_with_the_weight_that_is_needed() {
        let light =
            TooLight { here: 200, needed: 267, away: vec![(id(0xcc), 150), (id(0xdd), 50)] };
        let said = missing(&light);
        for part in ["200 of the 267", "cccccccc (150)", "dddddddd (50)", "swarm continue"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn bytes_are_those_of_messages_and_of_objects() {
        let total = Traffic {
            messages_in: 1,
            messages_out: 20,
            objects_in: 300,
            objects_out: 4000,
            ..Traffic::default()
        };
        let line = bytes_line(&total, 50_000);
        assert_eq!(line, "bytes    4.0 kB sent, 301 B received, 50.0 kB stored");
    }

    #[test]
    fn before_the_run_begins_it_says_who_is_there_and_who_is_not() {
        let lobby = Lobby { here: vec![id(1)], awaited: vec![id(2)], unused: vec![id(3), id(4)] };
        let text = lobby_lines(&lobby).join("\n");
        for part in [format!("here     {}", id(1)), format!("missing  {}", id(2))] {
            assert!(text.contains(&part), "{text}");
        }
        assert!(text.contains("2 invitations left"), "{text}");
    }
}
