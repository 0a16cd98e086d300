//! The people's part of the API.

use utoipa_axum::routes;

use super::{login_routes, person_routes, token_routes};
use crate::http::access::Api;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("people")
        .public(routes!(login_routes::login))
        .login(routes!(login_routes::logout))
        .person(routes!(login_routes::me))
        .login(routes!(login_routes::change_password))
        .login(routes!(login_routes::logins))
        .login(routes!(login_routes::end_login))
        .administrator(routes!(person_routes::list, person_routes::create))
        .administrator(routes!(person_routes::show, person_routes::change, person_routes::delete))
        .person(routes!(token_routes::list, token_routes::create))
        .person(routes!(token_routes::revoke))
}
