//! What is on disk of an update.

use nodi_protocol::fleet::update::{Order, Report};
use serde::{Deserialize, Serialize};

/// An order, how far it is, and what is needed to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Without its token once it is over.
    pub order: Order,
    pub report: Report,
    #[serde(default)]
    pub facts: Facts,
}

/// Known to this box alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    /// When the state began.
    pub began: Moment,
    /// That ran when the installation began, and that it is written to: boot names.
    pub from_slot: String,
    pub slot: String,
    /// How often RAUC was asked to install.
    pub installs: u32,
    /// RAUC's last error before that.
    pub error_before: String,
    /// Why the agent itself went back to the old slot.
    pub given_up: String,
    /// The new slot failed its trial, and there is none to go back to.
    pub stays: bool,
    /// It is over, and nothing of it is left: no bundle, no `trial.json`, and what runs is what boots next.
    pub settled: bool,
}

/// A point in time that can be measured from, also after a restart, and while the clock is being put right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Moment {
    pub boot_id: String,
    pub since_boot_ms: u64,
    /// By the box's clock.
    pub at_ms: u64,
}

impl Moment {
    /// Milliseconds from `self` to `now`: within one boot by the time since boot, which nobody sets.
    pub(crate) fn elapsed_ms(&self, now: &Self) -> u64 {
        if self.boot_id == now.boot_id {
            now.since_boot_ms.saturating_sub(self.since_boot_ms)
        } else {
            now.at_ms.saturating_sub(self.at_ms)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_changes_no_duration_within_a_boot() {
        let moment =
            |boot: &str, since_boot_ms, at_ms| Moment { boot_id: boot.to_owned(), since_boot_ms, at_ms };
        let began = moment("a", 5_000, 1_000);
        assert_eq!(began.elapsed_ms(&moment("a", 9_000, 900_000_000)), 4_000);
        assert_eq!(began.elapsed_ms(&moment("b", 1_000, 61_000)), 60_000);
        assert_eq!(began.elapsed_ms(&moment("b", 1_000, 0)), 0, "a clock that went back");
    }
}
