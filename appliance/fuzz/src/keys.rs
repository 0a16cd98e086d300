//! Stream keys, and where publishers put them.

use nodi_protocol::stream_key::{Minter, StreamKey, Verifier};
use nodi_protocol::{ChannelId, SessionId, revocation::Revocations};
use nodi_rtmp::key_candidates;

/// Of the key that the seeds are signed with.
const SEED: [u8; 32] = [7; 32];

/// No text but a minted one is a key, and no text makes any of the parsers fall over.
pub fn stream_key(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let minter = Minter::from_seed(&SEED);
    let verifier = Verifier::parse(&minter.public_line()).unwrap();
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    for candidate in key_candidates(part(), part(), part()) {
        assert!(!candidate.is_empty());
        check(&verifier, &minter, candidate);
    }
    check(&verifier, &minter, &text);
    let _ = Verifier::parse(&text);
    let _ = Minter::parse(&text);
    let _ = Revocations::from_json(bytes);
    if let Ok(id) = text.parse::<ChannelId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text);
    }
}

fn check(verifier: &Verifier, minter: &Minter, text: &str) {
    let key = StreamKey::from_text(text);
    if let Ok(grant) = verifier.verify(&key, 0, &Revocations::default()) {
        assert_eq!(minter.mint(&grant).reveal(), text, "a key that was not minted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_real_key() {
        let key = StreamKey::from_text(include_str!("../seeds/stream_key/minted"));
        let verifier = Verifier::parse(&Minter::from_seed(&SEED).public_line()).unwrap();
        assert!(verifier.verify(&key, 0, &Revocations::default()).is_ok());
    }
}
