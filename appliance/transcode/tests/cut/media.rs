//! Real H.264 and AAC: what other programs make of the files.

use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use nodi_spool::{EndReason, Entry, layout};
use nodi_transcode::cut::{AudioFrame, AudioTrack, CutConfig, Cutter, Frame, Tracks, VideoCodec, VideoTrack};

use super::bench::{Bench, SESSION_MS, name};
use super::story;

struct Media {
    avcc: Bytes,
    asc: Bytes,
    pictures: Vec<Frame>,
    sounds: Vec<AudioFrame>,
}

/// Six seconds from ffmpeg, as FLV: AVC with length prefixes, raw AAC, and timestamps in whole milliseconds.
fn media(dir: &Path, rate: &str, sample_rate: u32, channels: u32) -> Media {
    let path = dir.join("source.flv");
    let key = if rate == "25" { "50" } else { "60" };
    let video = format!("testsrc=size=320x180:rate={rate}:duration=6");
    let audio = format!("sine=frequency=440:sample_rate={sample_rate}:duration=6");
    let (rate_text, channels_text) = (sample_rate.to_string(), channels.to_string());
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "high", "-pix_fmt", "yuv420p"])
        .args(["-x264-params", "8x8dct=1:cabac=1", "-bf", "0", "-g", key, "-keyint_min", key])
        .args(["-sc_threshold", "0", "-threads", "1"])
        .args(["-c:a", "aac", "-b:a", "96k", "-ar", &rate_text, "-ac", &channels_text])
        .arg(&path)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let flv = Bytes::from(std::fs::read(&path).unwrap());
    let mut media = Media { avcc: Bytes::new(), asc: Bytes::new(), pictures: Vec::new(), sounds: Vec::new() };
    let mut position = 13;
    while position + 11 <= flv.len() {
        let number = |at: usize, len: usize| {
            flv[at..at + len].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        let len = number(position + 1, 3) as usize;
        let time_ms = number(position + 4, 3) | u32::from(flv[position + 7]) << 24;
        let body = flv.slice(position + 11..position + 11 + len);
        match flv[position] {
            9 if body[1] == 0 => media.avcc = body.slice(5..),
            9 if body[1] == 1 => media.pictures.push(Frame {
                index: media.pictures.len() as u64,
                duration: 1,
                keyframe: body[0] >> 4 == 1,
                data: body.slice(5..),
            }),
            8 if body[1] == 0 => media.asc = body.slice(2..),
            8 => media
                .sounds
                .push(AudioFrame { pts_ns: i64::from(time_ms) * 1_000_000, data: body.slice(2..) }),
            _ => {}
        }
        position += 11 + len + 4;
    }
    media
}

fn tracks(media: &Media, frame_rate: (u32, u32), sample_rate: u32, channels: u32) -> Tracks {
    Tracks {
        video: vec![VideoTrack {
            name: name("180p"),
            codec: VideoCodec::Avc(media.avcc.clone()),
            width: 320,
            height: 180,
            bitrate: 300_000,
            peak_bitrate: 2_000_000,
            vbv_bits: 0,
        }],
        frame_rate,
        audio: Some(AudioTrack {
            name: name("audio"),
            config: media.asc.clone(),
            sample_rate,
            channels,
            frame_len: 1024,
            bitrate: 96_000,
        }),
    }
}

fn feed(cutter: &mut Cutter, bench: &Bench, media: &Media, rate: (u32, u32), sounds: &[AudioFrame]) {
    let mut sounds = sounds.iter().peekable();
    for picture in &media.pictures {
        let ns = picture.index as i64 * 1_000_000_000 * i64::from(rate.1) / i64::from(rate.0);
        bench.pass(33);
        cutter.arrived(ns, SESSION_MS * 1_000_000 + ns as u64);
        while let Some(sound) = sounds.next_if(|sound| sound.pts_ns <= ns) {
            cutter.audio(sound.clone()).unwrap();
        }
        cutter.video(&name("180p"), picture.clone()).unwrap();
    }
    for sound in sounds {
        cutter.audio(sound.clone()).unwrap();
    }
}

/// The newest initialisation section and all segments after it, as a player would append them.
fn joined(bench: &Bench, rendition: &str, init: u32) -> std::path::PathBuf {
    let dir = bench.dir().join(rendition);
    let mut bytes = std::fs::read(dir.join(layout::init(init))).unwrap();
    for line in std::fs::read(dir.join(layout::INDEX)).unwrap().split(|byte| *byte == b'\n') {
        if let Ok(Entry::Open { seq, init: of, .. }) = Entry::parse(line)
            && of == init
        {
            bytes.extend(std::fs::read(dir.join(layout::segment(seq))).unwrap());
        }
    }
    let path = bench.root().join(format!("{rendition}-{init}.mp4"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Decodes everything; answers how many frames, and that nobody complained.
fn decode(path: &Path, stream: &str) -> u64 {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-count_frames", "-select_streams", stream])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let decoded = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&decoded.stderr), "");
    assert!(decoded.status.success());
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// `(pts in ticks, duration, key)` of each packet.
fn packets(path: &Path) -> Vec<(u64, u64, bool)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts,duration,flags", "-of", "csv=p=0"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let mut fields = line.split(',');
            let mut number = || fields.next().unwrap().parse().unwrap();
            (number(), number(), fields.next().unwrap().starts_with('K'))
        })
        .collect()
}

#[test]
fn ffmpeg_decodes_every_frame_without_a_word() {
    for (rate_text, rate, sample_rate, channels) in
        [("30", (30, 1), 44_100, 2), ("30000/1001", (30_000, 1001), 48_000, 1), ("25", (25, 1), 48_000, 6)]
    {
        let bench = Bench::new();
        let media = media(bench.root(), rate_text, sample_rate, channels);
        let config = CutConfig { producer_reference_time: channels == 1, ..CutConfig::default() };
        let mut cutter = bench.cutter(config, tracks(&media, rate, sample_rate, channels));
        feed(&mut cutter, &bench, &media, rate, &media.sounds);
        let stats = cutter.finish(EndReason::Eof).unwrap();
        assert_eq!((stats.audio.filled, stats.audio.resyncs), (0, 0));
        let story = story::read(&bench);
        story.check(true);

        let video = joined(&bench, "180p", 0);
        assert_eq!(decode(&video, "v"), media.pictures.len() as u64, "{rate_text}");
        let packets = packets(&video);
        let ticks = packets[0].1;
        for (position, (pts, duration, key)) in packets.iter().enumerate() {
            assert_eq!((*pts, *duration), (position as u64 * ticks, ticks), "{rate_text}");
            assert_eq!(*key, media.pictures[position].keyframe, "{rate_text}");
        }
        let heard = decode(&joined(&bench, "audio", 0), "a");
        assert!(heard.abs_diff(media.sounds.len() as u64) <= 2, "{heard} of {}", media.sounds.len());

        let probe = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-show_entries",
                "stream=codec_name,profile,width,height,channels,sample_rate",
            ])
            .args(["-of", "default=nw=1"])
            .arg(&video)
            .output()
            .unwrap();
        let probe = String::from_utf8(probe.stdout).unwrap();
        assert!(probe.contains("codec_name=h264\nprofile=High\nwidth=320\nheight=180"), "{probe}");
    }
}

#[test]
fn silence_is_silent_and_decodes() {
    for (sample_rate, channels) in [(44_100, 2), (48_000, 1), (48_000, 6)] {
        let bench = Bench::new();
        let media = media(bench.root(), "30", sample_rate, channels);
        let mut cutter = bench.cutter(CutConfig::default(), tracks(&media, (30, 1), sample_rate, channels));
        let half: Vec<_> =
            media.sounds.iter().filter(|sound| sound.pts_ns < 3_000_000_000).cloned().collect();
        feed(&mut cutter, &bench, &media, (30, 1), &half);
        let stats = cutter.finish(EndReason::Eof).unwrap();
        assert!(stats.audio.filled > 100, "{:?}", stats.audio);
        let audio = joined(&bench, "audio", 0);
        assert_eq!(decode(&audio, "a"), stats.audio.filled + stats.audio.frames);
        // The loudest sample of the last two seconds is none.
        let output = Command::new("ffmpeg")
            .args(["-v", "info", "-ss", "3.5", "-i"])
            .arg(&audio)
            .args(["-af", "volumedetect", "-f", "null", "-"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("max_volume: -91.0 dB") || text.contains("max_volume: -inf"), "{text}");
    }
}

#[test]
fn both_sides_of_a_worker_that_died_decode() {
    let bench = Bench::new();
    let media = media(bench.root(), "30", 48_000, 2);
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&media, (30, 1), 48_000, 2));
    feed(&mut cutter, &bench, &media, (30, 1), &media.sounds);
    drop(cutter);
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&media, (30, 1), 48_000, 2));
    feed(&mut cutter, &bench, &media, (30, 1), &media.sounds);
    cutter.finish(EndReason::Eof).unwrap();
    story::read(&bench).check(false);
    assert_eq!(decode(&joined(&bench, "180p", 0), "v"), 180);
    assert_eq!(decode(&joined(&bench, "180p", 1), "v"), 180);
    let first = packets(&bench.root().join("180p-1.mp4"))[0].0;
    assert!(first >= 6 * 90_000);
}
