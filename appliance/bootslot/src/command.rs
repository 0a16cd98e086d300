//! The words of RAUC's custom back end.

use std::path::Path;
use std::{fmt, io};

/// One of the two sets of root file system and firmware; always switched together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As `nvbootctrl` counts.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Self::A => "0",
            Self::B => "1",
        }
    }

    #[must_use]
    pub fn from_number(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| slot.number() == text)
    }

    /// From its boot name.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| slot.to_string() == text)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// The slot whose update has not proved itself, as `trial.json` says (docs/interfaces.md, section 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTrial {
    None,
    Slot(Slot),
    /// The file is damaged, or cannot be looked for.
    Unknown,
}

impl OnTrial {
    /// What the file says.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        #[derive(serde::Deserialize)]
        struct Trial {
            slot: String,
        }
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .ok()
                .and_then(|trial: Trial| Slot::from_name(&trial.slot))
                .map_or(Self::Unknown, Self::Slot),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::None,
            Err(_) => Self::Unknown,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    GetCurrent,
    GetPrimary,
    GetState(Slot),
    SetPrimary(Slot),
    SetState { slot: Slot, good: bool },
    Armed,
    BootOk(OnTrial),
}

/// For people; programs know it from `README.md`.
pub const USAGE: &str = "\
nodi-bootslot: RAUC's boot loader back end for Jetson's UEFI A/B. Boot names are A and B.

  get-current | get-primary | get-state A|B     print A or B, good or bad
  set-primary A|B | set-state A|B good|bad
  armed                                         0 when an update may be written, else 3 or 4 and the reason
  boot-ok [TRIAL]                               takes back this boot's attempt, unless it is one of the slot on trial

0 done, 1 failed, 2 this text, 3 not armed, 4 refused because no slot might be left that boots.
NODI_NVBOOTCTRL (nvbootctrl) and NODI_EFIVARS (/sys/firmware/efi/efivars) say where its tools are.";

impl Command {
    /// `None`: not a command. Reads the file that it names.
    #[must_use]
    pub fn parse(words: &[&str]) -> Option<Self> {
        let slot = |name: &str| Slot::from_name(name);
        Some(match *words {
            ["get-current"] => Self::GetCurrent,
            ["get-primary"] => Self::GetPrimary,
            ["get-state", name] => Self::GetState(slot(name)?),
            ["set-primary", name] => Self::SetPrimary(slot(name)?),
            ["set-state", name, "good"] => Self::SetState { slot: slot(name)?, good: true },
            ["set-state", name, "bad"] => Self::SetState { slot: slot(name)?, good: false },
            ["armed"] => Self::Armed,
            ["boot-ok"] => Self::BootOk(OnTrial::Unknown),
            ["boot-ok", trial] => Self::BootOk(OnTrial::read(Path::new(trial))),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_on_trial() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trial.json");
        assert_eq!(OnTrial::read(&path), OnTrial::None);
        for (text, is) in [
            (r#"{"id":"1","slot":"B","from_slot":"A"}"#, OnTrial::Slot(Slot::B)),
            (r#"{"id":"1","slot":"C"}"#, OnTrial::Unknown),
            (r#"{"id":"1","sl"#, OnTrial::Unknown),
            ("", OnTrial::Unknown),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(OnTrial::read(&path), is, "{text}");
        }
    }

    #[test]
    fn only_the_words_of_the_contract_are_commands() {
        assert_eq!(
            Command::parse(&["set-state", "B", "bad"]),
            Some(Command::SetState { slot: Slot::B, good: false })
        );
        assert_eq!(Command::parse(&["get-primary"]), Some(Command::GetPrimary));
        for words in [
            &[][..],
            &["get-state"],
            &["get-state", "C"],
            &["get-state", "a"],
            &["set-state", "A", "active"],
            &["set-primary", "A", "B"],
            &["set-primary", "rootfs.0"],
        ] {
            assert_eq!(Command::parse(words), None, "{words:?}");
        }
    }
}
