//! The synthetic stream: short clips that are encoded once and for all, and a publisher that sends one in a loop.

pub mod publisher;

use bytes::Bytes;
use nodi_flv::audio::Body as Audio;
use nodi_flv::video::Body as Video;
use nodi_flv::{Kind, Reader, Tag};
use serde::Deserialize;

/// One group of pictures; see `README.md` beside it for how it was made.
static SMALL: &[u8] = include_bytes!("360p.flv");
static FULL: &[u8] = include_bytes!("1080p.flv");
/// Length of each clip's picture, in milliseconds.
const LOOP_MS: u64 = 2_000;
/// Of each clip's sound, in Hz.
const SAMPLE_RATE: u64 = 48_000;
/// Samples of an AAC frame (ISO/IEC 14496-3, 4.5.2.1).
const FRAME_SAMPLES: u64 = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Clip {
    /// The small one, and then the full one where the worker has an encoder in hardware.
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "360p")]
    Small,
    #[serde(rename = "1080p")]
    Full,
}

#[derive(Debug, thiserror::Error)]
#[error("the clip is unusable: {0}")]
pub struct Error(String);

/// A clip's tags, without end: picture and sound each go on where they are, so that neither has a seam.
#[derive(Debug)]
pub struct Looped {
    headers: Vec<Tag>,
    pictures: Track,
    sound: Track,
}

#[derive(Debug)]
struct Track {
    kind: Kind,
    /// Decoding time within the loop, and what is in the tag.
    frames: Vec<(u64, Bytes)>,
    next: usize,
    round: u64,
}

impl Looped {
    /// [`Clip::Auto`] begins with the small one.
    ///
    /// # Errors
    /// When it is not what this crate was built with.
    pub fn new(clip: Clip) -> Result<Self, Error> {
        let bytes = match clip {
            Clip::Auto | Clip::Small => SMALL,
            Clip::Full => FULL,
        };
        let mut input = Bytes::from_static(bytes);
        let mut reader = Reader::default();
        let (mut headers, mut pictures, mut sound) = (Vec::new(), Vec::new(), Vec::new());
        let unusable = |error: &dyn std::fmt::Display| Error(error.to_string());
        while let Some(tag) = reader.read(&mut input).map_err(|error| unusable(&error))? {
            let at = u64::from(tag.timestamp_ms);
            match tag.kind {
                Kind::Video => {
                    match nodi_flv::video::parse(&tag.data).map_err(|error| unusable(&error))?.body {
                        Video::SequenceHeader(_) => headers.push(tag),
                        Video::Frame { .. } => pictures.push((at, tag.data)),
                        _ => {}
                    }
                }
                Kind::Audio => {
                    match nodi_flv::audio::parse(&tag.data).map_err(|error| unusable(&error))?.body {
                        Audio::SequenceHeader(_) => headers.push(tag),
                        Audio::Frame(_) => sound.push((at, tag.data)),
                        _ => {}
                    }
                }
                Kind::Script => {}
            }
        }
        if headers.len() != 2 || pictures.is_empty() || sound.is_empty() {
            return Err(Error("it lacks a track or its header".to_owned()));
        }
        // The muxer lets the picture wait for the sound's first samples.
        let first = pictures.first().map_or(0, |(at, _)| *at);
        pictures.iter_mut().for_each(|(at, _)| *at -= first);
        let track = |kind, frames| Track { kind, frames, next: 0, round: 0 };
        Ok(Self { headers, pictures: track(Kind::Video, pictures), sound: track(Kind::Audio, sound) })
    }
}

impl Iterator for Looped {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        if !self.headers.is_empty() {
            let tag = self.headers.remove(0);
            return Some(Tag { timestamp_ms: 0, ..tag });
        }
        if self.sound.at_ms()? < self.pictures.at_ms()? { self.sound.take() } else { self.pictures.take() }
    }
}

impl Track {
    fn at_ms(&self) -> Option<u64> {
        let (at, _) = self.frames.get(self.next)?;
        Some(match self.kind {
            Kind::Audio => {
                let frame = self.round * self.frames.len() as u64 + self.next as u64;
                frame * FRAME_SAMPLES * 1_000 / SAMPLE_RATE
            }
            Kind::Video | Kind::Script => self.round * LOOP_MS + at,
        })
    }

    fn take(&mut self) -> Option<Tag> {
        let at = self.at_ms()?;
        let (_, data) = self.frames.get(self.next)?;
        // RTMP's time wraps after 49 days.
        #[allow(clippy::cast_possible_truncation, reason = "RTMP's time wraps")]
        let tag = Tag { kind: self.kind, timestamp_ms: at as u32, data: data.clone() };
        self.next += 1;
        if self.next == self.frames.len() {
            self.next = 0;
            self.round += 1;
        }
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use nodi_flv::{aac, avc};

    use super::*;

    #[test]
    fn both_clips_are_one_group_of_pictures_and_sound_of_the_stated_rate() {
        assert!(SMALL.len() + FULL.len() <= 200 << 10, "{} bytes", SMALL.len() + FULL.len());
        for (clip, height) in [(Clip::Small, 360), (Clip::Full, 1080)] {
            let looped = Looped::new(clip).unwrap();
            for tag in &looped.headers {
                match tag.kind {
                    Kind::Video => {
                        let Video::SequenceHeader(record) = nodi_flv::video::parse(&tag.data).unwrap().body
                        else {
                            panic!("no header")
                        };
                        let config = avc::DecoderConfig::parse(&record).unwrap();
                        assert_eq!(avc::Sps::parse(&config.sps[0]).unwrap().height, height);
                    }
                    _ => {
                        let Audio::SequenceHeader(record) = nodi_flv::audio::parse(&tag.data).unwrap().body
                        else {
                            panic!("no header")
                        };
                        assert_eq!(u64::from(aac::Config::parse(&record).unwrap().sample_rate), SAMPLE_RATE);
                    }
                }
            }
            let key_frames: Vec<_> = looped
                .pictures
                .frames
                .iter()
                .map(|(_, data)| {
                    matches!(
                        nodi_flv::video::parse(data).unwrap().body,
                        Video::Frame { keyframe: true, composition_time_ms: 0, .. }
                    )
                })
                .collect();
            assert!(key_frames[0] && !key_frames[1..].contains(&true));
            let last = looped.pictures.frames.last().unwrap().0;
            let frame = LOOP_MS / looped.pictures.frames.len() as u64;
            assert!((LOOP_MS - frame - 2..LOOP_MS).contains(&last), "the last frame is at {last}");
        }
    }

    #[test]
    fn time_goes_on_without_a_seam() {
        let mut last = [0_u32; 2];
        let (mut key_frames, mut tags) = (0, 0);
        for tag in Looped::new(Clip::Small).unwrap().skip(2).take_while(|tag| tag.timestamp_ms < 10_000) {
            let track = usize::from(tag.kind == Kind::Audio);
            let step = tag.timestamp_ms - last[track];
            assert!(step <= [68, 22][track], "{:?} jumps by {step} ms", tag.kind);
            last[track] = tag.timestamp_ms;
            tags += 1;
            if tag.kind == Kind::Video
                && let Video::Frame { keyframe: true, .. } = nodi_flv::video::parse(&tag.data).unwrap().body
            {
                assert_eq!(u64::from(tag.timestamp_ms) % LOOP_MS, 0);
                key_frames += 1;
            }
        }
        assert_eq!(key_frames, 5);
        assert!(tags > 5 * (30 + 90));
    }
}
