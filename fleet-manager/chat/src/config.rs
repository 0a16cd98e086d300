//! The configuration file: one TOML document, every key with its default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;
use nodi_daemon::config::Validate;
use serde::Deserialize;

/// All of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug` or `trace`; `RUST_LOG` wins over it. Default `info`.
    #[serde(default = "default_log_level")]
    pub log_level: LevelFilter,
    /// Where the database is kept. Default `/var/lib/nodi-chat`.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The fleet's public keys for chat tokens, one base64 line each. Read again when it changes. While the file is not
    /// there, nobody can speak.
    #[serde(default = "default_token_keys")]
    pub token_keys: PathBuf,
    /// Where the fleet server's site API is, such as `http://127.0.0.1:8470`; without a slash at its end. Default: none,
    /// no channel is known.
    #[serde(default)]
    pub fleet_url: Option<String>,
    /// What becomes of a channel of which the fleet server never said anything. Default `allow`.
    #[serde(default)]
    pub unknown_channels: Unknown,
    /// After a signal: seconds for connections to end and for the database before the process ends anyway. Default 10.
    #[serde(default = "default_shutdown_s")]
    pub shutdown_s: u64,
    #[serde(default)]
    pub http: Http,
    #[serde(default)]
    pub connections: Connections,
    #[serde(default)]
    pub rooms: Rooms,
    #[serde(default)]
    pub moderation: crate::moderation::Config,
    #[serde(default)]
    pub store: crate::store::Config,
}

/// See [`Config::unknown_channels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// It opens without emotes: for a laboratory without a fleet server, and for the first minutes of an outage.
    #[default]
    Allow,
    /// It is no channel.
    Refuse,
}

/// The one port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Default `127.0.0.1:8480`: for a proxy on the same machine.
    pub listen: SocketAddr,
    /// The port speaks TLS by itself. Default: plain, for a proxy.
    pub tls: Option<Tls>,
    /// Networks whose `X-Forwarded-For` is believed. Default: this machine.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may connect, such as `https://watch.example`; `*` for any. Default: none but the host that
    /// the page itself asked. Clients that are no browsers send no origin and are let in.
    pub origins: Vec<String>,
    /// Networks that may read `/metrics`. Default: this machine.
    pub metrics_from: Vec<IpNet>,
    /// Networks that are sent away with close code 4006. Default: none.
    pub banned: Vec<IpNet>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8480)),
            tls: None,
            trusted_proxies: this_machine(),
            origins: Vec::new(),
            metrics_from: this_machine(),
            banned: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM. Read again when it changes, like the key.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub private_key: PathBuf,
}

/// What connections may cost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections at a time, beside those that have not joined; more are answered with 503. Each costs up to 6 KiB of
    /// this process while it is idle, a file descriptor, and buffers of the kernel. Default 20000.
    pub max: usize,
    /// Connections at a time of one address; an IPv6 address counts by its /64, which one subscriber owns. Families and
    /// offices share an address. Default 100.
    pub per_address: usize,
    /// Connections that have not joined yet; with one more, the one that has taken longest is dropped, so that people
    /// who connect and say nothing keep nobody out. Default 2048.
    pub max_unjoined: usize,
    /// For the TLS handshake and the request's head together, in seconds: a phone on a bad network. Default 10.
    pub handshake_s: u64,
    /// For the `join` after that, in seconds. Default 10.
    pub join_s: u64,
    /// Frames that a connection may send a second on average, and at once; more close it. People type a few a minute, and
    /// what they may say is limited elsewhere: this bounds the work for frames that are refused. Default 10 and 60.
    pub frames_per_s: u32,
    pub frames_burst: u32,
    /// What may wait for a reader that is behind, in bytes. Has to hold a history (`rooms.resume_bytes`). Default 524288.
    pub outbox_bytes: usize,
    /// How old what waits may become, in seconds: who is further behind does not follow a conversation. Default 15.
    pub outbox_age_s: u64,
    /// The kernel's buffer of a connection, in bytes: without a limit the kernel itself holds megabytes for each reader
    /// that is behind. Default 65536.
    pub send_buffer: usize,
    /// How often a client is asked for a sign of life, in seconds; with it comes the count of viewers, which clients are
    /// promised every 20 s. Default 18.
    pub ping_s: u64,
    /// A client that was silent for so long is gone, in seconds. Default 50.
    pub dead_s: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 20_000,
            per_address: 100,
            max_unjoined: 2_048,
            handshake_s: 10,
            join_s: 10,
            frames_per_s: 10,
            frames_burst: 60,
            outbox_bytes: 512 << 10,
            outbox_age_s: 15,
            send_buffer: 64 << 10,
            ping_s: 18,
            dead_s: 50,
        }
    }
}

impl Connections {
    #[must_use]
    pub fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_s)
    }

    #[must_use]
    pub fn join(&self) -> Duration {
        Duration::from_secs(self.join_s)
    }
}

/// What a room keeps in memory and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    /// Open rooms; more channels have to wait. Each costs up to `ring_bytes` and its moderation's state. Default 5000.
    pub max: usize,
    /// Events kept for clients that come back: half an hour of a busy chat. Default 1000.
    pub ring_events: usize,
    /// What these may take, in bytes. Default 1048576.
    pub ring_bytes: usize,
    /// What one client that comes back gets at most, in bytes; whoever missed more starts anew. Default 262144.
    pub resume_bytes: usize,
    /// An empty room is closed after so many seconds: somebody who reloads the page finds it open. Default 60.
    pub idle_s: u64,
    /// Events that come faster go out together, so long after the write before, in milliseconds. Default 20.
    pub hold_ms: u64,
    /// How often the fleet server is asked about an open channel, in seconds. Default 30.
    pub facts_s: u64,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            max: 5_000,
            ring_events: 1_000,
            ring_bytes: 1 << 20,
            resume_bytes: 256 << 10,
            idle_s: 60,
            hold_ms: 20,
            facts_s: 30,
        }
    }
}

impl Config {
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("chat.sqlite")
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if let Some(url) = &self.fleet_url {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(("fleet_url", format!("{url:?} is not http:// or https://")));
            }
            if url.ends_with('/') {
                return Err(("fleet_url", "must not end with a slash".to_owned()));
            }
        }
        for origin in &self.http.origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                return Err(("http.origins", format!("{origin:?} is not like https://watch.example")));
            }
        }
        let (connections, rooms) = (&self.connections, &self.rooms);
        for (key, value) in [
            ("connections.max", connections.max),
            ("connections.per_address", connections.per_address),
            ("connections.max_unjoined", connections.max_unjoined),
            ("connections.send_buffer", connections.send_buffer),
            ("rooms.max", rooms.max),
            ("rooms.ring_events", rooms.ring_events),
            ("rooms.ring_bytes", rooms.ring_bytes),
        ] {
            if value == 0 {
                return Err((key, "must not be 0".to_owned()));
            }
        }
        for (key, value) in [
            ("connections.handshake_s", connections.handshake_s),
            ("connections.join_s", connections.join_s),
            ("connections.outbox_age_s", connections.outbox_age_s),
            ("connections.frames_per_s", u64::from(connections.frames_per_s)),
            ("connections.frames_burst", u64::from(connections.frames_burst)),
            ("connections.ping_s", connections.ping_s),
            ("rooms.facts_s", rooms.facts_s),
        ] {
            if value == 0 {
                return Err((key, "must not be 0".to_owned()));
            }
        }
        if connections.ping_s > 20 {
            return Err(("connections.ping_s", "clients are promised a sign of life every 20 s".to_owned()));
        }
        if connections.dead_s <= connections.ping_s {
            return Err(("connections.dead_s", "must be more than ping_s".to_owned()));
        }
        if rooms.resume_bytes >= connections.outbox_bytes {
            return Err(("rooms.resume_bytes", "must be less than connections.outbox_bytes".to_owned()));
        }
        if rooms.hold_ms > 1_000 {
            return Err(("rooms.hold_ms", "must be at most 1000".to_owned()));
        }
        self.moderation.validate()?;
        self.store.validate()
    }
}

fn this_machine() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect()
}

fn default_log_level() -> LevelFilter {
    LevelFilter::Info
}

fn default_data_dir() -> PathBuf {
    "/var/lib/nodi-chat".into()
}

fn default_token_keys() -> PathBuf {
    "/var/lib/nodi-fleet/chat-tokens.pub".into()
}

const fn default_shutdown_s() -> u64 {
    10
}
