//! The script tag that leads what ingest hands to a worker (docs/interfaces.md, section 1).

use bytes::Bytes;
use nodi_protocol::{ChannelId, SessionId};

use crate::amf0::{self, Value};
use crate::tag::{Kind, Tag};

const NAME: &str = "onNodiSession";
const SCHEMA: f64 = 1.0;
/// More than any encoder's name; what it sends ends up in logs and on the dashboard.
const MAX_ENCODER_LEN: usize = 256;

/// Whose stream this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    pub channel: ChannelId,
    pub session: SessionId,
    /// 0 for the session's first worker, one more for each that was started after a crash.
    pub worker: u32,
    /// The publisher's encoder as it named itself, empty if it did not.
    pub encoder: String,
}

/// Why a session tag is unusable.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{NAME}: {0}")]
    Amf0(#[from] amf0::Error),
    #[error("{NAME}: schema {0} is not {SCHEMA}")]
    Schema(f64),
    #[error("{NAME}: {0} is missing or of the wrong type")]
    Field(&'static str),
    #[error("{NAME}: {0}")]
    Id(#[from] nodi_protocol::id::Error),
}

impl SessionFacts {
    /// The script tag, at timestamp 0.
    #[must_use]
    pub fn to_tag(&self) -> Tag {
        let encoder = self.encoder.get(..self.encoder.floor_char_boundary(MAX_ENCODER_LEN));
        let facts = Value::EcmaArray(vec![
            ("schema".into(), Value::Number(SCHEMA)),
            ("channel".into(), Value::from(self.channel.as_str())),
            ("session".into(), Value::from(self.session.to_string())),
            ("worker".into(), Value::Number(f64::from(self.worker))),
            ("encoder".into(), Value::from(encoder.unwrap_or_default())),
        ]);
        let data = amf0::encode_all(&[Value::from(NAME), facts]).freeze();
        Tag { kind: Kind::Script, timestamp_ms: 0, data }
    }

    /// `None` when the tag is something else.
    ///
    /// # Errors
    /// When it is a session tag that cannot be used.
    pub fn from_tag(tag: &Tag) -> Result<Option<Self>, Error> {
        if tag.kind == Kind::Script { Self::from_script(&tag.data) } else { Ok(None) }
    }

    fn from_script(data: &Bytes) -> Result<Option<Self>, Error> {
        let mut decoder = amf0::Decoder::new(data, amf0::Limits::default());
        // Script data that is not even AMF0 is somebody else's.
        let Ok(Some(Value::String(name))) = decoder.next_value() else { return Ok(None) };
        if name != NAME {
            return Ok(None);
        }
        let facts = decoder.next_value()?.ok_or(Error::Field("the array"))?;
        let number = |name| facts.get(name).and_then(Value::as_number).ok_or(Error::Field(name));
        let text = |name| facts.get(name).and_then(Value::as_str).ok_or(Error::Field(name));
        let schema = number("schema")?;
        if schema != SCHEMA {
            return Err(Error::Schema(schema));
        }
        Ok(Some(Self {
            channel: text("channel")?.parse()?,
            session: text("session")?.parse()?,
            worker: whole(number("worker")?).ok_or(Error::Field("worker"))?,
            encoder: text("encoder")?.to_owned(),
        }))
    }
}

/// AMF0 has only floating point numbers.
pub(crate) fn whole(number: f64) -> Option<u32> {
    let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the line above")]
    fits.then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> SessionFacts {
        SessionFacts {
            channel: "nodi".parse().unwrap(),
            session: SessionId::new(1_700_000_000_000, 7),
            worker: 2,
            encoder: "obs-output module (libobs version 30.0.2)".into(),
        }
    }

    #[test]
    fn facts_come_back() {
        assert_eq!(SessionFacts::from_tag(&facts().to_tag()), Ok(Some(facts())));
    }

    #[test]
    fn long_encoder_names_are_cut() {
        let long = SessionFacts { encoder: "ü".repeat(1000), ..facts() };
        let read = SessionFacts::from_tag(&long.to_tag()).unwrap().unwrap();
        assert_eq!(read.encoder, "ü".repeat(MAX_ENCODER_LEN / 2));
    }

    #[test]
    fn other_tags_are_none_of_ours() {
        let script = |data| Tag { kind: Kind::Script, timestamp_ms: 0, data };
        let metadata = amf0::encode_all(&[Value::from("onMetaData"), Value::Null]).freeze();
        for data in [metadata, Bytes::new(), Bytes::from_static(b"\xff\xff")] {
            assert_eq!(SessionFacts::from_tag(&script(data)), Ok(None));
        }
        let video = Tag { kind: Kind::Video, ..facts().to_tag() };
        assert_eq!(SessionFacts::from_tag(&video), Ok(None));
    }

    #[test]
    fn bad_facts_are_named() {
        let read = |properties: &[(&str, Value)]| {
            let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let array = Value::EcmaArray(properties.collect());
            let data = amf0::encode_all(&[Value::from(NAME), array]).freeze();
            SessionFacts::from_script(&data).unwrap_err().to_string()
        };
        let schema = ("schema", Value::from(1.0));
        assert_eq!(read(&[]), "onNodiSession: schema is missing or of the wrong type");
        assert_eq!(read(&[("schema", Value::from(2.0))]), "onNodiSession: schema 2 is not 1");
        let error = read(&[schema, ("channel", Value::from("../etc"))]);
        assert!(error.starts_with("onNodiSession: channel id \"../etc\""), "{error}");
    }
}
