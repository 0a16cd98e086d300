//! What every task of the process shares.

use std::sync::Arc;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::server::{Code, Refused};
use nodi_protocol::chat::token::{Claims, Refusal, Verifier};
use tokio::sync::watch;

use crate::bus::Bus;
use crate::clock;
use crate::config::Config;
use crate::facts::Fleet;
use crate::metrics::Metrics;
use crate::room::registry::Registry;
use crate::serve::admission::Admission;
use crate::store::Store;

pub struct Service {
    pub config: Config,
    pub metrics: Metrics,
    pub rooms: Registry,
    pub admission: Arc<Admission>,
    pub bus: Box<dyn Bus>,
    pub store: Store,
    pub fleet: Option<Fleet>,
    pub keys: watch::Receiver<Arc<Verifier>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Who a token says that its bearer is. `channel`: where they want to speak; `None`: a token about the account
    /// itself is wanted.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, token: &str, channel: Option<&ChannelId>) -> Result<Claims, Refusal> {
        let keys = Arc::clone(&self.keys.borrow());
        let claims = keys.verify(token, clock::unix_ms() / 1_000)?;
        if claims.channel.as_ref() == channel { Ok(claims) } else { Err(Refusal::OtherChannel) }
    }
}

/// The answer to whom a token did not help.
#[must_use]
pub fn unauthenticated(nonce: &str, text: impl Into<String>) -> Refused {
    Refused { nonce: nonce.to_owned(), code: Code::Unauthenticated, text: text.into(), retry_ms: None }
}
