//! A pipeline at work: compressed tags go in, encoded frames with their number on the grid come out.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::controls::Controls;
use super::describe::{self, Plan};
use super::scaler;
use crate::backend::Backend;
use crate::overload::DROP_ABOVE;

/// Compressed frames waiting for the decoder; when there are more, the input waits (a file) or the lag says so (live).
const INPUT_FRAMES: u64 = 8;

/// How often a full input is looked at again.
const INPUT_POLL: Duration = Duration::from_millis(4);

/// What a probe returns for a picture that goes no further. `Drop` would do as well, but the bindings and GStreamer
/// would then both release the picture, which GStreamer complains about each time.
const LEAVE_OUT: gst::PadProbeReturn = gst::PadProbeReturn::Handled;

/// Why a pipeline ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("the pipeline cannot be made: {0}")]
    Make(String),
    #[error("the pipeline does not start: {0}")]
    Start(String),
    #[error("{0}")]
    Failed(String),
    #[error("the pipeline does not move for {} s", .0.as_secs())]
    Stuck(Duration),
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    Frame(Encoded),
    Audio {
        /// In nanoseconds of the pipeline's clock.
        pts_ns: u64,
        /// AudioSpecificConfig.
        config: Bytes,
        data: Bytes,
    },
    /// A JPEG.
    Thumbnail(Bytes),
    /// A picture was dropped before the encoder of one rung, or before all.
    Dropped {
        rung: Option<usize>,
    },
}

/// One encoded picture.
#[derive(Debug)]
pub struct Encoded {
    /// Number in the ladder.
    pub rung: usize,
    /// Number on the grid; the first picture of a pipeline has 0.
    pub index: u64,
    /// In frames of the grid.
    pub duration: u32,
    pub keyframe: bool,
    /// AVCDecoderConfigurationRecord.
    pub config: Bytes,
    pub data: Bytes,
    /// Since the picture came in.
    pub lag: Duration,
}

/// Takes what comes out; `false` ends the pipeline. Called from the pipeline's threads.
pub type Sink = Arc<dyn Fn(Output) -> bool + Send + Sync>;

/// One pipeline, from its start to [`Running::finish`]. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    state: Arc<State>,
    controls: Option<Arc<Controls>>,
}

/// Told by the pipeline's bus.
#[derive(Debug, Default)]
struct State {
    news: Mutex<News>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct News {
    ended: bool,
    error: Option<String>,
}

impl Running {
    /// Starts decoding, scaling and encoding as `plan` says. `config` is the source's AVCDecoderConfigurationRecord.
    ///
    /// # Errors
    /// When GStreamer cannot make or start the pipeline.
    pub fn start(
        plan: &Plan,
        config: &Bytes,
        live: bool,
        follow_source: bool,
        sink: &Sink,
    ) -> Result<Self, Error> {
        scaler::register().map_err(|error| Error::Make(error.to_string()))?;
        let text = plan.describe();
        log::debug!("pipeline:\n{text}");
        let pipeline = parse(&text)?;
        let controls = Arc::new(Controls::new(plan, live, follow_source));
        let source = appsrc(&pipeline, "video")?;
        set_codec_data(&source, config);
        grid_probe(&pipeline, plan, &controls, sink)?;
        for (number, rung) in plan.ladder.rungs.iter().enumerate() {
            rung_probe(&pipeline, plan, number, rung.name.as_str(), &controls, sink)?;
            let out = appsink(&pipeline, &format!("out-{}", rung.name))?;
            encoded_to(&out, number, &controls, sink);
        }
        if plan.thumbnail_s > 0 {
            thumbnail_probe(&pipeline, plan.thumbnail_s, &controls)?;
            thumbnails_to(&appsink(&pipeline, "out-thumbnail")?, sink);
        }
        Self::play(pipeline, source, Some(controls))
    }

    fn play(
        pipeline: gst::Pipeline,
        source: gst_app::AppSrc,
        controls: Option<Arc<Controls>>,
    ) -> Result<Self, Error> {
        // Bounded here, not by the element: an element that blocks does not notice that the pipeline failed.
        source.set_block(false);
        source.set_max_bytes(0);
        let state = Arc::new(State::default());
        watch(&pipeline, &state);
        let running = Self { pipeline, source, state, controls };
        running.pipeline.set_state(gst::State::Playing).map_err(|error| {
            Error::Start(lock(&running.state.news).error.clone().unwrap_or_else(|| error.to_string()))
        })?;
        Ok(running)
    }

    /// For video pipelines: what can be changed.
    #[must_use]
    pub fn controls(&self) -> Option<&Arc<Controls>> {
        self.controls.as_ref()
    }

    /// Hands in one frame; waits while the decoder has enough.
    ///
    /// # Errors
    /// When the pipeline failed, or takes nothing for `patience`.
    pub fn push(&self, frame: Compressed, patience: Duration) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            self.check()?;
            if self.source.current_level_buffers() < INPUT_FRAMES {
                break;
            }
            if started.elapsed() > patience {
                return Err(Error::Stuck(patience));
            }
            std::thread::sleep(INPUT_POLL);
        }
        if let Some(controls) = &self.controls {
            controls.arrived(frame.pts_ns, frame.arrival);
        }
        let mut buffer = gst::Buffer::from_slice(frame.data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(frame.pts_ns));
            buffer.set_dts(frame.dts_ns.map(gst::ClockTime::from_nseconds));
            if !frame.keyframe {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.source.push_buffer(buffer).map(drop).map_err(|error| Error::Failed(error.to_string()))
    }

    /// Whether the pipeline still works.
    ///
    /// # Errors
    /// With what it said when it failed.
    pub fn check(&self) -> Result<(), Error> {
        match &lock(&self.state.news).error {
            Some(error) => Err(Error::Failed(error.clone())),
            None => Ok(()),
        }
    }

    /// Says that nothing follows, and waits until all that was handed in has come out.
    ///
    /// # Errors
    /// When the pipeline failed, or does not end within `patience`.
    pub fn finish(self, patience: Duration) -> Result<(), Error> {
        self.source.end_of_stream().map_err(|error| Error::Failed(error.to_string()))?;
        let news = lock(&self.state.news);
        let (news, _) = self
            .state
            .changed
            .wait_timeout_while(news, patience, |news| !news.ended && news.error.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match (&news.error, news.ended) {
            (Some(error), _) => Err(Error::Failed(error.clone())),
            (None, true) => Ok(()),
            (None, false) => Err(Error::Stuck(patience)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to do for a pipeline that does not even stop.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// One frame of the source.
#[derive(Debug, Clone)]
pub struct Compressed {
    pub pts_ns: u64,
    pub dts_ns: Option<u64>,
    pub keyframe: bool,
    pub data: Bytes,
    pub arrival: Instant,
}

/// AAC that cannot be passed on becomes AAC-LC.
#[derive(Debug)]
pub struct AudioEncoder(Running);

impl AudioEncoder {
    /// `config` is the source's AudioSpecificConfig.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub fn start(config: &Bytes, bitrate: u32, sink: &Sink) -> Result<Self, Error> {
        let text = describe::describe_audio(bitrate);
        log::debug!("audio pipeline:\n{text}");
        let pipeline = parse(&text)?;
        let source = appsrc(&pipeline, "audio")?;
        set_codec_data(&source, config);
        let out = appsink(&pipeline, "out-audio")?;
        let sink = Arc::clone(sink);
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |out| {
            let sample = out.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some((pts, _, data)) = contents(&sample) else { return Ok(gst::FlowSuccess::Ok) };
            let config = codec_data(&sample).unwrap_or_default();
            forward(&sink, Output::Audio { pts_ns: pts, config, data })
        });
        out.set_callbacks(callbacks.build());
        Running::play(pipeline, source, None).map(Self)
    }

    /// As [`Running::push`].
    ///
    /// # Errors
    /// As [`Running::push`].
    pub fn push(&self, frame: Compressed, patience: Duration) -> Result<(), Error> {
        self.0.push(frame, patience)
    }

    /// As [`Running::finish`].
    ///
    /// # Errors
    /// As [`Running::finish`].
    pub fn finish(self, patience: Duration) -> Result<(), Error> {
        self.0.finish(patience)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse(text: &str) -> Result<gst::Pipeline, Error> {
    gst::parse::launch(text)
        .map_err(|error| Error::Make(error.to_string()))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| Error::Make("not a pipeline".to_owned()))
}

fn element(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element, Error> {
    pipeline.by_name(name).ok_or_else(|| Error::Make(format!("no element {name}")))
}

fn pad(element: &gst::Element, name: &str) -> Result<gst::Pad, Error> {
    element.static_pad(name).ok_or_else(|| Error::Make(format!("{} has no pad {name}", element.name())))
}

fn appsrc(pipeline: &gst::Pipeline, name: &str) -> Result<gst_app::AppSrc, Error> {
    element(pipeline, name)?.downcast().map_err(|_| Error::Make(format!("{name} is no appsrc")))
}

fn appsink(pipeline: &gst::Pipeline, name: &str) -> Result<gst_app::AppSink, Error> {
    element(pipeline, name)?.downcast().map_err(|_| Error::Make(format!("{name} is no appsink")))
}

fn set_codec_data(source: &gst_app::AppSrc, config: &Bytes) {
    if let Some(mut caps) = source.caps() {
        caps.make_mut().set("codec_data", gst::Buffer::from_slice(config.clone()));
        source.set_caps(Some(&caps));
    }
}

fn watch(pipeline: &gst::Pipeline, state: &Arc<State>) {
    let Some(bus) = pipeline.bus() else { return };
    let state = Arc::clone(state);
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Eos(_) => lock(&state.news).ended = true,
            gst::MessageView::Error(error) => {
                let from = error.src().map(|src| src.name().to_string()).unwrap_or_default();
                let mut news = lock(&state.news);
                // The first one is the cause; what follows are its consequences.
                news.error.get_or_insert_with(|| format!("{from}: {}", error.error()));
            }
            gst::MessageView::Warning(warning) => log::debug!("pipeline: {}", warning.error()),
            _ => {}
        }
        state.changed.notify_all();
        gst::BusSyncReply::Drop
    });
}

/// Between the constant frame rate and the rungs: numbers pictures, drops them when they are late, and asks
/// software encoders for key frames.
fn grid_probe(
    pipeline: &gst::Pipeline,
    plan: &Plan,
    controls: &Arc<Controls>,
    sink: &Sink,
) -> Result<(), Error> {
    let grid = pad(&element(pipeline, "grid")?, "src")?;
    let (controls, sink) = (Arc::clone(controls), Arc::clone(sink));
    // NVIDIA's encoder ignores the event; it counts frames instead.
    let by_event = matches!(plan.backend, Backend::Software(_));
    grid.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()).map(gst::ClockTime::nseconds) else {
            return LEAVE_OUT;
        };
        let index = controls.rate.index_at(pts);
        let first = controls.first().unwrap_or_else(|| {
            controls.first.store(index, Ordering::Release);
            index
        });
        let key = controls.is_key(index);
        if controls.live && !key && index != first && controls.lag(pts) > DROP_ABOVE {
            // Whether anybody listens is noticed where frames are handed over.
            let _ = sink(Output::Dropped { rung: None });
            return LEAVE_OUT;
        }
        if key {
            // From a segment's start on, so that all of one segment has one rate.
            for rung in &controls.rungs {
                rung.segment_starts(index);
            }
            controls.keys_done(index);
        }
        // Not on the first picture: it is a key frame anyway, and x264enc 1.22 would then ignore every later request.
        if by_event && key && index != first {
            let event = gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build();
            pad.push_event(event);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Before one rung's queue and encoder: keeps pictures away that it is not to encode.
fn rung_probe(
    pipeline: &gst::Pipeline,
    plan: &Plan,
    number: usize,
    name: &str,
    controls: &Arc<Controls>,
    sink: &Sink,
) -> Result<(), Error> {
    let queue = element(pipeline, &format!("queue-{name}"))?;
    let entry = pad(&queue, "sink")?;
    let (shared, sink) = (Arc::clone(controls), Arc::clone(sink));
    let most: u32 = queue.property("max-size-buffers");
    let queue = queue.downgrade();
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let (Some(rung), Some(pts)) =
            (shared.rungs.get(number), info.buffer().and_then(|buffer| buffer.pts()))
        else {
            return gst::PadProbeReturn::Ok;
        };
        if rung.gone.load(Ordering::Acquire) {
            return LEAVE_OUT;
        }
        let index = shared.rate.index_at(pts.nseconds());
        let odd = index.wrapping_sub(shared.first().unwrap_or(0)) % 2 == 1;
        if odd && rung.is_half(index) {
            return LEAVE_OUT;
        }
        // A rung that is too slow loses pictures; waiting for it would hold up the others. Key frames are waited for.
        let waiting = || queue.upgrade().map_or(0, |queue| queue.property::<u32>("current-level-buffers"));
        if shared.live && waiting() >= most && !shared.is_key(index) {
            let _ = sink(Output::Dropped { rung: Some(number) });
            return LEAVE_OUT;
        }
        gst::PadProbeReturn::Ok
    });
    if !matches!(plan.backend, Backend::Jetson(_)) {
        return Ok(());
    }
    let encoder = element(pipeline, &format!("encoder-{name}"))?;
    let entry = pad(&encoder, "sink")?;
    let shared = Arc::clone(controls);
    let started_half = plan.ladder.rungs.get(number).is_some_and(|rung| rung.half_rate);
    let encoder = encoder.downgrade();
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let (Some(rung), Some(pts)) =
            (shared.rungs.get(number), info.buffer().and_then(|buffer| buffer.pts()))
        else {
            return gst::PadProbeReturn::Ok;
        };
        let index = shared.rate.index_at(pts.nseconds());
        // An encoder that counts frames meets the grid only half as often once every second one is missing.
        let halved = !started_half && rung.is_half(index);
        let first = shared.first() == Some(index);
        if (rung.resync.load(Ordering::Acquire) || halved || first) && shared.is_key(index) {
            rung.resync.store(false, Ordering::Release);
            if let Some(encoder) = encoder.upgrade() {
                encoder.emit_by_name::<()>("force-IDR", &[]);
            }
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn thumbnail_probe(pipeline: &gst::Pipeline, every_s: u32, controls: &Arc<Controls>) -> Result<(), Error> {
    let queue = pad(&element(pipeline, "queue-thumbnail")?, "sink")?;
    let controls = Arc::clone(controls);
    let interval = u64::from(every_s) * 1_000_000_000;
    queue.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts()).map_or(0, gst::ClockTime::nseconds);
        if pts < controls.next_thumbnail.load(Ordering::Relaxed) {
            return LEAVE_OUT;
        }
        controls.next_thumbnail.store(pts + interval, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Running time, whether it is a key frame, and the bytes, which are not copied.
fn contents(sample: &gst::Sample) -> Option<(u64, bool, Bytes)> {
    let buffer = sample.buffer_owned()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    // x264enc's timestamps start at 1000 hours, with a segment that says so.
    let time = segment.to_running_time(buffer.pts()?)?;
    let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let data = Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?);
    Some((time.nseconds(), keyframe, data))
}

fn codec_data(sample: &gst::Sample) -> Option<Bytes> {
    let buffer = sample.caps()?.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    Some(Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?))
}

fn forward(sink: &Sink, output: Output) -> Result<gst::FlowSuccess, gst::FlowError> {
    if sink(output) { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Eos) }
}

fn encoded_to(out: &gst_app::AppSink, rung: usize, controls: &Arc<Controls>, sink: &Sink) {
    let (controls, sink) = (Arc::clone(controls), Arc::clone(sink));
    let mut seen: Option<(gst::Caps, Bytes)> = None;
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |out| {
        let sample = out.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let Some((time, keyframe, data)) = contents(&sample) else { return Ok(gst::FlowSuccess::Ok) };
        let caps = sample.caps_owned();
        let config = match (&seen, caps) {
            (Some((before, config)), Some(caps)) if *before == caps => config.clone(),
            (_, caps) => {
                let config = codec_data(&sample).unwrap_or_default();
                seen = caps.map(|caps| (caps, config.clone()));
                config
            }
        };
        let index = controls.rate.index_at(time);
        let half = controls.rungs.get(rung).is_some_and(|rung| rung.is_half(index));
        let encoded = Encoded {
            rung,
            index: index.saturating_sub(controls.first().unwrap_or(0)),
            duration: if half { 2 } else { 1 },
            keyframe,
            config,
            data,
            lag: controls.lag(time),
        };
        forward(&sink, Output::Frame(encoded))
    });
    out.set_callbacks(callbacks.build());
}

fn thumbnails_to(out: &gst_app::AppSink, sink: &Sink) {
    let sink = Arc::clone(sink);
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |out| {
        let sample = out.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        match contents(&sample) {
            Some((_, _, jpeg)) => forward(&sink, Output::Thumbnail(jpeg)),
            None => Ok(gst::FlowSuccess::Ok),
        }
    });
    out.set_callbacks(callbacks.build());
}
