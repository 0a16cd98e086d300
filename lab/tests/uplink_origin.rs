//! The uplink and the origin as they are shipped, over TLS and HTTP/2, with a spool that the real writer fills: what
//! neither crate can show alone, without an encoder in the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../../appliance/uplink/tests/common/media.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the uplink's own tests, which use all of it")]
mod media;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use media::{Worker, audio, session_id, video};
use nodi_lab::certs::Authority;
use nodi_lab::fault::{Mode, Proxy};
use nodi_lab::keys::Keys;
use nodi_lab::ports;
use nodi_lab::process::{Process, Spec};
use nodi_protocol::SessionId;
use nodi_protocol::stream_key::StreamKey;

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
const CHANNEL: &str = "nodi";

fn executable(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap();
    me.parent().unwrap().parent().unwrap().join(name)
}

struct Pair {
    dir: tempfile::TempDir,
    keys: Keys,
    public: u16,
    network: Proxy,
    http: reqwest::Client,
    uplink: Option<Process>,
    _origin: Process,
}

impl Pair {
    async fn start() -> Self {
        nodi_daemon::logging::init("test", log::LevelFilter::Info);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["spool", "sessions", "logs"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let authority = Authority::create(&path("certs"), "lab").unwrap();
        let (server, client) = (authority.server("origin").unwrap(), authority.client("box-1").unwrap());
        let keys = Keys::open(&path("keys")).unwrap();
        let (push, public, metrics) =
            (ports::free().unwrap(), ports::free().unwrap(), ports::free().unwrap());
        let origin = format!(
            "[push]\nlisten = \"127.0.0.1:{push}\"\ncertificate = {:?}\nprivate_key = {:?}\nclient_ca = {:?}\n\
             [keys]\npublic = {:?}\nrevocations = {:?}\n[public]\nlisten = \"127.0.0.1:{public}\"\n\
             [metrics]\nlisten = \"127.0.0.1:{metrics}\"\n",
            server.certificate,
            server.key,
            authority.certificate(),
            keys.public(),
            keys.revocations(),
        );
        std::fs::write(path("origin.toml"), origin).unwrap();
        let network = Proxy::start(push).unwrap();
        let uplink = format!(
            "spool = {:?}\nsessions = {:?}\njournal = {:?}\ningest_socket = {:?}\nlisten = \"unix:{}\"\n\
             janitor = {{ min_free_bytes = 0 }}\n\
             [live]\nmax_lag_ms = 1200\nyield_lag_ms = 300\n\
             [[origin]]\nname = \"origin\"\nurl = \"https://localhost:{}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\n\
             stall_timeout_ms = 1500\n",
            path("spool"),
            path("sessions"),
            path("journal.sqlite"),
            path("ingest.sock"),
            path("uplink.sock").display(),
            network.port(),
            authority.certificate(),
            client.certificate,
            client.key,
        );
        std::fs::write(path("uplink.toml"), uplink).unwrap();
        let logs = path("logs");
        let spec = Spec::new("origin", executable("nodi-origin"), &logs);
        let origin = Process::start(spec.args(["--config".into(), path("origin.toml")])).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut pair = Self { dir, keys, public, network, http, uplink: None, _origin: origin };
        pair.until("the origin is up", async |pair| pair.get("/healthz").await.is_some()).await;
        pair.start_uplink();
        pair
    }

    fn start_uplink(&mut self) {
        let spec = Spec::new("uplink", executable("nodi-uplink"), &self.dir.path().join("logs"));
        let arguments = ["--config".into(), self.dir.path().join("uplink.toml")];
        self.uplink = Some(Process::start(spec.args(arguments)).unwrap());
    }

    fn worker(&self, session: SessionId, rungs: &[media::Rung]) -> Worker {
        self.credential(session, &self.keys.mint(&CHANNEL.parse().unwrap()));
        Worker::new(&self.dir.path().join("spool"), CHANNEL, session, rungs)
    }

    fn credential(&self, session: SessionId, key: &StreamKey) {
        let text = format!(
            "{{\"channel\":\"{CHANNEL}\",\"session\":\"{session}\",\"stream_key\":\"{}\"}}",
            key.reveal()
        );
        std::fs::write(self.dir.path().join("sessions").join(session.to_string()), text).unwrap();
    }

    async fn get(&self, path: &str) -> Option<Vec<u8>> {
        let url = format!("http://127.0.0.1:{}{path}", self.public);
        let response = self.http.get(url).timeout(Duration::from_secs(10)).send().await.ok()?;
        let response = response.error_for_status().ok()?;
        response.bytes().await.ok().map(|bytes| bytes.to_vec())
    }

    async fn live(&self, name: &str) -> Option<Vec<u8>> {
        self.get(&format!("/live/{CHANNEL}/{name}")).await
    }

    async fn playlist(&self, rendition: &str) -> String {
        let text = self.live(&format!("{rendition}.m3u8")).await.unwrap_or_default();
        String::from_utf8(text).unwrap()
    }

    /// Waits for a condition.
    async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self).await {
            if start.elapsed() > DEADLINE {
                let log =
                    std::fs::read_to_string(self.dir.path().join("logs/uplink.log")).unwrap_or_default();
                panic!("waited in vain until {what}\n{log}\n{}", self.playlist("720p").await);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn metric(&self, name: &str) -> u64 {
        let client = reqwest::Client::builder().unix_socket(self.dir.path().join("uplink.sock"));
        let response = client.build().unwrap().get("http://uplink/metrics").send().await.unwrap();
        let text = response.text().await.unwrap();
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Everything that was written can be had, byte for byte.
    async fn serves(&self, session: SessionId, written: &Written, base_msn: u64) -> bool {
        for ((name, seq), bytes) in written {
            let msn = base_msn + seq;
            if self.live(&format!("{session}/{name}/{msn}.m4s")).await.as_ref() != Some(bytes) {
                return false;
            }
        }
        true
    }
}

type Written = std::collections::BTreeMap<(nodi_protocol::RenditionName, u64), Vec<u8>>;

fn rungs() -> Vec<media::Rung> {
    vec![video("720p", 3_000_000, 30_000), video("360p", 800_000, 8_000), audio(1_600)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_can_be_had_moments_after_it_was_written() {
    let pair = Pair::start().await;
    let session = session_id(1);
    let mut worker = pair.worker(session, &rungs());
    worker.segments(1);
    pair.until("it is live", async |pair| pair.playlist("720p").await.contains("#EXTINF")).await;

    let mut delays = Vec::new();
    for number in 0..24_u64 {
        let (msn, part) = (1 + number / 4, number % 4);
        // As a player waits: the answer comes when the part is there.
        let waiting = pair.live_blocking("720p", msn, part);
        let written = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            worker.part();
            Instant::now()
        };
        let ((text, answered), written) = tokio::join!(waiting, written);
        let uri = format!("{session}/720p/{msn}.{part}.m4s");
        assert!(text.contains(&uri) || text.contains(&format!("{session}/720p/{msn}.m4s")), "{uri}: {text}");
        delays.push(answered.duration_since(written));
    }
    delays.sort();
    log::info!(
        "spool to blocked player: p50 {:?}, max {:?}",
        delays[delays.len() / 2],
        delays.last().unwrap()
    );

    let sections: usize = worker.inits.values().map(Vec::len).sum();
    let written = worker.end();
    pair.until("all of it is there", async |pair| pair.serves(session, &written, 0).await).await;
    let total: usize = written.values().map(Vec::len).sum();
    let sent = pair.metric("nodi_uplink_sent_bytes_total").await;
    assert_eq!(sent, u64::try_from(total + sections).unwrap(), "each byte once");
    let front = String::from_utf8(pair.live("index.m3u8").await.unwrap()).unwrap();
    assert!(front.contains("720p.m3u8") && front.contains("360p.m3u8") && front.contains("audio.m3u8"));
}

impl Pair {
    async fn live_blocking(&self, rendition: &str, msn: u64, part: u64) -> (String, Instant) {
        let text = self.live(&format!("{rendition}.m3u8?_HLS_msn={msn}&_HLS_part={part}")).await;
        let at = Instant::now();
        (String::from_utf8(text.expect("an answer to a blocking reload")).unwrap(), at)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_live_comes_first_and_gaps_heal() {
    let pair = Pair::start().await;
    let session = session_id(1);
    let mut worker = pair.worker(session, &rungs());
    worker.play(Duration::from_secs(1)).await;
    pair.until("it is live", async |pair| pair.playlist("720p").await.contains("#EXTINF")).await;

    pair.network.set(Mode::BlackHole);
    worker.play(Duration::from_secs(6)).await;
    let live_from = worker.next_seq();
    pair.network.set(Mode::Pass);
    let returned = Instant::now();
    let mut gaps = 0;
    loop {
        worker.play(Duration::from_millis(100)).await;
        let text = pair.playlist("720p").await;
        gaps = gaps.max(text.matches("#EXT-X-GAP").count());
        if text.contains(&format!("{session}/720p/{live_from}.")) {
            break;
        }
        assert!(returned.elapsed() < DEADLINE, "live again: {text}");
    }
    log::info!("live {:?} after the network's return, {gaps} gaps seen", returned.elapsed());
    worker.play(Duration::from_secs(1)).await;
    pair.until("the gaps are healed", async |pair| !pair.playlist("720p").await.contains("#EXT-X-GAP")).await;
    let written = worker.end();
    pair.until("all of it is there", async |pair| pair.serves(session, &written, 0).await).await;
    let text = pair.playlist("720p").await;
    assert!(!text.contains("DISCONTINUITY\n"), "one timeline: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_uplink_goes_on_within_the_segment_and_a_new_session_after_it() {
    let mut pair = Pair::start().await;
    let first = session_id(1);
    let mut worker = pair.worker(first, &rungs());
    worker.segments(2);
    worker.part();
    worker.part();
    pair.until("half a segment is there", async |pair| {
        pair.playlist("720p").await.contains(&format!("{first}/720p/2.1.m4s"))
    })
    .await;
    if let Some(uplink) = &mut pair.uplink {
        uplink.kill();
    }
    worker.part();
    pair.start_uplink();
    worker.part();
    worker.segments(1);
    let written = worker.end();
    pair.until("all of it is there", async |pair| pair.serves(first, &written, 0).await).await;
    let sent = pair.metric("nodi_uplink_sent_bytes_total").await;
    let after_kill: usize = written
        .iter()
        .map(|((_, seq), bytes)| match seq {
            2 => bytes.len() / 2,
            3 => bytes.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(sent, u64::try_from(after_kill).unwrap(), "only what the first life had not sent");

    let second = session_id(2);
    let mut worker = pair.worker(second, &rungs());
    worker.segments(2);
    let written = worker.end();
    pair.until("the second session is there", async |pair| pair.serves(second, &written, 4).await).await;
    pair.until("it is listed", async |pair| pair.playlist("720p").await.contains("720p/5.m4s")).await;
    let text = pair.playlist("720p").await;
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    assert!(!text.contains("#EXT-X-GAP") && text.contains(&format!("{first}/720p/3.m4s")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_channel_pushes_nothing() {
    let pair = Pair::start().await;
    let session = session_id(1);
    let mut worker = pair.worker(session, &rungs());
    pair.credential(session, &pair.keys.mint(&"other".parse().unwrap()));
    worker.segments(1);
    let log = pair.dir.path().join("logs/uplink.log");
    pair.until("the log says why", async |_| {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("pushing stops") && text.contains("403") && !text.contains("nodi_A")
    })
    .await;
    assert!(pair.live("720p.m3u8").await.is_none());
}
