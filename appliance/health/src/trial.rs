//! `trial.json`: whether there is a trial, and of what.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// A name, an id and some numbers; anything longer is not it.
const LARGEST: u64 = 64 << 10;
/// The unit's own `TimeoutStartSec=` is longer than this, so that the gate and not systemd decides.
const LONGEST_S: u64 = 2_400;

/// As the agent writes it. What else is in it is a newer agent's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Trial {
    /// Of the order.
    pub id: String,
    /// The slot that is tried.
    pub slot: String,
    /// In seconds; absent: the gate's own.
    #[serde(default)]
    trial_s: Option<u64>,
    /// The agent was connected to the broker shortly before.
    #[serde(default)]
    pub broker: bool,
}

impl Trial {
    /// At least `shortest_s`, and within the unit's patience.
    #[must_use]
    pub fn window(&self, default_s: u64, shortest_s: u64) -> Duration {
        Duration::from_secs(self.trial_s.unwrap_or(default_s).max(shortest_s).min(LONGEST_S))
    }

    /// Of whatever runs, when the file cannot be read.
    #[must_use]
    pub fn unknown() -> Self {
        Self { id: DAMAGED.to_owned(), slot: String::new(), trial_s: None, broker: false }
    }
}

/// In the place of an order's id.
pub const DAMAGED: &str = "damaged";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Trial(Trial),
    /// There is something, and it cannot be used.
    Damaged(String),
}

/// Looks at `path`.
#[must_use]
pub fn read(path: &Path) -> Found {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Damaged(error.to_string()),
    }
    match serde_json::from_slice::<Trial>(&bytes) {
        Ok(trial) if !matches!(trial.slot.as_str(), "A" | "B") => {
            Found::Damaged(format!("slot {:?} is neither A nor B", trial.slot))
        }
        Ok(trial) if trial.id.is_empty() || trial.id == DAMAGED => Found::Damaged("it has no id".to_owned()),
        Ok(trial) => Found::Trial(trial),
        Err(error) => Found::Damaged(error.to_string()),
    }
}

/// Takes a file that was judged once out of the way, for whoever wants to look at it.
pub fn set_aside(path: &Path) {
    if let Err(error) = std::fs::rename(path, path.with_extension("damaged")) {
        log::error!(path:% = path.display(), error:%; "cannot put the damaged file aside");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Found {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    const WHOLE: &str =
        r#"{"id": "01J", "slot": "B", "from_slot": "A", "to": "1.2.0", "trial_s": 120, "broker": true}"#;

    #[test]
    fn what_the_agent_writes_is_understood() {
        let Found::Trial(trial) = found(WHOLE.as_bytes()) else { panic!("no trial") };
        assert_eq!((trial.id.as_str(), trial.slot.as_str(), trial.broker), ("01J", "B", true));
        assert_eq!(trial.window(300, 30), Duration::from_secs(120));
        assert!(
            matches!(found(br#"{"id": "x", "slot": "A", "more": [1]}"#), Found::Trial(trial) if !trial.broker)
        );
        assert_eq!(read(Path::new("/nowhere/trial.json")), Found::Nothing);
    }

    #[test]
    fn no_piece_of_it_is_taken_for_no_trial() {
        for len in 0..WHOLE.len() {
            assert!(matches!(found(&WHOLE.as_bytes()[..len]), Found::Damaged(_)), "{len} bytes");
        }
        for text in [
            "null",
            "[]",
            "{}",
            "\0\0\0\0",
            r#"{"id": "01J", "slot": "rootfs.1"}"#,
            r#"{"id": "", "slot": "A"}"#,
            r#"{"id": "01J", "slot": "A", "trial_s": -1}"#,
        ] {
            assert!(matches!(found(text.as_bytes()), Found::Damaged(_)), "{text}");
        }
        assert!(matches!(read(Path::new("/proc")), Found::Damaged(_)), "what cannot be read is there");
    }

    #[test]
    fn the_window_has_bounds() {
        let window = |trial_s| Trial { trial_s, ..Trial::unknown() }.window(300, 30).as_secs();
        assert_eq!([window(Some(0)), window(Some(u64::MAX)), window(None)], [30, LONGEST_S, 300]);
    }
}
