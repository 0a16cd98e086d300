//! From what the source said about itself to what is encoded of it.

use nodi_flv::{aac, avc};
use nodi_spool::SourceStatus;

use super::gate::{Gate, Headers};
use crate::backend::{Backend, Detected, Preset, Software};
use crate::capacity::Costs;
use crate::config::{Config, PresetChoice};
use crate::ladder::{Ladder, Picture};
use crate::pipeline::{Plan, Source};
use crate::rate::FrameRate;

/// Rates that browsers' and phones' AAC decoders are sure to play without resampling.
const PASSED_SAMPLE_RATES: [u32; 3] = [32_000, 44_100, 48_000];

/// How the audio of the source reaches the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audio {
    /// As it is.
    Pass,
    /// Decoded and encoded as AAC-LC.
    Encode,
}

/// AAC is passed on when every player takes it: LC, mono or stereo, at a usual rate, with frames of 1024 samples.
pub(super) fn audio(config: &aac::Config) -> Audio {
    let plain = config.is_plain_lc()
        && matches!(config.channels, 1 | 2)
        && config.frame_length == 1024
        && PASSED_SAMPLE_RATES.contains(&config.sample_rate);
    if plain { Audio::Pass } else { Audio::Encode }
}

/// A video plan and what was left out of it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// Rungs that this machine does not carry, in words.
    pub(super) given_up: Vec<String>,
}

/// Decides about the video of a source. Without `costs` everything is taken to fit.
pub(super) fn video(
    config: &Config,
    gate: &Gate,
    headers: &Headers,
    stream: &avc::DecoderConfig,
    detected: &Detected,
    costs: Option<&Costs>,
) -> Planned {
    let source = source(gate, headers, stream);
    let picture = source.picture;
    let mut ladder = Ladder::for_source(picture, &config.ladder, config.segment());
    let mut given_up = Vec::new();
    let backend = match detected {
        Detected::Jetson(jetson) => Backend::Jetson(jetson.clone()),
        Detected::Software { .. } => {
            let presets: &[Preset] = match config.preset {
                PresetChoice::Auto => &Preset::ALL,
                PresetChoice::Ultrafast => &[Preset::Ultrafast],
                PresetChoice::Superfast => &[Preset::Superfast],
                PresetChoice::Veryfast => &[Preset::Veryfast],
            };
            let mut preset = presets.last().copied().unwrap_or(Preset::Veryfast);
            if let Some(costs) = costs {
                let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                #[allow(clippy::cast_precision_loss, reason = "a count of cores")]
                let budget = cores as f64 * config.cpu_budget;
                let choice = costs.choose(picture, &ladder, presets, budget);
                log::info!(preset = choice.preset.name(), cores = choice.cores, budget; "chose what this machine carries");
                (ladder, preset, given_up) = (choice.ladder, choice.preset, choice.given_up);
            }
            Backend::Software(Software { preset })
        }
    };
    Planned { plan: Plan { source, ladder, backend, thumbnail_s: config.thumbnail_s }, given_up }
}

fn source(gate: &Gate, headers: &Headers, stream: &avc::DecoderConfig) -> Source {
    let sps = &stream.stream;
    let announced = headers.frame_rate();
    let fps = match (announced, gate.measured_rate()) {
        // A source that sends far more than it announces would lose every other frame.
        (Some(announced), Some(measured)) if measured > announced * 1.4 => measured,
        (Some(announced), _) => announced,
        (None, Some(measured)) => measured,
        (None, None) => 0.0,
    };
    let rate = FrameRate::snap(fps);
    let picture = Picture::new(sps.width, sps.height, sps.sample_aspect_ratio.unwrap_or((1, 1)), rate);
    let reorders = sps.max_reorder_frames() != Some(0) || gate.reorders();
    Source { picture, reorders }
}

/// For `status.json`.
pub(super) fn source_status(headers: &Headers, plan: Option<&Plan>) -> SourceStatus {
    let video = headers.video.as_ref().filter(|_| plan.is_some()).map(|(_, config)| config);
    let audio = headers.audio.as_ref().map(|(_, config)| config);
    SourceStatus {
        video_codecs: video.map(avc::DecoderConfig::codec_string),
        width: video.map_or(0, |config| config.stream.width),
        height: video.map_or(0, |config| config.stream.height),
        fps: 0.0,
        audio_codecs: audio.map(aac::Config::codec_string),
        sample_rate: audio.map_or(0, aac::Config::output_sample_rate),
        channels: audio.map_or(0, |config| u32::from(config.output_channels())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_stereo_passes_and_the_rest_is_encoded() {
        let config = |bytes: &[u8]| aac::Config::parse(bytes).unwrap();
        assert_eq!(audio(&config(&[0x12, 0x10])), Audio::Pass);
        assert_eq!(audio(&config(&[0x11, 0x88])), Audio::Pass);
        for encoded in [&[0x13, 0x90][..], &[0x11, 0xb0], &[0x2b, 0x11, 0x88, 0x00], &[0x0a, 0x10]] {
            assert_eq!(audio(&config(encoded)), Audio::Encode, "{encoded:02x?}");
        }
    }
}
