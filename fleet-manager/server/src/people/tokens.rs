//! API tokens: for programs, with the rights of their person or less.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Role, Scope};
use crate::error::Error;
use crate::http::client::Client;
use crate::http::identity::{Identity, Via};
use crate::ids;
use crate::state::App;

/// How every token begins, so that one in a log or in a repository is recognised for what it is.
pub const PREFIX: &str = "nodi_pat_";
/// A token's last use is written at most so often, in ms.
const TOUCH_MS: i64 = 60_000;

struct Row {
    id: String,
    name: String,
    scope: String,
    expires_ms: Option<i64>,
    used_ms: Option<i64>,
    person_id: String,
    person: String,
    role: String,
}

/// The identity of a token.
///
/// # Errors
/// When it is none, or has expired.
pub async fn identify(app: &App, token: &str, client: Client) -> Result<Identity, Error> {
    let unknown = || Error::Unauthenticated("this is not a valid API token".to_owned());
    if !token.starts_with(PREFIX) {
        return Err(unknown());
    }
    let digest = ids::digest(token);
    let row = app.db.read(move |connection| find(connection, &digest)).await?.ok_or_else(unknown)?;
    let now_ms = app.now_ms();
    if row.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
        return Err(Error::Unauthenticated("this API token has expired".to_owned()));
    }
    if row.used_ms.is_none_or(|used_ms| now_ms - used_ms >= TOUCH_MS) {
        let id = row.id.clone();
        app.db
            .write(move |tx| {
                tx.prepare_cached("UPDATE token SET used_ms = ?2 WHERE id = ?1")?
                    .execute(params![id, now_ms])?;
                Ok(())
            })
            .await?;
    }
    Ok(Identity {
        person_id: row.person_id,
        name: row.person,
        role: Role::from_name(&row.role)?,
        via: Via::Token { id: row.id, name: row.name, scope: Scope::from_name(&row.scope)? },
        client,
    })
}

fn find(connection: &Connection, digest: &[u8; 32]) -> Result<Option<Row>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT token.id, token.name, token.scope, token.expires_ms, token.used_ms, person.id, person.name, person.role
         FROM token JOIN person ON person.id = token.person_id
         WHERE token.digest = ?1 AND person.disabled_ms IS NULL",
    )?;
    let row = statement
        .query_row([digest], |row| {
            Ok(Row {
                id: row.get(0)?,
                name: row.get(1)?,
                scope: row.get(2)?,
                expires_ms: row.get(3)?,
                used_ms: row.get(4)?,
                person_id: row.get(5)?,
                person: row.get(6)?,
                role: row.get(7)?,
            })
        })
        .optional()?;
    Ok(row)
}
