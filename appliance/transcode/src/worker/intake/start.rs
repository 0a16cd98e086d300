//! Starts encoding: what the gate let through, the plan for it, and the pipelines.

use std::time::Duration;

use bytes::Bytes;
use nodi_flv::{aac, avc};

use super::{AudioPath, Encoding, Ended, Intake, Stage, costs, new_gate};
use crate::backend::{self, Backend, Detected};
use crate::config::BackendChoice;
use crate::cut::{AudioTrack, Boundaries, CutConfig, VideoCodec, VideoTrack};
use crate::pipeline::{self, AudioEncoder, Running};
use crate::timeline::Stream;
use crate::worker::Error;
use crate::worker::gate::Gate;
use crate::worker::passthrough::{self, Passthrough};
use crate::worker::plan::{self, Audio, Planned};
use crate::worker::writer::{Epoch, Message};

/// What re-encoded audio is: AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3 1.6.2.1).
const ENCODED_AUDIO: [u8; 2] = [0x11, 0x90];

/// Assumed rate of passed-through audio whose publisher does not say, in bit/s.
const USUAL_AUDIO_BITRATE: u32 = 160_000;

impl Intake<'_> {
    /// Starts encoding what the gate has let through.
    pub(super) fn begin(&mut self) -> Result<(), Ended> {
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

    pub(super) fn refused(&mut self, refusal: &passthrough::Refusal) -> Result<(), Ended> {
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
        self.caught_up = false;
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
            self.costs = costs(self.config, &self.detected).filter(|_| self.live);
            self.send(Message::Software(format!("the hardware encoder does not start: {error}")))?;
        }
        self.recover(error)
    }
}
