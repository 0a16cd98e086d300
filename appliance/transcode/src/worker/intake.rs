//! Takes the publisher's tags, decides what is encoded of them, and feeds the pipelines.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use nodi_flv::{Kind, Metadata, SessionFacts, Tag, aac, amf0, avc, video};
use nodi_protocol::SessionId;
use nodi_spool::EndReason;

use super::gate::{Gate, Headers, Media};
use super::passthrough::{self, Passthrough};
use super::plan::{self, Audio, Planned};
use super::reader::{Arrived, Item, Nothing, Tags};
use super::writer::{self, Epoch, Message};
use super::{Error, Stop};
use crate::backend::{self, Backend, Detected};
use crate::capacity::Costs;
use crate::capacity::calibrate;
use crate::config::{BackendChoice, Config, Pace};
use crate::cut::{AudioFrame, AudioTrack, Boundaries, CutConfig, VideoCodec, VideoTrack};
use crate::pipeline::run::{Compressed, Sink};
use crate::pipeline::{self, AudioEncoder, Running};
use crate::timeline::{Stream, Timeline};

/// How often a quiet input is looked at for a stop, a failed pipeline, or a start that was waited for.
const TICK: Duration = Duration::from_millis(100);

/// A pipeline that takes or gives nothing for this long has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Live pictures that waited for the decoder for this long are skipped up to the next key frame.
const SKIP_ABOVE: Duration = Duration::from_secs(2);

/// Pipelines that may fail within [`FAILURE_WINDOW`] before the worker gives up.
const MOST_FAILURES: usize = 5;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// How often the cutter is told when media arrived.
const ARRIVAL_INTERVAL_MS: i64 = 200;

/// What re-encoded audio is: AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3 1.6.2.1).
const ENCODED_AUDIO: [u8; 2] = [0x11, 0x90];

/// Assumed rate of passed-through audio whose publisher does not say, in bit/s.
const USUAL_AUDIO_BITRATE: u32 = 160_000;

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
            self.tag(first)?;
        }
        loop {
            if stop.is_asked() {
                log::info!("asked to stop: finishing");
                return Ok(());
            }
            match tags.next(TICK) {
                Ok(Item::Tag(arrived)) => self.tag(arrived)?,
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

    fn tag(&mut self, arrived: Arrived) -> Result<(), Ended> {
        let Tag { kind, timestamp_ms, data } = &arrived.tag;
        match kind {
            Kind::Script => {
                // Data tags of other kinds, and damaged ones, say nothing that has to be known.
                if let Ok(Some(metadata)) = Metadata::from_script(data, amf0::Limits::default()) {
                    self.headers.metadata = Some(metadata);
                }
                Ok(())
            }
            Kind::Video => self.video_tag(*timestamp_ms, data, &arrived),
            Kind::Audio => self.audio_tag(*timestamp_ms, data, &arrived),
        }
    }

    fn video_tag(&mut self, timestamp: u32, data: &Bytes, arrived: &Arrived) -> Result<(), Ended> {
        let packet = match video::parse(data) {
            Ok(packet) => packet,
            Err(error) => return self.damaged(&error),
        };
        if packet.codec != video::Codec::Avc {
            let text = format!("{} video is not supported: send H.264", packet.codec);
            return Err(Ended::Failed(Error::BadInput(text)));
        }
        match packet.body {
            video::Body::SequenceHeader(record) => self.video_header(record, arrived.at),
            video::Body::Frame { keyframe, composition_time_ms, data } => {
                let Some((_, config)) = &self.headers.video else { return Ok(()) };
                if let Some(Err(error)) = avc::NalUnits::new(&data, config.length_size).find(Result::is_err) {
                    return self.damaged(&error);
                }
                let dts = self.place(Stream::Video, timestamp)?;
                let media = Media {
                    stream: Stream::Video,
                    dts,
                    pts: dts + i64::from(composition_time_ms),
                    keyframe,
                    data,
                    at: arrived.at,
                    wall: arrived.wall,
                };
                self.media(media)
            }
            video::Body::EndOfSequence
            | video::Body::Metadata(_)
            | video::Body::Command
            | video::Body::Multitrack(_) => Ok(()),
        }
    }

    fn audio_tag(&mut self, timestamp: u32, data: &Bytes, arrived: &Arrived) -> Result<(), Ended> {
        use nodi_flv::audio;
        let packet = match audio::parse(data) {
            Ok(packet) => packet,
            Err(error) => return self.damaged(&error),
        };
        if packet.codec != audio::Codec::Aac {
            let text = format!("{} audio is not supported: send AAC", packet.codec);
            return Err(Ended::Failed(Error::BadInput(text)));
        }
        match packet.body {
            audio::Body::SequenceHeader(record) => self.audio_header(record, arrived.at),
            audio::Body::Frame(data) => {
                if self.headers.audio.is_none() || data.is_empty() {
                    return Ok(());
                }
                let dts = self.place(Stream::Audio, timestamp)?;
                let (at, wall) = (arrived.at, arrived.wall);
                self.media(Media { stream: Stream::Audio, dts, pts: dts, keyframe: true, data, at, wall })
            }
            audio::Body::EndOfSequence | audio::Body::ChannelLayout(_) | audio::Body::Multitrack(_) => Ok(()),
        }
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> Result<(), Ended> {
        log::warn!(error:%; "left out a damaged tag");
        self.warn("damaged_tags", format!("the publisher sends damaged data: {error}"))
    }

    fn place(&mut self, stream: Stream, timestamp: u32) -> Result<i64, Ended> {
        let placed = self.timeline.place(stream, timestamp);
        if let Some(jump) = placed.jump {
            log::warn!(jump_ms = jump, stream:? = stream; "the publisher's clock jumped: the timeline goes on");
            self.warn("timestamps_jumped", format!("the publisher's timestamps jumped by {jump} ms"))?;
        }
        Ok(placed.ms)
    }

    fn video_header(&mut self, record: Bytes, at: Instant) -> Result<(), Ended> {
        if self.headers.video.as_ref().is_some_and(|(known, _)| *known == record) {
            return Ok(());
        }
        let config = match avc::DecoderConfig::parse(&record) {
            Ok(config) => config,
            Err(error) => return self.damaged(&error),
        };
        let (width, height) = (config.stream.width, config.stream.height);
        log::info!(codecs = config.codec_string(), width, height; "video");
        self.headers.video = Some((record, config));
        self.header(Stream::Video, at)
    }

    fn audio_header(&mut self, record: Bytes, at: Instant) -> Result<(), Ended> {
        if record.is_empty() || self.headers.audio.as_ref().is_some_and(|(known, _)| *known == record) {
            return Ok(());
        }
        let config = match aac::Config::parse(&record) {
            Ok(config) => config,
            Err(error) => return self.damaged(&error),
        };
        let (rate, channels) = (config.sample_rate, config.channels);
        log::info!(codecs = config.codec_string(), rate, channels; "audio");
        self.headers.audio = Some((record, config));
        self.header(Stream::Audio, at)
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

    /// Starts encoding what the gate has let through.
    fn begin(&mut self) -> Result<(), Ended> {
        let restart = new_gate(self.config, self.passthrough);
        let Stage::Waiting(mut gate) = std::mem::replace(&mut self.stage, Stage::Waiting(restart)) else {
            return Ok(());
        };
        let video = self.headers.video.clone();
        let planned = match &video {
            Some((_, stream)) => Some(plan::video(
                self.config,
                &gate,
                &self.headers,
                stream,
                &self.detected,
                self.costs.as_ref(),
            )),
            None => None,
        };
        let mut planned = planned;
        let mut source = None;
        if let (Some(planned), Some((record, stream)), true) = (&mut planned, &video, self.passthrough) {
            source = self.pass(&gate, planned, record, stream)?;
        }
        let held = gate.release(source.is_some());
        let origin = held
            .iter()
            .find(|media| video.is_none() || media.stream == Stream::Video)
            .map_or(0, |media| media.pts);
        if let Err(error) = self.start(planned, source, origin) {
            return match error {
                Ended::Failed(Error::Pipeline(error)) => self.start_failed(error),
                other => Err(other),
            };
        }
        for media in held {
            self.media(media)?;
        }
        Ok(())
    }

    /// Whether the source becomes a rung; then those of its size are not encoded.
    fn pass(
        &mut self,
        gate: &Gate,
        planned: &mut Planned,
        record: &Bytes,
        stream: &avc::DecoderConfig,
    ) -> Result<Option<VideoTrack>, Ended> {
        let checked = if matches!(planned.plan.backend, Backend::Jetson(_)) {
            Err(passthrough::Refusal::BackEnd)
        } else {
            passthrough::check(gate, stream, self.config.segment())
        };
        if let Err(refusal) = checked {
            self.refused(&refusal)?;
            return Ok(None);
        }
        let picture = planned.plan.source.picture;
        planned.plan.ladder.rungs.retain(|rung| (rung.width, rung.height) != (picture.width, picture.height));
        let measured = gate.key_interval().and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        let bits = gate.gop_bytes() as u64 * 8;
        let bitrate = measured.map_or(0, |ms| u32::try_from(bits * 1000 / ms).unwrap_or(u32::MAX));
        let Ok(name) = passthrough::NAME.parse() else { return Ok(None) };
        Ok(Some(VideoTrack {
            name,
            codec: VideoCodec::Avc(record.clone()),
            width: stream.stream.width,
            height: stream.stream.height,
            bitrate,
            // The publisher's encoder is not ours to bound; what publishers are set to seldom doubles.
            peak_bitrate: bitrate.saturating_mul(2),
            vbv_bits: 0,
        }))
    }

    fn refused(&mut self, refusal: &passthrough::Refusal) -> Result<(), Ended> {
        self.passthrough = false;
        log::warn!(reason:% = refusal; "the source is not passed through");
        self.warn("no_passthrough", format!("the source is encoded again, since {refusal}"))
    }

    fn start(
        &mut self,
        planned: Option<Planned>,
        source: Option<VideoTrack>,
        origin: i64,
    ) -> Result<(), Ended> {
        let config = self.config;
        let segment = config.segment();
        let mut cut =
            CutConfig { segment_ms: config.segment_ms, part_ms: config.part_ms, ..CutConfig::default() };
        if let Some(source) = &source {
            let (shortest, longest) = passthrough::bounds(segment);
            let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            cut.boundaries = Boundaries::Source {
                rung: source.name.clone(),
                min_segment_ms: ms(shortest),
                max_segment_ms: ms(longest),
            };
        }
        let mut epoch = Epoch {
            controls: None,
            rungs: Vec::new(),
            source,
            frame_rate: (0, 0),
            audio: None,
            cut,
            status: plan::source_status(&self.headers, planned.as_ref().map(|planned| &planned.plan)),
            given_up: Vec::new(),
        };
        let mut encoding = Encoding { origin, video: None, audio: AudioPath::None, passthrough: None };
        if let (Some(Planned { plan, given_up }), Some((record, _))) = (planned, &self.headers.video) {
            let rate = plan.ladder.frame_rate;
            let names: Vec<&str> = plan.ladder.rungs.iter().map(|rung| rung.name.as_str()).collect();
            log::info!(ladder = names.join(" "), fps:% = rate, backend:% = plan.backend; "encoding");
            let video = Running::start(&plan, record, self.live, epoch.source.is_some(), &self.sink)?;
            epoch.controls = video.controls().cloned();
            epoch.frame_rate = (rate.num, rate.den);
            epoch.given_up = given_up;
            epoch.status.fps = plan.source.picture.frame_rate.fps();
            epoch.rungs = plan.ladder.rungs;
            encoding.passthrough = epoch.source.is_some().then(|| Passthrough::new(rate, segment));
            encoding.video = Some(video);
        }
        if let Some((record, aac)) = &self.headers.audio {
            let (track, path) = self.audio_path(record, aac)?;
            (epoch.audio, encoding.audio) = (Some(track), path);
        }
        self.send(Message::Epoch(Box::new(epoch)))?;
        self.arrived = i64::MIN;
        self.skipping = false;
        self.stage = Stage::Running(Box::new(encoding));
        Ok(())
    }

    fn audio_path(&self, record: &Bytes, aac: &aac::Config) -> Result<(AudioTrack, AudioPath), Ended> {
        let name = "audio"
            .parse()
            .map_err(|error: nodi_protocol::id::Error| Ended::Failed(Error::BadInput(error.to_string())))?;
        let announced = self.headers.metadata.as_ref().and_then(|metadata| metadata.audio_bitrate);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what AAC can be"
        )]
        let bitrate = announced.map_or(USUAL_AUDIO_BITRATE, |kbit| (kbit * 1000.0).clamp(16e3, 640e3) as u32);
        Ok(match plan::audio(aac) {
            Audio::Pass => {
                let track = AudioTrack {
                    name,
                    config: record.clone(),
                    sample_rate: aac.sample_rate,
                    channels: u32::from(aac.channels),
                    frame_len: 1024,
                    bitrate,
                };
                (track, AudioPath::Pass)
            }
            Audio::Encode => {
                log::info!(codecs = aac.codec_string(), rate = aac.sample_rate, channels = aac.channels; "audio is encoded again");
                let encoder = AudioEncoder::start(record, self.config.audio_bitrate, &self.sink)?;
                let track = AudioTrack {
                    name,
                    config: Bytes::from_static(&ENCODED_AUDIO),
                    sample_rate: 48_000,
                    channels: 2,
                    frame_len: 1024,
                    bitrate: self.config.audio_bitrate,
                };
                (track, AudioPath::Encode(encoder))
            }
        })
    }

    fn start_failed(&mut self, error: pipeline::run::Error) -> Result<(), Ended> {
        if matches!(self.detected, Detected::Jetson(_)) && self.config.backend == BackendChoice::Auto {
            log::warn!(error:%; "the hardware encoder does not start: encoding in software");
            self.detected =
                backend::detect(BackendChoice::Software).map_err(|error| Ended::Failed(error.into()))?;
            self.send(Message::Software(format!("the hardware encoder does not start: {error}")))?;
        }
        self.recover(error)
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
                    let late = media.at.elapsed() > SKIP_ABOVE;
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
