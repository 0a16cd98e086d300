//! Which encoders this machine has, found out from the elements, properties and signals that exist, never
//! from the name of the board.

use std::collections::BTreeSet;
use std::fmt;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::config::BackendChoice;
use crate::elements::{self, Finding, Need, Table};

/// How a session is decoded, scaled and encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// NVIDIA Jetson: pictures stay in the memory of the video engines.
    Jetson(Jetson),
    /// libav and x264.
    Software(Software),
}

/// The optional properties of the documented ones that this machine's elements have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Jetson {
    properties: BTreeSet<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Software {
    pub preset: Preset,
}

/// Speed presets of x264, fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    Ultrafast,
    Superfast,
    Veryfast,
}

impl Preset {
    pub const ALL: [Self; 3] = [Self::Ultrafast, Self::Superfast, Self::Veryfast];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
        }
    }
}

/// What was found, before a ladder is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    Jetson(Jetson),
    /// With the reason why the hardware is not used, if someone may have expected it.
    Software {
        instead: Option<String>,
    },
}

/// No encoder fits the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("back end \"jetson\" is configured, but {0}")]
    NoJetson(String),
    #[error("no encoder: {}", missing.join(", "))]
    NoSoftware { missing: Vec<&'static str> },
}

impl Jetson {
    /// With every optional property of the documented elements.
    #[must_use]
    pub fn documented() -> Self {
        let optional = Table::get().element.iter().flat_map(|element| {
            let optional = element.property.iter().filter(|property| property.need == Need::Optional);
            optional.map(|property| (element.name.clone(), property.name.clone()))
        });
        Self { properties: optional.collect() }
    }

    #[must_use]
    pub fn has(&self, element: &str, property: &str) -> bool {
        self.properties.iter().any(|(e, p)| e == element && p == property)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jetson(_) => f.write_str("jetson"),
            Self::Software(software) => write!(f, "software ({})", software.preset.name()),
        }
    }
}

/// Elements that the software back end is made of.
const SOFTWARE: [&str; 10] = [
    "appsrc",
    "appsink",
    "h264parse",
    "avdec_h264",
    "videorate",
    "videoconvert",
    "videoscale",
    "x264enc",
    "tee",
    "jpegenc",
];

/// Looks at this machine. [`gst::init`] was called before.
///
/// # Errors
/// When neither back end is complete, or the configured one is not.
pub fn detect(choice: BackendChoice) -> Result<Detected, Error> {
    let instead = match choice {
        BackendChoice::Software => None,
        BackendChoice::Auto | BackendChoice::Jetson => match detect_jetson() {
            Ok(jetson) => return Ok(Detected::Jetson(jetson)),
            Err(reason) if choice == BackendChoice::Jetson => return Err(Error::NoJetson(reason)),
            // A machine without any of the elements is no Jetson: nothing to explain.
            Err(reason) => gst::ElementFactory::find("nvvidconv").is_some().then_some(reason),
        },
    };
    let missing: Vec<&'static str> =
        SOFTWARE.into_iter().filter(|name| gst::ElementFactory::find(name).is_none()).collect();
    if missing.is_empty() { Ok(Detected::Software { instead }) } else { Err(Error::NoSoftware { missing }) }
}

fn detect_jetson() -> Result<Jetson, String> {
    let mut properties = BTreeSet::new();
    for documented in &Table::get().element {
        let lines = elements::check_element(documented);
        if let Some(line) = lines.iter().find(|line| line.is_fatal()) {
            // Orin Nano has the decoder and the scaler, but no encoder.
            return Err(match line.what.as_str() {
                "(element)" => format!("there is no {}", line.element),
                what => format!("{} has no {what}", line.element),
            });
        }
        let optional = documented.property.iter().filter(|property| property.need == Need::Optional);
        for property in optional {
            let absent =
                lines.iter().any(|line| line.what == property.name && line.finding == Finding::Absent);
            if !absent {
                properties.insert((documented.name.clone(), property.name.clone()));
            }
        }
    }
    // The element is also there when the device is not: opening tells.
    let encoder = gst::ElementFactory::make("nvv4l2h264enc").build().map_err(|error| error.to_string())?;
    let opened = encoder.set_state(gst::State::Ready);
    // Whatever came of it, the device is let go.
    let _ = encoder.set_state(gst::State::Null);
    opened.map_err(|_| "nvv4l2h264enc does not open its device".to_owned())?;
    Ok(Jetson { properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_software_encoders() {
        gst::init().unwrap();
        assert!(detect(BackendChoice::Software).is_ok());
    }

    #[test]
    fn presets_are_ordered_by_speed() {
        assert!(Preset::ALL.is_sorted());
    }
}
