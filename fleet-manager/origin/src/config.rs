//! The configuration file: one TOML document, every key with its default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use nodi_daemon::config::{Validate, in_range};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    #[serde(default = "default_log_level")]
    pub log_level: LevelFilter,
    pub push: Push,
    pub keys: Keys,
    #[serde(default)]
    pub public: Public,
    #[serde(default)]
    pub metrics: Metrics,
    #[serde(default)]
    pub playlist: Playlist,
    #[serde(default)]
    pub limits: Limits,
    /// The fleet's broker, for revocations as they happen. Default: none, `keys.revocations` alone counts.
    #[serde(default)]
    pub fleet: Option<Fleet>,
}

/// Where boxes push to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Default `[::]:8443`.
    #[serde(default = "default_push_listen")]
    pub listen: SocketAddr,
    /// The listener's certificate chain, PEM. Read again when it changes, like the two below.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
    /// The fleet's authority, PEM: a box without a certificate of it does not get past the handshake.
    pub client_ca: PathBuf,
}

/// How stream keys are checked. Both files are read again when they change.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The fleet's public keys, one base64 line each.
    pub public: PathBuf,
    /// The revocation document, JSON. None is revoked while it is not configured or not there. With `[fleet]` the
    /// origin writes what the broker sends into it, and goes by it while the broker is away.
    #[serde(default)]
    pub revocations: Option<PathBuf>,
}

/// A connection to the fleet's broker, MQTT 5 over TLS. The certificate's common name is user name and client id:
/// it must not be shared with another process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// The broker's host name or address, as in its certificate.
    pub host: String,
    /// Default 8883.
    #[serde(default = "default_fleet_port")]
    pub port: u16,
    /// The fleet's authority, PEM.
    pub ca: PathBuf,
    /// The origin's client certificate of the fleet, PEM. Read again at each connection, like the key.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
}

/// Where viewers and CDN edges fetch from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Public {
    /// Plain HTTP/1.1, for edges and proxies near by. Default `[::]:8080`.
    pub listen: SocketAddr,
    /// HTTP/1.1 and HTTP/2 over TLS. Default: none.
    pub tls: Option<PublicTls>,
    /// Threads that serve, each with sockets and an event loop of its own. Default 0: as many as there are cores.
    pub threads: usize,
    /// Open connections in all; more are closed at once. Default 20000.
    pub max_connections: usize,
    /// How long a connection may take to send a request's head, and may be idle, in seconds. Default 75.
    pub idle_timeout_s: u64,
    /// A directory with the watch site: `index.html` for each of its pages, and what it loads. Default: none.
    pub web_root: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicTls {
    pub listen: SocketAddr,
    /// Certificate chain, PEM. Read again when it changes, like the key.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub private_key: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Prometheus text at `/metrics`, plain HTTP: keep it on loopback. Default: none.
    pub listen: Option<SocketAddr>,
}

/// What playlists promise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Playlist {
    /// How far back a playlist reaches, in seconds. Default 60.
    pub window_s: u64,
    /// How long an object stays after it left the playlist, for players that read an older one, in seconds. Default 10.
    pub linger_s: u64,
    /// How far from the end players stay, in hundredths of a part: 200 to 1000. Default 300, what RFC 8216bis recommends.
    pub part_hold_back_percent: u32,
    /// A silent session is reported as reconnecting after this many seconds. Default 5.
    pub stalled_after_s: u64,
    /// How long a playlist waits for the publisher to return before it ends, in seconds. Default 60.
    pub reconnect_window_s: u64,
    /// How long an ended playlist can still be played, in seconds. Default 60.
    pub ended_retention_s: u64,
}

/// What one box or one channel can cost at most.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Channels held at a time. A segment costs one file descriptor and one memory mapping, so more than 256
    /// channels of four renditions need a higher `vm.max_map_count`. Default 256.
    pub channels: usize,
    /// Renditions of a session. Default 12.
    pub renditions: usize,
    /// Bytes of a segment: 4 s at 60 Mbit/s fit. Default 32 MiB.
    pub segment_bytes: u64,
    /// Segments of a rendition in memory, on top of what the window allows. Default 150.
    pub segments: usize,
    /// Bytes of a channel: 70 s of a 10 Mbit/s ladder take 90 MB. Default 512 MiB.
    pub channel_bytes: u64,
    /// Segment uploads of a channel at a time: two per rendition are normal around a boundary. Default 32.
    pub open_uploads: usize,
    /// An upload that sends nothing for this long is cut, in seconds. Default 15.
    pub upload_idle_s: u64,
    /// Push connections in all. Default 2000.
    pub push_connections: usize,
}

impl Default for Public {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0_u16; 8], 8080)),
            tls: None,
            threads: 0,
            max_connections: 20_000,
            idle_timeout_s: 75,
            web_root: None,
        }
    }
}

impl Default for Playlist {
    fn default() -> Self {
        Self {
            window_s: 60,
            linger_s: 10,
            part_hold_back_percent: 300,
            stalled_after_s: 5,
            reconnect_window_s: 60,
            ended_retention_s: 60,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 256,
            renditions: 12,
            segment_bytes: 32 << 20,
            segments: 150,
            channel_bytes: 512 << 20,
            open_uploads: 32,
            upload_idle_s: 15,
            push_connections: 2_000,
        }
    }
}

fn default_log_level() -> LevelFilter {
    LevelFilter::Info
}

fn default_push_listen() -> SocketAddr {
    SocketAddr::from(([0_u16; 8], 8443))
}

fn default_fleet_port() -> u16 {
    8_883
}

impl Playlist {
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_s)
    }

    #[must_use]
    pub fn linger(&self) -> Duration {
        Duration::from_secs(self.linger_s)
    }

    #[must_use]
    pub fn stalled_after(&self) -> Duration {
        Duration::from_secs(self.stalled_after_s)
    }

    #[must_use]
    pub fn reconnect_window(&self) -> Duration {
        Duration::from_secs(self.reconnect_window_s)
    }

    #[must_use]
    pub fn ended_retention(&self) -> Duration {
        Duration::from_secs(self.ended_retention_s)
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        let (playlist, limits) = (&self.playlist, &self.limits);
        in_range("playlist.part_hold_back_percent", playlist.part_hold_back_percent, 200..=1_000)?;
        in_range("playlist.window_s", playlist.window_s, 10..=86_400)?;
        for (key, value) in [
            ("limits.channels", limits.channels),
            ("limits.renditions", limits.renditions),
            ("limits.segments", limits.segments),
            ("limits.open_uploads", limits.open_uploads),
            ("limits.push_connections", limits.push_connections),
            ("public.max_connections", self.public.max_connections),
        ] {
            if value == 0 {
                return Err((key, "must be at least 1".to_owned()));
            }
        }
        if self.fleet.is_some() && self.keys.revocations.is_none() {
            return Err((
                "keys.revocations",
                "is needed with [fleet]: the document is kept there".to_owned(),
            ));
        }
        // The whole of it is mapped as address space.
        in_range("limits.segment_bytes", limits.segment_bytes, 1 << 10..=1 << 30)?;
        if limits.channel_bytes < limits.segment_bytes {
            return Err(("limits.channel_bytes", "must be at least limits.segment_bytes".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "[push]\ncertificate = 'c'\nprivate_key = 'k'\nclient_ca = 'a'\n[keys]\npublic = 'p'\n";

    #[test]
    fn the_least_configuration_has_usable_defaults() {
        let config: Config = toml_text(LEAST).unwrap();
        assert!(config.validate().is_ok());
        assert_eq!(config.public.listen.port(), 8080);
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        for (more, key) in [
            ("[playlist]\npart_hold_back_percent = 150\n", "playlist.part_hold_back_percent"),
            ("[limits]\nchannels = 0\n", "limits.channels"),
            ("[limits]\nsegment_bytes = 1\n", "limits.segment_bytes"),
            ("[fleet]\nhost = 'h'\nca = 'a'\ncertificate = 'c'\nprivate_key = 'k'\n", "keys.revocations"),
        ] {
            let error = toml_text(&format!("{LEAST}{more}")).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    fn toml_text(text: &str) -> Result<Config, nodi_daemon::config::Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        nodi_daemon::config::load(file.path())
    }
}
