//! The one error type of the server, and the one place where it becomes an HTTP answer (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Why something was not done. The texts of all but the last three kinds are for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read: not JSON, no such parameter, not an id.
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Unauthenticated(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("there is no {what} {id:?}")]
    NotFound { what: &'static str, id: String },
    #[error("{0} is not allowed here")]
    Method(String),
    /// It could be done, but not as things are now: a stale version, a name that is taken.
    #[error("{0}")]
    Conflict(String),
    /// It was once, and is no more.
    #[error("{0}")]
    Gone(String),
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    MediaType(String),
    /// Read and understood, but not possible; `field` is the path of the value in the request's body.
    #[error("{field}: {reason}")]
    Invalid { field: String, reason: String },
    #[error("{reason}")]
    TooMany { reason: String, retry_after_s: u64 },
    /// There is no room for what should be kept.
    #[error("{0}")]
    Storage(String),
    /// For now: the disk is full, the queue is full, the process stops.
    #[error("{0}")]
    Unavailable(String),
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("database: {0}")]
    Row(#[from] serde_json::Error),
    #[error("{0}")]
    Internal(String),
}

impl Error {
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "ids are handed over as they come, borrowed or not")]
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        // An id from outside goes into the answer: no longer than an id can be.
        Self::NotFound { what, id: id.to_string().chars().take(64).collect() }
    }

    #[must_use]
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    #[must_use]
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict(reason.into())
    }

    #[must_use]
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::Forbidden(reason.into())
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Gone(_) => StatusCode::GONE,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Storage(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(error) if is_full(error) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) | Self::Row(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the caller reads. Of our own faults it reads that they are in the log, and no more.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let status = self.status();
        let detail = match self {
            Self::Database(error) if is_full(error) => "the server's disk is full".to_owned(),
            Self::Database(_) | Self::Row(_) | Self::Internal(_) => {
                "something failed on the server; its log says what".to_owned()
            }
            other => other.to_string(),
        };
        Problem {
            r#type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail,
            field: match self {
                Self::Invalid { field, .. } => Some(field.clone()),
                _ => None,
            },
        }
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull))
}

/// Whether a statement failed because a row with this key is there already.
#[must_use]
pub fn is_duplicate(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error(),
        Some(error) if error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            || error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
    )
}

/// RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says which kind it is.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// In plain words, for the person who asked.
    pub detail: String,
    /// With 422: which value of the request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, PROBLEM_JSON), (header::CACHE_CONTROL, "no-store")], body)
            .into_response()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            log::error!(status = problem.status; "request failed: {self}");
        }
        let mut response = problem.into_response();
        match &self {
            Self::TooMany { retry_after_s, .. } => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::Unauthenticated(_) => {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nodi\""));
            }
            _ => {}
        }
        response
    }
}
