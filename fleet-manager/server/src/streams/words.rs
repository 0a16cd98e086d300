//! How a stream does, in plain words, from the named warnings of its box and from how its uplink stands.

use nodi_protocol::fleet::session::Session;
use serde::Serialize;
use utoipa::ToSchema;

use crate::boxes::Health;

/// Nothing can be seen at all.
pub const NO_VIDEO: &str = "no_video";
/// The worker is away: nothing goes on just now.
const WORKER_MISSING: &str = "worker_missing";
/// From this lag on viewers come nearer to the end of what they have: two segments of two seconds.
const LAG_SEEN_MS: u64 = 4_000;
/// The player's reconnect window is a minute; half of it without a way out is an outage.
const LAG_OUTAGE_MS: u64 = 30_000;

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The streamer, at the encoder.
    Encoder,
    /// The box's operator.
    Box,
    /// Whoever runs the box's line.
    Line,
}

/// What a warning's code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    pub side: Side,
    /// Viewers do not notice it; it could be better all the same.
    pub hint: bool,
}

/// A code that this build does not know is taken for the box's: the streamer is not sent looking for nothing.
#[must_use]
pub fn meaning(code: &str) -> Meaning {
    let (side, hint) = match code {
        NO_VIDEO
        | "av_skew"
        | "timestamp_jumps"
        | "timestamps_jumped"
        | "stalls"
        | "bitrate_near_limit"
        | "key_frames_far_apart"
        | "gop_not_kept"
        | "frames_missing"
        | "damaged_tags"
        | "audio_late" => (Side::Encoder, false),
        "no_audio" | "audio_missing" | "b_frames" | "no_passthrough" => (Side::Encoder, true),
        "uplink_lag" => (Side::Line, false),
        _ => (Side::Box, false),
    };
    Meaning { side, hint }
}

/// One thing that could be better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Advice {
    /// Stable, for programs.
    pub code: String,
    pub side: Side,
    /// Viewers do not notice it.
    pub hint: bool,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// How a stream does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Words {
    #[serde(skip)]
    pub health: Health,
    /// One sentence for all of it.
    pub headline: String,
    /// Who has to do something; empty when nobody has.
    pub detail: String,
    /// What viewers notice, and what the streamer can mend, first.
    pub advice: Vec<Advice>,
}

/// `online`: whether the box is there.
#[must_use]
pub fn of(session: &Session, online: bool) -> Words {
    let mut advice: Vec<Advice> = session
        .warnings
        .iter()
        .map(|warning| {
            let Meaning { side, hint } = meaning(&warning.code);
            Advice { code: warning.code.clone(), side, hint, text: sentence(&warning.text) }
        })
        .collect();
    let mut line = |code: &str, text: String| {
        advice.push(Advice { code: code.to_owned(), side: Side::Line, hint: false, text });
    };
    if !online {
        line(
            "box_away",
            "The box is not connected to the fleet: what it last said may no longer be so.".to_owned(),
        );
    }
    if let Some(uplink) = session.uplink
        && !session.warnings.iter().any(|warning| meaning(&warning.code).side == Side::Line)
    {
        if !uplink.connected {
            let text =
                "The box cannot reach the origin. It keeps the stream and sends it when the line is back.";
            line("uplink_away", text.to_owned());
        } else if uplink.lag_ms >= LAG_SEEN_MS {
            let behind = uplink.lag_ms / 1_000;
            let text =
                format!("What viewers get is {behind} s behind: the box’s line does not carry the stream.");
            line("uplink_lag", text);
        }
    }
    advice.sort_by_key(|advice| (advice.hint, advice.side != Side::Encoder));
    let has = |code| session.warnings.iter().any(|warning| warning.code == code);
    let outage = session.uplink.is_some_and(|uplink| !uplink.connected && uplink.lag_ms >= LAG_OUTAGE_MS);
    let health = if has(NO_VIDEO) || has(WORKER_MISSING) || outage {
        Health::Critical
    } else if advice.iter().any(|advice| !advice.hint) {
        Health::Warning
    } else {
        Health::Ok
    };
    let (headline, detail) = summed_up(health, &advice);
    Words { health, headline: headline.to_owned(), detail: detail.to_owned(), advice }
}

fn summed_up(health: Health, advice: &[Advice]) -> (&'static str, &'static str) {
    let headline = match health {
        Health::Ok if advice.is_empty() => return ("The stream is healthy.", ""),
        Health::Ok => return ("The stream is healthy; it could be a little better.", ""),
        Health::Warning => "Viewers may notice a problem.",
        Health::Critical => "Viewers cannot see the stream properly.",
    };
    let serious = |side| advice.iter().any(|advice| !advice.hint && advice.side == side);
    let detail = if serious(Side::Encoder) {
        "It can be mended at the encoder."
    } else if serious(Side::Line) {
        "Nothing is wrong at the encoder: the box’s way to the viewers is slow or interrupted. Keep streaming."
    } else {
        "Nothing is wrong at the encoder: the box has a problem. Keep streaming; the operators see it too."
    };
    (headline, detail)
}

/// The box's texts begin in lower case and have no full stop: they also stand in log lines.
#[must_use]
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    // A name such as `tj-thermal` is spelled as it is.
    let word = text.split_whitespace().next().unwrap_or_default();
    let name = word.contains('-') || word.contains('/');
    let mut sentence: String =
        if name { text.to_owned() } else { first.to_uppercase().chain(chars).collect() };
    if !sentence.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use nodi_protocol::fleet::session::{UplinkOf, Warning};

    use super::*;
    use crate::streams::testing::session;

    fn said(codes: &[&str], uplink: Option<UplinkOf>, online: bool) -> (Health, Vec<String>, String) {
        let mut session = session("nodi");
        session.uplink = uplink;
        session.warnings =
            codes.iter().map(|code| Warning { code: (*code).to_owned(), text: "so it is".into() }).collect();
        let words = of(&session, online);
        (words.health, words.advice.into_iter().map(|advice| advice.code).collect(), words.detail)
    }

    #[test]
    fn who_can_mend_it_comes_first() {
        let away = UplinkOf { connected: false, lag_ms: 1_000, backlog: 1 };
        let (health, codes, detail) = said(&["b_frames", "worker_slow", "stalls"], Some(away), true);
        assert_eq!(health, Health::Warning);
        assert_eq!(codes, ["stalls", "worker_slow", "uplink_away", "b_frames"]);
        assert!(detail.contains("at the encoder"), "{detail}");
    }

    #[test]
    fn health_is_what_viewers_notice() {
        let good = UplinkOf { connected: true, lag_ms: 300, backlog: 0 };
        assert_eq!(said(&[], Some(good), true).0, Health::Ok);
        assert_eq!(said(&["b_frames"], Some(good), true).0, Health::Ok);
        assert_eq!(said(&[NO_VIDEO], Some(good), true).0, Health::Critical);
        let outage = UplinkOf { connected: false, lag_ms: 31_000, backlog: 9 };
        assert_eq!(said(&[], Some(outage), true).0, Health::Critical);
        let behind = UplinkOf { connected: true, lag_ms: 4_000, backlog: 2 };
        assert_eq!(said(&[], Some(behind), true).1, ["uplink_lag"]);
        assert_eq!(said(&["uplink_lag"], Some(behind), true).1.len(), 1, "said once");
        assert_eq!(said(&[], Some(good), false).0, Health::Warning, "nobody knows");
    }

    #[test]
    fn texts_become_sentences() {
        assert_eq!(sentence("sound is late"), "Sound is late.");
        assert_eq!(sentence("tj-thermal is hot."), "tj-thermal is hot.");
        assert_eq!(sentence(" "), "");
    }
}
