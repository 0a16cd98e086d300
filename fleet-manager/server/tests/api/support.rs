//! A fleet server in this process on a free port, with a clock that stands still, and clients of it.

use std::sync::Arc;
use std::time::Duration;

use nodi_daemon::shutdown::{self, Trigger};
use nodi_fleet::clock::{Clock, Manual};
use nodi_fleet::config::Config;
use nodi_fleet::maintenance;
use nodi_fleet::server::Server;
use nodi_fleet::state::App;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const ADMIN: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse battery";
/// 2026-01-01.
pub(crate) const START_MS: i64 = 1_767_225_600_000;
/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fleet {
    pub(crate) url: String,
    pub(crate) https: Option<std::net::SocketAddr>,
    /// Where the watch site's API is served alone.
    pub(crate) site: Option<std::net::SocketAddr>,
    pub(crate) app: App,
    pub(crate) clock: Arc<Manual>,
    pub(crate) dir: TempDir,
    http: reqwest::Client,
    trigger: Trigger,
    running: tokio::task::JoinHandle<Result<(), String>>,
}

pub(crate) fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(crate) fn config(dir: &TempDir) -> Config {
    let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
    config.http.listen = Some(([127, 0, 0, 1], 0).into());
    config
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(START_MS, change).await
    }

    pub(crate) async fn at(start_ms: i64, change: impl FnOnce(&mut Config)) -> Self {
        provider();
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir);
        change(&mut config);
        let clock = Manual::new(start_ms);
        let system = Clock::Manual(Arc::clone(&clock));
        maintenance::init(config.clone(), system.clone(), ADMIN.into(), PASSWORD.into()).await.unwrap();
        let (trigger, shutdown) = shutdown::manual();
        let server = Server::start(config, system, shutdown).await.unwrap();
        let url = format!("http://{}", server.http.unwrap());
        let (app, https, site) = (server.app.clone(), server.https, server.site);
        let running = tokio::spawn(server.run());
        Self { url, https, site, app, clock, dir, http: reqwest::Client::new(), trigger, running }
    }

    pub(crate) async fn stop(self) {
        self.trigger.stop();
        let ended = tokio::time::timeout(PATIENCE, self.running).await.expect("the server stops");
        assert_eq!(ended.unwrap(), Ok(()));
    }

    /// Somebody who is not logged in.
    pub(crate) fn nobody(&self) -> User {
        User { http: self.http.clone(), url: self.url.clone(), as_whom: As::Nobody }
    }

    pub(crate) async fn admin(&self) -> User {
        self.login(ADMIN, PASSWORD).await
    }

    pub(crate) async fn login(&self, name: &str, password: &str) -> User {
        let answer = self.nobody().post("/login", &json!({"name": name, "password": password})).await;
        assert_eq!(answer.status(), StatusCode::OK, "log in as {name}");
        let cookie = cookie_of(&answer).expect("a cookie");
        let me: Value = answer.json().await.unwrap();
        let csrf = me["csrf_token"].as_str().unwrap().to_owned();
        User { as_whom: As::Browser { cookie, csrf }, ..self.nobody() }
    }

    /// Through a proxy that says where the browser is; `None` when it has to wait.
    pub(crate) async fn login_from(&self, name: &str, password: &str, address: &str) -> Option<User> {
        let request = self.nobody().request(Method::POST, "/login").header("x-forwarded-for", address);
        let answer = request.json(&json!({"name": name, "password": password})).send().await.unwrap();
        let cookie = cookie_of(&answer)?;
        let me: Value = answer.json().await.unwrap();
        let csrf = me["csrf_token"].as_str().unwrap().to_owned();
        Some(User { as_whom: As::Browser { cookie, csrf }, ..self.nobody() })
    }

    /// A new person, logged in; also their id.
    pub(crate) async fn person(&self, admin: &User, name: &str, role: &str) -> (User, String) {
        let body = json!({"name": name, "password": PASSWORD, "role": role});
        let person = admin.post_ok("/people", &body).await;
        (self.login(name, PASSWORD).await, person["id"].as_str().unwrap().to_owned())
    }

    /// The audit log's newest entries, newest first.
    pub(crate) async fn audit(&self, admin: &User) -> Vec<Value> {
        let page = admin.get_ok("/audit?per_page=500").await;
        page["items"].as_array().unwrap().clone()
    }
}

/// Name and value of the session cookie that an answer sets.
pub(crate) fn cookie_of(answer: &Response) -> Option<String> {
    let header = answer.headers().get("set-cookie")?.to_str().unwrap();
    Some(header.split(';').next().unwrap().to_owned())
}

#[derive(Clone)]
pub(crate) enum As {
    Nobody,
    Browser { cookie: String, csrf: String },
    Program { token: String },
}

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) as_whom: As,
}

impl User {
    pub(crate) fn program(&self, token: &str) -> Self {
        Self { as_whom: As::Program { token: token.to_owned() }, ..self.clone() }
    }

    /// A request as this user; with CSRF token, as the page sends it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let api = if path.starts_with("/api/") { "" } else { "/api/v1" };
        let request = self.http.request(method, format!("{}{api}{path}", self.url)).timeout(PATIENCE);
        match &self.as_whom {
            As::Nobody => request,
            As::Browser { cookie, csrf } => request.header("cookie", cookie).header("x-csrf-token", csrf),
            As::Program { token } => request.bearer_auth(token),
        }
    }

    /// Of the server, not below the API.
    pub(crate) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).timeout(PATIENCE)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PATCH, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    pub(crate) async fn get_ok(&self, path: &str) -> Value {
        ok(self.get(path).await).await
    }

    pub(crate) async fn post_ok(&self, path: &str, body: &Value) -> Value {
        ok(self.post(path, body).await).await
    }

    pub(crate) async fn patch_ok(&self, path: &str, body: &Value) -> Value {
        ok(self.patch(path, body).await).await
    }
}

async fn ok(answer: Response) -> Value {
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{url}: {status} {text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

/// The problem of a refusal, which has to have this status.
pub(crate) async fn problem(answer: Response, status: u16) -> Value {
    let url = answer.url().clone();
    let found = answer.status();
    let kind = answer.headers().get("content-type").cloned();
    let text = answer.text().await.unwrap();
    assert_eq!(found.as_u16(), status, "{url}: {text}");
    assert_eq!(kind.unwrap(), "application/problem+json", "{url}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    problem
}
