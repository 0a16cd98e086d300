//! Which stream keys are good now: the fleet's public keys and the revocation document, both from files
//! that are reloaded when they change. A bad new file keeps what was good before and says so.

use nodi_daemon::watch::{Look, WatchedFile};
use nodi_protocol::ChannelId;
use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::{Grant, Refusal, SELF_TEST_CHANNEL, StreamKey, Verifier};

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
    #[error(transparent)]
    SelfTest(#[from] SelfTest),
}

/// Why nothing is taken as the health gate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelfTest {
    #[error(
        "the channel {SELF_TEST_CHANNEL} belongs to the server itself; use a stream key of your own channel"
    )]
    Elsewhere,
    #[error(
        "the channel {SELF_TEST_CHANNEL} takes only the key that this server's health gate has just made"
    )]
    Unknown,
    #[error("a key of the health gate is good for the channel {SELF_TEST_CHANNEL} alone")]
    OtherChannel,
}

/// What keys are checked against, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    verifier: Option<Verifier>,
    revocations: Option<Revocations>,
    self_test: Option<Verifier>,
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

    /// What becomes of a key that has to do with the health gate, by its channel or by who signed it; `None`: it is a streamer's.
    #[must_use]
    pub fn self_test(&self, key: &StreamKey, from_loopback: bool) -> Option<Result<Grant, SelfTest>> {
        let own_channel = key.claimed_channel()?.as_str() == SELF_TEST_CHANNEL;
        // Nothing is revoked here, and a key without an expiry is good before the clock is set.
        let signed = self
            .self_test
            .as_ref()
            .and_then(|verifier| verifier.verify(key, 0, &Revocations::default()).ok());
        match (own_channel, signed) {
            (false, None) => None,
            (false, Some(_)) => Some(Err(SelfTest::OtherChannel)),
            (true, _) if !from_loopback => Some(Err(SelfTest::Elsewhere)),
            (true, None) => Some(Err(SelfTest::Unknown)),
            (true, Some(grant)) => Some(Ok(grant)),
        }
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

/// The three files.
#[derive(Debug)]
pub struct KeyFiles {
    public_keys: WatchedFile,
    revocations: WatchedFile,
    self_test_keys: WatchedFile,
    keyring: Keyring,
}

impl KeyFiles {
    #[must_use]
    pub fn new(config: &config::Keys) -> Self {
        Self {
            public_keys: WatchedFile::new(&config.public_keys),
            revocations: WatchedFile::new(&config.revocations),
            self_test_keys: WatchedFile::new(&config.self_test_keys),
            keyring: Keyring::default(),
        }
    }

    /// Looks at the files, and returns the keyring if it is another one now. Blocks for a short read.
    pub fn refresh(&mut self) -> Option<Keyring> {
        let keys = self.refresh_public_keys();
        let revocations = self.refresh_revocations();
        let self_test = self.refresh_self_test();
        (keys || revocations || self_test).then(|| self.keyring.clone())
    }

    /// Unlike the fleet's keys these are gone with their file: the gate makes new ones each time.
    fn refresh_self_test(&mut self) -> bool {
        let path = self.self_test_keys.path().display().to_string();
        let verifier = match self.self_test_keys.look() {
            Look::Same => return false,
            Look::Missing => None,
            Look::Failed(error) => {
                log::error!(path:%, error:%; "cannot read the key file of the health gate");
                None
            }
            Look::Changed(contents) => match Verifier::parse(&String::from_utf8_lossy(&contents)) {
                Ok(verifier) => {
                    log::info!(path:%; "the health gate's key is loaded");
                    Some(verifier)
                }
                Err(error) => {
                    log::error!(path:%, error:%; "the key file of the health gate is unusable");
                    None
                }
            },
        };
        let changed = verifier.is_some() || self.keyring.self_test.is_some();
        self.keyring.self_test = verifier;
        changed
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
            self_test_keys: directory.join("self-test"),
        })
    }

    #[test]
    fn the_health_gates_key_is_good_for_its_channel_from_this_machine_while_its_file_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let gate = Minter::from_seed(&[9; 32]);
        let grant = |channel: &str| Grant { channel: channel.parse().unwrap(), version: 1, expires_at: None };
        let own = gate.mint(&grant(SELF_TEST_CHANNEL));
        let fleets = Minter::from_seed(&[7; 32]).mint(&grant(SELF_TEST_CHANNEL));
        let mut files = files(directory.path());
        let keyring = files.refresh().unwrap();
        assert_eq!(keyring.self_test(&own, true), Some(Err(SelfTest::Unknown)));
        assert_eq!(keyring.self_test(&key(1), true), None);

        let path = directory.path().join("self-test");
        std::fs::write(&path, gate.public_line()).unwrap();
        let keyring = files.refresh().unwrap();
        assert_eq!(keyring.self_test(&own, true), Some(Ok(grant(SELF_TEST_CHANNEL))));
        assert_eq!(keyring.self_test(&own, false), Some(Err(SelfTest::Elsewhere)));
        for from_loopback in [true, false] {
            let other = keyring.self_test(&gate.mint(&grant("nodi")), from_loopback);
            assert_eq!(other, Some(Err(SelfTest::OtherChannel)));
            assert_eq!(keyring.self_test(&key(1), from_loopback), None);
            assert!(keyring.self_test(&fleets, from_loopback).unwrap().is_err());
        }
        std::fs::write(&path, Minter::from_seed(&[10; 32]).public_line()).unwrap();
        assert_eq!(files.refresh().unwrap().self_test(&own, true), Some(Err(SelfTest::Unknown)));
        std::fs::write(&path, gate.public_line()).unwrap();
        assert!(files.refresh().unwrap().self_test(&own, true).unwrap().is_ok());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.refresh().unwrap().self_test(&own, true), Some(Err(SelfTest::Unknown)));
        assert!(files.refresh().is_none());
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
