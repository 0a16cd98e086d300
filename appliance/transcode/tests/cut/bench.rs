//! A session to cut into, and frames that need no encoder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use nodi_protocol::{ChannelId, RenditionName, SessionId};
use nodi_spool::SessionWriter;
use nodi_spool::writer::Options;
use nodi_transcode::cut::{AudioFrame, AudioTrack, CutConfig, Cutter, Frame, Tracks, VideoCodec, VideoTrack};

/// Of a 320x180 High@1.2 stream by x264.
pub const AVCC: &[u8] = &[
    0x01, 0x64, 0x00, 0x0c, 0xff, 0xe1, 0x00, 0x1a, 0x67, 0x64, 0x00, 0x0c, 0xac, 0xd9, 0x41, 0x41, 0x9f,
    0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
    0x01, 0x00, 0x06, 0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00,
];

/// When the tests' session starts, in milliseconds.
pub const SESSION_MS: u64 = 1_700_000_000_000;

pub fn name(text: &str) -> RenditionName {
    text.parse().unwrap()
}

pub fn video_track(text: &str) -> VideoTrack {
    VideoTrack {
        name: name(text),
        codec: VideoCodec::Avc(Bytes::from_static(AVCC)),
        width: 320,
        height: 180,
        bitrate: 800_000,
        peak_bitrate: 800_000,
        vbv_bits: 800_000,
    }
}

/// AAC LC, stereo.
pub fn audio_track(sample_rate: u32) -> AudioTrack {
    let config: &[u8] = match sample_rate {
        48_000 => &[0x11, 0x90],
        44_100 => &[0x12, 0x10],
        _ => panic!("no configuration for {sample_rate}"),
    };
    AudioTrack {
        name: name("audio"),
        config: Bytes::from_static(config),
        sample_rate,
        channels: 2,
        frame_len: 1024,
        bitrate: 128_000,
    }
}

pub fn tracks(rungs: &[&str], frame_rate: (u32, u32), sample_rate: Option<u32>) -> Tracks {
    Tracks {
        video: rungs.iter().map(|rung| video_track(rung)).collect(),
        frame_rate,
        audio: sample_rate.map(audio_track),
    }
}

pub struct Bench {
    root: tempfile::TempDir,
    /// Milliseconds of the monotonic clock that the cutter sees.
    pub now_ms: Arc<AtomicU64>,
}

impl Bench {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), now_ms: Arc::default() }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn session(&self) -> SessionId {
        SessionId::new(SESSION_MS, 1)
    }

    pub fn dir(&self) -> PathBuf {
        let channel: ChannelId = "room".parse().unwrap();
        nodi_spool::layout::session_dir(self.root(), &channel, self.session())
    }

    pub fn writer(&self) -> SessionWriter {
        let options = Options { min_free_bytes: 0, ..Options::default() };
        SessionWriter::open(self.root(), &"room".parse().unwrap(), self.session(), options).unwrap()
    }

    pub fn cutter(&self, config: CutConfig, tracks: Tracks) -> Cutter {
        let now = self.now_ms.clone();
        let clock = Arc::new(move || Duration::from_millis(now.load(Ordering::Relaxed)));
        Cutter::with_clock(self.writer(), config, tracks, clock).unwrap()
    }

    pub fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A picture whose bytes say which one it is: one NAL unit of a plausible type.
pub fn picture(index: u64, keyframe: bool) -> Frame {
    let kind = if keyframe { 0x65 } else { 0x41 };
    let mut data = vec![0, 0, 0, 9, kind];
    data.extend(index.to_be_bytes());
    Frame { index, duration: 1, keyframe, data: data.into() }
}

/// Which picture it is.
pub fn picture_index(data: &[u8]) -> u64 {
    u64::from_be_bytes(data[5..13].try_into().unwrap())
}

/// Frame `number` of a stream that starts at `start_ns`, with FLV's whole milliseconds.
pub fn sound(number: u64, sample_rate: u32, start_ns: i64) -> AudioFrame {
    let ns = (u128::from(number) * 1024 * 1_000_000_000 / u128::from(sample_rate)) as i64 + start_ns;
    let pts_ns = ns.div_euclid(1_000_000) * 1_000_000;
    AudioFrame { pts_ns, data: Bytes::from(format!("sound {number}")) }
}

/// The number of a frame of [`sound`]; `None` for silence.
pub fn sound_number(data: &[u8]) -> Option<u64> {
    std::str::from_utf8(data).ok()?.strip_prefix("sound ")?.parse().ok()
}

/// How many AAC frames start in `seconds`.
pub fn sounds_in(seconds: u64, sample_rate: u32) -> u64 {
    (seconds * u64::from(sample_rate)).div_ceil(1024)
}

/// `seconds` of all tracks in step: pictures on all rungs, key frames every two seconds, sound a little ahead.
pub fn feed(
    bench: &Bench,
    cutter: &mut Cutter,
    rungs: &[&str],
    rate: (u32, u32),
    sample_rate: Option<u32>,
    seconds: u64,
) {
    let key = (2 * u64::from(rate.0) + u64::from(rate.1) / 2) / u64::from(rate.1);
    let mut sounds = 0;
    for index in 0..seconds * u64::from(rate.0) / u64::from(rate.1) {
        let ns = index * 1_000_000_000 * u64::from(rate.1) / u64::from(rate.0);
        bench.now_ms.store(ns / 1_000_000, Ordering::Relaxed);
        cutter.arrived(ns as i64, SESSION_MS * 1_000_000 + 50_000_000 + ns);
        if let Some(sample_rate) = sample_rate {
            while sounds * 1024 * 1_000_000_000 / u64::from(sample_rate) < ns + 100_000_000 {
                cutter.audio(sound(sounds, sample_rate, 0)).unwrap();
                sounds += 1;
            }
        }
        for rung in rungs {
            cutter.video(&name(rung), picture(index, index.is_multiple_of(key))).unwrap();
        }
    }
}
