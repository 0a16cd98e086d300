//! What the box could still take: by its encoder, and by its line.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nodi_protocol::fleet::desired::Reported;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::host::CommandLine;

const MODE: u32 = 0o644;
/// The first time the machine is measured.
const LIMIT: Duration = Duration::from_secs(120);
/// After a failure: the encoder's driver may still be loading.
const RETRY: Duration = Duration::from_secs(300);

/// What the line to the outside was seen to carry. A clonable handle.
#[derive(Debug, Clone)]
pub struct LineRate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Seen {
    /// By command, in bit/s.
    measured: Option<u64>,
    /// The most that live streams took since then, in bit/s.
    #[serde(skip)]
    sustained: Option<u64>,
}

impl LineRate {
    /// `path` keeps the last measurement.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let seen = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self(Arc::new(Inner { path: path.to_owned(), seen: Mutex::new(seen.unwrap_or_default()) }))
    }

    /// A measurement by command replaces whatever was known.
    pub fn measured(&self, bits_per_s: u64) {
        let seen = Seen { measured: Some(bits_per_s), sustained: None };
        *self.lock() = seen;
        let written = serde_json::to_vec(&seen)
            .map_err(std::io::Error::other)
            .and_then(|bytes| crate::files::replace(&self.0.path, &bytes, MODE));
        if let Err(error) = written {
            log::warn!(error:%; "the measurement of the uplink will be forgotten");
        }
    }

    /// So much went out over a whole interval of telemetry. It says what the line carries only if streams waited for
    /// it (`saturated`), or if it is more than what was measured: one small stream is no small line.
    pub(super) fn sustained(&self, bits_per_s: u64, saturated: bool) {
        let mut seen = self.lock();
        if bits_per_s > 0 && (saturated || seen.measured.is_some()) {
            seen.sustained = seen.sustained.max(Some(bits_per_s));
        }
    }

    /// In bit/s.
    #[must_use]
    pub fn best(&self) -> Option<u64> {
        let seen = self.lock();
        seen.measured.max(seen.sustained)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Two numbers, written whole.
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Body of what `nodi-transcode capacity` prints, as far as it is of use.
#[derive(Debug, Deserialize)]
struct Printed {
    sessions: f64,
}

/// How many sessions of the full ladder the encoder carries; asks again when the ladder in force is another one.
pub async fn follow_encoder(
    command: CommandLine,
    mut reported: watch::Receiver<Reported>,
    capacity: watch::Sender<Option<f64>>,
) {
    loop {
        let ladder = reported.borrow_and_update().settings.ladder.clone();
        let printed = match command.run(LIMIT).await.and_then(crate::host::Ended::expect_success) {
            Ok(output) => serde_json::from_slice::<Printed>(&output).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let known = match printed {
            Ok(Printed { sessions }) if sessions > 0.0 => Some(sessions),
            Ok(_) => None,
            Err(error) => {
                log::warn!(error; "how many sessions the encoder carries is not known");
                None
            }
        };
        capacity.send_replace(known);
        let retry = async {
            match known {
                Some(_) => std::future::pending().await,
                None => tokio::time::sleep(RETRY).await,
            }
        };
        // Whether nobody is left who could change it.
        let changed =
            async { reported.wait_for(|reported| reported.settings.ladder != ladder).await.is_err() };
        tokio::select! {
            gone = changed => if gone {
                std::future::pending::<()>().await;
            },
            () = retry => {}
        }
    }
}

/// What of the encoder is taken, 0 to 1, and how many more sessions fit.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both are small and at least 0")]
pub(super) fn taken_and_spare(sessions: u32, capacity: f64) -> (f32, u32) {
    let taken = f64::from(sessions) / capacity;
    // One that nearly fits is one that loses a rung.
    let spare = (capacity - f64::from(sessions)).floor().max(0.0);
    (taken.min(1.0) as f32, spare as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_remembered_and_live_streams_may_show_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("line.json");
        let rate = LineRate::open(&path);
        assert_eq!(rate.best(), None);
        rate.sustained(0, true);
        rate.sustained(700_000, false);
        assert_eq!(rate.best(), None, "the line may carry more");
        rate.sustained(8_000_000, true);
        rate.sustained(3_000_000, true);
        assert_eq!(rate.best(), Some(8_000_000));
        rate.measured(5_000_000);
        assert_eq!(rate.best(), Some(5_000_000), "the line is worse than it was");
        assert_eq!(LineRate::open(&path).best(), Some(5_000_000));
        rate.sustained(6_000_000, false);
        assert_eq!(rate.best(), Some(6_000_000), "it carries more than was measured");
    }

    #[test]
    fn only_whole_sessions_are_spare() {
        assert_eq!(taken_and_spare(0, 7.7), (0.0, 7));
        assert_eq!(taken_and_spare(7, 7.7).1, 0);
        assert_eq!(taken_and_spare(9, 7.7), (1.0, 0));
    }
}
