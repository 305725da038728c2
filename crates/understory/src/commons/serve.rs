//! Being there for the others: `commons serve`, `witness`, `join`, `sync` and the page.

use super::{
    cli::{JoinArgs, Place, ServeArgs},
    opening,
};
use crate::{
    events::clock_words, files::write_secret, hint::WithHint, peer::stop_signal, peer_key,
    print::print, units::time,
};
use anyhow::{Context, Result, anyhow};
use commons::{
    Home, Workspace,
    tasks::{Tasks, Wanted},
};
use ids::Quoted;
use net::{
    Relay,
    commons::{Config, Status, Ticket, Visit, Visited, known},
};
use serve::commons::Folder;
use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// How long a visit looks for members.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn serve(args: &ServeArgs, only_witness: bool) -> Result<()> {
    let config = config(args, only_witness)?;
    runtime()?.block_on(run(args, config))
}

fn config(args: &ServeArgs, only_witness: bool) -> Result<Config> {
    // The log is not open while a passphrase is asked for.
    let Workspace { home, keys, state, .. } = opening::open(&args.place)?;
    let mut config = Config::new(home.dir(), peer_key::own(&home.dir().join("endpoint"))?);
    config.bind = args.bind;
    config.external = args.external.clone();
    config.relay = Relay::named(args.relay.as_deref());
    config.pace.heartbeat = Duration::from_secs(args.heartbeat.max(1));
    config.peers = known::members(home.dir(), &args.peer)?;
    let wanted = match (only_witness, args.no_operate) {
        (true, _) => Wanted::OnlyWitness,
        (_, true) => Wanted::NoOperating,
        _ => Wanted::All,
    };
    let tasks = Tasks::of(&keys, &state, wanted)?;
    (config.operator, config.witness) = (tasks.operator, tasks.witness);
    Ok(config)
}

async fn run(args: &ServeArgs, config: Config) -> Result<()> {
    let home = Home::open(&config.home)?;
    let objects = home.objects()?;
    let (operates, witnesses) = (config.operator.is_some(), config.witness.is_some());
    let service = net::commons::start(config).await?;
    let page = match args.no_page {
        true => None,
        false => Some(open_page(&home, args.port).await?),
    };
    let ticket = service.ticket().to_string();
    write_secret(&home.dir().join("my-ticket"), ticket.as_bytes())?;
    if args.place.json {
        println!("{}", serde_json::json!({ "ticket": ticket, "page": page.map(url) }));
    } else {
        println!("others join with: understory commons join {ticket}");
        if let Some(addr) = page {
            println!("page: {}", url(addr));
        }
        if operates {
            println!("operates the log when it is its turn");
        }
        if witnesses {
            println!("cosigns as a witness that the members named");
        }
        println!("end with Ctrl-C");
    }
    crate::terminal::stdout().flush()?;
    let mut status = service.status();
    let mut stop = std::pin::pin!(stop_signal(args.leash));
    let mut last = None;
    // The charter's text comes along.
    loop {
        let now = status.borrow_and_update().clone();
        if !objects.has(&now.charter) {
            tokio::select! {
                () = &mut stop => break,
                _ = service.fetch(now.charter) => {}
            }
        }
        let line = say(&now);
        if last.as_ref() != Some(&line) {
            if args.place.json {
                println!("{}", serde_json::json!({ "status": line }));
            } else {
                println!("{line}");
            }
            crate::terminal::stdout().flush()?;
            last = Some(line);
        }
        tokio::select! {
            () = &mut stop => break,
            changed = status.changed() => if changed.is_err() { break },
        }
    }
    service.stop().await;
    Ok(())
}

fn say(status: &Status) -> String {
    let role = if status.operating { ", operating" } else { "" };
    let time = if status.time == 0 { "never".into() } else { time(status.time) };
    let mut line = format!(
        "{} statements, {} waiting, {} members and {} witnesses linked, marked {time}{role}",
        status.size,
        status.waiting,
        status.linked.len(),
        status.witnesses.len(),
    );
    if status.splits > 0 {
        line.push_str("; ALARM: the log has two histories, see `understory commons show health`");
    }
    if let Some(doubt) = status.clock {
        line.push_str(&format!("; {}", clock_words(doubt.ahead_s, doubt.others)));
    }
    if let Some(trouble) = &status.trouble {
        line.push_str(&format!("; trouble: {trouble}"));
    }
    line
}

pub fn join(args: &JoinArgs) -> Result<()> {
    let ticket: Ticket =
        args.ticket.parse().hint("copy it whole from `understory commons serve`")?;
    let visit = visit(args.relay.as_deref())?;
    let watched = std::io::stderr().is_terminal();
    let progress = |size: u64| {
        if watched {
            crate::terminal::eprint_over(&format!("{size} statements"));
        }
    };
    let place = &args.place;
    let visited = runtime()?
        .block_on(net::commons::join(&ticket, &place.dir, &visit, progress))
        .hint("is somebody serving it? the same command goes on from here")?;
    if watched {
        eprintln!();
    }
    known::keep(&place.dir, &args.ticket)?;
    let workspace = opening::open(place)?;
    if place.json {
        println!("{}", serde_json::json!({ "commons": workspace.state.id, "size": visited.size }));
    } else {
        println!("{}: {} statements, all checked", Quoted(&workspace.state.name), visited.size);
        match workspace.me() {
            Ok(me) => println!("you are {} here", Quoted(workspace.name(&me))),
            Err(_) => println!("begin with `understory commons introduce NAME`"),
        }
        println!("stay with `understory commons serve`");
    }
    Ok(())
}

/// Brings the log up to date and takes along what waits, without staying.
pub fn sync(place: &Place, peers: &[String], relay: Option<&str>) -> Result<()> {
    let home = Home::open(&place.dir)?;
    let known = known::members(home.dir(), peers)?;
    if known.is_empty() {
        return Err(anyhow!("no other member of this commons is known here"))
            .hint("give a ticket with --peer");
    }
    let visit = visit(relay)?;
    let visited = runtime()?
        .block_on(net::commons::sync(home, &known, &visit))
        .hint("is somebody serving it?")?;
    let Visited { members, statements, size, brought, refused, .. } = &visited;
    let object = serde_json::json!({
        "members": members, "statements": statements, "size": size, "brought": brought,
    });
    print(place.json, &object, || {
        let refused = refused
            .iter()
            .map(|(hash, why)| format!("statement {} was refused: {why}\n", hash.short()));
        format!(
            "members that answered: {members}; statements: {size}, of which new {statements}; \
             taken along: {brought}\n"
        ) + &refused.collect::<String>()
    })
}

/// The page alone, of a log that others keep up to date.
pub fn page(place: &Place, port: u16) -> Result<()> {
    let home = Home::open(&place.dir)?;
    runtime()?.block_on(async {
        let addr = open_page(&home, port).await?;
        let object = serde_json::json!({ "page": url(addr) });
        print(place.json, &object, || format!("page: {}; end with Ctrl-C\n", url(addr)))?;
        crate::terminal::stdout().flush()?;
        stop_signal(false).await;
        Ok(())
    })
}

async fn open_page(home: &Home, port: u16) -> Result<SocketAddr> {
    let source = Arc::new(Folder::new(home.clone()));
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let forever = std::future::pending::<()>();
    serve::commons::serve(at, source, forever)
        .await
        .hint("choose another port with --port, or none with --no-page")
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

fn visit(relay_url: Option<&str>) -> Result<Visit> {
    let bind = SocketAddr::from(([0, 0, 0, 0], 0));
    Ok(Visit {
        seed: store::file::random()?,
        bind,
        relay: Relay::named(relay_url),
        patience: PATIENCE,
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start threads")
}
