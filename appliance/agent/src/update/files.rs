//! The files through which agent, health gate and boot loader meet (docs/interfaces.md section 13), and the bundle.

use std::io;
use std::path::{Path, PathBuf};

use nodi_protocol::UpdateId;
use serde::{Deserialize, Serialize};

use crate::files::replace;

/// Everybody on the box may read them.
const MODE: u32 = 0o644;
/// Largest `gate.json` that is read, in bytes: some dozens of checks with a line each.
const LARGEST: u64 = 64 << 10;
/// The check that is about the other slot.
const WAY_BACK: &str = "way_back";
/// A reason out of it, in characters.
const SHOWN: usize = 120;

/// `trial.json`: which slot is on trial. Written before RAUC is asked, so that no slot boots untried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    pub id: UpdateId,
    pub slot: String,
    pub from_slot: String,
    pub to: String,
    pub trial_s: u32,
    /// The agent was connected to the broker within the last minute: the new software has to be, too.
    pub broker: bool,
}

/// `gate.json`: what the health gate found in this boot, and in the newest trial before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Gate {
    pub boot_id: String,
    pub slot: String,
    pub trial: bool,
    /// Of the update that is tried.
    pub id: Option<String>,
    /// `None` while it tries.
    pub passed: Option<bool>,
    pub checks: Vec<Check>,
    pub last_trial: Option<Box<Gate>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Check {
    pub name: String,
    pub passed: Option<bool>,
    pub message: String,
}

impl Gate {
    /// What is said of the trial of update `id`, in this boot or in an earlier one.
    pub(super) fn of(self, id: UpdateId) -> Option<Self> {
        let id = id.to_string();
        let is_it = |gate: &Self| gate.id.as_ref() == Some(&id);
        if self.trial && is_it(&self) {
            return Some(self);
        }
        self.last_trial.filter(|last| is_it(last)).map(|last| Self { trial: true, ..*last })
    }

    /// It failed, and found no way back to the other slot.
    pub(super) fn stays(&self) -> bool {
        self.passed == Some(false)
            && self.checks.iter().any(|check| check.name == WAY_BACK && check.passed == Some(false))
    }

    /// What does not hold, for people.
    pub(super) fn complaints(&self) -> String {
        let of = |check: &Check| {
            let message: String = check.message.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            if message.is_empty() { check.name.clone() } else { format!("{}: {message}", check.name) }
        };
        let bad: Vec<String> =
            self.checks.iter().filter(|check| check.passed != Some(true)).map(of).collect();
        bad.join("; ")
    }
}

/// The update's directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        // RAUC runs elsewhere, and opens the bundle by this path.
        Self(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    pub(super) fn bundle(&self, id: UpdateId) -> PathBuf {
        self.0.join(format!("{id}.raucb"))
    }

    /// Whether it is there; the directory is made.
    pub(super) fn prepare(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)
    }

    /// For a download of so many bytes, of which some are there.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.0)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    pub(super) fn trial(&self) -> Option<Trial> {
        let text = std::fs::read(self.0.join("trial.json")).ok()?;
        serde_json::from_slice(&text).inspect_err(|error| log::error!("trial.json: {error}")).ok()
    }

    pub(super) fn put_trial(&self, trial: &Trial) -> io::Result<()> {
        self.prepare()?;
        replace(&self.0.join("trial.json"), &serde_json::to_vec(trial).map_err(io::Error::other)?, MODE)
    }

    pub(super) fn gate(&self) -> Option<Gate> {
        use std::io::Read as _;
        let mut text = Vec::new();
        let file = std::fs::File::open(self.0.join("gate.json")).ok()?;
        file.take(LARGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).inspect_err(|error| log::error!("gate.json: {error}")).ok()
    }

    /// The update is over: nothing is on trial.
    pub(super) fn end_trial(&self) -> io::Result<()> {
        gone(&self.0.join("trial.json"))?;
        match std::fs::File::open(&self.0) {
            Ok(directory) => directory.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes every bundle but that of `keep`.
    pub(super) fn sweep(&self, keep: Option<UpdateId>) -> io::Result<()> {
        let kept = keep.map(|id| format!("{id}.raucb"));
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = name.ends_with(".raucb") || name.contains(".raucb.");
            if is_ours && kept.as_ref().is_none_or(|kept| !name.starts_with(kept.as_str())) {
                gone(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn gone(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> UpdateId {
        UpdateId::new(1, number)
    }

    #[test]
    fn a_trial_comes_back_as_it_was_written_and_ends() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(&root.path().join("update"));
        assert_eq!((directory.trial(), directory.gate()), (None, None));
        directory.end_trial().unwrap();
        directory.sweep(None).unwrap();
        let trial = Trial {
            id: id(1),
            slot: "B".to_owned(),
            from_slot: "A".to_owned(),
            to: "2".to_owned(),
            trial_s: 300,
            broker: true,
        };
        directory.put_trial(&trial).unwrap();
        let text = std::fs::read_to_string(root.path().join("update/trial.json")).unwrap();
        let expected = format!(
            r#"{{"id":"{}","slot":"B","from_slot":"A","to":"2","trial_s":300,"broker":true}}"#,
            id(1)
        );
        assert_eq!(text, expected);
        assert_eq!(directory.trial(), Some(trial));
        directory.end_trial().unwrap();
        assert_eq!(directory.trial(), None);
    }

    #[test]
    fn the_gates_complaints_are_what_does_not_hold() {
        let gate: Gate = serde_json::from_value(serde_json::json!({
            "boot_id": "b", "slot": "B", "trial": true, "id": id(1), "passed": false, "began_ms": 1, "at_ms": 2,
            "checks": [
                {"name": "stream", "passed": false, "message": "no segment of 720p"},
                {"name": "agent", "passed": true, "message": ""},
                {"name": "broker", "passed": false, "message": ""},
            ],
        }))
        .unwrap();
        assert_eq!(gate.complaints(), "stream: no segment of 720p; broker");
        let later: Gate = serde_json::from_value(serde_json::json!({
            "boot_id": "c", "slot": "A", "trial": false, "id": null, "passed": true, "checks": [],
            "last_trial": {"id": id(1), "boot_id": "b", "slot": "B", "passed": false, "checks": [], "at_ms": 2, "failures": 0},
        }))
        .unwrap();
        assert!(gate.clone().of(id(1)).is_some() && gate.of(id(2)).is_none());
        let of = later.clone().of(id(1)).unwrap();
        assert!(of.trial && of.passed == Some(false) && of.boot_id == "b" && later.of(id(2)).is_none());
    }

    #[test]
    fn other_bundles_are_swept_away_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        let names = [
            format!("{}.raucb", id(1)),
            format!("{}.raucb.validator", id(1)),
            format!("{}.raucb", id(2)),
            "gate.json".to_owned(),
        ];
        for name in &names {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        directory.sweep(Some(id(1))).unwrap();
        let left = |name: &String| root.path().join(name).exists();
        assert_eq!(names.each_ref().map(left), [true, true, false, true]);
        directory.sweep(None).unwrap();
        assert_eq!(names.each_ref().map(left), [false, false, false, true]);
    }
}
