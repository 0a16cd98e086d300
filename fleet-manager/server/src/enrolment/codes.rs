//! Codes that people read, type and put into files: Crockford's base 32, which has no letters that look alike.

use crate::error::Error;
use crate::ids;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters of a claim code: 80 bits.
const CLAIM: usize = 16;
/// Letters of a waiting box's code: 40 bits, of which one of at most some thousand is right, and who types it is
/// logged in.
const WAITING: usize = 8;
const GROUP: usize = 4;
/// Longest text that is looked at.
const MAX_TYPED: usize = 64;

/// # Errors
/// When the kernel has no random bytes.
pub(super) fn claim() -> Result<String, Error> {
    Ok(spell(&ids::random::<CLAIM>()?))
}

/// # Errors
/// When the kernel has no random bytes.
pub(super) fn waiting() -> Result<String, Error> {
    Ok(spell(&ids::random::<WAITING>()?))
}

/// One letter for each byte, in groups: `ABCD-EFGH`.
fn spell(random: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0')));
    }
    text
}

/// What was meant by what was typed: any case, with or without the hyphens, O for 0 and I or L for 1.
pub(super) fn normalised(typed: &str) -> String {
    typed
        .chars()
        .take(MAX_TYPED)
        .filter(|char| !char.is_whitespace() && *char != '-')
        .map(|char| match char.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

/// What is stored of a claim code.
pub(super) fn digest(typed: &str) -> [u8; 32] {
    ids::digest(&normalised(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_being_typed() {
        let code = claim().unwrap();
        assert_eq!(code.len(), 19, "{code}");
        assert_eq!(digest(&code), digest(&code.to_lowercase().replace('-', " ")));
        assert_eq!(normalised("oIl0-1"), "01101");
        assert_eq!(waiting().unwrap().len(), 9);
        assert_ne!(claim().unwrap(), claim().unwrap());
    }
}
