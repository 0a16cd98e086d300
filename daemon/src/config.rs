//! Loads one TOML file into one serde struct. Structs use `deny_unknown_fields`, so that a
//! misspelt key is an error that names it and never a silent default.

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
    Invalid { path: PathBuf, key: &'static str, reason: String },
}

/// Checks that go beyond types: ranges, and keys that need each other.
pub trait Validate {
    /// `Err((key, reason))` names the offending key by its dotted path.
    fn validate(&self) -> Result<(), (&'static str, String)>;
}

/// Reads, parses and validates the file at `path`.
pub fn load<T: DeserializeOwned + Validate>(path: &Path) -> Result<T, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let value: T = toml::from_str(&text)
        .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
    value.validate().map_err(|(key, reason)| Error::Invalid { path: path.to_owned(), key, reason })?;
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
