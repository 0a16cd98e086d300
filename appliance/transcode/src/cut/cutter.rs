//! Puts the pieces together: frames in, decisions, and each rendition's writing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodi_protocol::RenditionName;
use nodi_spool::{EndReason, SessionFiles, SessionWriter};

use super::audio::Audio;
use super::clock::WallClock;
use super::rung::{Rung, View};
use super::spans::{Decision, Span};
use super::timeline::Timeline;
use super::{AudioFrame, CutConfig, Error, Event, Frame, RungStats, Stats, Tracks};

/// Time since any fixed moment; passed in so that tests of stalls are instant.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

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
