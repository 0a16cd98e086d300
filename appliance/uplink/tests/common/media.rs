//! A transcode worker's output without a transcoder: the real spool writer, and bytes that can be told apart.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;
use std::time::Duration;

use nodi_protocol::{ChannelId, Rendition, RenditionName, SessionId, Track};
use nodi_spool::writer::{Open, Options};
use nodi_spool::{EndReason, SessionWriter};

pub const MS: u64 = 1_000_000;

/// One rendition to write.
#[derive(Clone)]
pub struct Rung {
    pub rendition: Rendition,
    pub part_bytes: usize,
}

pub fn video(name: &str, bandwidth: u32, part_bytes: usize) -> Rung {
    let track = Track::Video { codecs: "avc1.64001f".into(), width: 1280, height: 720, frame_rate: (30, 1) };
    let rendition = Rendition { name: name.parse().unwrap(), track, bandwidth, average_bandwidth: bandwidth };
    Rung { rendition, part_bytes }
}

pub fn audio(part_bytes: usize) -> Rung {
    let track = Track::Audio { codecs: "mp4a.40.2".into(), channels: 2, sample_rate: 48_000 };
    let rendition =
        Rendition { name: "audio".parse().unwrap(), track, bandwidth: 128_000, average_bandwidth: 128_000 };
    Rung { rendition, part_bytes }
}

/// Writes one session.
pub struct Worker {
    writer: SessionWriter,
    pub channel: ChannelId,
    pub session: SessionId,
    rungs: Vec<Rung>,
    pub parts_per_segment: u64,
    pub part: Duration,
    seq: u64,
    part_index: u64,
    media_ns: u64,
    discontinuity: bool,
    /// What was written, by rendition and segment.
    pub written: BTreeMap<(RenditionName, u64), Vec<u8>>,
    pub inits: BTreeMap<(RenditionName, u32), Vec<u8>>,
}

pub fn session_id(number: u64) -> SessionId {
    SessionId::new(1_700_000_000_000 + number, u128::from(number))
}

impl Worker {
    /// Segments of 400 ms in 4 parts: the tests are quicker than life.
    pub fn new(spool: &Path, channel: &str, session: SessionId, rungs: &[Rung]) -> Self {
        let channel: ChannelId = channel.parse().unwrap();
        let options = Options { min_free_bytes: 0, ..Options::default() };
        let writer = SessionWriter::open(spool, &channel, session, options).unwrap();
        let (seq, media_ns) = writer.resumed().map_or((0, 0), |resumed| (resumed.next_seq, resumed.media_ns));
        let mut worker = Self {
            writer,
            channel,
            session,
            rungs: rungs.to_vec(),
            parts_per_segment: 4,
            part: Duration::from_millis(100),
            seq,
            part_index: 0,
            media_ns,
            discontinuity: seq > 0,
            written: BTreeMap::new(),
            inits: BTreeMap::new(),
        };
        for rung in rungs {
            let section = format!("init of {} for {seq}", rung.rendition.name).into_bytes();
            let init = worker.writer.init(&rung.rendition, &section).unwrap();
            worker.inits.insert((rung.rendition.name.clone(), init), section);
        }
        let renditions = rungs.iter().map(|rung| rung.rendition.clone()).collect();
        worker.writer.describe(renditions, 1, 100 * MS).unwrap();
        worker
    }

    fn part_ns(&self) -> u64 {
        u64::try_from(self.part.as_nanos()).unwrap()
    }

    /// Writes the next part of every rendition, opening and closing segments as needed.
    pub fn part(&mut self) {
        let part_ns = self.part_ns();
        for rung in self.rungs.clone() {
            let name = &rung.rendition.name;
            if self.part_index == 0 {
                let open = Open {
                    seq: self.seq,
                    discontinuity: self.discontinuity,
                    start_ns: self.media_ns,
                    wall_ms: self.session.unix_ms() + self.media_ns / MS,
                };
                self.writer.open_segment(name, open).unwrap();
            }
            let bytes = bytes(name, self.seq, self.part_index, rung.part_bytes);
            self.writer.part(name, &mut [IoSlice::new(&bytes)], part_ns, self.part_index == 0).unwrap();
            self.written.entry((name.clone(), self.seq)).or_default().extend(bytes);
            if self.part_index + 1 == self.parts_per_segment {
                self.writer.close_segment(name, part_ns * self.parts_per_segment).unwrap();
            }
        }
        self.media_ns += part_ns;
        self.part_index += 1;
        if self.part_index == self.parts_per_segment {
            self.part_index = 0;
            self.seq += 1;
            self.discontinuity = false;
        }
    }

    /// Writes `count` segments at once.
    pub fn segments(&mut self, count: u64) {
        for _ in 0..count * self.parts_per_segment {
            self.part();
        }
    }

    /// Writes in real time.
    pub async fn play(&mut self, time: Duration) {
        let mut clock = tokio::time::interval(self.part);
        for _ in 0..(time.as_millis() / self.part.as_millis()) {
            clock.tick().await;
            self.part();
        }
    }

    pub fn thumbnail(&self, jpeg: &[u8]) {
        self.writer.files().write_thumbnail(jpeg).unwrap();
    }

    pub fn end(mut self) -> BTreeMap<(RenditionName, u64), Vec<u8>> {
        for rung in &self.rungs {
            self.writer.end(&rung.rendition.name, EndReason::Eof).unwrap();
        }
        self.written
    }

    /// Dies without a word.
    pub fn crash(self) -> BTreeMap<(RenditionName, u64), Vec<u8>> {
        self.written
    }

    pub fn next_seq(&self) -> u64 {
        self.seq
    }
}

fn bytes(name: &RenditionName, seq: u64, part: u64, len: usize) -> Vec<u8> {
    let label = format!("{name} {seq} {part} ");
    label.bytes().cycle().take(len).collect()
}
