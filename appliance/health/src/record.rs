//! `gate.json`: what the gate says to the agent, and to itself in the next boot.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::check::Check;

/// The agent reads it through the directory's group.
const MODE: u32 = 0o640;
/// Two trials' checks are below 4 KiB.
const LARGEST: u64 = 256 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub boot_id: String,
    /// Empty: it could not be told.
    pub slot: String,
    pub trial: bool,
    /// Of the trial: `id` of `trial.json`, or `damaged`.
    #[serde(default)]
    pub id: Option<String>,
    /// `None`: it still tries.
    pub passed: Option<bool>,
    pub checks: Vec<Check>,
    /// By the system's clock, in milliseconds since the Unix epoch; the clock may be set in between.
    pub began_ms: u64,
    pub at_ms: u64,
    /// Boots before this one in which the same trial failed.
    #[serde(default)]
    pub failures: u32,
    /// The newest trial of an earlier boot: after a rollback, why.
    #[serde(default)]
    pub last_trial: Option<Judged>,
}

/// What is kept of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub id: String,
    pub boot_id: String,
    pub slot: String,
    /// `None`: the boot ended before it was judged.
    pub passed: Option<bool>,
    pub checks: Vec<Check>,
    pub at_ms: u64,
    #[serde(default)]
    pub failures: u32,
}

impl Record {
    /// `None`: there is none that can be read, which says nothing.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(record) => Some(record),
            Err(error) => {
                log::warn!(path:% = path.display(), error:%; "what the gate said before cannot be read");
                None
            }
        }
    }

    /// The newest trial that is known: this boot's, or the one before it.
    #[must_use]
    pub fn newest_trial(self) -> Option<Judged> {
        match self.id {
            Some(id) if self.trial => Some(Judged {
                id,
                boot_id: self.boot_id,
                slot: self.slot,
                passed: self.passed,
                checks: self.checks,
                at_ms: self.at_ms,
                failures: self.failures,
            }),
            _ => self.last_trial,
        }
    }

    /// Replaces the file: a power cut leaves the old one or this one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension("json.new");
        // One that a power cut left may belong to another user than us.
        let _ = std::fs::remove_file(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            boot_id: "b1".into(),
            slot: "B".into(),
            trial: true,
            id: Some("01J".into()),
            passed: Some(false),
            checks: vec![Check::of("stream", Err("nothing arrived".into()))],
            began_ms: 1,
            at_ms: 2,
            failures: 1,
            last_trial: None,
        }
    }

    #[test]
    fn it_is_replaced_whole_and_a_piece_of_it_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gate.json");
        assert_eq!(Record::read(&path), None);
        // What a power cut left in the middle of the last write.
        std::fs::write(directory.path().join("gate.json.new"), "{\"boot").unwrap();
        record().write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(record()));
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
        assert_eq!(names, ["gate.json"]);
        let text = std::fs::read(&path).unwrap();
        for len in 0..text.len() {
            std::fs::write(&path, &text[..len]).unwrap();
            assert_eq!(Record::read(&path), None, "{len} bytes");
        }
    }

    #[test]
    fn why_a_trial_failed_is_carried_on() {
        let failed = record().newest_trial().unwrap();
        let after = Record { trial: false, id: None, last_trial: Some(failed.clone()), ..record() };
        assert_eq!(after.newest_trial(), Some(failed));
        // A file of the contract without what is ours.
        let text = r#"{"boot_id": "b", "slot": "A", "trial": false, "passed": true, "checks": [], "began_ms": 1, "at_ms": 1}"#;
        assert_eq!(serde_json::from_str::<Record>(text).unwrap().newest_trial(), None);
    }
}
