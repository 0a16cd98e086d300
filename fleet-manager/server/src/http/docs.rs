//! The API's description and a readable page of it. The page is ours and needs nothing from elsewhere.

use std::sync::Arc;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::docs_page;
use super::identity::COOKIE;
use crate::error::Problem;

const INTRODUCTION: &str = "\
Everything that the dashboard does, it does through this interface.

Log in with `POST /api/v1/login`, keep the cookie, and send the `csrf_token` of the answer as `X-CSRF-Token` with \
everything that changes something; or send an API token as `Authorization: Bearer nodi_pat_…`. Times are milliseconds \
since the Unix epoch. Lists take `page`, `per_page`, `sort` (a field's name, with `-` before it: greatest first) and \
`q`. Errors are problem details (RFC 9457).";

/// Adds what belongs to the whole.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info = InfoBuilder::new()
        .title("Nodi fleet")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .build();
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths =
        paths.into_iter().map(|(path, item)| (format!("{}{path}", super::API), item)).collect();
    let components = description.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let mut nested = Vec::new();
    Problem::schemas(&mut nested);
    components.schemas.extend(nested);
    components.add_security_scheme(
        "login",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            COOKIE,
            "Set by the log-in. Requests that change something also need the header X-CSRF-Token.",
        ))),
    );
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An API token, nodi_pat_…"))
                .build(),
        ),
    );
    description
}

/// The description as it is sent.
#[derive(Clone)]
pub(super) struct Description {
    json: Bytes,
    page: Arc<str>,
}

impl Description {
    pub(super) fn new(description: &OpenApi) -> Self {
        let json = serde_json::to_vec(description).unwrap_or_default();
        let value = serde_json::from_slice(&json).unwrap_or_default();
        Self { page: docs_page::render(&value).into(), json: json.into() }
    }
}

pub(super) async fn json(Extension(description): Extension<Description>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, description.json).into_response()
}

pub(super) async fn page(Extension(description): Extension<Description>) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], description.page.to_string()).into_response()
}
