//! Signing in and out, and who is signed in.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::access::{Site, Visitor};
use super::sessions::{self, Account};
use crate::error::Error;
use crate::http::client::Client;
use crate::http::extract::Json;
use crate::people::{Role, password, rows};
use crate::state::App;

pub(super) fn routes() -> Site {
    Site::new("session").public(routes!(sign_in)).visitor(routes!(show, sign_out))
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    #[schema(max_length = 64)]
    pub(super) name: String,
    #[schema(max_length = 1024, format = Password)]
    pub(super) password: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(super) struct Session {
    account: Option<AccountView>,
    /// For the header `X-CSRF-Token`; null when nobody is signed in.
    csrf: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountView {
    id: String,
    name: String,
    /// `#rrggbb`.
    color: Option<String>,
    role: Role,
    /// Ids of their channels.
    channels: Vec<String>,
    created_ms: i64,
}

impl Session {
    const NOBODY: Self = Self { account: None, csrf: None };

    /// Of the person with this id, as they are now.
    pub(super) fn of(connection: &Connection, id: &str, csrf: String) -> Result<Self, Error> {
        let person = rows::get(connection, id)?;
        let color = connection
            .prepare_cached("SELECT color FROM person WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        let view = AccountView {
            id: person.id,
            name: person.name,
            color,
            role: person.role,
            channels: person.channels,
            created_ms: person.created_ms,
        };
        Ok(Self { account: Some(view), csrf: Some(csrf) })
    }
}

/// Before a password is looked at: failures slow down further attempts at the same name and from the same address.
pub(super) fn begin(app: &App, name: &str, client: Client) -> Result<(), Error> {
    app.people.slowdown.begin(name, client.address, app.now_ms()).map_err(|retry_after_s| {
        app.site.counts.throttled.inc();
        Error::TooMany {
            reason: format!("too many failed attempts; try again in {retry_after_s} s"),
            retry_after_s,
        }
    })
}

/// Whether this is somebody's password now; a wrong one counts as a failed attempt.
pub(super) async fn is_password(app: &App, account: &Account, password: String) -> Result<bool, Error> {
    begin(app, &account.name, account.client)?;
    let name = account.name.clone();
    let secret = app.db.read(move |connection| rows::secret_of(connection, &name)).await?;
    let stored = secret.filter(|secret| secret.id == account.id).map(|secret| secret.password);
    let right = app.site.hasher.verify(stored, password).await?;
    if right {
        app.people.slowdown.succeeded(&account.name, account.client.address);
    }
    Ok(right)
}

/// Sign in
///
/// Everybody who has an account, operators too; the session is good for the watch site only. Failed attempts slow down
/// further ones of the same name and of the same address.
#[utoipa::path(post, path = "/session", request_body = Credentials, responses(
    (status = 200, description = "Signed in.", body = Session, headers(("set-cookie" = String, description = "The session."))),
    (status = 401, description = "Wrong name or password."),
    (status = 403, description = "The account is disabled, or the request comes from a page of another site."),
    (status = 429, description = "Too many failures: wait.", headers(("retry-after" = u64, description = "In seconds."))),
))]
async fn sign_in(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<Credentials>,
) -> Result<Response, Error> {
    if body.password.len() > password::MAX_BYTES {
        return Err(Error::invalid("password", "too long"));
    }
    begin(&app, &body.name, client)?;
    let name = body.name.clone();
    let secret = app.db.read(move |connection| rows::secret_of(connection, &name)).await?;
    let stored = secret.as_ref().map(|secret| secret.password.clone());
    let right = app.site.hasher.verify(stored, body.password).await?;
    let Some(secret) = secret.filter(|_| right) else {
        app.site.counts.refused_sign_ins.inc();
        return Err(Error::Unauthenticated("wrong name or password".to_owned()));
    };
    app.people.slowdown.succeeded(&body.name, client.address);
    if secret.disabled {
        return Err(Error::forbidden("this account is disabled; ask the operators of the platform"));
    }
    let before = sessions::identify(&app, &headers, client).await?;
    let new = sessions::New::make()?;
    let cookie = new.cookie.clone();
    let (now_ms, most) = (app.now_ms(), app.config.site.sessions_per_person);
    let session = app
        .db
        .write(move |tx| {
            // The browser forgets this one.
            if let Some(before) = before {
                sessions::end(tx, before.digest)?;
            }
            new.insert(tx, &secret.id, now_ms, most)?;
            Session::of(tx, &secret.id, new.csrf)
        })
        .await?;
    app.site.counts.sign_ins.inc();
    Ok((sessions::set_cookie(&cookie, client, &app), Json(session)).into_response())
}

/// Who is signed in
#[utoipa::path(get, path = "/session", responses((status = 200, description = "Who is signed in, if somebody is.", body = Session)))]
async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Visitor(account): Visitor,
) -> Result<Response, Error> {
    let Some(account) = account else { return Ok(Json(Session::NOBODY).into_response()) };
    let (renewed, client) = (account.renewed, account.client);
    let session = app.db.read(move |connection| Session::of(connection, &account.id, account.csrf)).await?;
    if renewed && let Some(cookie) = crate::http::identity::cookie(&headers, sessions::COOKIE) {
        // The browser keeps it for as long as the server does.
        return Ok((sessions::set_cookie(cookie, client, &app), Json(session)).into_response());
    }
    Ok(Json(session).into_response())
}

/// Sign out
#[utoipa::path(delete, path = "/session", responses((status = 204, description = "Nobody is signed in.")))]
async fn sign_out(
    State(app): State<App>,
    client: Client,
    Visitor(account): Visitor,
) -> Result<Response, Error> {
    if let Some(account) = account {
        app.db.write(move |tx| sessions::end(tx, account.digest)).await?;
    }
    Ok((StatusCode::NO_CONTENT, sessions::set_cookie("", client, &app)).into_response())
}
