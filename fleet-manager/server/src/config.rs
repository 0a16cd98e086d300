//! Configuration of the fleet server: one TOML file. Each area declares its own section.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use nodi_daemon::config::Validate;
use serde::Deserialize;

/// All of `fleet.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged; `RUST_LOG` wins over it.
    pub log_level: log::LevelFilter,
    /// Where the database, the certificate authority, the signing key, bundles and what boxes upload are kept.
    pub data_dir: PathBuf,
    /// How people and boxes reach this server, such as `https://fleet.example`. Without a slash at its end.
    pub public_url: String,
    /// After a signal: seconds for requests in progress before the process ends anyway.
    pub shutdown_s: u64,
    pub http: Http,
    pub metrics: Metrics,
    pub people: crate::people::Config,
    pub channels: crate::channels::Config,
    pub broker: crate::link::Config,
    pub enrolment: crate::enrolment::Config,
    pub commands: crate::commands::Config,
    pub bundles: crate::bundles::Config,
    pub updates: crate::updates::Config,
    pub rollouts: crate::rollouts::Config,
    pub streams: crate::streams::Config,
    pub ingests: crate::ingests::Config,
    pub alerts: crate::alerts::Config,
    pub webhooks: crate::webhooks::Config,
    pub site: crate::site::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: log::LevelFilter::Info,
            data_dir: "/var/lib/nodi-fleet".into(),
            public_url: "http://127.0.0.1:8470".to_owned(),
            shutdown_s: 10,
            http: Http::default(),
            metrics: Metrics::default(),
            people: crate::people::Config::default(),
            channels: crate::channels::Config::default(),
            broker: crate::link::Config::default(),
            enrolment: crate::enrolment::Config::default(),
            commands: crate::commands::Config::default(),
            bundles: crate::bundles::Config::default(),
            updates: crate::updates::Config::default(),
            rollouts: crate::rollouts::Config::default(),
            streams: crate::streams::Config::default(),
            ingests: crate::ingests::Config::default(),
            alerts: crate::alerts::Config::default(),
            webhooks: crate::webhooks::Config::default(),
            site: crate::site::Config::default(),
        }
    }
}

impl Config {
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("fleet.sqlite")
    }

    /// The certificate authority's directory.
    #[must_use]
    pub fn ca_dir(&self) -> PathBuf {
        self.data_dir.join("ca")
    }

    /// The secret half of what stream keys are signed with.
    #[must_use]
    pub fn signing_key(&self) -> PathBuf {
        self.data_dir.join("stream-keys.key")
    }

    /// The public half, as boxes and origins read it.
    #[must_use]
    pub fn public_keys(&self) -> PathBuf {
        self.data_dir.join("stream-keys.pub")
    }

    /// The secret half of what chat tokens are signed with.
    #[must_use]
    pub fn chat_key(&self) -> PathBuf {
        self.data_dir.join("chat-tokens.key")
    }

    /// The public half, as the chat service reads it.
    #[must_use]
    pub fn chat_public_keys(&self) -> PathBuf {
        self.data_dir.join("chat-tokens.pub")
    }
}

/// Where and how the API and the dashboard are served.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Plain HTTP: on a loopback address, or for the proxies named in `trusted_proxies`.
    pub listen: Option<SocketAddr>,
    /// HTTPS by this server itself.
    pub tls: Option<Tls>,
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, such as `10.0.0.0/24`.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at a time; more are closed at once. Each costs up to 100 KiB.
    pub max_connections: usize,
    /// Seconds for the TLS handshake, for the head of a request, and between two requests of a connection.
    pub header_timeout_s: u64,
    /// Seconds in which a request's body has to be there. Uploads have a rule of their own.
    pub body_timeout_s: u64,
    /// Longest body of a request, in bytes. Uploads have a limit of their own.
    pub max_body: usize,
    /// Browsers that follow live changes at a time.
    pub max_followers: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8470))),
            tls: None,
            trusted_proxies: Vec::new(),
            max_connections: 4_096,
            header_timeout_s: 15,
            body_timeout_s: 15,
            // Settings with everything set are below 16 KiB.
            max_body: 256 << 10,
            max_followers: 500,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub listen: SocketAddr,
    /// PEM, with what leads to its authority. Read again when it changes. Default: one of the fleet's own authority,
    /// which boxes trust and browsers do not.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// PEM.
    #[serde(default)]
    pub private_key: Option<PathBuf>,
    /// Host names and addresses that a certificate of the fleet's own authority is for, beside the one in
    /// `public_url`.
    #[serde(default)]
    pub names: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where `/metrics` is served: a loopback address and port. Default: nowhere.
    pub listen: Option<SocketAddr>,
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.http.listen.is_none() && self.http.tls.is_none() {
            return Err(("http", "neither `listen` nor `tls`: nothing would be served".to_owned()));
        }
        if let Some(address) = self.http.listen
            && !address.ip().is_loopback()
            && self.http.trusted_proxies.is_empty()
        {
            // Passwords would cross the network in the clear.
            return Err((
                "http.listen",
                format!(
                    "{address} is not a loopback address: use `tls`, or name the proxy in `trusted_proxies`"
                ),
            ));
        }
        if let Some(tls) = &self.http.tls
            && tls.certificate.is_some() != tls.private_key.is_some()
        {
            return Err(("http.tls", "`certificate` and `private_key` need each other".to_owned()));
        }
        if let Some(address) = self.metrics.listen
            && !address.ip().is_loopback()
        {
            return Err(("metrics.listen", format!("{address} is not a loopback address")));
        }
        if !self.public_url.starts_with("https://") && !self.public_url.starts_with("http://") {
            return Err(("public_url", format!("{:?} is not http:// or https://", self.public_url)));
        }
        if self.public_url.ends_with('/') {
            return Err(("public_url", "must not end with a slash".to_owned()));
        }
        for (key, value) in [
            ("http.max_connections", self.http.max_connections),
            ("http.max_body", self.http.max_body),
            ("http.max_followers", self.http.max_followers),
        ] {
            if value == 0 {
                return Err((key, "must not be 0".to_owned()));
            }
        }
        if self.http.header_timeout_s == 0 || self.http.body_timeout_s == 0 {
            return Err(("http.header_timeout_s", "timeouts must not be 0".to_owned()));
        }
        self.broker.validate()?;
        self.enrolment.validate()?;
        self.commands.validate()?;
        self.bundles.validate()?;
        self.updates.validate()?;
        self.rollouts.validate()?;
        self.ingests.validate()?;
        self.alerts.validate()?;
        self.webhooks.validate()?;
        self.site.validate(&self.http.trusted_proxies)?;
        self.people.validate()
    }
}
