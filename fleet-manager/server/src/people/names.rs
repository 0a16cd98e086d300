//! Names that people give themselves: which will do, and which look like another one.

use nodi_protocol::ChannelId;

use crate::error::Error;

/// Length of a name that somebody signs up with, in characters: long enough to be told apart, short enough for a line of
/// chat.
pub const LENGTH: std::ops::RangeInclusive<usize> = 3..=25;

/// Nobody signs up with what these look like: viewers would take them for the platform. Compared by skeleton.
const RESERVED: [&str; 25] = [
    "admin",
    "administrator",
    "anonymous",
    "bot",
    "everyone",
    "help",
    "here",
    "mod",
    "moderator",
    "moderators",
    "nodi",
    "nodibot",
    "nodichat",
    "noditeam",
    "null",
    "official",
    "operator",
    "owner",
    "root",
    "security",
    "staff",
    "streamer",
    "support",
    "system",
    "undefined",
];

/// What is left of a name when letters that look alike are the same: two names with one skeleton are hard to tell apart.
/// Only for comparing, never shown.
#[must_use]
pub fn skeleton(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter {
            '0' => plain.push('o'),
            '1' | 'i' | '|' | '!' => plain.push('l'),
            '5' | '$' => plain.push('s'),
            // An underscore at an end, or one more of them, is easily overlooked.
            '_' | '-' | '.' | ' ' => {}
            other => plain.push(other),
        }
    }
    plain.replace("rn", "m").replace("vv", "w")
}

/// Whether somebody may sign up with this name, as far as that can be said without knowing the others.
///
/// # Errors
/// Why not.
pub fn check(name: &str) -> Result<(), Error> {
    let will_do = LENGTH.contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !will_do {
        return Err(Error::invalid(
            "name",
            format!(
                "must be {} to {} letters from a to z, digits and underscores, the first one a letter or a digit",
                LENGTH.start(),
                LENGTH.end()
            ),
        ));
    }
    let skeleton = skeleton(name);
    if skeleton.is_empty() || RESERVED.iter().any(|reserved| self::skeleton(reserved) == skeleton) {
        return Err(Error::invalid("name", "is reserved; choose another one"));
    }
    Ok(())
}

/// The id of the channel that somebody of this name opens; `None` where the name was given by an administrator and is
/// no id.
#[must_use]
pub fn channel_of(name: &str) -> Option<ChannelId> {
    name.to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("Ada", "ada"),
            ("b0b", "BOB"),
            ("Ill", "1I1"),
            ("pau1", "paul"),
            ("anna_", "anna"),
            ("a__b", "a_b"),
            ("jess", "je55"),
            ("mornlng", "morning"),
            ("bum", "burn"),
            ("vvilma", "wilma"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("ada", "adam"), ("anna2", "anna3"), ("eve", "ewe")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_name_is_said() {
        for good in ["Ada", "a_1", "0range_", &"x".repeat(25)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "_ada", "a b", "ad\u{e4}", "\u{430}da", "a-b", "ada\u{200d}", &"x".repeat(26)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        for reserved in ["Admin", "adm1n", "ADMlN", "n0di", "mod", "m_o_d", "Staff_", "5taff"] {
            assert!(check(reserved).is_err(), "{reserved}");
        }
    }

    proptest! {
        #[test]
        fn whoever_signs_up_can_open_a_channel(name in "[A-Za-z0-9][A-Za-z0-9_]{2,24}") {
            prop_assert!(channel_of(&name).is_some());
        }

        #[test]
        fn a_skeleton_does_not_depend_on_case_or_underscores(name in "[A-Za-z0-9_]{3,25}") {
            prop_assert_eq!(skeleton(&name), skeleton(&name.to_ascii_uppercase().replace('_', "__")));
        }
    }
}
