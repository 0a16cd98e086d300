//! AMF0, and what is read out of it.

use bytes::Bytes;
use nodi_flv::amf0::{Decoder, Limits, Value, decode_all, encode_all};
use nodi_flv::{Kind, Metadata, SessionFacts, Tag};

/// Room for what grows when it is written: each wrong byte of a text becomes three right ones.
const ROOMY: Limits = Limits { depth: 64, values: 100_000, string_bytes: 16 << 20 };

/// What was decoded is encoded, decoded and encoded again: the bytes have to be the same.
pub fn amf0(bytes: &[u8]) {
    let limits = Limits::default();
    let _ = Metadata::from_script(bytes, limits);
    let tag = Tag { kind: Kind::Script, timestamp_ms: 0, data: Bytes::copy_from_slice(bytes) };
    if let Ok(Some(facts)) = SessionFacts::from_tag(&tag) {
        assert_eq!(SessionFacts::from_tag(&facts.to_tag()), Ok(Some(cut(facts))));
    }
    let values = match decode_all(bytes, limits) {
        Ok(values) => values,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(values.iter().map(count).sum::<usize>() <= limits.values);
    assert!(values.iter().all(|value| depth(value) <= limits.depth));
    let _ = Metadata::from_values(&values);
    let encoded = encode_all(&values);
    let again = decode_all(&encoded, ROOMY).unwrap();
    assert_eq!(encode_all(&again), encoded);
    let mut decoder = Decoder::new(&encoded, ROOMY);
    while decoder.next_value().unwrap().is_some() {}
    assert_eq!(decoder.offset(), encoded.len());
}

/// As the writer cuts an encoder's name.
fn cut(mut facts: SessionFacts) -> SessionFacts {
    facts.encoder.truncate(facts.encoder.floor_char_boundary(256));
    facts
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::StrictArray(items) => items.iter().collect(),
        other => other.properties().into_iter().flatten().map(|(_, value)| value).collect(),
    }
}

fn count(value: &Value) -> usize {
    1 + children(value).into_iter().map(count).sum::<usize>()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::StrictArray(_) => 1 + children(value).into_iter().map(depth).max().unwrap_or(0),
        other if other.properties().is_some() => {
            1 + children(value).into_iter().map(depth).max().unwrap_or(0)
        }
        _ => 0,
    }
}
