//! Who is told: a receiver of webhooks that checks signatures as its documentation says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::support::wait;

/// One message.
#[derive(Debug, Clone)]
pub struct Got {
    pub delivery: String,
    pub event: String,
    pub signature: String,
    pub body: Bytes,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As `docs/webhooks.md` tells receivers to.
    pub fn is_signed_with(&self, secret: &str, now_s: i64) -> bool {
        let mut fields = self.signature.split(',').map(|field| field.split_once('=').unwrap());
        let (name, time) = fields.next().unwrap();
        assert_eq!(name, "t");
        assert!((now_s - time.parse::<i64>().unwrap()).abs() <= 300, "not fresh");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        fields.any(|(name, value)| name == "v1" && value == expected)
    }
}

#[derive(Default)]
struct Inner {
    got: Vec<Got>,
    /// What the next ones are answered; 200 when there is nothing.
    answers: Vec<u16>,
}

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let app = Router::new()
            .route("/hook", post(take))
            .route("/elsewhere", post(|| async { (StatusCode::FOUND, [("location", "/hook")]) }))
            .with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, inner }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn answer(&self, statuses: &[u16]) {
        self.inner.lock().unwrap().answers = statuses.iter().rev().copied().collect();
    }

    pub fn got(&self) -> Vec<Got> {
        self.inner.lock().unwrap().got.clone()
    }

    pub async fn gets(&self, count: usize) -> Vec<Got> {
        wait(&format!("{count} messages"), async || {
            let got = self.got();
            (got.len() >= count).then_some(got)
        })
        .await
    }
}

async fn take(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let got = Got {
        delivery: header("nodi-delivery"),
        event: header("nodi-event"),
        signature: header("nodi-signature"),
        body,
    };
    let mut inner = inner.lock().unwrap();
    inner.got.push(got);
    StatusCode::from_u16(inner.answers.pop().unwrap_or(200)).unwrap()
}
