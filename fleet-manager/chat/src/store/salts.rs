//! Salts for addresses: random, kept on the disk so that a ban survives a restart, and thrown away in time. They are one
//! node's own: nodes that share rooms over a bus have to share them too, or a ban by address holds where it was spoken.

use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use nodi_protocol::ChannelId;
use rusqlite::{Connection, params};
use sha2::Sha256;

use super::{Config, Error, signed, unsigned};
use crate::limits::{AddressHash, AddressKey};

const BYTES: usize = 32;

/// The salts in force, newest first: the present one and the one before.
#[derive(Default)]
pub struct Salts {
    all: RwLock<Vec<([u8; BYTES], u64)>>,
}

impl std::fmt::Debug for Salts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salts")
    }
}

impl Salts {
    /// For tests: one that never changes.
    #[must_use]
    pub fn fixed(salt: [u8; BYTES]) -> Self {
        Self { all: RwLock::new(vec![(salt, 0)]) }
    }

    /// What an address is remembered as in one channel: with the present salt first. Not the same in any other channel.
    #[must_use]
    pub fn hashes(&self, channel: &ChannelId, address: &AddressKey) -> Vec<AddressHash> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(|(salt, _)| hash(salt, channel, address)).collect()
    }

    /// Reads the salts, makes a new one when it is time, and deletes those that are over.
    pub(super) fn turn(&self, connection: &Connection, config: &Config, now_ms: u64) -> Result<(), Error> {
        let age_ms = config.salt_s.saturating_mul(1_000);
        let newest = self.all.read().unwrap_or_else(PoisonError::into_inner).first().map(|(_, from)| *from);
        if newest.is_some_and(|from| now_ms < from.saturating_add(age_ms)) {
            return Ok(());
        }
        let over = now_ms.saturating_sub(age_ms.saturating_mul(2));
        connection.execute("DELETE FROM salt WHERE from_ms <= ?1", params![signed(over)])?;
        let newest: Option<i64> =
            connection.query_row("SELECT max(from_ms) FROM salt", [], |row| row.get(0))?;
        if newest.is_none_or(|from| unsigned(from).saturating_add(age_ms) <= now_ms) {
            let mut salt = [0; BYTES];
            getrandom::fill(&mut salt).map_err(|error| Error::Random(error.to_string()))?;
            connection
                .execute("INSERT INTO salt (salt, from_ms) VALUES (?1, ?2)", params![salt, signed(now_ms)])?;
        }
        let mut statement =
            connection.prepare("SELECT salt, from_ms FROM salt ORDER BY from_ms DESC, id DESC LIMIT 2")?;
        let all = statement
            .query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?
            .collect::<rusqlite::Result<Vec<([u8; BYTES], u64)>>>()?;
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }
}

fn hash(salt: &[u8; BYTES], channel: &ChannelId, address: &AddressKey) -> Option<AddressHash> {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).ok()?;
    mac.update(&address.bytes());
    mac.update(channel.as_str().as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.first_chunk::<16>().map(|bytes| AddressHash::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AddressKey {
        AddressKey::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_the_same_in_one_channel_and_another_in_the_next() {
        let (demo, other): (ChannelId, ChannelId) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let salts = Salts::fixed([1; 32]);
        assert_eq!(salts.hashes(&demo, &key("192.0.2.1")), salts.hashes(&demo, &key("192.0.2.1")));
        assert_ne!(salts.hashes(&demo, &key("192.0.2.1")), salts.hashes(&demo, &key("192.0.2.2")));
        assert_ne!(salts.hashes(&demo, &key("192.0.2.1")), salts.hashes(&other, &key("192.0.2.1")));
        assert_ne!(
            Salts::fixed([2; 32]).hashes(&demo, &key("192.0.2.1")),
            salts.hashes(&demo, &key("192.0.2.1"))
        );
    }

    #[test]
    fn salts_turn_and_are_thrown_away() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::migrate::up_to_date(&mut connection, 0).unwrap();
        let config = Config::default();
        let week = config.salt_s * 1_000;
        let (demo, salts): (ChannelId, Salts) = ("demo".parse().unwrap(), Salts::default());
        let hashes = |salts: &Salts| salts.hashes(&demo, &key("192.0.2.1"));
        salts.turn(&connection, &config, 1_000).unwrap();
        let first = hashes(&salts);
        assert_eq!(first.len(), 1);
        // A restart changes nothing.
        let again = Salts::default();
        again.turn(&connection, &config, 2_000).unwrap();
        assert_eq!(hashes(&again), first);
        salts.turn(&connection, &config, 1_000 + week).unwrap();
        let second = hashes(&salts);
        assert_eq!((second.len(), second[1]), (2, first[0]));
        salts.turn(&connection, &config, 1_000 + 2 * week).unwrap();
        let third = hashes(&salts);
        assert_eq!(third[1], second[0]);
        assert!(!third.contains(&first[0]));
        let kept: i64 = connection.query_row("SELECT count(*) FROM salt", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 2);
    }
}
