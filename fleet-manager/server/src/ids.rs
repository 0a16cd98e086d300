//! Random values: row ids that sort by time, and secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Bytes of a session cookie, an API token or an upload token: 256 bits cannot be guessed, so that one fast hash
/// is enough to store them by.
const SECRET_BYTES: usize = 32;

/// Bytes from the kernel.
///
/// # Errors
/// When the kernel has none, which happens before the system is up and never again.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// A ULID: sorts by `unix_ms`, 80 random bits.
///
/// # Errors
/// As [`random`].
pub fn ulid(unix_ms: i64) -> Result<String, Error> {
    let random = u128::from_be_bytes(random()?);
    Ok(ulid::Ulid::from_parts(u64::try_from(unix_ms).unwrap_or(0), random).to_string())
}

/// `prefix` and 256 random bits, as text that goes into a header or a cookie as it is.
///
/// # Errors
/// As [`random`].
pub fn secret(prefix: &str) -> Result<String, Error> {
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?)))
}

/// What is stored of a secret: whoever reads the database cannot log in with it.
#[must_use]
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
