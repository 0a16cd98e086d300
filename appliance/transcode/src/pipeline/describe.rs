//! The pipelines as text in `gst-launch-1.0` syntax, made purely from what is known about the source, the
//! ladder and the back end, so that a person can read them, try them (with `videoscale` for our own
//! `nodiscale`) and check them against documentation.

use std::fmt::Write as _;

use crate::backend::{Backend, Jetson, Software};
use crate::capacity;
use crate::ladder::{Ladder, Picture, Rung};
use crate::pipeline::scaler;
use crate::pipeline::scaler::area::Ratio;

/// What the decoder gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub picture: Picture,
    /// Pictures may be shown in another order than they are sent (B-frames).
    pub reorders: bool,
}

/// Everything that the text depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub source: Source,
    pub ladder: Ladder,
    pub backend: Backend,
    /// Seconds between thumbnails; 0 makes none.
    pub thumbnail_s: u32,
}

/// Rate buffer of the encoders: a segment of 2 s holds at most 1.5 times its mean rate, and a key frame has
/// room to be good.
pub const VBV_MS: u32 = 1000;

/// Raw frames that may wait before each software encoder: what rides out the bursts of other programs, and bounds what
/// they cost in latency. The queues of all rungs hold the same frames.
pub(crate) const RAW_FRAMES: u32 = 8;

/// The same in video memory, where encoders have a clock of their own and surfaces are few.
pub(crate) const RAW_SURFACES: u32 = 3;

/// Surfaces that Jetson's decoder needs beyond its own: the frames in the rungs' queues and encoders.
const SURFACES_PER_RUNG: u32 = RAW_SURFACES + 2;

/// What `num-extra-surfaces` takes at most.
const MOST_EXTRA_SURFACES: u32 = 24;

/// Long edge of a thumbnail.
const THUMBNAIL_EDGE: u32 = 320;

impl Plan {
    /// The video pipeline.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.backend {
            Backend::Software(software) => self.software(*software),
            Backend::Jetson(jetson) => self.jetson(jetson),
        }
    }

    fn software(&self, software: Software) -> String {
        let rate = self.source.picture.frame_rate;
        let mut text = String::new();
        line(
            &mut text,
            "appsrc name=video format=time is-live=true caps=\"video/x-h264,stream-format=avc,alignment=au\"",
        );
        line(&mut text, "! h264parse");
        // One thread: frame threads delay by a frame each, and the encoders need the cores.
        line(
            &mut text,
            "! avdec_h264 name=decoder max-threads=1 std-compliance=normal output-corrupt=true max-errors=-1 qos=false",
        );
        line(&mut text, "! videoconvert ! video/x-raw,format=I420");
        line(&mut text, "! videorate skip-to-first=true");
        line(&mut text, &format!("! capsfilter name=grid caps=\"video/x-raw,framerate={rate}\""));
        line(&mut text, "! tee name=raw allow-not-linked=true");
        for rung in &self.ladder.rungs {
            let name = &rung.name;
            text.push('\n');
            line(&mut text, &format!("raw. ! {}", queue(name.as_str(), RAW_FRAMES)));
            let from = (self.source.picture.width, self.source.picture.height);
            let to = (rung.width, rung.height);
            if Ratio::between(from, to).is_some() {
                line(&mut text, &format!("! {}", scaler::NAME));
            } else if from != to {
                line(&mut text, "! videoscale method=bilinear add-borders=false");
            } else {
                // Square pixels need no scaler, other ones do; the element passes pictures on that fit.
                line(&mut text, "! videoscale add-borders=false");
            }
            line(
                &mut text,
                &format!("! video/x-raw,width={},height={},pixel-aspect-ratio=1/1", rung.width, rung.height),
            );
            line(
                &mut text,
                &format!(
                    "! x264enc name=encoder-{name} speed-preset={} tune=zerolatency threads={} bitrate={} vbv-buf-capacity={VBV_MS} \
                     key-int-max={} bframes=0 aud=false option-string=\"scenecut=0:open-gop=0\"",
                    software.preset.name(),
                    capacity::threads(rung, rate),
                    rung.bitrate / 1000,
                    self.ladder.frames_per_segment,
                ),
            );
            line(&mut text, "! video/x-h264,stream-format=avc,alignment=au,profile=high");
            line(&mut text, &format!("! {}", sink(&format!("out-{name}"))));
        }
        self.thumbnail(&mut text, "videoscale ! videoconvert", "video/x-raw", "");
        text
    }

    fn jetson(&self, jetson: &Jetson) -> String {
        let rate = self.source.picture.frame_rate;
        let mut text = String::new();
        line(
            &mut text,
            "appsrc name=video format=time is-live=true caps=\"video/x-h264,stream-format=avc,alignment=au\"",
        );
        line(&mut text, "! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au");
        let mut decoder = "! nvv4l2decoder name=decoder".to_owned();
        let rungs = u32::try_from(self.ladder.rungs.len()).unwrap_or(u32::MAX);
        let surfaces = rungs.saturating_mul(SURFACES_PER_RUNG).min(MOST_EXTRA_SURFACES);
        let set = |element: &str, property: &str, value: &str, to: &mut String| {
            if jetson.has(element, property) {
                let _ = write!(to, " {property}={value}");
            }
        };
        set("nvv4l2decoder", "num-extra-surfaces", &surfaces.to_string(), &mut decoder);
        set("nvv4l2decoder", "enable-max-performance", "true", &mut decoder);
        if !self.source.reorders {
            // Without reordering a picture can leave as soon as it is decoded.
            set("nvv4l2decoder", "disable-dpb", "true", &mut decoder);
        }
        line(&mut text, &decoder);
        line(&mut text, "! video/x-raw(memory:NVMM),format=NV12");
        line(&mut text, "! videorate skip-to-first=true");
        line(
            &mut text,
            &format!("! capsfilter name=grid caps=\"video/x-raw(memory:NVMM),framerate={rate}\""),
        );
        line(&mut text, "! tee name=raw allow-not-linked=true");
        for rung in &self.ladder.rungs {
            text.push('\n');
            line(&mut text, &format!("raw. ! {}", queue(rung.name.as_str(), RAW_SURFACES)));
            let mut scaler = "! nvvidconv".to_owned();
            // 1 is bilinear.
            set("nvvidconv", "interpolation-method", "1", &mut scaler);
            line(&mut text, &scaler);
            line(
                &mut text,
                &format!(
                    "! video/x-raw(memory:NVMM),format=NV12,width={},height={},pixel-aspect-ratio=1/1",
                    rung.width, rung.height
                ),
            );
            line(&mut text, &self.jetson_encoder(jetson, rung));
            line(&mut text, "! h264parse ! video/x-h264,stream-format=avc,alignment=au");
            line(&mut text, &format!("! {}", sink(&format!("out-{}", rung.name))));
        }
        self.thumbnail(&mut text, "nvvidconv", "video/x-raw", ",format=I420");
        text
    }

    fn jetson_encoder(&self, jetson: &Jetson, rung: &Rung) -> String {
        // A rung at half rate gets half as many frames between the same key frames.
        let interval = self.ladder.frames_per_segment / if rung.half_rate { 2 } else { 1 };
        // control-rate 1 is constant_bitrate, profile 4 is High; rates are in bit/s.
        let mut text = format!(
            "! nvv4l2h264enc name=encoder-{} control-rate=1 bitrate={} iframeinterval={interval} idrinterval={interval} profile=4 insert-sps-pps=true",
            rung.name, rung.bitrate,
        );
        let vbv_bits = u64::from(rung.bitrate) * u64::from(VBV_MS) / 1000;
        let optional = [
            ("vbv-size", vbv_bits.to_string()),
            ("insert-vui", "true".to_owned()),
            ("num-B-Frames", "0".to_owned()),
            // 2: output order is decoding order.
            ("poc-type", "2".to_owned()),
            // 1 is UltraFastPreset, the one that reaches the documented number of streams.
            ("preset-level", "1".to_owned()),
            ("maxperf-enable", "true".to_owned()),
        ];
        for (property, value) in optional {
            if jetson.has("nvv4l2h264enc", property) {
                let _ = write!(text, " {property}={value}");
            }
        }
        text
    }

    fn thumbnail(&self, text: &mut String, scaler: &str, caps: &str, format: &str) {
        if self.thumbnail_s == 0 {
            return;
        }
        let picture = self.source.picture;
        let long = picture.width.max(picture.height).max(1);
        let edge = THUMBNAIL_EDGE.min(long);
        let scaled = |pixels: u32| (u64::from(pixels) * u64::from(edge) / u64::from(long) / 2 * 2).max(2);
        text.push('\n');
        line(
            text,
            "raw. ! queue name=queue-thumbnail leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0",
        );
        line(
            text,
            &format!(
                "! {scaler} ! {caps}{format},width={},height={},pixel-aspect-ratio=1/1",
                scaled(picture.width),
                scaled(picture.height)
            ),
        );
        line(text, &format!("! jpegenc quality=80 ! {}", sink("out-thumbnail")));
    }
}

/// The pipeline that makes AAC-LC stereo at 48 kHz of any AAC.
#[must_use]
pub fn describe_audio(bitrate: u32) -> String {
    let mut text = String::new();
    line(
        &mut text,
        "appsrc name=audio format=time is-live=true caps=\"audio/mpeg,mpegversion=4,stream-format=raw,framed=true\"",
    );
    line(&mut text, "! avdec_aac ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2");
    line(&mut text, &format!("! avenc_aac bitrate={bitrate} ! audio/mpeg,mpegversion=4,stream-format=raw"));
    line(&mut text, &format!("! {}", sink("out-audio")));
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn queue(name: &str, frames: u32) -> String {
    format!("queue name=queue-{name} max-size-buffers={frames} max-size-bytes=0 max-size-time=0")
}

/// What is taken out is bounded by the queues before it: the sink hands over each sample at once.
fn sink(name: &str) -> String {
    format!("appsink name={name} sync=false async=false enable-last-sample=false max-buffers=4")
}
