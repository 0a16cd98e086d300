//! Webhooks and what waits for them, in the database.

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use utoipa::ToSchema;

use crate::alerts::{AlertView, Kind};
use crate::db::Tx;
use crate::error::Error;
use crate::ids;
use crate::state::App;

/// What a test delivery is called among the kinds.
pub(super) const TEST: &str = "test";

/// Who is told of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct WebhookView {
    pub id: String,
    pub url: String,
    /// Empty: all.
    pub kinds: Vec<Kind>,
    pub enabled: bool,
    pub created_ms: i64,
    pub created_by: String,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that were given up because too many waited.
    pub dropped: u64,
}

pub(super) const COLUMNS: &str = "id, url, kinds, enabled, created_ms, created_by, dropped, \
     (SELECT count(*) FROM webhook_delivery WHERE webhook_id = webhook.id AND state = 'waiting')";

pub(super) fn read(row: &Row<'_>) -> Result<WebhookView, Error> {
    let count = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(WebhookView {
        id: row.get(0)?,
        url: row.get(1)?,
        kinds: serde_json::from_str(&row.get::<_, String>(2)?)?,
        enabled: row.get(3)?,
        created_ms: row.get(4)?,
        created_by: row.get(5)?,
        dropped: count(6)?,
        waiting: count(7)?,
    })
}

/// # Errors
/// When there is no such webhook, or the database fails.
pub(super) fn one(connection: &Connection, id: &str) -> Result<WebhookView, Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM webhook WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()?.ok_or_else(|| Error::not_found("webhook", id))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryState {
    /// For its first or its next attempt.
    Waiting,
    Delivered,
    /// Given up.
    Failed,
}

/// One message to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct DeliveryView {
    /// The same at each attempt: in the header `Nodi-Delivery`.
    pub id: String,
    /// Such as `alert.started`.
    pub event: String,
    /// Of the alert, or `test`.
    pub kind: String,
    pub state: DeliveryState,
    pub attempts: u32,
    /// Of the last answer.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub created_ms: i64,
    /// Of the next attempt, while it waits.
    pub next_ms: Option<i64>,
    pub done_ms: Option<i64>,
}

pub(super) const DELIVERY_COLUMNS: &str =
    "id, event, kind, state, attempts, status, error, created_ms, next_ms, done_ms";

pub(super) fn read_delivery(row: &Row<'_>) -> Result<DeliveryView, Error> {
    let state = match row.get::<_, String>(3)?.as_str() {
        "waiting" => DeliveryState::Waiting,
        "delivered" => DeliveryState::Delivered,
        _ => DeliveryState::Failed,
    };
    let next_ms: i64 = row.get(8)?;
    Ok(DeliveryView {
        id: row.get(0)?,
        event: row.get(1)?,
        kind: row.get(2)?,
        state,
        attempts: row.get(4)?,
        status: row.get(5)?,
        error: row.get(6)?,
        created_ms: row.get(7)?,
        next_ms: (state == DeliveryState::Waiting).then_some(next_ms),
        done_ms: row.get(9)?,
    })
}

/// What is sent.
#[derive(Serialize)]
struct Body<'a> {
    /// Of this delivery: who gets it twice knows it by that.
    id: &'a str,
    event: &'a str,
    created_ms: i64,
    /// Where this fleet's dashboard is.
    fleet_url: &'a str,
    alert: Option<&'a AlertView>,
}

/// Queues a message to every webhook that wants this kind, in the transaction of what it tells of.
///
/// # Errors
/// When the database fails.
pub fn enqueue(app: &App, tx: &Tx<'_>, event: &str, kind: Kind, alert: &AlertView) -> Result<(), Error> {
    let mut statement = tx.prepare_cached("SELECT id, kinds FROM webhook WHERE enabled")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kinds: Vec<Kind> = serde_json::from_str(&row.get::<_, String>(1)?)?;
        if kinds.is_empty() || kinds.contains(&kind) {
            add(app, tx, &row.get::<_, String>(0)?, event, kind.name(), Some(alert))?;
        }
    }
    Ok(())
}

/// Queues a message without an alert.
///
/// # Errors
/// When the database fails.
pub(super) fn enqueue_test(app: &App, tx: &Tx<'_>, webhook: &str) -> Result<DeliveryView, Error> {
    let id = add(app, tx, webhook, TEST, TEST, None)?;
    let mut statement =
        tx.prepare_cached(&format!("SELECT {DELIVERY_COLUMNS} FROM webhook_delivery WHERE id = ?1"))?;
    let mut rows = statement.query([&id])?;
    rows.next()?.map(read_delivery).transpose()?.ok_or_else(|| Error::not_found("delivery", id))
}

fn add(
    app: &App,
    tx: &Tx<'_>,
    webhook: &str,
    event: &str,
    kind: &str,
    alert: Option<&AlertView>,
) -> Result<String, Error> {
    let now_ms = app.now_ms();
    make_room(app, tx, webhook, now_ms)?;
    let id = ids::ulid(now_ms)?;
    let fleet_url = app.config.public_url.as_str();
    let body = serde_json::to_string(&Body { id: &id, event, created_ms: now_ms, fleet_url, alert })?;
    tx.prepare_cached(
        "INSERT INTO webhook_delivery (id, webhook_id, event, kind, body, state, created_ms, next_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?6)",
    )?
    .execute(params![id, webhook, event, kind, body, now_ms])?;
    let app = app.clone();
    tx.then(move || app.webhooks.wake());
    Ok(id)
}

/// The oldest go when too many wait: what happens now matters more than what happened long ago.
fn make_room(app: &App, tx: &Tx<'_>, webhook: &str, now_ms: i64) -> Result<(), Error> {
    let most = app.config.webhooks.max_waiting;
    let dropped = tx
        .prepare_cached(
            "UPDATE webhook_delivery SET state = 'failed', done_ms = ?3, error = 'too many waited: given up'
             WHERE state = 'waiting' AND webhook_id = ?1 AND id <= (
                 SELECT id FROM webhook_delivery WHERE state = 'waiting' AND webhook_id = ?1
                 ORDER BY id DESC LIMIT 1 OFFSET ?2
             )",
        )?
        .execute(params![webhook, most.saturating_sub(1), now_ms])?;
    if dropped > 0 {
        tx.prepare_cached("UPDATE webhook SET dropped = dropped + ?2 WHERE id = ?1")?
            .execute(params![webhook, i64::try_from(dropped).unwrap_or(i64::MAX)])?;
        log::warn!(webhook, dropped; "webhook: too many deliveries wait, the oldest are given up");
        let app = app.clone();
        tx.then(move || app.webhooks.dropped(dropped));
    }
    Ok(())
}

/// A delivery that is due, and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub id: String,
    pub webhook: String,
    pub url: String,
    pub event: String,
    pub body: String,
    /// The newest first.
    pub secrets: Vec<String>,
    pub attempts: u32,
    pub created_ms: i64,
}

/// What is due, the oldest first, at most `per_webhook` of each and none of those webhooks that are `busy`; and when the
/// next one will be.
///
/// # Errors
/// When the database fails.
pub(super) fn due(
    connection: &Connection,
    now_ms: i64,
    most: usize,
    takes: impl Fn(&str, &str) -> bool,
) -> Result<(Vec<Due>, Option<i64>), Error> {
    let mut statement = connection.prepare_cached(
        "SELECT d.id, d.webhook_id, w.url, d.event, d.body, w.secret, w.previous_secret, w.previous_until_ms,
                d.attempts, d.created_ms, d.next_ms
         FROM webhook_delivery AS d INDEXED BY webhook_delivery_due JOIN webhook AS w ON w.id = d.webhook_id
         WHERE d.state = 'waiting' AND (w.enabled OR d.kind = 'test') ORDER BY d.next_ms",
    )?;
    let mut rows = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let next_ms: i64 = row.get(10)?;
        if next_ms > now_ms {
            return Ok((list, Some(next_ms)));
        }
        let (id, webhook): (String, String) = (row.get(0)?, row.get(1)?);
        if list.len() >= most {
            return Ok((list, None));
        }
        if !takes(&id, &webhook) {
            continue;
        }
        let mut secrets = vec![row.get(5)?];
        let until_ms: Option<i64> = row.get(7)?;
        if let Some(previous) = row.get::<_, Option<String>>(6)?
            && until_ms.is_some_and(|until| now_ms < until)
        {
            secrets.push(previous);
        }
        list.push(Due {
            id,
            webhook,
            url: row.get(2)?,
            event: row.get(3)?,
            body: row.get(4)?,
            secrets,
            attempts: row.get(8)?,
            created_ms: row.get(9)?,
        });
    }
    Ok((list, None))
}

/// Notes that an attempt begins, before it does: a crash in the middle of one waits like any other failure.
///
/// # Errors
/// When the database fails.
pub(super) fn begin(tx: &Tx<'_>, id: &str, again_ms: i64) -> Result<bool, Error> {
    let rows = tx
        .prepare_cached(
            "UPDATE webhook_delivery SET attempts = attempts + 1, next_ms = ?2 WHERE id = ?1 AND state = 'waiting'",
        )?
        .execute(params![id, again_ms])?;
    Ok(rows == 1)
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub status: Option<u16>,
    /// `None`: it is delivered.
    pub error: Option<String>,
}

/// Notes how an attempt ended. `again_ms`: when the next one is; `None`: it was the last.
///
/// # Errors
/// When the database fails.
pub(super) fn end(
    tx: &Tx<'_>,
    id: &str,
    outcome: &Outcome,
    again_ms: Option<i64>,
    now_ms: i64,
) -> Result<(), Error> {
    let state = match (&outcome.error, again_ms) {
        (None, _) => "delivered",
        (Some(_), Some(_)) => "waiting",
        (Some(_), None) => "failed",
    };
    let over = state != "waiting";
    tx.prepare_cached(
        "UPDATE webhook_delivery SET state = ?2, status = ?3, error = ?4, next_ms = coalesce(?5, next_ms), done_ms = ?6
         WHERE id = ?1 AND state = 'waiting'",
    )?
    .execute(params![id, state, outcome.status, outcome.error, again_ms, over.then_some(now_ms)])?;
    Ok(())
}

/// Gives up what has waited for too long, and forgets what is over for long or too much of.
///
/// # Errors
/// When the database fails.
pub(super) fn prune(tx: &Tx<'_>, config: &super::Config, now_ms: i64) -> Result<(), Error> {
    let since_ms = now_ms - i64::from(config.max_age_s) * 1_000;
    tx.prepare_cached(
        "UPDATE webhook_delivery SET state = 'failed', done_ms = ?2, error = coalesce(error, 'it waited for too long')
         WHERE state = 'waiting' AND created_ms < ?1",
    )?
    .execute(params![since_ms, now_ms])?;
    let kept_ms = now_ms - i64::from(config.log_days) * 24 * 3_600 * 1_000;
    tx.prepare_cached("DELETE FROM webhook_delivery WHERE state <> 'waiting' AND created_ms < ?1")?
        .execute([kept_ms])?;
    tx.prepare_cached(
        "DELETE FROM webhook_delivery WHERE state <> 'waiting' AND created_ms < (
             SELECT created_ms FROM webhook_delivery AS d WHERE d.webhook_id = webhook_delivery.webhook_id
             ORDER BY created_ms DESC LIMIT 1 OFFSET ?1
         )",
    )?
    .execute([config.log_entries])?;
    Ok(())
}
