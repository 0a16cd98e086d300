//! Where the processes of the box are, and what the agent writes for them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::local::Address;

/// Desired state and the processes that it is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Directory of the settings files, one per process.
    pub directory: PathBuf,
    /// The fleet's public stream keys, as ingest reads them.
    pub stream_keys: PathBuf,
    /// The revocation document, as ingest reads it.
    pub revocations: PathBuf,
    pub ingest: Ingest,
    pub transcode: Transcode,
    pub uplink: Uplink,
    /// Key, certificate and authority as the uplink reads them, if that is not where the agent keeps them.
    pub identity: Option<IdentityPaths>,
    /// Seconds for a process to say that new settings are in force.
    pub confirm_s: u64,
}

/// The RTMP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    pub program: PathBuf,
    pub config: PathBuf,
    pub listen: Address,
    /// How encoders reach it, without the stream key, such as `rtmp://box.example:1935/live`. A box behind a router
    /// cannot know; without this it is not in the list of ingests unless the fleet has a template.
    pub rtmp_url: Option<String>,
    /// The same over TLS, such as `rtmps://box.example:443/live`.
    pub rtmps_url: Option<String>,
}

/// The transcode workers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transcode {
    pub program: PathBuf,
    pub config: PathBuf,
}

/// The way to the origins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uplink {
    pub program: PathBuf,
    pub config: PathBuf,
    pub listen: Address,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityPaths {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Config {
    #[must_use]
    pub fn file(&self, process: &str) -> PathBuf {
        self.directory.join(process).with_extension("toml")
    }

    /// Command line words that name both files of a process.
    #[must_use]
    pub fn arguments(&self, config: &Path, process: &str) -> [String; 4] {
        [
            "--config".to_owned(),
            config.display().to_string(),
            "--settings".to_owned(),
            self.file(process).display().to_string(),
        ]
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: "/var/lib/nodi/settings".into(),
            stream_keys: "/var/lib/nodi/stream-keys.pub".into(),
            revocations: "/var/lib/nodi/revocations.json".into(),
            ingest: Ingest::default(),
            transcode: Transcode::default(),
            uplink: Uplink::default(),
            identity: None,
            // They look twice a second; a restarted uplink opens its journal first.
            confirm_s: 15,
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            program: "/usr/bin/nodi-ingest".into(),
            config: "/etc/nodi/ingest.toml".into(),
            listen: Address::Unix("/run/nodi/ingest.sock".into()),
            rtmp_url: None,
            rtmps_url: None,
        }
    }
}

impl Default for Transcode {
    fn default() -> Self {
        Self { program: "/usr/bin/nodi-transcode".into(), config: "/etc/nodi/transcode.toml".into() }
    }
}

impl Default for Uplink {
    fn default() -> Self {
        Self {
            program: "/usr/bin/nodi-uplink".into(),
            config: "/etc/nodi/uplink.toml".into(),
            listen: Address::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 9472))),
        }
    }
}
