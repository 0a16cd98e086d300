//! Session ids that only ever rise on this box. Of two sessions of a channel the greater id wins
//! everywhere, so a clock that was set back (boards have no battery) must not make a new session
//! look older than an earlier one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodi_protocol::SessionId;

/// A remembered time further ahead of the clock than this is a clock fault of the past, not a session to
/// stay ahead of: following it would put wrong times on every session for ever.
const FARTHEST_AHEAD: Duration = Duration::from_secs(366 * 24 * 3600);

#[derive(Debug)]
pub struct SessionIds {
    newest_ms: u64,
    file: Option<PathBuf>,
}

impl SessionIds {
    /// Starts after the session that `file` remembers; an unreadable file is a warning.
    #[must_use]
    pub fn open(file: Option<&Path>, now: SystemTime) -> Self {
        let newest_ms = file.map_or(0, |path| match std::fs::read_to_string(path) {
            Ok(text) => text.trim().parse::<SessionId>().map_or_else(
                |error| {
                    log::warn!(path:% = path.display(), error:%; "the newest session is not readable");
                    0
                },
                SessionId::unix_ms,
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                log::warn!(path:% = path.display(), error:%; "the newest session is not readable");
                0
            }
        });
        let farthest = unix_ms(now + FARTHEST_AHEAD);
        // A clock that starts in 1970 says nothing about what is too far ahead.
        let clock_is_set = unix_ms(now) > PLAUSIBLE_MS;
        let newest_ms = if clock_is_set && newest_ms > farthest { 0 } else { newest_ms };
        Self { newest_ms, file: file.map(Path::to_owned) }
    }

    /// The id of a session that starts `now`.
    pub fn next(&mut self, now: SystemTime, random: u128) -> SessionId {
        self.newest_ms = unix_ms(now).max(self.newest_ms + 1);
        let id = SessionId::new(self.newest_ms, random);
        if let Some(path) = &self.file
            && let Err(error) = remember(path, id)
        {
            log::warn!(path:% = path.display(), error:%; "cannot remember the newest session");
        }
        id
    }
}

/// 2020-01-01: no box of ours is older.
const PLAUSIBLE_MS: u64 = 1_577_836_800_000;

fn remember(path: &Path, id: SessionId) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, format!("{id}\n"))?;
    std::fs::rename(&unfinished, path)
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn ids_rise_within_a_millisecond_and_when_the_clock_steps_back() {
        let mut ids = SessionIds::open(None, at(NOW_MS));
        let first = ids.next(at(NOW_MS), u128::MAX);
        let second = ids.next(at(NOW_MS), 0);
        let third = ids.next(at(5), 0);
        assert_eq!(first.unix_ms(), NOW_MS);
        assert!(first < second && second < third);
    }

    #[test]
    fn ids_rise_across_a_restart_with_the_clock_in_1970() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("newest-session");
        let before = SessionIds::open(Some(&path), at(NOW_MS)).next(at(NOW_MS), u128::MAX);
        let after = SessionIds::open(Some(&path), at(10)).next(at(10), 0);
        assert!(before < after);
    }

    #[test]
    fn a_fault_of_the_clock_is_not_followed_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("newest-session");
        let far = NOW_MS + 10 * 366 * 24 * 3600 * 1000;
        SessionIds::open(Some(&path), at(far)).next(at(far), 0);
        assert_eq!(SessionIds::open(Some(&path), at(NOW_MS)).next(at(NOW_MS), 0).unix_ms(), NOW_MS);
        std::fs::write(&path, "not a session").unwrap();
        assert_eq!(SessionIds::open(Some(&path), at(NOW_MS)).next(at(NOW_MS), 0).unix_ms(), NOW_MS);
    }
}
