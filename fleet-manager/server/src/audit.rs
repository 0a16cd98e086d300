//! Who did what: one row per change, written in the transaction of the change itself.

use std::net::IpAddr;

use axum::extract::State;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::db::Tx;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{Json, Query};
use crate::http::list::{Page, Paging, Select};
use crate::state::App;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
pub fn routes() -> Api {
    Api::new("audit").administrator(routes!(list))
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    pub id: i64,
    pub at_ms: i64,
    pub actor: ActorView,
    /// The client's.
    pub address: Option<String>,
    /// Such as `channel.suspend`.
    pub action: String,
    /// Such as `channel/nodi`.
    pub target: String,
    /// What it was.
    #[schema(value_type = Option<Value>)]
    pub before: Option<Value>,
    /// What it is since.
    #[schema(value_type = Option<Value>)]
    pub after: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ActorView {
    pub kind: String,
    pub id: Option<String>,
    pub name: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Part of the name.
    #[param(max_length = 100)]
    actor: Option<String>,
    /// Part of it, such as `channel.`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Part of the target.
    #[param(max_length = 100)]
    target: Option<String>,
    from_ms: Option<i64>,
    /// Not included.
    to_ms: Option<i64>,
}

/// The audit log
#[utoipa::path(get, path = "/audit", params(Paging, Filter), responses((status = 200, description = "One page.", body = Page<AuditEntry>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<AuditEntry>>, Error> {
    let columns = "id, at_ms, actor_kind, actor_id, actor_name, address, action, target, before, after";
    let page = app
        .db
        .read(move |connection| {
            Select::new(columns, "audit")
                // instr() and not LIKE: text from outside is no pattern.
                .only("instr(lower(actor_name), lower(?)) > 0", filter.actor)
                .only("instr(action, ?) > 0", filter.action)
                .only("instr(target, ?) > 0", filter.target)
                .only("at_ms >= ?", filter.from_ms)
                .only("at_ms < ?", filter.to_ms)
                .search(&paging, &["actor_name", "action", "target"])?
                .page(
                    connection,
                    &paging,
                    &[("at_ms", "id"), ("actor", "actor_name"), ("action", "action"), ("target", "target")],
                    "-at_ms",
                    "id",
                    read,
                )
        })
        .await?;
    Ok(Json(page))
}

fn read(row: &rusqlite::Row<'_>) -> Result<AuditEntry, Error> {
    let parse = |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose();
    Ok(AuditEntry {
        id: row.get(0)?,
        at_ms: row.get(1)?,
        actor: ActorView { kind: row.get(2)?, id: row.get(3)?, name: row.get(4)? },
        address: row.get(5)?,
        action: row.get(6)?,
        target: row.get(7)?,
        before: parse(row.get(8)?)?,
        after: parse(row.get(9)?)?,
    })
}
