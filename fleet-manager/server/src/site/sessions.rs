//! Browsers that are signed in on the watch site. Their cookie is good for nothing else, and the dashboard's not here.

use axum::http::{HeaderMap, HeaderName, header};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::audit::{Actor, ActorKind};
use crate::db::Tx;
use crate::error::Error;
use crate::http::client::Client;
use crate::ids;
use crate::people::Role;
use crate::state::App;

/// The session cookie.
pub const COOKIE: &str = "nodi_site";
/// Where the browser sends it to: not to the origin, and not to the chat service.
const PATH: &str = "/site";
/// A session's last use is written at most so often, in ms, and the browser's cookie made new with it.
const TOUCH_MS: i64 = 3_600_000;

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub color: Option<String>,
    pub created_ms: i64,
    /// SHA-256 of the cookie.
    pub digest: [u8; 32],
    pub csrf: String,
    /// The cookie's life should be made longer.
    pub renewed: bool,
    pub client: Client,
}

impl Account {
    /// For the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            kind: ActorKind::Person,
            id: Some(self.id.clone()),
            name: self.name.clone(),
            address: Some(self.client.address),
        }
    }
}

/// A new session: what the browser keeps.
pub(super) struct New {
    pub(super) cookie: String,
    pub(super) csrf: String,
    digest: [u8; 32],
}

impl New {
    pub(super) fn make() -> Result<Self, Error> {
        let cookie = ids::secret("")?;
        Ok(Self { digest: ids::digest(&cookie), csrf: ids::secret("")?, cookie })
    }

    /// Stores it; the person's oldest go when there are more than `most`.
    pub(super) fn insert(&self, tx: &Tx<'_>, person_id: &str, now_ms: i64, most: u32) -> Result<(), Error> {
        tx.prepare_cached(
            "INSERT INTO site_session (digest, person_id, csrf, created_ms, seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)",
        )?
        .execute(params![self.digest, person_id, self.csrf, now_ms])?;
        tx.prepare_cached(
            "DELETE FROM site_session WHERE person_id = ?1 AND digest NOT IN
             (SELECT digest FROM site_session WHERE person_id = ?1 ORDER BY created_ms DESC, digest = ?2 DESC LIMIT ?3)",
        )?
        .execute(params![person_id, self.digest, most])?;
        Ok(())
    }
}

/// Who has this cookie; `None` when it is none or its session is over.
pub(super) async fn identify(
    app: &App,
    headers: &HeaderMap,
    client: Client,
) -> Result<Option<Account>, Error> {
    let Some(cookie) = crate::http::identity::cookie(headers, COOKIE).filter(|cookie| !cookie.is_empty())
    else {
        return Ok(None);
    };
    let digest = ids::digest(cookie);
    let Some((mut account, seen_ms)) =
        app.db.read(move |connection| find(connection, digest, client)).await?
    else {
        return Ok(None);
    };
    let now_ms = app.now_ms();
    if now_ms >= seen_ms.saturating_add(life_ms(app)) {
        return Ok(None);
    }
    if now_ms - seen_ms >= TOUCH_MS {
        account.renewed = true;
        app.db
            .write(move |tx| {
                tx.prepare_cached("UPDATE site_session SET seen_ms = ?2 WHERE digest = ?1")?
                    .execute(params![digest, now_ms])?;
                Ok(())
            })
            .await?;
    }
    Ok(Some(account))
}

fn life_ms(app: &App) -> i64 {
    i64::try_from(app.config.site.session_s).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)
}

/// The account, and when its session was last used.
fn find(connection: &Connection, digest: [u8; 32], client: Client) -> Result<Option<(Account, i64)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT person.id, person.name, person.role, person.color, person.created_ms, csrf, seen_ms
         FROM site_session JOIN person ON person.id = person_id
         WHERE digest = ?1 AND person.disabled_ms IS NULL",
    )?;
    let found = statement
        .query_row([digest], |row| {
            let role: String = row.get(2)?;
            let account = Account {
                id: row.get(0)?,
                name: row.get(1)?,
                role: Role::Member,
                color: row.get(3)?,
                created_ms: row.get(4)?,
                digest,
                csrf: row.get(5)?,
                renewed: false,
                client,
            };
            Ok((account, role, row.get(6)?))
        })
        .optional()?;
    found
        .map(|(account, role, seen_ms)| Ok((Account { role: Role::from_name(&role)?, ..account }, seen_ms)))
        .transpose()
}

/// Signs out everywhere, but for one browser.
pub(crate) fn end_others(tx: &Tx<'_>, person_id: &str, but: Option<[u8; 32]>) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM site_session WHERE person_id = ?1 AND digest IS NOT ?2")?
        .execute(params![person_id, but.map(|digest| digest.to_vec())])?;
    Ok(())
}

pub(super) fn end(tx: &Tx<'_>, digest: [u8; 32]) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM site_session WHERE digest = ?1")?.execute([digest])?;
    Ok(())
}

/// Deletes what has expired.
pub(super) fn prune(tx: &Tx<'_>, app: &App) -> Result<(), Error> {
    tx.execute("DELETE FROM site_session WHERE seen_ms <= ?1", [app.now_ms().saturating_sub(life_ms(app))])?;
    Ok(())
}

/// Sets the cookie, or with an empty value takes it away.
pub(super) fn set_cookie(value: &str, client: Client, app: &App) -> [(HeaderName, String); 1] {
    let secure = if client.secure { "; Secure" } else { "" };
    let life_s = if value.is_empty() { 0 } else { app.config.site.session_s };
    let cookie = format!("{COOKIE}={value}; Path={PATH}; HttpOnly; SameSite=Lax; Max-Age={life_s}{secure}");
    [(header::SET_COOKIE, cookie)]
}
