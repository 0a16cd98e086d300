//! The chat service as it is shipped, and who speaks to it: tokens, clients, and the demo's scripted chatters.

pub mod chatters;
pub mod client;
pub mod member;
pub mod tokens;

use std::path::Path;

use nodi_protocol::chat::rooms::Rooms;
use serde_json::{Value, json};

use crate::config;
use crate::error::{Error, io};
use crate::process::{Process, Spec};
pub use tokens::Tokens;

/// The running service. Dropping it kills the process.
pub struct Chat {
    pub process: Process,
    /// The one port: `/ws`, `/healthz`, `/metrics`, `/rooms`.
    pub port: u16,
    /// What it believes.
    pub tokens: Tokens,
}

/// How the service shall be.
pub(crate) struct Wishes<'a> {
    pub(crate) port: u16,
    pub(crate) tokens: Tokens,
    /// The fleet server's site API, if there is one.
    pub(crate) fleet_url: Option<String>,
    pub(crate) overrides: &'a Value,
}

impl Chat {
    /// With its database in `dir`.
    ///
    /// # Errors
    /// When it is not built, or the directory cannot be written.
    pub(crate) fn start(dir: &Path, logs: &Path, wishes: Wishes<'_>) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
        let Wishes { port, tokens, fleet_url, overrides } = wishes;
        let mut base = json!({
            "data_dir": dir,
            "token_keys": tokens.public(),
            "http": {
                "listen": config::loopback(port),
                // The edge. Who comes from another loopback address is another person.
                "trusted_proxies": ["127.0.0.1/32"],
            },
        });
        if let Some(url) = fleet_url {
            config::merge(&mut base, &json!({ "fleet_url": url }));
        }
        let file = dir.join("chat.toml");
        config::write(&file, base, overrides)?;
        let program = crate::binaries::ours("nodi-chat")?;
        let spec = Spec::new("chat", program, logs).args(["--config".as_ref(), file.as_os_str()]);
        Ok(Self { process: Process::start(spec)?, port, tokens })
    }

    /// Past the edge.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Past the edge.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.port)
    }

    /// Who is in which room.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn rooms(&self) -> Result<Rooms, Error> {
        let url = format!("{}/rooms", self.url());
        let http = |source| Error::Http { url: url.clone(), source };
        let client = reqwest::Client::builder().no_proxy().build().map_err(http)?;
        client.get(&url).send().await.map_err(http)?.json().await.map_err(http)
    }
}
