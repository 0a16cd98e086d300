//! One session as the fleet sees it, from what three processes know of it. Pure.

use nodi_protocol::fleet::session::{Input, Ladder, Rung, Session, UplinkOf, Warning};
use nodi_spool::{Backend, Overload, RungState, WorkerStatus};

use super::ingest::{Ended, Entry, Video};

/// Longest text of a stranger's that is passed on, in characters.
const LONGEST_NAME: usize = 120;
/// More warnings than there are kinds of.
const MOST_WARNINGS: usize = 32;

/// `worker` and `uplink` are absent until the session reaches them.
pub(super) fn session(
    entry: &Entry,
    worker: Option<&WorkerStatus>,
    uplink: Option<UplinkOf>,
    at_ms: u64,
) -> Session {
    Session {
        session: entry.session,
        channel: entry.channel.clone(),
        encoder: shortened(&entry.encoder),
        transport: entry.transport.clone(),
        peer: entry.peer.clone(),
        at_ms,
        live_s: tenths(entry.live_s),
        input: input(entry),
        ladder: worker.map(ladder),
        uplink,
        warnings: warnings(entry, worker),
    }
}

/// Names that a publisher chose go into messages and onto pages.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

/// Who ended, for the journal of events.
pub(super) fn reason(ended: &Ended) -> String {
    shortened(&ended.reason)
}

fn input(entry: &Entry) -> Input {
    let video = entry.video.as_ref();
    let audio = entry.audio.as_ref();
    let rate = video.map_or(0, |video| video.bitrate_bps) + audio.map_or(0, |audio| audio.bitrate_bps);
    let with_profile = |codec: Option<&String>, profile: Option<&String>| {
        codec.map(|codec| profile.map_or_else(|| codec.clone(), |profile| format!("{codec} {profile}")))
    };
    Input {
        bitrate_bps: rate,
        video_codec: video.and_then(|video| with_profile(video.codec.as_ref(), video.profile.as_ref())),
        width: video.and_then(|video| video.width),
        height: video.and_then(|video| video.height),
        // Not measured yet, or nothing comes.
        fps: video.map(|video: &Video| tenths(video.fps)).filter(|fps| *fps > 0.0),
        key_frame_interval_s: video.and_then(|video| video.key_frame_interval_s).map(tenths),
        b_frames: video.is_some_and(|video| video.b_frames),
        audio_codec: audio.and_then(|audio| with_profile(audio.codec.as_ref(), audio.profile.as_ref())),
        sample_rate: audio.and_then(|audio| audio.sample_rate),
        channels: audio.and_then(|audio| audio.channels),
        av_skew_ms: entry.av_skew_ms,
        timestamp_jumps: entry.jumps_forward.count + entry.jumps_backward.count,
        stalls: entry.stalls.count,
    }
}

fn ladder(worker: &WorkerStatus) -> Ladder {
    let rung = |rung: &nodi_spool::RungStatus| Rung {
        name: rung.name.clone(),
        width: rung.width,
        height: rung.height,
        state: match rung.state {
            RungState::Active => "active",
            RungState::HalfRate => "half_rate",
            RungState::Gone(_) => "gone",
        }
        .to_owned(),
        fps: tenths(rung.fps),
        bitrate_bps: rung.bitrate,
        frames: rung.frames,
        dropped: rung.dropped,
    };
    Ladder {
        backend: match worker.backend {
            Backend::Jetson => "jetson",
            Backend::Software => "software",
        }
        .to_owned(),
        speed: (worker.speed * 100.0).round() / 100.0,
        lag_ms: worker.lag_ms,
        overload: match worker.overload {
            Overload::None => "none",
            Overload::HalfRate => "half_rate",
            Overload::RungDropped => "rung_dropped",
        }
        .to_owned(),
        worker: worker.worker,
        rungs: worker.rungs.iter().map(rung).collect(),
    }
}

/// Of ingest first: it knows the streamer's end, where most can be done about it.
fn warnings(entry: &Entry, worker: Option<&WorkerStatus>) -> Vec<Warning> {
    let from_ingest = entry.warnings.iter().map(|warning| (&warning.code, &warning.text));
    let from_worker = worker.into_iter().flat_map(|worker| &worker.warnings).map(|w| (&w.code, &w.text));
    let mut joined: Vec<Warning> = Vec::new();
    for (code, text) in from_ingest.chain(from_worker) {
        let told = joined.iter().any(|warning| warning.code == *code && warning.text == *text);
        if !told && joined.len() < MOST_WARNINGS {
            joined.push(Warning { code: code.clone(), text: text.clone() });
        }
    }
    joined
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        serde_json::from_value(serde_json::json!({
            "channel": "nodi", "session": "01HF7YAT010000000000000001", "peer": "192.0.2.7:40001", "transport": "rtmps",
            "encoder": "obs-output module (libobs version 30.2)", "received_bytes": 123_456, "live_s": 12.345,
            "video": {"codec": "H.264", "profile": "High", "level": "4.0", "width": 1920, "height": 1080,
                "announced_fps": 30.0, "frames": 360, "bitrate_bps": 5_900_000, "fps": 29.97,
                "key_frame_interval_s": 2.0, "b_frames": true, "reorder_delay_ms": 66},
            "audio": {"codec": "AAC", "profile": "LC", "sample_rate": 48000, "channels": 2, "frames": 500,
                "bitrate_bps": 160_000},
            "av_skew_ms": -12, "jumps_forward": {"count": 1, "last_ms": 40}, "jumps_backward": {"count": 2, "last_ms": -3},
            "timestamp_wraps": 0, "stalls": {"count": 3, "last_ms": 1200},
            "worker": {"connected": true, "lost": 1, "queued_bytes": 0, "dropped_groups": 0},
            "warnings": [{"code": "b_frames", "severity": "hint", "text": "B-frames add delay"}],
        }))
        .unwrap()
    }

    fn worker() -> WorkerStatus {
        serde_json::from_value(serde_json::json!({
            "schema": 1, "worker": 1, "unix_ms": 1, "state": "running", "backend": "jetson", "source": null,
            "speed": 0.998, "lag_ms": 80, "overload": "rung_dropped",
            "rungs": [{"name": "1080p", "width": 1920, "height": 1080, "state": {"state": "gone", "reason": "overload"},
                "passthrough": false, "fps": 29.96, "bitrate": 6_000_000, "frames": 360, "dropped": 4,
                "unexpected_key_frames": 0, "missed_key_frames": 0}],
            "audio": null, "media_ns": 1, "discontinuities": 0,
            "warnings": [{"code": "overload", "text": "1080p was given up", "since_unix_ms": 5}],
        }))
        .unwrap()
    }

    #[test]
    fn three_views_become_one() {
        let uplink = UplinkOf { connected: true, lag_ms: 40, backlog: 0 };
        let session = session(&entry(), Some(&worker()), Some(uplink), 99);
        assert_eq!((session.at_ms, session.live_s, session.transport.as_str()), (99, 12.3, "rtmps"));
        assert_eq!(session.input.bitrate_bps, 6_060_000);
        assert_eq!(session.input.video_codec.as_deref(), Some("H.264 High"));
        assert_eq!(
            (session.input.fps, session.input.timestamp_jumps, session.input.stalls),
            (Some(30.0), 3, 3)
        );
        let ladder = session.ladder.unwrap();
        assert_eq!(
            (ladder.backend.as_str(), ladder.overload.as_str(), ladder.worker),
            ("jetson", "rung_dropped", 1)
        );
        assert_eq!((ladder.rungs[0].state.as_str(), ladder.rungs[0].dropped), ("gone", 4));
        let codes: Vec<_> = session.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(codes, ["b_frames", "overload"]);
    }

    #[test]
    fn a_session_in_its_first_moment_is_one_already() {
        let bare = serde_json::json!({"channel": "nodi", "session": "01HF7YAT010000000000000001",
            "peer": "192.0.2.7:40001", "transport": "rtmp"});
        let session = session(&serde_json::from_value(bare).unwrap(), None, None, 1);
        assert_eq!(session.input, Input::default());
        assert!(session.ladder.is_none() && session.uplink.is_none() && session.warnings.is_empty());
    }
}
