//! One kind of HTTP client for origins and buckets: how it connects, trusts and gives up.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reqwest::{Certificate, Client, ClientBuilder, Identity};

/// HTTP/2 pings tell a dead network from an idle one. Once a second is nothing beside the media.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Connections to a peer that nothing was sent to for so long are closed.
const IDLE: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: no usable PEM: {source}")]
    Pem { path: PathBuf, source: reqwest::Error },
    #[error("HTTP client: {}", describe(.0))]
    Client(#[from] reqwest::Error),
}

/// Where certificates come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// The only authority of the peer; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate chain and private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How long to wait for a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub connect: Duration,
    /// Until a peer that acknowledges nothing is given up.
    pub stall: Duration,
}

/// A client that is made anew when its certificate files change: boxes renew their certificates while live.
#[derive(Debug)]
pub(crate) struct Factory {
    trust: Trust,
    patience: Patience,
    made: Option<(Vec<Option<SystemTime>>, Client)>,
}

impl Factory {
    #[must_use]
    pub(crate) fn new(trust: Trust, patience: Patience) -> Self {
        Self { trust, patience, made: None }
    }

    /// # Errors
    /// When a file cannot be read or is not PEM.
    pub(crate) fn client(&mut self) -> Result<Client, Error> {
        let stamps = self.stamps();
        match &self.made {
            Some((made, client)) if *made == stamps => Ok(client.clone()),
            _ => {
                let client = self.build()?;
                self.made = Some((stamps, client.clone()));
                Ok(client)
            }
        }
    }

    /// Drops the connections, so that the next request makes new ones.
    pub(crate) fn reset(&mut self) {
        self.made = None;
    }

    fn stamps(&self) -> Vec<Option<SystemTime>> {
        let identity = self.trust.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.trust
            .ca
            .iter()
            .chain(identity)
            .map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
            .collect()
    }

    fn build(&self) -> Result<Client, Error> {
        let mut builder = builder(self.patience);
        if let Some(path) = &self.trust.ca {
            let authorities = Certificate::from_pem_bundle(&read(path)?)
                .map_err(|source| Error::Pem { path: path.clone(), source })?;
            builder = builder.tls_certs_only(authorities);
        }
        if let Some((cert, key)) = &self.trust.identity {
            let mut pem = read(cert)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            let identity =
                Identity::from_pem(&pem).map_err(|source| Error::Pem { path: key.clone(), source })?;
            builder = builder.identity(identity);
        }
        Ok(builder.build()?)
    }
}

fn builder(patience: Patience) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("nodi-uplink/", env!("CARGO_PKG_VERSION")))
        // The targets are configured addresses: a proxy or a redirect would be somebody else's idea.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(patience.connect)
        .tcp_user_timeout(patience.stall)
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(patience.stall)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// An error with its causes: reqwest's own text says only that sending failed.
#[must_use]
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
