//! Waits at the start, and after each change of the source, until it is known what there is to encode: codec headers
//! of the tracks that were announced, and a key frame to begin with.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nodi_flv::{Metadata, aac, avc};

use crate::timeline::Stream;

/// Frames held back at most: a key-frame interval of 10 s at 60 fps, with audio. The oldest go first.
const MOST_HELD: usize = 2048;
/// Bytes held back at most.
const MOST_HELD_BYTES: usize = 48 << 20;

/// Frames that it takes to measure a rate that nobody announced.
const MEASURED_FRAMES: usize = 12;

/// One frame of the source on the media timeline.
#[derive(Debug, Clone)]
pub(super) struct Media {
    pub(super) stream: Stream,
    /// In ms on the media timeline.
    pub(super) dts: i64,
    pub(super) pts: i64,
    pub(super) keyframe: bool,
    pub(super) data: Bytes,
    pub(super) at: Instant,
    pub(super) wall: std::time::SystemTime,
}

/// What the source said about itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    pub(super) metadata: Option<Metadata>,
    pub(super) video: Option<(Bytes, avc::DecoderConfig)>,
    pub(super) audio: Option<(Bytes, aac::Config)>,
}

#[derive(Debug)]
pub(super) struct Gate {
    held: VecDeque<Media>,
    bytes: usize,
    wait: Duration,
    /// When the first tag came.
    opened: Option<Instant>,
    /// Media times of the first frame and of the newest.
    span: Option<(i64, i64)>,
    /// The source is to be passed through if it allows: a whole GOP is watched.
    watch_gop: Duration,
}

impl Gate {
    /// `watch_gop` is the longest key-frame interval that is of interest; zero does not wait for a second key frame.
    pub(super) fn new(wait: Duration, watch_gop: Duration) -> Self {
        Self { held: VecDeque::new(), bytes: 0, wait, opened: None, span: None, watch_gop }
    }

    pub(super) fn hold(&mut self, media: Media) {
        self.touch(media.at);
        let (first, newest) = self.span.unwrap_or((media.dts, media.dts));
        self.span = Some((first, newest.max(media.dts)));
        // Pictures before the first key frame cannot be decoded.
        if media.stream == Stream::Video && !media.keyframe && self.first_key().is_none() {
            return;
        }
        self.bytes += media.data.len();
        self.held.push_back(media);
        while self.held.len() > MOST_HELD || self.bytes > MOST_HELD_BYTES {
            let Some(oldest) = self.held.pop_front() else { break };
            self.bytes -= oldest.data.len();
        }
    }

    /// A new header for a track makes what is held of it useless.
    pub(super) fn forget(&mut self, stream: Stream) {
        self.held.retain(|media| media.stream != stream);
        self.bytes = self.held.iter().map(|media| media.data.len()).sum();
    }

    /// A codec header came: waiting has begun.
    pub(super) fn touch(&mut self, at: Instant) {
        self.opened.get_or_insert(at);
    }

    fn first_key(&self) -> Option<&Media> {
        self.held.iter().find(|media| media.keyframe && media.stream == Stream::Video)
    }

    /// Time between the first two key frames held, in ms.
    pub(super) fn key_interval(&self) -> Option<i64> {
        let mut keys = self.held.iter().filter(|media| media.keyframe && media.stream == Stream::Video);
        let (first, second) = (keys.next()?, keys.next()?);
        Some(second.dts - first.dts)
    }

    /// Bytes of the pictures from the first key frame to the second.
    pub(super) fn gop_bytes(&self) -> usize {
        let mut video = self.held.iter().filter(|media| media.stream == Stream::Video);
        let first = video.next().map_or(0, |media| media.data.len());
        first + video.take_while(|media| !media.keyframe).map(|media| media.data.len()).sum::<usize>()
    }

    /// Whether any picture held is shown at another time than it is decoded.
    pub(super) fn reorders(&self) -> bool {
        self.held.iter().any(|media| media.stream == Stream::Video && media.pts != media.dts)
    }

    /// Frames per second of the pictures held, once there are enough.
    pub(super) fn measured_rate(&self) -> Option<f64> {
        let times: Vec<i64> =
            self.held.iter().filter(|media| media.stream == Stream::Video).map(|media| media.dts).collect();
        let (first, last) = (times.first()?, times.last()?);
        let span = last - first;
        if times.len() < MEASURED_FRAMES || span <= 0 {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "a count of held frames and some seconds in ms")]
        Some((times.len() - 1) as f64 * 1000.0 / span as f64)
    }

    /// Whether encoding can begin with what is known and held.
    pub(super) fn is_open(&self, headers: &Headers, now: Instant) -> bool {
        let Some(since) = self.opened else { return false };
        let waited = now.saturating_duration_since(since);
        let (first, newest) = self.span.unwrap_or_default();
        let spanned = Duration::from_millis(u64::try_from(newest - first).unwrap_or(0));
        let late = waited.max(spanned) >= self.wait;
        let (expects_video, expects_audio) = headers.announced();
        if headers.video.is_some() {
            let Some(key) = self.first_key() else { return false };
            if headers.frame_rate().is_none() && self.measured_rate().is_none() && !late {
                return false;
            }
            let watched = Duration::from_millis(u64::try_from(newest - key.dts).unwrap_or(0));
            if self.key_interval().is_none() && watched < self.watch_gop {
                return false;
            }
        } else if expects_video && !late {
            return false;
        }
        let complete = headers.audio.is_some() || !expects_audio || late;
        complete && (headers.video.is_some() || headers.audio.is_some())
    }

    /// Whether there is anything at all to encode, at the end of the input.
    pub(super) fn has_media(&self, headers: &Headers) -> bool {
        let audio = self.held.iter().any(|media| media.stream == Stream::Audio);
        (headers.video.is_some() && self.first_key().is_some()) || (headers.audio.is_some() && audio)
    }

    /// What to encode, in the order of arrival, video from its first key frame on; with `last_key` from its last one.
    pub(super) fn release(&mut self, last_key: bool) -> VecDeque<Media> {
        let mut held = std::mem::take(&mut self.held);
        self.bytes = 0;
        let is_key = |media: &Media| media.keyframe && media.stream == Stream::Video;
        let from = if last_key { held.iter().rposition(is_key) } else { held.iter().position(is_key) };
        if let Some(from) = from {
            let start = held.get(from).map_or(0, |media| media.dts);
            let mut at = 0;
            held.retain(|media| {
                at += 1;
                at > from && media.stream == Stream::Video
                    || media.stream == Stream::Audio && media.dts >= start
            });
        }
        held
    }
}

impl Headers {
    /// Which tracks to wait for. Without metadata nothing is known, and both may come.
    fn announced(&self) -> (bool, bool) {
        match &self.metadata {
            Some(metadata) if metadata.video_codec.is_some() || metadata.audio_codec.is_some() => {
                (metadata.video_codec.is_some(), metadata.audio_codec.is_some())
            }
            _ => (true, true),
        }
    }

    /// The announced frame rate, if it makes sense.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        let sane = |rate: &f64| (1.0..=240.0).contains(rate);
        let announced = self.metadata.as_ref().and_then(|metadata| metadata.frame_rate);
        let coded = || {
            let (_, config) = self.video.as_ref()?;
            let (num, den) = config.stream.frame_rate()?;
            (den > 0).then(|| f64::from(num) / f64::from(den))
        };
        announced.filter(sane).or_else(|| coded().filter(sane))
    }
}
