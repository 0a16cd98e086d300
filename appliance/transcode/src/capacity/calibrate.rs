//! Measures what decoding, scaling and encoding cost here, in CPU time, so that what else runs on the machine
//! hardly shows. Takes a second or two; the result is kept in a file until the machine or the software changes.

use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde::{Deserialize, Serialize};

use super::Costs;
use crate::backend::Preset;
use crate::pipeline::scaler;

/// Changes with what is measured, so that older results are not taken for newer ones.
const MODEL: u32 = 3;

/// The file below the state directory.
const FILE: &str = "calibration.json";

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
/// More than a second of video, so that rate control has settled and the start of threads does not count.
const FRAMES: usize = 36;

/// No step takes longer, however slow the machine is.
const LONGEST: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// Why there is no calibration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("calibration pipeline: {0}")]
    Pipeline(String),
    #[error("calibration took longer than {} s", LONGEST.seconds())]
    Slow,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// What was measured on what; another machine or another version measures anew.
    on: String,
    costs: Costs,
}

/// The remembered costs of this machine, or measured ones, which are then remembered if `state` is not empty.
///
/// # Errors
/// When measuring fails.
pub fn costs(state: &Path) -> Result<Costs, Error> {
    let on = fingerprint();
    let file: Option<PathBuf> = (!state.as_os_str().is_empty()).then(|| state.join(FILE));
    let remembered = file
        .as_ref()
        .and_then(|file| std::fs::read(file).ok())
        .and_then(|text| serde_json::from_slice::<Remembered>(&text).ok())
        .filter(|remembered| remembered.on == on);
    if let Some(remembered) = remembered {
        return Ok(remembered.costs);
    }
    let costs = measure()?;
    log::info!(
        decode = costs.decode, scale = costs.scale, ultrafast = costs.ultrafast,
        superfast = costs.superfast, veryfast = costs.veryfast;
        "calibrated: nanoseconds of CPU per pixel"
    );
    if let Some(file) = file {
        // Two workers that start at once measure the same: the last one's file stays.
        let new = file.with_extension(format!("json.{}", std::process::id()));
        let written = serde_json::to_vec(&Remembered { on, costs })
            .map_err(std::io::Error::other)
            .and_then(|text| std::fs::create_dir_all(state).and_then(|()| std::fs::write(&new, text)))
            .and_then(|()| std::fs::rename(&new, &file));
        if let Err(error) = written {
            log::warn!(file:% = file.display(), error:%; "calibration is not remembered: each worker will measure anew");
        }
    }
    Ok(costs)
}

fn fingerprint() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // `model name` on x86, `CPU part` on ARM.
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name") || line.starts_with("CPU part"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let plugin = |element| {
        gst::ElementFactory::find(element)
            .and_then(|factory| factory.plugin())
            .map_or_else(String::new, |plugin| plugin.version().to_string())
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "{MODEL} / {} / {} / x264 {} / libav {} / {cores} x {model}",
        env!("CARGO_PKG_VERSION"),
        gst::version_string(),
        plugin("x264enc"),
        plugin("avdec_h264"),
    )
}

fn measure() -> Result<Costs, Error> {
    scaler::register().map_err(|error| Error::Pipeline(error.to_string()))?;
    let frames = pictures();
    let pixels = (WIDTH * HEIGHT * FRAMES) as f64;
    let raw = format!("video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=30/1");
    let encode = |preset: Preset| {
        let text = format!(
            "! x264enc speed-preset={} tune=zerolatency threads=1 bitrate=3000 vbv-buf-capacity=1000 key-int-max=60 aud=false \
             ! video/x-h264,stream-format=avc,alignment=au,profile=high",
            preset.name()
        );
        least(&raw, &text, &frames)
    };
    let (ultrafast, _) = encode(Preset::Ultrafast)?;
    let (superfast, _) = encode(Preset::Superfast)?;
    let (veryfast, encoded) = encode(Preset::Veryfast)?;
    let caps = encoded.first().and_then(|sample| sample.caps()).map(ToString::to_string).unwrap_or_default();
    let encoded: Vec<gst::Buffer> = encoded.iter().filter_map(|sample| sample.buffer_owned()).collect();
    let (decode, _) = least(&caps, "! avdec_h264 max-threads=1", &encoded)?;
    // By two, between the ratios of the usual rungs: what it costs depends on both sizes.
    let scaler = format!("! {} ! video/x-raw,width={},height={}", scaler::NAME, WIDTH / 2, HEIGHT / 2);
    let (scale, _) = least(&raw, &scaler, &frames)?;
    Ok(Costs {
        decode: decode / pixels,
        scale: scale / pixels,
        ultrafast: ultrafast / pixels,
        superfast: superfast / pixels,
        veryfast: veryfast / pixels,
    })
}

/// [`run`] twice, and the lesser time: the first one also compiles and warms up, and either may share caches with a
/// busy neighbour.
fn least(caps: &str, elements: &str, input: &[gst::Buffer]) -> Result<(f64, Vec<gst::Sample>), Error> {
    let (first, _) = run(caps, elements, input)?;
    let (second, samples) = run(caps, elements, input)?;
    Ok((first.min(second), samples))
}

/// Sends `input` through `elements`; the CPU time that this took, in nanoseconds, and what came out.
fn run(caps: &str, elements: &str, input: &[gst::Buffer]) -> Result<(f64, Vec<gst::Sample>), Error> {
    let pipeline_error = |error: &dyn std::fmt::Display| Error::Pipeline(error.to_string());
    let text = format!("appsrc name=in format=time {elements} ! appsink name=out sync=false max-buffers=2");
    let pipeline = gst::parse::launch(&text)
        .map_err(|error| pipeline_error(&error))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| Error::Pipeline("not a pipeline".to_owned()))?;
    let source = pipeline.by_name("in").and_then(|element| element.downcast::<gst_app::AppSrc>().ok());
    let sink = pipeline.by_name("out").and_then(|element| element.downcast::<gst_app::AppSink>().ok());
    let (Some(source), Some(sink)) = (source, sink) else {
        return Err(Error::Pipeline("its ends are missing".to_owned()));
    };
    let caps: gst::Caps = caps.parse().map_err(|error| pipeline_error(&error))?;
    source.set_caps(Some(&caps));
    source.set_max_bytes(u64::MAX);
    for buffer in input {
        source.push_buffer(buffer.clone()).map_err(|error| pipeline_error(&error))?;
    }
    source.end_of_stream().map_err(|error| pipeline_error(&error))?;
    let before = cpu_time();
    pipeline.set_state(gst::State::Playing).map_err(|error| pipeline_error(&error))?;
    let mut samples = Vec::with_capacity(input.len());
    let result = loop {
        match sink.try_pull_sample(LONGEST) {
            Some(sample) => samples.push(sample),
            None if sink.is_eos() => break Ok(()),
            None => break Err(Error::Slow),
        }
    };
    let spent = cpu_time().saturating_sub(before);
    let _ = pipeline.set_state(gst::State::Null);
    result?;
    if samples.len() < input.len() / 2 {
        return Err(Error::Pipeline(format!(
            "{} of {} frames came out of {elements}",
            samples.len(),
            input.len()
        )));
    }
    #[allow(clippy::cast_precision_loss, reason = "seconds in nanoseconds fit a double's 53 bits")]
    Ok((spent as f64, samples))
}

/// A picture with texture and edges that moves across the frame, and the noise of a camera: neither a test card, which
/// costs nothing to encode, nor pure noise, which costs more than any scene.
fn pictures() -> Vec<gst::Buffer> {
    const WIDE: usize = WIDTH + 4 * FRAMES;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut blocks = || -> Vec<u8> {
        (0..WIDE.div_ceil(16) * HEIGHT.div_ceil(16)).map(|_| next().to_le_bytes()[0]).collect()
    };
    let (coarse, fine) = (blocks(), blocks());
    let at = |blocks: &[u8], x: usize, y: usize, step: usize| {
        let (bx, by) = ((x / step) % (WIDE / 16), (y / step) % (HEIGHT / 16));
        blocks.get(by * (WIDE / 16) + bx).copied().map_or(0, u32::from)
    };
    let scene: Vec<u8> = (0..HEIGHT)
        .flat_map(|y| (0..WIDE).map(move |x| (x, y)))
        .map(|(x, y)| {
            let slope = u32::try_from((x + 2 * y) / 12).unwrap_or(0);
            ((at(&coarse, x, y, 48) * 2 + at(&fine, x, y, 3) + slope) / 5).min(255) as u8
        })
        .collect();
    (0..FRAMES)
        .map(|frame| {
            let mut data = Vec::with_capacity(WIDTH * HEIGHT * 3 / 2);
            for row in scene.chunks_exact(WIDE) {
                let shown = row.get(frame * 3..frame * 3 + WIDTH).unwrap_or_default();
                data.extend(shown.chunks(8).flat_map(|pixels| {
                    let noise = next().to_le_bytes();
                    pixels
                        .iter()
                        .enumerate()
                        .map(move |(at, pixel)| pixel.saturating_add(noise.get(at).copied().unwrap_or(0) & 3))
                }));
            }
            data.resize(WIDTH * HEIGHT * 3 / 2, 128);
            let mut buffer = gst::Buffer::from_mut_slice(data);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_nseconds(frame as u64 * 1_000_000_000 / 30));
                buffer.set_duration(gst::ClockTime::from_nseconds(1_000_000_000 / 30));
            }
            buffer
        })
        .collect()
}

/// CPU time of this process, in nanoseconds.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(unsafe_code, reason = "std has no process clock")]
    // SAFETY: `time` is a valid timespec for the call to fill; on failure it stays zero.
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
    }
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_once_and_remembers() {
        gst::init().unwrap();
        let state = tempfile::tempdir().unwrap();
        let measured = costs(state.path()).unwrap();
        for cost in
            [measured.decode, measured.scale, measured.ultrafast, measured.superfast, measured.veryfast]
        {
            assert!(cost > 0.0 && cost < 1000.0, "{measured:?}");
        }
        assert!(measured.ultrafast < measured.veryfast, "{measured:?}");
        let remembered = costs(state.path()).unwrap();
        assert!((remembered.veryfast - measured.veryfast).abs() < 1e-9, "{remembered:?} {measured:?}");
    }

    #[test]
    fn another_machine_measures_anew() {
        gst::init().unwrap();
        let state = tempfile::tempdir().unwrap();
        let other =
            r#"{"on":"other","costs":{"decode":1,"scale":1,"ultrafast":1,"superfast":1,"veryfast":1}}"#;
        std::fs::write(state.path().join(FILE), other).unwrap();
        assert_ne!(costs(state.path()).unwrap().decode, 1.0);
    }
}
