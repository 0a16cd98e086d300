//! The signature of a message: HMAC-SHA256 (RFC 2104) over the time of sending and the body.
//!
//! `Nodi-Signature: t=<seconds since the Unix epoch>,v1=<hex>[,v1=<hex>]`. What is signed is the digits of `t`, a full
//! stop and the body. A second `v1` is made with the secret before the last rotation, for a day.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub(super) const HEADER: &str = "nodi-signature";

/// The header's value at `now_s`.
#[must_use]
pub(super) fn header(secrets: &[&str], now_s: i64, body: &[u8]) -> String {
    let mut value = format!("t={now_s}");
    for secret in secrets {
        let _ = write!(value, ",v1={}", signature(secret, now_s, body));
    }
    value
}

fn signature(secret: &str, now_s: i64, body: &[u8]) -> String {
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("{now_s}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `printf '1763826000.{"a":1}' | openssl dgst -sha256 -hmac nodi_whs_test`.
    const KNOWN: &str = "b3185b807cd4e582678c6ec69948e8d20ef0ab4dc8227b1a490e0f232aae1d01";

    #[test]
    fn the_signature_is_that_of_openssl() {
        assert_eq!(signature("nodi_whs_test", 1_763_826_000, br#"{"a":1}"#), KNOWN);
    }

    #[test]
    fn after_a_rotation_both_secrets_sign() {
        let value = header(&["new", "old"], 7, b"x");
        let (new, old) = (signature("new", 7, b"x"), signature("old", 7, b"x"));
        assert_eq!(value, format!("t=7,v1={new},v1={old}"));
        assert_ne!(signature("new", 8, b"x"), new, "the time is signed");
    }
}
