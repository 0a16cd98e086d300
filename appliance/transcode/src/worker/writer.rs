//! Takes what the pipelines give, hands it to the cutter, watches whether the encoders keep up, and reports.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nodi_flv::SessionFacts;
use nodi_spool::writer::Options;
use nodi_spool::{EndReason, SessionFiles, SessionWriter, SourceStatus, WorkerState};

use super::Error;
use super::report::Report;
use crate::backend::Detected;
use crate::config::Config;
use crate::cut::{
    self, AudioFrame, AudioTrack, CutConfig, Cutter, Event, Frame, Tracks, VideoCodec, VideoTrack,
};
use crate::ladder::Rung;
use crate::overload::{Monitor, Step};
use crate::pipeline::describe::VBV_MS;
use crate::pipeline::run::Encoded;
use crate::pipeline::{Controls, Output};
use crate::rate::FrameRate;

/// Messages that wait: a second of three rungs at 60 fps with audio. When the disk is slower than that the
/// encoders wait, and are then behind.
const QUEUED: usize = 256;

/// How often `status.json` is replaced.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// Frames held back until every rung has given its first; a rung that has not by then is left out. Four rungs at
/// 60 fps for four seconds.
const MOST_HELD: usize = 1024;

/// What the intake and the pipelines have to say.
#[derive(Debug)]
pub(super) enum Message {
    /// New tracks; what follows belongs to them.
    Epoch(Box<Epoch>),
    Output(Output),
    /// A picture that is passed through.
    Source(Frame),
    /// Audio that is passed through.
    Audio(AudioFrame),
    /// When media came in; `media_ns` on the pipelines' clock.
    Arrived {
        media_ns: i64,
        wall: SystemTime,
    },
    /// All outputs of the current tracks have been sent.
    Drained,
    Warn {
        code: &'static str,
        text: String,
    },
    /// The hardware encoder is given up, and why.
    Software(String),
    Finish(EndReason),
}

/// One set of tracks.
#[derive(Debug)]
pub(super) struct Epoch {
    /// Of the video pipeline.
    pub(super) controls: Option<Arc<Controls>>,
    /// What is encoded, in the pipeline's order.
    pub(super) rungs: Vec<Rung>,
    /// What is passed through.
    pub(super) source: Option<VideoTrack>,
    pub(super) frame_rate: (u32, u32),
    pub(super) audio: Option<AudioTrack>,
    pub(super) cut: CutConfig,
    pub(super) status: SourceStatus,
    /// Rungs that do not fit on this machine, in words.
    pub(super) given_up: Vec<String>,
}

/// Ends with what the session ended with.
pub(super) type Thread = JoinHandle<Result<(), Error>>;

/// Starts the writer of one session.
pub(super) fn spawn(
    config: &Config,
    facts: SessionFacts,
    detected: &Detected,
    live: bool,
) -> std::io::Result<(SyncSender<Message>, Thread)> {
    let (sender, receiver) = sync_channel(QUEUED);
    let root = config.spool.clone();
    let options = Options {
        min_free_bytes: config.min_free_bytes,
        sync_segments: config.sync_segments,
        ..Options::default()
    };
    let report = Report::new(facts.worker, detected);
    let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
        log::info!(channel:% = facts.channel, session:% = facts.session, worker = facts.worker; "session");
        let session = SessionWriter::open(&root, &facts.channel, facts.session, options)?;
        let writer = Writer {
            files: session.files(),
            output: Destination::Session(session),
            tracks: None,
            report,
            live,
            started: Instant::now(),
        };
        writer.run(&receiver)
    })?;
    Ok((sender, thread))
}

struct Writer {
    files: SessionFiles,
    output: Destination,
    tracks: Option<Current>,
    report: Report,
    live: bool,
    started: Instant,
}

/// The session before and after its first tracks.
enum Destination {
    Session(SessionWriter),
    Cutter(Box<Cutter>),
    Closed,
}

/// The tracks that messages belong to.
struct Current {
    epoch: Epoch,
    /// The codec configuration of each rung, once it gave a frame.
    configs: Vec<Option<bytes::Bytes>>,
    /// `None` once the cutter knows the tracks.
    held: Option<VecDeque<Held>>,
    monitor: Monitor,
}

enum Held {
    Video(usize, Frame),
    Source(Frame),
    Audio(AudioFrame),
    Arrived { media_ns: i64, wall: SystemTime },
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), Error> {
        let mut next_status = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next_status {
                next_status = now + STATUS_INTERVAL;
                let state = if self.tracks.is_some() { WorkerState::Running } else { WorkerState::Starting };
                self.write_status(state)?;
            }
            let done = match messages.recv_timeout(next_status.saturating_duration_since(now)) {
                Ok(Message::Finish(reason)) => {
                    self.write_status(WorkerState::Draining)?;
                    return self.finish(reason);
                }
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                // The intake panicked: what is written stays as after a crash, and its worker's successor goes on.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if let Err(error) = done {
                if let cut::Error::Spool(nodi_spool::Error::NoSpace { .. }) = &error {
                    log::error!(error:%; "ending the session");
                    // The end lines are short enough to fit where a segment does not; if not, the session just stops.
                    let _ = self.finish(EndReason::NoSpace);
                }
                return Err(error.into());
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn take(&mut self, message: Message) -> Result<(), cut::Error> {
        match message {
            Message::Epoch(epoch) => self.new_tracks(*epoch),
            Message::Output(Output::Frame(encoded)) => self.encoded(encoded),
            Message::Output(Output::Audio { pts_ns, data, .. }) => {
                let pts_ns = i64::try_from(pts_ns).unwrap_or(i64::MAX);
                self.hold_or_cut(Held::Audio(AudioFrame { pts_ns, data }))
            }
            Message::Output(Output::Thumbnail(jpeg)) => {
                if let Err(error) = self.files.write_thumbnail(&jpeg) {
                    log::warn!(error:%; "thumbnail not written");
                }
                Ok(())
            }
            Message::Output(Output::Dropped { rung }) => {
                let now = self.now();
                let name = rung.and_then(|rung| Some(&self.tracks.as_ref()?.epoch.rungs.get(rung)?.name));
                self.report.dropped(name);
                if let Some(tracks) = &mut self.tracks {
                    tracks.monitor.dropped(now);
                }
                Ok(())
            }
            Message::Source(frame) => self.hold_or_cut(Held::Source(frame)),
            Message::Audio(frame) => self.hold_or_cut(Held::Audio(frame)),
            Message::Arrived { media_ns, wall } => self.hold_or_cut(Held::Arrived { media_ns, wall }),
            Message::Drained => self.begin(true),
            Message::Warn { code, text } => {
                self.report.warn(code, text);
                Ok(())
            }
            Message::Software(reason) => {
                self.report.software(&reason);
                Ok(())
            }
            // Handled by the caller, which owns the writer.
            Message::Finish(_) => Ok(()),
        }
    }

    fn new_tracks(&mut self, epoch: Epoch) -> Result<(), cut::Error> {
        let halved = epoch.rungs.first().is_some_and(|rung| rung.half_rate);
        let monitor = Monitor::new(self.now(), epoch.rungs.len(), halved);
        self.report.tracks(&epoch);
        let configs = vec![None; epoch.rungs.len()];
        self.tracks = Some(Current { epoch, configs, held: Some(VecDeque::new()), monitor });
        self.begin(false)
    }

    fn encoded(&mut self, encoded: Encoded) -> Result<(), cut::Error> {
        let now = self.now();
        let Some(tracks) = &mut self.tracks else { return Ok(()) };
        self.report.lag = encoded.lag;
        let step = if self.live { tracks.monitor.encoded(now, encoded.rung, encoded.lag) } else { None };
        let Encoded { rung, index, duration, keyframe, config, data, .. } = encoded;
        if let Some(known @ None) = tracks.configs.get_mut(rung) {
            *known = Some(config);
        }
        self.hold_or_cut(Held::Video(rung, Frame { index, duration, keyframe, data }))?;
        self.begin(false)?;
        match step {
            Some(step) => self.give_way(step),
            None => Ok(()),
        }
    }

    /// Encoding has been behind for too long: less is encoded from here on.
    fn give_way(&mut self, step: Step) -> Result<(), cut::Error> {
        let Some(tracks) = &mut self.tracks else { return Ok(()) };
        let (Step::HalveRate(number) | Step::FullRate(number) | Step::GiveUp(number)) = step;
        let (Some(rung), Some(controls)) = (tracks.epoch.rungs.get(number), &tracks.epoch.controls) else {
            return Ok(());
        };
        let name = rung.name.clone();
        match step {
            Step::HalveRate(_) => {
                log::warn!(rung:% = name; "overload: halving the frame rate");
                controls.halve(number, true);
                self.report.halved(&name);
                Ok(())
            }
            Step::FullRate(_) => {
                log::info!(rung:% = name; "in time for a while: trying the full frame rate");
                controls.halve(number, false);
                self.report.restored(&name);
                Ok(())
            }
            Step::GiveUp(_) => {
                log::warn!(rung:% = name; "overload: giving up the rung");
                controls.give_up(number);
                self.report.gone(&name);
                match &mut self.output {
                    Destination::Cutter(cutter) => cutter.rung_gone(&name, EndReason::Overload),
                    Destination::Session(_) | Destination::Closed => Ok(()),
                }
            }
        }
    }

    /// Starts the current tracks when every rung has given a frame, or when none will come any more (`now`).
    fn begin(&mut self, now: bool) -> Result<(), cut::Error> {
        let Some(tracks) = &mut self.tracks else { return Ok(()) };
        let Some(held) = &tracks.held else { return Ok(()) };
        let complete = tracks.configs.iter().all(Option::is_some);
        if !complete && !now && held.len() < MOST_HELD {
            return Ok(());
        }
        if tracks.epoch.controls.is_some()
            && tracks.configs.iter().all(Option::is_none)
            && tracks.epoch.source.is_none()
        {
            // Nothing was decoded yet, or ever.
            return Ok(());
        }
        let mut video: Vec<VideoTrack> = tracks.epoch.source.iter().cloned().collect();
        for (rung, config) in tracks.epoch.rungs.iter().zip(&tracks.configs) {
            let Some(config) = config else {
                log::error!(rung:% = rung.name; "the encoder gives nothing: going on without this rung");
                self.report.gone(&rung.name);
                continue;
            };
            video.push(VideoTrack {
                name: rung.name.clone(),
                codec: VideoCodec::Avc(config.clone()),
                width: rung.width,
                height: rung.height,
                bitrate: rung.bitrate,
                peak_bitrate: rung.bitrate,
                vbv_bits: u32::try_from(u64::from(rung.bitrate) * u64::from(VBV_MS) / 1000)
                    .unwrap_or(u32::MAX),
            });
        }
        if video.is_empty() && tracks.epoch.audio.is_none() {
            return Ok(());
        }
        let description =
            Tracks { video, frame_rate: tracks.epoch.frame_rate, audio: tracks.epoch.audio.clone() };
        let cut = tracks.epoch.cut.clone();
        let held = tracks.held.take().unwrap_or_default();
        match std::mem::replace(&mut self.output, Destination::Closed) {
            Destination::Session(session) => {
                self.output = Destination::Cutter(Box::new(Cutter::new(session, cut, description)?));
            }
            Destination::Cutter(mut cutter) => {
                cutter.restart(cut, description)?;
                self.output = Destination::Cutter(cutter);
            }
            Destination::Closed => return Ok(()),
        }
        for held in held {
            self.hold_or_cut(held)?;
        }
        Ok(())
    }

    fn hold_or_cut(&mut self, item: Held) -> Result<(), cut::Error> {
        let Some(tracks) = &mut self.tracks else { return Ok(()) };
        if let Some(held) = &mut tracks.held {
            if held.len() >= MOST_HELD {
                held.pop_front();
            }
            held.push_back(item);
            return Ok(());
        }
        let Destination::Cutter(cutter) = &mut self.output else { return Ok(()) };
        // The pipelines' clock starts with the first tag, the cutter's with the first picture.
        let first =
            tracks.epoch.controls.as_ref().filter(|_| !tracks.epoch.rungs.is_empty()).and_then(|c| c.first());
        let first = first.unwrap_or(0);
        let (num, den) = tracks.epoch.frame_rate;
        let shift = i64::try_from(FrameRate::new(num, den).time_of(first)).unwrap_or(0);
        let done = match item {
            Held::Video(rung, frame) => match tracks.epoch.rungs.get(rung) {
                Some(rung) => cutter.video(&rung.name, frame),
                None => Ok(()),
            },
            Held::Source(mut frame) => match (&tracks.epoch.source, frame.index.checked_sub(first)) {
                (Some(source), Some(index)) => {
                    frame.index = index;
                    cutter.video(&source.name, frame)
                }
                _ => Ok(()),
            },
            Held::Audio(frame) => cutter.audio(AudioFrame { pts_ns: frame.pts_ns - shift, data: frame.data }),
            Held::Arrived { media_ns, wall } => {
                let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                cutter.arrived(media_ns - shift, u64::try_from(wall).unwrap_or(u64::MAX));
                Ok(())
            }
        };
        let resync = self.report.events(&cutter.take_events());
        if resync && let Some(controls) = &tracks.epoch.controls {
            controls.resync();
        }
        match done {
            // One frame is lost; what is wrong with it is counted.
            Err(error @ (cut::Error::Order { .. } | cut::Error::UnknownRung(_))) => {
                log::warn!(error:%; "a frame was left out");
                Ok(())
            }
            done => done,
        }
    }

    fn write_status(&mut self, state: WorkerState) -> Result<(), cut::Error> {
        if let Some(tracks) = &self.tracks {
            self.report.behind(tracks.monitor.is_behind());
        }
        let stats = match &self.output {
            Destination::Cutter(cutter) => Some(cutter.stats()),
            Destination::Session(_) | Destination::Closed => None,
        };
        let status = self.report.status(state, stats);
        match self.files.write_status(&status) {
            // A full disk ends the session where media is written, not here.
            Err(error) if !matches!(error, nodi_spool::Error::NoSpace { .. }) => {
                log::warn!(error:%; "status not written");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, reason: EndReason) -> Result<(), Error> {
        self.begin(true)?;
        if let Destination::Cutter(cutter) = std::mem::replace(&mut self.output, Destination::Closed) {
            let stats = cutter.finish(reason)?;
            log::info!(segments = stats.segments, media_ns = stats.media_ns, reason:%; "session finished");
        }
        Ok(())
    }
}

/// Whether a rung's key frames are where they should not be, or are not where they should be.
pub(super) fn disagrees(event: &Event) -> bool {
    matches!(event, Event::MissedKeyFrame { .. } | Event::UnexpectedKeyFrame { .. })
}
