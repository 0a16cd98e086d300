//! Which stream keys are good now: the fleet's public keys and the revocation document, both from files
//! that are reloaded when they change. A bad new file keeps what was good before and says so.

use nodi_daemon::watch::{Look, WatchedFile};
use nodi_protocol::ChannelId;
use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::{Grant, Refusal, StreamKey, Verifier};

use crate::config;
use crate::mailbox::Order;

/// Why a key is not accepted. The texts are for the streamer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error(transparent)]
    Key(#[from] Refusal),
    /// No public keys, or a revocation document that cannot be read: whom it revokes is not known.
    #[error("this server cannot check stream keys yet; try again later or use another server")]
    NotReady,
}

/// What keys are checked against, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    verifier: Option<Verifier>,
    revocations: Option<Revocations>,
}

impl Keyring {
    /// # Errors
    /// When the key is not good for publishing at `now_unix_s`.
    pub fn check(&self, key: &StreamKey, now_unix_s: u64) -> Result<Grant, Denial> {
        let (Some(verifier), Some(revocations)) = (&self.verifier, &self.revocations) else {
            return Err(Denial::NotReady);
        };
        Ok(verifier.verify(key, now_unix_s, revocations)?)
    }

    /// Why a session whose key was accepted before may not go on.
    #[must_use]
    pub fn objection(&self, channel: &ChannelId, version: u32) -> Option<Order> {
        let revocations = self.revocations.as_ref()?;
        if version < revocations.min_version(channel) {
            Some(Order::Revoked)
        } else {
            revocations.suspended.contains(channel).then_some(Order::Suspended)
        }
    }
}

/// The two files.
#[derive(Debug)]
pub struct KeyFiles {
    public_keys: WatchedFile,
    revocations: WatchedFile,
    keyring: Keyring,
}

impl KeyFiles {
    #[must_use]
    pub fn new(config: &config::Keys) -> Self {
        Self {
            public_keys: WatchedFile::new(&config.public_keys),
            revocations: WatchedFile::new(&config.revocations),
            keyring: Keyring::default(),
        }
    }

    /// Looks at the files, and returns the keyring if it is another one now. Blocks for a short read.
    pub fn refresh(&mut self) -> Option<Keyring> {
        let keys = self.refresh_public_keys();
        let revocations = self.refresh_revocations();
        (keys || revocations).then(|| self.keyring.clone())
    }

    fn refresh_public_keys(&mut self) -> bool {
        let path = self.public_keys.path().display().to_string();
        let kept = if self.keyring.verifier.is_some() {
            "the keys read before stay in force"
        } else {
            "every publisher is refused"
        };
        match self.public_keys.look() {
            Look::Same => {}
            Look::Missing => log::warn!(path:%; "there is no public key file; {kept}"),
            Look::Failed(error) => {
                log::error!(path:%, error:%; "cannot read the public key file; {kept}");
            }
            Look::Changed(contents) => match Verifier::parse(&String::from_utf8_lossy(&contents)) {
                Ok(verifier) => {
                    log::info!(path:%; "public keys loaded");
                    self.keyring.verifier = Some(verifier);
                    return true;
                }
                Err(error) => log::error!(path:%, error:%; "the public key file is unusable; {kept}"),
            },
        }
        false
    }

    fn refresh_revocations(&mut self) -> bool {
        let path = self.revocations.path().display().to_string();
        let known = self.keyring.revocations.is_some();
        let kept = if known {
            "the revocations read before stay in force"
        } else {
            // Letting everyone in would let in whom the unreadable document keeps out.
            "every publisher is refused"
        };
        match self.revocations.look() {
            Look::Same => {}
            Look::Missing if known => log::warn!(path:%; "the revocation document is gone; {kept}"),
            Look::Missing => {
                log::info!(path:%; "there is no revocation document; nothing is revoked");
                self.keyring.revocations = Some(Revocations::default());
                return true;
            }
            Look::Failed(error) => {
                log::error!(path:%, error:%; "cannot read the revocation document; {kept}");
            }
            Look::Changed(contents) => match Revocations::from_json(&contents) {
                Ok(revocations) => {
                    log::info!(path:%, channels = revocations.min_versions.len(), suspended = revocations.suspended.len();
                        "revocations loaded");
                    self.keyring.revocations = Some(revocations);
                    return true;
                }
                Err(error) => log::error!(path:%, error:%; "the revocation document is unusable; {kept}"),
            },
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nodi_protocol::stream_key::Minter;

    use super::*;

    fn key(version: u32) -> StreamKey {
        let grant = Grant { channel: "nodi".parse().unwrap(), version, expires_at: None };
        Minter::from_seed(&[7; 32]).mint(&grant)
    }

    fn files(directory: &Path) -> KeyFiles {
        KeyFiles::new(&config::Keys {
            public_keys: directory.join("keys"),
            revocations: directory.join("revocations"),
        })
    }

    #[test]
    fn keys_and_revocations_take_effect_when_their_files_change() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path());
        let keyring = files.refresh().unwrap();
        assert_eq!(keyring.check(&key(1), 0), Err(Denial::NotReady));

        std::fs::write(directory.path().join("keys"), Minter::from_seed(&[7; 32]).public_line()).unwrap();
        let keyring = files.refresh().unwrap();
        let grant = keyring.check(&key(1), 0).unwrap();
        assert_eq!(keyring.objection(&grant.channel, grant.version), None);

        let document = r#"{"schema": 1, "min_versions": {"nodi": 2}}"#;
        std::fs::write(directory.path().join("revocations"), document).unwrap();
        let keyring = files.refresh().unwrap();
        assert_eq!(keyring.check(&key(1), 0), Err(Denial::Key(Refusal::Revoked)));
        assert_eq!(keyring.objection(&grant.channel, 1), Some(Order::Revoked));
        assert_eq!(keyring.objection(&grant.channel, 2), None);
        assert!(files.refresh().is_none());

        let document = r#"{"schema": 1, "min_versions": {}, "suspended": ["nodi"]}"#;
        std::fs::write(directory.path().join("revocations"), document).unwrap();
        let keyring = files.refresh().unwrap();
        assert_eq!(keyring.check(&key(3), 0), Err(Denial::Key(Refusal::Suspended)));
        assert_eq!(keyring.objection(&grant.channel, 3), Some(Order::Suspended));
    }

    #[test]
    fn a_bad_file_keeps_what_was_good() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("keys"), Minter::from_seed(&[7; 32]).public_line()).unwrap();
        let document = r#"{"schema": 1, "min_versions": {"nodi": 2}}"#;
        std::fs::write(directory.path().join("revocations"), document).unwrap();
        let mut files = files(directory.path());
        let keyring = files.refresh().unwrap();
        std::fs::write(directory.path().join("keys"), "nonsense").unwrap();
        std::fs::write(directory.path().join("revocations"), "{").unwrap();
        assert!(files.refresh().is_none());
        std::fs::remove_file(directory.path().join("revocations")).unwrap();
        assert!(files.refresh().is_none());
        assert!(keyring.check(&key(2), 0).is_ok() && keyring.check(&key(1), 0).is_err());
    }

    #[test]
    fn an_unreadable_revocation_document_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("keys"), Minter::from_seed(&[7; 32]).public_line()).unwrap();
        std::fs::write(directory.path().join("revocations"), "{").unwrap();
        let keyring = files(directory.path()).refresh().unwrap();
        assert_eq!(keyring.check(&key(1), 0), Err(Denial::NotReady));
    }
}
