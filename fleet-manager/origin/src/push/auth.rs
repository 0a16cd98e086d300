//! Who may push what: the stream key of every request, against the fleet's public keys and the
//! revocation document as they are now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::{Grant, Refusal, StreamKey, Verifier};
use nodi_protocol::{BoxId, ChannelId};
use tokio::sync::watch;

use super::error::Error;

/// Keys whose signature was found good lately. A live channel sends a dozen requests a second and a
/// signature costs as much as the rest of one.
const MAX_KNOWN: usize = 4_096;

/// What keys are checked against.
#[derive(Debug, Clone)]
pub struct Trust {
    pub verifier: Verifier,
    pub revocations: Revocations,
}

#[derive(Debug)]
pub struct Authority {
    trust: watch::Receiver<Arc<Trust>>,
    /// Only good ones; thrown away whenever the trust changes.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    of: Option<Arc<Trust>>,
    grants: HashMap<String, Grant>,
}

impl Authority {
    #[must_use]
    pub fn new(trust: watch::Receiver<Arc<Trust>>) -> Self {
        Self { trust, known: Mutex::default() }
    }

    /// Follows the files.
    pub fn follow(&self) -> watch::Receiver<Arc<Trust>> {
        self.trust.clone()
    }

    /// Before anything else of a request is looked at.
    ///
    /// # Errors
    /// When the box was revoked.
    pub fn admit(&self, box_id: Option<&BoxId>) -> Result<(), Error> {
        let revoked = &self.trust.borrow().revocations.revoked_boxes;
        if box_id.is_some_and(|id| revoked.contains(id)) { Err(Error::RevokedBox) } else { Ok(()) }
    }

    /// The grant of the request's key, if it is good now and for `channel`.
    ///
    /// # Errors
    /// Which way the key is bad.
    pub fn check(&self, headers: &HeaderMap, channel: &ChannelId, now_unix_s: u64) -> Result<Grant, Error> {
        let text = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, key)| key.trim())
            .ok_or(Error::NoKey)?;
        let grant = self.grant(text, now_unix_s)?;
        if grant.channel == *channel { Ok(grant) } else { Err(Error::OtherChannel(grant.channel)) }
    }

    fn grant(&self, text: &str, now_unix_s: u64) -> Result<Grant, Refusal> {
        let trust = Arc::clone(&self.trust.borrow());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &trust)) || known.grants.len() >= MAX_KNOWN {
            *known = Known { of: Some(Arc::clone(&trust)), grants: HashMap::new() };
        }
        if let Some(grant) = known.grants.get(text) {
            // The signature and the version cannot have changed since, the time has.
            return match grant.expires_at {
                Some(expires_at) if expires_at <= now_unix_s => Err(Refusal::Expired),
                _ => Ok(grant.clone()),
            };
        }
        let grant = trust.verifier.verify(&StreamKey::from_text(text), now_unix_s, &trust.revocations)?;
        known.grants.insert(text.to_owned(), grant.clone());
        Ok(grant)
    }
}
