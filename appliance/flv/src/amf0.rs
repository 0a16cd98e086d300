//! AMF0, the value notation of RTMP commands and FLV script data (Adobe, "Action Message Format -- AMF 0", 2007).
//!
//! Decoding is bounded by [`Limits`] in depth, count and text, whatever the bytes claim.

use bytes::{BufMut as _, BytesMut};

use crate::cursor::Cursor;

/// Deepest nesting of objects and arrays. Real metadata nests two deep; decoding and dropping recurse, so
/// without a bound a megabyte of array headers overflows the stack and aborts the process.
pub const MAX_DEPTH: usize = 32;
/// Most values in one message, names' values included. `onMetaData` with a key frame index of an hour has some
/// 3,600. Bounds what a message turns into in memory: 4,096 values are at most 400 KiB.
pub const MAX_VALUES: usize = 4_096;
/// Most bytes of strings and property names in one message. Bounds the copies that texts make.
pub const MAX_STRING_BYTES: usize = 64 * 1024;

/// What one message may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub depth: usize,
    pub values: usize,
    pub string_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: MAX_DEPTH, values: MAX_VALUES, string_bytes: MAX_STRING_BYTES }
    }
}

/// Properties in the order in which they were sent.
pub type Properties = Vec<(String, Value)>;

/// One AMF0 value. Long strings are strings, "unsupported" is undefined.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Boolean(bool),
    String(String),
    Object(Properties),
    EcmaArray(Properties),
    StrictArray(Vec<Value>),
    Null,
    Undefined,
    /// An index into the complex values sent before; nobody resolves it.
    Reference(u16),
    Date {
        /// Milliseconds since the Unix epoch.
        unix_ms: f64,
        /// Reserved by the specification, written as 0.
        zone: i16,
    },
    XmlDocument(String),
    TypedObject {
        class: String,
        properties: Properties,
    },
}

/// Why bytes are not AMF0, or too much of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("AMF0: cut off at byte {offset} in {what}")]
    Truncated { offset: usize, what: &'static str },
    #[error("AMF0: marker 0x{marker:02x} at byte {offset} is {name}")]
    Marker { offset: usize, marker: u8, name: &'static str },
    #[error("AMF0: nested deeper than {limit} levels at byte {offset}")]
    Depth { offset: usize, limit: usize },
    #[error("AMF0: more than {limit} values at byte {offset}")]
    Values { offset: usize, limit: usize },
    #[error("AMF0: more than {limit} bytes of text at byte {offset}")]
    StringBytes { offset: usize, limit: usize },
}

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const MOVIE_CLIP: u8 = 0x04;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const RECORD_SET: u8 = 0x0e;
    pub(super) const XML_DOCUMENT: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AVM_PLUS: u8 = 0x11;
}

impl Value {
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) | Self::XmlDocument(text) = self { Some(text) } else { None }
    }

    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(boolean) = self { Some(*boolean) } else { None }
    }

    /// The properties of an object, a typed object or an ECMA array.
    #[must_use]
    pub fn properties(&self) -> Option<&Properties> {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) | Self::TypedObject { properties, .. } => {
                Some(properties)
            }
            _ => None,
        }
    }

    /// The property of that name; the last one if it was sent twice, as assignment would leave it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.properties()?.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// Reads one value after the other. The limits hold for all of them together.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    input: Cursor<'a>,
    limits: Limits,
    values: usize,
    string_bytes: usize,
}

impl<'a> Decoder<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { input: Cursor::new(bytes), limits, values: 0, string_bytes: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.input.offset()
    }

    /// The next value; `None` at the end of the bytes.
    ///
    /// # Errors
    /// When the bytes are not AMF0 or exceed a limit. The decoder is not usable afterwards.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        if self.input.is_empty() { Ok(None) } else { self.value(self.limits.depth).map(Some) }
    }

    fn value(&mut self, depth_left: usize) -> Result<Value, Error> {
        let offset = self.input.offset();
        self.values += 1;
        if self.values > self.limits.values {
            return Err(Error::Values { offset, limit: self.limits.values });
        }
        let marker = self.input.u8().ok_or(Error::Truncated { offset, what: "a marker" })?;
        let deeper = || depth_left.checked_sub(1).ok_or(Error::Depth { offset, limit: self.limits.depth });
        Ok(match marker {
            marker::NUMBER => Value::Number(self.cut(Cursor::f64, "a number")?),
            marker::BOOLEAN => Value::Boolean(self.cut(Cursor::u8, "a boolean")? != 0),
            marker::STRING => Value::String(self.short_text()?),
            marker::LONG_STRING => Value::String(self.long_text()?),
            marker::XML_DOCUMENT => Value::XmlDocument(self.long_text()?),
            marker::OBJECT => {
                let deeper = deeper()?;
                Value::Object(self.properties(deeper, None)?)
            }
            marker::TYPED_OBJECT => {
                let deeper = deeper()?;
                let class = self.short_text()?;
                Value::TypedObject { class, properties: self.properties(deeper, None)? }
            }
            marker::ECMA_ARRAY => {
                let deeper = deeper()?;
                let count = self.cut(Cursor::u32, "an array's length")?;
                Value::EcmaArray(self.properties(deeper, Some(count))?)
            }
            marker::STRICT_ARRAY => {
                let deeper = deeper()?;
                // Never allocated by: the loop ends where the bytes or the limits do.
                let count = self.cut(Cursor::u32, "an array's length")?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.value(deeper)?);
                }
                Value::StrictArray(items)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => Value::Reference(self.cut(Cursor::u16, "a reference")?),
            marker::DATE => {
                let unix_ms = self.cut(Cursor::f64, "a date")?;
                Value::Date { unix_ms, zone: self.cut(Cursor::i16, "a date")? }
            }
            marker::OBJECT_END => return Err(misplaced(offset, marker, "an object's end outside an object")),
            marker::MOVIE_CLIP => return Err(misplaced(offset, marker, "a movie clip, which is reserved")),
            marker::RECORD_SET => return Err(misplaced(offset, marker, "a record set, which is reserved")),
            marker::AVM_PLUS => {
                return Err(misplaced(offset, marker, "a switch to AMF3, which is not supported"));
            }
            _ => return Err(misplaced(offset, marker, "unknown")),
        })
    }

    /// Reads up to the object's end. Some writers leave the end off an ECMA array that closes the message:
    /// `count` properties and then no more bytes also end it.
    fn properties(&mut self, depth_left: usize, count: Option<u32>) -> Result<Properties, Error> {
        let mut properties = Vec::new();
        loop {
            let complete =
                count.is_some_and(|count| u32::try_from(properties.len()).is_ok_and(|n| n >= count));
            if complete && self.input.is_empty() {
                return Ok(properties);
            }
            let name = self.short_text()?;
            if name.is_empty() && self.input.peek() == Some(marker::OBJECT_END) {
                self.input.u8();
                return Ok(properties);
            }
            properties.push((name, self.value(depth_left)?));
        }
    }

    fn short_text(&mut self) -> Result<String, Error> {
        let len = self.cut(Cursor::u16, "a string's length")?;
        self.text(usize::from(len))
    }

    fn long_text(&mut self) -> Result<String, Error> {
        let offset = self.input.offset();
        let len = self.cut(Cursor::u32, "a string's length")?;
        self.text(usize::try_from(len).map_err(|_| Error::Truncated { offset, what: "a string" })?)
    }

    fn text(&mut self, len: usize) -> Result<String, Error> {
        let offset = self.input.offset();
        let bytes = self.input.take(len).ok_or(Error::Truncated { offset, what: "a string" })?;
        self.string_bytes += len;
        if self.string_bytes > self.limits.string_bytes {
            return Err(Error::StringBytes { offset, limit: self.limits.string_bytes });
        }
        // Encoders write their names in the machine's code page; a wrong letter is no reason to drop a stream.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn cut<T>(
        &mut self,
        read: impl FnOnce(&mut Cursor<'a>) -> Option<T>,
        what: &'static str,
    ) -> Result<T, Error> {
        let offset = self.input.offset();
        read(&mut self.input).ok_or(Error::Truncated { offset, what })
    }
}

fn misplaced(offset: usize, marker: u8, name: &'static str) -> Error {
    Error::Marker { offset, marker, name }
}

/// All values in `bytes`.
///
/// # Errors
/// See [`Decoder::next_value`].
pub fn decode_all(bytes: &[u8], limits: Limits) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder::new(bytes, limits);
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    Ok(values)
}

/// Appends `value`. Property and class names longer than 65,535 bytes are cut there: the format has no longer ones.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(boolean) => {
            out.put_u8(marker::BOOLEAN);
            out.put_u8(u8::from(*boolean));
        }
        Value::String(text) => {
            if let Ok(len) = u16::try_from(text.len()) {
                out.put_u8(marker::STRING);
                out.put_u16(len);
                out.put_slice(text.as_bytes());
            } else {
                out.put_u8(marker::LONG_STRING);
                put_long_text(text, out);
            }
        }
        Value::XmlDocument(text) => {
            out.put_u8(marker::XML_DOCUMENT);
            put_long_text(text, out);
        }
        Value::Object(properties) => {
            out.put_u8(marker::OBJECT);
            put_properties(properties, out);
        }
        Value::TypedObject { class, properties } => {
            out.put_u8(marker::TYPED_OBJECT);
            put_name(class, out);
            put_properties(properties, out);
        }
        Value::EcmaArray(properties) => {
            out.put_u8(marker::ECMA_ARRAY);
            // A hint to readers, so that cutting it is harmless.
            out.put_u32(u32::try_from(properties.len()).unwrap_or(u32::MAX));
            put_properties(properties, out);
        }
        Value::StrictArray(items) => {
            out.put_u8(marker::STRICT_ARRAY);
            let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
            out.put_u32(count);
            for (item, _) in items.iter().zip(0..count) {
                encode(item, out);
            }
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
        Value::Reference(index) => {
            out.put_u8(marker::REFERENCE);
            out.put_u16(*index);
        }
        Value::Date { unix_ms, zone } => {
            out.put_u8(marker::DATE);
            out.put_f64(*unix_ms);
            out.put_i16(*zone);
        }
    }
}

/// The values one after the other, as commands and script data are.
#[must_use]
pub fn encode_all(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    for value in values {
        encode(value, &mut out);
    }
    out
}

fn put_properties(properties: &Properties, out: &mut BytesMut) {
    for (name, value) in properties {
        put_name(name, out);
        encode(value, out);
    }
    out.put_u16(0);
    out.put_u8(marker::OBJECT_END);
}

fn put_name(name: &str, out: &mut BytesMut) {
    let name = name.get(..name.floor_char_boundary(usize::from(u16::MAX))).unwrap_or_default();
    out.put_u16(u16::try_from(name.len()).unwrap_or_default());
    out.put_slice(name.as_bytes());
}

fn put_long_text(text: &str, out: &mut BytesMut) {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let text = text.get(..text.floor_char_boundary(len as usize)).unwrap_or_default();
    out.put_u32(u32::try_from(text.len()).unwrap_or_default());
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Vec<Value>, Error> {
        decode_all(bytes, Limits::default())
    }

    #[test]
    fn every_shape_comes_back() {
        let values = vec![
            Value::from("onMetaData"),
            Value::EcmaArray(vec![
                ("width".into(), Value::from(1920.0)),
                ("stereo".into(), Value::from(true)),
                (String::new(), Value::Null),
                ("nested".into(), Value::Object(vec![("x".into(), Value::Undefined)])),
            ]),
            Value::StrictArray(vec![Value::Reference(1), Value::Date { unix_ms: 1.5e12, zone: 0 }]),
            Value::XmlDocument("<a/>".into()),
            Value::TypedObject { class: "c".into(), properties: vec![] },
        ];
        assert_eq!(decode(&encode_all(&values)), Ok(values));
    }

    #[test]
    fn strings_beyond_16_bits_become_long_strings() {
        let limits = Limits { string_bytes: 1 << 20, ..Limits::default() };
        let values = vec![Value::from("ä".repeat(40_000))];
        let bytes = encode_all(&values);
        assert_eq!(bytes[0], marker::LONG_STRING);
        assert_eq!(decode_all(&bytes, limits), Ok(values));
    }

    #[test]
    fn nesting_is_bounded_for_every_container() {
        for head in [
            &[0x0a, 0, 0, 0, 1][..],
            &[0x03, 0, 1, b'a'],
            &[0x08, 0, 0, 0, 1, 0, 1, b'a'],
            &[0x10, 0, 1, b'c', 0, 1, b'a'],
        ] {
            let bytes = head.repeat(200_000);
            assert!(matches!(decode(&bytes), Err(Error::Depth { limit: MAX_DEPTH, .. })), "{head:?}");
        }
    }

    #[test]
    fn a_million_objects_are_refused_at_the_limit() {
        let bytes = [0x03, 0, 0, 9].repeat(1_000_000);
        assert_eq!(decode(&bytes), Err(Error::Values { offset: MAX_VALUES * 4, limit: MAX_VALUES }));
    }

    #[test]
    fn declared_lengths_allocate_nothing() {
        assert!(matches!(decode(&[0x0a, 0xff, 0xff, 0xff, 0xff]), Err(Error::Truncated { .. })));
        assert!(matches!(decode(&[0x08, 0xff, 0xff, 0xff, 0xff]), Err(Error::Truncated { .. })));
        assert!(matches!(decode(&[0x0c, 0xff, 0xff, 0xff, 0xff, b'a']), Err(Error::Truncated { .. })));
    }

    #[test]
    fn text_is_bounded() {
        let mut bytes = vec![0x0c, 0, 1, 0, 1];
        bytes.resize(5 + 65_537, b'a');
        assert!(matches!(decode(&bytes), Err(Error::StringBytes { limit: MAX_STRING_BYTES, .. })));
    }

    #[test]
    fn an_ecma_array_may_lack_its_end() {
        let bytes = [0x08, 0, 0, 0, 1, 0, 1, b'a', 0x05];
        assert_eq!(decode(&bytes), Ok(vec![Value::EcmaArray(vec![("a".into(), Value::Null)])]));
    }

    #[test]
    fn errors_name_the_marker() {
        assert_eq!(
            decode(&[0x05, 0x11]).unwrap_err().to_string(),
            "AMF0: marker 0x11 at byte 1 is a switch to AMF3, which is not supported"
        );
        assert!(matches!(decode(&[0x42]), Err(Error::Marker { marker: 0x42, .. })));
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        let object = Value::Object(vec![("a".into(), Value::from(1.0)), ("a".into(), Value::from(2.0))]);
        assert_eq!(object.get("a"), Some(&Value::Number(2.0)));
    }
}
