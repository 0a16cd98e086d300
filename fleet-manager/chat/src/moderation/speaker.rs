//! Somebody with a token, as the room knows them.

use nodi_protocol::chat::token::Claims;

use super::Inside;
use crate::limits::{AddressHash, AddressKey};
use crate::text::fold::NameLikeness;

/// One connection's account. Good until the token expires; another token makes another speaker.
#[derive(Debug, Clone)]
pub struct Speaker {
    pub(super) claims: Claims,
    pub(super) address: AddressKey,
    /// With the present salt first, then with those before it.
    pub(super) hashes: Vec<AddressHash>,
    pub(super) likeness: NameLikeness,
}

impl Speaker {
    /// The id of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.claims.sub
    }

    /// When the token expires, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        self.claims.exp.saturating_mul(1_000)
    }

    /// When the account was made, in milliseconds since the Unix epoch.
    pub(super) fn created_ms(&self) -> u64 {
        self.claims.created_s.saturating_mul(1_000)
    }

    pub(super) fn inside(&self, nonce: &str) -> Inside {
        Inside {
            nonce: Some(nonce.to_owned()),
            addresses: self.hashes.first().copied().into_iter().collect(),
            held: None,
            role: Some(self.claims.role),
            created_s: Some(self.claims.created_s),
            followed_s: self.claims.followed_s,
        }
    }
}
