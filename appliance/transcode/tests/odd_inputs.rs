//! What real encoders send, and what must come of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use nodi_flv::Kind;
use nodi_protocol::Track;
use support::{Bench, LADDER, Session, X264, edit, is_header, tone, video};

/// Audio and video start and end together, to a frame of video.
fn in_step(session: &Session, fps: f64) {
    let audio = session.packets("audio");
    for rung in session.rungs() {
        let video = session.packets(rung);
        let off = (video[0].pts - audio[0].pts).abs();
        assert!(off <= 1.0 / fps + 0.001, "{rung} starts {off} s from the audio");
    }
}

fn near(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value} is not {expected} within {tolerance}");
}

#[test]
fn b_frames() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {} {X264} -bf 3 -c:a aac", video("640x360", "25", 6), tone(48_000, 6)));
    let session = bench.transcode(&flv, &LADDER.replace("ultrafast", "veryfast"));
    session.check();
    in_step(&session, 25.0);
    assert_eq!(session.rungs(), ["180p", "360p"]);
    assert_eq!(session.rung("180p").size(), (320, 180));
    assert_eq!(session.decodes("360p"), 150);
    assert_eq!(session.packets("180p").len(), 150);
    near(session.rung("audio").duration_s(), 6.0, 0.05);
    // Segments of two seconds, from the first picture on.
    let starts: Vec<u64> = session.rung("360p").segments.values().map(|segment| segment.start_ns).collect();
    assert_eq!(starts.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), [2_000_000_000; 2]);
    assert!(session.dir.join("thumbnail.jpg").exists());
    // High profile, whatever came in.
    let Some(Track::Video { codecs, frame_rate, .. }) = session.rung("360p").tracks.first() else { panic!() };
    assert!(codecs.starts_with("avc1.64"), "{codecs}");
    assert_eq!(*frame_rate, (25, 1));
}

#[test]
fn ntsc_rates_are_exact() {
    let bench = Bench::new();
    let flv =
        bench.flv(&format!("{} {} {X264} -c:a aac", video("320x180", "30000/1001", 5), tone(44_100, 5)));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    let Some(Track::Video { frame_rate, .. }) = session.rung("180p").tracks.first() else { panic!() };
    assert_eq!(*frame_rate, (30_000, 1001));
    let packets = session.packets("180p");
    near(packets.last().unwrap().pts - packets[0].pts, (packets.len() - 1) as f64 * 1001.0 / 30_000.0, 1e-4);
}

#[test]
fn variable_frame_rate_becomes_constant() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {} {X264} -c:a aac", video("320x180", "30", 6), tone(48_000, 6)));
    // Drops two of three pictures in the middle, as a screen recorder does when little moves.
    let flv = edit(&flv, |tags| {
        let mut number = 0;
        tags.retain(|tag| {
            let middle = (2_000..4_000).contains(&tag.timestamp_ms);
            let inter = tag.kind == Kind::Video && tag.data[0] >> 4 == 2;
            number += 1;
            !(middle && inter && number % 3 != 0)
        });
    });
    let session = bench.transcode(&flv, LADDER);
    session.check();
    let packets = session.packets("180p");
    assert_eq!(packets.len(), 180);
    assert!(packets.windows(2).all(|pair| (pair[1].pts - pair[0].pts - 1.0 / 30.0).abs() < 1e-3));
}

#[test]
fn audio_seconds_before_video() {
    let bench = Bench::new();
    let flv = bench.flv(&format!(
        "{} -itsoffset 3 {} -map 1:v -map 0:a {X264} -c:a aac",
        tone(48_000, 8),
        video("320x180", "25", 5)
    ));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    in_step(&session, 25.0);
    assert_eq!(session.packets("180p").len(), 125);
}

#[test]
fn audio_seconds_after_video() {
    let bench = Bench::new();
    let flv = bench.flv(&format!(
        "{} -itsoffset 3 {} -map 0:v -map 1:a {X264} -c:a aac",
        video("320x180", "25", 7),
        tone(48_000, 4)
    ));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    assert_eq!(session.packets("180p").len(), 175);
    // Silence until the sound begins, so that players have both from the start.
    in_step(&session, 25.0);
    assert!(session.status.audio.unwrap().filled > 0 || session.packets("audio").len() > 300);
}

#[test]
fn mono_at_44100_hz_passes() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {} {X264} -c:a aac -ac 1", video("320x180", "25", 5), tone(44_100, 5)));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    in_step(&session, 25.0);
    let Some(Track::Audio { codecs, channels, sample_rate }) = session.rung("audio").tracks.first() else {
        panic!()
    };
    assert_eq!((codecs.as_str(), *channels, *sample_rate), ("mp4a.40.2", 1, 44_100));
    near(session.rung("audio").duration_s(), 5.0, 0.05);
}

#[test]
fn unusual_audio_is_encoded_again() {
    let bench = Bench::new();
    let flv =
        bench.flv(&format!("{} {} {X264} -c:a aac -ar 22050", video("320x180", "25", 5), tone(22_050, 5)));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    in_step(&session, 25.0);
    let Some(Track::Audio { codecs, channels, sample_rate }) = session.rung("audio").tracks.first() else {
        panic!()
    };
    assert_eq!((codecs.as_str(), *channels, *sample_rate), ("mp4a.40.2", 2, 48_000));
    near(session.rung("audio").duration_s(), 5.0, 0.1);
    session.decodes("audio");
}

#[test]
fn no_audio() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {X264}", video("320x180", "25", 5)));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    assert_eq!(session.renditions.len(), 1);
    assert_eq!(session.packets("180p").len(), 125);
}

#[test]
fn no_video() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} -c:a aac", tone(48_000, 7)));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    assert_eq!(session.renditions.len(), 1);
    near(session.rung("audio").duration_s(), 7.0, 0.05);
}

/// Moves every tag from `from_ms` on by `by` milliseconds.
fn jump(flv: &Bytes, from_ms: u32, by: i64) -> Bytes {
    edit(flv, |tags| {
        for tag in tags.iter_mut().filter(|tag| tag.timestamp_ms >= from_ms && !is_header(tag)) {
            tag.timestamp_ms = u32::try_from(i64::from(tag.timestamp_ms) + by).unwrap();
        }
    })
}

fn seven_seconds(bench: &Bench) -> Bytes {
    bench.flv(&format!("{} {} {X264} -c:a aac", video("320x180", "25", 7), tone(48_000, 7)))
}

fn plays_through(bench: &Bench, flv: &[u8]) {
    let session = bench.transcode(flv, LADDER);
    session.check();
    in_step(&session, 25.0);
    let packets = session.packets("180p");
    assert!(packets.len().abs_diff(175) <= 3, "{} pictures", packets.len());
    near(session.rung("audio").duration_s(), 7.0, 0.15);
    assert_eq!(session.status.discontinuities, 0);
}

#[test]
fn timestamps_jump_forward() {
    let bench = Bench::new();
    let flv = jump(&seven_seconds(&bench), 3_000, 1_000_000);
    plays_through(&bench, &flv);
}

#[test]
fn timestamps_jump_back() {
    let bench = Bench::new();
    let flv = jump(&jump(&seven_seconds(&bench), 0, 500_000), 503_000, -503_000);
    plays_through(&bench, &flv);
}

#[test]
fn timestamps_wrap() {
    let bench = Bench::new();
    let flv = edit(&seven_seconds(&bench), |tags| {
        for tag in tags.iter_mut() {
            tag.timestamp_ms = tag.timestamp_ms.wrapping_sub(3_500);
        }
    });
    plays_through(&bench, &flv);
}

#[test]
fn the_size_changes_in_mid_stream() {
    let bench = Bench::new();
    let first = bench.flv(&format!("{} {} {X264} -c:a aac", video("640x360", "25", 4), tone(48_000, 4)));
    let second = bench.flv(&format!("{} {} {X264} -c:a aac", video("320x180", "25", 4), tone(48_000, 4)));
    let mut later = Vec::new();
    edit(&second, |tags| later.clone_from(tags));
    let flv = edit(&first, |tags| {
        for mut tag in later {
            tag.timestamp_ms += 4_000;
            tags.push(tag);
        }
    });
    let session = bench.transcode(&flv, LADDER);
    // The larger rung is over with the larger picture; the other goes on after a discontinuity.
    assert_eq!(session.rung("360p").size(), (640, 360));
    assert_eq!(session.rung("180p").tracks.len(), 2);
    assert!(session.rung("180p").segments.values().any(|segment| segment.discontinuity));
    assert!(session.rung("audio").segments.values().any(|segment| segment.discontinuity));
    near(session.rung("180p").duration_s(), 8.0, 0.2);
    near(session.rung("audio").duration_s(), 8.0, 0.2);
    assert_eq!(session.decodes("180p"), 100);
}

#[test]
fn corrupt_frames_are_lived_through() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {} {X264} -bf 0 -c:a aac", video("320x180", "25", 7), tone(48_000, 7)));
    let flv = edit(&flv, |tags| {
        let mut inter = 0;
        for tag in tags.iter_mut().filter(|tag| tag.kind == Kind::Video && tag.data[0] >> 4 == 2) {
            inter += 1;
            let mut data = tag.data.to_vec();
            match inter {
                // Noise inside a NAL unit.
                20..24 => data.iter_mut().skip(14).step_by(3).for_each(|byte| *byte ^= 0x5a),
                // A NAL unit longer than its tag.
                60 => data[5] = 0x7f,
                // Cut off.
                90 => data.truncate(12),
                _ => {}
            }
            tag.data = Bytes::from(data);
        }
    });
    let session = bench.transcode(&flv, LADDER);
    session.check();
    assert_eq!(session.packets("180p").len(), 175);
    assert!(session.warnings().contains(&"damaged_tags"), "{:?}", session.warnings());
}

#[test]
fn data_tags_and_sei_are_ignored() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {} {X264} -c:a aac", video("320x180", "25", 4), tone(48_000, 4)));
    let flv = edit(&flv, |tags| {
        let mut all = Vec::new();
        for mut tag in tags.drain(..) {
            if tag.kind == Kind::Video && !is_header(&tag) {
                // A user-data SEI message before each picture.
                let (head, picture) = (tag.data.slice(..5), tag.data.slice(5..));
                let sei = [0, 0, 0, 24, 6, 5, 21];
                tag.data = Bytes::from([&head[..], &sei, &[0x41; 21], &picture].concat());
                let text = nodi_flv::amf0::encode_all(&[nodi_flv::amf0::Value::from("onTextData")]).freeze();
                all.push(nodi_flv::Tag { kind: Kind::Script, timestamp_ms: tag.timestamp_ms, data: text });
            }
            all.push(tag);
        }
        *tags = all;
    });
    let session = bench.transcode(&flv, LADDER);
    session.check();
    assert_eq!(session.packets("180p").len(), 100);
    assert!(session.warnings().is_empty(), "{:?}", session.warnings());
}

#[test]
fn portrait_video() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {X264}", video("360x640", "25", 3)));
    let session = bench.transcode(&flv, LADDER);
    session.check();
    assert_eq!(session.rung("360p").size(), (360, 640));
    assert_eq!(session.rung("180p").size(), (180, 320));
}

#[test]
fn the_source_is_passed_through() {
    let bench = Bench::new();
    let flv = bench.flv(&format!(
        "{} {} {X264} -bf 0 -g 25 -keyint_min 25 -sc_threshold 0 -c:a aac",
        video("640x360", "25", 8),
        tone(48_000, 8)
    ));
    let session = bench.transcode(&flv, &format!("passthrough = true\n{LADDER}"));
    session.check();
    assert_eq!(session.rungs(), ["180p", "source"]);
    // Begins at the second key frame: the first group of pictures showed that it can be.
    assert_eq!(session.packets("source").len(), 175);
    assert_eq!(session.packets("180p").len(), 175);
    in_step(&session, 25.0);
}

#[test]
fn a_source_with_b_frames_is_encoded_instead() {
    let bench = Bench::new();
    let flv = bench.flv(&format!("{} {X264} -bf 2", video("640x360", "25", 6)));
    let session = bench.transcode(&flv, &format!("passthrough = true\n{LADDER}"));
    session.check();
    assert_eq!(session.rungs(), ["180p", "360p"]);
    assert!(session.warnings().contains(&"no_passthrough"), "{:?}", session.warnings());
}
