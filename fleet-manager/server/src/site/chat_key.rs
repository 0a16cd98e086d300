//! The key that chat tokens are signed with: one file that only this process reads, and the public half beside it for the
//! chat service.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::chat::token::Minter;

use crate::channels::SigningKeyError;
use crate::channels::signing::write_new;
use crate::config::Config;
use crate::ids;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Write(#[from] SigningKeyError),
    #[error("{}: not one line of base64 of a 32-byte Ed25519 key", .0.display())]
    Key(PathBuf),
    #[error("{}: others can read it (mode {mode:o}); it has to be 600", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{}: the key {} is not among its lines", public.display(), secret.display())]
    Unrelated { public: PathBuf, secret: PathBuf },
    #[error("no random bytes: {0}")]
    Random(String),
}

/// The key, made when there is none yet: data directories of before the watch site have none.
///
/// # Errors
/// Which file is not usable.
pub fn load_or_create(config: &Config) -> Result<Minter, Error> {
    let secret = config.chat_key();
    if !secret.exists() {
        let seed: [u8; 32] = ids::random().map_err(|error| Error::Random(error.to_string()))?;
        write_new(&secret, 0o600, &format!("{}\n", STANDARD.encode(seed)))?;
    }
    let minter = read(&secret)?;
    let public = config.chat_public_keys();
    if !public.exists() {
        write_new(&public, 0o644, &format!("{}\n", public_line(&minter)))?;
    }
    check_public(&public, &secret, &minter)?;
    Ok(minter)
}

/// The key that there is.
///
/// # Errors
/// Which file is not usable.
pub fn load(config: &Config) -> Result<Minter, Error> {
    let (secret, public) = (config.chat_key(), config.chat_public_keys());
    let minter = read(&secret)?;
    check_public(&public, &secret, &minter)?;
    Ok(minter)
}

fn public_line(minter: &Minter) -> String {
    STANDARD.encode(minter.public_key().as_bytes())
}

fn read(path: &Path) -> Result<Minter, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(io)?.mode();
    if mode & 0o077 != 0 {
        return Err(Error::Open { path: path.to_owned(), mode: mode & 0o777 });
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    let seed = text.lines().next().and_then(|line| STANDARD.decode(line.trim()).ok());
    let seed: Option<[u8; 32]> = seed.and_then(|seed| seed.try_into().ok());
    seed.map(|seed| Minter::from_seed(&seed)).ok_or_else(|| Error::Key(path.to_owned()))
}

/// Keys of earlier times may stand beside the one in use.
fn check_public(path: &Path, secret: &Path, minter: &Minter) -> Result<(), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let line = public_line(minter);
    if text.lines().any(|known| known.trim() == line) {
        return Ok(());
    }
    Err(Error::Unrelated { public: path.to_owned(), secret: secret.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &tempfile::TempDir) -> Config {
        Config { data_dir: dir.path().to_owned(), ..Config::default() }
    }

    #[test]
    fn it_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        assert!(load(&config).is_err(), "there is none");
        let first = load_or_create(&config).unwrap().public_key();
        assert_eq!(std::fs::metadata(config.chat_key()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&config).unwrap().public_key(), first);
        // The public half can always be had again.
        std::fs::remove_file(config.chat_public_keys()).unwrap();
        assert_eq!(load_or_create(&config).unwrap().public_key(), first);
        assert_eq!(load(&config).unwrap().public_key(), first);
    }

    #[test]
    fn files_that_are_not_usable_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        load_or_create(&config).unwrap();
        std::fs::write(config.chat_public_keys(), format!("{}\n", STANDARD.encode([7; 32]))).unwrap();
        assert!(matches!(load_or_create(&config), Err(Error::Unrelated { .. })));
        std::fs::write(config.chat_key(), "nonsense\n").unwrap();
        assert!(matches!(load(&config), Err(Error::Key(_))));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(config.chat_key(), open).unwrap();
        assert!(matches!(load(&config), Err(Error::Open { mode: 0o644, .. })));
    }
}
