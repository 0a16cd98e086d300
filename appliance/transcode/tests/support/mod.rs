//! Sends real FLV through the real worker, and looks at the spool as its readers do.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use nodi_flv::tag::{self, Header};
use nodi_flv::{Reader, SessionFacts, Tag};
use nodi_protocol::{SessionId, Track};
use nodi_spool::{EndReason, Entry, WorkerStatus};
use tempfile::TempDir;

/// A length of AAC frame at the lowest rate that is passed on, in ns: the tolerance for audio.
pub(crate) const AAC_FRAME_NS: u64 = 1024 * 1_000_000_000 / 44_100 + 1;

/// One run of the worker.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
}

/// What a rendition's index says, checked on reading.
#[derive(Debug, Default)]
pub(crate) struct Rendition {
    pub(crate) tracks: Vec<Track>,
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) end: Option<EndReason>,
}

#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) init: u32,
    pub(crate) discontinuity: bool,
    pub(crate) start_ns: u64,
    pub(crate) duration_ns: u64,
    pub(crate) parts: Vec<(u64, bool)>,
    pub(crate) len: u64,
    pub(crate) complete: bool,
}

/// A finished session.
pub(crate) struct Session {
    pub(crate) dir: PathBuf,
    pub(crate) renditions: BTreeMap<String, Rendition>,
    pub(crate) status: WorkerStatus,
}

/// One frame as ffprobe sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packet {
    pub(crate) pts: f64,
    pub(crate) key: bool,
}

pub(crate) const LADDER: &str = r#"
ladder = [
    { name = "360p", height = 360, bitrate = 600000 },
    { name = "180p", height = 180, bitrate = 250000 },
]
preset = "ultrafast"
pace = "file"
"#;

/// The same for live input. What the machine carries is measured once for all tests.
pub(crate) fn live_ladder() -> String {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
    LADDER.replace("pace = \"file\"", &format!("pace = \"live\"\nstate = {state:?}"))
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub(crate) fn config_text(&self, more: &str) -> String {
        format!("spool = {:?}\nmin_free_bytes = 0\n{more}", self.spool(),)
    }

    pub(crate) fn config(&self, more: &str) -> PathBuf {
        let path = self.dir.path().join("config.toml");
        fs::write(&path, self.config_text(more)).unwrap();
        path
    }

    /// Makes FLV as a publisher's ffmpeg does.
    pub(crate) fn flv(&self, arguments: &str) -> Bytes {
        let path = self.dir.path().join("input.flv");
        ffmpeg(&format!("{arguments} -f flv {}", path.display()));
        Bytes::from(fs::read(&path).unwrap())
    }

    /// Starts the worker, without input yet.
    pub(crate) fn start(&self, config: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_nodi-transcode"))
            .arg("--config")
            .arg(self.config(config))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .env("RUST_LOG", "info")
            .spawn()
            .unwrap()
    }

    /// Pipes `flv` through the worker until it ends.
    pub(crate) fn pipe(&self, flv: &[u8], config: &str) -> Output {
        let mut worker = self.start(config);
        let mut stdin = worker.stdin.take().unwrap();
        let flv = flv.to_vec();
        let feeder = std::thread::spawn(move || {
            // A worker that refuses its input closes it.
            let _ = stdin.write_all(&flv);
        });
        let output = worker.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    /// As [`Bench::pipe`], for input that has to work; the only session that the spool then holds.
    pub(crate) fn transcode(&self, flv: &[u8], config: &str) -> Session {
        let output = self.pipe(flv, config);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?}\n{log}", output.status);
        assert!(!log.contains("CRITICAL"), "{log}");
        println!("{log}");
        self.session()
    }

    pub(crate) fn session(&self) -> Session {
        let channel = only_entry(&self.spool());
        let dir = only_entry(&channel);
        let status = serde_json::from_slice(&fs::read(dir.join("status.json")).unwrap()).unwrap();
        let mut renditions = BTreeMap::new();
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                renditions.insert(name, Rendition::read(&path));
            }
        }
        Session { dir, renditions, status }
    }
}

fn only_entry(dir: &Path) -> PathBuf {
    let entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

impl Rendition {
    fn read(dir: &Path) -> Self {
        let mut rendition = Self::default();
        for line in fs::read(dir.join("index")).unwrap().split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            match Entry::parse(line).unwrap() {
                Entry::Init { rendition: description, .. } => rendition.tracks.push(description.track),
                Entry::Open { seq, init, discontinuity, start_ns, .. } => {
                    let segment = Segment { init, discontinuity, start_ns, ..Segment::default() };
                    assert!(rendition.segments.insert(seq, segment).is_none(), "segment {seq} opened twice");
                }
                Entry::Part { seq, offset, len, duration_ns, independent, .. } => {
                    let segment = rendition.segments.get_mut(&seq).unwrap();
                    assert_eq!(offset, segment.len, "part of segment {seq}");
                    segment.len += len;
                    segment.parts.push((duration_ns, independent));
                }
                Entry::Segment { seq, len, duration_ns } => {
                    let segment = rendition.segments.get_mut(&seq).unwrap();
                    assert_eq!(len, segment.len);
                    segment.duration_ns = duration_ns;
                    segment.complete = true;
                }
                Entry::End { reason } => rendition.end = Some(reason),
            }
        }
        rendition
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        match self.tracks.last() {
            Some(Track::Video { width, height, .. }) => (*width, *height),
            _ => (0, 0),
        }
    }

    pub(crate) fn duration_s(&self) -> f64 {
        self.segments.values().map(|segment| segment.duration_ns).sum::<u64>() as f64 / 1e9
    }
}

impl Session {
    pub(crate) fn rungs(&self) -> Vec<&str> {
        self.renditions.keys().map(String::as_str).filter(|name| *name != "audio").collect()
    }

    pub(crate) fn rung(&self, name: &str) -> &Rendition {
        &self.renditions[name]
    }

    /// What holds for every session that ran to its end: segments with equal numbers and boundaries on all renditions,
    /// each starting with a key frame, parts within their target, key frames at the same pictures, no B-frames.
    pub(crate) fn check(&self) {
        let names = self.rungs();
        let reference = self.rung(names.first().copied().unwrap_or("audio"));
        assert!(!reference.segments.is_empty(), "nothing was written");
        for (name, rendition) in &self.renditions {
            assert_eq!(rendition.end, Some(EndReason::Eof), "{name}");
            assert_eq!(
                rendition.segments.keys().collect::<Vec<_>>(),
                reference.segments.keys().collect::<Vec<_>>(),
                "{name}"
            );
            let tolerance = if name == "audio" { AAC_FRAME_NS } else { 0 };
            for (seq, segment) in &rendition.segments {
                let other = &reference.segments[seq];
                assert!(segment.complete, "{name} {seq}");
                assert!(
                    segment.start_ns.abs_diff(other.start_ns) <= tolerance,
                    "{name} {seq}: {segment:?} {other:?}"
                );
                let last = reference.segments.keys().next_back() == Some(seq);
                if !last {
                    let off = segment.duration_ns.abs_diff(other.duration_ns);
                    assert!(off <= 2 * tolerance, "{name} {seq}: {segment:?} {other:?}");
                }
                assert!(
                    segment.parts.iter().all(|(duration, _)| *duration <= 334_000_000),
                    "{name} {seq}: {segment:?}"
                );
                if let Some((_, independent)) = segment.parts.first() {
                    assert!(independent, "{name} {seq} does not start with a key frame");
                }
                assert_eq!(segment.discontinuity, other.discontinuity, "{name} {seq}");
            }
        }
        let mut keys: Option<Vec<f64>> = None;
        for name in names {
            let packets = self.packets(name);
            for pair in packets.windows(2) {
                assert!(pair[1].pts > pair[0].pts, "{name}: {pair:?}");
            }
            assert_eq!(self.probe(name, "stream=has_b_frames"), ["0"], "{name}");
            if name == "source" {
                continue;
            }
            let own: Vec<f64> = packets.iter().filter(|packet| packet.key).map(|packet| packet.pts).collect();
            let keys = keys.get_or_insert_with(|| own.clone());
            assert_eq!(*keys, own, "{name}: key frames");
        }
    }

    /// All of a rendition since the last change of its initialisation section, in one file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        let rendition = self.rung(name);
        let init = rendition.segments.values().next_back().unwrap().init;
        let mut bytes = fs::read(dir.join(format!("init-{init}.mp4"))).unwrap();
        for (seq, segment) in &rendition.segments {
            if segment.init == init {
                bytes.extend(fs::read(dir.join(format!("{seq}.m4s"))).unwrap_or_default());
            }
        }
        let path = dir.join("all.mp4");
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn probe(&self, name: &str, entries: &str) -> Vec<String> {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv=p=0", "-show_entries", entries])
            .arg(self.file(name))
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.is_empty())
            .collect()
    }

    pub(crate) fn packets(&self, name: &str) -> Vec<Packet> {
        self.probe(name, "packet=pts_time,flags")
            .iter()
            .map(|line| {
                let fields: Vec<&str> = line.split(',').collect();
                Packet { pts: fields[0].parse().unwrap(), key: fields[1].starts_with('K') }
            })
            .collect()
    }

    /// Decodes a rendition: how many frames, without any complaint.
    pub(crate) fn decodes(&self, name: &str) -> usize {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(self.file(name))
            .args(["-f", "framemd5", "-"])
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.starts_with('#')).count()
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.status.warnings.iter().map(|warning| warning.code.as_str()).collect()
    }
}

pub(crate) fn ffmpeg(arguments: &str) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-nostdin"]).args(arguments.split_whitespace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Test pictures and a tone, as arguments of ffmpeg.
pub(crate) fn video(size: &str, rate: &str, seconds: u32) -> String {
    format!("-f lavfi -t {seconds} -i testsrc2=s={size}:r={rate}")
}

pub(crate) fn tone(rate: u32, seconds: u32) -> String {
    format!("-f lavfi -t {seconds} -i sine=f=440:r={rate}")
}

pub(crate) const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50";

/// Splits FLV into tags, lets `change` do what it likes, and puts it together again.
pub(crate) fn edit(flv: &Bytes, change: impl FnOnce(&mut Vec<Tag>)) -> Bytes {
    let mut input = flv.clone();
    let mut reader = Reader::default();
    let mut tags = Vec::new();
    while let Some(tag) = reader.read(&mut input).unwrap() {
        tags.push(tag);
    }
    change(&mut tags);
    write(&tags)
}

pub(crate) fn write(tags: &[Tag]) -> Bytes {
    let mut out = BytesMut::new();
    tag::write_header(Header { audio: true, video: true }, &mut out);
    for tag in tags {
        tag::write_tag(tag, &mut out).unwrap();
    }
    out.freeze()
}

/// Gives each tag when its time has come, as a live publisher does.
pub(crate) struct Paced {
    started: Option<Instant>,
    pieces: VecDeque<(Duration, Bytes)>,
    rest: Bytes,
}

impl Paced {
    pub(crate) fn new(flv: &Bytes) -> Self {
        let mut pieces = VecDeque::new();
        edit(flv, |tags| {
            for tag in tags {
                let mut piece = BytesMut::new();
                tag::write_tag(tag, &mut piece).unwrap();
                pieces.push_back((Duration::from_millis(u64::from(tag.timestamp_ms)), piece.freeze()));
            }
        });
        Self { started: None, pieces, rest: write(&[]) }
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let started = *self.started.get_or_insert_with(Instant::now);
        if self.rest.is_empty() {
            let Some((due, piece)) = self.pieces.pop_front() else { return Ok(0) };
            std::thread::sleep((started + due).saturating_duration_since(Instant::now()));
            self.rest = piece;
        }
        let len = self.rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.rest.split_to(len));
        Ok(len)
    }
}

/// `flv` as ingest hands it over: led by the session's facts.
pub(crate) fn live(flv: &Bytes, worker: u32) -> Bytes {
    edit(flv, |tags| tags.insert(0, facts(worker).to_tag()))
}

pub(crate) fn facts(worker: u32) -> SessionFacts {
    SessionFacts {
        channel: "nodi".parse().unwrap(),
        session: SessionId::new(1_700_000_000_000, 7),
        worker,
        encoder: "ffmpeg".to_owned(),
    }
}

/// A codec header, which has to stay at the front when times are changed.
pub(crate) fn is_header(tag: &Tag) -> bool {
    tag.data.get(1) == Some(&0) || tag.kind == nodi_flv::Kind::Script
}
