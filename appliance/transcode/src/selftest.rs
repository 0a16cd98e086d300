//! A synthetic stream through decoder, scaler, encoders and cutter into a spool of its own, and a look at what came
//! out: whether this machine can do its work, told without a streamer. It takes what is left of the machine, so
//! that live sessions do not notice.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use nodi_protocol::Rendition;
use nodi_spool::layout;
use nodi_spool::{Backend, Entry, WorkerStatus};
use serde::Serialize;

use crate::config::{Config, Pace};
use crate::worker::{self, Stop};

/// Four segments of the usual length: one that starts, two whole ones in between, and the last.
pub const SECONDS: u32 = 8;
const FPS: u32 = 30;
/// A segment may be short of this much of the stream: what the frame grid and AAC's priming take.
const TOLERANCE_S: f64 = 0.5;
/// The lowest priority: every live session comes first.
const NICE: i32 = 19;
/// The source is made faster than it plays; longer means that it hangs.
const LONGEST: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// What the test found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub passed: bool,
    /// Each in plain words; empty when it passed.
    pub failures: Vec<String>,
    /// `jetson` or `software`.
    pub backend: Option<Backend>,
    /// Of the synthetic stream, in seconds.
    pub media_s: u32,
    /// Media time handled per wall-clock time, with whatever else ran beside it.
    pub speed: Option<f64>,
    pub renditions: Vec<RenditionReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RenditionReport {
    pub name: String,
    /// That are finished and hold something.
    pub segments: usize,
    pub duration_s: f64,
    pub bytes: u64,
    /// Every one of them starts with a key frame. Absent: audio.
    pub starts_with_key_frames: Option<bool>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("synthetic stream: {0}")]
    Source(String),
    #[error("temporary spool: {0}")]
    Spool(#[from] std::io::Error),
    #[error(transparent)]
    Worker(#[from] worker::Error),
}

/// Runs the test with the box's configuration; nothing of it reaches the box's spool.
///
/// # Errors
/// When the source cannot be made, or the worker fails.
pub fn run(config: &Config) -> Result<Report, Error> {
    yield_to_live();
    gst::init().map_err(worker::Error::from)?;
    let height = config.ladder.iter().map(|rung| rung.height).max().unwrap_or(720);
    let flv = source(height)?;
    let spool = tempfile::tempdir()?;
    let config = Config {
        spool: spool.path().to_owned(),
        pace: Pace::File,
        min_free_bytes: 0,
        sync_segments: false,
        ..config.clone()
    };
    let started = Instant::now();
    worker::run(&config, Cursor::new(flv), &Stop::default())?;
    let speed = f64::from(SECONDS) / started.elapsed().as_secs_f64();
    let mut report = inspect(&config, spool.path())?;
    report.speed = Some((speed * 100.0).round() / 100.0);
    Ok(report)
}

/// Takes only what live sessions leave of the machine, from now on.
pub fn yield_to_live() {
    if let Err(error) = rustix::process::nice(NICE) {
        log::warn!(error:%; "running at the usual priority");
    }
}

/// FLV as a publisher sends it: H.264 with a key frame every two seconds, and AAC.
fn source(height: u32) -> Result<Vec<u8>, Error> {
    let has = |name: &str| gst::ElementFactory::find(name).is_some();
    let width = (height * 16 / 9) & !1;
    let interval = FPS * 2;
    // An image for the board need not have a software encoder.
    let encoder = if has("x264enc") {
        format!(
            "x264enc speed-preset=ultrafast tune=zerolatency bitrate=4000 key-int-max={interval} bframes=0"
        )
    } else if has("nvv4l2h264enc") {
        format!(
            "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc bitrate=4000000 iframeinterval={interval} \
             idrinterval={interval} insert-sps-pps=true"
        )
    } else {
        return Err(Error::Source("there is neither x264enc nor nvv4l2h264enc".to_owned()));
    };
    let audio = ["avenc_aac", "fdkaacenc", "voaacenc"]
        .into_iter()
        .find(|name| has(name))
        .ok_or_else(|| Error::Source("there is no AAC encoder".to_owned()))?;
    // 48 buffers of 1000 samples are a second.
    let text = format!(
        "flvmux name=mux streamable=true ! appsink name=out sync=false \
         videotestsrc num-buffers={} pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate={FPS}/1 \
         ! {encoder} ! h264parse ! queue ! mux. \
         audiotestsrc num-buffers={} samplesperbuffer=1000 ! audio/x-raw,rate=48000,channels=2 ! audioconvert \
         ! {audio} ! aacparse ! queue ! mux.",
        SECONDS * FPS,
        SECONDS * 48,
    );
    let failed = |error: &dyn std::fmt::Display| Error::Source(error.to_string());
    let pipeline = gst::parse::launch(&text).map_err(|error| failed(&error))?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| Error::Source("its description makes no pipeline".to_owned()))?;
    let sink = pipeline
        .by_name("out")
        .and_then(|element| element.downcast::<gst_app::AppSink>().ok())
        .ok_or_else(|| Error::Source("its pipeline has no end".to_owned()))?;
    let made = collect(&pipeline, &sink);
    // Whatever came of it, its threads end.
    let _ = pipeline.set_state(gst::State::Null);
    made
}

fn collect(pipeline: &gst::Pipeline, sink: &gst_app::AppSink) -> Result<Vec<u8>, Error> {
    pipeline.set_state(gst::State::Playing).map_err(|error| Error::Source(error.to_string()))?;
    let mut flv = Vec::new();
    while let Some(sample) = sink.try_pull_sample(LONGEST) {
        if let Some(map) = sample.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            flv.extend_from_slice(&map);
        }
    }
    if let Some(bus) = pipeline.bus() {
        while let Some(message) = bus.pop() {
            if let gst::MessageView::Error(error) = message.view() {
                return Err(Error::Source(error.error().to_string()));
            }
        }
    }
    if sink.is_eos() && !flv.is_empty() {
        Ok(flv)
    } else {
        Err(Error::Source(format!("not made within {} s", LONGEST.seconds())))
    }
}

/// What one index says.
#[derive(Debug, Default)]
struct Written {
    rendition: Option<Rendition>,
    /// Whether the first part of a segment is independent.
    starts: BTreeMap<u64, bool>,
    /// Finished ones that hold something: start, duration, length.
    finished: BTreeMap<u64, (u64, u64, u64)>,
}

fn inspect(config: &Config, spool: &Path) -> Result<Report, Error> {
    let mut report = Report {
        passed: false,
        failures: Vec::new(),
        backend: None,
        media_s: SECONDS,
        speed: None,
        renditions: Vec::new(),
    };
    let Some(session) = only_directory(spool)?.and_then(|channel| only_directory(&channel).transpose())
    else {
        report.failures.push("nothing was written".to_owned());
        return Ok(report);
    };
    let session = session?;
    if let Ok(text) = std::fs::read(session.join(layout::STATUS))
        && let Ok(status) = serde_json::from_slice::<WorkerStatus>(&text)
    {
        report.backend = Some(status.backend);
    }
    let mut boundaries: Option<Vec<(u64, u64)>> = None;
    for item in std::fs::read_dir(&session)? {
        let directory = item?.path();
        let Ok(index) = std::fs::read(directory.join(layout::INDEX)) else { continue };
        let written = read_index(&index);
        let Some(rendition) = &written.rendition else { continue };
        report.look_at(rendition, &written, &directory);
        if rendition.is_video() {
            let cuts = written.finished.values().map(|(start, duration, _)| (*start, *duration)).collect();
            if boundaries.get_or_insert_with(|| Vec::clone(&cuts)) != &cuts {
                report.failures.push(format!("{} is cut at other times than the others", rendition.name));
            }
        }
    }
    report.renditions.sort_by(|one, other| one.name.cmp(&other.name));
    let video = report.renditions.iter().filter(|one| one.starts_with_key_frames.is_some()).count();
    if video < config.ladder.len() {
        report.failures.push(format!("{video} of {} rungs were written", config.ladder.len()));
    }
    if video == report.renditions.len() {
        report.failures.push("no audio was written".to_owned());
    }
    report.passed = report.failures.is_empty();
    Ok(report)
}

impl Report {
    fn look_at(&mut self, rendition: &Rendition, written: &Written, directory: &Path) {
        let name = rendition.name.to_string();
        #[allow(clippy::cast_precision_loss, reason = "seconds of a short stream")]
        let duration_s =
            written.finished.values().map(|(_, duration, _)| *duration).sum::<u64>() as f64 / 1e9;
        let key_frames = written.finished.keys().all(|seq| written.starts.get(seq) == Some(&true));
        let missing = f64::from(SECONDS) - duration_s;
        if missing > TOLERANCE_S {
            self.failures.push(format!("{name} holds {duration_s:.1} s of {SECONDS} s"));
        }
        if rendition.is_video() && !key_frames {
            self.failures.push(format!("not every segment of {name} starts with a key frame"));
        }
        let on_disk = |(seq, (_, _, len)): (&u64, &(u64, u64, u64))| {
            std::fs::metadata(directory.join(layout::segment(*seq))).is_ok_and(|found| found.len() == *len)
        };
        if !written.finished.iter().all(on_disk) {
            self.failures.push(format!("files of {name} are not as long as its index says"));
        }
        self.renditions.push(RenditionReport {
            name,
            segments: written.finished.len(),
            duration_s: (duration_s * 1000.0).round() / 1000.0,
            bytes: written.finished.values().map(|(_, _, len)| *len).sum(),
            starts_with_key_frames: rendition.is_video().then_some(key_frames),
        });
    }
}

fn read_index(index: &[u8]) -> Written {
    let mut written = Written::default();
    let mut starts_ns = BTreeMap::new();
    for line in index.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match Entry::parse(line) {
            Ok(Entry::Init { rendition, .. }) => written.rendition = Some(rendition),
            Ok(Entry::Open { seq, start_ns, .. }) => {
                starts_ns.insert(seq, start_ns);
            }
            Ok(Entry::Part { seq, part: 0, independent, .. }) => {
                written.starts.insert(seq, independent);
            }
            Ok(Entry::Segment { seq, len, duration_ns }) if len > 0 => {
                let start_ns = starts_ns.get(&seq).copied().unwrap_or_default();
                written.finished.insert(seq, (start_ns, duration_ns, len));
            }
            Ok(_) => {}
            Err(error) => log::warn!(error:%; "a line of an index"),
        }
    }
    written
}

fn only_directory(path: &Path) -> std::io::Result<Option<std::path::PathBuf>> {
    for item in std::fs::read_dir(path)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            return Ok(Some(item.path()));
        }
    }
    Ok(None)
}
