//! What the tests of this crate share: a session with known contents.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and not every test uses everything"
)]

use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nodi_protocol::{ChannelId, Rendition, RenditionName, SessionId, Track};
use nodi_spool::writer::{Open, Options};
use nodi_spool::{Entry, Event, Follower, RenditionKey, SessionKey, SessionWriter, layout};

pub(crate) const PART_NS: u64 = 500_000_000;

pub(crate) fn channel() -> ChannelId {
    "room".parse().unwrap()
}

pub(crate) fn session(number: u64) -> SessionId {
    SessionId::new(1_700_000_000_000 + number, 7)
}

pub(crate) fn key(number: u64) -> SessionKey {
    SessionKey { channel: channel(), session: session(number) }
}

pub(crate) fn name(text: &str) -> RenditionName {
    text.parse().unwrap()
}

pub(crate) fn video(text: &str) -> Rendition {
    Rendition {
        name: name(text),
        track: Track::Video {
            codecs: "avc1.64001f".to_owned(),
            width: 640,
            height: 360,
            frame_rate: (30, 1),
        },
        bandwidth: 900_000,
        average_bandwidth: 800_000,
    }
}

pub(crate) fn options() -> Options {
    Options { min_free_bytes: 0, lock_wait: Duration::ZERO, ..Options::default() }
}

pub(crate) fn writer(root: &Path, number: u64) -> SessionWriter {
    SessionWriter::open(root, &channel(), session(number), options()).unwrap()
}

pub(crate) fn open(seq: u64, discontinuity: bool, start_ns: u64) -> Open {
    Open { seq, discontinuity, start_ns, wall_ms: 1_700_000_000_000 + start_ns / 1_000_000 }
}

/// The bytes of a part, different for each.
pub(crate) fn payload(seq: u64, part: u64) -> Vec<u8> {
    format!("segment {seq} part {part};").into_bytes()
}

pub(crate) fn part(writer: &mut SessionWriter, rendition: &RenditionName, seq: u64, part: u64) {
    let bytes = payload(seq, part);
    let (head, tail) = bytes.split_at(4);
    writer.part(rendition, &mut [IoSlice::new(head), IoSlice::new(tail)], PART_NS, part == 0).unwrap();
}

/// A whole segment of four parts.
pub(crate) fn segment(writer: &mut SessionWriter, rendition: &RenditionName, seq: u64) {
    writer.open_segment(rendition, open(seq, false, seq * 4 * PART_NS)).unwrap();
    (0..4).for_each(|number| part(writer, rendition, seq, number));
    writer.close_segment(rendition, 4 * PART_NS).unwrap();
}

/// All entries of an index, as a reader that skips what is torn sees them.
pub(crate) fn entries(index: &Path) -> Vec<Entry> {
    let text = std::fs::read(index).unwrap();
    let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    text[..complete].split(|byte| *byte == b'\n').filter_map(|line| Entry::parse(line).ok()).collect()
}

/// Checks what an index promises, and that the bytes that it names are there.
pub(crate) fn check_story(root: &Path, key: &RenditionKey) -> Vec<Entry> {
    let dir = key.dir(root);
    let entries = entries(&dir.join(layout::INDEX));
    let mut inits = 0;
    let mut open: Option<(u64, u64, u64, u64)> = None;
    let mut last_seq = None;
    let mut media_ns = 0;
    for entry in &entries {
        match *entry {
            Entry::Init { init, .. } => {
                assert!(open.is_none(), "{entries:?}");
                assert_eq!(init, inits);
                assert!(dir.join(layout::init(init)).is_file());
                inits += 1;
            }
            Entry::Open { seq, init, start_ns, .. } => {
                assert!(open.is_none(), "{entries:?}");
                assert_eq!(init + 1, inits);
                assert!(last_seq.is_none_or(|last| seq > last), "{entries:?}");
                assert!(start_ns >= media_ns, "{entries:?}");
                open = Some((seq, 0, 0, start_ns));
            }
            Entry::Part { seq, part, offset, len, duration_ns, .. } => {
                let (open_seq, parts, bytes, _) = open.as_mut().unwrap();
                assert_eq!((seq, u64::from(part), offset), (*open_seq, *parts, *bytes));
                let mut held = vec![0; usize::try_from(len).unwrap()];
                let file = std::fs::File::open(dir.join(layout::segment(seq))).unwrap();
                file.read_exact_at(&mut held, offset).unwrap();
                assert_eq!(held, payload(seq, u64::from(part)));
                *parts += 1;
                *bytes += len;
                media_ns = media_ns.max(open.unwrap().3) + duration_ns;
            }
            Entry::Segment { seq, len, duration_ns } => {
                let (open_seq, parts, bytes, start_ns) = open.take().unwrap();
                assert_eq!((seq, len), (open_seq, bytes));
                assert_eq!(duration_ns, parts * PART_NS);
                media_ns = media_ns.max(start_ns + duration_ns);
                last_seq = Some(seq);
            }
            Entry::End { .. } => assert!(open.is_none(), "{entries:?}"),
        }
    }
    entries
}

/// Reads until `enough` says so.
pub(crate) fn follow_until(follower: &mut Follower, mut enough: impl FnMut(&[Event]) -> bool) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut events = Vec::new();
    while !enough(&events) {
        assert!(Instant::now() < deadline, "only {} events: {:?}", events.len(), events.last());
        let new = follower.read(64).unwrap();
        if new.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        events.extend(new);
    }
    events
}

pub(crate) fn entries_of(events: &[Event], rendition: &RenditionKey) -> Vec<Entry> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Entry { key, entry, .. } if key == rendition => Some(entry.clone()),
            _ => None,
        })
        .collect()
}
