//! What the checker has to say: findings, which are violations, and what a viewer saw, which is only told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What must hold; the section is of RFC 8216bis where one applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The text is a playlist that a player accepts.
    Syntax,
    /// The multivariant playlist says what the renditions are (4.4.6.2).
    Multivariant,
    /// No part is longer than PART-TARGET, and only a segment's last part, or the one before a key frame,
    /// is shorter than 85 % of it (4.4.3.7).
    PartDuration,
    /// No segment, rounded, is longer than EXT-X-TARGETDURATION (4.4.3.1), and durations are the media's.
    SegmentDuration,
    /// Every segment starts with a key frame, and INDEPENDENT is said where it is true.
    KeyFrame,
    /// All renditions cut at the same times, to a frame.
    Boundaries,
    /// Sample times go on without a hole or an overlap.
    Continuity,
    /// Audio starts within a frame of video.
    AudioAlignment,
    /// Everything that a playlist names is there.
    Missing,
    /// Playlists only grow (6.2.1).
    Growth,
    /// A blocked reload answers with what was asked for (6.2.5.2).
    BlockingReload,
    /// Reports of other renditions are right (4.4.5.4).
    RenditionReport,
    /// A delta update completes to the full playlist (6.2.5.1).
    Delta,
    /// What was announced comes, under that URI (4.4.5.3).
    PreloadHint,
    /// EXT-X-PROGRAM-DATE-TIME is near the wall clock, equal on all renditions and goes on evenly.
    ProgramDateTime,
    /// A segment's bytes are its parts' bytes.
    SegmentBytes,
    /// Types, cache and cross-origin headers that players and caches need.
    Headers,
}

/// One violation.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub rule: Rule,
    /// Seconds since the check began.
    pub at_s: f64,
    pub rendition: String,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7.2} s  {:?}  {}: {}", self.at_s, self.rule, self.rendition, self.message)
    }
}

/// One rendition in figures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rendition {
    pub playlists: u64,
    pub delta_updates: u64,
    pub parts: u64,
    pub segments: u64,
    pub bytes: u64,
    /// Age of the newest media when it was in the client's hands, by EXT-X-PROGRAM-DATE-TIME, in ms.
    pub age_p50_ms: Option<i64>,
    pub age_p95_ms: Option<i64>,
    /// For how long a player that stays PART-HOLD-BACK behind the end would have had nothing to play.
    #[serde(serialize_with = "seconds")]
    pub stalled: Duration,
    pub stalls: u32,
    /// Longest time without new media.
    #[serde(serialize_with = "seconds")]
    pub longest_wait: Duration,
    /// EXT-X-DISCONTINUITY, by media sequence number.
    pub discontinuities: BTreeSet<u64>,
    /// EXT-X-GAP, by media sequence number.
    pub gaps: BTreeSet<u64>,
    /// Highest and lowest media sequence number seen.
    pub first_msn: Option<u64>,
    pub last_msn: Option<u64>,
    /// Announced parts that never came.
    pub hints_unmet: u64,
    pub ended: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub url: String,
    pub duration_s: f64,
    pub findings: Vec<Finding>,
    pub renditions: BTreeMap<String, Rendition>,
    /// The sessions whose media was seen, in order.
    pub sessions: Vec<String>,
    /// Requests that were not answered with 200, by kind and status (`0`: no answer).
    pub refusals: BTreeMap<String, u64>,
}

impl Report {
    /// The worst figures over the video renditions, or over the audio if there is no other.
    #[must_use]
    pub fn worst_stall(&self) -> Duration {
        self.renditions.values().map(|rendition| rendition.stalled).max().unwrap_or_default()
    }

    /// Violations of the given rules.
    #[must_use]
    pub fn of(&self, rules: &[Rule]) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| rules.contains(&finding.rule)).collect()
    }

    /// Violations of all rules but the given ones.
    #[must_use]
    pub fn except(&self, rules: &[Rule]) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| !rules.contains(&finding.rule)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} for {:.1} s", self.url, self.duration_s)?;
        writeln!(
            f,
            "{:10} {:>9} {:>6} {:>6} {:>8} {:>9} {:>10} {:>10} {:>8} {:>7}",
            "rendition",
            "playlists",
            "deltas",
            "parts",
            "segments",
            "kbit/s",
            "age p50 ms",
            "age p95 ms",
            "stall s",
            "wait s"
        )?;
        let age = |age: Option<i64>| age.map_or("-".to_owned(), |age| age.to_string());
        for (name, rendition) in &self.renditions {
            writeln!(
                f,
                "{:10} {:>9} {:>6} {:>6} {:>8} {:>9.0} {:>10} {:>10} {:>8.2} {:>7.2}",
                name,
                rendition.playlists,
                rendition.delta_updates,
                rendition.parts,
                rendition.segments,
                rendition.bytes as f64 * 0.008 / self.duration_s.max(0.001),
                age(rendition.age_p50_ms),
                age(rendition.age_p95_ms),
                rendition.stalled.as_secs_f64(),
                rendition.longest_wait.as_secs_f64(),
            )?;
        }
        for (name, rendition) in &self.renditions {
            if !rendition.discontinuities.is_empty() {
                writeln!(f, "{name}: discontinuities at {:?}", rendition.discontinuities)?;
            }
            if !rendition.gaps.is_empty() {
                writeln!(f, "{name}: gaps at {:?}", rendition.gaps)?;
            }
        }
        for (what, count) in &self.refusals {
            writeln!(f, "refused: {what} x {count}")?;
        }
        writeln!(f, "sessions: {}", self.sessions.join(" "))?;
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        writeln!(f, "{} findings", self.findings.len())
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
