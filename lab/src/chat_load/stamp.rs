//! What a message of the load says: its number and when it left, in digits, so that it goes through a chat as words do.

const MARK: &[u8] = b"=load=";
const NUMBER_DIGITS: usize = 10;
const TIME_DIGITS: usize = 14;
/// Of a text with nothing but the stamp.
pub(super) const LEN: usize = MARK.len() + NUMBER_DIGITS + 1 + TIME_DIGITS;
const FILLER: &str = " the quick brown fox jumps over the lazy dog";

/// A text of exactly `len` bytes (at least [`LEN`]).
pub(super) fn text(number: u64, at_us: u64, len: usize) -> String {
    let mut text = format!("=load={number:0NUMBER_DIGITS$}={at_us:0TIME_DIGITS$}");
    let missing = len.saturating_sub(text.len());
    text.extend(FILLER.chars().cycle().take(missing));
    // A chat may take blanks off the end.
    if text.ends_with(' ') {
        text.pop();
        text.push('.');
    }
    text
}

/// Number and time in microseconds, if there is a stamp in `payload`. `offset` is where the last one was, which is
/// where the next one is nearly always.
pub(super) fn find(payload: &[u8], offset: &mut usize) -> Option<(u64, u64)> {
    if !payload.get(*offset..).is_some_and(|rest| rest.starts_with(MARK)) {
        *offset = payload.windows(MARK.len()).position(|window| window == MARK)?;
    }
    let rest = payload.get(*offset + MARK.len()..)?;
    let number = digits(rest.get(..NUMBER_DIGITS)?)?;
    let time = digits(rest.get(NUMBER_DIGITS + 1..NUMBER_DIGITS + 1 + TIME_DIGITS)?)?;
    Some((number, time))
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |sum: u64, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_in_whatever_surrounds_it() {
        let said = text(42, 123_456_789, 200);
        assert_eq!(said.len(), 200);
        let mut offset = 0;
        let payload = format!(r#"{{"t":"message","text":"{said}"}}"#);
        assert_eq!(find(payload.as_bytes(), &mut offset), Some((42, 123_456_789)));
        assert_eq!(Some(offset), payload.find("=load="));
        assert_eq!(find(said.as_bytes(), &mut offset), Some((42, 123_456_789)));
        assert_eq!(find(br#"{"t":"counts","viewers":3}"#, &mut offset), None);
        assert_eq!(find(&said.as_bytes()[..20], &mut offset), None);
    }

    #[test]
    fn no_text_ends_with_a_blank() {
        for len in LEN..300 {
            let said = text(1, 1, len);
            assert_eq!((said.len(), said.ends_with(' ')), (len, false));
        }
    }
}
