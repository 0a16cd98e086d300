//! What NVIDIA documents about the elements that the `jetson` back end uses, as data, and the comparison of
//! that data with the elements that a machine really has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use serde::Deserialize;

/// The table, one element after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub element: Vec<Element>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Element {
    pub name: String,
    /// Caps of the sink pad template.
    pub sink: String,
    /// Caps of the source pad template.
    pub src: String,
    /// Action signals without arguments.
    #[serde(default)]
    pub signal: Vec<String>,
    pub property: Vec<Property>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Property {
    pub name: String,
    #[serde(flatten)]
    pub kind: Kind,
    #[serde(rename = "use")]
    pub need: Need,
}

/// Type, range and default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Kind {
    Bool { default: bool },
    Uint { min: u32, max: u32, default: u32 },
    Uint64 { min: u64, max: u64, default: u64 },
    String { default: String },
    Enum { values: BTreeMap<String, i32>, default: i32 },
}

/// What we do with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// The back end does not work without it.
    Required,
    /// Set where it exists.
    Optional,
    /// Never set.
    Documented,
}

impl Table {
    /// The table that is compiled in.
    ///
    /// # Panics
    /// Never: a test parses the same text.
    #[must_use]
    #[allow(clippy::expect_used, reason = "the text is part of the program and parsed by a test")]
    pub fn get() -> &'static Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| {
            toml::from_str(include_str!("elements.toml")).expect("elements.toml is well-formed")
        })
    }

    #[must_use]
    pub fn element(&self, name: &str) -> Option<&Element> {
        self.element.iter().find(|element| element.name == name)
    }
}

/// How one documented thing is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Present,
    Absent,
    /// There, but not as documented: what is documented, and what is.
    Differs {
        documented: String,
        found: String,
    },
}

/// One line of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub element: String,
    /// A property, a signal (`signal force-IDR`), or nothing for the element itself.
    pub what: String,
    pub required: bool,
    pub finding: Finding,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let need = if self.required { "required" } else { "" };
        match &self.finding {
            Finding::Present => write!(f, "present  {need:8} {} {}", self.element, self.what),
            Finding::Absent => write!(f, "absent   {need:8} {} {}", self.element, self.what),
            Finding::Differs { documented, found } => {
                write!(
                    f,
                    "differs  {need:8} {} {}: documented {documented}, found {found}",
                    self.element, self.what
                )
            }
        }
    }
}

impl Line {
    /// Whether the back end can live with it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.required && self.finding == Finding::Absent
    }
}

/// Compares every element of `table` with this machine's registry.
#[must_use]
pub fn check(table: &Table) -> Vec<Line> {
    table.element.iter().flat_map(check_element).collect()
}

/// Compares one documented element with this machine's.
#[must_use]
pub fn check_element(documented: &Element) -> Vec<Line> {
    let line = |what: &str, required, finding| Line {
        element: documented.name.clone(),
        what: what.to_owned(),
        required,
        finding,
    };
    let Some(element) =
        gst::ElementFactory::find(&documented.name).and_then(|factory| factory.create().build().ok())
    else {
        return vec![line("(element)", true, Finding::Absent)];
    };
    let mut lines = vec![line("(element)", true, Finding::Present)];
    for signal in &documented.signal {
        let found = glib::subclass::SignalId::lookup(signal, element.type_()).is_some();
        let finding = if found { Finding::Present } else { Finding::Absent };
        lines.push(line(&format!("signal {signal}"), true, finding));
    }
    for property in &documented.property {
        let finding = match element.find_property(&property.name) {
            None => Finding::Absent,
            Some(spec) => compare(&property.kind, &spec),
        };
        lines.push(line(&property.name, property.need == Need::Required, finding));
    }
    lines
}

fn compare(documented: &Kind, spec: &glib::ParamSpec) -> Finding {
    let found = found_kind(spec);
    let as_documented = match (documented, &found) {
        // The values of an enumeration are what the pipeline's text uses; their nicknames vary.
        (Kind::Enum { values, default }, Some(Kind::Enum { values: others, default: other })) => {
            default == other && values.values().all(|value| others.values().any(|other| other == value))
        }
        (documented, Some(found)) => documented == found,
        (_, None) => false,
    };
    if as_documented {
        return Finding::Present;
    }
    let describe = |kind: &Kind| match kind {
        Kind::Bool { default } => format!("boolean, default {default}"),
        Kind::Uint { min, max, default } => format!("uint {min} to {max}, default {default}"),
        Kind::Uint64 { min, max, default } => format!("uint64 {min} to {max}, default {default}"),
        Kind::String { default } => format!("string, default {default:?}"),
        Kind::Enum { values, default } => {
            let mut values: Vec<i32> = values.values().copied().collect();
            values.sort_unstable();
            format!("enum {values:?}, default {default}")
        }
    };
    Finding::Differs {
        documented: describe(documented),
        found: found.as_ref().map_or_else(|| spec.value_type().name().to_owned(), describe),
    }
}

fn found_kind(spec: &glib::ParamSpec) -> Option<Kind> {
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecBoolean>() {
        return Some(Kind::Bool { default: spec.default_value() });
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt>() {
        let (min, max, default) = (spec.minimum(), spec.maximum(), spec.default_value());
        return Some(Kind::Uint { min, max, default });
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt64>() {
        let (min, max, default) = (spec.minimum(), spec.maximum(), spec.default_value());
        return Some(Kind::Uint64 { min, max, default });
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecString>() {
        return Some(Kind::String { default: spec.default_value().map(str::to_owned).unwrap_or_default() });
    }
    // The type of the property's values; a `ParamSpecEnum` would name its own.
    let class = glib::EnumClass::with_type(spec.value_type())?;
    let spec = spec.downcast_ref::<glib::ParamSpecEnum>()?;
    let values = class.values().iter().map(|value| (value.nick().to_owned(), value.value())).collect();
    let default = spec.default_value_as_i32();
    Some(Kind::Enum { values, default })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let table = Table::get();
        let encoder = table.element("nvv4l2h264enc").unwrap();
        assert_eq!(encoder.signal, ["force-IDR"]);
        assert!(encoder.property.len() >= 25);
        for element in &table.element {
            for property in &element.property {
                match &property.kind {
                    Kind::Enum { values, default } => assert!(values.values().any(|value| value == default)),
                    Kind::Uint { min, max, default } => assert!(min <= default && default <= max),
                    Kind::Uint64 { min, max, default } => assert!(min <= default && default <= max),
                    Kind::Bool { .. } | Kind::String { .. } => {}
                }
            }
        }
    }

    #[test]
    fn every_kind_of_property_is_read() {
        gst::init().unwrap();
        let element = gst::ElementFactory::make("x264enc").build().unwrap();
        let kind = |name| found_kind(&element.find_property(name).unwrap());
        assert!(matches!(kind("me"), Some(Kind::Enum { default: 1, .. })), "{:?}", kind("me"));
        assert!(matches!(kind("aud"), Some(Kind::Bool { default: true })));
        assert!(matches!(kind("ref"), Some(Kind::Uint { min: 1, max: 16, default: 3 })));
        assert!(matches!(kind("min-force-key-unit-interval"), Some(Kind::Uint64 { .. })));
        assert!(matches!(kind("option-string"), Some(Kind::String { .. })));
    }

    #[test]
    fn differences_from_the_documentation_are_told() {
        gst::init().unwrap();
        // x264enc stands for an element that has some of the names with other meanings.
        let documented = Element {
            name: "x264enc".to_owned(),
            sink: String::new(),
            src: String::new(),
            signal: vec!["force-IDR".to_owned()],
            property: Table::get().element("nvv4l2h264enc").unwrap().property.clone(),
        };
        let lines = check_element(&documented);
        let find = |what: &str| &lines.iter().find(|line| line.what == what).unwrap().finding;
        assert_eq!(*find("signal force-IDR"), Finding::Absent);
        assert_eq!(*find("idrinterval"), Finding::Absent);
        let Finding::Differs { documented, found } = find("bitrate") else {
            panic!("bitrate is kbit/s there")
        };
        assert!(documented.contains("4000000") && found.contains("2048000"), "{documented}, {found}");
    }
}
