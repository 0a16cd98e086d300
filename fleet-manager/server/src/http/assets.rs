//! The dashboard's files.

use axum::extract::Request;

use crate::error::Error;

pub(super) async fn serve(request: Request) -> Error {
    Error::not_found("path", request.uri().path())
}
