//! What a writer leaves in the spool, and what the next one makes of what a crash left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::*;
use nodi_spool::writer::Options;
use nodi_spool::{EndReason, Entry, Error, Follower, SessionWriter, SpoolSession, layout};

#[test]
fn a_session_is_written_as_documented() {
    let root = tempfile::tempdir().unwrap();
    let hd = name("720p");
    let mut writer = writer(root.path(), 0);
    assert_eq!(writer.resumed(), None);
    assert_eq!(writer.init(&video("720p"), b"ftyp").unwrap(), 0);
    writer.describe(vec![video("720p")], 2, 333_340_000).unwrap();
    segment(&mut writer, &hd, 0);
    writer.open_segment(&hd, open(1, false, 2_000_000_000)).unwrap();
    part(&mut writer, &hd, 1, 0);
    writer.end(&hd, EndReason::Eof).unwrap();
    writer.end(&hd, EndReason::Eof).unwrap();

    let dir = key(0).dir(root.path());
    let text = fs::read_to_string(dir.join("720p/index")).unwrap();
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            r#"{"t":"open","seq":0,"init":0,"discontinuity":false,"start_ns":0,"wall_ms":1700000000000}"#,
            r#"{"t":"part","seq":0,"part":0,"offset":0,"len":17,"duration_ns":500000000,"independent":true}"#,
            r#"{"t":"part","seq":0,"part":1,"offset":17,"len":17,"duration_ns":500000000,"independent":false}"#,
            r#"{"t":"part","seq":0,"part":2,"offset":34,"len":17,"duration_ns":500000000,"independent":false}"#,
            r#"{"t":"part","seq":0,"part":3,"offset":51,"len":17,"duration_ns":500000000,"independent":false}"#,
            r#"{"t":"segment","seq":0,"len":68,"duration_ns":2000000000}"#,
            r#"{"t":"open","seq":1,"init":0,"discontinuity":false,"start_ns":2000000000,"wall_ms":1700000002000}"#,
            r#"{"t":"part","seq":1,"part":0,"offset":0,"len":17,"duration_ns":500000000,"independent":true}"#,
            r#"{"t":"segment","seq":1,"len":17,"duration_ns":500000000}"#,
            r#"{"t":"end","reason":"eof"}"#,
        ]
    );
    assert_eq!(fs::read(dir.join("720p/init-0.mp4")).unwrap(), b"ftyp");
    let description: SpoolSession =
        serde_json::from_slice(&fs::read(dir.join("session.json")).unwrap()).unwrap();
    assert_eq!(description.renditions, [video("720p")]);
    assert_eq!(description.part_target_ns, 333_340_000);

    // What was promised once still holds for what was cut then, also with the next worker.
    drop(writer);
    let mut writer = common::writer(root.path(), 0);
    writer.describe(vec![video("720p")], 1, 200_000_000).unwrap();
    let text = fs::read(dir.join("session.json")).unwrap();
    let description: SpoolSession = serde_json::from_slice(&text).unwrap();
    assert_eq!((description.target_duration_s, description.part_target_ns), (2, 333_340_000));
    check_story(root.path(), &key(0).rendition(hd));
}

#[test]
fn the_order_of_things_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let hd = name("720p");
    let mut writer = writer(root.path(), 0);
    let refused = |result: nodi_spool::Result<()>| assert!(matches!(result, Err(Error::Order { .. })));
    refused(writer.open_segment(&hd, open(0, false, 0)));
    writer.init(&video("720p"), b"ftyp").unwrap();
    refused(writer.part(&hd, &mut [], 1, true));
    refused(writer.close_segment(&hd, 0));
    writer.open_segment(&hd, open(0, false, 0)).unwrap();
    refused(writer.open_segment(&hd, open(1, false, 0)));
    refused(writer.init(&video("720p"), b"ftyp").map(|_| ()));
    writer.end(&hd, EndReason::Gone).unwrap();
    refused(writer.open_segment(&hd, open(1, false, 0)));
    // An initialisation section brings it back.
    assert_eq!(writer.init(&video("720p"), b"ftyp").unwrap(), 1);
    writer.open_segment(&hd, open(1, true, 0)).unwrap();
}

/// Cuts the index of a session with an open segment at each of its bytes, as a crash may.
#[test]
fn a_crash_at_any_byte_leaves_a_story_that_goes_on() {
    let made = tempfile::tempdir().unwrap();
    let (hd, sd) = (name("720p"), name("360p"));
    let mut first = writer(made.path(), 0);
    for rendition in ["720p", "360p"] {
        first.init(&video(rendition), b"ftyp").unwrap();
        segment(&mut first, &name(rendition), 0);
    }
    first.open_segment(&hd, open(1, false, 2_000_000_000)).unwrap();
    part(&mut first, &hd, 1, 0);
    part(&mut first, &hd, 1, 1);
    drop(first);

    let index = fs::read(key(0).dir(made.path()).join("720p/index")).unwrap();
    for len in 0..index.len() {
        let root = tempfile::tempdir().unwrap();
        copy(&key(0).dir(made.path()), &key(0).dir(root.path()));
        fs::write(key(0).dir(root.path()).join("720p/index"), &index[..len]).unwrap();
        // Bytes that no line names any more.
        let mut next = writer(root.path(), 0);
        let resumed = next.resumed().unwrap();
        assert_eq!(resumed.next_seq, 2, "the file of segment 1 is there");
        assert!(resumed.media_ns >= 2_000_000_000);
        for rendition in ["720p", "360p"] {
            next.init(&video(rendition), b"ftyp").unwrap();
            next.open_segment(&name(rendition), open(2, true, resumed.media_ns)).unwrap();
            part(&mut next, &name(rendition), 2, 0);
            next.end(&name(rendition), EndReason::Eof).unwrap();
        }
        let story = check_story(root.path(), &key(0).rendition(hd.clone()));
        assert!(matches!(story.last(), Some(Entry::End { reason: EndReason::Eof })));
        check_story(root.path(), &key(0).rendition(sd.clone()));
        // What a complete line said before the crash, a reader may have acted on: it is still said.
        let kept = index[..len].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(story[..kept], entries(&key(0).dir(made.path()).join("720p/index"))[..kept]);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Not a test by itself: the process that the next test kills.
#[test]
fn child_writes_until_it_is_killed() {
    let Ok(root) = std::env::var("SPOOL_TEST_ROOT") else {
        return;
    };
    let hd = name("720p");
    let mut writer = writer(Path::new(&root), 0);
    let resumed = writer.resumed();
    let first = resumed.map_or(0, |resumed| resumed.next_seq);
    writer.init(&video("720p"), b"ftyp").unwrap();
    for seq in first.. {
        let start_ns = resumed.map_or(0, |resumed| resumed.media_ns) + (seq - first) * 4 * PART_NS;
        writer.open_segment(&hd, open(seq, seq == first && resumed.is_some(), start_ns)).unwrap();
        (0..4).for_each(|number| part(&mut writer, &hd, seq, number));
        writer.close_segment(&hd, 4 * PART_NS).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    let root = tempfile::tempdir().unwrap();
    let hd = key(0).rendition(name("720p"));
    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    let mut seen = Vec::new();
    for generation in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_it_is_killed"])
            .env("SPOOL_TEST_ROOT", root.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let inits = |events: &[nodi_spool::Event]| {
            entries_of(events, &hd).iter().filter(|entry| matches!(entry, Entry::Init { .. })).count()
        };
        let new = follow_until(&mut follower, |events| inits(events) == 1 && events.len() > 40);
        child.kill().unwrap();
        child.wait().unwrap();
        seen.extend(entries_of(&new, &hd));
        assert_eq!(seen.iter().filter(|entry| matches!(entry, Entry::Init { .. })).count(), generation);
    }
    drop(writer(root.path(), 0));
    let story = check_story(root.path(), &hd);
    let rest =
        follow_until(&mut follower, |events| seen.len() + entries_of(events, &hd).len() >= story.len());
    seen.extend(entries_of(&rest, &hd));
    assert_eq!(seen, story);
    assert!(matches!(story.last(), Some(Entry::Segment { .. })));
}

#[test]
fn one_writer_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let first = writer(root.path(), 0);
    let second = SessionWriter::open(root.path(), &channel(), session(0), options());
    assert!(matches!(second, Err(Error::Busy { .. })));
    drop(first);
    writer(root.path(), 0);
}

#[test]
fn without_space_nothing_new_starts_and_the_end_is_still_written() {
    fn none(_: &Path) -> std::io::Result<u64> {
        Ok(0)
    }
    let root = tempfile::tempdir().unwrap();
    let hd = name("720p");
    let mut writer = writer(root.path(), 0);
    writer.init(&video("720p"), b"ftyp").unwrap();
    segment(&mut writer, &hd, 0);
    drop(writer);

    let full = Options { free_space: none, min_free_bytes: 1, ..options() };
    let refused = SessionWriter::open(root.path(), &channel(), session(0), full).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { free: 0, reserve: 1, .. }), "{refused}");

    // Space that runs out while the session is on.
    fn soon(_: &Path) -> std::io::Result<u64> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static LEFT: AtomicU64 = AtomicU64::new(2);
        Ok(LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).unwrap_or(0))
    }
    let soon = Options { free_space: soon, min_free_bytes: 1, ..options() };
    let mut writer = SessionWriter::open(root.path(), &channel(), session(0), soon).unwrap();
    writer.init(&video("720p"), b"ftyp").unwrap();
    writer.open_segment(&hd, open(1, true, 2_000_000_000)).unwrap();
    part(&mut writer, &hd, 1, 0);
    writer.close_segment(&hd, PART_NS).unwrap();
    let refused = writer.open_segment(&hd, open(2, false, 4_000_000_000)).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    writer.end(&hd, EndReason::NoSpace).unwrap();
    let story = check_story(root.path(), &key(0).rendition(hd));
    assert_eq!(story.last(), Some(&Entry::End { reason: EndReason::NoSpace }));
    assert!(!key(0).dir(root.path()).join("720p").join(layout::segment(2)).exists());
}
