//! Takes the publisher's tags, decides what is encoded of them, and feeds the pipelines.

mod start;
mod tags;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nodi_flv::SessionFacts;
use nodi_protocol::SessionId;
use nodi_spool::EndReason;

use super::gate::{Gate, Headers, Media};
use super::passthrough::{self, Passthrough};
use super::reader::{Arrived, Item, Nothing, Tags};
use super::writer::{self, Message};
use super::{Error, Stop};
use crate::backend::Detected;
use crate::capacity::{Costs, calibrate};
use crate::config::{Config, Pace};
use crate::cut::AudioFrame;
use crate::pipeline::run::{Compressed, Sink};
use crate::pipeline::{self, AudioEncoder, Running};
use crate::timeline::{Stream, Timeline};

/// How often a quiet input is looked at for a stop, a failed pipeline, or a start that was waited for.
const TICK: Duration = Duration::from_millis(100);

/// A pipeline that takes or gives nothing for this long has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Live pictures that waited for the decoder for this long are skipped up to the next key frame.
const SKIP_ABOVE: Duration = Duration::from_secs(2);

/// The same at a start, where pictures have waited for codec headers and are decoded faster than they came.
const SKIP_ABOVE_AT_START: Duration = Duration::from_secs(8);

/// Pipelines that may fail within [`FAILURE_WINDOW`] before the worker gives up.
const MOST_FAILURES: usize = 5;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// How often the cutter is told when media arrived.
const ARRIVAL_INTERVAL_MS: i64 = 200;

/// Works until the input ends or `stop` is asked.
pub(super) fn run(
    config: &Config,
    detected: Detected,
    costs: Option<Costs>,
    tags: &Tags,
    stop: &Stop,
) -> Result<(), Error> {
    let Some((facts, live, first)) = session(config, tags, stop)? else { return Ok(()) };
    match &detected {
        Detected::Jetson(_) => log::info!(backend = "jetson"; "encoding in hardware"),
        Detected::Software { instead: None } => log::info!(backend = "software"; "encoding in software"),
        Detected::Software { instead: Some(reason) } => {
            log::warn!(backend = "software", reason:%; "no hardware encoder: encoding in software");
        }
    }
    let (sender, writer) = writer::spawn(config, facts, &detected, live).map_err(Error::Thread)?;
    let mut intake = Intake {
        config,
        // A file may take as long as it takes.
        costs: costs.filter(|_| live),
        live,
        timeline: Timeline::default(),
        headers: Headers::default(),
        stage: Stage::Waiting(new_gate(config, true)),
        passthrough: config.passthrough,
        skipping: false,
        caught_up: false,
        failures: VecDeque::new(),
        arrived: i64::MIN,
        sink: {
            let sender = sender.clone();
            Arc::new(move |output| sender.send(Message::Output(output)).is_ok())
        },
        detected,
        sender,
    };
    let worked = intake.work(tags, stop, first);
    intake.finish();
    drop(intake);
    let written = writer.join().unwrap_or(Err(Error::Panic("writer")));
    // A writer that failed is the cause of an intake that could not go on.
    match (written, worked) {
        (Err(error), _) | (Ok(()), Err(Ended::Failed(error))) => Err(error),
        (Ok(()), Ok(()) | Err(Ended::Writer)) => Ok(()),
    }
}

/// What this machine carries; measured if that is not known yet and matters.
pub(super) fn costs(config: &Config, detected: &Detected) -> Option<Costs> {
    if config.pace == Pace::File || matches!(detected, Detected::Jetson(_)) {
        return None;
    }
    match calibrate::costs(&config.state) {
        Ok(costs) => Some(costs),
        Err(error) => {
            log::warn!(error:%; "no calibration: taking the ladder as it is");
            None
        }
    }
}

/// Why the intake ends before the input does.
#[derive(Debug)]
enum Ended {
    /// The writer is gone; it knows why.
    Writer,
    Failed(Error),
}

impl From<pipeline::run::Error> for Ended {
    fn from(error: pipeline::run::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The session's facts, whether it is live, and the first tag if it carries something else.
fn session(
    config: &Config,
    tags: &Tags,
    stop: &Stop,
) -> Result<Option<(SessionFacts, bool, Option<Arrived>)>, Error> {
    let first = loop {
        match tags.next(TICK) {
            Ok(Item::Tag(arrived)) => break arrived,
            Ok(Item::End(Ok(()))) | Err(Nothing::More) => return Ok(None),
            Ok(Item::End(Err(error))) => return Err(Error::BadInput(error.to_string())),
            Err(Nothing::Yet) if stop.is_asked() => return Ok(None),
            Err(Nothing::Yet) => {}
        }
    };
    let facts = SessionFacts::from_tag(&first.tag).map_err(|error| Error::BadInput(error.to_string()))?;
    let live = match config.pace {
        Pace::Auto => facts.is_some(),
        Pace::Live => true,
        Pace::File => false,
    };
    if let Some(facts) = facts {
        return Ok(Some((facts, live, None)));
    }
    let unix_ms = first.wall.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let random = std::hash::RandomState::new().build_hasher().finish();
    let facts = SessionFacts {
        channel: "test"
            .parse()
            .map_err(|error: nodi_protocol::id::Error| Error::BadInput(error.to_string()))?,
        session: SessionId::new(u64::try_from(unix_ms).unwrap_or(0), u128::from(random)),
        worker: 0,
        encoder: String::new(),
    };
    Ok(Some((facts, live, Some(first))))
}

fn new_gate(config: &Config, watch_gop: bool) -> Gate {
    let (_, longest) = passthrough::bounds(config.segment());
    let watch = if config.passthrough && watch_gop { longest } else { Duration::ZERO };
    Gate::new(config.start_wait(), watch)
}

struct Intake<'a> {
    config: &'a Config,
    detected: Detected,
    costs: Option<Costs>,
    live: bool,
    timeline: Timeline,
    headers: Headers,
    stage: Stage,
    /// The source may still become a rung itself.
    passthrough: bool,
    /// The decoder is too slow: pictures are left out up to a key frame.
    skipping: bool,
    /// Pictures have come to the decoder in time since the start.
    caught_up: bool,
    failures: VecDeque<Instant>,
    arrived: i64,
    sink: Sink,
    sender: SyncSender<Message>,
}

enum Stage {
    Waiting(Gate),
    Running(Box<Encoding>),
}

/// What runs between two changes of the source.
struct Encoding {
    /// Media time that is the pipelines' zero, in ms.
    origin: i64,
    video: Option<Running>,
    audio: AudioPath,
    passthrough: Option<Passthrough>,
}

enum AudioPath {
    None,
    Pass,
    Encode(AudioEncoder),
}

impl Intake<'_> {
    fn work(&mut self, tags: &Tags, stop: &Stop, first: Option<Arrived>) -> Result<(), Ended> {
        if let Some(first) = first {
            self.tag(&first)?;
        }
        loop {
            if stop.is_asked() {
                log::info!("asked to stop: finishing");
                return Ok(());
            }
            match tags.next(TICK) {
                Ok(Item::Tag(arrived)) => self.tag(&arrived)?,
                Ok(Item::End(Ok(()))) | Err(Nothing::More) => return Ok(()),
                Ok(Item::End(Err(error @ nodi_flv::tag::Error::Truncated { .. }))) => {
                    // How every connection that breaks ends.
                    log::info!("{error}");
                    return Ok(());
                }
                Ok(Item::End(Err(error))) => return Err(Ended::Failed(Error::BadInput(error.to_string()))),
                Err(Nothing::Yet) => self.tick()?,
            }
        }
    }

    fn send(&self, message: Message) -> Result<(), Ended> {
        self.sender.send(message).map_err(|_| Ended::Writer)
    }

    fn warn(&self, code: &'static str, text: String) -> Result<(), Ended> {
        self.send(Message::Warn { code, text })
    }

    fn tick(&mut self) -> Result<(), Ended> {
        let failed = match &self.stage {
            Stage::Waiting(gate) if gate.is_open(&self.headers, Instant::now()) => return self.begin(),
            Stage::Waiting(_) => None,
            Stage::Running(encoding) => encoding.video.as_ref().and_then(|video| video.check().err()),
        };
        match failed {
            Some(error) => self.recover(error),
            None => Ok(()),
        }
    }

    /// New headers mean new initialisation sections: what runs is finished, and the gate is waited at again.
    fn header(&mut self, stream: Stream, at: Instant) -> Result<(), Ended> {
        if let Stage::Waiting(gate) = &mut self.stage {
            gate.forget(stream);
            gate.touch(at);
            return Ok(());
        }
        log::info!(stream:?; "the source changed: starting new tracks");
        self.passthrough = self.config.passthrough;
        self.drain()
    }

    /// Lets the pipelines give what they have, and waits for a new start.
    fn drain(&mut self) -> Result<(), Ended> {
        let gate = Stage::Waiting(new_gate(self.config, self.passthrough));
        let Stage::Running(encoding) = std::mem::replace(&mut self.stage, gate) else { return Ok(()) };
        let mut encoding = *encoding;
        let last = encoding.passthrough.as_mut().and_then(Passthrough::finish);
        let video = encoding.video.map_or(Ok(()), |video| video.finish(PATIENCE));
        let audio = match encoding.audio {
            AudioPath::Encode(encoder) => encoder.finish(PATIENCE),
            AudioPath::None | AudioPath::Pass => Ok(()),
        };
        for error in [video.err(), audio.err()].into_iter().flatten() {
            log::warn!(error:%; "a pipeline did not finish");
        }
        if let Some(last) = last {
            self.send(Message::Source(last))?;
        }
        self.send(Message::Drained)
    }

    fn media(&mut self, media: Media) -> Result<(), Ended> {
        match &mut self.stage {
            Stage::Waiting(gate) => {
                let at = media.at;
                gate.hold(media);
                let now = if self.live { Instant::now() } else { at };
                if gate.is_open(&self.headers, now) { self.begin() } else { Ok(()) }
            }
            Stage::Running(_) => self.deliver(media),
        }
    }

    /// After a pipeline failed: a new one at the next key frame, unless that happens again and again.
    fn recover(&mut self, error: pipeline::run::Error) -> Result<(), Ended> {
        let now = Instant::now();
        self.failures.retain(|at| now.duration_since(*at) < FAILURE_WINDOW);
        self.failures.push_back(now);
        if self.failures.len() > MOST_FAILURES {
            return Err(error.into());
        }
        log::error!(error:%; "the pipeline failed: starting a new one at the next key frame");
        self.warn("pipeline_failed", format!("the encoder was started anew: {error}"))?;
        let gate = Stage::Waiting(new_gate(self.config, self.passthrough));
        // Stops what is left of it.
        drop(std::mem::replace(&mut self.stage, gate));
        self.send(Message::Drained)
    }

    fn deliver(&mut self, media: Media) -> Result<(), Ended> {
        let Stage::Running(encoding) = &mut self.stage else { return Ok(()) };
        let time = (media.pts - encoding.origin) * 1_000_000;
        let decode_time = u64::try_from((media.dts - encoding.origin) * 1_000_000).ok();
        let leading = media.stream == Stream::Video || encoding.video.is_none();
        if leading && media.dts >= self.arrived.saturating_add(ARRIVAL_INTERVAL_MS) {
            self.arrived = media.dts;
            let wall = media.wall;
            self.sender.send(Message::Arrived { media_ns: time, wall }).map_err(|_| Ended::Writer)?;
        }
        let compressed = |pts_ns: u64, media: &Media| Compressed {
            pts_ns,
            dts_ns: decode_time,
            keyframe: media.keyframe,
            data: media.data.clone(),
            arrival: media.at,
        };
        let pushed = match media.stream {
            Stream::Audio => match (&encoding.audio, u64::try_from(time)) {
                (AudioPath::Pass, _) => {
                    let frame = AudioFrame { pts_ns: time, data: media.data };
                    return self.send(Message::Audio(frame));
                }
                (AudioPath::Encode(encoder), Ok(pts)) => encoder.push(compressed(pts, &media), PATIENCE),
                // Before the first picture nothing is shown.
                (AudioPath::Encode(_), Err(_)) | (AudioPath::None, _) => Ok(()),
            },
            Stream::Video => {
                // Pictures that are shown before the first key frame refer to ones that were never sent.
                let (Ok(pts), Some(video)) = (u64::try_from(time), &encoding.video) else { return Ok(()) };
                if let Some(passthrough) = &mut encoding.passthrough {
                    match passthrough.take(&media, pts, self.config.segment()) {
                        Ok(step) => {
                            if let (Some(index), Some(controls)) = (step.boundary, video.controls()) {
                                controls.force_key(index);
                            }
                            if let Some(frame) = step.frame {
                                self.sender.send(Message::Source(frame)).map_err(|_| Ended::Writer)?;
                            }
                        }
                        Err(refusal) => {
                            self.refused(&refusal)?;
                            self.drain()?;
                            return self.media(media);
                        }
                    }
                }
                if self.live {
                    let waited = media.at.elapsed();
                    self.caught_up |= waited < SKIP_ABOVE / 4;
                    let late = waited > if self.caught_up { SKIP_ABOVE } else { SKIP_ABOVE_AT_START };
                    if late && !self.skipping {
                        log::warn!("decoding is too slow: leaving out pictures up to a key frame");
                    }
                    self.skipping = late || (self.skipping && !media.keyframe);
                    if self.skipping {
                        let text =
                            "this machine cannot decode the source in time: send fewer or smaller pictures";
                        return self.warn("decoder_overload", text.to_owned());
                    }
                }
                video.push(compressed(pts, &media), PATIENCE)
            }
        };
        match pushed {
            Ok(()) => Ok(()),
            Err(error) => self.recover(error),
        }
    }

    /// The input is over: everything that was taken is encoded and written.
    fn finish(&mut self) {
        if let Stage::Waiting(gate) = &self.stage
            && gate.has_media(&self.headers)
            && self.begin().is_err()
        {
            log::warn!("the end of the stream could not be encoded");
        }
        // The writer's own error is told when it is joined.
        let _ = self.drain();
        let _ = self.send(Message::Finish(EndReason::Eof));
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
