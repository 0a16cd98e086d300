//! The fleet server's REST API, as a program with a token uses it.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::error::Error;

/// An answer that takes longer than this is none.
const DEADLINE: Duration = Duration::from_secs(20);

/// A client with an API token.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    /// `http://host:port`.
    base: String,
    token: String,
}

impl Api {
    /// With a token that is known already.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base: &str, token: &str) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .map_err(|source| Error::Http { url: base.to_owned(), source })?;
        Ok(Self { http, base: base.to_owned(), token: token.to_owned() })
    }

    /// Logs in as a browser would, and makes a token that may do everything.
    ///
    /// # Errors
    /// When the server does not answer, or does not like the password.
    pub async fn log_in(base: &str, name: &str, password: &str) -> Result<Self, Error> {
        let mut api = Self::new(base, "")?;
        let url = format!("{base}/api/v1/login");
        let http = |source| Error::Http { url: url.clone(), source };
        let credentials = json!({ "name": name, "password": password });
        let answer = api.http.post(&url).json(&credentials).send().await.map_err(http)?;
        let cookie: Vec<String> = answer
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned))
            .collect();
        let person = read(&url, answer).await?;
        let csrf = text(&person, "csrf_token")?;
        let url = format!("{base}/api/v1/tokens");
        let answer = api
            .http
            .post(&url)
            .header(header::COOKIE, cookie.join("; "))
            .header("x-csrf-token", csrf)
            .json(&json!({ "name": "lab", "scopes": ["read", "operate", "administer"] }))
            .send()
            .await
            .map_err(|source| Error::Http { url: url.clone(), source })?;
        let made = read(&url, answer).await?;
        api.token = text(&made, "token")?;
        Ok(api)
    }

    /// `nodi_pat_…`
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// # Errors
    /// When the server does not answer with success; [`Error::Refused`] has its status and what it said.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None).await
    }

    /// # Errors
    /// As [`Self::get`].
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// # Errors
    /// As [`Self::get`].
    pub async fn put(&self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// # Errors
    /// As [`Self::get`].
    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// # Errors
    /// As [`Self::get`].
    pub async fn delete(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::DELETE, path, None).await
    }

    /// `path` is below `/api/v1`. An answer without a body is `null`.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Error> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut request = self.http.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|source| Error::Http { url: url.clone(), source })?;
        read(&url, answer).await
    }

    /// The body of an answer that is not JSON, such as a file.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, Error> {
        let url = format!("{}/api/v1{path}", self.base);
        let http = |source| Error::Http { url: url.clone(), source };
        let answer = self.http.get(&url).bearer_auth(&self.token).send().await.map_err(http)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(http)?.to_vec();
        if status.is_success() { Ok(bytes) } else { Err(refused(&url, status, &bytes)) }
    }
}

pub(crate) async fn read(url: &str, answer: reqwest::Response) -> Result<Value, Error> {
    let http = |source| Error::Http { url: url.to_owned(), source };
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(http)?;
    if !status.is_success() {
        return Err(refused(url, status, &bytes));
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Media(format!("{url}: {error} in {}", String::from_utf8_lossy(&bytes))))
}

pub(crate) fn refused(url: &str, status: StatusCode, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body).into_owned();
    Error::Refused { url: url.to_owned(), status: status.as_u16(), text }
}

/// A text of an answer.
pub(crate) fn text(answer: &Value, key: &str) -> Result<String, Error> {
    answer[key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::Media(format!("no {key} in what the fleet server answered: {answer}")))
}
