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
        let clock = if video.clock { format!(",{}", clock(*width, *fps)) } else { String::new() };
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

/// Square blocks per picture width of the clock's grid: 32 pixels each at 1280.
const CLOCK_GRID: u32 = 40;
/// The code's blocks stand in rows of so many.
const CLOCK_COLUMNS: u32 = 16;
/// A picture without a clock reads as zeros, whose check sum would be right.
const CLOCK_SALT: u32 = 0x5a;

/// A filter that burns in the wall clock at which a frame leaves the camera: as UTC for people, and as two rows
/// of 16 blocks for programs, one block away from the top left corner, white for 1, the most significant
/// bit first: the 24 low bits of the milliseconds since the Unix epoch, and one byte that is their three
/// bytes and 0x5a exclusive-ored. It is read from the picture in a browser, at any size.
#[must_use]
pub fn clock(width: u32, fps: u32) -> String {
    let block = width / CLOCK_GRID;
    let mut filters = vec![
        // While the clock is drawn, frames carry the time at which they pass here as their timestamp.
        "settb=1/1000".to_owned(),
        "setpts=RTCTIME/1000".to_owned(),
        format!("drawbox=x={block}:y={block}:w={}:h={}:t=fill:color=black", block * CLOCK_COLUMNS, block * 2),
    ];
    let bit = |index: u32| format!("floor((t*1000+0.5)/{})", 1_u64 << index);
    let check = |index: u32| {
        format!("{}+{}+{}+{}", bit(index), bit(index + 8), bit(index + 16), CLOCK_SALT >> index & 1)
    };
    let time_bits = (0..24).rev().map(bit);
    let check_bits = (0..8).rev().map(check);
    filters.extend((0..).zip(time_bits.chain(check_bits)).map(|(place, sum)| {
        let (column, row) = (place % CLOCK_COLUMNS, place / CLOCK_COLUMNS);
        format!(
            "drawbox=x={}:y={}:w={block}:h={block}:t=fill:color=white:enable='mod({sum},2)'",
            block * (1 + column),
            block * (1 + row),
        )
    }));
    filters.push(format!(
        "drawtext=text='%{{pts\\:gmtime\\:0\\:%H\\\\\\:%M\\\\\\:%S}}':x={block}:y={}:fontsize={}:fontcolor=white:box=1:boxcolor=black",
        block * 4,
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

    #[test]
    fn the_burnt_in_clock_is_the_wall_clock() {
        let source = Source { audio: None, ..Source::clock_720p() };
        let frame = std::process::Command::new(crate::binaries::system("ffmpeg").unwrap())
            .args(["-nostdin", "-v", "error"])
            .args(ffmpeg_inputs(&source, false))
            .args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
            .output()
            .unwrap();
        let picture = frame.stdout;
        assert_eq!(picture.len(), 1280 * 720, "{}", String::from_utf8_lossy(&frame.stderr));
        let bytes: Vec<u32> = (0..4)
            .map(|byte| {
                (0..8).fold(0, |value, bit| {
                    let place = byte * 8 + bit;
                    let (x, y) = (32 + place % 16 * 32 + 16, 32 + place / 16 * 32 + 16);
                    value << 1 | u32::from(picture[y * 1280 + x] > 127)
                })
            })
            .collect();
        assert_eq!(bytes[0] ^ bytes[1] ^ bytes[2] ^ 0x5a, bytes[3]);
        let shown = u128::from(bytes[0] << 16 | bytes[1] << 8 | bytes[2]);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let age_ms = now.wrapping_sub(shown) & 0xff_ffff;
        assert!(age_ms < 60_000, "the clock is {age_ms} ms old");
    }
}
