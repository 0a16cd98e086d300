//! Clips that are encoded once and then published in a loop: a full-size test stream costs its ladder and
//! nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Audio, Source, Video, ffmpeg_encoders, ffmpeg_inputs};
use crate::error::{Error, io};
use crate::process::{Spec, describe};

/// A whole number of video and of AAC frames: 480 at 30 fps, 750 of 1,024 samples at 48 kHz.
const LOOP_S: u32 = 16;
/// Part of the file's name: a clip of an older recipe is not used again.
const RECIPE: u32 = 1;

/// The demo's programme: 1080p30 at 6 Mbit/s, a moving picture with the clip's time in it, and a tone.
///
/// # Errors
/// When ffmpeg is not installed or fails.
pub fn demo(cache: &Path) -> Result<PathBuf, Error> {
    let video =
        Video { width: 1920, height: 1080, fps: 30, gop_s: 2, b_frames: 0, kbits: 6_000, clock: false };
    let source = Source { video: Some(video), audio: Some(Audio { sample_rate: 48_000, channels: 2 }) };
    let path = cache.join(format!("demo-1080p30-{RECIPE}.mp4"));
    if path.is_file() {
        return Ok(path);
    }
    log::info!("encoding the test stream's clip once: {}", path.display());
    let text = "drawtext=text='%{pts\\:hms}':x=(w-tw)/2:y=h*0.08:fontsize=h/9:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=16";
    make(&source, LOOP_S, &["-vf", text], "veryfast", &path)?;
    Ok(path)
}

/// Encodes `seconds` of `source` as fast as it goes; the container is chosen by the path's extension.
///
/// # Errors
/// When ffmpeg is not installed or fails.
pub fn make(source: &Source, seconds: u32, more: &[&str], preset: &str, path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(io(format!("creating {}", folder.display())))?;
    // Another lab may make the same clip at the same time: whoever is last wins, with the same content.
    let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    let partial = tempfile::Builder::new()
        .prefix("clip-")
        .suffix(&format!(".{extension}"))
        .tempfile_in(folder)
        .map_err(io(format!("writing into {}", folder.display())))?;
    let output = Command::new(crate::binaries::system("ffmpeg")?)
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
        .args(ffmpeg_inputs(source, false))
        .args(ffmpeg_encoders(source, preset))
        .args(more)
        .args(["-t", &seconds.to_string()])
        .arg(partial.path())
        .stdin(Stdio::null())
        .output()
        .map_err(io("running ffmpeg"))?;
    if !output.status.success() {
        log::debug!("ffmpeg: {}", describe(output.status));
        return Err(Error::Tool {
            program: "ffmpeg".to_owned(),
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    partial.persist(path).map(drop).map_err(|error| io(format!("writing {}", path.display()))(error.error))
}

/// Publishes a clip again and again in real time, without encoding.
///
/// # Errors
/// When ffmpeg is not installed.
pub fn publish_loop(clip: &Path, url: &str, key: &str, logs: &Path) -> Result<Spec, Error> {
    Ok(Spec::new("publisher", crate::binaries::system("ffmpeg")?, logs)
        .args(["-nostdin", "-hide_banner", "-loglevel", "warning", "-re", "-stream_loop", "-1", "-i"])
        .args([clip])
        .args(["-c", "copy", "-f", "flv"])
        .args([format!("{url}/{key}")]))
}
