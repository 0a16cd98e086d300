//! All channels of this origin.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nodi_protocol::push::{Claim, Claimed};
use nodi_protocol::revocation::Revocations;
use nodi_protocol::{ChannelId, SessionId};

use crate::channel::{Channel, Claimant, Settings, Tick};
use crate::push::error::Error;

#[derive(Debug)]
pub struct Registry {
    settings: Arc<Settings>,
    channels: RwLock<HashMap<String, Arc<Channel>>>,
}

impl Registry {
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, channels: RwLock::default() }
    }

    #[must_use]
    pub fn get(&self, channel: &str) -> Option<Arc<Channel>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).get(channel).cloned()
    }

    #[must_use]
    pub fn all(&self) -> Vec<Arc<Channel>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// # Errors
    /// See [`Channel::claim`]; also when there are too many channels.
    pub fn claim(
        &self,
        id: &ChannelId,
        session: SessionId,
        claim: Claim,
        by: Claimant,
    ) -> Result<Claimed, Error> {
        // Held until the claim is through, so that the sweep cannot drop the channel in between.
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(id.as_str()) {
            return channel.claim(session, claim, by);
        }
        if channels.len() >= self.settings.limits.channels {
            return Err(Error::TooManyChannels(self.settings.limits.channels));
        }
        let channel = Arc::new(Channel::new(id.clone(), Arc::clone(&self.settings)));
        let claimed = channel.claim(session, claim, by)?;
        channels.insert(id.as_str().to_owned(), channel);
        Ok(claimed)
    }

    /// Ends the sessions whose key, box or channel may not push any more.
    pub fn revoke(&self, revocations: &Revocations) {
        for channel in self.all() {
            if let Some(cut) = channel.revoke(revocations) {
                log::warn!(channel:% = channel.id(); "session ended: {cut}");
            }
        }
    }

    /// Looks at all deadlines; drops the channels that are over.
    pub fn tick(&self, now: Duration) {
        let over = self.all().iter().filter(|channel| channel.tick(now) == Tick::Drop).count() > 0;
        if over {
            let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
            channels.retain(|_, channel| match channel.tick(now) {
                Tick::Keep => true,
                Tick::Drop => {
                    log::info!(channel:% = channel.id(); "channel dropped: it ended and its last window is over");
                    channel.dissolve();
                    false
                }
            });
        }
    }
}
