//! `understory demo`: strangers co-train a model on one machine, and the one that cheats is caught.
//!
//! Each peer is a process of its own (`understory swarm start` and `join`, nothing else), with its
//! own key and folder; this one only watches them, draws the screen and serves the page.

mod asked;
mod prompt;
mod screen;

use crate::{
    cli::DemoArgs,
    hint::{WithHint, with_hints},
    kernel_for,
    model_source::{find_store, stored},
    units::threads_each,
};
use anyhow::{Context, Result, anyhow};
use cotrain::events::PeerEvent;
use local::{
    board::Board,
    judge::{Answer, Judge},
    peer_folder, peer_store,
    peers::{Ending, News, Peers},
    plan::Plan,
};
use prompt::DemoPrompt;
use screen::Screen;
use serve::Snapshot;
use std::{
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use swarm::Notice;
use tokio::sync::{oneshot, watch};

/// Runs the demo to its end, or until Ctrl-C.
pub fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let (dir, plan) = asked::asked(args)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(Demo::new(args, dir, plan)?.run());
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

struct Demo<'a> {
    args: &'a DemoArgs,
    dir: PathBuf,
    plan: Plan,
    board: Board,
    peers: Peers,
    screen: Screen,
    feed: watch::Sender<Arc<Snapshot>>,
    prompt: Arc<DemoPrompt>,
    /// Whether each peer has said that the run is over.
    finished: Vec<bool>,
    judge: Option<Judge>,
    /// Height of the newest record whose model was handed to the judge.
    measured_height: u64,
    close_page: Option<oneshot::Sender<()>>,
}

/// How the main loop ended.
enum End {
    Finished,
    Interrupted,
}

impl<'a> Demo<'a> {
    fn new(args: &'a DemoArgs, dir: PathBuf, plan: Plan) -> Result<Self> {
        let count = plan.peers as usize;
        let board = Board::new(&plan.cheats(), plan.minutes);
        let program = std::env::current_exe().context("where this program is")?;
        let peers = Peers::new(plan.processes(program, &dir, threads_each(count)));
        let screen = Screen::new(args.json);
        let prompt = Arc::new(DemoPrompt::new(&dir, count));
        let feed = watch::Sender::new(Arc::new(Snapshot::default()));
        Ok(Self {
            args,
            dir,
            plan,
            board,
            peers,
            screen,
            feed,
            prompt,
            finished: vec![false; count],
            judge: None,
            measured_height: 0,
            close_page: None,
        })
    }

    async fn run(mut self) -> Result<ExitCode> {
        self.open_page().await?;
        self.peers.begin()?;
        let end = self.watch().await;
        self.draw();
        let code = match end {
            Ok(End::Finished) => self.conclude().await,
            Ok(End::Interrupted) => {
                self.board.say("stopped", Some("stopped; --resume goes on from here".to_owned()));
                self.draw();
                self.peers.stop().await;
                self.screen.close();
                eprintln!(
                    "stopped; go on with: understory demo --resume --dir {}",
                    show(&self.dir)
                );
                Ok(ExitCode::from(130))
            }
            Err(error) => {
                self.peers.stop().await;
                self.screen.close();
                Err(error)
            }
        };
        if let Some(close) = self.close_page.take() {
            let _ = close.send(());
        }
        code
    }

    async fn open_page(&mut self) -> Result<()> {
        if self.args.no_page {
            return Ok(());
        }
        let (close, closed) = oneshot::channel();
        let router = || serve::router(self.feed.subscribe(), self.prompt.clone());
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shutdown = async {
            let _ = closed.await;
        };
        // The usual port may be another demo's; one that was asked for must be free.
        let port = match self.args.port {
            Some(port) => port,
            None if std::net::TcpListener::bind(at(7070)).is_ok() => 7070,
            None => 0,
        };
        let address = serve::serve(at(port), router(), shutdown)
            .await
            .hint("choose another port with --port, or none with --no-page")?;
        self.close_page = Some(close);
        self.screen.page(&format!("http://{address}"));
        Ok(())
    }

    /// Until every honest peer has finished, or the user has had enough.
    async fn watch(&mut self) -> Result<End> {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => return Ok(End::Interrupted),
                _ = terminate.recv() => return Ok(End::Interrupted),
                news = self.peers.next() => self.news(news)?,
                _ = tick.tick() => {
                    self.measured();
                    self.restart_the_killed()?;
                    self.draw();
                }
            }
            if self.is_finished() {
                return Ok(End::Finished);
            }
        }
    }

    fn news(&mut self, news: News) -> Result<()> {
        match news {
            News::Event(from, event) => self.event(from, *event),
            News::Ended(from, ending) => self.ended(from, ending),
        }
    }

    /// A peer's process has ended; without the run's beginner there is no demo.
    fn ended(&mut self, from: usize, ending: Ending) -> Result<()> {
        match ending {
            Ending::Stopped => self.board.down(from, "stopped"),
            Ending::Killed { signal, again_in } => {
                let why = self.screen.killed(from, signal, again_in);
                self.board.down(from, &why);
            }
            Ending::Failed { error, hints } => {
                self.board.down(from, &error);
                if from == 0 && self.board.newest().is_none() {
                    return Err(with_hints(anyhow!("peer 1: {error}"), hints));
                }
                self.screen.event(&self.board, from, &PeerEvent::Failed { error, hints });
            }
        }
        Ok(())
    }

    fn restart_the_killed(&mut self) -> Result<()> {
        for peer in self.peers.restart_the_killed()? {
            self.board.back(peer);
            self.screen.back(peer);
        }
        Ok(())
    }

    fn event(&mut self, from: usize, event: PeerEvent) -> Result<()> {
        match &event {
            PeerEvent::Started { ticket, .. } if from == 0 => {
                self.peers.join_all(ticket)?;
                if self.judge.is_none() {
                    self.judge =
                        Some(Judge::start(peer_store(&self.dir, 0), kernel_for(Some(1))?)?);
                }
            }
            PeerEvent::Protocol { notice: Notice::Finished { .. } } => self.finished[from] = true,
            // Every peer tells of every root, some of them late: each is measured once.
            PeerEvent::Model { height, round, root } if *height > self.measured_height => {
                self.measured_height = *height;
                self.prompt.newest(from, *root);
                if let Some(judge) = &self.judge {
                    judge.ask(peer_store(&self.dir, from), *round, *root);
                }
            }
            _ => {}
        }
        self.screen.event(&self.board, from, &event);
        self.board.event(from, event);
        Ok(())
    }

    fn measured(&mut self) {
        let Some(judge) = &self.judge else { return };
        for answer in judge.answers() {
            match answer {
                Answer::Baseline(name, bits) => self.board.baseline(&name, bits),
                Answer::Model { round, root, bits } => {
                    self.board.measured(round, root, bits);
                    self.screen.measured(round, self.plan.config.rounds.rounds, bits);
                }
            }
        }
    }

    fn draw(&mut self) {
        let snapshot = Arc::new(self.board.snapshot());
        self.screen.draw(&snapshot);
        self.feed.send_replace(snapshot);
    }

    /// Every honest peer that runs has finished and its model is in its store.
    fn is_finished(&self) -> bool {
        let Some(newest) = self.board.newest() else { return false };
        let root = Some(newest.state.model.hash.to_string());
        let roots = self.board.roots();
        let done = |i: usize| self.finished[i] && roots[i] == root;
        let cheats = self.plan.cheats();
        let honest = || (0..self.finished.len()).filter(|i| cheats[*i].is_none());
        honest().any(done) && honest().all(|i| done(i) || self.peers.is_gone(i))
    }

    async fn conclude(&mut self) -> Result<ExitCode> {
        // The peers serve each other until here; nobody needs them any more.
        self.board.say("deciding", Some("measuring the final model".to_owned()));
        self.draw();
        self.peers.stop().await;
        let newest = self.board.newest().context("a finished run has records")?.clone();
        let root = newest.state.model.hash;
        let held: Vec<bool> = self.holders(&root.to_string());
        let agree = held.iter().filter(|h| **h).count() as u32;
        let store = find_store(&self.dir)?;
        let judge = self.judge.take().context("a finished run was measured")?;
        let kernel = kernel_for(None)?;
        let (bits, bytes) =
            tokio::task::spawn_blocking(move || judge.finish(&root, &kernel)).await??;
        self.board.measured(newest.round, root, bits);
        let opened = stored(&store, root)?;
        let json = self.args.json;
        let sample = tokio::task::spawn_blocking(move || {
            let mut screen = crate::progress::Screen::new(json);
            prompt::sample(&opened, &mut |progress| screen.tell(progress))
        });
        let sample = sample.await??;
        let dir = show(&self.dir);
        let next = vec![
            format!("understory run {dir} \"The \""),
            format!("understory verify {dir} --all"),
            format!("understory export {dir} --to gguf {dir}-gguf"),
            "understory swarm config > my-run.toml".to_owned(),
        ];
        let summary = serve::Summary {
            agree,
            honest: held.len() as u32,
            root: root.to_string(),
            sample,
            next,
        };
        self.board.finish(summary);
        self.draw();
        let snapshot = self.board.snapshot();
        self.screen.close();
        self.screen.summary(&snapshot, bits, bytes);
        if self.close_page.is_some() && (self.args.stay || self.on_terminal()) {
            eprintln!("the page stays up until Ctrl-C");
            let _ = tokio::signal::ctrl_c().await;
        }
        let agreed = agree == held.len() as u32;
        Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    /// For each honest peer, whether the model in its own store is the final one.
    fn holders(&self, root: &str) -> Vec<bool> {
        let cheats = self.plan.cheats();
        let honest = (0..self.finished.len()).filter(|i| cheats[*i].is_none());
        honest
            .map(|i| {
                let store = find_store(&peer_folder(&self.dir, i)).ok();
                let held = store.and_then(|s| s.get_ref(cotrain::MODEL_REF).ok().flatten());
                held.is_some_and(|h| h.to_string() == root)
            })
            .collect()
    }

    fn on_terminal(&self) -> bool {
        std::io::stdout().is_terminal() && !self.args.json
    }
}

fn show(dir: &Path) -> String {
    dir.display().to_string()
}
