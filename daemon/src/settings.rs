//! Settings that somebody else writes and that are laid over a process's configuration (docs/interfaces.md section 9).
//! A bad version leaves the last good one in force, and says why.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::config::{self, Error, Validate};
use crate::exit;
use crate::watch::{Look, WatchedFile};

/// Body of `GET /settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Of the file as last looked at, in hexadecimal; `None`: there is no file.
    pub sha256: Option<String>,
    /// Why that file is not in force: the key and the reason.
    pub error: Option<String>,
}

/// A configuration with something new laid over it.
#[derive(Debug, Clone)]
pub struct Change<T> {
    pub value: T,
    /// Keys at the top level that are not what the process was started with.
    pub keys: BTreeSet<String>,
}

/// A configuration file, and the settings file over it that is looked at again and again.
#[derive(Debug)]
pub struct Settings {
    base: toml::Table,
    /// With the last good settings over it.
    in_force: toml::Table,
    started_with: toml::Table,
    file: Option<WatchedFile>,
    state: State,
}

impl Settings {
    /// None that could change: for a configuration that comes from elsewhere than a file.
    #[must_use]
    pub fn none() -> Self {
        Self {
            base: toml::Table::new(),
            in_force: toml::Table::new(),
            started_with: toml::Table::new(),
            file: None,
            state: State::default(),
        }
    }

    /// Reads both files. Settings that cannot be used are said in the log and in [`state`](Self::state), and the
    /// configuration counts alone.
    ///
    /// # Errors
    /// When the configuration itself cannot be used.
    pub fn open<T: DeserializeOwned + Validate>(
        configuration: &Path,
        settings: Option<&Path>,
    ) -> Result<(Self, T), Error> {
        // By itself first, so that the blame is on the right file, with the line.
        let value = config::load(configuration)?;
        let base = read_table(configuration)?;
        let mut opened = Self {
            started_with: base.clone(),
            in_force: base.clone(),
            base,
            file: settings.map(WatchedFile::new),
            state: State::default(),
        };
        let value = opened.look().map_or(value, |change| change.value);
        opened.started_with.clone_from(&opened.in_force);
        Ok((opened, value))
    }

    /// Looks at the settings file; something new comes out once. Blocks for as long as a small read takes.
    pub fn look<T: DeserializeOwned + Validate>(&mut self) -> Option<Change<T>> {
        let file = self.file.as_mut()?;
        let path = file.path().display().to_string();
        let over = match file.look() {
            Look::Same => return None,
            Look::Missing => {
                self.state = State::default();
                toml::Table::new()
            }
            Look::Failed(error) => {
                log::error!(path:%, error:%; "cannot read the settings; those read before stay in force");
                self.state = State { sha256: None, error: Some(error.to_string()) };
                return None;
            }
            Look::Changed(contents) => {
                self.state = State { sha256: Some(sha256(&contents)), error: None };
                match parse(&contents) {
                    Ok(over) => over,
                    Err(reason) => return self.refuse(&path, reason),
                }
            }
        };
        let mut table = self.base.clone();
        config::lay_over(&mut table, over);
        let keys = differing_keys(&self.started_with, &table);
        match config::read_table(table.clone()) {
            Ok(value) => {
                self.in_force = table;
                Some(Change { value, keys })
            }
            Err((key, reason)) => self.refuse(&path, format!("{key}: {reason}")),
        }
    }

    /// How the file stands that was last looked at.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Says in the log if the file is unusable: to be called once there is a log.
    pub fn complain(&self) {
        if let Some(error) = &self.state.error {
            log::error!(error:%; "the settings are unusable; the configuration counts alone");
        }
    }

    fn refuse<T>(&mut self, path: &str, reason: String) -> Option<T> {
        log::error!(path:%, reason:%; "the settings are unusable; those read before stay in force");
        self.state.error = Some(reason);
        None
    }
}

/// Reads both files as a process would at its start, but takes nothing that is bad.
///
/// # Errors
/// Which file cannot be used, with the key and the reason.
pub fn check<T: DeserializeOwned + Validate>(
    configuration: &Path,
    settings: Option<&Path>,
) -> Result<T, Error> {
    let value = config::load(configuration)?;
    let Some(path) = settings else { return Ok(value) };
    let contents = match std::fs::read(path) {
        Ok(contents) => contents,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(value),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let invalid = |(key, reason)| Error::Invalid { path: path.to_owned(), key, reason };
    let over = parse(&contents).map_err(|reason| invalid(("TOML".to_owned(), reason)))?;
    let mut table = read_table(configuration)?;
    config::lay_over(&mut table, over);
    config::read_table(table).map_err(invalid)
}

/// What `--check` does: nothing to say and 0, or one line on standard error and [`exit::CONFIG`].
#[must_use]
#[allow(clippy::print_stderr, reason = "a command whose answer is the line that it prints")]
pub fn report_check<T, E: std::fmt::Display>(checked: Result<T, E>) -> u8 {
    match checked {
        Ok(_) => exit::OK,
        Err(error) => {
            let line: Vec<_> = error.to_string().lines().map(|line| line.trim().to_owned()).collect();
            eprintln!("{}", line.join(" "));
            exit::CONFIG
        }
    }
}

/// SHA-256 in hexadecimal, as [`State`] has it.
#[must_use]
pub fn sha256(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read_table(path: &Path) -> Result<toml::Table, Error> {
    let path: PathBuf = path.to_owned();
    config::read(&path)?.parse().map_err(|source| Error::Parse { path, source: Box::new(source) })
}

fn parse(contents: &[u8]) -> Result<toml::Table, String> {
    let text = std::str::from_utf8(contents).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
        format!("line {line}: {}", error.message())
    })
}

fn differing_keys(one: &toml::Table, other: &toml::Table) -> BTreeSet<String> {
    one.keys().chain(other.keys()).filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        name: String,
        limits: Limits,
        list: Vec<u32>,
    }

    #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Limits {
        few: u32,
        many: u32,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self { name: "box".into(), limits: Limits::default(), list: vec![1, 2] }
        }
    }

    impl Default for Limits {
        fn default() -> Self {
            Self { few: 1, many: 100 }
        }
    }

    impl Validate for Sample {
        fn validate(&self) -> Result<(), (&'static str, String)> {
            if self.limits.few > self.limits.many {
                return Err(("limits.few", "is more than many".to_owned()));
            }
            Ok(())
        }
    }

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(configuration: &str) -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            std::fs::write(files.configuration(), configuration).unwrap();
            files
        }

        fn configuration(&self) -> PathBuf {
            self.0.path().join("c.toml")
        }

        fn settings(&self) -> PathBuf {
            self.0.path().join("s.toml")
        }

        fn set(&self, text: &str) {
            std::fs::write(self.settings(), text).unwrap();
        }

        fn open(&self) -> (Settings, Sample) {
            Settings::open(&self.configuration(), Some(&self.settings())).unwrap()
        }
    }

    #[test]
    fn tables_merge_and_the_rest_replaces() {
        let files = Files::new("name = \"a\"\nlist = [7]\n[limits]\nmany = 50");
        files.set("list = [8, 9]\n[limits]\nfew = 3");
        let (settings, sample) = files.open();
        let merged = Sample { name: "a".into(), limits: Limits { few: 3, many: 50 }, list: vec![8, 9] };
        assert_eq!(sample, merged);
        let text = std::fs::read(files.settings()).unwrap();
        assert_eq!(settings.state(), &State { sha256: Some(sha256(&text)), error: None });
        assert_eq!(check::<Sample>(&files.configuration(), Some(&files.settings())).unwrap(), merged);
    }

    #[test]
    fn a_change_comes_once_with_its_keys_and_a_bad_one_is_named() {
        let files = Files::new("[limits]\nmany = 50");
        let (mut settings, sample) = files.open();
        assert_eq!((sample.limits.many, settings.state()), (50, &State::default()));
        assert!(settings.look::<Sample>().is_none());

        files.set("name = \"b\"\n[limits]\nfew = 2");
        let change: Change<Sample> = settings.look().unwrap();
        assert_eq!(change.value.limits, Limits { few: 2, many: 50 });
        assert_eq!(change.keys.iter().map(String::as_str).collect::<Vec<_>>(), ["limits", "name"]);
        assert!(settings.look::<Sample>().is_none());

        for (text, reason) in [
            ("[limits]\nfew = 60", "limits.few: is more than many"),
            ("[limits]\nfwe = 6", "limits.fwe: unknown field `fwe`, expected `few` or `many`"),
            ("[limits]\nfew = \"x\"", "limits.few: invalid type: string \"x\", expected u32"),
            ("[limits]\nfew = ", "line 2:"),
            ("list = [1, true]", "list[1]: invalid type: boolean `true`, expected u32"),
        ] {
            files.set(text);
            assert!(settings.look::<Sample>().is_none(), "{text}");
            let state = settings.state().clone();
            assert_eq!(state.sha256, Some(sha256(text.as_bytes())));
            let error = state.error.unwrap();
            assert!(error.starts_with(reason), "{error}");
            let checked = check::<Sample>(&files.configuration(), Some(&files.settings()));
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }

        std::fs::remove_file(files.settings()).unwrap();
        let change: Change<Sample> = settings.look().unwrap();
        assert_eq!((change.value.limits.few, change.keys.len()), (1, 0));
        assert_eq!(settings.state(), &State::default());
    }

    #[test]
    fn unusable_settings_do_not_keep_a_process_from_starting() {
        let files = Files::new("[limits]\nmany = 50");
        files.set("nonsense");
        let (mut settings, sample) = files.open();
        assert_eq!(sample.limits.many, 50);
        assert!(settings.state().error.is_some());
        files.set("name = \"good\"");
        assert_eq!(settings.look::<Sample>().unwrap().value.name, "good");
    }
}
