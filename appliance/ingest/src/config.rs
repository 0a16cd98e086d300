//! The configuration of the process: one TOML file, one struct. Every limit that an operator may want
//! to move is here; what must not be moved is a named constant beside the code that needs it.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use nodi_daemon::config::Validate;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub log_level: LevelFilter,
    pub rtmp: Rtmp,
    /// RTMP over TLS; absent: not served.
    pub rtmps: Option<Rtmps>,
    pub keys: Keys,
    pub sessions: Sessions,
    pub worker: Worker,
    pub status: Status,
    pub limits: Limits,
    pub throttle: Throttle,
    /// New publishers are refused, live ones go on: for an operator who wants the box empty. Default false.
    pub drain: bool,
    /// How long publishers and workers have to end after SIGTERM before the process ends anyway. Default 5.
    pub shutdown_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtmp {
    /// Address and port of plain RTMP. Default `[::]:1935`, which takes IPv4 too.
    pub listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtmps {
    /// Address and port of RTMPS, for example `[::]:443`.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain, the server's own first. Reloaded when it changes.
    pub certificate: PathBuf,
    /// PEM file with the private key (PKCS #8, PKCS #1 or SEC1). Reloaded when it changes.
    pub private_key: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The fleet's public keys, one base64 line each. While there is no such file every publisher is
    /// refused. Reloaded when it changes; sessions that are live stay live.
    /// Default `/etc/nodi/stream-keys.pub`.
    pub public_keys: PathBuf,
    /// The revocation document. No file: nothing is revoked. Reloaded when it changes, and sessions whose
    /// key it revokes end. (A key's expiry is looked at when publishing starts and never again: it
    /// limits who may start, it does not cut a broadcast.) Default `/var/lib/nodi/revocations.json`.
    pub revocations: PathBuf,
    /// Public keys of this box's own health gate, in the same form: good for the channel `self-test` alone, from a loopback
    /// address, also while draining. There is such a file only while the gate tries the box; when it goes they are good no
    /// more. Default `/run/nodi/health/self-test.pub`.
    pub self_test_keys: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Directory (tmpfs) for one credentials file per live session. Default `/run/nodi/sessions`.
    pub credentials: PathBuf,
    /// File that remembers the newest session's time, so that ids go on rising when the clock was set
    /// back by a restart. Absent: remembered in memory only.
    pub newest: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// The Unix socket that starts one transcoding worker per connection, `/run/nodi/transcode.sock` on
    /// a box. Absent: streams are received and measured, and go nowhere.
    pub socket: Option<PathBuf>,
    /// How many bytes may wait for a worker that does not read. When it is full, everything up to the
    /// next key frame that finds room is dropped, with the warning `worker_slow`. Default 8 MiB: more
    /// than 2 s of the highest bitrate that is let in, less than a viewer would wait through.
    pub queue_bytes: usize,
    /// How many bytes of the current group of pictures are kept for a worker that has to be replaced.
    /// A longer group is not kept: the next worker gets the headers and then waits for the next key
    /// frame (warning `gop_not_kept`). Default 12 MiB: 10 s at 9.6 Mbit/s.
    pub gop_bytes: usize,
    /// For how long a publisher may stay without a worker that holds before it is refused, so that it
    /// can go to another box. Default 15: a restart of the worker takes 1 to 2 s, an overloaded box more.
    pub give_up_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    /// Unix socket for `/sessions` and `/metrics`. Default `/run/nodi/ingest.sock`.
    pub socket: PathBuf,
    /// TCP address for `GET /metrics` alone; must be a loopback address. Absent: not served.
    pub metrics_listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at a time. Default 512: with a worker socket each, it stays under the usual 1,024 descriptors.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or one IPv6 /64. Default 16: an event's encoders
    /// behind one router.
    pub connections_per_address: usize,
    /// From accept to the end of the TLS and RTMP handshakes. Default 5.
    pub handshake_s: u64,
    /// From the end of the handshake to `publish`. Default 10.
    pub publish_s: u64,
    /// Bytes that a peer may send before its key was accepted. Default 262,144: an encoder needs 5,000.
    pub unauthenticated_bytes: u64,
    /// Bytes of one RTMP message. Default 8 MiB: a key frame of 4K at 50 Mbit/s is below 2 MiB.
    pub message_bytes: usize,
    /// Bits per second, all tracks together, as a mean over `bitrate_window_s`. Default 30,000,000.
    pub bitrate_bps: u64,
    /// Default 10: long enough for an encoder that catches up after a hiccup of the network.
    pub bitrate_window_s: u64,
    /// Width x height x frames per second. Default 140,000,000: 1080p60 and a little.
    pub pixels_per_s: u64,
    /// Seconds without one byte until a peer counts as dead. Default 8, so that a cut cable is noticed within 10 s.
    pub idle_s: u64,
    /// Seconds without audio or video until a publisher that still sends something is let go. Default 20.
    pub media_idle_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Delay before the answer to an address's first wrong key; doubles with each further one. Default 250.
    pub first_delay_ms: u64,
    /// Longest delay. Default 4,000: encoders give up at 5 to 10 s, and the reason has to reach them before.
    pub longest_delay_ms: u64,
    /// After this many wrong keys the address is refused without looking at its keys. Default 10.
    pub refuse_after: u32,
    /// For how long it is refused. Default 60.
    pub refuse_for_s: u64,
    /// Wrong keys are forgotten when none came for this long. Default 300.
    pub forget_after_s: u64,
    /// Addresses remembered; the one that was quiet for longest is forgotten first. Default 10,000, about 1 MB.
    pub addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: LevelFilter::Info,
            rtmp: Rtmp::default(),
            rtmps: None,
            keys: Keys::default(),
            sessions: Sessions::default(),
            worker: Worker::default(),
            status: Status::default(),
            limits: Limits::default(),
            throttle: Throttle::default(),
            drain: false,
            shutdown_s: 5,
        }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 1935)) }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            public_keys: "/etc/nodi/stream-keys.pub".into(),
            revocations: "/var/lib/nodi/revocations.json".into(),
            self_test_keys: "/run/nodi/health/self-test.pub".into(),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { credentials: "/run/nodi/sessions".into(), newest: None }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self { socket: None, queue_bytes: 8 << 20, gop_bytes: 12 << 20, give_up_s: 15 }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self { socket: "/run/nodi/ingest.sock".into(), metrics_listen: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_address: 16,
            handshake_s: 5,
            publish_s: 10,
            unauthenticated_bytes: 256 << 10,
            message_bytes: 8 << 20,
            bitrate_bps: 30_000_000,
            bitrate_window_s: 10,
            pixels_per_s: 140_000_000,
            idle_s: 8,
            media_idle_s: 20,
        }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            first_delay_ms: 250,
            longest_delay_ms: 4_000,
            refuse_after: 10,
            refuse_for_s: 60,
            forget_after_s: 300,
            addresses: 10_000,
        }
    }
}

/// The RTMP length field has 24 bits: a larger limit would promise what no peer can send.
const LARGEST_MESSAGE: usize = (1 << 24) - 1;
/// A key frame must fit into what is kept for the worker.
const SMALLEST_BUFFER: usize = 64 << 10;
/// More history than this says nothing about a bitrate, and costs memory per session.
const LONGEST_BITRATE_WINDOW_S: u64 = 60;

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        let limits = &self.limits;
        let positive = [
            ("limits.connections", limits.connections as u64),
            ("limits.connections_per_address", limits.connections_per_address as u64),
            ("limits.handshake_s", limits.handshake_s),
            ("limits.publish_s", limits.publish_s),
            ("limits.unauthenticated_bytes", limits.unauthenticated_bytes),
            ("limits.message_bytes", limits.message_bytes as u64),
            ("limits.bitrate_bps", limits.bitrate_bps),
            ("limits.bitrate_window_s", limits.bitrate_window_s),
            ("limits.pixels_per_s", limits.pixels_per_s),
            ("limits.idle_s", limits.idle_s),
            ("limits.media_idle_s", limits.media_idle_s),
            ("throttle.refuse_after", u64::from(self.throttle.refuse_after)),
            ("throttle.addresses", self.throttle.addresses as u64),
            ("worker.give_up_s", self.worker.give_up_s),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err((key, "must be at least 1".to_owned()));
        }
        if limits.message_bytes > LARGEST_MESSAGE {
            return Err(("limits.message_bytes", format!("RTMP messages end at {LARGEST_MESSAGE} bytes")));
        }
        if limits.bitrate_window_s > LONGEST_BITRATE_WINDOW_S {
            return Err(("limits.bitrate_window_s", format!("must not exceed {LONGEST_BITRATE_WINDOW_S}")));
        }
        for (key, bytes) in
            [("worker.queue_bytes", self.worker.queue_bytes), ("worker.gop_bytes", self.worker.gop_bytes)]
        {
            if bytes < SMALLEST_BUFFER {
                return Err((key, format!("must be at least {SMALLEST_BUFFER}")));
            }
        }
        if self.status.metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(("status.metrics_listen", "must be a loopback address".to_owned()));
        }
        if self.throttle.first_delay_ms > self.throttle.longest_delay_ms {
            return Err(("throttle.first_delay_ms", "is longer than throttle.longest_delay_ms".to_owned()));
        }
        Ok(())
    }
}

impl Limits {
    #[must_use]
    pub fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_s)
    }

    #[must_use]
    pub fn publish(&self) -> Duration {
        Duration::from_secs(self.publish_s)
    }

    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_s)
    }

    #[must_use]
    pub fn media_idle(&self) -> Duration {
        Duration::from_secs(self.media_idle_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        nodi_daemon::config::load(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = load("").unwrap();
        assert_eq!(config.rtmp.listen.port(), 1935);
        assert!(config.rtmps.is_none());
        assert_eq!(config.limits.idle(), Duration::from_secs(8));
    }

    #[test]
    fn bad_values_are_named() {
        for (text, name) in [
            ("[limits]\nconections = 1", "conections"),
            ("[limits]\nidle_s = 0", "limits.idle_s"),
            ("[limits]\nmessage_bytes = 16777216", "limits.message_bytes"),
            ("[worker]\nqueue_bytes = 1", "worker.queue_bytes"),
            ("[status]\nmetrics_listen = \"0.0.0.0:9000\"", "status.metrics_listen"),
            ("log_level = \"loud\"", "log_level"),
            ("[rtmps]\nlisten = \"[::]:443\"", "certificate"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(name), "{text:?}: {error}");
        }
    }
}
