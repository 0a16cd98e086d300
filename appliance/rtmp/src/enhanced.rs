//! What `connect` negotiates in Enhanced RTMP v2 ("Enhancing NetConnection connect Command").

use nodi_flv::amf0::Value;

/// Longest list of codecs that is looked at. Clients name five.
const MAX_FOUR_CCS: usize = 32;
/// Flag of a codec in the information maps: we can pass it on.
const CAN_FORWARD: f64 = 4.0;

/// What the client says that it can do; empty for those that do not know Enhanced RTMP.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// `fourCcList`, and the names in both information maps. `*` is any.
    pub four_ccs: Vec<String>,
    /// `capsEx`: reconnect, multitrack, ModEx and so on, as flags.
    pub caps_ex: Option<f64>,
}

/// What we take, named in the answer to `connect`: the codecs that the platform transcodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub video: &'static [&'static str],
    pub audio: &'static [&'static str],
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { video: &["avc1"], audio: &["mp4a"] }
    }
}

impl Offer {
    pub(crate) fn from_connect(object: &Value) -> Self {
        let mut four_ccs = Vec::new();
        if let Some(Value::StrictArray(list)) = object.get("fourCcList") {
            four_ccs.extend(list.iter().filter_map(Value::as_str).take(MAX_FOUR_CCS).map(str::to_owned));
        }
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            let names = object.get(map).and_then(Value::properties).into_iter().flatten();
            for (name, _) in names.take(MAX_FOUR_CCS) {
                if !four_ccs.contains(name) {
                    four_ccs.push(name.clone());
                }
            }
        }
        Self { four_ccs, caps_ex: object.get("capsEx").and_then(Value::as_number) }
    }

    /// Whether the client knows Enhanced RTMP at all.
    #[must_use]
    pub fn is_enhanced(&self) -> bool {
        !self.four_ccs.is_empty() || self.caps_ex.is_some()
    }

    fn offers(&self, four_cc: &str) -> bool {
        self.four_ccs.iter().any(|offered| offered == "*" || offered == four_cc)
    }
}

impl Capabilities {
    /// The properties that the answer to `connect` gets; none for a client that would not know them.
    pub(crate) fn answer(&self, offer: &Offer) -> Vec<(String, Value)> {
        if !offer.is_enhanced() {
            return Vec::new();
        }
        let common = |ours: &[&'static str]| -> Vec<&'static str> {
            ours.iter().copied().filter(|four_cc| offer.offers(four_cc)).collect()
        };
        let (video, audio) = (common(self.video), common(self.audio));
        let list = video.iter().chain(&audio).map(|four_cc| Value::from(*four_cc)).collect();
        let map = |four_ccs: &[&str]| {
            let flags = |four_cc: &&str| ((*four_cc).to_owned(), Value::Number(CAN_FORWARD));
            Value::Object(four_ccs.iter().map(flags).collect())
        };
        vec![
            ("fourCcList".into(), Value::StrictArray(list)),
            ("videoFourCcInfoMap".into(), map(&video)),
            ("audioFourCcInfoMap".into(), map(&audio)),
            // No reconnect requests, no multitrack, no ModEx needed.
            ("capsEx".into(), Value::Number(0.0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(properties: Vec<(&str, Value)>) -> Value {
        Value::Object(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn old_clients_get_no_new_properties() {
        let offer = Offer::from_connect(&object(vec![("app", "live".into())]));
        assert!(!offer.is_enhanced());
        assert!(Capabilities::default().answer(&offer).is_empty());
    }

    #[test]
    fn the_answer_names_what_both_know() {
        let list = Value::StrictArray(vec!["av01".into(), "avc1".into(), Value::Null]);
        let offer = Offer::from_connect(&object(vec![
            ("fourCcList", list),
            ("audioFourCcInfoMap", object(vec![("*", 1.0.into())])),
            ("capsEx", 3.0.into()),
        ]));
        assert_eq!(offer.four_ccs, ["av01", "avc1", "*"]);
        let answer = Capabilities { video: &["avc1", "hvc1"], audio: &["mp4a"] }
            .answer(&Offer { four_ccs: vec!["av01".into(), "avc1".into()], caps_ex: None });
        assert_eq!(answer[0], ("fourCcList".into(), Value::StrictArray(vec!["avc1".into()])));
        assert_eq!(answer[2].1, Value::Object(vec![]));
        let answer = Capabilities::default().answer(&offer);
        assert_eq!(answer[0].1, Value::StrictArray(vec!["avc1".into(), "mp4a".into()]));
    }
}
