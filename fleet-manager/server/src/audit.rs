//! Who did what: one row per change, written in the transaction of the change itself.

use std::net::IpAddr;

use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::db::Tx;
use crate::error::Error;

/// Longest document kept of a target, before or after, in bytes; a longer one is replaced by a note. Settings with
/// everything set are below 8 KiB.
const MAX_DOCUMENT: usize = 64 << 10;

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    pub id: Option<String>,
    pub name: String,
    pub address: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// In the dashboard.
    Person,
    /// A program with a person's API token.
    Token,
    Box,
    /// The fleet server by itself, or its command line.
    System,
}

impl ActorKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Token => "token",
            Self::Box => "box",
            Self::System => "system",
        }
    }
}

impl Actor {
    /// The server itself, for what nobody asked for just now.
    #[must_use]
    pub fn system() -> Self {
        Self { kind: ActorKind::System, id: None, name: "nodi-fleet".to_owned(), address: None }
    }
}

/// No document: what was created has no before, what was deleted no after.
pub const NONE: Option<&()> = None;

/// Adds a row. `target` is `kind/id`; `before` and `after` must not hold a secret.
///
/// # Errors
/// When the database fails; then the change must not happen either.
pub fn record(
    tx: &Tx<'_>,
    now_ms: i64,
    actor: &Actor,
    action: &str,
    target: &str,
    before: Option<&impl Serialize>,
    after: Option<&impl Serialize>,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO audit (at_ms, actor_kind, actor_id, actor_name, address, action, target, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        now_ms,
        actor.kind.name(),
        actor.id,
        actor.name,
        actor.address.map(|address| address.to_string()),
        action,
        target,
        document(before)?,
        document(after)?,
    ])?;
    log::info!(actor = actor.name.as_str(), target; "{action}");
    Ok(())
}

fn document(value: Option<&impl Serialize>) -> Result<Option<String>, Error> {
    let Some(value) = value else { return Ok(None) };
    let json = serde_json::to_string(value)?;
    if json.len() <= MAX_DOCUMENT {
        return Ok(Some(json));
    }
    Ok(Some(format!("{{\"note\":\"{} bytes, too long to keep\"}}", json.len())))
}

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> crate::http::access::Api {
    crate::http::access::Api::new("audit")
}
