//! Asking one member.

use super::{
    replica::ReplicaError,
    wire::{Malformed, Request, Status},
};
use iroh::endpoint::{Connection, ReadToEndError};
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take altogether.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Why a member's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It went away, is busy or does not have it: nobody's fault.
    #[error("no answer: {0}")]
    Gone(&'static str),
    /// It took too long.
    #[error("no answer within {ANSWER_TIME:?}")]
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
    let exchange = async {
        let gone = |_| AskError::Gone("the connection is lost");
        let (mut send, mut recv) =
            connection.open_bi().await.map_err(|_| AskError::Gone("the connection is lost"))?;
        send.write_all(&request.encode()).await.map_err(gone)?;
        send.finish().map_err(|_| AskError::Gone("the stream is closed"))?;
        let mut body = recv.read_to_end(request.answer_bound() + 1).await.map_err(|e| match e {
            ReadToEndError::TooLong => AskError::Lie("an answer beyond its bound".to_owned()),
            ReadToEndError::Read(_) => AskError::Gone("the stream was reset"),
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
    };
    timeout(ANSWER_TIME, exchange).await.unwrap_or(Err(AskError::Slow))
}
