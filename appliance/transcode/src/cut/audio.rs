//! The sound: counted in samples, cut where the pictures are cut.
//!
//! FLV's timestamps are whole milliseconds and jitter, so that they only say where the first frame belongs; from then
//! on frames are counted. When the timestamps leave the count by more than [`TOLERANCE_MS`] for several frames in a row,
//! something is missing (silence is put in) or came twice (it is dropped). Sound that does not come at all is silence
//! after [`STALL_MS`], in step with the pictures; the pictures never wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use nodi_spool::AudioStatus;

use super::grid::{FrameRate, NS};
use super::output::{Output, Piece};
use super::rung::View;
use super::{AudioFrame, Error, Event};

/// How far timestamps may be off the sample count: more than FLV's rounding and encoders' jitter, and less than the
/// 45 ms at which people see that sound and lips differ (ITU-R BT.1359).
const TOLERANCE_MS: u64 = 40;
/// This many frames in a row have to agree that the count is off: a single odd timestamp moves nothing.
const CONFIRMATIONS: usize = 3;
/// Sound that did not come for this long while pictures did is not waited for.
const STALL_MS: u64 = 1_000;
/// And this is how long it has to have been in real time: media that is read from a file comes in lumps.
const STALL: Duration = Duration::from_millis(STALL_MS);
/// Sound that does come, but this late, is not waited for either.
const MAX_LATE_MS: u64 = 5_000;
/// Without pictures a longer gap than this is cut out.
const MAX_GAP_MS: u64 = 10_000;
/// Frames that may wait for the pictures: minutes. More is dropped.
const MAX_WAITING: usize = 16_384;

/// Media times beyond a hundred years are nonsense.
const MAX_NS: i64 = 3_155_760_000_000_000_000;

#[derive(Debug)]
pub(super) struct Audio {
    pub(super) output: Output,
    pub(super) stats: AudioStatus,
    rate: u32,
    frame_len: u64,
    frames_per_part: usize,
    silence: Option<Bytes>,
    grid: FrameRate,
    /// The media clock at the start of the timeline.
    origin_ns: Option<i64>,
    /// Came before the timeline started.
    early: VecDeque<AudioFrame>,
    /// Frames in their places, not written yet; the first one starts at `position` samples. `None` is a hole.
    placed: VecDeque<Option<Bytes>>,
    position: u64,
    /// Something is placed, so that the phase of the frames is fixed.
    anchored: bool,
    /// What is before the next frame is silence: it can go to its own place.
    rejoins: bool,
    /// Off the count, not confirmed yet.
    suspects: Vec<(i64, Bytes)>,
    /// Progress of the pictures when sound was last heard, in samples.
    heard_at: u64,
    /// Real time of the same.
    heard: Duration,
    /// Since when it comes too late.
    late_since: Option<Duration>,
    pub(super) next_seq: u64,
    in_segment: Option<u64>,
    part: Vec<Piece>,
    part_start: u64,
}

impl Audio {
    pub(super) fn new(
        output: Output,
        (rate, frame_len): (u32, u32),
        frames_per_part: usize,
        silence: Option<Bytes>,
        grid: FrameRate,
        next_seq: u64,
    ) -> Self {
        Self {
            output,
            stats: AudioStatus::default(),
            rate,
            frame_len: u64::from(frame_len),
            frames_per_part,
            silence,
            grid,
            origin_ns: None,
            early: VecDeque::new(),
            placed: VecDeque::new(),
            position: 0,
            anchored: false,
            rejoins: false,
            suspects: Vec::new(),
            heard_at: 0,
            heard: Duration::ZERO,
            late_since: None,
            next_seq,
            in_segment: None,
            part: Vec::new(),
            part_start: 0,
        }
    }

    /// The timeline starts at `origin_ns` of the media clock.
    pub(super) fn start(&mut self, origin_ns: i64, events: &mut Vec<Event>) {
        if self.origin_ns.is_some() {
            return;
        }
        self.origin_ns = Some(origin_ns);
        for frame in std::mem::take(&mut self.early) {
            self.place(frame, true, events);
        }
    }

    /// How long the frames are that wait for the timeline to start, or how far sound is placed: in nanoseconds
    /// from the timeline's start.
    pub(super) fn ahead_ns(&self) -> u64 {
        match (self.origin_ns, self.early.front(), self.early.back()) {
            (None, Some(first), Some(last)) => {
                u64::try_from(last.pts_ns.saturating_sub(first.pts_ns)).unwrap_or(0)
            }
            _ => super::grid::scale(self.expected(), NS, u64::from(self.rate)),
        }
    }

    pub(super) fn first_pts_ns(&self) -> Option<i64> {
        self.early.front().map(|frame| frame.pts_ns)
    }

    /// Takes a frame in. `with_video`: pictures say how time passes.
    pub(super) fn place(&mut self, frame: AudioFrame, with_video: bool, events: &mut Vec<Event>) {
        let Some(origin_ns) = self.origin_ns else {
            self.early.push_back(frame);
            if self.early.len() > MAX_WAITING {
                self.early.pop_front();
            }
            return;
        };
        let at = self.samples_at(frame.pts_ns.saturating_sub(origin_ns));
        if !self.anchored {
            // Rounding may put the first frame a little before the start.
            let Ok(at) = u64::try_from(if at > -self.ms(2) { at.max(0) } else { at }) else {
                self.stats.dropped += 1;
                return;
            };
            self.anchored = true;
            self.position = at % self.frame_len;
            self.fill_to(at, events);
            self.put(frame.data);
            return;
        }
        if self.rejoins {
            self.rejoin(at, frame.data, events);
            return;
        }
        let off = at - self.expected_signed() - self.suspected();
        if off.abs() <= self.ms(TOLERANCE_MS) {
            for (_, data) in std::mem::take(&mut self.suspects) {
                self.put(data);
            }
            self.put(frame.data);
            return;
        }
        self.suspects.push((at, frame.data));
        if self.suspects.len() >= CONFIRMATIONS {
            self.resync(with_video, events);
        }
    }

    /// The first frame after silence, to the nearest place.
    fn rejoin(&mut self, at: i64, data: Bytes, events: &mut Vec<Event>) {
        let half = i64::try_from(self.frame_len / 2).unwrap_or(0);
        let off = at - self.expected_signed();
        if off < -half || off > self.ms(MAX_GAP_MS) {
            self.stats.dropped += 1;
            return;
        }
        self.fill_to(u64::try_from(at + half).unwrap_or(0), events);
        self.rejoins = false;
        self.put(data);
    }

    fn suspected(&self) -> i64 {
        i64::try_from(self.suspects.len() as u64 * self.frame_len).unwrap_or(0)
    }

    /// The timestamps are right and the count is not: makes up for it.
    fn resync(&mut self, with_video: bool, events: &mut Vec<Event>) {
        let suspects = std::mem::take(&mut self.suspects);
        self.stats.resyncs += 1;
        let Some(mut first) = suspects.first().map(|(at, _)| *at) else {
            return;
        };
        if !with_video && first - self.expected_signed() > self.ms(MAX_GAP_MS) {
            // Nothing tells how long it really was.
            let skipped = first - self.expected_signed();
            let skipped_ns = skipped.saturating_mul(1_000_000_000) / i64::from(self.rate);
            self.origin_ns = self.origin_ns.map(|origin| origin.saturating_add(skipped_ns));
            first -= skipped;
        }
        if let Ok(first) = u64::try_from(first) {
            let limit = self.expected() + self.ms(MAX_GAP_MS).unsigned_abs();
            self.fill_to((first + self.frame_len / 2).min(limit), events);
        }
        let mut dropped = 0;
        for (at, data) in suspects {
            let half = i64::try_from(self.frame_len / 2).unwrap_or(0);
            // Sorted by arrival: with those before in place, this one fits or lies before what is there.
            if at + half >= self.expected_signed() { self.put(data) } else { dropped += 1 }
        }
        if dropped > 0 {
            self.stats.dropped += dropped;
            log::debug!(frames = dropped; "audio overlaps what is written: dropped");
            events.push(Event::AudioDropped { frames: dropped });
        }
    }

    fn put(&mut self, data: Bytes) {
        if self.placed.len() >= MAX_WAITING {
            self.stats.dropped += 1;
            return;
        }
        self.stats.frames += 1;
        self.placed.push_back(Some(data));
    }

    /// Silence up to `end` samples.
    fn fill_to(&mut self, end: u64, events: &mut Vec<Event>) {
        let frames = end.saturating_sub(self.expected()) / self.frame_len;
        if frames == 0 {
            return;
        }
        self.stats.filled += frames;
        let ns = super::grid::scale(frames * self.frame_len, NS, u64::from(self.rate));
        log::debug!(frames; "audio is missing: silence");
        events.push(Event::AudioFilled { ns });
        let room = MAX_WAITING.saturating_sub(self.placed.len());
        for _ in 0..frames.min(room as u64) {
            self.placed.push_back(self.silence.clone());
        }
    }

    /// The publisher sent something just now, whatever it is worth; pictures have come to `pictures` frames.
    pub(super) fn heard(&mut self, pictures: Option<u64>, now: Duration) {
        self.heard = now;
        if let Some(pictures) = pictures {
            self.heard_at = self.grid.samples(pictures, self.rate);
        }
    }

    /// The pictures have come to `progress` frames from the start: sound that is not there by now is silence.
    /// Answers whether there is something new to write.
    pub(super) fn pictures_at(&mut self, progress: u64, now: Duration, events: &mut Vec<Event>) -> bool {
        let pictures = self.grid.samples(progress, self.rate);
        let too_late = pictures.saturating_sub(self.ms(MAX_LATE_MS).unsigned_abs());
        if too_late < self.expected() {
            self.late_since = None;
        }
        let stalled = pictures.saturating_sub(self.heard_at) >= self.ms(STALL_MS).unsigned_abs()
            && now.saturating_sub(self.heard) >= STALL;
        let end = if stalled {
            pictures
        } else if now.saturating_sub(*self.late_since.get_or_insert(now)) >= STALL {
            too_late
        } else {
            return false;
        };
        if end < self.expected() + self.frame_len {
            return false;
        }
        self.stats.dropped += self.suspects.len() as u64;
        self.suspects.clear();
        self.fill_to(end, events);
        self.anchored = true;
        self.rejoins = true;
        true
    }

    /// Where the next frame belongs, in samples from the start.
    fn expected(&self) -> u64 {
        self.position + self.placed.len() as u64 * self.frame_len
    }

    fn expected_signed(&self) -> i64 {
        i64::try_from(self.expected()).unwrap_or(i64::MAX)
    }

    fn samples_at(&self, ns: i64) -> i64 {
        let ns = ns.clamp(-MAX_NS, MAX_NS);
        let doubled = i128::from(ns) * i128::from(self.rate) * 2;
        i64::try_from((doubled.div_euclid(i128::from(NS)) + 1).div_euclid(2)).unwrap_or(i64::MAX)
    }

    fn ms(&self, ms: u64) -> i64 {
        i64::try_from(ms * u64::from(self.rate) / 1000).unwrap_or(i64::MAX)
    }

    /// Whether an audio frame at `position` belongs before the boundary at `frames` from the start: its start is
    /// nearer to what is before.
    fn is_before(&self, position: u64, frames: u64) -> bool {
        2 * position + self.frame_len < 2 * self.grid.samples(frames, self.rate) + 1
    }

    /// Without pictures: whether sound has come to the boundary at `frames` from the start.
    pub(super) fn drives(&self, frames: u64) -> bool {
        self.expected() > self.position && !self.is_before(self.expected(), frames)
    }

    /// Writes everything that is decided.
    pub(super) fn advance(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        loop {
            let before = |audio: &Self, index: u64| audio.is_before(audio.position, index - view.origin);
            let Some(seq) = self.in_segment else {
                if !self.enter(view)? {
                    return Ok(());
                }
                continue;
            };
            if let Some(end) = view.span(seq).and_then(|span| span.end)
                && !before(self, end)
            {
                self.flush(view)?;
                self.output.close(view.writer, self.position)?;
                self.in_segment = None;
                continue;
            }
            if view.decided <= view.origin || !before(self, view.decided) {
                // Rarely a boundary comes later than that; then this part is short.
                if view.nominal_end.is_some_and(|end| !before(self, end)) {
                    self.flush(view)?;
                }
                return Ok(());
            }
            let Some(next) = self.placed.pop_front() else {
                return Ok(());
            };
            match next {
                Some(data) => {
                    if self.part.is_empty() {
                        self.part_start = self.position;
                    }
                    let duration = u32::try_from(self.frame_len).unwrap_or(u32::MAX);
                    self.part.push(Piece { duration, sync: true, data });
                }
                None => self.flush(view)?,
            }
            self.position += self.frame_len;
            if self.part.len() >= self.frames_per_part {
                self.flush(view)?;
            }
        }
    }

    fn enter(&mut self, view: &mut View<'_>) -> Result<bool, Error> {
        let Some(span) = view.span(self.next_seq) else {
            // Between segments: nothing is written of this stretch.
            while view.decided > view.origin
                && self.is_before(self.position, view.decided - view.origin)
                && self.placed.pop_front().is_some()
            {
                self.stats.dropped += 1;
                self.position += self.frame_len;
            }
            return Ok(false);
        };
        let start = span.start - view.origin;
        while self.is_before(self.position, start) {
            if self.placed.pop_front().is_none() {
                return Ok(false);
            }
            self.stats.dropped += 1;
            self.position += self.frame_len;
        }
        let empty = span.end.is_some_and(|end| !self.is_before(self.position, end - view.origin));
        if self.placed.is_empty() && !empty {
            return Ok(false);
        }
        let samples = self.grid.samples(start, self.rate);
        let late = i64::try_from(self.position).unwrap_or(0) - i64::try_from(samples).unwrap_or(0);
        let late_ns = late.saturating_mul(1_000_000_000) / i64::from(self.rate);
        self.output.open(view.writer, &span, self.position, late_ns)?;
        self.in_segment = Some(span.seq);
        self.next_seq = span.seq + 1;
        Ok(true)
    }

    fn flush(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        let start = self.part_start;
        self.output.part(view.writer, start, &mut self.part, view.reference_time)?;
        Ok(())
    }

    /// Nothing follows: writes what is held back up to the next possible boundary, and closes what is open.
    pub(super) fn close(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        for (_, data) in std::mem::take(&mut self.suspects) {
            self.put(data);
        }
        self.advance(view)?;
        if self.in_segment.take().is_some() {
            self.flush(view)?;
            self.output.close(view.writer, self.position)?;
        }
        while let Some(span) = view.span(self.next_seq) {
            self.next_seq = span.seq + 1;
            self.output.open(view.writer, &span, self.position, 0)?;
            self.output.close(view.writer, self.position)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::AudioTrack;
    use super::super::renditions;
    use super::*;
    use nodi_protocol::SessionId;
    use nodi_spool::SessionWriter;
    use nodi_spool::writer::Options;

    const DAYS: u64 = 3;

    fn audio(rate: u32, grid: (u32, u32)) -> Audio {
        let root = tempfile::tempdir().unwrap();
        let options = Options { min_free_bytes: 0, ..Options::default() };
        let session = SessionId::new(0, 0);
        let mut writer =
            SessionWriter::open(root.path(), &"room".parse().unwrap(), session, options).unwrap();
        let track = AudioTrack {
            name: "audio".parse().unwrap(),
            config: Bytes::from_static(&[0x12, 0x10]),
            sample_rate: rate,
            channels: 2,
            frame_len: 1024,
            bitrate: 128_000,
        };
        let (rendition, entry) = renditions::audio(&track, 2 * NS, 6).unwrap();
        let output = Output::new(&mut writer, rendition, &entry, rate, 0).unwrap();
        let grid = FrameRate::new(grid).unwrap();
        let mut audio = Audio::new(output, (rate, 1024), 15, None, grid, 0);
        audio.start(0, &mut Vec::new());
        audio
    }

    /// Counts the frames that a boundary leaves before it, without a writer.
    fn drain(audio: &mut Audio) -> u64 {
        let frames = audio.placed.len() as u64;
        audio.position += frames * audio.frame_len;
        audio.placed.clear();
        frames
    }

    fn frame(pts_ns: u64) -> AudioFrame {
        AudioFrame { pts_ns: i64::try_from(pts_ns).unwrap(), data: Bytes::new() }
    }

    #[test]
    fn boundaries_stay_together_for_days() {
        for rate in [44_100, 48_000] {
            for grid in [(30, 1), (60, 1), (30_000, 1001), (60_000, 1001), (25, 1), (24_000, 1001)] {
                let audio = audio(rate, grid);
                let frames = audio.grid.frames(2000);
                let segments = DAYS * 24 * 3600 / 2;
                for seq in 0..=segments {
                    let boundary = audio.grid.samples(seq * frames, rate);
                    // The exact instant, in samples, times the denominator.
                    let exact = u128::from(seq * frames) * u128::from(rate) * u128::from(audio.grid.den);
                    let rounded = u128::from(boundary) * u128::from(audio.grid.num);
                    assert!(rounded.abs_diff(exact) * 2 <= u128::from(audio.grid.num));
                    // The first frame after the boundary is the nearest one.
                    let first = (2 * boundary).saturating_sub(1024).div_ceil(2048) * 1024;
                    let first = if audio.is_before(first, seq * frames) { first + 1024 } else { first };
                    assert!(!audio.is_before(first, seq * frames));
                    assert!(seq == 0 || audio.is_before(first - 1024, seq * frames));
                    assert!(first.abs_diff(boundary) <= 512, "{rate} {grid:?} {seq}");
                }
            }
        }
    }

    #[test]
    fn whole_milliseconds_for_days_move_nothing() {
        for rate in [44_100_u32, 48_000] {
            let mut audio = audio(rate, (30_000, 1001));
            let mut events = Vec::new();
            let mut written = 0;
            for number in 0..DAYS * 24 * 3600 * u64::from(rate) / 1024 {
                let ms = number * 1024 * 1000 / u64::from(rate);
                audio.place(frame(ms * 1_000_000), true, &mut events);
                written += drain(&mut audio);
            }
            assert_eq!(events, []);
            assert_eq!(audio.stats, AudioStatus { frames: written, ..AudioStatus::default() });
            assert_eq!(audio.position, written * 1024);
        }
    }

    #[test]
    fn a_sound_card_that_drifts_is_followed_in_whole_frames() {
        for ppm in [-200_i64, 200] {
            let mut audio = audio(48_000, (30, 1));
            let mut events = Vec::new();
            for number in 0..3600 * 48_000 / 1024_i64 {
                // The card's samples come faster or slower than the clock that stamps them.
                let ns = number * 1024 * 1_000_000_000 / 48_000;
                let stamped = ns + ns * ppm / 1_000_000;
                audio.place(frame(u64::try_from(stamped).unwrap()), true, &mut events);
                let expected = i64::try_from(audio.expected()).unwrap() - 1024;
                let heard_ms = expected * 1000 / 48_000;
                assert!((heard_ms - stamped / 1_000_000).abs() <= 110, "{ppm}");
                drain(&mut audio);
            }
            // 720 ms an hour.
            let (filled, dropped) = (audio.stats.filled, audio.stats.dropped);
            let moved = if ppm > 0 { filled } else { dropped };
            assert!((30..=38).contains(&moved), "{:?}", audio.stats);
            assert_eq!(filled + dropped, moved);
        }
    }
}
