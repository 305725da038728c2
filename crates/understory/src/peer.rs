//! One peer of a run as a process: `understory swarm start`, `join` and `continue`.

mod hints;

use crate::{
    cli::{ContinueArgs, JoinArgs, PeerArgs, StartArgs},
    commons::{recorder, recorder_of_member},
    corpus_source,
    events::words,
    founding,
    hint::{self, WithHint},
    kernel_for, peer_key,
    progress::Screen,
};
use anyhow::{Context, Result};
use cotrain::{
    cheat::Cheater,
    config::RunConfig,
    continuing::OldRun,
    events::PeerEvent,
    peer::{Options, Peer},
    recorder::{RunRecorder, marks},
    traces::Traces,
};
use hints::{for_changes, for_continuing, for_joining};
use local::peer_folders;
use net::{
    Relay,
    swarm::{Admission, Source},
};
use progress::Progress;
use std::{
    fs,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::io::AsyncReadExt;

/// The most bytes of a ticket that is read from standard input.
const MAX_TICKET: u64 = 32 << 10;
/// Most bytes of a file with settings.
const MAX_CONFIG: u64 = 1 << 20;

/// Begins a run, or goes on with the one in the folder.
pub fn start(args: &StartArgs) -> Result<()> {
    told(args.peer.json, found(args))
}

/// Begins a new run from the last model of an old one.
pub fn go_on(args: &ContinueArgs) -> Result<()> {
    told(args.peer.json, found_from_old(args))
}

/// Whoever reads events is told of an error like of everything else, with what to do about it.
fn told(json: bool, result: Result<()>) -> Result<()> {
    if let (true, Err(error)) = (json, &result) {
        let (error, hints) = hint::told(error);
        say(json, &mut Screen::new(json), &PeerEvent::Failed { error, hints });
    }
    result
}

fn found(args: &StartArgs) -> Result<()> {
    let traces = Traces::before(&args.peer.dir);
    let (peer, source) = traces.undone_unless_ok(founder(args))?;
    take_part(&peer, &args.peer, source)
}

fn founder(args: &StartArgs) -> Result<(Peer, Source)> {
    let mut peer = open(&args.peer)?;
    let commons = args.peer.commons.as_deref();
    let source = match peer.founded()? {
        Some((run, source)) => {
            founding::must_be_same(&args.founding, commons, &run)?;
            source
        }
        None => {
            let path = args
                .config
                .as_ref()
                .context("no run in this folder and no configuration named")
                .hint("`understory swarm config > CONFIG.toml` writes one to begin from")?;
            let config = RunConfig::read(path)?;
            let founding = founding::asked(&args.founding, commons)?;
            peer.check(&config, &founding)?;
            peer.tell(&PeerEvent::Preparing { what: "reading the text".to_owned() });
            let documents = corpus_source::documents(&config.data.paths, args.peer.json)?;
            peer.found(&config, &documents, &founding)?
        }
    };
    Ok((peer, source))
}

fn found_from_old(args: &ContinueArgs) -> Result<()> {
    let traces = Traces::before(&args.peer.dir);
    let (peer, source) = traces.undone_unless_ok(founder_from_old(args))?;
    take_part(&peer, &args.peer, source)
}

fn founder_from_old(args: &ContinueArgs) -> Result<(Peer, Source)> {
    let folders = peer_folders(&args.from);
    let folder = folders
        .first()
        .with_context(|| format!("no run at {}", args.from.display()))
        .hint("name the folder given to `understory swarm start` or `join` with --dir")?;
    let old = OldRun::open(folder)?;
    // Who goes on is the same peer, unless another is named.
    let old_key = args.from.join("key");
    let key = args.peer.key.as_deref().or_else(|| old_key.exists().then_some(&*old_key));
    let mut peer = open_as(&args.peer, key, of_member)?;
    peer.must_be_free_for(None).map_err(for_continuing)?;
    let founding = founding::asked(&args.founding, args.peer.commons.as_deref())?;
    let what = format!("taking over {}", old.words());
    peer.tell(&PeerEvent::Preparing { what });
    let changes = args.config.as_deref().map(|path| {
        bounded::read_named_text(path, MAX_CONFIG)
            .with_context(|| format!("cannot read {}", path.display()))
    });
    let changes = changes.transpose()?.unwrap_or_default();
    let source = peer
        .go_on_from(&old, &changes, &founding)
        .map_err(|error| for_changes(error, args.config.as_deref()))?;
    Ok((peer, source))
}

/// Joins a run, or goes on with the one in the folder.
pub fn join(args: &JoinArgs) -> Result<()> {
    told(args.peer.json, take_part_in(args))
}

fn take_part_in(args: &JoinArgs) -> Result<()> {
    let traces = Traces::before(&args.peer.dir);
    let (peer, source) = traces.undone_unless_ok(joiner(args))?;
    take_part(&peer, &args.peer, source)
}

fn joiner(args: &JoinArgs) -> Result<(Peer, Source)> {
    let mut peer = open_as(&args.peer, args.peer.key.as_deref(), recorder_of_member)?;
    let text = match args.ticket.as_deref() {
        Some("-") => bounded::text(bounded::read_from(std::io::stdin(), MAX_TICKET)?)?,
        Some(ticket) => ticket.to_owned(),
        None => peer
            .ticket()
            .with_context(|| format!("no run in {}", args.peer.dir.display()))
            .hint("name the ticket or invitation that `understory swarm start` printed")?,
    };
    let handed: Admission = text.parse().hint(
        "a ticket is one word that begins with understory2, an invitation one that begins with \
         understory2-secret-",
    )?;
    let admission = peer.admitted(handed).map_err(for_joining)?;
    if let Some(dir) = &args.peer.commons {
        compare_with_commons(&mut peer, dir, &admission)?;
    }
    let source = peer.join(admission)?;
    Ok((peer, source))
}

/// Has the run's records as a commons knows them held against the history that is shown.
fn compare_with_commons(peer: &mut Peer, dir: &Path, admission: &Admission) -> Result<()> {
    let ticket = admission.ticket();
    let marks = marks(dir, &ticket.run)?;
    peer.hold_against(marks, ticket.checkpoint)?;
    if !peer.has_registrar() {
        let why = "your key is no member's there; its marks are looked at".to_owned();
        peer.tell(&PeerEvent::NotRecorded { why });
    }
    Ok(())
}

/// The commons of somebody who has to be a member of it.
fn of_member(dir: &Path, keys: Option<&Path>) -> Result<Option<RunRecorder>> {
    recorder(dir, keys).map(Some)
}

/// How a commons is opened in a folder, with keys from another.
type OpenCommons = fn(&Path, Option<&Path>) -> Result<Option<RunRecorder>>;

fn open(args: &PeerArgs) -> Result<Peer> {
    open_as(args, args.key.as_deref(), of_member)
}

/// The peer whose secret key is in the file `named`, if one is.
fn open_as(args: &PeerArgs, named: Option<&Path>, commons: OpenCommons) -> Result<Peer> {
    let dir = &args.dir;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let seed = match (args.key_seed, named) {
        (Some(number), _) => local::plan::numbered_seed(number),
        (None, Some(file)) => peer_key::take(file, &dir.join("key"))?,
        (None, None) => peer_key::own(&dir.join("key"))?,
    };
    let kernel = kernel_for(args.threads)?;
    let recorder = args.commons.as_deref();
    let recorder = recorder.map(|dir| commons(dir, args.keys.as_deref())).transpose()?.flatten();
    let options = Options {
        folder: dir.clone(),
        seed,
        kernel,
        bind: args.bind,
        relay: Relay::named(args.relay.as_deref()),
        once: args.once,
        registrar: recorder.map(|recorder| Arc::new(recorder) as Arc<_>),
        mark_every: args.mark_every,
    };
    let json = args.json;
    let screen = Mutex::new(Screen::new(json));
    let tell = move |event: &PeerEvent| {
        say(json, &mut screen.lock().unwrap_or_else(PoisonError::into_inner), event);
    };
    let peer = Peer::open(options, Box::new(tell))?;
    Ok(match args.cheat {
        Some(cheat) => {
            peer.working_as(Arc::new(move |worker| Arc::new(Cheater::new(worker, cheat))))
        }
        None => peer,
    })
}

fn take_part(peer: &Peer, args: &PeerArgs, source: Source) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(peer.take_part(source, stop_signal(args.leash)));
    // A reader of standard input may still block; it must not keep the process.
    runtime.shutdown_background();
    Ok(result?)
}

/// Tells of an event on standard output, and of how far work is on standard error.
fn say(json: bool, screen: &mut Screen, event: &PeerEvent) {
    if let PeerEvent::Working(at) = event {
        return screen.tell(Progress::At(*at));
    }
    screen.clear();
    let mut out = crate::terminal::stdout();
    // Whoever reads this may be gone; the run does not depend on it.
    if json {
        let line = serde_json::to_string(event).expect("an event has a JSON form");
        let _ = writeln!(out, "{line}");
    } else if let Some(words) = words(event) {
        let _ = writeln!(out, "{words}");
    }
    let _ = out.flush();
}

/// Ends on Ctrl-C or SIGTERM, and with `leash` when standard input closes.
pub async fn stop_signal(leash: bool) {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("signals can be listened to");
    let leash = async {
        if !leash {
            return std::future::pending().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut buffer = [0; 64];
        while stdin.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        () = leash => {}
    }
}
