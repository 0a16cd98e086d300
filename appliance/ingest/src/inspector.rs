//! Looks at every tag of a stream: refuses what this build does not take, measures, and tells what each tag
//! means to a worker that joins. Pure; time is passed in, counted from the session's start.

use std::sync::Arc;
use std::time::Duration;

use nodi_flv::avc::DecoderConfig;
use nodi_flv::{Kind, Metadata, Tag, aac, amf0, audio, video};

use crate::config::Limits;
use crate::ending::Ending;
use crate::handover::gop::Class;
use crate::health::{AudioFormat, Meter, Snapshot, VideoFormat, VideoFrame, Warning, warning};

/// What encoders announce beyond this is a time base, not a frame rate.
const HIGHEST_PLAUSIBLE_FPS: f64 = 240.0;
/// A pixel rate that is measured varies by jitter; a limit is exceeded beyond this share of it.
const MEASUREMENT_TOLERANCE: f64 = 1.1;
/// Metadata of encoders is around 500 bytes.
const LARGEST_SCRIPT: usize = 64 << 10;

pub struct Inspector {
    limits: Arc<Limits>,
    meter: Meter,
    metadata: Metadata,
    /// Size in pixels, and frames per second as the bit stream announces them.
    picture: Option<(u32, u32, Option<f64>)>,
    /// Tags that make no sense and were left out.
    malformed: u64,
    last_media: Duration,
}

impl Inspector {
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            meter: Meter::default(),
            metadata: Metadata::default(),
            picture: None,
            malformed: 0,
            last_media: Duration::ZERO,
        }
    }

    /// What the tag means; `None`: it is left out.
    ///
    /// # Errors
    /// When the stream has to end for it.
    pub fn inspect(&mut self, tag: &Tag, now: Duration) -> Result<Option<Class>, Ending> {
        // Some encoders send empty messages when they have nothing to say.
        if tag.data.is_empty() {
            return Ok(None);
        }
        match tag.kind {
            Kind::Video => {
                self.last_media = now;
                self.video(tag, now)
            }
            Kind::Audio => {
                self.last_media = now;
                self.audio(tag, now)
            }
            Kind::Script => Ok(self.script(tag)),
        }
    }

    /// New limits; [`tick`](Self::tick) ends a stream that breaks them.
    pub fn set_limits(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
    }

    /// To be called about once a second.
    ///
    /// # Errors
    /// When the stream exceeds what was announced and allowed, or sends nothing.
    pub fn tick(&mut self, now: Duration) -> Result<(), Ending> {
        let limit = self.limits.media_idle();
        if now.saturating_sub(self.last_media) >= limit {
            return Err(Ending::MediaIdle(limit));
        }
        if let (Some((width, height, _)), Some(fps)) = (self.picture, self.meter.measured_fps(now)) {
            self.check_pixel_rate(width, height, fps / MEASUREMENT_TOLERANCE)?;
        }
        Ok(())
    }

    pub fn snapshot(&mut self, now: Duration) -> (Snapshot, Vec<Warning>) {
        let snapshot = self.meter.snapshot(now);
        let mut warnings = warning::warnings(&snapshot, self.limits.bitrate_bps);
        if self.malformed > 0 {
            let text =
                format!("{} messages made no sense and were left out: update your encoder", self.malformed);
            warnings.push(Warning::new("malformed", text));
        }
        (snapshot, warnings)
    }

    /// As the encoder names itself in its metadata.
    #[must_use]
    pub fn encoder(&self) -> Option<&str> {
        self.metadata.encoder.as_deref()
    }

    fn video(&mut self, tag: &Tag, now: Duration) -> Result<Option<Class>, Ending> {
        let Ok(packet) = video::parse(&tag.data) else {
            self.malformed += 1;
            return Ok(None);
        };
        if matches!(packet.body, video::Body::Command) {
            return Ok(None);
        }
        if packet.codec != video::Codec::Avc {
            return Err(codec(&packet.codec, four_cc(&tag.data, 0x80, 0x80), "H.264"));
        }
        match packet.body {
            video::Body::SequenceHeader(record) => {
                let config = DecoderConfig::parse(&record)
                    .map_err(|error| Ending::Configuration(error.to_string()))?;
                self.configure_video(&config)?;
                Ok(Some(Class::VideoHeader))
            }
            video::Body::Frame { keyframe, composition_time_ms, .. } => {
                let frame = VideoFrame {
                    dts_ms: tag.timestamp_ms,
                    composition_time_ms,
                    keyframe,
                    bytes: tag.data.len(),
                };
                self.meter.video_frame(frame, now);
                Ok(Some(if keyframe { Class::KeyFrame } else { Class::DeltaFrame }))
            }
            video::Body::Multitrack(_) => Err(Ending::Codec {
                codec: "several video tracks in one stream".into(),
                instead: "one track",
            }),
            // The worker goes by what follows.
            video::Body::EndOfSequence | video::Body::Metadata(_) | video::Body::Command => Ok(None),
        }
    }

    fn audio(&mut self, tag: &Tag, now: Duration) -> Result<Option<Class>, Ending> {
        let Ok(packet) = audio::parse(&tag.data) else {
            self.malformed += 1;
            return Ok(None);
        };
        if packet.codec != audio::Codec::Aac {
            return Err(codec(&packet.codec, four_cc(&tag.data, 0xf0, 0x90), "AAC"));
        }
        match packet.body {
            audio::Body::SequenceHeader(config) => {
                let config =
                    aac::Config::parse(&config).map_err(|error| Ending::Configuration(error.to_string()))?;
                self.meter.configure_audio(AudioFormat {
                    codec: "AAC",
                    profile: aac_profile(&config),
                    sample_rate: config.output_sample_rate(),
                    channels: config.output_channels().into(),
                });
                Ok(Some(Class::AudioHeader))
            }
            audio::Body::Frame(_) => {
                self.meter.audio_frame(tag.timestamp_ms, tag.data.len(), now);
                Ok(Some(Class::Audio))
            }
            audio::Body::Multitrack(_) => Err(Ending::Codec {
                codec: "several audio tracks in one stream".into(),
                instead: "one track",
            }),
            audio::Body::EndOfSequence | audio::Body::ChannelLayout(_) => Ok(None),
        }
    }

    fn script(&mut self, tag: &Tag) -> Option<Class> {
        if tag.data.len() > LARGEST_SCRIPT {
            self.malformed += 1;
            return None;
        }
        match Metadata::from_script(&tag.data, amf0::Limits::default()) {
            Ok(Some(metadata)) => {
                self.metadata = metadata;
                Some(Class::Metadata)
            }
            Ok(None) => Some(Class::Data),
            Err(_) => {
                self.malformed += 1;
                None
            }
        }
    }

    fn configure_video(&mut self, config: &DecoderConfig) -> Result<(), Ending> {
        let sps = &config.stream;
        let in_stream = sps
            .nominal_frame_rate()
            .map(|(frames, seconds)| f64::from(frames) / f64::from(seconds))
            .filter(|fps| *fps > 0.0 && *fps <= HIGHEST_PLAUSIBLE_FPS);
        let announced_fps =
            self.metadata.frame_rate.filter(|fps| *fps <= HIGHEST_PLAUSIBLE_FPS).or(in_stream);
        self.picture = Some((sps.width, sps.height, announced_fps));
        // Without a rate, one picture a second has to fit; the measured rate is looked at later.
        self.check_pixel_rate(sps.width, sps.height, announced_fps.unwrap_or(1.0))?;
        self.meter.configure_video(VideoFormat {
            codec: "H.264",
            profile: avc_profile(sps.profile, sps.compatibility),
            level: format!("{}.{}", sps.level / 10, sps.level % 10),
            width: sps.width,
            height: sps.height,
            announced_fps,
        });
        Ok(())
    }

    fn check_pixel_rate(&self, width: u32, height: u32, fps: f64) -> Result<(), Ending> {
        #[allow(clippy::cast_precision_loss, reason = "pixel rates stay far below 2^52")]
        let limit = self.limits.pixels_per_s as f64;
        if f64::from(width) * f64::from(height) * fps > limit {
            return Err(Ending::PixelRate { width, height, fps });
        }
        Ok(())
    }
}

/// Names the codec as people and as encoders call it: "HEVC (hvc1)".
fn codec(codec: &impl ToString, four_cc: Option<String>, instead: &'static str) -> Ending {
    let name = codec.to_string();
    let codec = match four_cc {
        Some(four_cc) if !name.contains(&four_cc) => format!("{name} ({four_cc})"),
        _ => name,
    };
    Ending::Codec { codec, instead }
}

/// The FourCC of an enhanced tag, if one is where it is without extensions.
fn four_cc(data: &[u8], mask: u8, enhanced: u8) -> Option<String> {
    let (head, rest) = data.split_first()?;
    let four_cc = rest.first_chunk::<4>()?;
    let plain = head & mask == enhanced && four_cc.iter().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| four_cc.iter().copied().map(char::from).collect())
}

fn avc_profile(profile: u8, compatibility: u8) -> String {
    let constrained = compatibility & 0x40 != 0;
    let name = match profile {
        66 if constrained => "Constrained Baseline",
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4 Predictive",
        other => return format!("profile {other}"),
    };
    name.to_owned()
}

fn aac_profile(config: &aac::Config) -> String {
    let name = match config.object_type {
        _ if config.ps => "HE-AAC v2",
        _ if config.sbr_sample_rate.is_some() => "HE-AAC",
        1 => "Main",
        2 => "LC",
        3 => "SSR",
        4 => "LTP",
        other => return format!("object type {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn tag(kind: Kind, data: &'static [u8]) -> Tag {
        Tag { kind, timestamp_ms: 0, data: Bytes::from_static(data) }
    }

    fn inspect(kind: Kind, data: &'static [u8]) -> Result<Option<Class>, String> {
        Inspector::new(Arc::default())
            .inspect(&tag(kind, data), Duration::ZERO)
            .map_err(|ending| ending.to_string())
    }

    #[test]
    fn other_codecs_are_refused_by_name() {
        for (kind, data, text) in [
            (
                Kind::Video,
                &b"\x90hvc1x"[..],
                "HEVC (hvc1) is not supported yet: choose H.264 in your encoder",
            ),
            (Kind::Video, b"\x91av01x", "AV1 (av01) is not supported yet: choose H.264 in your encoder"),
            (Kind::Video, b"\x1c\0\0\0\0x", "HEVC is not supported yet: choose H.264 in your encoder"),
            (Kind::Audio, b"\x2fx", "MP3 is not supported yet: choose AAC in your encoder"),
            (Kind::Audio, b"\x90Opusx", "Opus is not supported yet: choose AAC in your encoder"),
            (
                Kind::Video,
                b"\x96\x00avc1x",
                "several video tracks in one stream is not supported yet: choose one track in your encoder",
            ),
        ] {
            assert_eq!(inspect(kind, data), Err(text.to_owned()));
        }
    }

    #[test]
    fn tags_are_told_apart() {
        for (kind, data, class) in [
            (Kind::Video, &b"\x17\x01\0\0\0nal"[..], Some(Class::KeyFrame)),
            (Kind::Video, b"\x27\x01\0\0\0nal", Some(Class::DeltaFrame)),
            (Kind::Video, b"\x17\x02\0\0\0", None),
            (Kind::Video, b"\x57\0", None),
            (Kind::Video, b"", None),
            (Kind::Video, b"\x17", None),
            (Kind::Audio, b"\xaf\x00\x12\x10", Some(Class::AudioHeader)),
            (Kind::Audio, b"\xaf\x01raw", Some(Class::Audio)),
            (Kind::Script, b"\x02\0\x0aonMetaData\x05", Some(Class::Metadata)),
            (Kind::Script, b"\x02\0\x0aonTextData\x05", Some(Class::Data)),
            (Kind::Script, b"\x02\0\xff", None),
        ] {
            assert_eq!(inspect(kind, data), Ok(class), "{data:?}");
        }
    }

    #[test]
    fn a_stream_without_media_does_not_stay() {
        let mut inspector = Inspector::new(Arc::default());
        inspector.inspect(&tag(Kind::Audio, b"\xaf\x01raw"), Duration::from_secs(5)).unwrap();
        assert!(inspector.tick(Duration::from_secs(24)).is_ok());
        assert!(matches!(inspector.tick(Duration::from_secs(25)), Err(Ending::MediaIdle(_))));
    }

    #[test]
    fn profiles_have_their_names() {
        assert_eq!(avc_profile(66, 0xc0), "Constrained Baseline");
        assert_eq!(avc_profile(100, 0), "High");
        assert_eq!(avc_profile(44, 0), "profile 44");
    }
}
