//! Configuration of the uplink: one TOML file.

use std::net::SocketAddr;
use std::path::PathBuf;

use nodi_daemon::config::Validate;
use serde::{Deserialize, Deserializer};

/// All of `uplink.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged; `RUST_LOG` wins over it.
    pub log_level: log::LevelFilter,
    /// Root of the spool that the transcode workers write.
    pub spool: PathBuf,
    /// Where ingest keeps one credential file per live session.
    pub sessions: PathBuf,
    /// Ingest's local socket, for telling it that a session has to end.
    pub ingest_socket: PathBuf,
    /// The record of what was pushed.
    pub journal: PathBuf,
    /// Where `/metrics` and `/healthz` are served: a loopback address and port, or `unix:/path`.
    pub listen: Listen,
    /// After a signal: seconds for closing uploads in progress before the process ends anyway.
    pub shutdown_s: u64,
    /// Seconds that a session may be without its credential file before its origins are skipped.
    pub credential_wait_s: u64,
    pub janitor: Janitor,
    pub live: Live,
    /// Nodi origins. Several: all get the same pushes, independently of each other.
    pub origin: Vec<Origin>,
    /// Object stores that speak the S3 API.
    pub bucket: Vec<Bucket>,
    /// Local directories, for example the root of a web server.
    pub directory: Vec<Directory>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: log::LevelFilter::Info,
            spool: "/var/spool/nodi".into(),
            sessions: "/run/nodi/sessions".into(),
            ingest_socket: "/run/nodi/ingest.sock".into(),
            journal: "/var/lib/nodi/uplink/journal.sqlite".into(),
            listen: Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 9472))),
            shutdown_s: 8,
            credential_wait_s: 10,
            janitor: Janitor::default(),
            live: Live::default(),
            origin: Vec::new(),
            bucket: Vec::new(),
            directory: Vec::new(),
        }
    }
}

impl Config {
    /// Of origins, buckets and directories.
    #[must_use]
    pub fn target_names(&self) -> Vec<String> {
        let origins = self.origin.iter().map(|origin| &origin.name);
        let buckets = self.bucket.iter().map(|bucket| &bucket.name);
        let directories = self.directory.iter().map(|directory| &directory.name);
        origins.chain(buckets).chain(directories).cloned().collect()
    }
}

/// Bounds of the spool. What is pushed already goes first, oldest first; what is still written never goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Janitor {
    /// Most bytes that media may take, all sessions together.
    pub max_bytes: u64,
    /// Segments older than this go, pushed or not, in seconds.
    pub max_age_s: u64,
    /// Free space that the file system has to keep, in bytes.
    pub min_free_bytes: u64,
    /// Seconds between two looks.
    pub every_s: u64,
}

impl Default for Janitor {
    fn default() -> Self {
        // A day of the default ladder is about 106 GB: the space rules decide on small disks.
        Self { max_bytes: 32 << 30, max_age_s: 86_400, min_free_bytes: 2 << 30, every_s: 10 }
    }
}

/// How live is kept live when the network is slower than the media, or was away.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// A rendition that is further behind the spool than this jumps to its newest segment, in milliseconds.
    pub max_lag_ms: u64,
    /// While a more important rendition is further behind than this, less important ones and backfill wait.
    pub yield_lag_ms: u64,
}

impl Default for Live {
    fn default() -> Self {
        // Two segments: less and a short stall costs a gap, more and viewers have emptied their buffers.
        // Yielding starts after two parts, before anybody notices.
        Self { max_lag_ms: 4_000, yield_lag_ms: 700 }
    }
}

/// One Nodi origin.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Names it in logs, metrics and the journal.
    pub name: String,
    /// Push address, such as `https://origin.example:8443`. `http` only on the loopback interface.
    pub url: String,
    /// PEM file with the certificate authority of the origin's certificate. Default: the system's.
    pub ca: Option<PathBuf>,
    /// PEM file with the box's certificate chain. Read again when it changes.
    pub cert: Option<PathBuf>,
    /// PEM file with the box's private key.
    pub key: Option<PathBuf>,
    /// How far back missed segments are still worth sending, in seconds, to an origin that does not say how long its
    /// window is.
    #[serde(default = "default_origin_window_s")]
    pub window_s: u64,
    /// Rate of sending missed segments behind live, in bytes per second.
    #[serde(default = "default_backfill")]
    pub backfill_bytes_per_s: u64,
    /// Longest time for the TCP and TLS handshakes, in milliseconds. Together with the pause between
    /// attempts it bounds how long after the network's return live goes on.
    #[serde(default = "default_connect_ms")]
    pub connect_timeout_ms: u64,
    /// A connection whose peer acknowledges nothing for so long is given up, in milliseconds.
    #[serde(default = "default_stall_ms")]
    pub stall_timeout_ms: u64,
}

fn default_origin_window_s() -> u64 {
    60
}

/// 24 Mbit/s: twice the default ladder, so that a minute's outage is made good in about half a minute.
fn default_backfill() -> u64 {
    3_000_000
}

/// Long enough for two round trips by satellite, and the kernel's first repeated SYN (after 1 s) is in it.
fn default_connect_ms() -> u64 {
    1_500
}

/// Longer than any round trip and than a busy server's pauses, shorter than viewers' patience.
fn default_stall_ms() -> u64 {
    4_000
}

/// What the playlists of a store list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    /// The last `window_s` seconds.
    #[default]
    Window,
    /// Everything since the channel's first session (EXT-X-PLAYLIST-TYPE:EVENT in spirit: nothing is taken off).
    Event,
}

/// What buckets and directories have in common.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shelf {
    pub listing: Listing,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// Seconds after which an object that left the window is deleted. Default: never, which leaves it to the
    /// bucket's lifecycle rules, or keeps the recording.
    pub delete_after_s: Option<u64>,
    /// Uploads at the same time.
    pub concurrency: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { listing: Listing::Window, window_s: 300, delete_after_s: None, concurrency: 4 }
    }
}

/// One S3-compatible bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Names it in logs, metrics and the journal.
    pub name: String,
    /// Such as `https://s3.eu-west-1.amazonaws.com`.
    pub endpoint: String,
    pub bucket: String,
    #[serde(default = "default_region")]
    pub region: String,
    /// Path of the bucket in front of `<channel>/`; empty or without slashes at its ends.
    #[serde(default)]
    pub prefix: String,
    /// File that holds the access key id.
    pub access_key: PathBuf,
    /// File that holds the secret access key.
    pub secret_key: PathBuf,
    /// The bucket's name in the path and not in the host name: most servers other than Amazon's.
    #[serde(default)]
    pub path_style: bool,
    /// PEM file with the certificate authority of the endpoint. Default: the system's.
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub shelf: Shelf,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// One local directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Names it in logs, metrics and the journal.
    pub name: String,
    pub path: PathBuf,
    #[serde(default)]
    pub shelf: Shelf,
}

/// Where the status server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| serde::de::Error::custom("neither ADDRESS:PORT nor unix:/PATH")),
        }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if let Listen::Tcp(address) = self.listen
            && !address.ip().is_loopback()
        {
            // Metrics name channels and sessions, and nothing here asks who is reading.
            return Err(("listen", format!("{address} is not a loopback address")));
        }
        if self.live.max_lag_ms < self.live.yield_lag_ms {
            return Err(("live.max_lag_ms", "must not be less than live.yield_lag_ms".to_owned()));
        }
        let mut names: Vec<&str> = Vec::new();
        names.extend(self.origin.iter().map(|origin| origin.name.as_str()));
        names.extend(self.bucket.iter().map(|bucket| bucket.name.as_str()));
        names.extend(self.directory.iter().map(|directory| directory.name.as_str()));
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[a, b]| a == b) {
            return Err(("name", format!("two targets are called {name:?}")));
        }
        for origin in &self.origin {
            validate_origin(origin)?;
        }
        for bucket in &self.bucket {
            let url = parse_url("bucket.endpoint", &bucket.endpoint)?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(("bucket.endpoint", "is neither http nor https".to_owned()));
            }
            if bucket.prefix.starts_with('/') || bucket.prefix.ends_with('/') {
                return Err(("bucket.prefix", "has a slash at one of its ends".to_owned()));
            }
            validate_shelf("bucket.shelf", &bucket.shelf)?;
        }
        self.directory.iter().try_for_each(|directory| validate_shelf("directory.shelf", &directory.shelf))
    }
}

fn validate_origin(origin: &Origin) -> Result<(), (&'static str, String)> {
    let url = parse_url("origin.url", &origin.url)?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => {
            return Err((
                "origin.url",
                format!("{url} is not https, which only the loopback may do without"),
            ));
        }
    }
    if origin.cert.is_some() != origin.key.is_some() {
        return Err(("origin.cert", "cert and key need each other".to_owned()));
    }
    if origin.backfill_bytes_per_s == 0 {
        return Err(("origin.backfill_bytes_per_s", "must not be 0".to_owned()));
    }
    if origin.connect_timeout_ms == 0 || origin.stall_timeout_ms == 0 {
        return Err(("origin", "timeouts must not be 0".to_owned()));
    }
    Ok(())
}

fn validate_shelf(key: &'static str, shelf: &Shelf) -> Result<(), (&'static str, String)> {
    // Three target durations of 2 s: RFC 8216bis 6.2.2 wants no shorter live playlist.
    if shelf.window_s < 6 {
        return Err((key, "window_s is less than three segments (6 s)".to_owned()));
    }
    if !(1..=64).contains(&shelf.concurrency) {
        return Err((key, "concurrency is not in 1..=64".to_owned()));
    }
    if shelf.listing == Listing::Event && shelf.delete_after_s.is_some() {
        return Err((key, "an event lists everything, so nothing can be deleted after a time".to_owned()));
    }
    Ok(())
}

fn parse_url(key: &'static str, text: &str) -> Result<reqwest::Url, (&'static str, String)> {
    reqwest::Url::parse(text).map_err(|error| (key, format!("{text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate().map_err(|(key, reason)| format!("{key}: {reason}"))?;
        Ok(config)
    }

    #[test]
    fn an_empty_file_is_a_box_without_targets() {
        let config = parse("").unwrap();
        assert!(config.origin.is_empty());
        assert_eq!(config.listen, Listen::Tcp("127.0.0.1:9472".parse().unwrap()));
    }

    #[test]
    fn all_kinds_of_targets() {
        let config = parse(
            r#"
            listen = "unix:/run/nodi/uplink.sock"
            [[origin]]
            name = "primary"
            url = "https://origin.example:8443"
            cert = "box.pem"
            key = "box.key"
            [[bucket]]
            name = "archive"
            endpoint = "http://127.0.0.1:9000"
            bucket = "live"
            access_key = "a"
            secret_key = "s"
            path_style = true
            shelf = { listing = "event" }
            [[directory]]
            name = "www"
            path = "/srv/hls"
            shelf = { window_s = 60, delete_after_s = 30 }
            "#,
        )
        .unwrap();
        assert_eq!(config.origin[0].window_s, 60);
        assert_eq!(config.bucket[0].shelf.listing, Listing::Event);
        assert_eq!(config.directory[0].shelf.delete_after_s, Some(30));
        assert_eq!(config.listen, Listen::Unix("/run/nodi/uplink.sock".into()));
    }

    #[test]
    fn bad_values_are_named() {
        let directory = "[[directory]]\nname = \"x\"\npath = \"/x\"\n";
        for (text, key) in [
            ("listen = \"0.0.0.0:1\"", "listen"),
            ("listen = \"nowhere\"", "listen"),
            ("spol = \"/x\"", "spol"),
            ("[[origin]]\nname = \"a\"\nurl = \"http://example.com\"", "origin.url"),
            ("[[origin]]\nname = \"a\"\nurl = \"https://e\"\ncert = \"c\"", "origin.cert"),
            (&format!("{directory}{directory}"), "two targets"),
            (&format!("{directory}shelf = {{ window_s = 1 }}"), "window_s"),
            (&format!("{directory}shelf = {{ listing = \"event\", delete_after_s = 1 }}"), "directory.shelf"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
