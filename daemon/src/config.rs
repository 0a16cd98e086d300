//! Loads one TOML file into one serde struct, or two: settings from afar laid over the configuration. Structs use
//! `deny_unknown_fields`, so that a misspelt key is an error that names it and never a silent default.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read configuration {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// `source` names the key and the line.
    #[error("configuration {path}: {source}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("configuration {path}: {key}: {reason}")]
    Invalid { path: PathBuf, key: String, reason: String },
}

/// Checks that go beyond types: ranges, and keys that need each other.
pub trait Validate {
    /// `Err((key, reason))` names the offending key by its dotted path.
    fn validate(&self) -> Result<(), (&'static str, String)>;
}

/// For [`Validate`]: a number and where it has to be.
///
/// # Errors
/// The key and what is wrong with its value.
pub fn in_range<T: PartialOrd + std::fmt::Display + Copy>(
    key: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), (&'static str, String)> {
    if range.contains(&value) {
        return Ok(());
    }
    Err((key, format!("{value} is not between {} and {}", range.start(), range.end())))
}

/// Reads, parses and validates the file at `path`.
pub fn load<T: DeserializeOwned + Validate>(path: &Path) -> Result<T, Error> {
    let text = read(path)?;
    let value: T = toml::from_str(&text)
        .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
    value.validate().map_err(|(key, reason)| Error::Invalid {
        path: path.to_owned(),
        key: key.to_owned(),
        reason,
    })?;
    Ok(value)
}

pub(crate) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Lays `over` over `base`: tables merge, everything else replaces.
pub(crate) fn lay_over(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Makes `T` of a table. `Err((key, reason))` names the offending key by its dotted path.
pub(crate) fn read_table<T: DeserializeOwned + Validate>(table: toml::Table) -> Result<T, (String, String)> {
    let value: T = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
        let key = error.path().to_string();
        // One line: what follows the first says where in the text it was, and there is no text.
        let reason = error.into_inner().message().lines().next().unwrap_or_default().to_owned();
        (key, reason)
    })?;
    value.validate().map_err(|(key, reason)| (key.to_owned(), reason))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        port: u16,
    }

    impl Validate for Sample {
        fn validate(&self) -> Result<(), (&'static str, String)> {
            if self.port == 0 {
                return Err(("port", "must not be 0".to_owned()));
            }
            Ok(())
        }
    }

    fn load_text(text: &str) -> Result<Sample, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(file.path())
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = load_text("port = 1\nprot = 2").unwrap_err().to_string();
        assert!(error.contains("prot"), "{error}");
    }

    #[test]
    fn a_bad_value_is_named_by_key() {
        let error = load_text("port = 0").unwrap_err().to_string();
        assert!(error.contains("port: must not be 0"), "{error}");
    }
}
