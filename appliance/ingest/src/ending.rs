//! Why a connection ends, in words for the streamer, as a code for the encoder, and as a label for the metrics.

use std::time::Duration;

use nodi_protocol::stream_key::Refusal;
use nodi_rtmp::code;

use crate::admission::Full;
use crate::handover::NoWorker;
use crate::keys::Denial;
use crate::mailbox::Order;
use crate::throttle;

#[derive(Debug, thiserror::Error)]
pub enum Ending {
    /// In good order; the publisher may publish again on the same connection.
    #[error("the publisher ended the stream")]
    Unpublished,
    /// The publisher hung up.
    #[error("the publisher hung up")]
    Disconnected,
    #[error("the publisher's connection broke: {0}")]
    Broken(std::io::Error),
    #[error("no TLS connection came about: {0}")]
    Tls(std::io::Error),
    #[error(transparent)]
    Protocol(#[from] nodi_rtmp::Error),
    #[error("the handshake took longer than {} s", .0.as_secs())]
    HandshakeTimeout(Duration),
    #[error("nothing was published within {} s", .0.as_secs())]
    PublishTimeout(Duration),
    #[error("more than {0} bytes before anything was published")]
    UnauthenticatedBytes(u64),
    #[error(transparent)]
    Full(#[from] Full),
    /// The operators empty this box.
    #[error("this server takes no new streams now; use another server")]
    Draining,
    #[error(transparent)]
    Throttled(#[from] throttle::Refused),
    #[error(transparent)]
    Denied(#[from] Denial),
    #[error(transparent)]
    Ordered(#[from] Order),
    #[error("{codec} is not supported yet: choose {instead} in your encoder")]
    Codec { codec: String, instead: &'static str },
    #[error("the codec configuration cannot be used: {0}")]
    Configuration(String),
    #[error(
        "{width}x{height} at {fps:.0} frames per second is more than this server takes: lower the resolution or the frame rate"
    )]
    PixelRate { width: u32, height: u32, fps: f64 },
    #[error(
        "{} Mbit/s over {window_s} s is more than the {} Mbit/s that this server takes: lower the bitrate",
        .bps.div_ceil(1_000_000), .limit_bps / 1_000_000
    )]
    Bitrate { bps: u64, limit_bps: u64, window_s: u64 },
    #[error("nothing was received for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("no audio or video was received for {} s", .0.as_secs())]
    MediaIdle(Duration),
    #[error(transparent)]
    NoWorker(#[from] NoWorker),
    /// The text is for the streamer; the log has the cause.
    #[error("this server cannot take the stream now; try again later or use another server")]
    Internal,
}

impl Ending {
    /// The status code that the encoder gets, if it gets one.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Unpublished
            | Self::Disconnected
            | Self::Broken(_)
            | Self::Tls(_)
            | Self::HandshakeTimeout(_)
            | Self::PublishTimeout(_)
            | Self::UnauthenticatedBytes(_) => None,
            // A newer publisher, or a restart, is not the streamer's fault.
            Self::Ordered(Order::Superseded | Order::Shutdown) => Some(code::UNPUBLISH_SUCCESS),
            _ => Some(code::PUBLISH_BAD_NAME),
        }
    }

    /// A stable name for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unpublished => "unpublished",
            Self::Disconnected => "disconnected",
            Self::Broken(_) => "broken",
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
            Self::HandshakeTimeout(_) => "handshake_timeout",
            Self::PublishTimeout(_) => "publish_timeout",
            Self::UnauthenticatedBytes(_) => "unauthenticated_bytes",
            Self::Full(Full::Total) => "connections",
            Self::Full(Full::Address) => "connections_per_address",
            Self::Draining => "draining",
            Self::Throttled(_) => "throttled",
            Self::Denied(Denial::NotReady) => "not_ready",
            Self::Denied(Denial::SelfTest(_)) => "self_test",
            Self::Denied(Denial::Key(Refusal::Suspended)) | Self::Ordered(Order::Suspended) => "suspended",
            Self::Denied(Denial::Key(_)) => "stream_key",
            Self::Ordered(Order::Superseded) => "superseded",
            Self::Ordered(Order::Revoked) => "revoked",
            Self::Ordered(Order::Asked(_)) => "asked",
            Self::Ordered(Order::Shutdown) => "shutdown",
            Self::Codec { .. } => "codec",
            Self::Configuration(_) => "configuration",
            Self::PixelRate { .. } => "pixel_rate",
            Self::Bitrate { .. } => "bitrate",
            Self::Idle(_) => "idle",
            Self::MediaIdle(_) => "media_idle",
            Self::NoWorker(_) => "no_worker",
            Self::Internal => "internal",
        }
    }
}
