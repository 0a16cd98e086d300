//! The boxes in front of a part's samples: (`styp`) (`prft`) `moof` `mdat`.

use mp4_atom::{Encode, FourCC, Mfhd, Moof, Prft, ReferenceTime, Styp, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use super::{Error, TRACK_ID};

/// `sample_depends_on` = 2: depends on no other sample (ISO/IEC 14496-12 8.8.3.1).
const FLAGS_SYNC: u32 = 0x0200_0000;
/// `sample_depends_on` = 1 and `sample_is_non_sync_sample`.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;
const BOX_HEADER_LEN: u64 = 8;
/// Seconds from the NTP epoch (1900) to the Unix epoch.
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Video,
    Audio,
}

/// One sample of a chunk; durations and offsets in ticks of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub size: u32,
    pub duration: u32,
    /// Decoding can start here.
    pub sync: bool,
    /// Presentation minus decoding time.
    pub composition_offset: i32,
}

/// What a chunk's boxes say.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    pub kind: Kind,
    /// Counts the chunks of the track, from 1.
    pub number: u32,
    /// Decode time of the first sample, in ticks.
    pub start: u64,
    pub samples: &'a [Sample],
    /// First of its segment.
    pub starts_segment: bool,
    /// When the first sample was captured, in nanoseconds since the Unix epoch.
    pub wall_ns: Option<u64>,
}

/// Everything that stands in front of the samples' bytes.
///
/// # Errors
/// When the samples have more bytes than a box can say.
pub fn header(chunk: &Chunk<'_>) -> Result<Vec<u8>, Error> {
    let mut header = Vec::with_capacity(192 + 12 * chunk.samples.len());
    if chunk.starts_segment {
        styp().encode(&mut header)?;
    }
    if let Some(wall_ns) = chunk.wall_ns {
        prft(chunk.start, wall_ns).encode(&mut header)?;
    }
    let payload = chunk.samples.iter().map(|sample| u64::from(sample.size)).sum::<u64>();
    let mdat = u32::try_from(payload + BOX_HEADER_LEN).map_err(|_| Error::TooLarge(payload))?;

    let before = header.len();
    moof(chunk, 0).encode(&mut header)?;
    // The offset does not change the length of the box that it is in.
    let offset = i32::try_from(header.len() - before + 8).map_err(|_| Error::TooLarge(payload))?;
    header.truncate(before);
    moof(chunk, offset).encode(&mut header)?;

    header.extend_from_slice(&mdat.to_be_bytes());
    header.extend_from_slice(b"mdat");
    Ok(header)
}

/// Bytes that the boxes of a part add, for the rate that a playlist claims.
#[must_use]
pub fn overhead(samples: u32) -> u64 {
    // moof 8, mfhd 16, traf 8, tfhd 24, tfdt 20, trun 24 + 4 a sample, mdat 8; styp 32 at most.
    140 + 4 * u64::from(samples)
}

fn styp() -> Styp {
    Styp {
        major_brand: FourCC::new(b"cmfs"),
        minor_version: 0,
        compatible_brands: [b"cmfs", b"cmfc", b"cmf2", b"iso6"].map(FourCC::new).to_vec(),
    }
}

fn prft(media_time: u64, wall_ns: u64) -> Prft {
    let (seconds, rest) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
    Prft {
        reference_track_id: TRACK_ID,
        ntp_timestamp: ((seconds + NTP_UNIX_OFFSET_S) << 32) | ((rest << 32) / 1_000_000_000),
        media_time,
        utc_time_semantics: ReferenceTime::Input,
    }
}

fn flags(sync: bool) -> u32 {
    if sync { FLAGS_SYNC } else { FLAGS_NON_SYNC }
}

fn moof(chunk: &Chunk<'_>, data_offset: i32) -> Moof {
    // What most samples have goes into the header once; a sample's own entry has only what differs.
    let default_sync = chunk.kind == Kind::Audio;
    let duration = chunk.samples.first().map(|sample| sample.duration);
    let same_duration = chunk.samples.iter().all(|sample| Some(sample.duration) == duration);
    let any_offset = chunk.samples.iter().any(|sample| sample.composition_offset != 0);
    let all_flags = chunk.samples.iter().skip(1).any(|sample| sample.sync != default_sync);
    let entries: Vec<_> = chunk
        .samples
        .iter()
        .enumerate()
        .map(|(position, sample)| TrunEntry {
            duration: (!same_duration).then_some(sample.duration),
            size: Some(sample.size),
            flags: (all_flags || (position == 0 && sample.sync != default_sync)).then(|| flags(sample.sync)),
            cts: any_offset.then(|| i64::from(sample.composition_offset)),
        })
        .collect();
    Moof {
        mfhd: Mfhd { sequence_number: chunk.number },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK_ID,
                default_base_is_moof: true,
                default_sample_duration: duration.filter(|_| same_duration),
                default_sample_flags: Some(flags(default_sync)),
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: chunk.start }),
            trun: vec![Trun { data_offset: Some(data_offset), samples: entries.into() }],
            ..Traf::default()
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::{Any, Decode};
    use proptest::prelude::*;

    fn chunk(kind: Kind, samples: &[Sample]) -> Chunk<'_> {
        Chunk { kind, number: 7, start: 1 << 40, samples, starts_segment: false, wall_ns: None }
    }

    fn sample(sync: bool) -> Sample {
        Sample { size: 100, duration: 3000, sync, composition_offset: 0 }
    }

    fn decode(bytes: &[u8]) -> Vec<Any> {
        let mut rest = bytes;
        let mut boxes = Vec::new();
        while let Some(Ok(atom)) = (!rest.is_empty()).then(|| Any::decode(&mut rest)) {
            boxes.push(atom);
        }
        boxes
    }

    /// (duration, size, flags, offset) of each sample as a reader resolves them.
    fn resolved(moof: &Moof) -> Vec<(u32, u32, u32, i64)> {
        let traf = &moof.traf[0];
        traf.trun[0]
            .samples
            .iter()
            .map(|entry| {
                (
                    entry.duration.or(traf.tfhd.default_sample_duration).unwrap(),
                    entry.size.unwrap(),
                    entry.flags.or(traf.tfhd.default_sample_flags).unwrap(),
                    entry.cts.unwrap_or(0),
                )
            })
            .collect()
    }

    #[test]
    fn a_key_frame_first_costs_one_field() {
        let samples = [sample(true), sample(false), sample(false)];
        let bytes = header(&chunk(Kind::Video, &samples)).unwrap();
        assert_eq!(bytes.len() as u64, overhead(3) - 32);
        let Any::Moof(moof) = &decode(&bytes)[0] else { panic!("no moof") };
        assert_eq!(
            resolved(moof),
            [(3000, 100, FLAGS_SYNC, 0), (3000, 100, FLAGS_NON_SYNC, 0), (3000, 100, FLAGS_NON_SYNC, 0)]
        );
        assert_eq!(moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time, 1 << 40);
        assert_eq!(moof.traf[0].trun[0].data_offset, Some(i32::try_from(bytes.len()).unwrap()));
    }

    #[test]
    fn a_segment_starts_with_its_brands_and_its_time() {
        let samples = [sample(true)];
        let chunk =
            Chunk { starts_segment: true, wall_ns: Some(1_500_000_000), ..chunk(Kind::Video, &samples) };
        let bytes = header(&chunk).unwrap();
        let boxes = decode(&bytes[..bytes.len() - 8]);
        assert!(matches!(&boxes[0], Any::Styp(styp) if styp.major_brand == FourCC::new(b"cmfs")));
        let Any::Prft(prft) = &boxes[1] else { panic!("no prft") };
        assert_eq!(prft.ntp_timestamp, ((NTP_UNIX_OFFSET_S + 1) << 32) | (1 << 31));
        assert!(matches!(&boxes[2], Any::Moof(_)));
    }

    proptest! {
        #[test]
        fn what_a_reader_resolves_is_what_was_written(
            audio in any::<bool>(),
            raw in prop::collection::vec((0u32..1 << 20, 1u32..4000, any::<bool>(), -3000i32..3000), 1..40),
            offsets in any::<bool>(),
        ) {
            let samples: Vec<_> = raw
                .iter()
                .map(|&(size, duration, sync, offset)| Sample {
                    size,
                    duration,
                    sync,
                    composition_offset: if offsets { offset } else { 0 },
                })
                .collect();
            let kind = if audio { Kind::Audio } else { Kind::Video };
            let bytes = header(&chunk(kind, &samples)).unwrap();
            let mut rest = bytes.as_slice();
            let Any::Moof(moof) = Any::decode(&mut rest).unwrap() else { panic!("no moof") };
            let want: Vec<_> = samples
                .iter()
                .map(|s| (s.duration, s.size, flags(s.sync), i64::from(s.composition_offset)))
                .collect();
            prop_assert_eq!(resolved(&moof), want);
            let total: u32 = samples.iter().map(|s| s.size).sum();
            prop_assert_eq!(rest, [&(total + 8).to_be_bytes()[..], b"mdat"].concat());
            prop_assert_eq!(usize::try_from(moof.traf[0].trun[0].data_offset.unwrap()).unwrap(), bytes.len());
        }
    }
}
