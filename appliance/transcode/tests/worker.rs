//! The process: how it starts, stops, refuses and goes on after a crash.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

use std::io::Write as _;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nodi_flv::{Kind, Tag};
use nodi_spool::{EndReason, WorkerState};
use support::{Bench, LADDER, X264, edit, live, live_ladder, tone, video, write};

const DEADLINE: Duration = Duration::from_secs(60);

fn wait(worker: &mut Child) -> ExitStatus {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = worker.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > end {
            worker.kill().unwrap();
            panic!("the worker does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(worker: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &worker.id().to_string()]).status().unwrap().success());
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn short(bench: &Bench, seconds: u32) -> Bytes {
    bench.flv(&format!("{} {} {X264} -c:a aac", video("320x180", "25", seconds), tone(48_000, seconds)))
}

#[test]
fn what_is_not_flv_is_refused() {
    let bench = Bench::new();
    for bad in [&b"GIF89a, and more than that"[..], b""] {
        let output = bench.pipe(bad, LADDER);
        assert_eq!(output.status.code(), Some(10));
        assert!(String::from_utf8_lossy(&output.stderr).contains("bad input"), "{output:?}");
    }
}

#[test]
fn other_codecs_are_refused_by_name() {
    let bench = Bench::new();
    let mp3 = Tag { kind: Kind::Audio, timestamp_ms: 0, data: Bytes::from_static(b"\x2fxxxx") };
    let hevc = Tag { kind: Kind::Video, timestamp_ms: 0, data: Bytes::from_static(b"\x90hvc1xxxx") };
    for (tag, name) in [(mp3, "MP3"), (hevc, "H.265")] {
        let output = bench.pipe(&write(&[tag]), LADDER);
        assert_eq!(output.status.code(), Some(10));
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(log.contains(name) || (name == "H.265" && log.contains("HEVC")), "{log}");
    }
}

#[test]
fn a_session_without_media_is_no_failure() {
    let bench = Bench::new();
    let output = bench.pipe(&write(&[support::facts(0).to_tag()]), LADDER);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_configured_encoder_that_is_not_there() {
    let bench = Bench::new();
    let output = bench.pipe(&write(&[]), "backend = \"jetson\"");
    assert_eq!(output.status.code(), Some(11));
}

#[test]
fn an_unusable_configuration_names_the_key() {
    let bench = Bench::new();
    let output = bench.pipe(&write(&[]), "part_ms = 5");
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("part_ms"), "{output:?}");
}

#[test]
fn a_full_disk() {
    let bench = Bench::new();
    let flv = short(&bench, 3);
    let text = std::fs::read_to_string(bench.config(LADDER)).unwrap();
    let full = text.replace("min_free_bytes = 0", "min_free_bytes = 9000000000000000000");
    let path = bench.dir.path().join("full.toml");
    std::fs::write(&path, full).unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_nodi-transcode"))
        .arg("--config")
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The worker may be gone before it has read everything.
    let _ = worker.stdin.take().unwrap().write_all(&flv);
    assert_eq!(wait(&mut worker).code(), Some(12));
}

#[test]
fn sigterm_finishes_what_there_is() {
    let bench = Bench::new();
    let flv = live(&short(&bench, 4), 0);
    let mut worker = bench.start(&live_ladder());
    let mut stdin = worker.stdin.take().unwrap();
    stdin.write_all(&flv).unwrap();
    // The publisher is still connected, and sends nothing.
    let index = bench.spool().join(format!("nodi/{}/180p/index", support::facts(0).session));
    until("a segment", || std::fs::read_to_string(&index).is_ok_and(|text| text.contains("\"segment\"")));
    signal(&worker, "-TERM");
    assert_eq!(wait(&mut worker).code(), Some(0));
    drop(stdin);
    let session = bench.session();
    session.check();
    assert_eq!(session.status.worker, 0);
    assert_eq!(session.status.state, WorkerState::Draining);
}

/// Ingest starts a new worker for the same session, and replays the current group of pictures.
#[test]
fn after_a_crash_the_next_worker_goes_on() {
    let bench = Bench::new();
    let flv = short(&bench, 6);
    let mut worker = bench.start(&live_ladder());
    let mut stdin = worker.stdin.take().unwrap();
    stdin.write_all(&live(&flv, 0)).unwrap();
    let index = bench.spool().join(format!("nodi/{}/180p/index", support::facts(0).session));
    until("two segments", || {
        std::fs::read_to_string(&index).is_ok_and(|text| text.matches("\"segment\"").count() >= 2)
    });
    signal(&worker, "-KILL");
    assert!(!wait(&mut worker).success());
    let replayed = edit(&flv, |tags| {
        tags.retain(|tag| support::is_header(tag) || tag.timestamp_ms >= 4_000);
    });
    assert!(bench.pipe(&live(&replayed, 1), &live_ladder()).status.success());
    let session = bench.session();
    let rung = session.rung("180p");
    assert_eq!(rung.end, Some(EndReason::Eof));
    let broken: Vec<bool> = rung.segments.values().map(|segment| segment.discontinuity).collect();
    assert_eq!(broken.iter().filter(|broken| **broken).count(), 1, "{broken:?}");
    let mut end = 0;
    for segment in rung.segments.values() {
        assert!(segment.complete && segment.start_ns >= end, "{:?}", rung.segments);
        end = segment.start_ns + segment.duration_ns;
    }
    assert_eq!(session.status.worker, 1);
}

#[test]
fn a_burst_costs_pictures_and_no_rung() {
    let bench = Bench::new();
    let flv = live(&short(&bench, 5), 0);
    let session = bench.transcode(&flv, &live_ladder());
    // What arrives at once is late for a live stream, but nothing is given up for it.
    assert_eq!(session.rung("180p").end, Some(EndReason::Eof));
    assert!(session.rung("180p").duration_s() > 0.0);
}

#[test]
fn settings_count_from_the_start_of_a_session_and_bad_ones_are_named() {
    let bench = Bench::new();
    let at = |name: &str| bench.dir.path().join(name);
    std::fs::write(at("transcode.toml"), "segment_ms = 2000\n").unwrap();
    let check = |settings: &str| {
        std::fs::write(at("settings.toml"), settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodi-transcode"));
        command.arg("--config").arg(at("transcode.toml")).arg("--settings").arg(at("settings.toml"));
        let output = command.arg("--check").output().unwrap();
        assert_eq!(output.stdout.len(), 0);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let rung = |name: &str| format!("[[ladder]]\nname = \"{name}\"\nheight = 360\nbitrate = 800000\n");
    assert_eq!(check(&rung("360p")), (Some(0), String::new()));
    for (settings, reason) in [
        (format!("{}{}", rung("360p"), rung("360p")), "ladder.name: 360p is taken"),
        ("part_ms = 50".to_owned(), "part_ms: 50 is not between 200 and 1000"),
        ("[[ladder]]\nname = \"360p\"\nheight = 360".to_owned(), "ladder[0]: missing field `bitrate`"),
    ] {
        let (code, said) = check(&settings);
        assert_eq!(code, Some(78));
        assert!(said.lines().count() == 1 && said.contains(reason), "{said}");
    }

    std::fs::write(at("transcode.toml"), bench.config_text(LADDER)).unwrap();
    std::fs::write(at("settings.toml"), "[[ladder]]\nname = \"90p\"\nheight = 90\nbitrate = 200000\n")
        .unwrap();
    short(&bench, 2);
    let status = Command::new(env!("CARGO_BIN_EXE_nodi-transcode"))
        .arg("--config")
        .arg(at("transcode.toml"))
        .arg("--settings")
        .arg(at("settings.toml"))
        .stdin(std::fs::File::open(at("input.flv")).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let session = bench.session();
    let rungs: Vec<_> = session.status.rungs.iter().map(|rung| rung.name.to_string()).collect();
    assert_eq!(rungs, ["90p"]);
}

#[test]
fn a_self_test_tells_what_the_machine_does_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let run = |config: &str, command: &str| {
        Command::new(env!("CARGO_BIN_EXE_nodi-transcode"))
            .arg("--config")
            .arg(bench.config(config))
            .arg(command)
            .env("TMPDIR", bench.dir.path())
            .output()
            .unwrap()
    };
    let output = run(LADDER, "self-test");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["passed"]), (Some(0), &true.into()), "{report}");
    assert_eq!(report["backend"], "software");
    let names: Vec<_> = report["renditions"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["180p", "360p", "audio"]);
    for rendition in &report["renditions"].as_array().unwrap()[..2] {
        assert_eq!((&rendition["segments"], &rendition["starts_with_key_frames"]), (&4.into(), &true.into()));
    }
    let left: Vec<_> =
        std::fs::read_dir(bench.dir.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(left, ["config.toml"], "neither a spool nor a temporary file");

    let output = run("backend = \"jetson\"\n", "self-test");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(11), 0), "no such encoder here");

    let output = run(&live_ladder(), "capacity");
    let capacity: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(capacity["backend"] == "software" && capacity["sessions"].as_f64() > Some(0.1), "{capacity}");
}
