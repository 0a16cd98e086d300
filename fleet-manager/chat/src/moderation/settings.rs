//! Settings of a channel's chat: their limits, changes, and how a change is told.

use nodi_protocol::chat::settings::{Links, Patch, Settings};

use super::commands::span;

/// Longest time between two messages in slow mode, in seconds: one hour.
pub const MAX_SLOW_S: u32 = 3_600;
/// Longest time that an account may have to follow before it may speak, in seconds: 90 days.
pub const MAX_FOLLOWERS_S: u32 = 90 * 86_400;

/// # Errors
/// What is out of its limits, in words.
pub fn check(settings: &Settings) -> Result<(), String> {
    if settings.slow_s > MAX_SLOW_S {
        return Err("slow mode is at most one message an hour: slow_s has to be 0 to 3600".to_owned());
    }
    if settings.followers_s.is_some_and(|seconds| seconds > MAX_FOLLOWERS_S) {
        return Err("followers_s has to be at most 90 days, 7776000".to_owned());
    }
    Ok(())
}

/// Settings with some of them changed.
#[must_use]
pub fn changed(settings: &Settings, patch: &Patch) -> Settings {
    Settings {
        slow_s: patch.slow_s.unwrap_or(settings.slow_s),
        followers_s: patch.followers_s.unwrap_or(settings.followers_s),
        subscribers_only: patch.subscribers_only.unwrap_or(settings.subscribers_only),
        emotes_only: patch.emotes_only.unwrap_or(settings.emotes_only),
        unique: patch.unique.unwrap_or(settings.unique),
        off: patch.off.unwrap_or(settings.off),
        raid_shield: patch.raid_shield.unwrap_or(settings.raid_shield),
        links: patch.links.unwrap_or(settings.links),
    }
}

/// What differs: for each a short name, as the log lists it, and words.
#[must_use]
pub fn differences(before: &Settings, after: &Settings) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let on = |yes: bool| if yes { "on" } else { "off" };
    if before.slow_s != after.slow_s {
        all.push((
            "slow",
            match after.slow_s {
                0 => "slow mode is off".to_owned(),
                seconds => format!("slow mode: one message in {}", span::words(seconds.into())),
            },
        ));
    }
    if before.followers_s != after.followers_s {
        all.push((
            "followers",
            match after.followers_s {
                None => "followers-only mode is off".to_owned(),
                Some(0) => "only followers may speak".to_owned(),
                Some(seconds) => {
                    format!("only who has followed for {} may speak", span::words(seconds.into()))
                }
            },
        ));
    }
    if before.subscribers_only != after.subscribers_only {
        all.push(("subscribers", format!("subscribers-only mode is {}", on(after.subscribers_only))));
    }
    if before.emotes_only != after.emotes_only {
        all.push(("emoteonly", format!("emote-only mode is {}", on(after.emotes_only))));
    }
    if before.unique != after.unique {
        all.push(("unique", format!("unique chat is {}", on(after.unique))));
    }
    if before.off != after.off {
        all.push(("chat", format!("the chat is {}", on(!after.off))));
    }
    if before.raid_shield != after.raid_shield {
        all.push(("raidshield", format!("the raid shield is {}", on(after.raid_shield))));
    }
    if before.links != after.links {
        all.push((
            "links",
            match after.links {
                Links::Allow => "links are allowed".to_owned(),
                Links::Hold => "links wait for a moderator".to_owned(),
                Links::Refuse => "links are refused".to_owned(),
            },
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_in_words() {
        let before = Settings::default();
        let patch =
            Patch { slow_s: Some(90), followers_s: Some(Some(600)), off: Some(true), ..Patch::default() };
        let after = changed(&before, &patch);
        let words: Vec<String> = differences(&before, &after).into_iter().map(|(_, words)| words).collect();
        assert_eq!(
            words,
            [
                "slow mode: one message in 1 minute 30 seconds",
                "only who has followed for 10 minutes may speak",
                "the chat is off"
            ]
        );
        assert_eq!(differences(&after, &after), []);
        let back = changed(
            &after,
            &Patch { slow_s: Some(0), followers_s: Some(None), off: Some(false), ..Patch::default() },
        );
        assert_eq!(back, before);
    }

    #[test]
    fn limits_hold() {
        assert!(
            check(&Settings { slow_s: 3_600, followers_s: Some(7_776_000), ..Settings::default() }).is_ok()
        );
        assert!(check(&Settings { slow_s: 3_601, ..Settings::default() }).is_err());
        assert!(check(&Settings { followers_s: Some(7_776_001), ..Settings::default() }).is_err());
    }
}
