//! Asking one member.

use super::{
    replica::ReplicaError,
    wire::{Malformed, Request, Status},
};
use crate::transport::paced::{Unread, read_to_end};
use iroh::endpoint::Connection;
use std::time::Duration;
use tokio::time::timeout;

/// How long a request may take to be sent, and an answer to begin; from then on it has to keep up
/// the least rate.
pub(crate) const GRACE: Duration = Duration::from_secs(15);

/// Why a member's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It went away, is busy or does not have it: nobody's fault.
    #[error("no answer: {0}")]
    Gone(&'static str),
    /// It took too long.
    #[error("no answer, or one slower than the least rate")]
    Slow,
    /// It broke the rules.
    #[error("it lies: {0}")]
    Lie(String),
    /// Something is wrong here.
    #[error(transparent)]
    Here(#[from] ReplicaError),
}

impl From<Malformed> for AskError {
    fn from(e: Malformed) -> Self {
        Self::Lie(e.to_string())
    }
}

/// Asks, and returns the body of the answer, bounded by what such an answer may have.
///
/// Errors: [`AskError`].
pub(crate) async fn ask(connection: &Connection, request: &Request) -> Result<Vec<u8>, AskError> {
    let sending = async {
        let gone = |_| AskError::Gone("the connection is lost");
        let (mut send, recv) =
            connection.open_bi().await.map_err(|_| AskError::Gone("the connection is lost"))?;
        send.write_all(&request.encode()).await.map_err(gone)?;
        send.finish().map_err(|_| AskError::Gone("the stream is closed"))?;
        Ok(recv)
    };
    let mut recv = timeout(GRACE, sending).await.unwrap_or(Err(AskError::Slow))?;
    let most = request.answer_bound() + 1;
    let mut body = read_to_end(&mut recv, most, GRACE).await.map_err(|why| match why {
        Unread::TooLong => AskError::Lie("an answer beyond its bound".to_owned()),
        Unread::Slow => AskError::Slow,
        Unread::Lost => AskError::Gone("the stream was reset"),
    })?;
    match body.first().map(|status| Status::decode(*status)) {
        Some(Some(Status::Here)) => {
            body.remove(0);
            Ok(body)
        }
        Some(Some(Status::NotHere)) => Err(AskError::Gone("it is not there")),
        Some(Some(Status::Busy)) => Err(AskError::Gone("it is busy")),
        Some(None) => Err(AskError::Lie("an answer of no known status".to_owned())),
        None => Err(AskError::Lie("an empty answer".to_owned())),
    }
}
