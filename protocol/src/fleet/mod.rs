//! The MQTT contract between the fleet server and the boxes: MQTT 5, QoS 1, JSON with a schema version.
//! Topics are built and parsed by [`topic`] alone; each payload has its own module.
//!
//! An acknowledgement by the broker says nothing about the other side. What must not be lost is
//! acknowledged by the application: a command's final status by the server clearing the command, an
//! event by [`event::Ack`].

pub mod command;
pub mod desired;
pub mod event;
pub mod presence;
pub mod session;
pub mod telemetry;
pub mod topic;
pub mod update;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The schema of every payload here that this build writes and reads.
pub const SCHEMA: u32 = 1;
/// Longest payload that either side reads or writes, in bytes; the broker is configured to the same.
/// A session with eight rungs and every warning is below 16 KiB.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// Why a payload is not usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("{what} has schema {schema}, this build reads {SCHEMA}")]
    Schema { what: &'static str, schema: u32 },
    #[error("{what} of {len} bytes, more than {MAX_PAYLOAD}")]
    TooLong { what: &'static str, len: usize },
}

/// A payload with its schema version. Unknown fields are skipped, so that a newer peer may add some.
pub trait Payload: Serialize + DeserializeOwned {
    /// Names it in errors.
    const WHAT: &'static str;

    /// # Errors
    /// When it is not JSON of this schema, or too long.
    fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(Error::TooLong { what: Self::WHAT, len: bytes.len() });
        }
        let json = |source| Error::Json { what: Self::WHAT, source };
        // The version first: a later schema is named as such, whatever else it changed.
        let Versioned { schema } = serde_json::from_slice(bytes).map_err(json)?;
        if schema != SCHEMA {
            return Err(Error::Schema { what: Self::WHAT, schema });
        }
        serde_json::from_slice(bytes).map_err(json)
    }

    /// # Errors
    /// When it is longer than the other side reads.
    fn to_json(&self) -> Result<Vec<u8>, Error> {
        #[derive(Serialize)]
        struct Out<'a, T> {
            schema: u32,
            #[serde(flatten)]
            payload: &'a T,
        }
        let bytes = serde_json::to_vec(&Out { schema: SCHEMA, payload: self })
            .map_err(|source| Error::Json { what: Self::WHAT, source })?;
        if bytes.len() > MAX_PAYLOAD {
            return Err(Error::TooLong { what: Self::WHAT, len: bytes.len() });
        }
        Ok(bytes)
    }
}

#[derive(serde::Deserialize)]
struct Versioned {
    schema: u32,
}

/// Declares what names a type in errors.
macro_rules! payload {
    ($($type:ty: $what:literal),+ $(,)?) => {
        $(impl Payload for $type { const WHAT: &'static str = $what; })+
    };
}

payload! {
    presence::Presence: "presence",
    desired::Desired: "desired state",
    desired::Reported: "reported state",
    telemetry::Telemetry: "telemetry",
    session::Session: "session report",
    command::Command: "command",
    command::Status: "command status",
    event::Event: "event",
    event::Ack: "acknowledgement of events",
    update::Order: "update",
    update::Report: "update report",
}
