//! Reads what the publisher's tags carry: metadata, codec headers, frames on the media timeline.

use std::time::Instant;

use bytes::Bytes;
use nodi_flv::{Kind, Metadata, Tag, aac, amf0, audio, avc, video};

use super::{Arrived, Ended, Intake};
use crate::timeline::Stream;
use crate::worker::Error;
use crate::worker::gate::Media;

impl Intake<'_> {
    pub(super) fn tag(&mut self, arrived: &Arrived) -> Result<(), Ended> {
        let Tag { kind, timestamp_ms, data } = &arrived.tag;
        match kind {
            Kind::Script => {
                // Data tags of other kinds, and damaged ones, say nothing that has to be known.
                if let Ok(Some(metadata)) = Metadata::from_script(data, amf0::Limits::default()) {
                    self.headers.metadata = Some(metadata);
                }
                Ok(())
            }
            Kind::Video => self.video_tag(*timestamp_ms, data, arrived),
            Kind::Audio => self.audio_tag(*timestamp_ms, data, arrived),
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
}
