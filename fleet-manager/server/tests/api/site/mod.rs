//! The watch site's API, as a browser uses it.

mod accounts;
mod channels;
mod chat;
mod description;
mod emotes;
mod limits;
mod separation;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Fleet, PASSWORD, cookie_of};

/// Somebody at the site.
#[derive(Clone)]
pub(crate) struct Visitor {
    nobody: crate::support::User,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: Option<String>,
    /// What a proxy says where they are.
    pub(crate) address: Option<String>,
}

impl Visitor {
    pub(crate) fn new(fleet: &Fleet) -> Self {
        Self { nobody: fleet.nobody(), cookie: None, csrf: None, address: None }
    }

    pub(crate) fn from(fleet: &Fleet, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..Self::new(fleet) }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = if path.starts_with("/site/") || path.starts_with("/api/") { "" } else { "/site/v1" };
        let mut request = self.nobody.plain(method, &format!("{base}{path}"));
        for (name, value) in
            [("cookie", &self.cookie), ("x-csrf-token", &self.csrf), ("x-forwarded-for", &self.address)]
        {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn ok(&self, method: Method, path: &str, body: &Value) -> Value {
        ok(self.send(method, path, body).await).await
    }

    pub(crate) async fn get_ok(&self, path: &str) -> Value {
        ok(self.get(path).await).await
    }

    /// Remembers the session of an answer, which is returned.
    async fn enter(&mut self, path: &str, name: &str, password: &str) -> Value {
        let answer = self.post(path, &json!({ "name": name, "password": password })).await;
        self.cookie = cookie_of(&answer);
        let session = ok(answer).await;
        self.csrf = session["csrf"].as_str().map(str::to_owned);
        session["account"].clone()
    }

    pub(crate) async fn sign_up(&mut self, name: &str) -> Value {
        self.enter("/accounts", name, PASSWORD).await
    }

    pub(crate) async fn sign_in(&mut self, name: &str) -> Value {
        self.enter("/session", name, PASSWORD).await
    }
}

/// Somebody new, signed in.
pub(crate) async fn member(fleet: &Fleet, name: &str) -> Visitor {
    let mut visitor = Visitor::new(fleet);
    visitor.sign_up(name).await;
    visitor
}

/// Somebody new with a channel of their own.
pub(crate) async fn streamer(fleet: &Fleet, name: &str) -> Visitor {
    let visitor = member(fleet, name).await;
    visitor.ok(Method::POST, "/channels", &json!({})).await;
    visitor
}

pub(crate) async fn ok(answer: Response) -> Value {
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{url}: {status} {text}");
    if status == StatusCode::NO_CONTENT { Value::Null } else { serde_json::from_str(&text).unwrap() }
}
