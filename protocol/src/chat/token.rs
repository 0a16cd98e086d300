//! The token with which an account speaks: issued by the fleet server for minutes, checked by the chat service without
//! asking anybody.
//!
//! Text form: `nodichat_`, the URL-safe base64 (RFC 4648 section 5, no padding) of the claims as JSON, a full stop, and
//! the URL-safe base64 of an Ed25519 signature over a domain prefix and the claims' bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::ChannelId;

const PREFIX: &str = "nodichat_";
/// Keeps a signature over claims from being valid for anything else the fleet signs.
const DOMAIN: &[u8] = b"nodi chat token\0";
/// Longest token worth decoding, in bytes. Bounds work before authentication.
pub const MAX_LEN: usize = 2_048;

/// What the fleet server says of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Id of the account.
    pub sub: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub badges: Vec<String>,
    /// Good in this channel only. Without one it is good for what concerns the account itself: export and erasure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
    #[serde(default)]
    pub role: Role,
    /// Since when the account follows the channel, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed_s: Option<u64>,
    /// When the account was made, in seconds since the Unix epoch.
    pub created_s: u64,
    /// Until when it is good, in seconds since the Unix epoch.
    pub exp: u64,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this is not a chat token")]
    Malformed,
    #[error("this chat token was not issued by this platform")]
    Foreign,
    #[error("this chat token has expired; get a new one")]
    Expired,
    #[error("this chat token is for another channel")]
    OtherChannel,
}

/// Issues tokens. Only the fleet server, and tests, own one.
pub struct Minter(SigningKey);

impl Minter {
    /// `seed` is 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    #[must_use]
    pub fn public_key(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    /// # Errors
    /// Never for claims that are made here; JSON's own error type.
    pub fn mint(&self, claims: &Claims) -> Result<String, serde_json::Error> {
        let payload = serde_json::to_vec(claims)?;
        let signature = self.0.sign(&signed_text(&payload));
        Ok(format!(
            "{PREFIX}{}.{}",
            URL_SAFE_NO_PAD.encode(&payload),
            URL_SAFE_NO_PAD.encode(signature.to_bytes())
        ))
    }
}

/// Checks tokens with the public keys of the fleet.
#[derive(Debug, Clone, Default)]
pub struct Verifier(Vec<VerifyingKey>);

impl Verifier {
    #[must_use]
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        Self(keys)
    }

    /// What a token says, if it is ours and good at `now_s`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// Why it is refused. Whether it is for the right channel is for the caller to see.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Claims, Refusal> {
        if token.len() > MAX_LEN {
            return Err(Refusal::Malformed);
        }
        let body = token.strip_prefix(PREFIX).ok_or(Refusal::Malformed)?;
        let (payload, signature) = body.split_once('.').ok_or(Refusal::Malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refusal::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        let signature = Signature::from_slice(&signature).map_err(|_| Refusal::Malformed)?;
        let text = signed_text(&payload);
        if !self.0.iter().any(|key| key.verify_strict(&text, &signature).is_ok()) {
            return Err(Refusal::Foreign);
        }
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| Refusal::Malformed)?;
        if claims.exp <= now_s {
            return Err(Refusal::Expired);
        }
        Ok(claims)
    }
}

fn signed_text(payload: &[u8]) -> Vec<u8> {
    [DOMAIN, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            sub: "01J0000000000000000000000A".to_owned(),
            name: "Ada".to_owned(),
            color: None,
            badges: Vec::new(),
            channel: Some("demo".parse().unwrap()),
            role: Role::Viewer,
            followed_s: Some(10),
            created_s: 5,
            exp: 100,
        }
    }

    #[test]
    fn only_what_the_fleet_signed_is_taken_and_only_until_it_expires() {
        let minter = Minter::from_seed(&[1; 32]);
        let verifier = Verifier::new(vec![minter.public_key()]);
        let token = minter.mint(&claims()).unwrap();
        assert!(token.len() < MAX_LEN);
        assert_eq!(verifier.verify(&token, 99), Ok(claims()));
        assert_eq!(verifier.verify(&token, 100), Err(Refusal::Expired));
        let foreign = Minter::from_seed(&[2; 32]).mint(&claims()).unwrap();
        assert_eq!(verifier.verify(&foreign, 0), Err(Refusal::Foreign));
        for bad in ["", "nodichat_", "nodichat_.", "nodichat_e30.AA", &token[1..], &"a".repeat(MAX_LEN + 1)] {
            assert_eq!(verifier.verify(bad, 0), Err(Refusal::Malformed), "{bad:.20}");
        }
    }

    #[test]
    fn a_changed_token_is_foreign() {
        let minter = Minter::from_seed(&[1; 32]);
        let verifier = Verifier::new(vec![minter.public_key()]);
        let token = minter.mint(&claims()).unwrap();
        let (_, signature) = token.split_once('.').unwrap();
        let other = Claims { role: Role::Staff, ..claims() };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        assert_eq!(verifier.verify(&format!("{PREFIX}{payload}.{signature}"), 0), Err(Refusal::Foreign));
    }
}
