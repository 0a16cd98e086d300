//! Reads a session back: indexes, and the boxes that they name.

use std::collections::BTreeMap;
use std::path::Path;

use mp4_atom::{Any, DecodeMaybe};
use nodi_spool::{EndReason, Entry, SpoolSession, layout};

use super::bench::Bench;

const SYNC: u32 = 0x0200_0000;

#[derive(Debug, Clone)]
pub struct Sample {
    /// In ticks since the session's start.
    pub start: u64,
    pub duration: u64,
    pub sync: bool,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Part {
    pub duration_ns: u64,
    pub independent: bool,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
pub struct Segment {
    pub seq: u64,
    pub init: u32,
    timescale: u64,
    pub discontinuity: bool,
    pub start_ns: u64,
    pub wall_ms: u64,
    pub parts: Vec<Part>,
    /// `None`: it was left open.
    pub duration_ns: Option<u64>,
    pub len: u64,
}

impl Segment {
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.parts.iter().flat_map(|part| &part.samples)
    }

    fn ns(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * 1_000_000_000 / u128::from(self.timescale)) as u64
    }

    pub fn end_ns(&self) -> u64 {
        self.start_ns + self.duration_ns.unwrap()
    }
}

#[derive(Debug, Clone)]
pub struct Rendition {
    pub video: bool,
    pub timescale: u64,
    pub segments: Vec<Segment>,
    pub ended: Option<EndReason>,
}

impl Rendition {
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.segments.iter().flat_map(Segment::samples)
    }
}

pub struct Story {
    pub session: SpoolSession,
    pub renditions: BTreeMap<String, Rendition>,
}

pub fn read(bench: &Bench) -> Story {
    read_with(bench, false)
}

/// The same where a crash tore lines, and left bytes that no line names.
pub fn read_torn(bench: &Bench) -> Story {
    read_with(bench, true)
}

fn read_with(bench: &Bench, torn: bool) -> Story {
    let dir = bench.dir();
    let session: SpoolSession =
        serde_json::from_slice(&std::fs::read(dir.join(layout::SESSION)).unwrap()).unwrap();
    let mut renditions = BTreeMap::new();
    for item in std::fs::read_dir(&dir).unwrap() {
        let item = item.unwrap();
        if item.path().join(layout::INDEX).exists() {
            renditions.insert(item.file_name().into_string().unwrap(), read_rendition(&item.path(), torn));
        }
    }
    Story { session, renditions }
}

fn read_rendition(dir: &Path, torn: bool) -> Rendition {
    let mut rendition = Rendition { video: false, timescale: 0, segments: Vec::new(), ended: None };
    for line in std::fs::read(dir.join(layout::INDEX)).unwrap().split(|byte| *byte == b'\n') {
        match Entry::parse(line) {
            Ok(Entry::Init { init, rendition: description }) => {
                let section = std::fs::read(dir.join(layout::init(init))).unwrap();
                rendition.timescale = check_section(&section, &description);
                rendition.video = description.is_video();
                rendition.ended = None;
            }
            Ok(Entry::Open { seq, init, discontinuity, start_ns, wall_ms }) => {
                rendition.segments.push(Segment {
                    seq,
                    init,
                    timescale: rendition.timescale,
                    discontinuity,
                    start_ns,
                    wall_ms,
                    parts: Vec::new(),
                    duration_ns: None,
                    len: 0,
                })
            }
            Ok(Entry::Part { seq, part, offset, len, duration_ns, independent }) => {
                let segment = rendition.segments.last_mut().unwrap();
                assert_eq!((seq, part as usize), (segment.seq, segment.parts.len()));
                let bytes = std::fs::read(dir.join(layout::segment(seq))).unwrap();
                let samples = check_chunk(&bytes[offset as usize..(offset + len) as usize], part == 0);
                segment.parts.push(Part { duration_ns, independent, samples });
            }
            Ok(Entry::Segment { seq, len, duration_ns }) => {
                let segment = rendition.segments.last_mut().unwrap();
                assert_eq!(seq, segment.seq);
                segment.duration_ns = Some(duration_ns);
                segment.len = len;
                let file = std::fs::read(dir.join(layout::segment(seq))).unwrap();
                assert!(file.len() as u64 == len || torn);
            }
            Ok(Entry::End { reason }) => rendition.ended = Some(reason),
            Err(error) => assert!(torn || line.is_empty(), "{error}: {}", String::from_utf8_lossy(line)),
        }
    }
    rendition
}

fn boxes(mut bytes: &[u8]) -> Vec<Any> {
    let mut boxes = Vec::new();
    while let Some(atom) = Any::decode_maybe(&mut bytes).unwrap() {
        boxes.push(atom);
    }
    assert!(bytes.is_empty());
    boxes
}

/// Answers the timescale.
fn check_section(section: &[u8], description: &nodi_protocol::Rendition) -> u64 {
    let boxes = boxes(section);
    let [Any::Ftyp(ftyp), Any::Moov(moov)] = boxes.as_slice() else { panic!("{boxes:?}") };
    for brand in [b"iso6", b"cmfc", b"cmf2"] {
        assert!(ftyp.compatible_brands.contains(&mp4_atom::FourCC::new(brand)));
    }
    assert_eq!(moov.trak.len(), 1);
    assert!(moov.mvex.is_some());
    let codecs = &moov.trak[0].mdia.minf.stbl.stsd.codecs;
    match (&codecs[..], description.is_video()) {
        ([mp4_atom::Codec::Avc1(_)], true) | ([mp4_atom::Codec::Mp4a(_)], false) => {}
        other => panic!("{other:?}"),
    }
    u64::from(moov.trak[0].mdia.mdhd.timescale)
}

fn check_chunk(bytes: &[u8], starts_segment: bool) -> Vec<Sample> {
    let mut boxes = boxes(bytes);
    assert_eq!(matches!(boxes.first(), Some(Any::Styp(_))), starts_segment);
    if starts_segment {
        boxes.remove(0);
    }
    if matches!(boxes.first(), Some(Any::Prft(_))) {
        boxes.remove(0);
    }
    let [Any::Moof(moof), Any::Mdat(mdat)] = boxes.as_slice() else { panic!("{boxes:?}") };
    let traf = &moof.traf[0];
    assert!(traf.tfhd.default_base_is_moof);
    let mut start = traf.tfdt.as_ref().unwrap().base_media_decode_time;
    let mut rest = mdat.data.as_slice();
    let mut samples = Vec::new();
    for entry in traf.trun[0].samples.iter() {
        let (data, after) = rest.split_at(entry.size.unwrap() as usize);
        rest = after;
        let duration = u64::from(entry.duration.or(traf.tfhd.default_sample_duration).unwrap());
        let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
        samples.push(Sample { start, duration, sync: flags == SYNC, data: data.to_vec() });
        start += duration;
    }
    assert!(rest.is_empty());
    samples
}

impl Story {
    pub fn of(&self, name: &str) -> &Rendition {
        &self.renditions[name]
    }

    /// What has to hold for every session, whatever went in. `whole`: nothing was missing.
    pub fn check(&self, whole: bool) {
        let target = self.session.part_target_ns;
        assert_eq!(target % 10_000, 0);
        for (name, rendition) in &self.renditions {
            let mut last: Option<(u64, u32)> = None;
            let mut position = 0;
            let mut end_ns = 0;
            for segment in &rendition.segments {
                let context = || format!("{name} {}", segment.seq);
                // With a new section a rendition may come back after it was away.
                let new_section = last.is_none_or(|(_, init)| segment.init > init);
                assert!(new_section || last.is_some_and(|(seq, _)| segment.seq == seq + 1), "{}", context());
                last = Some((segment.seq, segment.init));
                if new_section {
                    position = 0;
                }
                assert!(segment.start_ns >= end_ns, "{} starts before the one before ends", context());
                let duration_ns = segment.duration_ns.unwrap_or_else(|| panic!("{} is open", context()));
                end_ns = segment.start_ns + duration_ns;
                assert!(
                    duration_ns < u64::from(self.session.target_duration_s) * 1_000_000_000 + 525_000_000,
                    "{}",
                    context()
                );
                assert_eq!(segment.parts.is_empty(), segment.len == 0, "{}", context());
                let Some(first) = segment.parts.first() else {
                    assert_eq!(duration_ns, 0);
                    continue;
                };
                assert!(first.independent && first.samples[0].sync, "{} has no key frame first", context());
                assert_eq!(segment.ns(first.samples[0].start), segment.start_ns, "{}", context());
                for part in &segment.parts {
                    assert!(part.duration_ns <= target, "{}: {} > {target}", context(), part.duration_ns);
                    assert_eq!(part.independent, part.samples[0].sync, "{}", context());
                    for sample in &part.samples {
                        if whole && position > 0 && !segment.discontinuity {
                            assert_eq!(sample.start, position, "{}", context());
                        }
                        assert!(sample.start >= position, "{}", context());
                        position = sample.start + sample.duration;
                    }
                }
                if whole {
                    let sum: u64 = segment.parts.iter().map(|part| part.duration_ns).sum();
                    assert_eq!(sum, duration_ns, "{}", context());
                    let short =
                        segment.parts.iter().rev().skip(1).find(|part| part.duration_ns * 100 < target * 85);
                    assert!(short.is_none(), "{}: {short:?}", context());
                }
            }
        }
        self.check_boundaries();
    }

    /// The same sequence numbers start at the same times: to the tick for pictures, to a frame for sound.
    fn check_boundaries(&self) {
        let mut starts: BTreeMap<u64, u64> = BTreeMap::new();
        for rendition in self.renditions.values().filter(|rendition| rendition.video) {
            for segment in &rendition.segments {
                let start = *starts.entry(segment.seq).or_insert(segment.start_ns);
                assert!(segment.start_ns.abs_diff(start) <= 100_000, "{} {start}", segment.seq);
            }
        }
        for rendition in self.renditions.values().filter(|rendition| !rendition.video) {
            let frame_ns = 1024 * 1_000_000_000 / rendition.timescale;
            for segment in rendition.segments.iter().filter(|segment| segment.len > 0) {
                if let Some(start) = starts.get(&segment.seq) {
                    assert!(segment.start_ns.abs_diff(*start) <= frame_ns, "{} {start}", segment.start_ns);
                }
            }
        }
    }
}
