//! Whether a box is there.

use serde::{Deserialize, Serialize};

/// Retained on `boxes/<id>/presence`; the last will is the same with `online: false`. A will may arrive
/// late: a server takes it only when its `connection` is the newest that it saw of that box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Presence {
    pub online: bool,
    /// Of the kernel: a new one means that the box was started anew.
    pub boot_id: String,
    /// Rises with every connection of this box to the broker, over restarts of box and agent.
    pub connection: u64,
    /// Of the software on the box.
    pub version: String,
    /// When it was said, by the box's clock, in milliseconds since the Unix epoch. For a last will:
    /// when the connection was made.
    pub at_ms: u64,
    pub hardware: Option<Hardware>,
}

/// What kind of box it is, and where encoders find it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Hardware {
    /// As the device tree or the firmware names it, such as `NVIDIA Jetson Orin NX Engineering Reference Developer Kit`.
    pub model: String,
    pub serial: String,
    /// `aarch64`, `x86_64`.
    pub architecture: String,
    pub cores: u32,
    pub memory_bytes: u64,
    /// `jetson` or `software`: what encodes.
    pub encoder: String,
    /// Of the operating system, such as `Debian GNU/Linux 12` or an image's version.
    pub os: String,
    pub kernel: String,
    /// Jetson Linux (L4T) release, such as `36.4.4`.
    pub l4t: Option<String>,
    /// What a bundle for this box says as `compatible`; absent where the box is not one that takes updates.
    pub compatible: Option<String>,
    /// Where encoders publish to, without the stream key, such as `rtmp://box.example:1935/live`: from the agent's
    /// configuration, since a box behind a router cannot know how it is reached.
    pub rtmp_url: Option<String>,
    /// The same over TLS, such as `rtmps://box.example:1936/live`.
    pub rtmps_url: Option<String>,
}
