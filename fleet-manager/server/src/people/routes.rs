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
        .administrator(routes!(person_routes::list_people, person_routes::create_person))
        .administrator(routes!(
            person_routes::show_person,
            person_routes::change_person,
            person_routes::delete_person
        ))
        .person(routes!(token_routes::list_tokens, token_routes::create_token))
        .person(routes!(token_routes::revoke_token))
}
