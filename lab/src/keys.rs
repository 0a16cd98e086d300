//! The lab's part of the fleet server: it mints stream keys and revokes them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::ChannelId;
use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::{Grant, Minter, StreamKey};

use crate::error::{Error, io};

/// The files of `<dir>`: the minting key, the public key of boxes and origins, the revocations.
pub struct Keys {
    dir: PathBuf,
    minter: Minter,
}

impl Keys {
    /// Opens the keys of a lab directory, or makes them.
    ///
    /// # Errors
    /// When the directory cannot be written or holds a broken key file.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
        let secret = dir.join("minting.key");
        if !secret.exists() {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| io("reading random bytes")(std::io::Error::other(error)))?;
            replace(&secret, format!("{}\n", STANDARD.encode(seed)).as_bytes())?;
        }
        let text = std::fs::read_to_string(&secret).map_err(io(format!("reading {}", secret.display())))?;
        let minter = Minter::parse(&text)?;
        let keys = Self { dir: dir.to_owned(), minter };
        replace(&keys.public(), format!("{}\n", keys.minter.public_line()).as_bytes())?;
        if !keys.revocations().exists() {
            keys.revoke_below(&Revocations::default())?;
        }
        Ok(keys)
    }

    /// The public keys that boxes and origins check against.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.dir.join("stream-keys.pub")
    }

    /// The revocation document.
    #[must_use]
    pub fn revocations(&self) -> PathBuf {
        self.dir.join("revocations.json")
    }

    /// A key for `channel` that never expires.
    #[must_use]
    pub fn mint(&self, channel: &ChannelId) -> StreamKey {
        self.mint_with(channel, 1, None)
    }

    /// A key of a given version; `lifetime` is how long it is good for.
    #[must_use]
    pub fn mint_with(&self, channel: &ChannelId, version: u32, lifetime: Option<Duration>) -> StreamKey {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.minter.mint(&Grant {
            channel: channel.clone(),
            version,
            expires_at: lifetime.map(|lifetime| (now + lifetime).as_secs()),
        })
    }

    /// Replaces the revocation document, which boxes and origins read again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke_below(&self, revocations: &Revocations) -> Result<(), Error> {
        let json = serde_json::to_vec(revocations).map_err(|error| io("revocations")(error.into()))?;
        replace(&self.revocations(), &json)
    }
}

/// Readers see the old file or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    write().map_err(io(format!("writing {}", path.display())))
}
