//! What peers tell becomes one picture, whoever tells it and how often.

use cotrain::{
    cheat::Cheat,
    events::{ModelInfo, PeerEvent, Standing},
};
use ids::{Hash, ObjectRef, PeerId};
use local::board::Board;
use swarm::{Kind, Notice, RecordSummary, State, VerdictKind};

fn key(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// A board of two peers, of which the second was told to cheat.
fn board() -> Board {
    let mut board = Board::new(&[None, Some(Cheat::Noise)], 0.0);
    for number in 0..2 {
        board.event(
            usize::from(number),
            PeerEvent::Started {
                run: Hash::of(b"run"),
                name: "demo".into(),
                peer: key(number),
                rounds: 3,
                step_tokens: 10,
                model: ModelInfo { params: 1000, ..ModelInfo::default() },
                ticket: "ticket".into(),
            },
        );
    }
    board
}

fn record(height: u64, kind: Kind, ejected: Vec<PeerId>) -> RecordSummary {
    let object = ObjectRef::of(&height.to_le_bytes());
    RecordSummary {
        height,
        kind,
        round: 1,
        view: 0,
        record: Hash::default(),
        state_hash: Hash::default(),
        state: State { model: object, outer: object },
        contributions: vec![(key(0), 6), (key(1), 2)],
        ejected,
        joined: Vec::new(),
        active: Vec::new(),
    }
}

fn tell(board: &mut Board, from: usize, notice: Notice) {
    board.event(from, PeerEvent::Protocol { notice });
}

#[test]
fn a_record_counts_once_and_is_measured_by_its_round() {
    let mut board = board();
    let advance = record(1, Kind::Advance, Vec::new());
    tell(&mut board, 0, Notice::Decided(advance.clone()));
    tell(&mut board, 1, Notice::Decided(advance.clone()));
    board.measured(1, advance.state.model.hash, 4.0);
    board.measured(1, advance.state.model.hash, 3.0);
    let shown = board.snapshot();
    assert_eq!(shown.rounds_done.len(), 1);
    assert_eq!(shown.rounds_done[0].contributions[0].weight, 0.75);
    assert_eq!(shown.totals.tokens, 80);
    let curve: Vec<_> = shown.curve.iter().map(|p| (p.round, p.tokens, p.bits_per_byte)).collect();
    assert_eq!(curve, [(1, 80, 3.0)]);
    assert_eq!(board.newest(), Some(&advance));
}

#[test]
fn who_is_caught_stays_out_whatever_it_tells_then() {
    let mut board = board();
    tell(&mut board, 0, Notice::Decided(record(1, Kind::Advance, Vec::new())));
    let mismatch = Notice::Verdict {
        height: 1,
        contributor: key(1),
        auditor: key(0),
        dispute: false,
        kind: VerdictKind::Mismatch,
        part: Some(4),
    };
    tell(&mut board, 0, mismatch.clone());
    tell(&mut board, 1, mismatch);
    tell(&mut board, 0, Notice::Decided(record(2, Kind::Repair, vec![key(1)])));
    let evidence = "another result".to_owned();
    tell(&mut board, 0, Notice::Ejected { peer: key(1), height: 2, evidence });
    board.event(1, PeerEvent::Progress { step: 1, steps: 9, loss: 1.0, tokens: 10 });
    board.down(1, "stopped");
    board.back(1);
    let shown = board.snapshot();
    assert_eq!(shown.audits.len(), 1, "whoever tells of it");
    assert_eq!(
        (shown.peers[1].status.as_str(), shown.peers[0].status.as_str()),
        ("ejected", "joined")
    );
    assert_eq!(shown.peers[1].reason.as_deref(), Some("another result"));
    assert_eq!(shown.evidence[0].confirmed_by, [key(0).to_string()]);
    assert_eq!(shown.evidence[0].part, Some(4));
    let culprit = &shown.rounds_done[0].contributions[1];
    assert!(!culprit.included && culprit.verdict == "mismatch");
}

#[test]
fn standing_is_that_of_the_newest_record_and_a_killed_peer_comes_back() {
    let mut board = board();
    let of = |peer, steps| Standing { peer, steps, vote: 0.5 };
    board.event(0, PeerEvent::Standing { height: 5, members: vec![of(key(0), 9)] });
    board.event(1, PeerEvent::Standing { height: 4, members: vec![of(key(1), 7)] });
    let standing = |board: &mut Board| board.snapshot().peers.iter().map(|p| p.standing).collect();
    let shown: Vec<u64> = standing(&mut board);
    assert_eq!(shown, [9, 0]);
    board.down(0, "ended by signal 9");
    let shown = board.snapshot();
    assert_eq!(shown.peers[0].reason.as_deref(), Some("ended by signal 9"));
    assert_eq!(shown.peers[0].status, "down");
    board.back(0);
    assert_eq!(board.snapshot().peers[0].status, "joined");
}
