//! Everything between two changes of tracks: the renditions, where their segments start, and who keeps up.

use std::collections::VecDeque;
use std::time::Duration;

use nodi_protocol::RenditionName;
use nodi_spool::SessionWriter;

use super::audio::Audio;
use super::grid::{FrameRate, NS, PartGrid, part_target, scale};
use super::output::Output;
use super::rung::{MAX_MISSES_IN_A_ROW, Rung};
use super::spans::{Decider, Decision, Limits, Span};
use super::{
    AudioTrack, Boundaries, CutConfig, Error, MAX_PART_MS, MIN_PART_MS, RungStats, Stats, Tracks, renditions,
    silence,
};

/// Without pictures boundaries lie on a grid of 10 ms.
const AUDIO_GRID: (u32, u32) = (100, 1);

/// How long the first segment may wait for rungs that have not delivered anything: encoders take their time to start.
const FIRST_WAIT_MS: u32 = 2_000;

/// A rung is given up when it is behind for this long and stands still for as long; the same goes for all pictures
/// when only sound goes on. By then players have run dry.
const STANDSTILL: Duration = Duration::from_secs(10);

/// A segment without a key frame at its end may grow as long as its duration still rounds to the target duration.
const ROUNDING_MS: u32 = 499;

/// Everything between two changes of tracks.
pub(super) struct Timeline {
    pub(super) rungs: Vec<Rung>,
    pub(super) audio: Option<Audio>,
    pub(super) decider: Decider,
    pub(super) spans: VecDeque<Span>,
    pub(super) rate: FrameRate,
    pub(super) parts: PartGrid,
    /// Index of the first frame.
    pub(super) origin: Option<u64>,
    /// The media clock there.
    pub(super) origin_ns: i64,
    /// Media time there, since the session's start.
    pub(super) base_ns: u64,
    /// End of what rungs wrote that are gone: they may come back and must not go back in time.
    pub(super) gone_end_ns: u64,
    pub(super) target_duration_s: u32,
    pub(super) part_target_ns: u64,
    pub(super) reference_time: bool,
    /// When pictures and each rung last moved.
    pub(super) pictures_moved: Duration,
    pub(super) rung_moved: Vec<(RenditionName, Duration)>,
}

impl Timeline {
    pub(super) fn new(
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

    pub(super) fn has(&self, name: &RenditionName) -> bool {
        self.rungs.iter().any(|rung| rung.name() == name)
            || self.audio.as_ref().is_some_and(|audio| audio.output.name() == name)
    }

    pub(super) fn describe(&self, writer: &mut SessionWriter) -> Result<(), Error> {
        let video = self.rungs.iter().map(|rung| rung.output.rendition().clone());
        let audio = self.audio.iter().map(|audio| audio.output.rendition().clone());
        writer.describe(video.chain(audio).collect(), self.target_duration_s, self.part_target_ns)?;
        Ok(())
    }

    /// How far the pictures have come, in frames from the start.
    pub(super) fn progress(&self) -> Option<u64> {
        self.decider.progress()?.checked_sub(self.origin?)
    }

    pub(super) fn next_decision(&mut self, closing: bool) -> Option<Decision> {
        if self.decider.has_rungs() {
            return self.decider.decide(closing);
        }
        // Sound alone.
        let origin = self.origin?;
        let at = self.decider.decided().max(origin);
        self.audio.as_ref()?.drives(at - origin).then(|| self.decider.force(at))
    }

    /// The open segment ends at `at`; answers its number.
    pub(super) fn end_span(&mut self, at: u64) -> u64 {
        match self.spans.back_mut() {
            Some(span) => {
                span.end.get_or_insert(at);
                span.seq
            }
            None => 0,
        }
    }

    pub(super) fn end_ns(&self) -> u64 {
        let video = self.rungs.iter().map(|rung| rung.output.end_ns);
        let audio = self.audio.iter().map(|audio| audio.output.end_ns);
        video.chain(audio).max().unwrap_or(0).max(self.gone_end_ns)
    }

    pub(super) fn moved(&mut self, rung: &RenditionName, now: Duration) {
        if let Some((_, moved)) = self.rung_moved.iter_mut().find(|(name, _)| name == rung) {
            *moved = now;
        }
    }

    /// Rungs to give up: without key frames, or far behind and standing still.
    pub(super) fn failed(&self, now: Duration) -> Vec<RenditionName> {
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
    pub(super) fn retire(&mut self) {
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
