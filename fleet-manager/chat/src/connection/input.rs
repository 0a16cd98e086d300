//! What a client's text means.

use nodi_protocol::chat::client::Frame;
use nodi_protocol::chat::server::{Code, Refused};
use serde::Deserialize;

/// Longest nonce, in characters.
pub(super) const MAX_NONCE: usize = 64;

/// A text that is no frame of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Of what can be refused by it; without one, nobody would know what the answer is about.
    pub nonce: Option<String>,
    /// For the writer of the client.
    pub text: String,
}

#[derive(Deserialize)]
struct WithNonce {
    nonce: String,
}

pub(super) fn parse(text: &str) -> Result<Frame, Wrong> {
    serde_json::from_str(text).map_err(|error| Wrong {
        nonce: serde_json::from_str::<WithNonce>(text)
            .ok()
            .map(|with| with.nonce)
            .filter(|nonce| check_nonce(nonce).is_ok()),
        text: format!("not a frame of the protocol: {error}"),
    })
}

/// What cannot be answered by its nonce is refused without one.
pub(super) fn check_nonce(nonce: &str) -> Result<(), Refused> {
    if (1..=MAX_NONCE).contains(&nonce.chars().count()) {
        return Ok(());
    }
    Err(Refused {
        nonce: String::new(),
        code: Code::Invalid,
        text: format!("a nonce has 1 to {MAX_NONCE} characters"),
        retry_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_understood() {
        assert!(matches!(parse(r#"{"t":"join","channel":"demo"}"#), Ok(Frame::Join { .. })));
        assert!(matches!(parse(r#"{"t":"auth","token":null}"#), Ok(Frame::Auth { token: None })));
        assert!(matches!(parse(r#"{"t":"do","nonce":"1","action":{"do":"clear"}}"#), Ok(Frame::Do { .. })));
    }

    #[test]
    fn what_can_be_answered_by_its_nonce_is() {
        let nonce = |text: &str| parse(text).unwrap_err().nonce;
        assert_eq!(nonce(r#"{"t":"do","nonce":"7","action":{"do":"fly"}}"#), Some("7".to_owned()));
        assert_eq!(nonce(r#"{"t":"say","nonce":"8","text":1}"#), Some("8".to_owned()));
        assert_eq!(nonce(r#"{"t":"say","text":"hello"}"#), None);
        assert_eq!(nonce(r#"{"t":"say","nonce":"","text":1}"#), None);
        for bad in ["", "{", "[]", "null", "\"join\"", r#"{"t":"join"}"#, r#"{"t":"join","channel":"/"}"#] {
            assert_eq!(nonce(bad), None, "{bad}");
        }
        assert_eq!(nonce(&"[".repeat(10_000)), None, "nothing nests so deep that it breaks");
    }

    #[test]
    fn a_nonce_is_short() {
        assert!(check_nonce(&"é".repeat(64)).is_ok());
        assert!(check_nonce(&"e".repeat(65)).is_err());
        assert!(check_nonce("").is_err());
    }
}
