//! A typed view of `onMetaData`: what the encoder says about its stream. Encoders lie, and write numbers as
//! text; nothing may depend on it where the codec's own headers say it too.

use crate::amf0::{self, Value};
use crate::facts::whole;
use crate::{audio, video};

/// The facts that someone looks at. Absent or senseless ones are `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    pub video_codec: Option<video::Codec>,
    /// In kbit/s.
    pub video_bitrate: Option<f64>,
    pub audio_codec: Option<audio::Codec>,
    /// In kbit/s.
    pub audio_bitrate: Option<f64>,
    /// In Hz.
    pub audio_sample_rate: Option<u32>,
    pub audio_channels: Option<u32>,
    /// The encoder as it names itself, such as `Lavf59.27.100`.
    pub encoder: Option<String>,
}

const ON_META_DATA: &str = "onMetaData";
const SET_DATA_FRAME: &str = "@setDataFrame";

impl Metadata {
    /// Reads script data; `None` when it is something else than `onMetaData`. `@setDataFrame` may stand before it.
    ///
    /// # Errors
    /// When it is not AMF0 or exceeds the limits.
    pub fn from_script(data: &[u8], limits: amf0::Limits) -> Result<Option<Self>, amf0::Error> {
        Ok(Self::from_values(&amf0::decode_all(data, limits)?))
    }

    /// As [`Metadata::from_script`], from values already decoded.
    #[must_use]
    pub fn from_values(values: &[Value]) -> Option<Self> {
        let mut values = values.iter();
        let mut name = values.next()?.as_str()?;
        if name == SET_DATA_FRAME {
            name = values.next()?.as_str()?;
        }
        if name != ON_META_DATA {
            return None;
        }
        Some(values.next().map(Self::from_object).unwrap_or_default())
    }

    fn from_object(object: &Value) -> Self {
        let number = |name| object.get(name).and_then(lenient_number);
        let count = |name| number(name).and_then(|number: f64| whole(number.round()));
        let positive = |name| number(name).filter(|number| *number > 0.0 && number.is_finite());
        let text = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let stereo = || object.get("stereo").and_then(Value::as_bool).map(|stereo| 1 + u32::from(stereo));
        Self {
            width: count("width").or_else(|| count("displayWidth")),
            height: count("height").or_else(|| count("displayHeight")),
            frame_rate: positive("framerate")
                .or_else(|| positive("fps"))
                .or_else(|| positive("videoframerate")),
            video_codec: object
                .get("videocodecid")
                .and_then(|value| codec(value, video::Codec::from_id, video::Codec::from_four_cc)),
            video_bitrate: positive("videodatarate"),
            audio_codec: object
                .get("audiocodecid")
                .and_then(|value| codec(value, audio::Codec::from_id, audio::Codec::from_four_cc)),
            audio_bitrate: positive("audiodatarate"),
            audio_sample_rate: count("audiosamplerate"),
            audio_channels: count("audiochannels").or_else(stereo),
            encoder: text("encoder").or_else(|| text("videoencoder")).or_else(|| text("metadatacreator")),
        }
    }
}

fn lenient_number(value: &Value) -> Option<f64> {
    value.as_number().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite())
}

/// A codec may be its FLV number, its FourCC as text ("avc1"), or, in Enhanced RTMP, its FourCC as a number.
fn codec<T>(value: &Value, by_id: impl Fn(u8) -> T, by_four_cc: impl Fn([u8; 4]) -> T) -> Option<T> {
    if let Some(number) = lenient_number(value) {
        let number = whole(number)?;
        return Some(u8::try_from(number).map(by_id).unwrap_or_else(|_| by_four_cc(number.to_be_bytes())));
    }
    value.as_str()?.trim().as_bytes().first_chunk::<4>().map(|four_cc| by_four_cc(*four_cc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[Value]) -> Option<Metadata> {
        Metadata::from_script(&amf0::encode_all(values), amf0::Limits::default()).unwrap()
    }

    fn object(properties: &[(&str, Value)]) -> Value {
        Value::EcmaArray(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn as_ffmpeg_and_obs_write_it() {
        let metadata = object(&[
            ("width", Value::from(1920.0)),
            ("height", Value::from(1080.0)),
            ("framerate", Value::from(30.0)),
            ("videocodecid", Value::from(7.0)),
            ("audiocodecid", Value::from("mp4a")),
            ("audiosamplerate", Value::from(48_000.0)),
            ("stereo", Value::from(true)),
            ("encoder", Value::from("Lavf59.27.100")),
        ]);
        let expected = Metadata {
            width: Some(1920),
            height: Some(1080),
            frame_rate: Some(30.0),
            video_codec: Some(video::Codec::Avc),
            audio_codec: Some(audio::Codec::Aac),
            audio_sample_rate: Some(48_000),
            audio_channels: Some(2),
            encoder: Some("Lavf59.27.100".into()),
            ..Metadata::default()
        };
        assert_eq!(read(&[Value::from("onMetaData"), metadata.clone()]), Some(expected.clone()));
        assert_eq!(
            read(&[Value::from("@setDataFrame"), Value::from("onMetaData"), metadata]),
            Some(expected)
        );
    }

    #[test]
    fn numbers_as_text_and_nonsense() {
        let metadata = read(&[
            Value::from("onMetaData"),
            object(&[
                ("width", Value::from(" 1280 ")),
                ("height", Value::from(-720.0)),
                ("framerate", Value::from(f64::NAN)),
                ("videocodecid", Value::from(f64::from(u32::from_be_bytes(*b"hvc1")))),
                ("audiocodecid", Value::from("x")),
                ("encoder", Value::from(3.0)),
            ]),
        ]);
        let expected =
            Metadata { width: Some(1280), video_codec: Some(video::Codec::Hevc), ..Metadata::default() };
        assert_eq!(metadata, Some(expected));
    }

    #[test]
    fn other_script_data_and_odd_shapes() {
        assert_eq!(read(&[Value::from("onTextData"), object(&[])]), None);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[Value::Null]), None);
        assert_eq!(read(&[Value::from("@setDataFrame")]), None);
        assert_eq!(read(&[Value::from("onMetaData")]), Some(Metadata::default()));
        assert_eq!(read(&[Value::from("onMetaData"), Value::from(1.0)]), Some(Metadata::default()));
    }
}
