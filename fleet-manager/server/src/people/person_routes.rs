//! People, for administrators.

use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::params;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::login_routes::target;
use super::rows::PersonView;
use super::{Role, logins, names, rows};
use crate::audit::{self, NONE};
use crate::error::Error;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::ids;
use crate::site::sessions;
use crate::state::App;

/// Channels that can be given to somebody in one request.
const MAX_CHANNELS: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Members, who signed up on the watch site, are listed only when they are asked for.
    role: Option<Role>,
}

/// People
#[utoipa::path(get, path = "/people", params(Paging, Filter), responses((status = 200, description = "One page.", body = Page<PersonView>)))]
pub(super) async fn list_people(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<PersonView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(rows::COLUMNS, "person")
                .only("role = ?", filter.role.map(|role| role.name().to_owned()))
                .only_when(filter.role.is_none(), "role <> 'member'")
                .search(&paging, &["name"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("name", "name COLLATE NOCASE"),
                        ("role", "role"),
                        ("created_ms", "created_ms"),
                        ("last_login_ms", "last_login_ms"),
                    ],
                    "name",
                    "id",
                    |row| rows::with_channels(connection, rows::read(row)?),
                )
        })
        .await?;
    Ok(Json(page))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPerson {
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    #[schema(min_length = 10, max_length = 1024, format = Password)]
    password: String,
    role: Role,
    /// Ids of channels that become theirs.
    #[serde(default)]
    channels: Vec<String>,
}

/// Add a person
#[utoipa::path(post, path = "/people", request_body = NewPerson, responses(
    (status = 201, description = "Added.", body = PersonView),
    (status = 409, description = "Somebody has this name."),
))]
pub(super) async fn create_person(
    State(app): State<App>,
    who: Identity,
    Json(body): Json<NewPerson>,
) -> Result<(StatusCode, Json<PersonView>), Error> {
    rows::check_name(&body.name)?;
    rows::check_password("password", &body.password, &body.name, app.config.people.password_min)?;
    check_channels(&body.channels)?;
    let password = app.people.hasher.hash(body.password).await?;
    let now_ms = app.now_ms();
    let new = rows::New { id: ids::ulid(now_ms)?, name: body.name, role: body.role, password };
    let person = app
        .db
        .write(move |tx| {
            rows::insert(tx, &new, now_ms)?;
            rows::set_channels(tx, &new.id, &body.channels)?;
            let person = rows::get(tx, &new.id)?;
            audit::record(
                tx,
                now_ms,
                &who.actor(),
                "person.create",
                &target(&new.name),
                NONE,
                Some(&person),
            )?;
            Ok(person)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(person)))
}

fn check_channels(channels: &[String]) -> Result<(), Error> {
    if channels.len() > MAX_CHANNELS {
        return Err(Error::invalid("channels", format!("more than {MAX_CHANNELS}")));
    }
    Ok(())
}

/// One person
#[utoipa::path(get, path = "/people/{id}", params(("id" = String, Path)), responses((status = 200, description = "The person.", body = PersonView)))]
pub(super) async fn show_person(
    State(app): State<App>,
    At(id): At<String>,
) -> Result<Json<PersonView>, Error> {
    Ok(Json(app.db.read(move |connection| rows::get(connection, &id)).await?))
}

/// What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonChange {
    #[schema(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// A new one; the person is logged out everywhere.
    #[schema(min_length = 10, max_length = 1024, format = Password)]
    password: Option<String>,
    role: Option<Role>,
    disabled: Option<bool>,
    /// All ids of channels that are theirs from now on.
    channels: Option<Vec<String>>,
}

/// Change a person
#[utoipa::path(patch, path = "/people/{id}", params(("id" = String, Path)), request_body = PersonChange, responses(
    (status = 200, description = "Changed.", body = PersonView),
    (status = 409, description = "Somebody has this name, or nobody would be administrator."),
))]
pub(super) async fn change_person(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
    Json(body): Json<PersonChange>,
) -> Result<Json<PersonView>, Error> {
    let wanted = id.clone();
    let before = app.db.read(move |connection| rows::get(connection, &wanted)).await?;
    let name = body.name.clone().unwrap_or_else(|| before.name.clone());
    if body.name.is_some() {
        rows::check_name(&name)?;
    }
    check_channels(body.channels.as_deref().unwrap_or_default())?;
    let password = match body.password {
        None => None,
        Some(password) => {
            rows::check_password("password", &password, &name, app.config.people.password_min)?;
            Some(app.people.hasher.hash(password).await?)
        }
    };
    let now_ms = app.now_ms();
    let person = app
        .db
        .write(move |tx| {
            // What it is now, which may be no longer what it was when the password was hashed.
            let before = rows::get(tx, &id)?;
            let role = body.role.unwrap_or(before.role);
            let disabled = body.disabled.unwrap_or(before.disabled);
            let name = body.name.as_ref().unwrap_or(&before.name);
            tx.execute(
                "UPDATE person SET name = ?2, role = ?3, skeleton = ?6,
                 disabled_ms = CASE WHEN ?4 THEN coalesce(disabled_ms, ?5) END WHERE id = ?1",
                params![id, name, role.name(), disabled, now_ms, names::skeleton(name)],
            )
            .map_err(|error| rows::taken(error, name))?;
            rows::keep_an_administrator(tx)?;
            if let Some(password) = &password {
                tx.execute(
                    "UPDATE person SET password = ?2, password_changed_ms = ?3 WHERE id = ?1",
                    params![id, password, now_ms],
                )?;
            }
            if password.is_some() || disabled {
                logins::end_others(tx, &id, None)?;
                sessions::end_others(tx, &id, None)?;
            }
            if let Some(channels) = &body.channels {
                rows::set_channels(tx, &id, channels)?;
            }
            let after = rows::get(tx, &id)?;
            let actor = who.actor();
            if password.is_some() {
                audit::record(tx, now_ms, &actor, "password.reset", &target(&after.name), NONE, NONE)?;
            }
            if before != after {
                let target = target(&before.name);
                audit::record(tx, now_ms, &actor, "person.update", &target, Some(&before), Some(&after))?;
            }
            Ok(after)
        })
        .await?;
    Ok(Json(person))
}

/// Remove a person
///
/// Their browsers are logged out, their tokens are gone, their channels have no owner.
#[utoipa::path(delete, path = "/people/{id}", params(("id" = String, Path)), responses(
    (status = 204, description = "Removed."),
    (status = 409, description = "Nobody would be administrator."),
))]
pub(super) async fn delete_person(
    State(app): State<App>,
    who: Identity,
    At(id): At<String>,
) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| {
            let before = rows::get(tx, &id)?;
            tx.execute("DELETE FROM person WHERE id = ?1", [&id])?;
            rows::keep_an_administrator(tx)?;
            audit::record(
                tx,
                now_ms,
                &who.actor(),
                "person.delete",
                &target(&before.name),
                Some(&before),
                NONE,
            )
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
