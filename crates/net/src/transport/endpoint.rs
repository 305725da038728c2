//! The iroh endpoint: bound where the caller says, silent towards everybody else by default.

use crate::transport::address::parse_relay;
use iroh::{
    Endpoint, RelayMode, SecretKey,
    endpoint::{Builder, PortmapperConfig, QuicTransportConfig, VarInt, presets},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{sleep, timeout};

/// Bytes of one stream a peer may send before we read them.
const STREAM_WINDOW: u32 = 2 << 20;
/// Bytes of one connection a peer may send before we read them.
const CONNECTION_WINDOW: u32 = 6 << 20;
/// Bytes of one connection that wait to be acknowledged.
const SEND_WINDOW: u64 = 6 << 20;
/// Object requests of one peer at a time.
pub(crate) const MAX_REQUESTS: u32 = 16;
/// A peer that is not heard of for so long is gone.
const IDLE_MS: u32 = 12_000;

/// How long a start waits for the machine's addresses.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

/// Whether peers that cannot reach each other directly are helped by a relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Relay {
    /// None: only addresses from tickets and from peers are tried.
    #[default]
    None,
    /// The relay at this URL.
    Url(String),
    /// iroh's public relays and its address lookup.
    Public,
}

impl Relay {
    /// What a person names: the URL of a relay, or `public` for iroh's.
    pub fn named(text: Option<&str>) -> Self {
        match text {
            None => Self::None,
            Some("public") => Self::Public,
            Some(url) => Self::Url(url.to_owned()),
        }
    }
}

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The relay's URL is no URL, or too long.
    #[error("{0:?} is not the URL of a relay")]
    Relay(String),
    /// The socket could not be bound.
    #[error("binding {bind}: {why}")]
    Bind {
        /// The address.
        bind: SocketAddr,
        /// What the system said.
        why: String,
    },
}

/// Binds an endpoint for the protocol `alpn` at `bind`, or at `before` (where the same node listened last) if `bind`
/// leaves the port open and that one is free.
pub(crate) async fn bind(
    alpn: &'static [u8],
    secret: &SecretKey,
    bind: SocketAddr,
    before: Option<SocketAddr>,
    relay: &Relay,
) -> Result<Endpoint, EndpointError> {
    if let Some(again) = before.filter(|b| bind.port() == 0 && b.ip() == bind.ip()) {
        // A socket closed a moment ago may still be held for an instant.
        for _ in 0..10 {
            if let Ok(endpoint) = bind_at(alpn, secret, again, relay).await {
                return Ok(endpoint);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    bind_at(alpn, secret, bind, relay).await
}

async fn bind_at(
    alpn: &'static [u8],
    secret: &SecretKey,
    bind: SocketAddr,
    relay: &Relay,
) -> Result<Endpoint, EndpointError> {
    let failed = |why: String| EndpointError::Bind { bind, why };
    let endpoint = builder(relay)?
        .secret_key(secret.clone())
        .alpns(vec![alpn.to_vec()])
        .transport_config(transport())
        .clear_ip_transports()
        .bind_addr(bind)
        .map_err(|e| failed(e.to_string()))?
        .bind()
        .await
        .map_err(|e| failed(e.to_string()))?;
    // Which addresses the machine has is found out in the background; a ticket without them would
    // be of no use.
    let known = async {
        while endpoint.addr().ip_addrs().next().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(ADDRESS_TIME, known).await.is_err() {
        tracing::warn!("no network address found yet: others can only be dialled");
    }
    Ok(endpoint)
}

fn builder(relay: &Relay) -> Result<Builder, EndpointError> {
    Ok(match relay {
        Relay::None => Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .portmapper_config(PortmapperConfig::Disabled),
        Relay::Url(text) => {
            let url = parse_relay(text).ok_or_else(|| EndpointError::Relay(text.clone()))?;
            Endpoint::builder(presets::Minimal).relay_mode(RelayMode::custom([url]))
        }
        Relay::Public => Endpoint::builder(presets::N0),
    })
}

/// What one peer may cost us: windows, streams and time are all bounded.
fn transport() -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_REQUESTS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()))
        .keep_alive_interval(Duration::from_secs(3))
        .build()
}
