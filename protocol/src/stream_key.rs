//! Stream keys that certify themselves: any box or origin checks one offline with the fleet's public key.
//!
//! Text form: `nodi_` and the URL-safe base64 (RFC 4648 section 5, no padding) of
//! `1 ‖ version u32 ‖ expiry u64 ‖ channel id ‖ Ed25519 signature`, numbers big-endian, the expiry in
//! seconds since the Unix epoch (0: never). The signature covers a domain prefix and all that precedes it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::ChannelId;
use crate::id::MAX_NAME_LEN;
use crate::revocation::Revocations;

const PREFIX: &str = "nodi_";
const FORMAT: u8 = 1;
/// Keeps a signature over a stream key from being valid for anything else the fleet signs.
const DOMAIN: &[u8] = b"nodi stream key\0";
/// Format byte, version, expiry.
const HEADER_LEN: usize = 1 + 4 + 8;
const SIGNATURE_LEN: usize = 64;
/// Longest text worth decoding; anything longer is not a key. Bounds work before authentication.
pub const MAX_TEXT_LEN: usize = PREFIX.len() + (HEADER_LEN + MAX_NAME_LEN + SIGNATURE_LEN).div_ceil(3) * 4;

/// The channel of a box's own health gate. Keys for it are signed on the box, by nobody else, and nothing of it leaves it.
pub const SELF_TEST_CHANNEL: &str = "self-test";

/// A stream key as text. `Debug` never shows it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

/// What a valid key grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub channel: ChannelId,
    pub version: u32,
    /// Seconds since the Unix epoch; `None`: never expires.
    pub expires_at: Option<u64>,
}

/// Why a key is refused. The texts are meant for the streamer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this is not a stream key; copy it again from your studio")]
    Malformed,
    #[error("this stream key was not issued by this platform")]
    Foreign,
    #[error("this stream key has expired; create a new one in your studio")]
    Expired,
    #[error("this stream key was revoked; create a new one in your studio")]
    Revoked,
    #[error("this channel is suspended; ask the operators of the platform")]
    Suspended,
}

/// Why a key file is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    #[error("line {0}: not the base64 of a 32-byte Ed25519 key")]
    Line(usize),
    #[error("no key in it")]
    Empty,
}

impl StreamKey {
    /// Takes any text; [`Verifier::verify`] decides whether it is a key.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for handing it to its owner or to the origin, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The channel that it says it is for, whoever signed it; `None`: it is not a key.
    #[must_use]
    pub fn claimed_channel(&self) -> Option<ChannelId> {
        let (payload, _) = split(&self.0)?;
        parse_payload(&payload).map(|grant| grant.channel)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(hidden)")
    }
}

/// Issues keys. Only the fleet server, and the lab, own one.
pub struct Minter(SigningKey);

impl Minter {
    /// `seed` is 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a key file: one line of base64.
    ///
    /// # Errors
    /// When the file holds no key or something else.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let seeds = parse_lines(text)?;
        seeds.first().map(Self::from_seed).ok_or(KeyFileError::Empty)
    }

    /// The line for the public key file of boxes and origins.
    #[must_use]
    pub fn public_line(&self) -> String {
        STANDARD.encode(self.0.verifying_key().as_bytes())
    }

    #[must_use]
    pub fn mint(&self, grant: &Grant) -> StreamKey {
        let mut payload = Vec::with_capacity(HEADER_LEN + MAX_NAME_LEN + SIGNATURE_LEN);
        payload.push(FORMAT);
        payload.extend_from_slice(&grant.version.to_be_bytes());
        payload.extend_from_slice(&grant.expires_at.unwrap_or(0).to_be_bytes());
        payload.extend_from_slice(grant.channel.as_str().as_bytes());
        let signature = self.0.sign(&signed_text(&payload));
        payload.extend_from_slice(&signature.to_bytes());
        StreamKey(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(payload)))
    }
}

/// Checks keys against the fleet's public keys: several, so that the fleet's key can be replaced.
#[derive(Debug, Clone)]
pub struct Verifier(Vec<VerifyingKey>);

impl Verifier {
    /// Reads a public key file: one base64 key a line; empty lines and `#` comments are skipped.
    ///
    /// # Errors
    /// When a line is not a key, or there is none.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let keys = parse_lines(text)?
            .iter()
            .enumerate()
            .map(|(index, bytes)| VerifyingKey::from_bytes(bytes).map_err(|_| KeyFileError::Line(index + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(Self(keys)) }
    }

    /// Checks form, signature, expiry, revocation and whether the channel is suspended, in this order.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &self,
        key: &StreamKey,
        now_unix_s: u64,
        revocations: &Revocations,
    ) -> Result<Grant, Refusal> {
        let (payload, signature) = split(&key.0).ok_or(Refusal::Malformed)?;
        let grant = parse_payload(&payload).ok_or(Refusal::Malformed)?;
        let text = signed_text(&payload);
        if !self.0.iter().any(|public| public.verify_strict(&text, &signature).is_ok()) {
            return Err(Refusal::Foreign);
        }
        if grant.expires_at.is_some_and(|expires_at| expires_at <= now_unix_s) {
            return Err(Refusal::Expired);
        }
        if grant.version < revocations.min_version(&grant.channel) {
            return Err(Refusal::Revoked);
        }
        if revocations.suspended.contains(&grant.channel) {
            return Err(Refusal::Suspended);
        }
        Ok(grant)
    }
}

fn split(text: &str) -> Option<(Vec<u8>, Signature)> {
    if text.len() > MAX_TEXT_LEN {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    let at = bytes.len().checked_sub(SIGNATURE_LEN)?;
    let signature = Signature::from_slice(&bytes.split_off(at)).ok()?;
    Some((bytes, signature))
}

fn parse_payload(payload: &[u8]) -> Option<Grant> {
    let (format, rest) = payload.split_first()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (expiry, channel) = rest.split_first_chunk::<8>()?;
    if *format != FORMAT {
        return None;
    }
    let expiry = u64::from_be_bytes(*expiry);
    Some(Grant {
        channel: std::str::from_utf8(channel).ok()?.parse().ok()?,
        version: u32::from_be_bytes(*version),
        expires_at: (expiry != 0).then_some(expiry),
    })
}

fn signed_text(payload: &[u8]) -> Vec<u8> {
    [DOMAIN, payload].concat()
}

fn parse_lines(text: &str) -> Result<Vec<[u8; 32]>, KeyFileError> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let bytes = STANDARD.decode(line).map_err(|_| KeyFileError::Line(number))?;
            bytes.try_into().map_err(|_| KeyFileError::Line(number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn grant() -> Grant {
        Grant { channel: "nodi".parse().unwrap(), version: 3, expires_at: Some(NOW + 60) }
    }

    fn verifier(minter: &Minter) -> Verifier {
        Verifier::parse(&format!("# fleet\n\n{}\n", minter.public_line())).unwrap()
    }

    #[test]
    fn a_minted_key_grants_what_was_minted() {
        let minter = Minter::from_seed(&[7; 32]);
        let key = minter.mint(&grant());
        assert_eq!(verifier(&minter).verify(&key, NOW, &Revocations::default()), Ok(grant()));
        assert!(key.reveal().len() <= MAX_TEXT_LEN);
    }

    #[test]
    fn the_longest_channel_fits() {
        let minter = Minter::from_seed(&[7; 32]);
        let grant = Grant { channel: "x".repeat(MAX_NAME_LEN).parse().unwrap(), ..grant() };
        let key = minter.mint(&grant);
        assert_eq!(verifier(&minter).verify(&key, NOW, &Revocations::default()), Ok(grant));
    }

    #[test]
    fn each_way_of_being_wrong_has_its_own_refusal() {
        let minter = Minter::from_seed(&[7; 32]);
        let verifier = verifier(&minter);
        let key = minter.mint(&grant());
        let none = Revocations::default();
        let mut revoked = Revocations::default();
        revoked.min_versions.insert("nodi".parse().unwrap(), 4);

        assert_eq!(verifier.verify(&key, NOW + 60, &none), Err(Refusal::Expired));
        assert_eq!(verifier.verify(&key, NOW, &revoked), Err(Refusal::Revoked));
        let mut suspended = Revocations::default();
        suspended.suspended.insert("nodi".parse().unwrap());
        assert_eq!(verifier.verify(&key, NOW, &suspended), Err(Refusal::Suspended));
        let foreign = Minter::from_seed(&[8; 32]).mint(&grant());
        assert_eq!(foreign.claimed_channel(), Some(grant().channel));
        assert_eq!(verifier.verify(&foreign, NOW, &none), Err(Refusal::Foreign));
        for text in ["", "nodi_", "nodi_####", "live_123", &key.reveal()[1..], &"n".repeat(10_000)] {
            assert_eq!(verifier.verify(&StreamKey::from_text(text), NOW, &none), Err(Refusal::Malformed));
            assert_eq!(StreamKey::from_text(text).claimed_channel(), None);
        }
    }

    #[test]
    fn no_single_bit_can_be_changed() {
        let minter = Minter::from_seed(&[7; 32]);
        let verifier = verifier(&minter);
        let key = minter.mint(&grant());
        let bytes = URL_SAFE_NO_PAD.decode(&key.reveal()[PREFIX.len()..]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let key = StreamKey::from_text(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
            assert!(verifier.verify(&key, NOW, &Revocations::default()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn debug_hides_the_key() {
        let key = Minter::from_seed(&[7; 32]).mint(&grant());
        assert!(!format!("{key:?}").contains(&key.reveal()[5..]));
    }

    #[test]
    fn key_files_name_the_bad_line() {
        assert_eq!(Verifier::parse("# a\nAAAA\n").unwrap_err(), KeyFileError::Line(2));
        assert_eq!(Verifier::parse("# a\n").unwrap_err(), KeyFileError::Empty);
    }
}
