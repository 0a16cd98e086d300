//! Updates of the software: what a box shall become, and how far it is. The states and who keeps them are in
//! docs/interfaces.md section 13.

use serde::{Deserialize, Serialize};

use crate::UpdateId;

/// Retained on `boxes/<id>/update` until the fleet server saw its final state; empty: withdrawn. A box that has begun to
/// install does not stop for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Order {
    pub id: UpdateId,
    /// By the fleet server's clock, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// A box that has not begun to download by then never begins: the state is `expired`.
    pub expires_ms: u64,
    pub bundle: Bundle,
    /// Also while something is live, and outside the maintenance windows.
    #[serde(default)]
    pub force: bool,
    #[serde(default)]
    pub deadlines: Deadlines,
}

/// A RAUC bundle, and where to get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bundle {
    /// As its manifest says.
    pub version: String,
    /// As its manifest says: board and L4T release, such as `nodi-p3768-0000-p3767-0000-l4t-r39.2`.
    pub compatible: String,
    /// Answers range requests.
    pub url: String,
    /// For `Authorization: Bearer` at `url`; absent where anybody may download it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub bytes: u64,
    /// In lower-case hexadecimal.
    pub sha256: String,
}

/// How long each state may last, in seconds. What lasts longer has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    pub download_s: u32,
    pub install_s: u32,
    /// From asking for the reboot to the agent's first word of the new slot.
    pub reboot_s: u32,
    /// The health gate's window in the new slot.
    pub trial_s: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        // 1 GB over 2 Mbit/s is 67 minutes; an eMMC writes as much in 2.
        Self { download_s: 6 * 3600, install_s: 1800, reboot_s: 600, trial_s: 300 }
    }
}

/// Retained on `boxes/<id>/update/status`; each state is on the box's disk before it is said, and before what it names begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    pub id: UpdateId,
    pub state: State,
    /// 0 to 100 of this state, where it can be told.
    pub progress: Option<u8>,
    /// What it does or waits for now, or exactly why it ended as it did.
    pub message: String,
    /// Version of the software before.
    pub from: String,
    /// Version that the order names.
    pub to: String,
    /// That runs now, as RAUC names it, such as `A`.
    pub slot: Option<String>,
    /// When this state has lasted too long, by the box's clock, in milliseconds since the Unix epoch.
    pub deadline_ms: Option<u64>,
    pub boot_id: String,
    /// By the box's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// For live sessions to end, for a maintenance window, or for what preflight wants and may come by itself (the time, free space).
    Waiting,
    Downloading,
    Installing,
    Rebooting,
    /// The new slot runs and is not marked good yet.
    Trial,
    /// The new slot is marked good.
    Confirmed,
    /// The old slot runs again.
    RolledBack,
    /// Ended before the new slot was switched to.
    Failed,
    Expired,
    Withdrawn,
}

impl State {
    /// Nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::RolledBack | Self::Failed | Self::Expired | Self::Withdrawn)
    }
}

/// When a box may reboot for an update by itself: [`super::desired::Settings::maintenance`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On which it begins, in UTC; empty: every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// Minute of the day at which it begins, in UTC, 0 to 1439.
    pub start_minute: u16,
    /// How long it is, 15 to 1440 minutes; it may reach into the next day.
    pub minutes: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}
