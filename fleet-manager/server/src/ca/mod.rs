//! The fleet's own certificate authority: certificates for boxes, for the broker, the fleet server and origins, and
//! the list of those that were taken back.
//!
//! It is one directory: `ca.pem`, and `ca.key` that only the owner may read. Who has the key can be any box; nothing
//! but this module reads it.

mod issue;
mod request;
mod store;

pub use issue::{BOX_VALIDITY, Certificate, FLEET_NAME, Identity, Revoked};
pub use request::{PublicKey, Refusal, SigningRequest};
pub use store::Authority;

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: there is an authority already", .0.display())]
    Exists(PathBuf),
    #[error("{}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("{0:?} is not a DNS name or an IP address")]
    BadName(String),
    #[error("a time that no certificate can name: {0} ms since the Unix epoch")]
    BadTime(i64),
    #[error("no random bytes: {0}")]
    Random(String),
    /// It is within a day of its end.
    #[error("the authority's own certificate ended")]
    Ended,
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        Self::Internal(error.to_string())
    }
}
