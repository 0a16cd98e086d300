//! What a connection has to say to its owner.

use std::fmt;

use nodi_flv::Tag;

use crate::enhanced::Offer;
use crate::key_candidates;

/// What `connect` said. Its texts may hold the stream key: `Debug` does not show them.
#[derive(Clone, Default, PartialEq)]
pub struct Connect {
    /// The application, such as `live`; with the stream key in the URL also the key.
    pub app: String,
    /// The URL that the client connected to.
    pub tc_url: String,
    /// The client as it names itself, such as `FMLE/3.0 (compatible; FMSc/1.0)`. Empty if it does not.
    pub flash_version: String,
    pub enhanced: Offer,
}

/// What `publish` asked for. Its texts may hold the stream key: `Debug` does not show them.
#[derive(Clone, PartialEq)]
pub struct Publish {
    /// The stream name: usually the stream key. May be empty.
    pub name: String,
    /// `live`, `record`, `append`, or what the client made up.
    pub kind: String,
    pub connect: Connect,
}

impl Publish {
    /// See [`key_candidates`].
    #[must_use]
    pub fn key_candidates(&self) -> Vec<&str> {
        key_candidates(&self.connect.app, &self.connect.tc_url, &self.name)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("flash_version", &self.flash_version)
            .field("enhanced", &self.enhanced)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("kind", &self.kind)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// How a publisher ended its stream in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnpublishReason {
    FcUnpublish,
    CloseStream,
    DeleteStream,
}

/// What the caller has to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Answer with [`Connection::accept_connect`](crate::Connection::accept_connect) or [`Connection::refuse_connect`](crate::Connection::refuse_connect).
    Connect(Connect),
    /// Answer with [`Connection::accept_publish`](crate::Connection::accept_publish) or [`Connection::refuse_publish`](crate::Connection::refuse_publish).
    Publish(Publish),
    /// Media or metadata of the accepted stream, as the FLV tag that it is; `@setDataFrame` is taken off.
    Tag(Tag),
    /// The publisher is done; it may publish again or hang up.
    Unpublish(UnpublishReason),
    /// The answer to [`Connection::ping`](crate::Connection::ping).
    Pong { timestamp_ms: u32 },
}
