//! Why a push is refused, and with which status: the one place where that is decided.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nodi_protocol::push::Refusal;
use nodi_protocol::stream_key::Refusal as KeyRefusal;
use nodi_protocol::{ChannelId, RenditionName, SessionId, id};

use crate::channel::Cut;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no stream key: send it as `Authorization: Bearer …`")]
    NoKey,
    #[error("{0}")]
    BadKey(#[from] KeyRefusal),
    #[error("this box was revoked by the operators of the fleet: it may not push any more")]
    RevokedBox,
    #[error("this stream key is for channel {0}")]
    OtherChannel(ChannelId),
    #[error("{0}")]
    BadName(#[from] id::Error),
    #[error("there is nothing at this path")]
    NoPath,
    #[error("session {0} has not claimed the channel")]
    NoSession(SessionId),
    #[error("the session has no rendition {0}")]
    NoRendition(RenditionName),
    #[error("session {0} is newer and owns the channel")]
    Superseded(SessionId),
    #[error("the offset lies beyond the {held} bytes that are held")]
    Offset { held: u64 },
    #[error("a newer upload of the same segment took over")]
    TakenOver { held: u64 },
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    #[error("the channel holds {0} bytes already, the most that it may")]
    ChannelFull(u64),
    #[error("the rendition has more than {0} segments")]
    TooManySegments(usize),
    #[error("the rendition has {0} initialisation sections in use, the most that it may")]
    TooManyInits(usize),
    #[error("{0}")]
    Malformed(String),
    #[error("initialisation section {0} is there already with other bytes")]
    InitChanged(u32),
    #[error("{0} uploads of the channel are open already, the most that there may be")]
    TooManyUploads(usize),
    #[error("the upload sent nothing for {0} s")]
    Idle(u64),
    #[error("the upload broke off: {0}")]
    Broken(String),
    #[error("segments up to {0} were used meanwhile: ask for the channel's state and claim again")]
    BaseTaken(u64),
    #[error("this origin holds {0} channels, the most that it may")]
    TooManyChannels(usize),
    #[error("out of memory: {0}")]
    NoMemory(String),
}

impl Error {
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed(reason.into())
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadKey(KeyRefusal::Suspended) | Self::OtherChannel(_) | Self::RevokedBox => {
                StatusCode::FORBIDDEN
            }
            Self::NoKey | Self::BadKey(_) => StatusCode::UNAUTHORIZED,
            Self::BadName(_) | Self::NoPath | Self::NoSession(_) | Self::NoRendition(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Superseded(_) | Self::Offset { .. } | Self::TakenOver { .. } => StatusCode::CONFLICT,
            Self::TooLarge(_) | Self::ChannelFull(_) | Self::TooManySegments(_) | Self::TooManyInits(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Malformed(_) | Self::InitChanged(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyUploads(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Idle(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::BaseTaken(_) | Self::TooManyChannels(_) | Self::NoMemory(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

impl From<Cut> for Error {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Suspended => Self::BadKey(KeyRefusal::Suspended),
            Cut::Box => Self::RevokedBox,
            Cut::Key => Self::BadKey(KeyRefusal::Revoked),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let refusal = Refusal {
            error: self.to_string(),
            newer_session: match &self {
                Self::Superseded(newer) => Some(*newer),
                _ => None,
            },
            held_bytes: match &self {
                Self::Offset { held } | Self::TakenOver { held } => Some(*held),
                _ => None,
            },
        };
        (self.status(), Json(refusal)).into_response()
    }
}
