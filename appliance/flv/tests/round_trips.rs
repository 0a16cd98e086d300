//! What is written comes back, whatever it is and however it is cut.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use bytes::{Bytes, BytesMut};
use nodi_flv::amf0::{Limits, Value, decode_all, encode_all};
use nodi_flv::avc::NalUnits;
use nodi_flv::tag::{Header, write_header, write_tag};
use nodi_flv::{Kind, Metadata, Reader, SessionFacts, Tag, audio, video};
use nodi_protocol::SessionId;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan()).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(Value::String),
        any::<String>().prop_map(Value::XmlDocument),
        Just(Value::Null),
        Just(Value::Undefined),
        any::<u16>().prop_map(Value::Reference),
        (0.0..1e15f64, any::<i16>()).prop_map(|(unix_ms, zone)| Value::Date { unix_ms, zone }),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        let properties = prop::collection::vec((any::<String>(), inner.clone()), 0..8);
        prop_oneof![
            properties.clone().prop_map(Value::Object),
            properties.clone().prop_map(Value::EcmaArray),
            (any::<String>(), properties)
                .prop_map(|(class, properties)| Value::TypedObject { class, properties }),
            prop::collection::vec(inner, 0..8).prop_map(Value::StrictArray),
        ]
    })
}

fn tag() -> impl Strategy<Value = Tag> {
    let kind = prop_oneof![Just(Kind::Audio), Just(Kind::Video), Just(Kind::Script)];
    (kind, any::<u32>(), prop::collection::vec(any::<u8>(), 0..400))
        .prop_map(|(kind, timestamp_ms, data)| Tag { kind, timestamp_ms, data: data.into() })
}

proptest! {
    #[test]
    fn values(values in prop::collection::vec(value(), 0..6)) {
        let bytes = encode_all(&values);
        prop_assert_eq!(decode_all(&bytes, Limits::default()), Ok(values));
    }

    #[test]
    fn cut_values_are_errors_or_fewer(values in prop::collection::vec(value(), 1..4), cut in any::<prop::sample::Index>()) {
        let bytes = encode_all(&values);
        let cut = cut.index(bytes.len());
        if let Ok(read) = decode_all(&bytes[..cut], Limits::default()) {
            prop_assert!(read.len() <= values.len());
        }
    }

    #[test]
    fn tags(tags in prop::collection::vec(tag(), 0..12), cuts in prop::collection::vec(1..300usize, 1..9)) {
        let mut file = BytesMut::new();
        write_header(Header { audio: true, video: false }, &mut file);
        for tag in &tags {
            write_tag(tag, &mut file).unwrap();
        }
        let mut rest = file.freeze();
        let mut reader = Reader::default();
        let mut read = Vec::new();
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let mut piece = rest.split_to(cuts.next().unwrap().min(rest.len()));
            while let Some(tag) = reader.read(&mut piece).unwrap() {
                read.push(tag);
            }
        }
        prop_assert_eq!(read, tags);
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn facts(channel in "[a-z0-9][a-z0-9_-]{0,31}", time in 0..1u64 << 48, random: u128, worker: u32, encoder in "\\PC{0,80}") {
        let session = SessionId::new(time, random);
        let facts = SessionFacts { channel: channel.parse().unwrap(), session, worker, encoder };
        let mut expected = facts.clone();
        expected.encoder.truncate(expected.encoder.floor_char_boundary(256));
        prop_assert_eq!(SessionFacts::from_tag(&facts.to_tag()), Ok(Some(expected)));
    }

    #[test]
    fn nal_units(units in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..9), wide: bool) {
        let mut frame = Vec::new();
        for unit in &units {
            let len = u32::try_from(unit.len()).unwrap().to_be_bytes();
            frame.extend_from_slice(if wide { &len } else { &len[3..] });
            frame.extend_from_slice(unit);
        }
        let read: Result<Vec<_>, _> = NalUnits::new(&frame, if wide { 4 } else { 1 }).collect();
        prop_assert_eq!(read.unwrap(), units);
    }

    #[test]
    fn any_bytes_are_only_ever_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let data = Bytes::from(bytes);
        let _ = video::parse(&data);
        let _ = audio::parse(&data);
        let _ = Metadata::from_script(&data, Limits::default());
        let _ = nodi_flv::avc::DecoderConfig::parse(&data);
        let _ = nodi_flv::avc::Sps::parse(&data);
        let _ = nodi_flv::aac::Config::parse(&data);
        let _ = nodi_flv::avc::picture_type(&data, 4);
    }
}
