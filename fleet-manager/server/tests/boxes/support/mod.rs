//! A fleet of its own for each test, on free ports and in a directory of its own.

mod robot;
mod updater;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodi_protocol::fleet::topic::BoxTopic;
use nodi_protocol::fleet::update::Order;
pub(crate) use robot::{Identity, Robot, command_id, presence, session_id};
use serde_json::{Value, json};
use tempfile::TempDir;
pub(crate) use updater::{Outcome, Updater, report};

/// Nothing that is waited for takes as long, also on a machine that does much else.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const PASSWORD: &str = "a password for tests";
/// What bundles for robots say as `compatible`.
pub(crate) const BOARD: &str = "nodi-robot";
/// A real one, whose manifest cannot be read: the uploader says what it is.
const BUNDLE: &[u8] = include_bytes!("../../fixtures/bundles/plain.raucb");

/// Waits until `what` is there.
pub(crate) async fn wait<T>(name: &str, mut what: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = what().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {name}");
        tokio::time::sleep(POLL).await;
    }
}

/// Fleet server and broker.
pub(crate) struct Fleet {
    pub(crate) dir: TempDir,
    pub(crate) http_port: u16,
    pub(crate) broker_port: u16,
    server: Option<Child>,
    broker: Option<Child>,
    http: reqwest::Client,
    token: String,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// `extra` goes to the end of the configuration.
    pub(crate) async fn with(extra: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let (http_port, broker_port) = (free_port(), free_port());
        let config = format!(
            r#"
log_level = "debug"
data_dir = "{dir}/data"
public_url = "http://127.0.0.1:{http_port}"
[http]
listen = "127.0.0.1:{http_port}"
[broker]
host = "localhost"
port = {broker_port}
revocation_lists = ["{dir}/broker/crl.pem"]
reload = ["/bin/sh", "-c", "kill -HUP $(cat {dir}/broker/data/mosquitto.pid)"]
{extra}
"#,
            dir = dir.path().display()
        );
        std::fs::write(dir.path().join("fleet.toml"), config).unwrap();
        let mut fleet = Self {
            dir,
            http_port,
            broker_port,
            server: None,
            broker: None,
            http: reqwest::Client::new(),
            token: String::new(),
        };
        let password = fleet.dir.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        fleet.run(&["init", "--admin", "admin", "--password-file", password.to_str().unwrap()]);
        let broker = fleet.dir.path().join("broker");
        let listen = format!("127.0.0.1:{broker_port}");
        fleet.run(&["broker-config", "--directory", broker.to_str().unwrap(), "--listen", &listen]);
        fleet.start_broker();
        fleet.start_server();
        fleet.log_in().await;
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a subcommand to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_nodi-fleet"))
            .arg("--config")
            .arg(self.path("fleet.toml"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn start_server(&mut self) {
        assert!(self.server.is_none());
        let child = Command::new(env!("CARGO_BIN_EXE_nodi-fleet"))
            .arg("--config")
            .arg(self.path("fleet.toml"))
            .stderr(log(&self.path("server.log")))
            .spawn();
        self.server = Some(child.unwrap());
    }

    pub(crate) fn kill_server(&mut self) {
        kill(self.server.take());
    }

    /// With SIGTERM.
    pub(crate) async fn stop_server(&mut self) {
        let mut child = self.server.take().unwrap();
        terminate(&child);
        wait("the server stops", async || child.try_wait().unwrap()).await;
    }

    pub(crate) fn start_broker(&mut self) {
        assert!(self.broker.is_none());
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.path("broker/mosquitto.conf"))
            .stderr(log(&self.path("broker.log")))
            .spawn();
        self.broker = Some(child.unwrap());
    }

    pub(crate) fn kill_broker(&mut self) {
        kill(self.broker.take());
    }

    /// With SIGTERM: it writes down what it holds.
    pub(crate) async fn stop_broker(&mut self) {
        let mut child = self.broker.take().unwrap();
        terminate(&child);
        wait("the broker stops", async || child.try_wait().unwrap()).await;
    }

    pub(crate) fn ca_pem(&self) -> String {
        std::fs::read_to_string(self.path("data/ca/ca.pem")).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/api/v1{path}", self.http_port)
    }

    pub(crate) async fn server_is_up(&self) {
        let health = format!("http://127.0.0.1:{}/healthz", self.http_port);
        wait("the server answers", async || {
            let answer = self.http.get(&health).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    async fn log_in(&mut self) {
        self.server_is_up().await;
        let body = json!({ "name": "admin", "password": PASSWORD });
        let answer = self.http.post(self.url("/login")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let csrf = answer.json::<Value>().await.unwrap()["csrf_token"].as_str().unwrap().to_owned();
        let body = json!({ "name": "tests", "scopes": ["administer"] });
        let answer = self
            .http
            .post(self.url("/tokens"))
            .header("cookie", cookie)
            .header("x-csrf-token", csrf)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        self.token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    }

    /// A request as an administrator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method: reqwest::Method = method.parse().unwrap();
        let mut request = self.http.request(method, self.url(path)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    /// A request without any proof of who asks.
    pub(crate) async fn ask_as_stranger(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method: reqwest::Method = method.parse().unwrap();
        let answer = self.http.request(method, self.url(path)).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A box with its certificate, by a claim code.
    pub(crate) async fn enrolled(&self) -> Identity {
        let code = self.post("/claim-codes", json!({})).await["code"].as_str().unwrap().to_owned();
        let mut identity = Identity::new();
        let (status, answer) =
            self.ask_as_stranger("POST", "/enrolments", identity.request(Some(&code))).await;
        assert_eq!(status, 200, "{answer}");
        identity.take(&answer);
        identity
    }

    /// A bundle for robots; its id.
    pub(crate) async fn bundle(&self, version: &str) -> String {
        let mut bytes = BUNDLE.to_vec();
        // Other bytes for each version; the signature is the box's business.
        bytes[100..100 + version.len()].copy_from_slice(version.as_bytes());
        let url = self.url(&format!("/bundles?version={version}&compatible={BOARD}"));
        let answer = self.http.post(url).bearer_auth(&self.token).body(bytes).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["sha256"].as_str().unwrap().to_owned()
    }

    /// Orders a box to take a bundle; `more` goes into the order. As the box hears it.
    pub(crate) async fn order(&self, robot: &Robot, bundle: &str, more: Value) -> Order {
        let mut body = json!({ "bundle": bundle });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = format!("/boxes/{}/update", robot.id());
        let (status, view) = self.ask("PUT", &path, Some(body)).await;
        assert_eq!(status, 201, "{view}");
        robot
            .hears(BoxTopic::Update, |bytes| {
                let order: Order = nodi_protocol::fleet::Payload::from_json(bytes).ok()?;
                (view["id"] == order.id.to_string()).then_some(order)
            })
            .await
    }

    /// Waits for a state of a box's newest update.
    pub(crate) async fn update_is(&self, robot: &Robot, state: &str) -> Value {
        let path = format!("/boxes/{}/update", robot.id());
        wait(&format!("the update of {} is {state}", robot.id()), async || {
            let (status, view) = self.ask("GET", &path, None).await;
            (status == 200 && view["state"] == state).then_some(view)
        })
        .await
    }

    /// A box that is connected.
    pub(crate) async fn robot(&self) -> Robot {
        let identity = self.enrolled().await;
        let robot = Robot::connect(identity, self.broker_port);
        self.state_is(robot.id(), "online").await;
        robot
    }

    /// Waits until the list of boxes says so.
    pub(crate) async fn state_is(&self, id: &str, state: &str) {
        wait(&format!("{id} is {state}"), async || {
            let (status, body) = self.ask("GET", &format!("/boxes/{id}"), None).await;
            (status == 200 && body["state"] == state).then_some(())
        })
        .await;
    }

    /// Waits for a state of a command.
    pub(crate) async fn command_is(&self, id: &str, state: &str) -> Value {
        wait(&format!("command {id} is {state}"), async || {
            let view = self.get(&format!("/commands/{id}")).await;
            (view["state"] == state).then_some(view)
        })
        .await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        kill(self.server.take());
        kill(self.broker.take());
        if std::thread::panicking() {
            for log in ["server.log", "broker.log"] {
                let text = std::fs::read_to_string(self.path(log)).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                eprintln!("--- {log}");
                for line in &lines[lines.len().saturating_sub(60)..] {
                    eprintln!("{line}");
                }
            }
        }
    }
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

fn log(path: &Path) -> Stdio {
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap().into()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
