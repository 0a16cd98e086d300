//! API tokens: everybody's own, and for administrators all.

use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Role, Scope, rows, tokens};
use crate::audit::{self, NONE};
use crate::error::Error;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::{Identity, Via};
use crate::http::list::{Page, Paging, Select};
use crate::ids;
use crate::state::App;

/// Longest life of a token that has one, in seconds: ten years.
const MAX_LIFE_S: u32 = 315_360_000;

/// A program's key to this API.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    /// Name of whose it is.
    pub person: String,
    /// All that it has; each includes those before it.
    pub scopes: Vec<Scope>,
    pub created_ms: i64,
    pub expires_at_ms: Option<i64>,
    /// To the minute.
    pub last_used_ms: Option<i64>,
}

const COLUMNS: &str =
    "token.id, token.name, person.name, token.scope, token.created_ms, token.expires_ms, token.used_ms";
const FROM: &str = "token JOIN person ON person.id = token.person_id";

fn read(row: &Row<'_>) -> Result<TokenView, Error> {
    let scope: String = row.get(3)?;
    let scope = Scope::from_name(&scope)?;
    Ok(TokenView {
        id: row.get(0)?,
        name: row.get(1)?,
        person: row.get(2)?,
        scopes: [Scope::Read, Scope::Operate, Scope::Administer]
            .into_iter()
            .filter(|each| *each <= scope)
            .collect(),
        created_ms: row.get(4)?,
        expires_at_ms: row.get(5)?,
        last_used_ms: row.get(6)?,
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Administrators: only this person's, by id.
    person: Option<String>,
}

/// API tokens
///
/// One's own; an administrator sees everybody's.
#[utoipa::path(get, path = "/tokens", params(Paging, Filter), responses((status = 200, description = "One page.", body = Page<TokenView>)))]
pub(super) async fn list_tokens(
    State(app): State<App>,
    who: Identity,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<TokenView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            let own = (!who.has(Role::Administrator)).then(|| who.person_id.clone());
            Select::new(COLUMNS, FROM)
                .only("person.id = ?", own)
                .only("person.id = ?", filter.person)
                .search(&paging, &["token.name", "person.name"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("name", "token.name COLLATE NOCASE"),
                        ("person", "person.name COLLATE NOCASE"),
                        ("created_ms", "token.created_ms"),
                        ("expires_at_ms", "token.expires_ms"),
                        ("last_used_ms", "token.used_ms"),
                    ],
                    "-created_ms",
                    "token.id",
                    read,
                )
        })
        .await?;
    Ok(Json(page))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// No more than one may do oneself.
    #[schema(min_items = 1, max_items = 3)]
    scopes: Vec<Scope>,
    /// Absent: until it is revoked.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_s: Option<u32>,
}

/// A token, shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    #[serde(flatten)]
    view: TokenView,
    /// The token itself: it is never shown again.
    token: String,
}

/// Make an API token
///
/// For oneself. It can do what its scopes say and the person's role allows.
#[utoipa::path(post, path = "/tokens", request_body = NewToken, responses(
    (status = 201, description = "Made.", body = MadeToken),
    (status = 409, description = "There are too many."),
))]
pub(super) async fn create_token(
    State(app): State<App>,
    who: Identity,
    Json(body): Json<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Error> {
    rows::check_name(&body.name)?;
    let Some(scope) = body.scopes.iter().copied().max() else {
        return Err(Error::invalid("scopes", "none: say what the token may do"));
    };
    if scope > largest(&who) {
        return Err(Error::invalid(
            "scopes",
            format!("more than you may yourself: at most {}", largest(&who).name()),
        ));
    }
    if body.expires_s.is_some_and(|seconds| seconds == 0 || seconds > MAX_LIFE_S) {
        return Err(Error::invalid("expires_s", format!("must be 1 to {MAX_LIFE_S}")));
    }
    let now_ms = app.now_ms();
    let expires_ms = body.expires_s.map(|seconds| now_ms.saturating_add(i64::from(seconds) * 1_000));
    let token = ids::secret(tokens::PREFIX)?;
    let digest = ids::digest(&token);
    let id = ids::ulid(now_ms)?;
    let most = app.config.people.tokens_per_person;
    let view = app
        .db
        .write(move |tx| {
            let held: u32 =
                tx.query_row("SELECT count(*) FROM token WHERE person_id = ?1", [&who.person_id], |row| {
                    row.get(0)
                })?;
            if held >= most {
                return Err(Error::conflict(format!("you have {held} tokens already; revoke some first")));
            }
            tx.execute(
                "INSERT INTO token (id, person_id, name, digest, scope, created_ms, expires_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![id, who.person_id, body.name, digest, scope.name(), now_ms, expires_ms],
            )?;
            let view = get(tx, &id)?.ok_or_else(|| Error::not_found("token", &id))?.1;
            audit::record(tx, now_ms, &who.actor(), "token.create", &target(&view), NONE, Some(&view))?;
            Ok(view)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(MadeToken { view, token })))
}

/// The widest scope that somebody can give away.
fn largest(who: &Identity) -> Scope {
    let of_role = match who.role {
        // A member never gets here.
        Role::Member | Role::Viewer => Scope::Read,
        // A streamer steers their own channels.
        Role::Streamer | Role::Operator => Scope::Operate,
        Role::Administrator => Scope::Administer,
    };
    match &who.via {
        Via::Login { .. } => of_role,
        Via::Token { scope, .. } => of_role.min(*scope),
    }
}

fn target(view: &TokenView) -> String {
    format!("token/{}", view.name)
}

/// A token and the id of whose it is.
fn get(connection: &Connection, id: &str) -> Result<Option<(String, TokenView)>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS}, person.id FROM {FROM} WHERE token.id = ?1"))?;
    let found = statement.query_row([id], |row| Ok((row.get(7)?, read(row)))).optional()?;
    found.map(|(person, view)| Ok((person, view?))).transpose()
}

/// Revoke an API token
///
/// One's own; an administrator can revoke everybody's.
#[utoipa::path(delete, path = "/tokens/{id}", params(("id" = String, Path)), responses((status = 204, description = "Revoked.")))]
pub(super) async fn revoke_token(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| {
            // Somebody else's is not there, for those who may not know of it.
            let (_, view) = get(tx, &id)?
                .filter(|(person, _)| *person == who.person_id || who.has(Role::Administrator))
                .ok_or_else(|| Error::not_found("token", &id))?;
            tx.execute("DELETE FROM token WHERE id = ?1", [&id])?;
            audit::record(tx, now_ms, &who.actor(), "token.revoke", &target(&view), Some(&view), NONE)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
