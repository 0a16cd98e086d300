//! The answers that every operation can give, added to its description: nobody has to write them down by hand.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};

use super::access::Access;
use crate::error::PROBLEM_JSON;

/// Adds the problems that follow from what the operation takes and who may call it. What the operation declares
/// itself stays.
pub(super) fn complete(operation: &mut Operation, access: Access, path: &str) {
    let known = "Not logged in, or the token is not valid.";
    let allowed = "Not allowed for this role or token, or the CSRF token is missing.";
    add_all(operation, (access != Access::Public).then_some((known, allowed)), path);
}

/// The same for an operation of the watch site's API; `member`: for who is signed in.
pub(crate) fn complete_site(operation: &mut Operation, member: bool, path: &str) {
    let allowed = "Not allowed, the CSRF token is missing, or the request comes from a page of another site.";
    add_all(operation, member.then_some(("Not signed in.", allowed)), path);
    let too_many = "Too many requests from this address: `Retry-After` says when.";
    for (status, words) in [("403", allowed), ("429", too_many)] {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(words)));
    }
}

fn add_all(operation: &mut Operation, guarded: Option<(&str, &str)>, path: &str) {
    let has_body = operation.request_body.is_some();
    let has_query = operation.parameters.iter().flatten().any(
        |parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query),
    );
    let mut add = |status: &str, words: &str| {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(words)));
    };
    if has_body || has_query || path.contains('{') {
        add("400", "The request cannot be read.");
    }
    if let Some((known, allowed)) = guarded {
        add("401", known);
        add("403", allowed);
    }
    if path.contains('{') {
        add("404", "There is no such thing.");
    }
    if has_body {
        add("408", "The body did not come in time.");
        add("413", "The body is too long.");
        add("415", "The body is not JSON.");
        add("422", "A value in the body is not possible; `field` names it.");
    }
    add("500", "Something failed on the server.");
    add("503", "Not now: the disk is full, or the server stops or is overloaded.");
    // A module that declares a problem of its own need not spell out its form.
    for (status, response) in &mut operation.responses.responses {
        let is_problem = status.starts_with('4') || status.starts_with('5');
        if let RefOr::T(response) = response
            && is_problem
            && response.content.is_empty()
        {
            *response = problem(&response.description.clone());
        }
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build())
        .build()
}
