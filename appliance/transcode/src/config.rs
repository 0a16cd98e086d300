//! The worker's configuration: one TOML file, one struct, a default for every key.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use nodi_daemon::config::{Validate, in_range};
use nodi_protocol::RenditionName;
use serde::Deserialize;

/// `nodi-transcode --config PATH`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Least severe message that is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`. `RUST_LOG` wins over it.
    pub log_level: LevelFilter,
    /// Root of the spool.
    pub spool: PathBuf,
    /// Where the worker remembers what this machine carries. Empty: calibrates anew each time.
    pub state: PathBuf,
    /// Which encoders to use.
    pub backend: BackendChoice,
    /// The rungs; which of them a source gets depends on its size.
    pub ladder: Vec<Rung>,
    /// Adds the publisher's own video as the top rung `source` in place of encoded ones of its size, when its
    /// key frames and its frame order allow that. Software back end only.
    pub passthrough: bool,
    /// Segment length in milliseconds, 1000 to 6000.
    pub segment_ms: u32,
    /// Part length in milliseconds, 200 to 1000. No part is longer.
    pub part_ms: u32,
    /// Bitrate of audio that has to be encoded anew, in bit/s.
    pub audio_bitrate: u32,
    /// How the input arrives.
    pub pace: Pace,
    /// Share of this machine's cores that one worker with the software back end may fill, 0.05 to 1: presets and
    /// rungs are chosen to fit into it.
    pub cpu_budget: f64,
    /// Speed preset of the software encoder; `auto` chooses by calibration.
    pub preset: PresetChoice,
    /// Pixels per second that the hardware encoder is sure to carry, all sessions together: what the box says about its
    /// spare capacity goes by it. Default: twelve streams of 1080p30, which NVIDIA states for Jetson Orin NX.
    pub hardware_pixels_per_s: u64,
    /// How long to wait for the codec headers of a track that was announced before going on without it, in
    /// milliseconds, 200 to 10000.
    pub start_wait_ms: u32,
    /// Time between thumbnails in seconds, 1 to 600; 0 makes none.
    pub thumbnail_s: u32,
    /// Free space that the spool's file system keeps, in bytes; below it the worker ends with `no_space`.
    pub min_free_bytes: u64,
    /// Writes each finished segment through to the disk: costs writes, saves it from a power cut.
    pub sync_segments: bool,
}

/// One configured rung.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// The rendition's name for ever, such as `1080p`.
    pub name: RenditionName,
    /// Of the landscape picture, in pixels; a portrait picture is as wide as this.
    pub height: u32,
    /// In bit/s.
    pub bitrate: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendChoice {
    /// Hardware when it is there and opens, otherwise software.
    Auto,
    /// NVIDIA Jetson's decoder, scaler and encoder; no encoder is an error.
    Jetson,
    /// libav and x264.
    Software,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// A stream with session facts is live, any other input a file.
    Auto,
    /// In real time: what cannot be encoded in time is dropped.
    Live,
    /// As fast as it is read: nothing is dropped, the input waits.
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresetChoice {
    Auto,
    Ultrafast,
    Superfast,
    Veryfast,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: LevelFilter::Info,
            spool: PathBuf::from("/var/spool/nodi"),
            state: PathBuf::from("/var/lib/nodi/transcode"),
            backend: BackendChoice::Auto,
            ladder: default_ladder(),
            passthrough: false,
            segment_ms: 2000,
            part_ms: 333,
            audio_bitrate: 128_000,
            pace: Pace::Auto,
            cpu_budget: 0.7,
            preset: PresetChoice::Auto,
            hardware_pixels_per_s: 12 * 1920 * 1080 * 30,
            start_wait_ms: 3000,
            thumbnail_s: 5,
            min_free_bytes: nodi_spool::writer::MIN_FREE_BYTES,
            sync_segments: false,
        }
    }
}

/// 1080p at 6 Mbit/s, 720p at 3 Mbit/s, 360p at 0.8 Mbit/s.
#[must_use]
pub fn default_ladder() -> Vec<Rung> {
    [("1080p", 1080, 6_000_000), ("720p", 720, 3_000_000), ("360p", 360, 800_000)]
        .into_iter()
        .filter_map(|(name, height, bitrate)| Some(Rung { name: name.parse().ok()?, height, bitrate }))
        .collect()
}

impl Config {
    #[must_use]
    pub fn segment(&self) -> Duration {
        Duration::from_millis(u64::from(self.segment_ms))
    }

    #[must_use]
    pub fn part(&self) -> Duration {
        Duration::from_millis(u64::from(self.part_ms))
    }

    #[must_use]
    pub fn start_wait(&self) -> Duration {
        Duration::from_millis(u64::from(self.start_wait_ms))
    }
}

/// More rungs than this are a mistake: each is one more encoder.
const MOST_RUNGS: usize = 8;

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        in_range("segment_ms", self.segment_ms, 1000..=6000)?;
        in_range("part_ms", self.part_ms, 200..=1000)?;
        in_range("audio_bitrate", self.audio_bitrate, 32_000..=320_000)?;
        in_range("start_wait_ms", self.start_wait_ms, 200..=10_000)?;
        in_range("thumbnail_s", self.thumbnail_s, 0..=600)?;
        if self.part_ms > self.segment_ms / 2 {
            return Err(("part_ms", format!("{} is more than half a segment", self.part_ms)));
        }
        if self.hardware_pixels_per_s == 0 {
            return Err(("hardware_pixels_per_s", "must not be 0".to_owned()));
        }
        in_range("cpu_budget", self.cpu_budget, 0.05..=1.0)?;
        if self.ladder.is_empty() || self.ladder.len() > MOST_RUNGS {
            return Err(("ladder", format!("{} rungs, not 1 to {MOST_RUNGS}", self.ladder.len())));
        }
        for (at, rung) in self.ladder.iter().enumerate() {
            in_range("ladder.height", rung.height, 90..=2160)?;
            in_range("ladder.bitrate", rung.bitrate, 50_000..=50_000_000)?;
            let taken = ["audio", "source"].contains(&rung.name.as_str());
            let twice = self.ladder.iter().skip(at + 1).any(|other| other.name == rung.name);
            if taken || twice {
                return Err(("ladder.name", format!("{} is taken", rung.name)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn an_empty_file_is_the_default_and_valid() {
        let config = parse("");
        config.validate().unwrap();
        assert_eq!(config.ladder.len(), 3);
    }

    #[test]
    fn bad_values_name_their_key() {
        for (text, key) in [
            ("part_ms = 100", "part_ms"),
            ("segment_ms = 1000\npart_ms = 800", "part_ms"),
            ("cpu_budget = 0.0", "cpu_budget"),
            ("ladder = []", "ladder"),
            ("[[ladder]]\nname = \"audio\"\nheight = 360\nbitrate = 800000", "ladder.name"),
        ] {
            assert_eq!(parse(text).validate().unwrap_err().0, key, "{text}");
        }
        assert!(toml::from_str::<Config>("segments_ms = 2000").is_err());
    }
}
