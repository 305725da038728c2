//! The listening socket and its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at a time: one page needs three.
const MAX_CONNECTIONS: usize = 128;
/// Longest time for a request's head to arrive, idle connections included.
const MAX_HEAD: Duration = Duration::from_secs(15);
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How long open streams may take to end after a shutdown.
const GRACE: Duration = Duration::from_millis(500);
/// Pause after a failed accept, such as when this process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the page could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is reachable from other machines.
    #[error("{addr} is not a loopback address: the page is for this machine only")]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Another program listens there.
    #[error("port {} on {} is taken by another program", addr.port(), addr.ip())]
    PortTaken {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The socket could not be opened.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    /// What the person who started it can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotLoopback { .. } => {
                Some("use 127.0.0.1 or [::1]; to look from elsewhere, forward the port over ssh")
            }
            Self::PortTaken { .. } => {
                Some("choose another port (0 takes any free one), or stop the run that uses it")
            }
            Self::Bind { .. } => None,
        }
    }
}

/// Listens on `addr` and serves `router` in the background until `shutdown` completes.
///
/// Returns once the socket is open, with the address it got: port 0 takes any free one.
///
/// Errors: [`ServeError::NotLoopback`] before anything is opened; [`ServeError::PortTaken`];
/// [`ServeError::Bind`] for everything else the system refuses.
pub async fn serve<S>(
    addr: SocketAddr,
    router: Router,
    shutdown: S,
) -> Result<SocketAddr, ServeError>
where
    S: Future<Output = ()> + Send + 'static,
{
    if !addr.ip().is_loopback() {
        return Err(ServeError::NotLoopback { addr });
    }
    let listener = TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortTaken { addr },
        _ => ServeError::Bind { addr, source },
    })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Bind { addr, source })?;
    tokio::spawn(accept(listener, router, shutdown));
    Ok(bound)
}

async fn accept(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await.expect("the room is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
          () = &mut shutdown => break,
          next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let connection = converse(stream, router.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Event streams end by themselves when the run does; whatever else is open is cut.
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::debug!("closing connections that are still open");
    }
}

async fn converse(stream: TcpStream, router: Router) {
    // Events are small and due at once.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_HEAD)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = served.await {
        tracing::debug!("connection ended early: {error}");
    }
}
