//! Spans of time as people type and read them: `30s`, `10m`, `1h30m`, `3d`.

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// In seconds. A number without a unit is seconds.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    if let Ok(seconds) = digits(text) {
        return Some(seconds);
    }
    let (mut rest, mut total, mut units) = (text, 0u64, UNITS.iter());
    while !rest.is_empty() {
        let end = rest.find(|char: char| !char.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(end)?;
        let unit = tail.chars().next()?;
        // Each unit once, the greater ones first.
        let (_, seconds) = units.find(|(name, _)| *name == unit.to_ascii_lowercase())?;
        total = total.checked_add(digits(number).ok()?.checked_mul(*seconds)?)?;
        rest = tail.get(unit.len_utf8()..)?;
    }
    (!text.is_empty()).then_some(total)
}

fn digits(text: &str) -> Result<u64, ()> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    text.parse().map_err(|_| ())
}

/// In words: `10 minutes`, `1 hour 30 minutes`. At most the two greatest units that there are.
#[must_use]
pub fn words(seconds: u64) -> String {
    const NAMES: [(&str, u64); 4] = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, unit) in NAMES {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

/// The same of milliseconds, rounded up.
#[must_use]
pub fn words_ms(ms: u64) -> String {
    words(ms.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_as_they_are_typed() {
        for (text, seconds) in [
            ("10", 10),
            ("30s", 30),
            ("10m", 600),
            ("2h", 7_200),
            ("3d", 259_200),
            ("1w", 604_800),
            ("1h30m", 5_400),
            ("10M", 600),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "10x",
            "x",
            "m",
            "10mm",
            "1m1h",
            "-1",
            "+1",
            "1.5h",
            "1 m",
            "99999999999999999999",
            "9999999999999999999w",
            "10mü",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn spans_as_they_are_read() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "1 minute 30 seconds"),
            (600, "10 minutes"),
            (5_400, "1 hour 30 minutes"),
            (86_400, "1 day"),
            (90_061, "1 day 1 hour"),
        ] {
            assert_eq!(words(seconds), text);
        }
        assert_eq!(words_ms(1_001), "2 seconds");
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in ".{0,30}") {
            let _ = parse(&text);
        }
    }
}
