//! What all followers found so far, and the comparisons that need more than one rendition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::mp4::Track;
use super::player::Player;
use super::playlist::Position;
use super::report::{Finding, Rendition, Report, Rule};

/// A broken stream breaks a rule on every part: the first ones say it all.
const MOST_FINDINGS_PER_RULE: usize = 25;
/// A report may be as old as the playlist in front of which two renditions' parts arrived together.
const REPORT_LAG_PARTS: u64 = 1;
/// A report is about a part that other clients can see within this time.
const REPORT_LEAD: Duration = Duration::from_millis(1_500);
/// Wall-clock times are whole milliseconds, taken from frames of different rates.
const DATE_TOLERANCE_MS: i64 = 50;

/// Facts about one segment of one rendition.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentFacts {
    /// First sample's time since the session's start.
    pub start_s: Option<f64>,
    /// What its samples last, as far as they were seen.
    pub media_s: f64,
    pub date_ms: Option<i64>,
    pub complete: bool,
    pub discontinuity: u64,
}

/// A rendition report: who said what about whom, and when.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub by: String,
    pub about: String,
    pub position: Position,
    pub asked: Instant,
    pub received: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub track: Option<Track>,
    /// How long the usual sample lasts: a frame.
    pub frame_s: f64,
    /// How often each duration of a sample, in ticks, was seen.
    pub durations: BTreeMap<u32, u64>,
    pub segments: BTreeMap<u64, SegmentFacts>,
    /// When its playlist was known to reach which part.
    pub positions: Vec<(Instant, Position)>,
    pub ages_ms: Vec<i64>,
    /// Highest rate of a complete segment, in bit/s.
    pub peak_bps: f64,
    pub player: Player,
    pub figures: Rendition,
}

#[derive(Debug)]
pub(super) struct Ledger {
    started: Instant,
    pub renditions: BTreeMap<String, Facts>,
    pub claims: Vec<Claim>,
    pub sessions: Vec<String>,
    pub refusals: BTreeMap<String, u64>,
    findings: Vec<Finding>,
    counts: BTreeMap<Rule, usize>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            renditions: BTreeMap::new(),
            claims: Vec::new(),
            sessions: Vec::new(),
            refusals: BTreeMap::new(),
            findings: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn facts(&mut self, rendition: &str) -> &mut Facts {
        if !self.renditions.contains_key(rendition) {
            self.renditions.insert(rendition.to_owned(), Facts::default());
        }
        self.renditions.entry(rendition.to_owned()).or_default()
    }

    pub(super) fn find(&mut self, rule: Rule, rendition: &str, message: impl Into<String>) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count > MOST_FINDINGS_PER_RULE {
            return;
        }
        let finding = Finding {
            rule,
            at_s: self.started.elapsed().as_secs_f64(),
            rendition: rendition.to_owned(),
            message: message.into(),
        };
        log::debug!("{finding}");
        self.findings.push(finding);
    }

    pub(super) fn refused(&mut self, what: &str, status: u16) {
        *self.refusals.entry(format!("{what} {status}")).or_default() += 1;
    }

    pub(super) fn saw_session(&mut self, session: &str) {
        if self.sessions.last().map(String::as_str) != Some(session)
            && !self.sessions.iter().any(|seen| seen == session)
        {
            self.sessions.push(session.to_owned());
        }
    }

    /// Everything so far, the comparisons included. Can be asked for more than once.
    pub(super) fn report(&self, url: &str) -> Report {
        let now = Instant::now();
        let mut report = Report {
            url: url.to_owned(),
            duration_s: now.duration_since(self.started).as_secs_f64(),
            findings: self.findings.clone(),
            sessions: self.sessions.clone(),
            refusals: self.refusals.clone(),
            ..Report::default()
        };
        for (name, facts) in &self.renditions {
            let mut figures = facts.figures.clone();
            let mut ages = facts.ages_ms.clone();
            ages.sort_unstable();
            figures.age_p50_ms = percentile(&ages, 50);
            figures.age_p95_ms = percentile(&ages, 95);
            figures.stalled = facts.player.stalled;
            figures.stalls = facts.player.stalls;
            figures.longest_wait = facts.player.longest_wait;
            figures.first_msn = facts.segments.keys().next().copied();
            figures.last_msn = facts.segments.keys().next_back().copied();
            report.renditions.insert(name.clone(), figures);
        }
        let mut cross = Self::new();
        cross.started = self.started;
        self.compare_boundaries(&mut cross);
        self.compare_claims(&mut cross);
        report.findings.append(&mut cross.findings);
        for (rule, count) in self.counts.iter().chain(&cross.counts) {
            if let Some(more) = count.checked_sub(MOST_FINDINGS_PER_RULE).filter(|more| *more > 0) {
                report.findings.push(Finding {
                    rule: *rule,
                    at_s: report.duration_s,
                    rendition: "*".to_owned(),
                    message: format!("and {more} more"),
                });
            }
        }
        report
    }

    /// The first video rendition is the reference.
    fn compare_boundaries(&self, cross: &mut Self) {
        let is_video = |facts: &Facts| matches!(facts.track, Some(Track::Video { .. }));
        let Some((reference_name, reference)) = self.renditions.iter().find(|(_, facts)| is_video(facts))
        else {
            return;
        };
        for (name, facts) in self.renditions.iter().filter(|(name, _)| *name != reference_name) {
            let (rule, frame_s) = if is_video(facts) {
                (Rule::Boundaries, reference.frame_s.max(facts.frame_s))
            } else {
                (Rule::AudioAlignment, facts.frame_s)
            };
            for (msn, segment) in &facts.segments {
                let Some(other) = reference.segments.get(msn) else { continue };
                compare_segments(cross, rule, frame_s, (name, segment), (reference_name, other), *msn);
            }
            let known: BTreeSet<&u64> = facts.segments.keys().collect();
            let theirs: BTreeSet<&u64> = reference.segments.keys().collect();
            // Followers end at different moments, and join at different ones.
            let (first, last) = (known.first().max(theirs.first()), known.last().min(theirs.last()));
            if let (Some(first), Some(last)) = (first, last) {
                for msn in known.symmetric_difference(&theirs).filter(|msn| **msn > first && **msn < last) {
                    let message = format!("segment {msn} is not on both this and {reference_name}");
                    cross.find(Rule::Boundaries, name, message);
                }
            }
        }
    }

    fn compare_claims(&self, cross: &mut Self) {
        for claim in &self.claims {
            let Some(facts) = self.renditions.get(&claim.about) else { continue };
            let before = facts.positions.iter().rev().find(|(at, _)| *at <= claim.asked);
            if let Some((_, known)) = before
                && is_older(claim.position, *known)
            {
                let message = format!(
                    "says that {} ends at {:?}, which was at {known:?} before the request",
                    claim.about, claim.position
                );
                cross.find(Rule::RenditionReport, &claim.by, message);
            }
            let reached = facts.positions.iter().find(|(_, position)| *position >= claim.position);
            let late = match reached {
                Some((at, _)) => at.saturating_duration_since(claim.received) > REPORT_LEAD,
                // The end of the check may come first.
                None => {
                    claim.received.elapsed() > REPORT_LEAD
                        && facts.positions.last().is_some_and(|(at, _)| *at > claim.received + REPORT_LEAD)
                }
            };
            if late {
                let message =
                    format!("says that {} ends at {:?}, which it did not", claim.about, claim.position);
                cross.find(Rule::RenditionReport, &claim.by, message);
            }
        }
    }
}

/// Positions count parts from 0 and differ in the number of parts per segment, so only the same
/// segment is compared part by part.
fn is_older(claimed: Position, known: Position) -> bool {
    if claimed.0 == known.0 {
        claimed.1 + REPORT_LAG_PARTS < known.1
    } else {
        claimed.0 + 1 < known.0 || (claimed.0 < known.0 && known.1 > REPORT_LAG_PARTS)
    }
}

fn compare_segments(
    cross: &mut Ledger,
    rule: Rule,
    frame_s: f64,
    (name, segment): (&str, &SegmentFacts),
    (other_name, other): (&str, &SegmentFacts),
    msn: u64,
) {
    // Rounding of times in two timescales.
    let tolerance_s = frame_s + 0.000_5;
    if let (Some(start), Some(reference)) = (segment.start_s, other.start_s)
        && (start - reference).abs() > tolerance_s
    {
        let message = format!(
            "segment {msn} starts at {start:.4} s, on {other_name} at {reference:.4} s ({:+.1} frames)",
            (start - reference) / frame_s
        );
        cross.find(rule, name, message);
    }
    if segment.complete
        && other.complete
        && (segment.media_s - other.media_s).abs() > 2.0 * tolerance_s
        && segment.media_s > 0.0
        && other.media_s > 0.0
    {
        let message =
            format!("segment {msn} lasts {:.4} s, on {other_name} {:.4} s", segment.media_s, other.media_s);
        cross.find(rule, name, message);
    }
    if segment.discontinuity != other.discontinuity {
        let message = format!(
            "segment {msn} has discontinuity sequence {}, on {other_name} {}",
            segment.discontinuity, other.discontinuity
        );
        cross.find(Rule::Boundaries, name, message);
    }
    if let (Some(date), Some(reference)) = (segment.date_ms, other.date_ms)
        && (date - reference).abs() > DATE_TOLERANCE_MS
    {
        let message = format!("segment {msn} differs by {} ms from {other_name}", date - reference);
        cross.find(Rule::ProgramDateTime, name, message);
    }
}

fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video() -> Facts {
        let track = Track::Video { width: 2, height: 2, codec: "avc1.64001f".to_owned(), length_size: 4 };
        Facts { track: Some(track), frame_s: 1.0 / 30.0, ..Facts::default() }
    }

    fn at(start_s: f64) -> SegmentFacts {
        SegmentFacts { start_s: Some(start_s), media_s: 2.0, complete: true, ..SegmentFacts::default() }
    }

    #[test]
    fn a_rung_that_cuts_elsewhere_is_found() {
        let mut ledger = Ledger::new();
        *ledger.facts("a") = video();
        *ledger.facts("b") = video();
        ledger.facts("a").segments = BTreeMap::from([(1, at(2.0)), (2, at(4.0))]);
        ledger.facts("b").segments = BTreeMap::from([(1, at(2.0)), (2, at(4.1))]);
        let report = ledger.report("");
        assert_eq!(report.findings.len(), 1, "{report}");
        assert_eq!(report.findings[0].rule, Rule::Boundaries);
    }

    #[test]
    fn audio_may_be_one_of_its_frames_off() {
        let mut ledger = Ledger::new();
        *ledger.facts("video") = video();
        let audio = ledger.facts("audio");
        audio.track = Some(Track::Audio { sample_rate: 48_000 });
        audio.frame_s = 1_024.0 / 48_000.0;
        audio.segments = BTreeMap::from([(1, at(2.021)), (2, at(4.03))]);
        ledger.facts("video").segments = BTreeMap::from([(1, at(2.0)), (2, at(4.0))]);
        let report = ledger.report("");
        assert_eq!(report.of(&[Rule::AudioAlignment]).len(), 1, "{report}");
    }

    #[test]
    fn reports_may_be_one_part_old_and_no_more() {
        assert!(!is_older((3, 2), (3, 3)));
        assert!(is_older((3, 1), (3, 3)));
        assert!(!is_older((3, 5), (4, 0)));
        assert!(!is_older((3, 5), (4, 1)));
        assert!(is_older((3, 5), (4, 2)));
        assert!(is_older((3, 5), (5, 0)));
    }
}
