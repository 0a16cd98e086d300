//! An origin with a fleet around it, a box that pushes, and a viewer that fetches.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nodi_daemon::shutdown::{self, Trigger};
use nodi_origin::Origin;
use nodi_origin::clock::{Clock, Manual};
use nodi_origin::config::Config;
use nodi_protocol::hls::{Finished, Part, Segment};
use nodi_protocol::push::{Claim, Claimed, End, PlaylistUpdate, Refusal, path};
use nodi_protocol::stream_key::{Grant, Minter, StreamKey};
use nodi_protocol::{ChannelId, Rendition, RenditionName, SessionId, Track};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::{Client, Identity, Method, RequestBuilder, Response, StatusCode};

pub const START_MS: u64 = 1_763_826_000_000;
/// What a test waits for comes at once; this only keeps it from hanging.
const DEADLINE: Duration = Duration::from_secs(20);

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key, PEM.
    pub fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    pub fn client(&self) -> (String, String) {
        self.issue("box-1", ExtendedKeyUsagePurpose::ClientAuth)
    }

    pub fn server(&self) -> (String, String) {
        self.issue("origin-1", ExtendedKeyUsagePurpose::ServerAuth)
    }
}

/// A running origin. Dropping it stops it.
pub struct Platform {
    pub dir: tempfile::TempDir,
    pub ca: Ca,
    pub minter: Minter,
    pub clock: Arc<Manual>,
    pub push: SocketAddr,
    pub public: SocketAddr,
    pub public_tls: Option<SocketAddr>,
    metrics: SocketAddr,
    stop: Trigger,
    origin: Option<Origin>,
    viewer: Client,
}

impl Platform {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// `more` is TOML that is appended to the least configuration.
    pub async fn start_with(more: &str) -> Self {
        Self::start_of(Ca::new("fleet"), more).await
    }

    /// An origin of the fleet whose authority is `ca`.
    pub async fn start_of(ca: Ca, more: &str) -> Self {
        Self::try_start_of(ca, more).await.unwrap()
    }

    /// The error is the one that an operator would read.
    pub async fn try_start_of(ca: Ca, more: &str) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let minter = Minter::from_seed(&[7; 32]);
        let (certificate, key) = ca.server();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", &ca.pem);
        write("server.pem", &certificate);
        write("server.key", &key);
        write("keys", &minter.public_line());
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "[push]\nlisten = '127.0.0.1:0'\ncertificate = '{}'\nprivate_key = '{}'\nclient_ca = '{}'\n\
             [keys]\npublic = '{}'\nrevocations = '{}'\n\
             [metrics]\nlisten = '127.0.0.1:0'\n\
             [public]\nlisten = '127.0.0.1:0'\nthreads = 2\n{}",
            at("server.pem"),
            at("server.key"),
            at("ca.pem"),
            at("keys"),
            at("revocations.json"),
            more.replace("DIR", &dir.path().display().to_string()),
        );
        write("origin.toml", &text);
        let config: Config = nodi_daemon::config::load(&dir.path().join("origin.toml")).unwrap();
        let clock = Manual::new(START_MS);
        let (stop, shutdown) = shutdown::manual();
        let origin = Origin::start(config, Clock::Manual(Arc::clone(&clock)), &shutdown)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            ca,
            minter,
            clock,
            push: origin.push,
            public: origin.public,
            public_tls: origin.public_tls,
            metrics: origin.metrics.unwrap(),
            stop,
            origin: Some(origin),
            dir,
            viewer: Client::builder().pool_max_idle_per_host(4).build().unwrap(),
        })
    }

    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub fn key(&self, channel: &str) -> StreamKey {
        self.key_with(channel, 1, None)
    }

    pub fn key_with(&self, channel: &str, version: u32, expires_at: Option<u64>) -> StreamKey {
        self.minter.mint(&Grant { channel: channel.parse().unwrap(), version, expires_at })
    }

    /// A box of this name with a certificate of the fleet.
    pub fn client_of(&self, box_id: &str) -> Client {
        client(&self.ca, Some(self.ca.issue(box_id, ExtendedKeyUsagePurpose::ClientAuth)))
    }

    /// A box with a certificate of the fleet.
    pub fn client(&self) -> Client {
        client(&self.ca, Some(self.ca.client()))
    }

    pub fn session(&self, channel: &str, number: u64) -> Box {
        Box {
            client: self.client(),
            base: format!("https://localhost:{}", self.push.port()),
            channel: channel.parse().unwrap(),
            session: SessionId::new(START_MS + number, 0),
            key: self.key(channel),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.viewer.get(self.url(path)).send().await.unwrap()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.viewer.request(method, self.url(path))
    }

    pub async fn text(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    pub async fn bytes(&self, path: &str) -> Bytes {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.unwrap()
    }

    pub async fn status_of(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    pub async fn state(&self, channel: &str) -> String {
        let text = self.text(&format!("/live/{channel}/status.json")).await;
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        status["state"].as_str().unwrap().to_owned()
    }

    /// A request that is expected to wait: it is under way when this returns.
    pub fn start_get(&self, path: &str) -> tokio::task::JoinHandle<Response> {
        let request = self.viewer.get(self.url(path));
        tokio::spawn(async move { request.send().await.unwrap() })
    }

    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.viewer.get(format!("http://{}/metrics", self.metrics)).send().await.unwrap();
        let text = text.text().await.unwrap();
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub async fn wait_blocked(&self, count: usize) {
        eventually("requests wait", || async {
            #[allow(clippy::cast_precision_loss, reason = "small")]
            let count = count as f64;
            self.metric("nodi_origin_blocked_requests").await == count
        })
        .await;
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn ask_to_stop(&self) {
        self.stop.stop();
    }

    pub async fn stopped(&mut self) {
        self.stop.stop();
        let stopped = self.origin.take().unwrap().stopped();
        tokio::time::timeout(DEADLINE, stopped).await.expect("the origin stops");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

pub fn client(ca: &Ca, identity: Option<(String, String)>) -> Client {
    let mut builder = Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.pem.as_bytes()).unwrap()])
        .resolve("localhost", SocketAddr::from(([127, 0, 0, 1], 0)));
    if let Some((certificate, key)) = identity {
        builder = builder.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

/// Looks until it is so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One session of a box.
#[derive(Clone)]
pub struct Box {
    pub client: Client,
    pub base: String,
    pub channel: ChannelId,
    pub session: SessionId,
    pub key: StreamKey,
}

pub fn name(rendition: &str) -> RenditionName {
    rendition.parse().unwrap()
}

pub fn video(name: &str) -> Rendition {
    Rendition {
        name: name.parse().unwrap(),
        track: Track::Video {
            codecs: "avc1.64001f".to_owned(),
            width: 1280,
            height: 720,
            frame_rate: (30, 1),
        },
        bandwidth: 3_300_000,
        average_bandwidth: 3_000_000,
    }
}

pub fn audio(name: &str) -> Rendition {
    Rendition {
        name: name.parse().unwrap(),
        track: Track::Audio { codecs: "mp4a.40.2".to_owned(), channels: 2, sample_rate: 48_000 },
        bandwidth: 140_000,
        average_bandwidth: 130_000,
    }
}

pub fn claim(base_msn: u64, renditions: Vec<Rendition>) -> Claim {
    Claim { base_msn, renditions, target_duration_s: 2, part_target_ns: 500_000_000 }
}

/// Parts of a segment, and their bytes: all bytes of a part are the same, and differ between parts.
pub const PART_LEN: u64 = 1_000;
pub const PARTS: u64 = 4;

pub fn media(msn: u64) -> Vec<u8> {
    (0..PARTS).flat_map(|part| part_bytes(msn, part)).collect()
}

pub fn part_bytes(msn: u64, part: u64) -> Vec<u8> {
    let value = u8::try_from((msn * 31 + part * 7) % 251).unwrap();
    vec![value; usize::try_from(PART_LEN).unwrap()]
}

impl Box {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(self.key.reveal())
    }

    pub async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.request(Method::PUT, path).body(body).send().await.unwrap()
    }

    pub async fn try_claim(&self, claim: &Claim) -> Response {
        let path = path::session(&self.channel, self.session);
        self.put(&path, serde_json::to_vec(claim).unwrap()).await
    }

    pub async fn claim(&self, base_msn: u64, renditions: &[Rendition]) -> Claimed {
        let response = self.try_claim(&claim(base_msn, renditions.to_vec())).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    pub async fn init(&self, rendition: &str, init: u32) {
        let path = path::init(&self.channel, self.session, &name(rendition), init);
        let response = self.put(&path, format!("init {init} of {rendition}")).await;
        assert_eq!(response.status(), 204);
    }

    pub fn segment_path(&self, rendition: &str, msn: u64) -> String {
        path::segment(&self.channel, self.session, &name(rendition), msn)
    }

    pub async fn bytes(&self, rendition: &str, msn: u64, body: impl Into<reqwest::Body>) -> Response {
        self.put(&self.segment_path(rendition, msn), body).await
    }

    pub async fn try_update(&self, rendition: &str, segments: Vec<Segment>) -> Response {
        let path = path::playlist(&self.channel, self.session, &name(rendition));
        self.put(&path, serde_json::to_vec(&PlaylistUpdate { segments }).unwrap()).await
    }

    pub async fn update(&self, rendition: &str, segments: Vec<Segment>) {
        let response = self.try_update(rendition, segments).await;
        assert_eq!(response.status(), 204, "{}", response.text().await.unwrap());
    }

    /// Whole segments, bytes and description.
    pub async fn segments(&self, rendition: &str, msns: std::ops::Range<u64>) {
        for msn in msns {
            assert_eq!(self.bytes(rendition, msn, media(msn)).await.status(), 204);
            self.update(rendition, vec![self.whole(msn)]).await;
        }
    }

    pub async fn end(&self) {
        let path = path::end(&self.channel, self.session);
        let body = serde_json::to_vec(&End { reason: "eof".to_owned() }).unwrap();
        let response = self.request(Method::POST, &path).body(body).send().await.unwrap();
        assert_eq!(response.status(), 204);
    }

    pub fn whole(&self, msn: u64) -> Segment {
        Segment {
            finished: Some(Finished { duration_ns: 2_000_000_000, len: PART_LEN * PARTS }),
            ..self.growing(msn, PARTS)
        }
    }

    pub fn growing(&self, msn: u64, parts: u64) -> Segment {
        Segment {
            msn,
            session: self.session,
            init: 0,
            discontinuity: false,
            program_date_time_ms: START_MS + msn * 2_000,
            finished: None,
            parts: (0..parts)
                .map(|part| Part {
                    duration_ns: 500_000_000,
                    independent: part == 0,
                    offset: part * PART_LEN,
                    len: PART_LEN,
                })
                .collect(),
            gap: false,
        }
    }

    /// Where viewers find it.
    pub fn live(&self, path: &str) -> String {
        format!("/live/{}/{}/{path}", self.channel, self.session)
    }

    /// A body that the test feeds piece by piece; dropping the sender breaks nothing off, it ends the body.
    pub fn open_upload(&self, rendition: &str, msn: u64) -> Feed {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(16);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let request = self
            .request(Method::PUT, &self.segment_path(rendition, msn))
            .body(reqwest::Body::wrap_stream(stream));
        Feed { sender, answer: tokio::spawn(async move { request.send().await }) }
    }
}

/// A segment's upload that is under way.
pub struct Feed {
    sender: tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>,
    answer: tokio::task::JoinHandle<reqwest::Result<Response>>,
}

impl Feed {
    pub async fn send(&self, bytes: Vec<u8>) {
        self.sender.send(Ok(Bytes::from(bytes))).await.unwrap();
    }

    pub async fn finish(self) -> StatusCode {
        drop(self.sender);
        self.answer.await.unwrap().unwrap().status()
    }

    /// The connection breaks in the middle of the body.
    pub async fn break_off(self) {
        let _ = self.sender.send(Err(std::io::Error::other("cable cut"))).await;
        assert!(self.answer.await.unwrap().is_err());
    }

    /// The answer that comes before the body is complete.
    pub async fn answer(self) -> Response {
        tokio::time::timeout(DEADLINE, self.answer).await.expect("an answer").unwrap().unwrap()
    }
}

pub async fn refusal(response: Response) -> (u16, Refusal) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// A live channel with one video rendition, whole segments `0..count`.
pub async fn live_session(platform: &Platform, count: u64) -> Box {
    let session = platform.session("nodi", 0);
    session.claim(0, &[video("720p")]).await;
    session.init("720p", 0).await;
    session.segments("720p", 0..count).await;
    session
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
