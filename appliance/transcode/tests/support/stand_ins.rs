//! NVIDIA's elements as bins around software ones: the names, pads, memory features, properties and signals are those of
//! the property table, the pictures are real. They lie in one point only: what they call NVMM is system memory.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use glib::translate::{FromGlib, FromGlibPtrNone, IntoGlib};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer_base as gst_base;
use gstreamer_base::subclass::prelude::*;
use gstreamer_video as gst_video;
use nodi_transcode::elements::{Kind, Property, Table};

/// Makes the encoder fail to open, as it does where the board has none.
pub(crate) static ENCODER_FAILS: AtomicBool = AtomicBool::new(false);

/// How long encoders that make more than [`SLOW_ABOVE`] bit/s take for a picture, in ms.
pub(crate) static SLOW_MS: AtomicU64 = AtomicU64::new(0);
pub(crate) const SLOW_ABOVE: u32 = 500_000;

/// How often any encoder was asked for an IDR picture by signal.
pub(crate) static FORCED: AtomicU64 = AtomicU64::new(0);

/// What the video engines' memory is called.
const NVMM: &str = "memory:NVMM";

/// A board with decoder and scaler; with `encoder` also that.
pub(crate) fn register(encoder: bool) {
    gst::init().unwrap();
    gst::Element::register(None, "nvv4l2decoder", gst::Rank::NONE, Decoder::static_type()).unwrap();
    gst::Element::register(None, "nvvidconv", gst::Rank::NONE, Scaler::static_type()).unwrap();
    if encoder {
        gst::Element::register(None, "nvv4l2h264enc", gst::Rank::NONE, Encoder::static_type()).unwrap();
    }
}

fn table(name: &str) -> &'static nodi_transcode::elements::Element {
    Table::get().element(name).unwrap()
}

/// GObject's descriptions of the table's properties.
fn specs(name: &str) -> Vec<glib::ParamSpec> {
    table(name).property.iter().map(|property| spec(name, property)).collect()
}

fn spec(element: &str, property: &Property) -> glib::ParamSpec {
    let name = &property.name;
    match &property.kind {
        Kind::Bool { default } => glib::ParamSpecBoolean::builder(name).default_value(*default).build(),
        Kind::Uint { min, max, default } => {
            glib::ParamSpecUInt::builder(name).minimum(*min).maximum(*max).default_value(*default).build()
        }
        Kind::Uint64 { min, max, default } => {
            glib::ParamSpecUInt64::builder(name).minimum(*min).maximum(*max).default_value(*default).build()
        }
        Kind::String { default } => {
            glib::ParamSpecString::builder(name).default_value(Some(default.as_str())).build()
        }
        Kind::Enum { values, default } => enum_spec(element, name, values.iter(), *default),
    }
}

#[allow(unsafe_code, reason = "the bindings register enumerations only from Rust types, not from a table")]
fn enum_spec<'a>(
    element: &str,
    name: &str,
    values: impl Iterator<Item = (&'a String, &'a i32)>,
    default: i32,
) -> glib::ParamSpec {
    let leak = |text: &str| CString::new(text).unwrap().into_raw();
    let mut list: Vec<glib::gobject_ffi::GEnumValue> = values
        .map(|(nick, value)| glib::gobject_ffi::GEnumValue {
            value: *value,
            value_name: leak(nick),
            value_nick: leak(nick),
        })
        .collect();
    list.push(glib::gobject_ffi::GEnumValue {
        value: 0,
        value_name: std::ptr::null(),
        value_nick: std::ptr::null(),
    });
    let type_name: String =
        format!("StandIn{element}{name}").chars().filter(char::is_ascii_alphanumeric).collect();
    // SAFETY: the list ends with a null entry and, like its texts, is never freed; names are NUL-terminated.
    unsafe {
        let gtype = glib::gobject_ffi::g_enum_register_static(leak(&type_name), Vec::leak(list).as_ptr());
        assert!(glib::Type::from_glib(gtype) != glib::Type::INVALID);
        let spec = glib::gobject_ffi::g_param_spec_enum(
            leak(name),
            leak(name),
            leak(name),
            gtype,
            default,
            glib::ParamFlags::READWRITE.into_glib(),
        );
        glib::ParamSpec::from_glib_none(spec)
    }
}

fn templates(name: &str) -> Vec<gst::PadTemplate> {
    let element = table(name);
    [("sink", gst::PadDirection::Sink, &element.sink), ("src", gst::PadDirection::Src, &element.src)]
        .into_iter()
        .map(|(name, direction, caps)| {
            gst::PadTemplate::new(
                name,
                direction,
                gst::PadPresence::Always,
                &caps.parse::<gst::Caps>().unwrap(),
            )
            .unwrap()
        })
        .collect()
}

/// What was set, or the default.
#[derive(Default)]
pub(crate) struct Values(Mutex<HashMap<String, Set>>);

/// A value in a form that may change threads.
enum Set {
    Number(i64),
    Text(Option<String>),
}

impl Values {
    fn set(&self, value: &glib::Value, spec: &glib::ParamSpec) {
        let set = match value.get::<Option<String>>() {
            Ok(text) => Set::Text(text),
            Err(_) => Set::Number(value.transform::<i64>().unwrap().get().unwrap()),
        };
        self.0.lock().unwrap().insert(spec.name().to_owned(), set);
    }

    fn get(&self, spec: &glib::ParamSpec) -> glib::Value {
        match self.0.lock().unwrap().get(spec.name()) {
            None => spec.default_value().clone(),
            Some(Set::Text(text)) => text.to_value(),
            Some(Set::Number(number)) => number.to_value().transform_with_type(spec.value_type()).unwrap(),
        }
    }
}

/// Puts `children` in a row and gives `bin` the ends' pads.
fn assemble(bin: &gst::Bin, children: &[&gst::Element]) {
    bin.add_many(children).unwrap();
    gst::Element::link_many(children).unwrap();
    for (name, child) in [("sink", children.first().unwrap()), ("src", children.last().unwrap())] {
        let template = bin.pad_template(name).unwrap();
        let target = child.static_pad(name).unwrap();
        let ghost =
            gst::GhostPad::builder_from_template_with_target(&template, &target).unwrap().name(name).build();
        bin.add_pad(&ghost).unwrap();
    }
}

fn make(name: &str) -> gst::Element {
    gst::ElementFactory::make(name).build().unwrap()
}

fn caps_filter(caps: &str) -> gst::Element {
    gst::ElementFactory::make("capsfilter")
        .property("caps", caps.parse::<gst::Caps>().unwrap())
        .build()
        .unwrap()
}

mod imp {
    use super::*;

    /// Calls pictures NVMM, or system memory.
    #[derive(Default)]
    pub struct Rename {
        /// 1: NVMM comes in, system memory goes out. 2: system memory comes in, NVMM goes out. 3: as 1, but takes system
        /// memory also. 4: as 2, but gives system memory also.
        pub kind: AtomicU64,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Rename {
        const NAME: &'static str = "StandInRename";
        type Type = super::Rename;
        type ParentType = gst_base::BaseTransform;
    }

    impl ObjectImpl for Rename {}
    impl GstObjectImpl for Rename {}

    impl ElementImpl for Rename {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new("Rename", "Filter", "Renames memory", "Nodi")
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst::Caps::new_any();
                [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                    .map(|(name, direction)| {
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).unwrap()
                    })
                    .to_vec()
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for Rename {
        const MODE: gst_base::subclass::BaseTransformMode =
            gst_base::subclass::BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = true;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn transform_caps(
            &self,
            direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            let kind = self.kind.load(Ordering::Relaxed);
            let nvmm_outside = matches!(
                (kind, direction),
                (1 | 3, gst::PadDirection::Src) | (2 | 4, gst::PadDirection::Sink)
            );
            if caps.is_any() {
                // What is not linked yet could be anything.
                return Some(filter.cloned().unwrap_or_else(gst::Caps::new_any));
            }
            let mut other = gst::Caps::new_empty();
            {
                let other = other.get_mut().unwrap();
                for structure in caps.iter() {
                    if nvmm_outside {
                        other.append_structure_full(
                            structure.to_owned(),
                            Some(gst::CapsFeatures::new([NVMM])),
                        );
                    }
                    if !nvmm_outside || kind >= 3 {
                        other.append_structure_full(structure.to_owned(), None);
                    }
                }
            }
            Some(match filter {
                Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
                None => other,
            })
        }

        fn transform_ip(&self, _buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
            Ok(gst::FlowSuccess::Ok)
        }
    }

    macro_rules! stand_in {
        ($type:ident, $name:literal) => {
            #[derive(Default)]
            pub struct $type {
                values: Values,
            }

            #[glib::object_subclass]
            impl ObjectSubclass for $type {
                const NAME: &'static str = concat!("StandIn", stringify!($type));
                type Type = super::$type;
                type ParentType = gst::Bin;
            }

            impl ObjectImpl for $type {
                fn properties() -> &'static [glib::ParamSpec] {
                    static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| specs($name));
                    &SPECS
                }

                fn signals() -> &'static [glib::subclass::Signal] {
                    static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
                        let signals = table($name).signal.iter();
                        signals
                            .map(|name| {
                                glib::subclass::Signal::builder(name)
                                    .action()
                                    .class_handler(|values| {
                                        forced(&values[0].get::<gst::Bin>().unwrap());
                                        None
                                    })
                                    .build()
                            })
                            .collect()
                    });
                    &SIGNALS
                }

                fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
                    self.values.set(value, spec);
                    self.changed(spec.name(), value);
                }

                fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
                    self.values.get(spec)
                }

                fn constructed(&self) {
                    self.parent_constructed();
                    self.build();
                }
            }

            impl GstObjectImpl for $type {}

            impl ElementImpl for $type {
                fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                    static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                        gst::subclass::ElementMetadata::new($name, "Codec", "Stands in", "Nodi")
                    });
                    Some(&METADATA)
                }

                fn pad_templates() -> &'static [gst::PadTemplate] {
                    static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| templates($name));
                    &TEMPLATES
                }

                fn change_state(
                    &self,
                    transition: gst::StateChange,
                ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
                    if transition == gst::StateChange::NullToReady && !self.opens() {
                        return Err(gst::StateChangeError);
                    }
                    self.parent_change_state(transition)
                }
            }

            impl BinImpl for $type {}
        };
    }

    stand_in!(Decoder, "nvv4l2decoder");
    stand_in!(Scaler, "nvvidconv");
    stand_in!(Encoder, "nvv4l2h264enc");

    fn rename(kind: u64) -> gst::Element {
        let element: super::Rename = glib::Object::new();
        element.imp().kind.store(kind, Ordering::Relaxed);
        element.upcast()
    }

    impl Decoder {
        fn build(&self) {
            let (parse, decoder, convert) = (make("h264parse"), make("avdec_h264"), make("videoconvert"));
            let children = [&parse, &decoder, &convert, &caps_filter("video/x-raw,format=NV12"), &rename(2)];
            assemble(self.obj().upcast_ref(), &children);
        }

        fn opens(&self) -> bool {
            true
        }

        fn changed(&self, _name: &str, _value: &glib::Value) {}
    }

    impl Scaler {
        fn build(&self) {
            let scale = make("videoscale");
            scale.set_property("add-borders", false);
            let children = [&rename(3), &make("videoconvert"), &scale, &rename(4)];
            assemble(self.obj().upcast_ref(), &children);
        }

        fn opens(&self) -> bool {
            true
        }

        fn changed(&self, _name: &str, _value: &glib::Value) {}
    }

    impl Encoder {
        fn build(&self) {
            let encoder = gst::ElementFactory::make("x264enc").name("inner").build().unwrap();
            encoder.set_property_from_str("speed-preset", "ultrafast");
            encoder.set_property_from_str("tune", "zerolatency");
            encoder.set_property("option-string", "scenecut=0");
            encoder.set_property("key-int-max", 256_u32);
            let stream = caps_filter("video/x-h264,stream-format=byte-stream,alignment=au");
            let children = [&rename(1), &encoder, &stream];
            assemble(self.obj().upcast_ref(), &children);
            // As the real one: it does not look at requests for key frames in the stream.
            let sink = encoder.static_pad("sink").unwrap();
            sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
                let ignored = info.event().is_some_and(|event| gst_video::ForceKeyUnitEvent::is(event));
                if ignored { gst::PadProbeReturn::Handled } else { gst::PadProbeReturn::Ok }
            });
            let bin = self.obj().downgrade();
            sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                let slow = bin.upgrade().is_some_and(|bin| bin.property::<u32>("bitrate") > SLOW_ABOVE);
                if slow {
                    std::thread::sleep(Duration::from_millis(SLOW_MS.load(Ordering::Relaxed)));
                }
                gst::PadProbeReturn::Ok
            });
        }

        fn opens(&self) -> bool {
            !ENCODER_FAILS.load(Ordering::Relaxed)
        }

        fn changed(&self, name: &str, value: &glib::Value) {
            let Some(inner) = self.obj().upcast_ref::<gst::Bin>().by_name("inner") else { return };
            match name {
                // bit/s there, kbit/s here.
                "bitrate" => inner.set_property("bitrate", value.get::<u32>().unwrap() / 1000),
                // x264 makes every I picture an IDR picture; the real one only those.
                "idrinterval" => inner.set_property("key-int-max", value.get::<u32>().unwrap()),
                _ => {}
            }
        }
    }

    fn forced(bin: &gst::Bin) {
        FORCED.fetch_add(1, Ordering::Relaxed);
        let Some(inner) = bin.by_name("inner") else { return };
        let sink = inner.static_pad("sink").unwrap();
        // The first picture is an IDR picture anyway, and x264enc 1.22 would ignore every later request.
        let begun = sink.last_flow_result().is_ok() && inner.static_pad("src").unwrap().has_current_caps();
        if begun {
            inner.send_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
    }
}

glib::wrapper! {
    pub struct Rename(ObjectSubclass<imp::Rename>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

glib::wrapper! {
    pub struct Decoder(ObjectSubclass<imp::Decoder>) @extends gst::Bin, gst::Element, gst::Object;
}

glib::wrapper! {
    pub struct Scaler(ObjectSubclass<imp::Scaler>) @extends gst::Bin, gst::Element, gst::Object;
}

glib::wrapper! {
    pub struct Encoder(ObjectSubclass<imp::Encoder>) @extends gst::Bin, gst::Element, gst::Object;
}
