//! The key that stream keys are signed with: one file that only this process reads, and the public half beside it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::stream_key::{Grant, KeyFileError, Minter, StreamKey, Verifier};

use crate::config::Config;
use crate::ids;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Key { path: PathBuf, source: KeyFileError },
    #[error("{}: others can read it (mode {mode:o}); it has to be 600", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("no random bytes: {0}")]
    Random(String),
}

/// Mints stream keys.
pub struct SigningKey {
    minter: Minter,
    public: Vec<String>,
}

impl SigningKey {
    /// Reads both files. Public keys of earlier signing keys, in lines below the newest, stay valid.
    ///
    /// # Errors
    /// Which file is not usable.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let path = config.signing_key();
        let mode = std::fs::metadata(&path).map_err(io_error(&path))?.mode();
        if mode & 0o077 != 0 {
            return Err(Error::Open { path, mode: mode & 0o777 });
        }
        let text = std::fs::read_to_string(&path).map_err(io_error(&path))?;
        let minter = Minter::parse(&text).map_err(|source| Error::Key { path, source })?;
        let path = config.public_keys();
        let text = std::fs::read_to_string(&path).map_err(io_error(&path))?;
        Verifier::parse(&text).map_err(|source| Error::Key { path, source })?;
        let mut public = vec![minter.public_line()];
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            if !public.iter().any(|known| known == line) {
                public.push(line.to_owned());
            }
        }
        Ok(Self { minter, public })
    }

    #[must_use]
    pub fn mint(&self, grant: &Grant) -> StreamKey {
        self.minter.mint(grant)
    }

    #[must_use]
    pub fn public_keys(&self) -> &[String] {
        &self.public
    }
}

/// Makes a new signing key and its two files.
///
/// # Errors
/// When they are there already, or cannot be written.
pub fn create_files(config: &Config) -> Result<(), Error> {
    let seed: [u8; 32] = ids::random().map_err(|error| Error::Random(error.to_string()))?;
    let minter = Minter::from_seed(&seed);
    write_new(&config.signing_key(), 0o600, &format!("{}\n", STANDARD.encode(seed)))?;
    write_new(&config.public_keys(), 0o644, &format!("{}\n", minter.public_line()))
}

pub(crate) fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io_error(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |source| Error::Io { path: path.to_owned(), source }
}
