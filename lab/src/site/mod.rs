//! The watch site's API (`/site/v1`), as a browser uses it: with a cookie, a CSRF token and an address of its own.

pub mod people;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nodi_protocol::ChannelId;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::error::Error;
use crate::fleet::api;
pub use people::{Login, Logins};

/// An answer that takes longer than this is none.
const DEADLINE: Duration = Duration::from_secs(20);
const COOKIE: &str = "nodi_site";

/// Somebody at the site, signed in or not.
#[derive(Debug, Clone)]
pub struct Visitor {
    http: reqwest::Client,
    /// `http://host:port`.
    base: String,
    cookie: Option<String>,
    csrf: Option<String>,
    account: Option<String>,
}

impl Visitor {
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base: &str) -> Result<Self, Error> {
        Self::from(base, Ipv4Addr::LOCALHOST)
    }

    /// From another of this machine's loopback addresses: to the site, another person's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from(base: &str, address: Ipv4Addr) -> Result<Self, Error> {
        let base = base.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .local_address(IpAddr::V4(address))
            .build()
            .map_err(|source| Error::Http { url: base.clone(), source })?;
        Ok(Self { http, base, cookie: None, csrf: None, account: None })
    }

    /// The id of the account that is signed in.
    ///
    /// # Errors
    /// When none is.
    pub fn account(&self) -> Result<&str, Error> {
        self.account.as_deref().ok_or_else(|| Error::Media(format!("nobody is signed in at {}", self.base)))
    }

    /// The session's cookie as a header, for what is asked past this client.
    #[must_use]
    pub fn cookie(&self) -> Option<String> {
        self.cookie.as_ref().map(|cookie| format!("{COOKIE}={cookie}"))
    }

    /// Makes the account and is signed in with it.
    ///
    /// # Errors
    /// When the site refuses ([`Error::Refused`]) or does not answer.
    pub async fn sign_up(&mut self, login: &Login) -> Result<(), Error> {
        self.enter("/accounts", login).await
    }

    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn sign_in(&mut self, login: &Login) -> Result<(), Error> {
        self.enter("/session", login).await
    }

    async fn enter(&mut self, path: &str, login: &Login) -> Result<(), Error> {
        let session = self.post(path, json!({ "name": login.name, "password": login.password })).await?;
        self.csrf = Some(api::text(&session, "csrf")?);
        self.account = Some(api::text(session.get("account").unwrap_or(&Value::Null), "id")?);
        Ok(())
    }

    /// What lets the account speak in the channel's chat.
    ///
    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn chat_token(&mut self, channel: &ChannelId) -> Result<String, Error> {
        let made = self.post(&format!("/channels/{channel}/chat-token"), json!({})).await?;
        api::text(&made, "token")
    }

    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn get(&mut self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None).await
    }

    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn post(&mut self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn put(&mut self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn patch(&mut self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn delete(&mut self, path: &str) -> Result<Value, Error> {
        self.call(Method::DELETE, path, None).await
    }

    /// An answer without a body is `null`.
    async fn call(&mut self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Error> {
        let url = format!("{}/site/v1{path}", self.base);
        let mut request = self.http.request(method, &url);
        if let Some(cookie) = self.cookie() {
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|source| Error::Http { url: url.clone(), source })?;
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
        let set = cookies
            .filter_map(|value| value.to_str().ok()?.split(';').next()?.split_once('='))
            .find(|(name, _)| *name == COOKIE);
        if let Some((_, value)) = set {
            self.cookie = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        api::read(&url, answer).await
    }

    /// The bytes of something that is not JSON, such as a picture, and its type. `path` begins with a slash.
    ///
    /// # Errors
    /// As [`Self::sign_up`].
    pub async fn bytes(&self, path: &str) -> Result<(String, Vec<u8>), Error> {
        let url = format!("{}{path}", self.base);
        let http = |source| Error::Http { url: url.clone(), source };
        let answer = self.http.get(&url).send().await.map_err(http)?;
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let (kind, status) = (kind.unwrap_or_default().to_owned(), answer.status());
        let bytes = answer.bytes().await.map_err(http)?.to_vec();
        if status.is_success() { Ok((kind, bytes)) } else { Err(api::refused(&url, status, &bytes)) }
    }
}
