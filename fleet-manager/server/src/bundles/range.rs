//! Which part of a bundle a request is for (RFC 9110, 14).

/// What to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part {
        start: u64,
        length: u64,
    },
    /// It begins behind the end.
    Nothing,
}

/// `range` and `if_range` as the request has them, `etag` with its quotes. What is no range of ours, or several at once,
/// is answered with everything, as the standard allows.
pub(super) fn wanted(range: Option<&str>, if_range: Option<&str>, etag: &str, bytes: u64) -> Wanted {
    let Some(range) = range else { return Wanted::Whole };
    // The bundle that it has a part of is another one.
    if if_range.is_some_and(|condition| condition != etag) {
        return Wanted::Whole;
    }
    let Some((start, end)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let (start, end) = (start.trim(), end.trim());
    let part = |start: u64, end: u64| {
        if start >= bytes {
            return Wanted::Nothing;
        }
        Wanted::Part { start, length: end.min(bytes - 1) - start + 1 }
    };
    match (number(start), number(end)) {
        (Some(start), Some(end)) if start <= end => part(start, end),
        (Some(start), None) if end.is_empty() => part(start, u64::MAX - 1),
        (None, Some(0)) if start.is_empty() => Wanted::Nothing,
        (None, Some(last)) if start.is_empty() => part(bytes.saturating_sub(last), u64::MAX - 1),
        _ => Wanted::Whole,
    }
}

fn number(text: &str) -> Option<u64> {
    // `parse` would also take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_as_the_standard_says() {
        let part = |start, length| Wanted::Part { start, length };
        for (range, expected) in [
            ("bytes=0-", part(0, 10)),
            ("bytes=3-", part(3, 7)),
            ("bytes=3-3", part(3, 1)),
            ("bytes=3-100", part(3, 7)),
            ("bytes=-4", part(6, 4)),
            ("bytes=-40", part(0, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-3", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(range), None, "\"a\"", 10), expected, "{range}");
        }
        assert_eq!(wanted(None, Some("\"a\""), "\"a\"", 10), Wanted::Whole);
    }

    #[test]
    fn of_another_bundle_everything_is_wanted() {
        assert_eq!(wanted(Some("bytes=3-"), Some("\"b\""), "\"a\"", 10), Wanted::Whole);
        assert_eq!(
            wanted(Some("bytes=3-"), Some("\"a\""), "\"a\"", 10),
            Wanted::Part { start: 3, length: 7 }
        );
    }
}
