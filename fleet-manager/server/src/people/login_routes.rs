//! Logging in and out, and what people change about themselves.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rows::PersonView;
use super::{Role, logins, rows};
use crate::audit::{self, Actor, ActorKind, NONE};
use crate::error::Error;
use crate::http::client::Client;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::{COOKIE, Identity, Via};
use crate::http::list::{Page, Paging, Select};
use crate::site::sessions;
use crate::state::App;

/// Longest name of a browser that is kept, in characters.
const MAX_USER_AGENT: usize = 200;
/// What somebody hears who signed up on the watch site and comes here.
pub(crate) const MEMBERS: &str = "this is an account of the watch site; it has no access to the fleet";

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    #[schema(max_length = 64)]
    name: String,
    #[schema(max_length = 1024, format = Password)]
    password: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    person: PersonView,
    /// For the header `X-CSRF-Token`; null where a token is used, which needs none.
    csrf_token: Option<String>,
    /// When the login ends if nothing more happens; null where a token is used.
    expires_at_ms: Option<i64>,
}

/// Log in
///
/// Sets the session cookie. Failed attempts slow down further ones of the same name and of the same address.
#[utoipa::path(post, path = "/login", request_body = Login, responses(
    (status = 200, description = "Logged in.", body = Me, headers(("set-cookie" = String, description = "The session."))),
    (status = 401, description = "Wrong name or password."),
    (status = 403, description = "The account is disabled, or one of the watch site."),
    (status = 429, description = "Too many failures: wait.", headers(("retry-after" = u64, description = "In seconds."))),
))]
pub(super) async fn login(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<Login>,
) -> Result<impl IntoResponse, Error> {
    if body.password.len() > super::password::MAX_BYTES {
        return Err(Error::invalid("password", "too long"));
    }
    begin(&app, &body.name, client)?;
    let name = body.name.clone();
    let secret = app.db.read(move |connection| rows::secret_of(connection, &name)).await?;
    let stored = secret.as_ref().map(|secret| secret.password.clone());
    let right = app.people.hasher.verify(stored, body.password).await?;
    let Some(secret) = secret.filter(|_| right) else {
        log::warn!(name = body.name.chars().take(rows::MAX_NAME).collect::<String>().as_str(), address:% = client.address; "log-in failed");
        return Err(Error::Unauthenticated("wrong name or password".to_owned()));
    };
    app.people.slowdown.succeeded(&body.name, client.address);
    if secret.disabled {
        return Err(Error::forbidden("this account is disabled; ask an administrator"));
    }
    if secret.role == Role::Member {
        return Err(Error::forbidden(MEMBERS));
    }

    let now_ms = app.now_ms();
    let new = logins::new(now_ms)?;
    let (digest, csrf, cookie) = (new.digest, new.csrf.clone(), new.cookie.clone());
    let user_agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.chars().take(MAX_USER_AGENT).collect());
    let from = logins::From { client, user_agent };
    let most = app.config.people.logins_per_person;
    let person = app
        .db
        .write(move |tx| {
            logins::insert(tx, &new, &secret.id, now_ms, &from, most)?;
            tx.execute("UPDATE person SET last_login_ms = ?2 WHERE id = ?1", params![secret.id, now_ms])?;
            let person = rows::get(tx, &secret.id)?;
            let actor = Actor {
                kind: ActorKind::Person,
                id: Some(person.id.clone()),
                name: person.name.clone(),
                address: Some(client.address),
            };
            audit::record(tx, now_ms, &actor, "login", &target(&person.name), NONE, NONE)?;
            Ok(person)
        })
        .await?;
    let (_, expires_at_ms) = logins::facts(&app, digest).await?;
    let me = Me { person, csrf_token: Some(csrf), expires_at_ms: Some(expires_at_ms) };
    Ok((set_cookie(&cookie, client, app.config.people.longest_s), Json(me)))
}

fn begin(app: &App, name: &str, client: Client) -> Result<(), Error> {
    app.people.slowdown.begin(name, client.address, app.now_ms()).map_err(|retry_after_s| Error::TooMany {
        reason: format!("too many failed attempts; try again in {retry_after_s} s"),
        retry_after_s,
    })
}

pub(crate) fn target(name: &str) -> String {
    format!("person/{name}")
}

fn set_cookie(value: &str, client: Client, max_age_s: u64) -> [(HeaderName, String); 1] {
    let secure = if client.secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
    [(header::SET_COOKIE, cookie)]
}

/// Log out
#[utoipa::path(post, path = "/logout", responses((status = 204, description = "Logged out.")))]
pub(super) async fn logout(State(app): State<App>, who: Identity) -> Result<impl IntoResponse, Error> {
    let now_ms = app.now_ms();
    let client = who.client;
    app.db
        .write(move |tx| {
            if let Via::Login { digest } = who.via {
                logins::end(tx, digest)?;
            }
            audit::record(tx, now_ms, &who.actor(), "logout", &target(&who.name), NONE, NONE)
        })
        .await?;
    Ok((StatusCode::NO_CONTENT, set_cookie("", client, 0)))
}

/// Who am I
#[utoipa::path(get, path = "/me", responses((status = 200, description = "Who is logged in.", body = Me)))]
pub(super) async fn me(State(app): State<App>, who: Identity) -> Result<Json<Me>, Error> {
    let (csrf_token, expires_at_ms) = match who.via {
        Via::Login { digest } => {
            let (csrf, ends_ms) = logins::facts(&app, digest).await?;
            (Some(csrf), Some(ends_ms))
        }
        Via::Token { .. } => (None, None),
    };
    let person = app.db.read(move |connection| rows::get(connection, &who.person_id)).await?;
    Ok(Json(Me { person, csrf_token, expires_at_ms }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangePassword {
    #[schema(max_length = 1024, format = Password)]
    current: String,
    #[schema(min_length = 10, max_length = 1024, format = Password)]
    new: String,
}

/// Change one's own password
///
/// All other browsers of the person are logged out.
#[utoipa::path(post, path = "/me/password", request_body = ChangePassword, responses(
    (status = 204, description = "Changed."),
    (status = 429, description = "Too many failures: wait.", headers(("retry-after" = u64, description = "In seconds."))),
))]
pub(super) async fn change_password(
    State(app): State<App>,
    who: Identity,
    Json(body): Json<ChangePassword>,
) -> Result<StatusCode, Error> {
    rows::check_password("new", &body.new, &who.name, app.config.people.password_min)?;
    begin(&app, &who.name, who.client)?;
    let name = who.name.clone();
    let secret = app.db.read(move |connection| rows::secret_of(connection, &name)).await?;
    if !app.people.hasher.verify(secret.map(|secret| secret.password), body.current).await? {
        return Err(Error::invalid("current", "this is not your password"));
    }
    app.people.slowdown.succeeded(&who.name, who.client.address);
    let hash = app.people.hasher.hash(body.new).await?;
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| {
            tx.execute(
                "UPDATE person SET password = ?2, password_changed_ms = ?3 WHERE id = ?1",
                params![who.person_id, hash, now_ms],
            )?;
            let this = match who.via {
                Via::Login { digest } => Some(digest),
                Via::Token { .. } => None,
            };
            logins::end_others(tx, &who.person_id, this)?;
            sessions::end_others(tx, &who.person_id, None)?;
            audit::record(tx, now_ms, &who.actor(), "password.change", &target(&who.name), NONE, NONE)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A browser that somebody is logged in with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoginView {
    id: String,
    /// The one that asks.
    current: bool,
    address: String,
    user_agent: Option<String>,
    created_ms: i64,
    seen_ms: i64,
}

/// Browsers that one is logged in with
#[utoipa::path(get, path = "/me/logins", params(Paging), responses((status = 200, description = "One page.", body = Page<LoginView>)))]
pub(super) async fn logins(
    State(app): State<App>,
    who: Identity,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<LoginView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new("id, digest, address, user_agent, created_ms, seen_ms", "login")
                .only("person_id = ?", Some(who.person_id.clone()))
                .search(&paging, &["address", "user_agent"])?
                .page(
                    connection,
                    &paging,
                    &[("seen_ms", "seen_ms"), ("created_ms", "created_ms")],
                    "-seen_ms",
                    "id",
                    |row| {
                        let digest: [u8; 32] = row.get(1)?;
                        Ok(LoginView {
                            id: row.get(0)?,
                            current: matches!(&who.via, Via::Login { digest: this } if *this == digest),
                            address: row.get(2)?,
                            user_agent: row.get(3)?,
                            created_ms: row.get(4)?,
                            seen_ms: row.get(5)?,
                        })
                    },
                )
        })
        .await?;
    Ok(Json(page))
}

/// Log out another browser of one's own
#[utoipa::path(delete, path = "/me/logins/{id}", params(("id" = String, Path)), responses((status = 204, description = "Logged out.")))]
pub(super) async fn end_login(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| {
            let ended =
                tx.execute("DELETE FROM login WHERE id = ?1 AND person_id = ?2", params![id, who.person_id])?;
            if ended == 0 {
                return Err(Error::not_found("login", id));
            }
            audit::record(tx, now_ms, &who.actor(), "login.end", &target(&who.name), NONE, NONE)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether name and password will do.
///
/// # Errors
/// Why not.
pub fn check_credentials(config: &super::Config, name: &str, password: &str) -> Result<(), Error> {
    rows::check_name(name)?;
    rows::check_password("password", password, name, config.password_min)
}

/// The first administrator, made from the command line.
///
/// # Errors
/// When name or password will not do, or there is somebody already.
pub async fn first_administrator(app: &App, name: String, password: String) -> Result<(), Error> {
    check_credentials(&app.config.people, &name, &password)?;
    let hash = app.people.hasher.hash(password).await?;
    let now_ms = app.now_ms();
    let id = crate::ids::ulid(now_ms)?;
    app.db
        .write(move |tx| {
            let people: i64 = tx.query_row("SELECT count(*) FROM person", [], |row| row.get(0))?;
            if people > 0 {
                return Err(Error::conflict("there are people already; an administrator adds more"));
            }
            let new = rows::New { id: id.clone(), name, role: Role::Administrator, password: hash };
            rows::insert(tx, &new, now_ms)?;
            let after = rows::get(tx, &id)?;
            audit::record(
                tx,
                now_ms,
                &Actor::system(),
                "person.create",
                &target(&new.name),
                NONE,
                Some(&after),
            )
        })
        .await
}
