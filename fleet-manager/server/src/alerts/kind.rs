//! The kinds of alert, their names and their words.

use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlertKind)]
pub enum Kind {
    BoxOffline,
    TooHot,
    Throttling,
    DiskFilling,
    EncoderFull,
    UplinkLag,
    InputUnhealthy,
    CertificateExpiring,
    CommandSilent,
    RolloutHalted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Warning,
    Critical,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::BoxOffline,
        Self::TooHot,
        Self::Throttling,
        Self::DiskFilling,
        Self::EncoderFull,
        Self::UplinkLag,
        Self::InputUnhealthy,
        Self::CertificateExpiring,
        Self::CommandSilent,
        Self::RolloutHalted,
    ];

    /// In the API and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BoxOffline => "box_offline",
            Self::TooHot => "too_hot",
            Self::Throttling => "throttling",
            Self::DiskFilling => "disk_filling",
            Self::EncoderFull => "encoder_full",
            Self::UplinkLag => "uplink_lag",
            Self::InputUnhealthy => "input_unhealthy",
            Self::CertificateExpiring => "certificate_expiring",
            Self::CommandSilent => "command_silent",
            Self::RolloutHalted => "rollout_halted",
        }
    }

    /// # Errors
    /// When the database holds something else.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::Internal(format!("database: no kind of alert {name:?}")))
    }

    /// Why an alert ended, when what it was about got better.
    #[must_use]
    pub fn end_reason(self) -> &'static str {
        match self {
            Self::BoxOffline => "It is connected again.",
            Self::TooHot => "It has cooled down.",
            Self::Throttling => "Its clocks run freely again.",
            Self::DiskFilling => "There is room on its disk again.",
            Self::EncoderFull => "Its encoder has room again.",
            Self::UplinkLag => "Its uplink has caught up.",
            Self::InputUnhealthy => "What the encoder sends is fine again.",
            Self::CertificateExpiring => "It has a new certificate.",
            Self::CommandSilent => "The box has said how it ended.",
            Self::RolloutHalted => "It goes on, or it was ended.",
        }
    }

    /// Why an alert ended, when what it was about is no longer there.
    #[must_use]
    pub fn gone_reason(self) -> &'static str {
        match self {
            Self::InputUnhealthy => "The stream has ended.",
            Self::CommandSilent => "The box has said how it ended, or a day has passed.",
            Self::RolloutHalted => "It goes on, or it was ended.",
            _ => "The box is no longer part of the fleet.",
        }
    }
}

impl Severity {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// # Errors
    /// When the database holds something else, which its own checks forbid.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            _ => Err(Error::Internal(format!("database: no severity {name:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
            assert_eq!(Kind::from_name(kind.name()).unwrap(), kind);
        }
    }
}
