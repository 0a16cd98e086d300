//! The element `nodiscale`: smaller pictures for the software back end, by the ratios of [`area`]. GStreamer's own scaler
//! does any ratio and takes longer.

pub mod area;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_base as gst_base;
use gstreamer_video as gst_video;

/// Its name in pipelines.
pub const NAME: &str = "nodiscale";

glib::wrapper! {
    /// I420 in, I420 out, sizes as the neighbours say.
    pub struct Scaler(ObjectSubclass<imp::Scaler>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Makes the element known to this process.
///
/// # Errors
/// When GStreamer was not initialised.
pub fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, NAME, gst::Rank::NONE, Scaler::static_type())
}

mod imp {
    use std::sync::{LazyLock, Mutex};

    use gst::subclass::prelude::*;
    use gst_base::subclass::prelude::*;
    use gst_video::subclass::prelude::*;
    use gst_video::{VideoFilter, VideoFrameExt, VideoFrameRef};
    use gstreamer as gst;
    use gstreamer::glib;
    use gstreamer_base as gst_base;
    use gstreamer_video as gst_video;

    use super::area::{self, Ratio, Size};
    use crate::pipeline::run::lock;

    /// Y, U and V.
    const PLANES: u32 = 3;

    #[derive(Default)]
    pub struct Scaler {
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        /// Of the sizes that were agreed on.
        ratio: Option<Ratio>,
        /// Room for one line.
        line: Vec<u8>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Scaler {
        const NAME: &'static str = "NodiScaler";
        type Type = super::Scaler;
        type ParentType = VideoFilter;
    }

    impl ObjectImpl for Scaler {}
    impl GstObjectImpl for Scaler {}

    impl ElementImpl for Scaler {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Scaler",
                    "Filter/Converter/Video/Scaler",
                    "Scales I420",
                    "Nodi",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::I420).build();
                [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                    .into_iter()
                    .filter_map(|(name, direction)| {
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                    })
                    .collect()
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for Scaler {
        const MODE: gst_base::subclass::BaseTransformMode =
            gst_base::subclass::BaseTransformMode::NeverInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        /// The other side has any size; everything else stays.
        fn transform_caps(
            &self,
            _direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            let mut other = caps.clone();
            for structure in other.make_mut().iter_mut() {
                structure.set("width", gst::IntRange::new(1, i32::MAX));
                structure.set("height", gst::IntRange::new(1, i32::MAX));
                structure.remove_field("pixel-aspect-ratio");
            }
            Some(match filter {
                Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
                None => other,
            })
        }
    }

    impl VideoFilterImpl for Scaler {
        fn set_info(
            &self,
            _from_caps: &gst::Caps,
            from: &gst_video::VideoInfo,
            _to_caps: &gst::Caps,
            to: &gst_video::VideoInfo,
        ) -> Result<(), gst::LoggableError> {
            let (from, to) = ((from.width(), from.height()), (to.width(), to.height()));
            let ratio = Ratio::between(from, to);
            if ratio.is_none() {
                return Err(gst::loggable_error!(gst::CAT_RUST, "no ratio for {:?} to {:?}", from, to));
            }
            lock(&self.state).ratio = ratio;
            Ok(())
        }

        fn transform_frame(
            &self,
            from: &VideoFrameRef<&gst::BufferRef>,
            to: &mut VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let State { ratio, line } = &mut *lock(&self.state);
            let ratio = ratio.ok_or(gst::FlowError::NotNegotiated)?;
            for plane in 0..PLANES {
                let (taken, made) = (size(from, plane), size(to, plane));
                let (Ok(source), Ok(target)) = (from.plane_data(plane), to.plane_data_mut(plane)) else {
                    return Err(gst::FlowError::Error);
                };
                area::shrink(ratio, (source, taken), (target, made), line);
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }

    fn size(frame: &impl VideoFrameExt, plane: u32) -> Size {
        let stride = frame.plane_stride().get(plane as usize).copied().unwrap_or_default();
        Size {
            width: frame.comp_width(plane) as usize,
            height: frame.comp_height(plane) as usize,
            stride: usize::try_from(stride).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gst_video::prelude::*;
    use gstreamer_app as gst_app;

    use super::*;

    /// The planes of one picture of `from`, made by `videotestsrc`, at another size.
    fn scaled(pattern: &str, from: (u32, u32), to: (u32, u32)) -> Vec<Vec<u8>> {
        gst::init().unwrap();
        register().unwrap();
        let scaler = if from == to { "identity" } else { NAME };
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=1 {pattern} ! video/x-raw,format=I420,width={},height={} ! {scaler} \
             ! video/x-raw,width={},height={} ! appsink name=out sync=false",
            from.0, from.1, to.0, to.1
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let out = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        let sample = out.pull_sample().unwrap();
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        assert_eq!((info.width(), info.height()), to);
        let frame =
            gst_video::VideoFrame::from_buffer_readable(sample.buffer_owned().unwrap(), &info).unwrap();
        let planes = (0..3).map(|plane| {
            let (width, height) = (frame.comp_width(plane) as usize, frame.comp_height(plane) as usize);
            let stride = usize::try_from(frame.plane_stride()[plane as usize]).unwrap();
            let lines = frame.plane_data(plane).unwrap().chunks(stride);
            lines.take(height).flat_map(|line| line[..width].to_vec()).collect()
        });
        let planes = planes.collect();
        pipeline.set_state(gst::State::Null).unwrap();
        planes
    }

    #[test]
    fn one_colour_stays_one_colour() {
        for (from, to) in [
            ((1920, 1080), (1280, 720)),
            ((1920, 1080), (640, 360)),
            ((1280, 720), (640, 360)),
            // Lines that are longer in memory.
            ((852, 480), (568, 320)),
        ] {
            for plane in scaled("pattern=solid-color foreground-color=0xff2060a0", from, to) {
                assert!(plane.iter().all(|value| *value == plane[0]), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn what_is_left_stays_left() {
        let bars = scaled("pattern=smpte", (1280, 720), (640, 360));
        let whole = scaled("pattern=smpte", (1280, 720), (1280, 720));
        for x in [40, 140, 240, 400, 600] {
            for (plane, shift) in [(0, 0), (1, 1), (2, 1)] {
                let small = bars[plane][(80 >> shift) * (640 >> shift) + (x >> shift)];
                let large = whole[plane][(160 >> shift) * (1280 >> shift) + ((2 * x) >> shift)];
                assert_eq!(small, large, "column {x} of plane {plane}");
            }
        }
    }
}
