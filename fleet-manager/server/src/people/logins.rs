//! Browsers that are logged in.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Role;
use crate::db::Tx;
use crate::error::Error;
use crate::http::client::Client;
use crate::http::identity::{Identity, Via};
use crate::ids;
use crate::state::App;

/// A login's last use is written at most so often, in ms: reading the dashboard must not write to the disk all the time.
const TOUCH_MS: i64 = 60_000;

/// One row, with its person.
struct Row {
    csrf: String,
    created_ms: i64,
    seen_ms: i64,
    person_id: String,
    name: String,
    role: Role,
}

/// A new login: what the browser keeps.
pub(super) struct New {
    pub(super) id: String,
    pub(super) cookie: String,
    pub(super) csrf: String,
    pub(super) digest: [u8; 32],
}

/// The identity of a cookie, and the CSRF token that belongs to it.
///
/// # Errors
/// When it is none, or has expired.
pub async fn identify(app: &App, cookie: &str, client: Client) -> Result<(Identity, String), Error> {
    let digest = ids::digest(cookie);
    let row = app.db.read(move |connection| find(connection, &digest)).await?;
    let row = row.ok_or_else(|| Error::Unauthenticated("this session is over; log in again".to_owned()))?;
    let now_ms = app.now_ms();
    if now_ms >= ends_ms(app, row.created_ms, row.seen_ms) {
        return Err(Error::Unauthenticated("this session has expired; log in again".to_owned()));
    }
    if now_ms - row.seen_ms >= TOUCH_MS {
        app.db
            .write(move |tx| {
                tx.prepare_cached("UPDATE login SET seen_ms = ?2 WHERE digest = ?1")?
                    .execute(params![digest, now_ms])?;
                Ok(())
            })
            .await?;
    }
    let identity = Identity {
        person_id: row.person_id,
        name: row.name,
        role: row.role,
        via: Via::Login { digest },
        client,
    };
    Ok((identity, row.csrf))
}

fn find(connection: &Connection, digest: &[u8; 32]) -> Result<Option<Row>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT login.csrf, login.created_ms, login.seen_ms, person.id, person.name, person.role
         FROM login JOIN person ON person.id = login.person_id
         WHERE login.digest = ?1 AND person.disabled_ms IS NULL",
    )?;
    let row = statement
        .query_row([digest], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get::<_, String>(5)?))
        })
        .optional()?;
    row.map(|(csrf, created_ms, seen_ms, person_id, name, role)| {
        Ok(Row { csrf, created_ms, seen_ms, person_id, name, role: Role::from_name(&role)? })
    })
    .transpose()
}

/// When a login ends if nothing more happens.
fn ends_ms(app: &App, created_ms: i64, seen_ms: i64) -> i64 {
    let config = &app.config.people;
    let seconds = |s: u64| i64::try_from(s).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
    seen_ms.saturating_add(seconds(config.idle_s)).min(created_ms.saturating_add(seconds(config.longest_s)))
}

/// The CSRF token of a login, and when it ends if nothing more happens.
pub(super) async fn facts(app: &App, digest: [u8; 32]) -> Result<(String, i64), Error> {
    let row = app.db.read(move |connection| find(connection, &digest)).await?;
    let row = row.ok_or_else(|| Error::Unauthenticated("this session is over; log in again".to_owned()))?;
    Ok((row.csrf, ends_ms(app, row.created_ms, row.seen_ms)))
}

/// Where a login comes from.
pub(super) struct From {
    pub(super) client: Client,
    pub(super) user_agent: Option<String>,
}

pub(super) fn new(now_ms: i64) -> Result<New, Error> {
    let cookie = ids::secret("")?;
    let digest = ids::digest(&cookie);
    Ok(New { id: ids::ulid(now_ms)?, cookie, csrf: ids::secret("")?, digest })
}

/// Stores a new login; the person's oldest go when there are more than `most`.
pub(super) fn insert(
    tx: &Tx<'_>,
    new: &New,
    person_id: &str,
    now_ms: i64,
    from: &From,
    most: u32,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO login (id, digest, person_id, csrf, created_ms, seen_ms, address, user_agent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
    )?
    .execute(params![
        new.id,
        new.digest,
        person_id,
        new.csrf,
        now_ms,
        from.client.address.to_string(),
        from.user_agent
    ])?;
    tx.prepare_cached(
        "DELETE FROM login WHERE person_id = ?1 AND id NOT IN
         (SELECT id FROM login WHERE person_id = ?1 ORDER BY created_ms DESC, id DESC LIMIT ?2)",
    )?
    .execute(params![person_id, most])?;
    Ok(())
}

/// Ends the logins of a person, but for one.
pub(crate) fn end_others(tx: &Tx<'_>, person_id: &str, but: Option<[u8; 32]>) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM login WHERE person_id = ?1 AND digest IS NOT ?2")?
        .execute(params![person_id, but.map(|digest| digest.to_vec())])?;
    Ok(())
}

pub(super) fn end(tx: &Tx<'_>, digest: [u8; 32]) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM login WHERE digest = ?1")?.execute([digest])?;
    Ok(())
}

/// Deletes what has expired.
pub(super) fn prune(tx: &Tx<'_>, app: &App) -> Result<(), Error> {
    let now = app.now_ms();
    let config = &app.config.people;
    let before =
        |s: u64| now.saturating_sub(i64::try_from(s).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000));
    tx.execute(
        "DELETE FROM login WHERE seen_ms <= ?1 OR created_ms <= ?2",
        params![before(config.idle_s), before(config.longest_s)],
    )?;
    tx.execute("DELETE FROM token WHERE expires_ms <= ?1", [now])?;
    Ok(())
}

impl Identity {
    /// The same identity as it is now; `None` when its login or token is no longer good.
    pub async fn renewed(&self, app: &App) -> Option<Self> {
        let (id, via) = (self.person_id.clone(), self.via.clone());
        let now_ms = app.now_ms();
        let limits = app.clone();
        let found = app.db.read(move |connection| {
            let alive: bool = match &via {
                Via::Login { digest } => {
                    let row = find(connection, digest)?;
                    row.is_some_and(|row| now_ms < ends_ms(&limits, row.created_ms, row.seen_ms))
                }
                Via::Token { id, .. } => connection.query_row(
                    "SELECT count(*) FROM token WHERE id = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)",
                    params![id, now_ms],
                    |row| row.get::<_, i64>(0).map(|count| count > 0),
                )?,
            };
            let role: Option<String> = connection
                .query_row("SELECT role FROM person WHERE id = ?1 AND disabled_ms IS NULL", [&id], |row| {
                    row.get(0)
                })
                .optional()?;
            Ok(role.filter(|_| alive))
        });
        let role = Role::from_name(&found.await.ok()??).ok()?;
        if role == Role::Member {
            return None;
        }
        Some(Self { role, ..self.clone() })
    }
}
