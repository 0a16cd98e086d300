//! Who makes a request: a browser with a session cookie and, for what changes something, its CSRF token; or a program
//! with an API token.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::client::Client;
use crate::audit::{Actor, ActorKind};
use crate::error::Error;
use crate::people::{MEMBERS, Role, Scope, logins, tokens};
use crate::state::App;

/// The session cookie.
pub const COOKIE: &str = "nodi_session";
/// Carries the CSRF token of the session.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Who makes the request. A handler that takes it can be reached through a guard only.
#[derive(Debug, Clone)]
pub struct Identity {
    pub person_id: String,
    pub name: String,
    pub role: Role,
    pub via: Via,
    pub client: Client,
}

#[derive(Debug, Clone)]
pub enum Via {
    Login {
        /// SHA-256 of the cookie.
        digest: [u8; 32],
    },
    Token {
        id: String,
        name: String,
        scope: Scope,
    },
}

impl Identity {
    /// Whether role and scope reach `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.role >= role
            && match &self.via {
                Via::Login { .. } => true,
                Via::Token { scope, .. } => scope.reaches(role),
            }
    }

    #[must_use]
    pub fn is_login(&self) -> bool {
        matches!(self.via, Via::Login { .. })
    }

    /// Whether a token's scope allows to look, or with `safe` false to change, what the person may.
    #[must_use]
    pub fn scope_allows(&self, safe: bool) -> bool {
        match &self.via {
            Via::Login { .. } => true,
            Via::Token { scope, .. } => safe || *scope >= Scope::Operate,
        }
    }

    /// Whether the person may see a channel of this owner.
    #[must_use]
    pub fn may_see(&self, owner: Option<&str>) -> bool {
        self.role >= Role::Viewer || owner == Some(self.person_id.as_str())
    }

    /// Whether the person may steer a channel of this owner: its keys and its stream.
    #[must_use]
    pub fn may_steer(&self, owner: Option<&str>) -> bool {
        self.scope_allows(false) && (self.role >= Role::Operator || owner == Some(self.person_id.as_str()))
    }

    /// `Some(person)` when only channels of this person may be shown.
    #[must_use]
    pub fn only_channels_of(&self) -> Option<&str> {
        (self.role < Role::Viewer).then_some(self.person_id.as_str())
    }

    /// For the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let (kind, name) = match &self.via {
            Via::Login { .. } => (ActorKind::Person, self.name.clone()),
            Via::Token { name, .. } => (ActorKind::Token, format!("{} ({name})", self.name)),
        };
        Actor { kind, id: Some(self.person_id.clone()), name, address: Some(self.client.address) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Error::Unauthenticated("log in first".to_owned()))
    }
}

/// Finds out who makes the request. Members are known, and have no right here.
pub(super) async fn identify(app: &App, parts: &Parts) -> Result<Identity, Error> {
    let identity = known(app, parts).await?;
    if identity.role == Role::Member {
        return Err(Error::forbidden(MEMBERS));
    }
    Ok(identity)
}

async fn known(app: &App, parts: &Parts) -> Result<Identity, Error> {
    let client = *parts
        .extensions
        .get::<Client>()
        .ok_or_else(|| Error::Internal("a request without its client".to_owned()))?;
    let headers = &parts.headers;
    // A program says who it is; the cookie that a browser adds by itself does not count then.
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer).unwrap_or_default();
        return tokens::identify(app, token, client).await;
    }
    let cookie = cookie(headers, COOKIE).ok_or_else(|| Error::Unauthenticated("log in first".to_owned()))?;
    let (identity, csrf) = logins::identify(app, cookie, client).await?;
    if !parts.method.is_safe() {
        let sent = headers.get(CSRF_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
        if !bool::from(sent.ct_eq(csrf.as_bytes())) {
            return Err(Error::forbidden("the X-CSRF-Token header is missing or is not this session's"));
        }
    }
    Ok(identity)
}

/// The token of an `Authorization: Bearer` value (RFC 6750 2.1); the scheme's name is in any case.
#[must_use]
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A cookie's value.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}
