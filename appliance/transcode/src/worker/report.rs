//! What `status.json` says: rates since the last report, and warnings in words.

use std::time::{Duration, Instant, SystemTime};

use nodi_protocol::RenditionName;
use nodi_spool::{
    AudioStatus, Backend, EndReason, Overload, RungState, RungStatus, SourceStatus, Warning, WorkerState,
    WorkerStatus,
};

use super::intake::unix_ms;
use super::writer::{Epoch, disagrees};
use crate::backend::Detected;
use crate::cut::{Event, Stats};

/// Warnings about something that happened are shown for this long after it happened last.
const SHOWN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Report {
    worker: u32,
    backend: Backend,
    source: Option<SourceStatus>,
    rungs: Vec<Rung>,
    has_audio: bool,
    warnings: Vec<Active>,
    overload: Overload,
    /// Of the newest frame that came out.
    pub(super) lag: Duration,
    last: Option<(Instant, u64)>,
}

#[derive(Debug)]
struct Rung {
    name: RenditionName,
    width: u32,
    height: u32,
    state: RungState,
    passthrough: bool,
    dropped: u64,
    /// Frames and bytes at the last report.
    last: (u64, u64),
}

#[derive(Debug)]
struct Active {
    warning: Warning,
    /// `None`: as long as the tracks.
    until: Option<Instant>,
}

impl Report {
    pub(super) fn new(worker: u32, detected: &Detected) -> Self {
        let mut report = Self {
            worker,
            backend: Backend::Jetson,
            source: None,
            rungs: Vec::new(),
            has_audio: false,
            warnings: Vec::new(),
            overload: Overload::None,
            lag: Duration::ZERO,
            last: None,
        };
        if let Detected::Software { instead } = detected {
            report.backend = Backend::Software;
            if let Some(reason) = instead {
                report.software(reason);
            }
        }
        report
    }

    /// The hardware encoder is not used.
    pub(super) fn software(&mut self, reason: &str) {
        self.backend = Backend::Software;
        self.raise("no_hardware_encoder", format!("encoding in software, since {reason}"), None);
    }

    pub(super) fn tracks(&mut self, epoch: &Epoch) {
        self.source = Some(epoch.status.clone());
        self.has_audio = epoch.audio.is_some();
        self.overload = Overload::None;
        let source = epoch.source.iter().map(|track| Rung {
            name: track.name.clone(),
            width: track.width,
            height: track.height,
            state: RungState::Active,
            passthrough: true,
            dropped: 0,
            last: (0, 0),
        });
        let rungs = epoch.rungs.iter().map(|rung| Rung {
            name: rung.name.clone(),
            width: rung.width,
            height: rung.height,
            state: if rung.half_rate { RungState::HalfRate } else { RungState::Active },
            passthrough: false,
            dropped: 0,
            last: (0, 0),
        });
        self.rungs = source.chain(rungs).collect();
        self.warnings.retain(|active| !matches!(active.warning.code.as_str(), "overload" | "ladder_reduced"));
        if !epoch.given_up.is_empty() {
            let text = format!("this machine does not carry {}: not encoded", epoch.given_up.join(", "));
            self.raise("ladder_reduced", text, None);
        }
    }

    pub(super) fn halved(&mut self, name: &RenditionName) {
        self.set_state(name, RungState::HalfRate);
        if self.overload == Overload::None {
            self.overload = Overload::HalfRate;
        }
        self.raise("overload", format!("encoding falls behind: {name} at half its frame rate"), None);
    }

    pub(super) fn restored(&mut self, name: &RenditionName) {
        self.set_state(name, RungState::Active);
        if self.overload == Overload::HalfRate {
            self.overload = Overload::None;
            self.warnings.retain(|active| active.warning.code != "overload");
        }
    }

    pub(super) fn gone(&mut self, name: &RenditionName) {
        self.set_state(name, RungState::Gone(EndReason::Overload));
        self.overload = Overload::RungDropped;
        self.raise("overload", format!("encoding falls behind: {name} given up"), None);
    }

    /// Encoding is behind at this moment, and nothing was given up for it yet.
    pub(super) fn behind(&mut self, behind: bool) {
        if behind {
            let text = "encoding is behind: pictures are dropped so that latency stays".to_owned();
            self.raise("behind", text, Some(SHOWN / 10));
        }
    }

    /// A picture was left out of `name`, or of all encoded rungs.
    pub(super) fn dropped(&mut self, name: Option<&RenditionName>) {
        for rung in self.rungs.iter_mut().filter(|rung| !rung.passthrough) {
            rung.dropped += u64::from(name.is_none_or(|name| rung.name == *name));
        }
    }

    fn set_state(&mut self, name: &RenditionName, state: RungState) {
        for rung in &mut self.rungs {
            if rung.name == *name {
                rung.state = state;
            }
        }
    }

    /// A warning about something that just happened.
    pub(super) fn warn(&mut self, code: &'static str, text: String) {
        self.raise(code, text, Some(SHOWN));
    }

    fn raise(&mut self, code: &'static str, text: String, shown: Option<Duration>) {
        let until = shown.map(|shown| Instant::now() + shown);
        if let Some(active) = self.warnings.iter_mut().find(|active| active.warning.code == code) {
            active.warning.text = text;
            active.until = until;
            return;
        }
        let since_unix_ms = unix_ms(SystemTime::now());
        self.warnings.push(Active { warning: Warning { code: code.to_owned(), text, since_unix_ms }, until });
    }

    /// What the cutter saw; `true` when the encoders should start anew together.
    pub(super) fn events(&mut self, events: &[Event]) -> bool {
        for event in events {
            match event {
                Event::UnexpectedKeyFrame { rung, .. } | Event::MissedKeyFrame { rung, .. } => {
                    self.warn(
                        "key_frames_differ",
                        format!("key frames of {rung} are not where the others are"),
                    );
                }
                Event::RungFailed { rung } => {
                    self.set_state(rung, RungState::Gone(EndReason::Gone));
                    self.raise("rung_failed", format!("{rung} has no usable key frames: ended"), None);
                }
                Event::NoKeyFrames { .. } => {
                    self.warn("no_key_frames", "no rung had a key frame for too long".to_owned());
                }
                Event::AudioFilled { .. } => {
                    self.warn("audio_missing", "the publisher sends no audio: silence is written".to_owned());
                }
                Event::AudioDropped { .. } => {
                    self.warn("audio_late", "audio came too late and was left out".to_owned());
                }
                Event::FramesMissing { .. } => {}
            }
        }
        events.iter().any(disagrees)
    }

    pub(super) fn status(&mut self, state: WorkerState, stats: Option<&Stats>) -> WorkerStatus {
        let now = Instant::now();
        self.warnings.retain(|active| active.until.is_none_or(|until| now < until));
        let media_ns = stats.map_or(0, |stats| stats.media_ns);
        let elapsed = self.last.map_or(0.0, |(at, _)| now.duration_since(at).as_secs_f64());
        let per_second = |count: u64| if elapsed > 0.0 { count as f64 / elapsed } else { 0.0 };
        let before = self.last.map_or(0, |(_, media)| media);
        let speed = per_second(media_ns.saturating_sub(before)) / 1e9;
        let rungs = self.rungs.iter_mut().map(|rung| {
            let counted =
                stats.and_then(|stats| stats.rungs.iter().find(|counted| counted.name == rung.name));
            let (frames, bytes) = counted.map_or((0, 0), |counted| (counted.frames, counted.bytes));
            let (last_frames, last_bytes) = std::mem::replace(&mut rung.last, (frames, bytes));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate in bit/s")]
            let bitrate = (per_second(bytes.saturating_sub(last_bytes)) * 8.0) as u64;
            RungStatus {
                name: rung.name.clone(),
                width: rung.width,
                height: rung.height,
                state: rung.state,
                passthrough: rung.passthrough,
                fps: per_second(frames.saturating_sub(last_frames)),
                bitrate,
                frames,
                dropped: rung.dropped,
                unexpected_key_frames: counted.map_or(0, |counted| counted.unexpected_key_frames),
                missed_key_frames: counted.map_or(0, |counted| counted.missed_key_frames),
            }
        });
        let rungs = rungs.collect();
        self.last = Some((now, media_ns));
        WorkerStatus {
            schema: 1,
            worker: self.worker,
            unix_ms: unix_ms(SystemTime::now()),
            state,
            backend: self.backend,
            source: self.source.clone(),
            speed,
            lag_ms: u64::try_from(self.lag.as_millis()).unwrap_or(u64::MAX),
            overload: self.overload,
            rungs,
            audio: self.has_audio.then(|| stats.map_or(AudioStatus::default(), |stats| stats.audio)),
            media_ns,
            discontinuities: stats.map_or(0, |stats| stats.discontinuities),
            warnings: self.warnings.iter().map(|active| active.warning.clone()).collect(),
        }
    }
}
