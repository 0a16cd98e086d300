//! The API's description, for programs.

use axum::Router;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::sessions::COOKIE;
use super::{SITE, served};
use crate::error::Problem;
use crate::state::App;

const INTRODUCTION: &str = "\
Everything that the watch site does, it does through this interface.

Sign in with `POST /site/v1/session`, keep the cookie, and send the `csrf` of the answer as `X-CSRF-Token` with \
everything that changes something. Times are milliseconds since the Unix epoch. Errors are problem details (RFC 9457).";

/// Adds what belongs to the whole.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info = InfoBuilder::new()
        .title("Nodi watch site")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .build();
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (format!("{SITE}{path}"), item)).collect();
    let components = description.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let mut nested = Vec::new();
    Problem::schemas(&mut nested);
    components.schemas.extend(nested);
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            COOKIE,
            "Set by signing in or up. Requests that change something also need the header X-CSRF-Token.",
        ))),
    );
    description
}

pub(super) fn route(description: &OpenApi) -> Router<App> {
    let json = serde_json::to_vec(description).unwrap_or_default();
    served(&format!("{SITE}/openapi.json"), json.into())
}
