//! Commands over HTTP.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nodi_protocol::{BoxId, CommandId};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::new::{NewCommand, create};
use super::states::State as CommandState;
use super::store::{self, CommandView};
use super::{files, upload};
use crate::audit;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::state::App;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("commands")
        .viewer(routes!(list))
        .viewer(routes!(list_of_box))
        .viewer(routes!(one))
        .operator(routes!(give))
        .operator(routes!(withdraw))
        .operator(routes!(file))
        .public(routes!(put_upload))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ToBox {
    /// Only commands to this box.
    #[serde(rename = "box")]
    #[param(value_type = Option<String>)]
    box_id: Option<BoxId>,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfBox {
    /// Only commands in this state.
    state: Option<CommandState>,
    /// Only commands of this kind, such as `reboot`.
    #[param(max_length = 40)]
    kind: Option<String>,
}

async fn page(
    app: &App,
    box_id: Option<BoxId>,
    of: OfBox,
    paging: Paging,
) -> Result<Json<Page<CommandView>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(store::COLUMNS, "command")
                .only("box_id = ?", box_id.map(String::from))
                .only("state = ?", of.state.map(|state| state.name().to_owned()))
                .only("kind = ?", of.kind)
                .search(&paging, &["action", "text", "issued_by", "box_id"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("issued_ms", "issued_ms"),
                        ("updated_ms", "updated_ms"),
                        ("state", "state"),
                        ("kind", "kind"),
                        ("box_id", "box_id"),
                    ],
                    "-issued_ms",
                    "id",
                    |row| store::read(connection, row),
                )
        })
        .await?;
    Ok(Json(page))
}

/// Commands to all boxes
#[utoipa::path(get, path = "/commands", params(Paging, ToBox, OfBox), responses(
    (status = 200, description = "One page of them.", body = Page<CommandView>),
))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(to): Query<ToBox>,
    Query(of): Query<OfBox>,
) -> Result<Json<Page<CommandView>>, Error> {
    page(&app, to.box_id, of, paging).await
}

/// Commands to one box
#[utoipa::path(get, path = "/boxes/{id}/commands", params(("id" = BoxId, Path), Paging, OfBox), responses(
    (status = 200, description = "One page of them.", body = Page<CommandView>),
))]
async fn list_of_box(
    State(app): State<App>,
    At(id): At<BoxId>,
    Query(paging): Query<Paging>,
    Query(of): Query<OfBox>,
) -> Result<Json<Page<CommandView>>, Error> {
    if !app.boxes.registry.contains(&id) {
        return Err(Error::not_found("box", id));
    }
    page(&app, Some(id), of, paging).await
}

/// One command
#[utoipa::path(get, path = "/commands/{id}", params(("id" = CommandId, Path)), responses(
    (status = 200, description = "How it stands.", body = CommandView),
))]
async fn one(State(app): State<App>, At(id): At<CommandId>) -> Result<Json<CommandView>, Error> {
    let view = app.db.read(move |connection| store::one(connection, &id)).await?;
    Ok(Json(view.ok_or_else(|| Error::not_found("command", id))?))
}

/// Gives a box a command
///
/// It runs at most once. A box that is offline gets it when it comes back, unless it has expired by then.
#[utoipa::path(post, path = "/boxes/{id}/commands", params(("id" = BoxId, Path)), request_body = NewCommand, responses(
    (status = 201, description = "It is on its way.", body = CommandView),
    (status = 409, description = "The box is revoked, or has too many commands that are not over."),
))]
async fn give(
    State(app): State<App>,
    who: Identity,
    At(id): At<BoxId>,
    Json(new): Json<NewCommand>,
) -> Result<(StatusCode, Json<CommandView>), Error> {
    let (shared, actor) = (app.clone(), who.actor());
    let view = app.db.write(move |tx| create(&shared, tx, &id, &new, &actor)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Takes a command back
///
/// Only while it has not begun. One that begins in this moment may still report that it ran.
#[utoipa::path(delete, path = "/commands/{id}", params(("id" = CommandId, Path)), responses(
    (status = 200, description = "It is withdrawn.", body = CommandView),
    (status = 409, description = "It runs or is over already."),
))]
async fn withdraw(
    State(app): State<App>,
    who: Identity,
    At(id): At<CommandId>,
) -> Result<Json<CommandView>, Error> {
    let (shared, actor, now_ms) = (app.clone(), who.actor(), app.now_ms());
    let view = app
        .db
        .write(move |tx| {
            let view = store::withdraw(&shared, tx, &id, now_ms)?;
            let target = format!("box/{}/command/{id}", view.box_id);
            audit::record(tx, now_ms, &actor, "command.withdraw", &target, Some(&view.action), audit::NONE)?;
            Ok(view)
        })
        .await?;
    Ok(Json(view))
}

/// The file that a box uploaded for a command
#[utoipa::path(get, path = "/commands/{id}/file", params(("id" = CommandId, Path)), responses(
    (status = 200, description = "As the box sent it.", body = String, content_type = "application/octet-stream"),
))]
async fn file(State(app): State<App>, At(id): At<CommandId>) -> Result<Response, Error> {
    let view = app.db.read(move |connection| store::one(connection, &id)).await?;
    let view =
        view.filter(|view| view.has_file).ok_or_else(|| Error::not_found("file of the command", id))?;
    let path = files::path(&app, &id);
    let mut file = match tokio::fs::File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::not_found("file of the command", id));
        }
        Err(error) => return Err(Error::Internal(format!("{}: {error}", path.display()))),
    };
    let internal = |error: std::io::Error| Error::Internal(format!("{}: {error}", path.display()));
    let length = file.metadata().await.map_err(internal)?.len();
    let mut head = [0; 4];
    let read = file.read(&mut head).await.map_err(internal)?;
    let ending = match head.get(..read).unwrap_or_default() {
        [0x1f, 0x8b, ..] => "log.gz",
        [0x28, 0xb5, 0x2f, 0xfd] => "log.zst",
        _ => "bin",
    };
    let rest = tokio::io::AsyncReadExt::chain(
        std::io::Cursor::new(head.get(..read).unwrap_or_default().to_vec()),
        file,
    );
    let name = format!("attachment; filename=\"{}-{id}.{ending}\"", view.box_id);
    let name = HeaderValue::from_str(&name).map_err(|error| Error::Internal(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(rest))).into_response())
}

/// Takes what a box sends for a command
///
/// With the token in the command as `Authorization: Bearer`; it is good for one upload.
#[utoipa::path(put, path = "/uploads/{id}", params(("id" = CommandId, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 204, description = "It is here."),
    (status = 401, description = "The token is not good for this upload."),
    (status = 409, description = "Another upload of this command is under way."),
))]
async fn put_upload(
    State(app): State<App>,
    At(id): At<CommandId>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    upload::take(&app, id, &headers, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
