//! What a process that just started knows of a session that the broker kept: nothing is under way.

use rumqttc::{PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey};

use std::pin::Pin;

/// Vouches for an empty session, so that the client goes on with one that the broker kept.
///
/// Each connection starts with a client of its own, because what was under way on the one before has failed and
/// is the owner's to say again (with a new packet id, which for QoS 1 is allowed to the broker's eyes: it keeps no
/// state of what it has acknowledged). What the broker had under way it sends again by itself.
#[derive(Debug)]
pub(crate) struct NothingUnderWay {
    pub in_flight: u16,
    pub session_expiry_s: u32,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingUnderWay {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Answer<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.session_expiry_s),
            outgoing_inflight_upper_limit: Some(self.in_flight),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
