//! Chat tokens, and the ids that come with frames.

use nodi_protocol::ChannelId;
use nodi_protocol::chat::EventId;
use nodi_protocol::chat::token::{Claims, MAX_LEN, Minter, Verifier};

/// Of the key that the seeds are signed with.
const SEED: [u8; 32] = [7; 32];

/// No text but a minted one is a token, whatever is claimed comes back as it was, and no text makes a parser fall over.
pub fn chat_token(bytes: &[u8]) {
    let minter = Minter::from_seed(&SEED);
    let verifier = Verifier::new(vec![minter.public_key()]);
    let text = String::from_utf8_lossy(bytes);
    if let Ok(claims) = verifier.verify(&text, 0) {
        assert_eq!(minter.mint(&claims).unwrap(), text, "a token that was not minted");
    }
    if let Ok(claims) = serde_json::from_slice::<Claims>(bytes) {
        let token = minter.mint(&claims).unwrap();
        if token.len() <= MAX_LEN && claims.exp > 0 {
            assert_eq!(verifier.verify(&token, claims.exp - 1), Ok(claims));
        }
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
        assert!(id.next() >= id);
    }
    if let Ok(id) = text.parse::<ChannelId>() {
        assert_eq!(id.as_str(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_real_token() {
        let verifier = Verifier::new(vec![Minter::from_seed(&SEED).public_key()]);
        assert!(verifier.verify(include_str!("../seeds/chat_token/minted"), 0).is_ok());
    }
}
