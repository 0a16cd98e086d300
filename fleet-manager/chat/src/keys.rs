//! The fleet's public keys for chat tokens: one base64 line each, as for stream keys.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use nodi_protocol::chat::token::Verifier;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: line {line}: not the base64 of an Ed25519 public key", path.display())]
    Line { path: PathBuf, line: usize },
    #[error("{}: no key in it", .0.display())]
    Empty(PathBuf),
}

pub(crate) fn read(path: &Path) -> Result<Verifier, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        keys.push(parse(line).ok_or_else(|| Error::Line { path: path.to_owned(), line: index + 1 })?);
    }
    if keys.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(Verifier::new(keys)) }
}

fn parse(line: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = STANDARD.decode(line).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use nodi_protocol::chat::token::Minter;

    use super::*;

    #[test]
    fn a_key_file_is_read_or_the_line_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        assert!(matches!(read(&path), Err(Error::Read { .. })));
        let key = STANDARD.encode(Minter::from_seed(&[1; 32]).public_key().as_bytes());
        std::fs::write(&path, format!("# fleet\n\n{key}\n")).unwrap();
        assert!(read(&path).is_ok());
        std::fs::write(&path, format!("{key}\nkey\n")).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 2"));
        std::fs::write(&path, "# none\n").unwrap();
        assert!(matches!(read(&path), Err(Error::Empty(_))));
    }
}
