//! Media playlists: the window of one rendition, as low-latency HLS for a server that can answer blocking
//! reloads, and as plain HLS for object stores and directories.

use std::fmt::{self, Write as _};

use super::time::{Ceiling, DateTime, Nearest, seconds_ns, whole_seconds};
use super::{Finished, Segment, uri};
use crate::{RenditionName, SessionId};

/// EXT-X-SKIP needs 9 (RFC 8216bis 8).
const VERSION_LOW_LATENCY: u32 = 9;
/// EXT-X-GAP needs 8, so that plain playlists stay readable for older players.
const VERSION_PLAIN: u32 = 8;
/// CAN-SKIP-UNTIL in target durations: the least that 4.4.3.8 allows, so that deltas are as short as they may be.
const SKIP_TARGETS: u64 = 6;
/// HOLD-BACK in target durations: the least that 4.4.3.8 allows.
const HOLD_BACK_TARGETS: u64 = 3;
/// Parts are listed this many target durations from the end (6.2.2); further back players load whole segments.
const PART_TARGETS: u64 = 3;
/// And of so many entries at most, the growing or the announced one included: what strict readers make of the above
/// (hls-parser), since segments may be shorter than the target.
const PART_ENTRIES: usize = 3;
/// A growing segment that lacks less than this to the length of the one before is complete but for its EXTINF: the
/// next part starts the next segment. More than the AAC frame by which audio segments differ (32 ms at 32 kHz), less
/// than two of them at 44.1 kHz, which a last part may be.
const NEARLY_NS: u64 = 35_000_000;
/// Of PART-TARGET: no part but a segment's last one may be shorter (4.4.4.9).
const SHORTEST_INNER_PART_PERCENT: u64 = 85;
/// How many segments are looked at for the length of the next one.
const NEIGHBOURS: usize = 3;
/// A longer run of missing sequence numbers than this is not bridged by [`bridge`]: each one costs a line of
/// text, and nobody waits through a minute of nothing.
pub const MAX_BRIDGED: u64 = 30;

/// All that a media playlist says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub rendition: RenditionName,
    /// EXT-X-TARGETDURATION. A longer segment in `segments` raises the rendered value.
    pub target_duration_s: u32,
    /// PART-TARGET. A longer part in `segments` raises the rendered value.
    pub part_target_ns: u64,
    /// Discontinuities before the first segment of `segments`, its own not counted.
    pub discontinuities_before: u64,
    /// In order of media sequence number without holes (see [`bridge`]). Only the last one may be growing.
    pub segments: Vec<Segment>,
    /// The session whose next part is announced (EXT-X-PRELOAD-HINT); `None` when nothing is expected.
    pub hint: Option<SessionId>,
    /// Where the other renditions stand (EXT-X-RENDITION-REPORT).
    pub reports: Vec<Report>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

/// Where another rendition's playlist ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rendition: RenditionName,
    pub last_msn: u64,
    pub last_part: Option<u64>,
}

/// The form of the rendered text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `None`: plain HLS, whole segments only, nothing that needs a server of ours.
    pub low_latency: Option<LowLatency>,
    /// EXT-X-SKIP in place of the segments older than the skip boundary. Without effect on plain playlists.
    pub delta: bool,
}

/// What a low-latency playlist promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowLatency {
    /// PART-HOLD-BACK in hundredths of a part target. Less than 200 is rendered as 200, the least that
    /// 4.4.3.8 allows; it recommends 300.
    pub part_hold_back_percent: u32,
}

impl Default for LowLatency {
    fn default() -> Self {
        Self { part_hold_back_percent: 300 }
    }
}

impl Options {
    pub const PLAIN: Self = Self { low_latency: None, delta: false };

    #[must_use]
    pub fn low_latency(part_hold_back_percent: u32) -> Self {
        Self { low_latency: Some(LowLatency { part_hold_back_percent }), delta: false }
    }

    #[must_use]
    pub fn delta(self) -> Self {
        Self { delta: true, ..self }
    }
}

impl Segment {
    /// Its whole duration, or as much of a growing one as its parts hold.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        match self.finished {
            Some(finished) => finished.duration_ns,
            None => self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.duration_ns)),
        }
    }
}

impl Media {
    /// Where this playlist ends, for the other renditions' [`Media::reports`]. `None` while it is empty.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let last = self.segments.iter().rev().find(|segment| shown(segment))?;
        let parts = u64::try_from(last.parts.len()).unwrap_or(u64::MAX);
        Some(Report {
            rendition: self.rendition.clone(),
            last_msn: last.msn,
            last_part: if last.gap { None } else { parts.checked_sub(1) },
        })
    }

    /// EXT-X-TARGETDURATION as rendered.
    #[must_use]
    pub fn target_duration(&self) -> u64 {
        let longest =
            self.segments.iter().map(|segment| whole_seconds(segment.duration_ns())).max().unwrap_or(0);
        longest.max(u64::from(self.target_duration_s)).max(1)
    }

    /// Keeps a growing segment's short last part back until the segment is finished: only a segment's last part may be
    /// that short (4.4.4.9), and a reader can see that it is the last one by its EXTINF alone. The worker says both
    /// within a frame's time, and the part is what is announced meanwhile.
    pub fn withhold_short_part(&mut self) {
        let target_ns = self.part_target_ns();
        let Some(last) = self.segments.last_mut().filter(|last| last.finished.is_none()) else { return };
        let is_short = |part: &super::Part| {
            part.duration_ns.saturating_mul(100) < target_ns.saturating_mul(SHORTEST_INNER_PART_PERCENT)
        };
        if last.parts.last().is_some_and(is_short) {
            last.parts.pop();
        }
    }

    /// PART-TARGET as rendered, in whole microseconds.
    fn part_target_ns(&self) -> u64 {
        let parts = self.segments.iter().flat_map(|segment| &segment.parts);
        let longest = parts.map(|part| part.duration_ns).max().unwrap_or(0);
        longest.max(self.part_target_ns).div_ceil(1_000).saturating_mul(1_000)
    }
}

/// Puts gaps where sequence numbers are missing, so that the numbers that players count stay right; each lasts
/// as long as wall-clock times say, at most `target_duration_s`. What lies before a run longer than
/// [`MAX_BRIDGED`] is left out. `segments` is in order of media sequence number.
#[must_use]
pub fn bridge(segments: Vec<Segment>, target_duration_s: u32) -> Vec<Segment> {
    let mut bridged: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments {
        if let Some(previous) = bridged.last() {
            let missing = segment.msn.saturating_sub(previous.msn).saturating_sub(1);
            if missing > MAX_BRIDGED {
                bridged.clear();
            } else if missing > 0 {
                let fill = gaps_between(previous, &segment, missing, target_duration_s);
                bridged.extend(fill);
            }
        }
        bridged.push(segment);
    }
    bridged
}

fn gaps_between(before: &Segment, after: &Segment, count: u64, target_duration_s: u32) -> Vec<Segment> {
    let before_end_ms = before.program_date_time_ms.saturating_add(before.duration_ns() / 1_000_000);
    let hole_ms = after.program_date_time_ms.saturating_sub(before_end_ms);
    let each_ms = (hole_ms / count).min(u64::from(target_duration_s) * 1_000);
    (0..count)
        .map(|index| Segment {
            msn: before.msn + 1 + index,
            session: before.session,
            init: before.init,
            discontinuity: false,
            program_date_time_ms: before_end_ms + index * each_ms,
            finished: Some(Finished { duration_ns: each_ms * 1_000_000, len: 0 }),
            parts: Vec::new(),
            gap: true,
        })
        .collect()
}

/// A growing segment is a line of text only once it has a part.
fn shown(segment: &Segment) -> bool {
    segment.finished.is_some() || !segment.parts.is_empty()
}

/// The media playlist as text.
#[must_use]
pub fn render_media(media: &Media, options: &Options) -> String {
    // About 130 bytes a segment and 90 a part.
    let mut text = String::with_capacity(1024 + media.segments.len() * 150);
    // Writing to a String cannot fail.
    let _ = write_media(&mut text, media, options);
    text
}

fn write_media(out: &mut String, media: &Media, options: &Options) -> fmt::Result {
    let target = media.target_duration();
    let target_ns = seconds_ns(u32::try_from(target).unwrap_or(u32::MAX));
    let low_latency = options.low_latency;
    let segments: Vec<&Segment> = media
        .segments
        .iter()
        .filter(|segment| shown(segment) && (low_latency.is_some() || segment.finished.is_some()))
        .collect();
    let version = if low_latency.is_some() { VERSION_LOW_LATENCY } else { VERSION_PLAIN };
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}")?;
    if let Some(low_latency) = low_latency {
        write_server_control(out, media, low_latency, target_ns)?;
    }
    if let Some(first) = segments.first() {
        writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.msn)?;
        // The first segment's own tag is left out and counted instead, since players differ in whether
        // a tag before the first segment adds to the sequence.
        let sequence = media.discontinuities_before.saturating_add(u64::from(first.discontinuity));
        writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}")?;
    }

    let total_ns = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.duration_ns()));
    let skipped =
        if options.delta && low_latency.is_some() { skippable(&segments, total_ns, target_ns) } else { 0 };
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
    }

    let hint = media.hint.filter(|_| low_latency.is_some() && !media.ended).and_then(|session| {
        let (msn, part) = next_part(&segments, target_ns)?;
        Some(uri::part(session, &media.rendition, msn, part))
    });
    let announced = hint.is_some() && segments.last().is_some_and(|last| last.finished.is_some());
    let entries = segments.len() + usize::from(announced);

    let mut end_ns = 0_u64;
    let mut map = None;
    for (index, segment) in segments.iter().enumerate() {
        end_ns = end_ns.saturating_add(segment.duration_ns());
        if index < skipped {
            continue;
        }
        let with_parts = low_latency.is_some()
            && index + PART_ENTRIES >= entries
            && total_ns.saturating_sub(end_ns) < target_ns.saturating_mul(PART_TARGETS);
        // Players know the tags of the segments that a delta skips; the map is said again, which is harmless.
        write_segment(out, media, segment, index == 0, with_parts, &mut map)?;
    }

    if media.ended {
        return writeln!(out, "#EXT-X-ENDLIST");
    }
    if low_latency.is_some() {
        if let Some(uri) = hint {
            writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\"")?;
        }
        for report in &media.reports {
            write!(
                out,
                "#EXT-X-RENDITION-REPORT:URI=\"{}\",LAST-MSN={}",
                uri::playlist(&report.rendition),
                report.last_msn
            )?;
            if let Some(part) = report.last_part {
                write!(out, ",LAST-PART={part}")?;
            }
            out.push('\n');
        }
    }
    Ok(())
}

fn write_server_control(
    out: &mut String,
    media: &Media,
    low_latency: LowLatency,
    target_ns: u64,
) -> fmt::Result {
    let percent = u64::from(low_latency.part_hold_back_percent.max(200));
    // A multiple of the rendered, rounded-up target, so that the ratio holds in the text too.
    let part_target_ns = media.part_target_ns();
    writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={},PART-HOLD-BACK={},HOLD-BACK={}\n\
         #EXT-X-PART-INF:PART-TARGET={}",
        Ceiling(target_ns.saturating_mul(SKIP_TARGETS)),
        Ceiling(part_target_ns.saturating_mul(percent).div_ceil(100)),
        Ceiling(target_ns.saturating_mul(HOLD_BACK_TARGETS)),
        Ceiling(part_target_ns),
    )
}

/// How many segments lie wholly before the skip boundary (6.2.5.1).
fn skippable(segments: &[&Segment], total_ns: u64, target_ns: u64) -> usize {
    let boundary_ns = target_ns.saturating_mul(SKIP_TARGETS);
    let mut end_ns = 0_u64;
    segments
        .iter()
        .take_while(|segment| {
            end_ns = end_ns.saturating_add(segment.duration_ns());
            total_ns.saturating_sub(end_ns) >= boundary_ns
        })
        .count()
}

fn write_segment(
    out: &mut String,
    media: &Media,
    segment: &Segment,
    is_first: bool,
    with_parts: bool,
    map: &mut Option<(SessionId, u32)>,
) -> fmt::Result {
    if segment.discontinuity && !is_first {
        writeln!(out, "#EXT-X-DISCONTINUITY")?;
    }
    // A gap has no bytes that could need a section, and its section may not be there either.
    if !segment.gap && *map != Some((segment.session, segment.init)) {
        *map = Some((segment.session, segment.init));
        writeln!(out, "#EXT-X-MAP:URI=\"{}\"", uri::init(segment.session, &media.rendition, segment.init))?;
    }
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(segment.program_date_time_ms))?;
    if with_parts && !segment.gap {
        for (index, part) in segment.parts.iter().enumerate() {
            write!(
                out,
                "#EXT-X-PART:DURATION={},URI=\"{}\"",
                Nearest(part.duration_ns),
                uri::part(segment.session, &media.rendition, segment.msn, index)
            )?;
            out.push_str(if part.independent { ",INDEPENDENT=YES\n" } else { "\n" });
        }
    }
    if let Some(finished) = segment.finished {
        if segment.gap {
            writeln!(out, "#EXT-X-GAP")?;
        }
        writeln!(
            out,
            "#EXTINF:{},\n{}",
            Nearest(finished.duration_ns),
            uri::segment(segment.session, &media.rendition, segment.msn)
        )?;
    }
    Ok(())
}

/// Which part comes next, as far as can be told.
fn next_part(segments: &[&Segment], target_ns: u64) -> Option<(u64, usize)> {
    let last = segments.last()?;
    if last.finished.is_some() {
        return Some((last.msn.saturating_add(1), 0));
    }
    // The worker says that a segment is over when it sees the next one's key frame, a frame later. Until then it
    // is taken to become as long as its neighbours, of which a crash may have cut one short.
    let neighbours = segments
        .iter()
        .rev()
        .filter(|segment| !segment.gap && segment.session == last.session)
        .filter_map(|segment| segment.finished);
    let longest_ns = neighbours.take(NEIGHBOURS).map(|finished| finished.duration_ns).max();
    let whole_ns = longest_ns.filter(|longest| *longest > target_ns / 2).unwrap_or(target_ns);
    let is_over = last.duration_ns().saturating_add(NEARLY_NS) >= whole_ns;
    Some(if is_over { (last.msn.saturating_add(1), 0) } else { (last.msn, last.parts.len()) })
}
