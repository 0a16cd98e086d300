//! Who may call what of the site's API. As below `/api/v1`, a route can be added in a way only that says so, and guard
//! and description come from the same word.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::sessions::{self, Account};
use crate::error::Error;
use crate::http::access::{EXTENSION, operations_mut};
use crate::http::client::Client;
use crate::http::identity::CSRF_HEADER;
use crate::http::problems;
use crate::state::App;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everybody; who it is does not matter and is not looked up.
    Public,
    /// Everybody; it matters who is signed in, if somebody is.
    Visitor,
    /// Whoever is signed in. Whether a channel is theirs is for the handler to see.
    Member,
}

impl Access {
    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Visitor => "visitor",
            Self::Member => "member",
        }
    }
}

/// The routes of one area, below `/site/v1`.
pub(super) struct Site {
    router: OpenApiRouter<App>,
    tag: &'static str,
}

impl Site {
    pub(super) fn new(tag: &'static str) -> Self {
        Self { router: OpenApiRouter::default(), tag }
    }

    pub(super) fn public(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Public, routes)
    }

    /// The handler takes a [`Visitor`].
    pub(super) fn visitor(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Visitor, routes)
    }

    /// The handler takes an [`Account`].
    pub(super) fn member(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.add(Access::Member, routes)
    }

    fn add(mut self, access: Access, mut routes: UtoipaMethodRouter<App>) -> Self {
        for (path, item) in &mut routes.1.paths {
            for operation in operations_mut(item) {
                operation.tags = Some(vec![self.tag.to_owned()]);
                operation.operation_id =
                    operation.operation_id.take().map(|name| format!("{}_{name}", self.tag));
                operation.security = Some(match access {
                    Access::Public => Vec::new(),
                    Access::Visitor => vec![
                        SecurityRequirement::default(),
                        SecurityRequirement::new("session", [] as [String; 0]),
                    ],
                    Access::Member => vec![SecurityRequirement::new("session", [] as [String; 0])],
                });
                operation
                    .extensions
                    .get_or_insert_default()
                    .insert(EXTENSION.to_owned(), serde_json::Value::from(access.name()));
                problems::complete_site(operation, access == Access::Member, path);
            }
        }
        let guarded = routes.layer(from_fn(move |request: Request, next: Next| guard(access, request, next)));
        self.router = self.router.routes(guarded);
        self
    }

    pub(super) fn into_router(self) -> OpenApiRouter<App> {
        self.router
    }
}

/// Lets the request through to its handler, with who makes it, or answers why not.
async fn guard(access: Access, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(access, &mut parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}

async fn admit(access: Access, parts: &mut Parts) -> Result<(), Error> {
    let missing = || Error::Internal("a route without the server's state".to_owned());
    let app = parts.extensions.get::<App>().cloned().ok_or_else(missing)?;
    let client = parts.extensions.get::<Client>().copied().ok_or_else(missing)?;
    app.site
        .limits
        .request(&app.config.site, client.address, app.now_ms(), parts.method.is_safe())
        .inspect_err(|_| {
            app.site.counts.throttled.inc();
        })?;
    own_pages_only(&parts.method, &parts.headers)?;
    if access == Access::Public {
        return Ok(());
    }
    let account = sessions::identify(&app, &parts.headers, client).await?;
    if let Some(account) = &account
        && !parts.method.is_safe()
    {
        let sent = parts.headers.get(CSRF_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
        if !bool::from(sent.ct_eq(account.csrf.as_bytes())) {
            return Err(Error::forbidden("the X-CSRF-Token header is missing or is not this session's"));
        }
    }
    match (access, account) {
        (Access::Member, None) => Err(Error::Unauthenticated("sign in first".to_owned())),
        (_, account) => {
            if let Some(account) = &account {
                parts.extensions.insert(account.clone());
            }
            parts.extensions.insert(Visitor(account));
            Ok(())
        }
    }
}

/// What a browser says comes from another site must not change anything, whatever cookie it carries. This is what guards
/// signing in and signing up, where there is no token yet.
fn own_pages_only(method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if method.is_safe() || matches!(site, None | Some("same-origin" | "none")) {
        return Ok(());
    }
    Err(Error::forbidden("this request comes from a page of another site"))
}

impl<S: Send + Sync> FromRequestParts<S> for Account {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let account = parts.extensions.get::<Self>().cloned();
        account.ok_or_else(|| Error::Unauthenticated("sign in first".to_owned()))
    }
}

/// Who asks, if they are signed in.
#[derive(Debug, Clone)]
pub(super) struct Visitor(pub(super) Option<Account>);

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Error::Internal("a route without its guard".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let from = |site: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            headers
        };
        for good in [None, Some("same-origin"), Some("none")] {
            assert!(own_pages_only(&Method::POST, &from(good)).is_ok(), "{good:?}");
        }
        for bad in ["cross-site", "same-site", "nonsense"] {
            assert!(own_pages_only(&Method::POST, &from(Some(bad))).is_err(), "{bad}");
            assert!(own_pages_only(&Method::GET, &from(Some(bad))).is_ok(), "{bad}");
        }
    }
}
