//! Accounts: made by whoever comes, changed and deleted by whom they belong to.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rusqlite::{Connection, params};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::access::Site;
use super::session_routes::{Credentials, Session, is_password};
use super::sessions::{self, Account};
use crate::audit::{self, Actor, ActorKind, NONE};
use crate::channels::{self, changes};
use crate::db::Tx;
use crate::error::Error;
use crate::http::client::Client;
use crate::http::extract::Json;
use crate::ids;
use crate::people::{Role, logins, names, rows, target};
use crate::state::App;

pub(super) fn routes() -> Site {
    Site::new("account").public(routes!(sign_up)).member(routes!(change, delete))
}

/// Sign up
///
/// Makes an account and signs in. Names are 3 to 25 letters, digits and underscores, and no two look alike.
#[utoipa::path(post, path = "/accounts", request_body = Credentials, responses(
    (status = 201, description = "Made, and signed in.", body = Session, headers(("set-cookie" = String, description = "The session."))),
    (status = 403, description = "Nobody can sign up here, or the request comes from a page of another site."),
    (status = 409, description = "The name, or one that looks like it, is taken."),
    (status = 429, description = "Too many accounts from this address: wait.", headers(("retry-after" = u64, description = "In seconds."))),
))]
async fn sign_up(
    State(app): State<App>,
    client: Client,
    Json(body): Json<Credentials>,
) -> Result<Response, Error> {
    let config = &app.config.site;
    if !config.open_accounts {
        return Err(Error::forbidden("accounts are made by the operators of this platform"));
    }
    names::check(&body.name)?;
    rows::check_password("password", &body.password, &body.name, app.config.people.password_min)?;
    let now_ms = app.now_ms();
    app.site.limits.may_sign_up(client.address, now_ms).inspect_err(|_| {
        app.site.counts.throttled.inc();
    })?;
    let wanted = body.name.clone();
    // Before anything dear is done for it; it counts when it is stored.
    app.db.read(move |connection| is_free(connection, &wanted)).await?;
    app.site.limits.sign_up(client.address, now_ms)?;
    let password = app.site.hasher.hash(body.password).await?;
    let new = rows::New { id: ids::ulid(now_ms)?, name: body.name, role: Role::Member, password };
    let session = sessions::New::make()?;
    let cookie = session.cookie.clone();
    let (max_accounts, most) = (config.max_accounts, config.sessions_per_person);
    let answer = app
        .db
        .write(move |tx| {
            is_free(tx, &new.name)?;
            // Rows are numbered in the order in which they were made: counting them would take longer.
            let made: i64 = tx
                .prepare_cached("SELECT coalesce(max(rowid), 0) FROM person")?
                .query_row([], |row| row.get(0))?;
            if made >= i64::from(max_accounts) {
                return Err(Error::Unavailable("this platform has no room for more accounts".to_owned()));
            }
            rows::insert(tx, &new, now_ms)?;
            session.insert(tx, &new.id, now_ms, most)?;
            let actor = Actor {
                kind: ActorKind::Person,
                id: Some(new.id.clone()),
                name: new.name.clone(),
                address: Some(client.address),
            };
            let person = rows::get(tx, &new.id)?;
            audit::record(tx, now_ms, &actor, "site.sign_up", &target(&new.name), NONE, Some(&person))?;
            Session::of(tx, &new.id, session.csrf)
        })
        .await?;
    app.site.counts.sign_ups.inc();
    let cookie = sessions::set_cookie(&cookie, client, &app);
    Ok((StatusCode::CREATED, cookie, Json(answer)).into_response())
}

/// Whether nobody has this name or one that looks like it.
fn is_free(connection: &Connection, name: &str) -> Result<(), Error> {
    let skeleton = names::skeleton(name);
    let mut statement = connection.prepare_cached("SELECT name FROM person WHERE skeleton = ?1 LIMIT 1")?;
    let mut rows = statement.query([skeleton])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let other: String = row.get(0)?;
    Err(Error::conflict(if other.eq_ignore_ascii_case(name) {
        format!("the name {name} is taken")
    } else {
        format!("the name {name} looks too much like one that is taken")
    }))
}

/// What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    /// `#rrggbb`; null: the chat chooses one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, pattern = "^#[0-9a-fA-F]{6}$")]
    color: Option<Option<String>>,
    /// A new one: all other browsers are signed out.
    #[schema(min_length = 10, max_length = 1024, format = Password)]
    password: Option<String>,
    /// Needed for a new password.
    #[schema(max_length = 1024, format = Password)]
    current_password: Option<String>,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// Change one's account
#[utoipa::path(patch, path = "/account", request_body = AccountChange, responses((status = 200, description = "Changed.", body = Session)))]
async fn change(
    State(app): State<App>,
    account: Account,
    Json(body): Json<AccountChange>,
) -> Result<Json<Session>, Error> {
    let color = body.color.map(|color| color.as_deref().map(checked_color).transpose()).transpose()?;
    let password = match body.password {
        None => None,
        Some(password) => {
            rows::check_password("password", &password, &account.name, app.config.people.password_min)?;
            check_current(&app, &account, body.current_password.unwrap_or_default()).await?;
            Some(app.site.hasher.hash(password).await?)
        }
    };
    let now_ms = app.now_ms();
    let session = app
        .db
        .write(move |tx| {
            if let Some(color) = color {
                tx.execute("UPDATE person SET color = ?2 WHERE id = ?1", params![account.id, color])?;
            }
            if let Some(password) = password {
                tx.execute(
                    "UPDATE person SET password = ?2, password_changed_ms = ?3 WHERE id = ?1",
                    params![account.id, password, now_ms],
                )?;
                logins::end_others(tx, &account.id, None)?;
                sessions::end_others(tx, &account.id, Some(account.digest))?;
                let target = target(&account.name);
                audit::record(tx, now_ms, &account.actor(), "password.change", &target, NONE, NONE)?;
            }
            Session::of(tx, &account.id, account.csrf)
        })
        .await?;
    Ok(Json(session))
}

fn checked_color(color: &str) -> Result<String, Error> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6);
    if digits.is_none_or(|digits| !digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(Error::invalid("color", "must be # and six hexadecimal digits, such as #c0ffee"));
    }
    Ok(color.to_ascii_lowercase())
}

async fn check_current(app: &App, account: &Account, password: String) -> Result<(), Error> {
    if password.len() > crate::people::password::MAX_BYTES || !is_password(app, account, password).await? {
        return Err(Error::invalid("current_password", "this is not your password"));
    }
    Ok(())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Farewell {
    #[schema(max_length = 1024, format = Password)]
    current_password: String,
}

/// Delete one's account
///
/// With it go what it follows, its sessions and tokens; its channel is taken off the air and keeps its id, which nobody
/// else gets. Erase what you said in chats before, with `POST /site/v1/account/chat-token`.
#[utoipa::path(delete, path = "/account", request_body = Farewell, responses(
    (status = 204, description = "Deleted."),
))]
async fn delete(
    State(app): State<App>,
    account: Account,
    Json(body): Json<Farewell>,
) -> Result<Response, Error> {
    if !matches!(account.role, Role::Member | Role::Streamer) {
        return Err(Error::forbidden("this account has rights in the fleet; an administrator deletes it"));
    }
    check_current(&app, &account, body.current_password).await?;
    let (client, shared) = (account.client, app.clone());
    app.db.write(move |tx| delete_now(&shared, tx, &account)).await?;
    Ok((StatusCode::NO_CONTENT, sessions::set_cookie("", client, &app)).into_response())
}

fn delete_now(app: &App, tx: &Tx<'_>, account: &Account) -> Result<(), Error> {
    // As they are now, which may be no longer what they were when the password was looked at.
    let before = rows::get(tx, &account.id)?;
    if !matches!(before.role, Role::Member | Role::Streamer) {
        return Err(Error::conflict("this account was given rights in the fleet just now"));
    }
    for channel in channels::owned_by(tx, &account.id)? {
        let id = channel.parse().map_err(|error| Error::Internal(format!("database: {error}")))?;
        changes::retire(app, tx, &account.actor(), &id)?;
        app.site.thumbnails.forget(app, tx, &id);
    }
    tx.execute("DELETE FROM person WHERE id = ?1", [&account.id])?;
    let target = target(&before.name);
    audit::record(tx, app.now_ms(), &account.actor(), "site.account.delete", &target, Some(&before), NONE)
}
