//! What handlers take from a request. Each refusal is a problem, in our words.

use std::time::Duration;

use axum::RequestPartsExt as _;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::state::App;

/// A JSON body, in and out.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self, Error> {
        if !is_json(&request) {
            return Err(Error::MediaType("send the body as application/json".to_owned()));
        }
        let limit = app.config.http.max_body;
        let seconds = app.config.http.body_timeout_s;
        let read = Bytes::from_request(request, app);
        let body = match tokio::time::timeout(Duration::from_secs(seconds), read).await {
            Ok(Ok(body)) => body,
            Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
                return Err(Error::TooLarge(format!("the body is longer than {limit} bytes")));
            }
            Ok(Err(error)) => return Err(Error::Malformed(format!("the body broke off: {error}"))),
            Err(_) => return Err(Error::Timeout(format!("the body was not there within {seconds} s"))),
        };
        let mut deserializer = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if inner.is_data() {
                let field = if path == "." { "body".to_owned() } else { path };
                Error::invalid(field, without_position(&inner.to_string()))
            } else {
                Error::Malformed(format!("the body is not JSON: {inner}"))
            }
        })?;
        deserializer.end().map_err(|error| Error::Malformed(format!("the body is not JSON: {error}")))?;
        Ok(Self(value))
    }
}

/// serde's text without the line and column, which mean nothing to somebody who filled in a form.
fn without_position(text: &str) -> &str {
    text.split_once(" at line ").map_or(text, |(words, _)| words)
}

fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let media = value.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Error::Row(error).into_response(),
        }
    }
}

/// The query string. Two of them may be taken by one handler, such as [`super::list::Paging`] and its filters.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map_err(|error| Error::Malformed(format!("query: {}", rejected(&error.body_text()))))?;
        Ok(Self(query.0))
    }
}

/// The variable parts of the path, in order.
#[derive(Debug, Clone)]
pub struct At<T>(pub T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let path = parts
            .extract::<axum::extract::Path<T>>()
            .await
            .map_err(|error| Error::Malformed(format!("path: {}", rejected(&error.body_text()))))?;
        Ok(Self(path.0))
    }
}

/// The part of axum's text that says something to a caller.
fn rejected(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, words)| words)
}
