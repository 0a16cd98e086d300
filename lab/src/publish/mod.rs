//! Publishers: real encoders with a made-up picture, and one of our own that sends whatever tags a test wants.

pub mod clip;
pub mod flv;
pub mod rtmp;

use std::path::Path;

use crate::error::Error;
use crate::process::Spec;

/// Which program publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Ffmpeg,
    /// GStreamer's own RTMP.
    GstRtmp2,
    /// GStreamer on librtmp, the library of many older encoders.
    Librtmp,
}

/// A made-up programme.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// `None`: no picture.
    pub video: Option<Video>,
    /// `None`: no sound.
    pub audio: Option<Audio>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    /// Key-frame interval in seconds.
    pub gop_s: u32,
    pub b_frames: u32,
    pub kbits: u32,
    /// Burns the wall clock in, see [`clock`]. ffmpeg only.
    pub clock: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    pub sample_rate: u32,
    pub channels: u32,
}

impl Source {
    /// Small enough that several can be encoded while other things run.
    #[must_use]
    pub fn small() -> Self {
        let video =
            Video { width: 640, height: 360, fps: 30, gop_s: 2, b_frames: 0, kbits: 800, clock: false };
        Self { video: Some(video), audio: Some(Audio { sample_rate: 48_000, channels: 2 }) }
    }

    /// What the latency bench looks at.
    #[must_use]
    pub fn clock_720p() -> Self {
        let video =
            Video { width: 1280, height: 720, fps: 30, gop_s: 2, b_frames: 0, kbits: 3_000, clock: true };
        Self { video: Some(video), audio: Some(Audio { sample_rate: 48_000, channels: 2 }) }
    }
}

/// Publishes `source` in real time, encoding as it goes, until it is stopped.
///
/// # Errors
/// When the program is not installed.
pub fn live(client: Client, source: &Source, url: &str, key: &str, logs: &Path) -> Result<Spec, Error> {
    let name = "publisher";
    match client {
        Client::Ffmpeg => {
            let spec = Spec::new(name, crate::binaries::system("ffmpeg")?, logs);
            Ok(spec.args(ffmpeg_args(source)).args(["-f", "flv"]).args([format!("{url}/{key}")]))
        }
        Client::GstRtmp2 | Client::Librtmp => {
            let sink = if client == Client::GstRtmp2 {
                format!("rtmp2sink location={url}/{key}")
            } else {
                format!("rtmpsink location=\"{url}/{key} live=1\"")
            };
            let pipeline = gstreamer_pipeline(source, &sink);
            let spec = Spec::new(name, crate::binaries::system("gst-launch-1.0")?, logs);
            Ok(spec.args(["-q", "--eos-on-shutdown"]).args(split_words(&pipeline)))
        }
    }
}

/// Everything up to the output: inputs made up and paced in real time, and how to encode them.
#[must_use]
pub fn ffmpeg_args(source: &Source) -> Vec<String> {
    let mut args = words("-nostdin -hide_banner -loglevel warning");
    args.extend(ffmpeg_inputs(source, true));
    args.extend(ffmpeg_encoders(source, "ultrafast"));
    args
}

pub(crate) fn ffmpeg_inputs(source: &Source, paced: bool) -> Vec<String> {
    let mut args = Vec::new();
    let mut input = |graph: String| {
        if paced {
            args.push("-re".to_owned());
        }
        args.extend(["-f", "lavfi", "-i"].map(str::to_owned));
        args.push(graph);
    };
    if let Some(video) = &source.video {
        let Video { width, height, fps, .. } = video;
        let clock = if video.clock { format!(",{}", clock(*width, *height, *fps)) } else { String::new() };
        input(format!("testsrc2=size={width}x{height}:rate={fps}{clock}"));
    }
    if let Some(audio) = &source.audio {
        let layout = if audio.channels == 1 { "mono" } else { "stereo" };
        input(format!(
            "sine=frequency=440:beep_factor=4:sample_rate={},aformat=channel_layouts={layout}",
            audio.sample_rate
        ));
    }
    args
}

pub(crate) fn ffmpeg_encoders(source: &Source, preset: &str) -> Vec<String> {
    let mut args = Vec::new();
    if let Some(video) = &source.video {
        let Video { fps, gop_s, b_frames, kbits, .. } = video;
        // Key frames only where they are expected, and a rate that a line of that width carries.
        args.extend(words(&format!(
            "-c:v libx264 -preset {preset} -pix_fmt yuv420p -g {} -keyint_min {} -sc_threshold 0 \
             -b:v {kbits}k -maxrate {kbits}k -bufsize {kbits}k",
            fps * gop_s,
            fps * gop_s,
        )));
        if *b_frames > 0 {
            args.extend(words(&format!("-bf {b_frames}")));
        } else {
            args.extend(words("-tune zerolatency"));
        }
    }
    if source.audio.is_some() {
        args.extend(words("-c:a aac -b:a 128k"));
    }
    args
}

/// Number of bits that [`clock`] shows: 4.6 hours of milliseconds.
pub const CLOCK_BITS: u32 = 24;
/// Blocks per picture width: 26 of them are used.
pub const CLOCK_COLUMNS: u32 = 40;

/// A filter that burns in the wall clock at which a frame leaves the camera, for people (UTC, top left) and for
/// programs: a row of square blocks along the bottom edge, each a 40th of the picture wide, from the left: one white
/// block, the 24 low bits of the milliseconds since the Unix epoch, lowest bit first, white for 1, and one
/// black block. The blocks survive scaling to 320 pixels and any compression.
#[must_use]
pub fn clock(width: u32, height: u32, fps: u32) -> String {
    let block = width / CLOCK_COLUMNS;
    let top = height.saturating_sub(block);
    let mut filters = vec![
        // Frames carry the time at which they pass here as their timestamp while the clock is drawn.
        "settb=1/1000".to_owned(),
        "setpts=RTCTIME/1000".to_owned(),
        format!("drawbox=x=0:y={top}:w={}:h={block}:t=fill:color=black", block * (CLOCK_BITS + 2)),
        format!("drawbox=x=0:y={top}:w={block}:h={block}:t=fill:color=white"),
    ];
    filters.extend((0..CLOCK_BITS).map(|bit| {
        format!(
            "drawbox=x={}:y={top}:w={block}:h={block}:t=fill:color=white:enable='mod(floor((t*1000+0.5)/{}),2)'",
            block * (bit + 1),
            1_u64 << bit
        )
    }));
    filters.push(format!(
        "drawtext=text='%{{pts\\:gmtime\\:0\\:%H\\\\\\:%M\\\\\\:%S}}':x={block}:y={block}:fontsize={}:fontcolor=white:box=1:boxcolor=black",
        block * 2
    ));
    filters.push(format!("setpts=N*1000/{fps}"));
    filters.join(",")
}

fn gstreamer_pipeline(source: &Source, sink: &str) -> String {
    let mut text = format!("flvmux name=mux streamable=true ! {sink}");
    if let Some(Video { width, height, fps, gop_s, b_frames, kbits, .. }) = &source.video {
        text.push_str(&format!(
            " videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 \
             ! x264enc speed-preset=ultrafast tune=zerolatency bframes={b_frames} bitrate={kbits} key-int-max={} \
             ! h264parse ! queue ! mux.",
            fps * gop_s
        ));
    }
    if let Some(Audio { sample_rate, channels }) = &source.audio {
        text.push_str(&format!(
            " audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate={sample_rate},channels={channels} \
             ! audioconvert ! avenc_aac ! aacparse ! queue ! mux."
        ));
    }
    text
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Splits at blanks outside of double quotes, as a shell would.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, piece) in text.split('"').enumerate() {
        if index % 2 == 0 {
            words.extend(piece.split_whitespace().map(str::to_owned));
        } else if let Some(last) = words.last_mut() {
            last.push_str(piece);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_blank_stays_in_its_word() {
        assert_eq!(split_words("a location=\"x y\" b"), ["a", "location=x y", "b"]);
    }

    #[test]
    fn b_frames_and_zero_latency_exclude_each_other() {
        let mut source = Source::small();
        assert!(ffmpeg_args(&source).contains(&"zerolatency".to_owned()));
        if let Some(video) = &mut source.video {
            video.b_frames = 2;
        }
        assert!(!ffmpeg_args(&source).contains(&"zerolatency".to_owned()));
    }
}
