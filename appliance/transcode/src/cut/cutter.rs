//! Puts the pieces together: frames in, decisions, and each rendition's writing.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodi_protocol::RenditionName;
use nodi_spool::{EndReason, SessionFiles, SessionWriter};

use super::audio::Audio;
use super::clock::WallClock;
use super::grid::{FrameRate, NS, PartGrid, part_target, scale};
use super::output::Output;
use super::rung::{MAX_MISSES_IN_A_ROW, Rung, View};
use super::spans::{Decider, Decision, Limits, Span};
use super::{
    AudioFrame, AudioTrack, Boundaries, CutConfig, Error, Event, Frame, MAX_PART_MS, MIN_PART_MS, RungStats,
    Stats, Tracks, renditions, silence,
};

/// Time since any fixed moment; passed in so that tests of stalls are instant.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Without pictures boundaries lie on a grid of 10 ms.
const AUDIO_GRID: (u32, u32) = (100, 1);
/// How long the first segment may wait for rungs that have not delivered anything: encoders take their time to start.
const FIRST_WAIT_MS: u32 = 2_000;
/// A rung is given up when it is behind for this long and stands still for as long; the same goes for all pictures
/// when only sound goes on. By then players have run dry.
const STANDSTILL: Duration = Duration::from_secs(10);
/// A segment without a key frame at its end may grow as long as its duration still rounds to the target duration.
const ROUNDING_MS: u32 = 499;
/// Events that nobody took.
const MAX_EVENTS: usize = 256;

/// Cuts one session.
pub struct Cutter {
    writer: SessionWriter,
    events: Vec<Event>,
    stats: Stats,
    clock: WallClock,
    monotonic: Monotonic,
    /// Rungs that are gone: late frames of theirs are no error.
    gone: Vec<RenditionName>,
    next_seq: u64,
    /// The next segment does not continue the one before.
    discontinuity: bool,
    timeline: Timeline,
}

/// Everything between two changes of tracks.
struct Timeline {
    rungs: Vec<Rung>,
    audio: Option<Audio>,
    decider: Decider,
    spans: VecDeque<Span>,
    rate: FrameRate,
    parts: PartGrid,
    /// Index of the first frame.
    origin: Option<u64>,
    /// The media clock there.
    origin_ns: i64,
    /// Media time there, since the session's start.
    base_ns: u64,
    /// End of what rungs wrote that are gone: they may come back and must not go back in time.
    gone_end_ns: u64,
    target_duration_s: u32,
    part_target_ns: u64,
    reference_time: bool,
    /// When pictures and each rung last moved.
    pictures_moved: Duration,
    rung_moved: Vec<(RenditionName, Duration)>,
}

impl Cutter {
    /// Starts the session's timeline, or goes on where the `writer` says that a crashed worker stopped. Writes the
    /// initialisation sections and `session.json`.
    ///
    /// # Errors
    /// When a track or the configuration is unusable, or the spool fails.
    pub fn new(writer: SessionWriter, config: CutConfig, tracks: Tracks) -> Result<Self, Error> {
        let start = Instant::now();
        Self::with_clock(writer, config, tracks, Arc::new(move || start.elapsed()))
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Cutter::new`].
    pub fn with_clock(
        mut writer: SessionWriter,
        config: CutConfig,
        tracks: Tracks,
        monotonic: Monotonic,
    ) -> Result<Self, Error> {
        let resumed = writer.resumed();
        let next_seq = resumed.map_or(0, |resumed| resumed.next_seq);
        let base_ns = resumed.map_or(0, |resumed| resumed.media_ns);
        let mut stats = Stats { media_ns: base_ns, ..Stats::default() };
        let timeline =
            Timeline::new(&mut writer, config, tracks, base_ns, next_seq, monotonic(), &mut stats)?;
        let left: Vec<_> = writer.active().filter(|name| !timeline.has(name)).cloned().collect();
        for name in left {
            writer.end(&name, EndReason::Gone)?;
        }
        timeline.describe(&mut writer)?;
        Ok(Self {
            writer,
            events: Vec::new(),
            stats,
            clock: WallClock::default(),
            monotonic,
            gone: Vec::new(),
            next_seq,
            discontinuity: resumed.is_some(),
            timeline,
        })
    }

    /// The media at `media_ns` of the media clock came in at `wall_ns` of this machine's clock, in nanoseconds since
    /// the Unix epoch. To be called for the tags that the publisher sends, at least once a second.
    pub fn arrived(&mut self, media_ns: i64, wall_ns: u64) {
        self.clock.arrived(media_ns, wall_ns);
    }

    /// One encoded frame of `rung`, in order of index.
    ///
    /// # Errors
    /// `UnknownRung` (a rung that is gone is known and ignored), `Order`, `Spool`.
    pub fn video(&mut self, rung: &RenditionName, frame: Frame) -> Result<(), Error> {
        let Some(position) = self.timeline.rungs.iter().position(|known| known.name() == rung) else {
            return if self.gone.contains(rung) { Ok(()) } else { Err(Error::UnknownRung(rung.clone())) };
        };
        let now = (self.monotonic)();
        let (index, keyframe) = (frame.index, frame.keyframe);
        let end = index + u64::from(frame.duration.max(1));
        if let Some(known) = self.timeline.rungs.get_mut(position) {
            known.deliver(frame)?;
        }
        self.timeline.pictures_moved = now;
        self.timeline.moved(rung, now);
        if !self.timeline.decider.deliver(rung, index, end, keyframe) {
            log::debug!(rung:%, index; "a key frame where no segment starts");
            if let Some(known) = self.timeline.rungs.get_mut(position) {
                known.stats.unexpected_key_frames += 1;
            }
            self.events.push(Event::UnexpectedKeyFrame { rung: rung.clone(), index });
        }
        self.run(false)
    }

    /// One audio frame, in order. Ignored when the session has no audio.
    ///
    /// # Errors
    /// `Spool`.
    pub fn audio(&mut self, frame: AudioFrame) -> Result<(), Error> {
        let now = (self.monotonic)();
        let pictures = self.timeline.progress();
        let with_video = self.timeline.decider.has_rungs();
        let Some(audio) = &mut self.timeline.audio else {
            return Ok(());
        };
        audio.heard(pictures, now);
        audio.place(frame, with_video, &mut self.events);
        if !with_video
            && self.timeline.origin.is_none()
            && let Some(origin_ns) = audio.first_pts_ns()
        {
            self.timeline.origin = Some(0);
            self.timeline.origin_ns = origin_ns;
            audio.start(origin_ns, &mut self.events);
        }
        self.run(false)
    }

    /// The rung is over for this session; the others go on.
    ///
    /// # Errors
    /// `UnknownRung`, `Spool`.
    pub fn rung_gone(&mut self, rung: &RenditionName, reason: EndReason) -> Result<(), Error> {
        if self.gone.contains(rung) {
            return Ok(());
        }
        self.drop_rung(rung, reason)?;
        self.run(false)
    }

    /// New initialisation sections and a discontinuity on all renditions. Renditions that are not in `tracks` end as
    /// `gone`; rungs that ended before may come back. The media clock may start anew.
    ///
    /// # Errors
    /// As [`Cutter::new`].
    pub fn restart(&mut self, config: CutConfig, tracks: Tracks) -> Result<(), Error> {
        self.close_all()?;
        let base_ns = self.timeline.end_ns();
        let old: Vec<_> = self.writer.active().cloned().collect();
        self.clock = WallClock::default();
        self.gone.clear();
        self.discontinuity = true;
        let audio = self.stats.audio;
        self.timeline = Timeline::new(
            &mut self.writer,
            config,
            tracks,
            base_ns,
            self.next_seq,
            (self.monotonic)(),
            &mut self.stats,
        )?;
        if let Some(new) = &mut self.timeline.audio {
            new.stats = audio;
        }
        for name in old.iter().filter(|name| !self.timeline.has(name)) {
            self.writer.end(name, EndReason::Gone)?;
        }
        self.timeline.describe(&mut self.writer)
    }

    /// Writes what is held back, closes all segments and ends all renditions. Tries to end each one even when one
    /// fails: after `NoSpace` the lines still fit where a part did not.
    ///
    /// # Errors
    /// `Spool`.
    pub fn finish(mut self, reason: EndReason) -> Result<Stats, Error> {
        let mut result = if reason == EndReason::NoSpace { Ok(()) } else { self.close_all() };
        let names: Vec<_> = self.writer.active().cloned().collect();
        for name in names {
            let ended = self.writer.end(&name, reason).map_err(Error::from);
            result = result.and(ended);
        }
        result.map(|()| self.stats)
    }

    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// PART-TARGET of this timeline, in nanoseconds.
    #[must_use]
    pub fn part_target_ns(&self) -> u64 {
        self.timeline.part_target_ns
    }

    /// What happened since the last call; the oldest are dropped when nobody asks.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// `status.json` and `thumbnail.jpg`, from any thread.
    #[must_use]
    pub fn files(&self) -> SessionFiles {
        self.writer.files()
    }

    /// Decides what can be decided and writes what can be written.
    fn run(&mut self, closing: bool) -> Result<(), Error> {
        self.decide(closing);
        self.write()?;
        let now = (self.monotonic)();
        if let Some(progress) = self.timeline.progress()
            && self.timeline.decider.has_rungs()
            && !closing
            && let Some(audio) = &mut self.timeline.audio
            && audio.pictures_at(progress, now, &mut self.events)
        {
            self.write()?;
        }
        self.give_up_failed(now)?;
        self.timeline.retire();
        self.collect_stats();
        Ok(())
    }

    fn decide(&mut self, closing: bool) {
        while let Some(decision) = self.timeline.next_decision(closing) {
            match decision {
                Decision::Cut { at } => self.cut(at),
                Decision::Starve { at } => {
                    let seq = self.timeline.end_span(at);
                    log::warn!(seq; "no rung has key frames: the segment is closed, and what follows is lost");
                    self.discontinuity = true;
                    self.events.push(Event::NoKeyFrames { seq });
                }
            }
        }
    }

    fn cut(&mut self, at: u64) {
        let timeline = &mut self.timeline;
        timeline.end_span(at);
        if timeline.origin.is_none() {
            timeline.origin = Some(at);
            timeline.origin_ns = i64::try_from(timeline.rate.ns(at)).unwrap_or(i64::MAX);
            if let Some(audio) = &mut timeline.audio {
                audio.start(timeline.origin_ns, &mut self.events);
            }
        }
        let since_origin = timeline.rate.ns(at - timeline.origin.unwrap_or(at));
        let media_ns = timeline.origin_ns.saturating_add(i64::try_from(since_origin).unwrap_or(i64::MAX));
        // Without any arrival the session's own start is the best guess.
        let guess = self.writer.session().unix_ms() * 1_000_000 + timeline.base_ns + since_origin;
        let wall_ns = self.clock.at(media_ns).unwrap_or(guess);
        let discontinuity = std::mem::take(&mut self.discontinuity);
        self.stats.discontinuities += u64::from(discontinuity);
        self.stats.segments += 1;
        timeline.spans.push_back(Span { seq: self.next_seq, start: at, end: None, discontinuity, wall_ns });
        self.next_seq += 1;
    }

    fn write(&mut self) -> Result<(), Error> {
        self.each(Rung::advance, Audio::advance)
    }

    fn each(
        &mut self,
        rung: fn(&mut Rung, &mut View<'_>) -> Result<(), Error>,
        audio: fn(&mut Audio, &mut View<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let timeline = &mut self.timeline;
        let Some(origin) = timeline.origin else {
            return Ok(());
        };
        let mut view = View {
            writer: &mut self.writer,
            events: &mut self.events,
            spans: &timeline.spans,
            origin,
            decided: timeline.decider.decided(),
            nominal_end: timeline.decider.nominal_end(),
            parts: &timeline.parts,
            reference_time: timeline.reference_time,
        };
        for one in &mut timeline.rungs {
            rung(one, &mut view)?;
        }
        if let Some(one) = &mut timeline.audio {
            audio(one, &mut view)?;
        }
        Ok(())
    }

    fn close_all(&mut self) -> Result<(), Error> {
        self.decide(true);
        self.each(Rung::close, Audio::close)?;
        self.collect_stats();
        Ok(())
    }

    /// Gives up rungs that are of no use to anyone.
    fn give_up_failed(&mut self, now: Duration) -> Result<(), Error> {
        for rung in self.timeline.failed(now) {
            log::error!(rung:%; "giving the rung up");
            self.drop_rung(&rung, EndReason::Gone)?;
            self.events.push(Event::RungFailed { rung });
        }
        let excess = self.events.len().saturating_sub(MAX_EVENTS);
        self.events.drain(..excess);
        Ok(())
    }

    fn drop_rung(&mut self, name: &RenditionName, reason: EndReason) -> Result<(), Error> {
        let Some(position) = self.timeline.rungs.iter().position(|rung| rung.name() == name) else {
            return Err(Error::UnknownRung(name.clone()));
        };
        self.write()?;
        let mut rung = self.timeline.rungs.remove(position);
        self.timeline.decider.remove(name);
        self.gone.push(name.clone());
        if let Some(origin) = self.timeline.origin {
            let timeline = &self.timeline;
            let mut view = View {
                writer: &mut self.writer,
                events: &mut self.events,
                spans: &timeline.spans,
                origin,
                decided: timeline.decider.decided(),
                nominal_end: timeline.decider.nominal_end(),
                parts: &timeline.parts,
                reference_time: timeline.reference_time,
            };
            rung.close(&mut view)?;
        }
        self.timeline.gone_end_ns = self.timeline.gone_end_ns.max(rung.output.end_ns);
        rung.stats.gone = Some(reason);
        self.stats.update(&rung.stats);
        self.writer.end(name, reason)?;
        self.timeline.describe(&mut self.writer)
    }

    fn collect_stats(&mut self) {
        for rung in &self.timeline.rungs {
            self.stats.update(&rung.stats);
        }
        if let Some(audio) = &self.timeline.audio {
            self.stats.audio = audio.stats;
        }
        self.stats.media_ns = self.timeline.end_ns();
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutter").field("session", &self.writer.session()).finish_non_exhaustive()
    }
}

impl Stats {
    fn update(&mut self, rung: &RungStats) {
        match self.rungs.iter_mut().find(|known| known.name == rung.name) {
            Some(known) => known.clone_from(rung),
            None => self.rungs.push(rung.clone()),
        }
    }
}

impl Timeline {
    fn new(
        writer: &mut SessionWriter,
        config: CutConfig,
        tracks: Tracks,
        base_ns: u64,
        next_seq: u64,
        now: Duration,
        stats: &mut Stats,
    ) -> Result<Self, Error> {
        if tracks.video.is_empty() && tracks.audio.is_none() {
            return Err(Error::NoTracks);
        }
        let parts_allowed = MIN_PART_MS..=MAX_PART_MS.min(config.segment_ms);
        if !parts_allowed.contains(&config.part_ms) {
            return Err(Error::PartTarget(config.part_ms));
        }
        let rate = FrameRate::new(if tracks.video.is_empty() { AUDIO_GRID } else { tracks.frame_rate })?;
        let nominal = rate.frames(config.segment_ms).max(1);
        let (min, target_duration_s, max, leader, grid_segment) = match config.boundaries {
            Boundaries::Grid => {
                let target = (config.segment_ms + ROUNDING_MS) / 1000;
                let target = target.max(1);
                let max = rate.frames(target * 1000 + ROUNDING_MS).saturating_sub(1).max(nominal);
                (nominal, target, max, None, Some(nominal))
            }
            Boundaries::Source { rung, min_segment_ms, max_segment_ms } => {
                let max = rate.frames(max_segment_ms).max(1);
                let min = rate.frames(min_segment_ms).clamp(1, max);
                (min, max_segment_ms.div_ceil(1000).max(1), max, Some(rung), None)
            }
        };
        let parts = PartGrid::new(rate, config.part_ms, grid_segment);
        let limits = Limits {
            min,
            max,
            wait: (parts.longest / 2).max(1),
            first_wait: rate.frames(FIRST_WAIT_MS).max(1),
        };
        let segment_ns = u64::from(config.segment_ms) * 1_000_000;

        let video_part_ns = if tracks.video.is_empty() { 0 } else { rate.ns(parts.longest) + 1 };
        let audio_parts =
            tracks.audio.as_ref().map(|track| AudioParts::new(track, config.part_ms, video_part_ns));
        let part_target_ns = part_target(
            video_part_ns.saturating_sub(1).max(audio_parts.as_ref().map_or(0, |parts| parts.ns)),
        );

        let mut rungs = Vec::new();
        for track in tracks.video {
            let parts_per_segment = nominal.div_ceil(parts.longest);
            let (rendition, entry) = renditions::video(&track, rate, segment_ns, parts_per_segment)?;
            let (timescale, ticks_per_frame) = rate.timescale();
            let output = Output::new(writer, rendition, &entry, timescale, base_ns)?;
            let kept = stats.rungs.iter().find(|known| known.name == track.name).cloned();
            let rung_stats = RungStats { gone: None, ..kept.unwrap_or_else(|| RungStats::new(track.name)) };
            rungs.push(Rung::new(output, rung_stats, ticks_per_frame, next_seq));
        }
        let audio = match (tracks.audio, audio_parts) {
            (Some(track), Some(parts)) => {
                let (rendition, entry) =
                    renditions::audio(&track, segment_ns, segment_ns.div_ceil(parts.ns.max(1)))?;
                let output = Output::new(writer, rendition, &entry, track.sample_rate, base_ns)?;
                let silence = silence::frame(&track.config);
                let format = (track.sample_rate, track.frame_len);
                Some(Audio::new(output, format, parts.frames, silence, rate, next_seq))
            }
            _ => None,
        };
        Ok(Self {
            decider: Decider::new(limits, leader, rungs.iter().map(|rung| rung.name().clone())),
            rung_moved: rungs.iter().map(|rung| (rung.name().clone(), now)).collect(),
            rungs,
            audio,
            spans: VecDeque::new(),
            rate,
            parts,
            origin: None,
            origin_ns: 0,
            base_ns,
            gone_end_ns: base_ns,
            target_duration_s,
            part_target_ns,
            reference_time: config.producer_reference_time,
            pictures_moved: now,
        })
    }

    fn has(&self, name: &RenditionName) -> bool {
        self.rungs.iter().any(|rung| rung.name() == name)
            || self.audio.as_ref().is_some_and(|audio| audio.output.name() == name)
    }

    fn describe(&self, writer: &mut SessionWriter) -> Result<(), Error> {
        let video = self.rungs.iter().map(|rung| rung.output.rendition().clone());
        let audio = self.audio.iter().map(|audio| audio.output.rendition().clone());
        writer.describe(video.chain(audio).collect(), self.target_duration_s, self.part_target_ns)?;
        Ok(())
    }

    /// How far the pictures have come, in frames from the start.
    fn progress(&self) -> Option<u64> {
        self.decider.progress()?.checked_sub(self.origin?)
    }

    fn next_decision(&mut self, closing: bool) -> Option<Decision> {
        if self.decider.has_rungs() {
            return self.decider.decide(closing);
        }
        // Sound alone.
        let origin = self.origin?;
        let at = self.decider.decided().max(origin);
        self.audio.as_ref()?.drives(at - origin).then(|| self.decider.force(at))
    }

    /// The open segment ends at `at`; answers its number.
    fn end_span(&mut self, at: u64) -> u64 {
        match self.spans.back_mut() {
            Some(span) => {
                span.end.get_or_insert(at);
                span.seq
            }
            None => 0,
        }
    }

    fn end_ns(&self) -> u64 {
        let video = self.rungs.iter().map(|rung| rung.output.end_ns);
        let audio = self.audio.iter().map(|audio| audio.output.end_ns);
        video.chain(audio).max().unwrap_or(0).max(self.gone_end_ns)
    }

    fn moved(&mut self, rung: &RenditionName, now: Duration) {
        if let Some((_, moved)) = self.rung_moved.iter_mut().find(|(name, _)| name == rung) {
            *moved = now;
        }
    }

    /// Rungs to give up: without key frames, or far behind and standing still.
    fn failed(&self, now: Duration) -> Vec<RenditionName> {
        let standstill_ns = u64::try_from(STANDSTILL.as_nanos()).unwrap_or(u64::MAX);
        let all = self.decider.has_rungs()
            && now.saturating_sub(self.pictures_moved) >= STANDSTILL
            && self.audio.as_ref().is_some_and(|audio| {
                let pictures = self.rate.ns(self.progress().unwrap_or(0));
                audio.ahead_ns() >= pictures + standstill_ns
            });
        let frames = scale(standstill_ns, u64::from(self.rate.num), NS * u64::from(self.rate.den));
        let newest = self.decider.progress().unwrap_or(0);
        let behind = |rung: &Rung| {
            let moved = self.rung_moved.iter().find(|(name, _)| name == rung.name()).map(|(_, moved)| *moved);
            newest >= rung.progress().or(self.origin).unwrap_or(newest) + frames
                && moved.is_some_and(|moved| now.saturating_sub(moved) >= STANDSTILL)
        };
        self.rungs
            .iter()
            .filter(|rung| all || rung.misses >= MAX_MISSES_IN_A_ROW || behind(rung))
            .map(|rung| rung.name().clone())
            .collect()
    }

    /// Forgets segments that all renditions have entered and left.
    fn retire(&mut self) {
        let rungs = self.rungs.iter().map(|rung| rung.next_seq);
        let audio = self.audio.iter().map(|audio| audio.next_seq);
        let slowest = rungs.chain(audio).min().unwrap_or(u64::MAX);
        // `next_seq - 1` may still be open.
        while self.spans.len() > 1 && self.spans.front().is_some_and(|span| span.seq + 1 < slowest) {
            self.spans.pop_front();
        }
    }
}

impl RungStats {
    fn new(name: RenditionName) -> Self {
        Self {
            name,
            frames: 0,
            bytes: 0,
            missing_frames: 0,
            unexpected_key_frames: 0,
            missed_key_frames: 0,
            gone: None,
        }
    }
}

/// How many AAC frames a part has.
struct AudioParts {
    frames: usize,
    ns: u64,
}

impl AudioParts {
    /// As many as fit into a part of the pictures, or into `part_ms` when there are none; one at least.
    fn new(track: &AudioTrack, part_ms: u32, video_part_ns: u64) -> Self {
        let (rate, len) = (u64::from(track.sample_rate.max(1)), u64::from(track.frame_len.max(1)));
        let limit_ns = if video_part_ns > 0 { video_part_ns } else { u64::from(part_ms) * 1_000_000 };
        let frames = scale(limit_ns, rate, len * NS).max(1);
        let ns = super::grid::scale_up(frames * len, NS, rate);
        Self { frames: usize::try_from(frames).unwrap_or(1), ns }
    }
}
