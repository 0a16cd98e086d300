//! Who may call what. A route can be added through [`Api`] only, and each way of adding says who may call it: the
//! guard in front of the handler and the description in OpenAPI come from the same word, so that they cannot differ and
//! nothing is open by accident.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::identity::{self, Identity};
use super::problems;
use crate::error::Error;
use crate::people::Role;
use crate::state::App;

/// Extension of an operation in the OpenAPI document that says who may call it.
pub const EXTENSION: &str = "x-nodi-access";

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody. What the request itself has to prove is the handler's business.
    Public,
    /// Whoever is logged in with a password, for themselves; not a program with a token.
    Login,
    /// Whoever is known, streamers too. What of it they may see or steer is decided in the handler.
    Person,
    /// This role and those above it.
    Role(Role),
}

impl Access {
    /// In the OpenAPI document.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Login => "login",
            Self::Person => "person",
            Self::Role(role) => role.name(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Public => "Open to everybody.",
            Self::Login => "For whoever is logged in, not for tokens.",
            Self::Person => "For everybody who is known; a streamer sees and steers their own channels only.",
            Self::Role(Role::Member | Role::Streamer | Role::Viewer) => {
                "For viewers, operators and administrators."
            }
            Self::Role(Role::Operator) => "For operators and administrators.",
            Self::Role(Role::Administrator) => "For administrators.",
        }
    }
}

/// The routes of one area, below `/api/v1`.
pub struct Api {
    router: OpenApiRouter<App>,
    tag: &'static str,
}

impl Api {
    /// `tag` groups the routes in the documentation.
    #[must_use]
    pub fn new(tag: &'static str) -> Self {
        Self { router: OpenApiRouter::default(), tag }
    }

    /// Routes for everybody.
    #[must_use]
    pub fn public(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Public, routes)
    }

    /// Routes for whoever is logged in with a password.
    #[must_use]
    pub fn login(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Login, routes)
    }

    /// Routes for everybody who is known. The handler looks at whose channel it is: [`Identity::may_see`],
    /// [`Identity::may_steer`].
    #[must_use]
    pub fn person(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Person, routes)
    }

    #[must_use]
    pub fn viewer(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Role(Role::Viewer), routes)
    }

    #[must_use]
    pub fn operator(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Role(Role::Operator), routes)
    }

    #[must_use]
    pub fn administrator(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Role(Role::Administrator), routes)
    }

    fn add(mut self, access: Access, mut routes: UtoipaMethodRouter<App>) -> Self {
        for (path, item) in &mut routes.1.paths {
            for operation in operations_mut(item) {
                describe(operation, access, self.tag);
                // The functions' names are unique within an area only.
                operation.operation_id =
                    operation.operation_id.take().map(|name| format!("{}_{name}", self.tag));
                problems::complete(operation, access, path);
            }
        }
        let guarded = routes.layer(from_fn(move |request: Request, next: Next| guard(access, request, next)));
        self.router = self.router.routes(guarded);
        self
    }

    /// All routes and their description.
    #[must_use]
    pub fn into_router(self) -> OpenApiRouter<App> {
        self.router
    }
}

fn describe(operation: &mut Operation, access: Access, tag: &str) {
    operation.tags = Some(vec![tag.to_owned()]);
    let words = access.words();
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{words}"),
        _ => words.to_owned(),
    });
    let none: [String; 0] = [];
    operation.security = Some(match access {
        Access::Public => Vec::new(),
        Access::Login => vec![SecurityRequirement::new("login", none)],
        Access::Person | Access::Role(_) => {
            vec![SecurityRequirement::new("login", none.clone()), SecurityRequirement::new("token", none)]
        }
    });
    operation
        .extensions
        .get_or_insert_default()
        .insert(EXTENSION.to_owned(), serde_json::Value::from(access.name()));
}

/// The operations of a path.
pub(crate) fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Lets the request through to its handler, with the [`Identity`] of who makes it, or answers why not.
async fn guard(access: Access, request: Request, next: Next) -> Response {
    if access == Access::Public {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match admit(access, &parts).await {
        Ok(identity) => {
            parts.extensions.insert(identity);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

async fn admit(access: Access, parts: &Parts) -> Result<Identity, Error> {
    let app = parts
        .extensions
        .get::<App>()
        .cloned()
        .ok_or_else(|| Error::Internal("a route without the server's state".to_owned()))?;
    let identity = identity::identify(&app, parts).await?;
    let safe = parts.method.is_safe();
    let enough = match access {
        Access::Public => true,
        Access::Login => identity.is_login(),
        Access::Person => identity.scope_allows(safe),
        Access::Role(role) => identity.has(role),
    };
    if enough { Ok(identity) } else { Err(refusal(access, &identity)) }
}

fn refusal(access: Access, identity: &Identity) -> Error {
    Error::forbidden(match access {
        Access::Login => "log in with your password to do this; a token is not enough".to_owned(),
        Access::Role(role) if identity.role >= role => {
            format!("this token's scope is too small; it takes one for {}s", role.name())
        }
        Access::Role(role) => {
            format!("this takes the role {}, yours is {}", role.name(), identity.role.name())
        }
        Access::Person | Access::Public => "this token's scope is too small".to_owned(),
    })
}
