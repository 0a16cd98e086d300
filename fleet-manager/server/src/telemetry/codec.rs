//! A chunk of samples in few bytes: series after series, each value as the difference to the one before, in as many
//! bytes as it needs (LEB128 of the zigzag). Most differences of a box fit into one.

use super::sample::{SERIES, Sample, Which};

const FORMAT: u8 = 1;
/// Samples that one chunk may have: ten minutes at 1 Hz, and the repetitions of a bad line.
pub(super) const MAX_SAMPLES: usize = 1_200;

/// Why stored bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk of telemetry is damaged")]
pub(super) struct Damaged;

/// `samples` in order of time.
pub(super) fn encode(samples: &[Sample]) -> Vec<u8> {
    let samples = samples.get(..MAX_SAMPLES).unwrap_or(samples);
    let mut out = Vec::with_capacity(16 + samples.len() * SERIES * 2);
    out.push(FORMAT);
    unsigned(&mut out, samples.len() as u64);
    let mut before = 0;
    for sample in samples {
        signed(&mut out, sample.at_ms.wrapping_sub(before));
        before = sample.at_ms;
    }
    for which in Which::ALL {
        let mut before = 0;
        for sample in samples {
            // 0 stands for "not told", so that one byte does for it, too.
            match sample.get(which).map(|value| quantised(value, which)) {
                None => unsigned(&mut out, 0),
                Some(value) => {
                    unsigned(&mut out, zigzag(value.wrapping_sub(before)).saturating_add(1));
                    before = value;
                }
            }
        }
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Sample>, Damaged> {
    let mut input = Input(bytes);
    if input.byte()? != FORMAT {
        return Err(Damaged);
    }
    let count =
        usize::try_from(input.unsigned()?).ok().filter(|count| *count <= MAX_SAMPLES).ok_or(Damaged)?;
    let mut samples = Vec::with_capacity(count);
    let mut at_ms = 0_i64;
    for _ in 0..count {
        at_ms = at_ms.wrapping_add(unzigzag(input.unsigned()?));
        samples.push(Sample { at_ms, values: [f32::NAN; SERIES] });
    }
    for which in Which::ALL {
        let mut before = 0_i64;
        for sample in &mut samples {
            let coded = input.unsigned()?;
            if let Some(difference) = coded.checked_sub(1) {
                before = before.wrapping_add(unzigzag(difference));
                if let Some(value) = sample.values.get_mut(which as usize) {
                    *value = value_of(before, which);
                }
            }
        }
    }
    if input.0.is_empty() { Ok(samples) } else { Err(Damaged) }
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to what fits")]
fn quantised(value: f32, which: Which) -> i64 {
    // Far above everything that is measured, and small enough that differences never wrap.
    const LIMIT: f64 = 1e15;
    (f64::from(value) * which.scale()).round().clamp(-LIMIT, LIMIT) as i64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "24 bits are what it had before"
)]
fn value_of(quantised: i64, which: Which) -> f32 {
    (quantised as f64 / which.scale()) as f32
}

#[allow(clippy::cast_sign_loss, reason = "zigzag is about the bits")]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[allow(clippy::cast_possible_wrap, reason = "zigzag is about the bits")]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(out, zigzag(value));
}

#[allow(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    fn unsigned(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quiet_box_needs_about_a_byte_per_value() {
        let samples: Vec<Sample> = (0..60)
            .map(|n| {
                let wave = ((n * 37) % 100) as f32 / 100.0;
                let values =
                    [wave, wave, 0.3, 50.0 + wave, 0.4, 0.5, 8e6 + wave * 1e5, 40.0, 1.0 + wave, 1.0];
                Sample { at_ms: 1_800_000_000_000 + n * 10_000, values }
            })
            .collect();
        let bytes = encode(&samples);
        assert!(bytes.len() < 60 * 18, "{} bytes", bytes.len());
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(
            raw in prop::collection::vec((0_i64..4_000_000_000_000, prop::array::uniform10(prop::option::of(-1e6_f32..1e9))), 0..80)
        ) {
            let samples: Vec<Sample> = raw
                .iter()
                .map(|(at_ms, values)| Sample { at_ms: *at_ms, values: values.map(|value| value.unwrap_or(f32::NAN)) })
                .collect();
            let back = decode(&encode(&samples)).unwrap();
            prop_assert_eq!(back.len(), samples.len());
            for (back, sample) in back.iter().zip(&samples) {
                prop_assert_eq!(back.at_ms, sample.at_ms);
                for which in Which::ALL {
                    match (back.get(which), sample.get(which)) {
                        (None, None) => {}
                        (Some(back), Some(value)) => {
                            let step = 1.0 / which.scale();
                            let error = (f64::from(back) - f64::from(value)).abs();
                            prop_assert!(error <= step + f64::from(value.abs()) * 1e-6, "{which:?}: {back} for {value}");
                        }
                        other => prop_assert!(false, "{which:?}: {other:?}"),
                    }
                }
            }
        }

        #[test]
        fn damaged_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
