//! Followers see everything once, in order, whenever they start.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;

use common::*;
use nodi_spool::{BadLine, EndReason, Entry, Event, Follower, MAX_LINE_LEN, layout};

#[test]
fn what_was_there_and_what_comes() {
    let root = tempfile::tempdir().unwrap();
    let hd = key(0).rendition(name("720p"));
    let mut writer = writer(root.path(), 0);
    writer.init(&video("720p"), b"ftyp").unwrap();
    segment(&mut writer, &hd.rendition, 0);

    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    let before = follow_until(&mut follower, |events| entries_of(events, &hd).len() >= 7);
    assert!(follower.read(64).unwrap().is_empty());

    writer.describe(vec![video("720p")], 2, 333_340_000).unwrap();
    segment(&mut writer, &hd.rendition, 1);
    writer.files().write_thumbnail(b"jpeg").unwrap();
    writer.end(&hd.rendition, EndReason::Eof).unwrap();
    let after = follow_until(&mut follower, |events| {
        entries_of(events, &hd).len() >= 7 && events.contains(&Event::Thumbnail(key(0)))
    });
    assert!(
        after.iter().any(|event| matches!(event, Event::Session(session) if session.renditions.len() == 1))
    );
    let all = [entries_of(&before, &hd), entries_of(&after, &hd)].concat();
    assert_eq!(all, check_story(root.path(), &hd));

    // A later follower starts where this one was.
    let ends: Vec<u64> = [before, after]
        .concat()
        .iter()
        .filter_map(|event| if let Event::Entry { end, .. } = event { Some(*end) } else { None })
        .collect();
    for (position, end) in ends.iter().copied().enumerate().take(all.len() - 1) {
        let mut later = Follower::open(root.path(), move |_| end).unwrap();
        let rest = all[position + 1..].to_vec();
        let events = follow_until(&mut later, |events| entries_of(events, &hd).len() >= rest.len());
        assert_eq!(entries_of(&events, &hd), rest);
    }
}

#[test]
fn replaced_files_are_told_each_time() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = writer(root.path(), 0);
    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    for target in 1..=3 {
        writer.describe(vec![video("720p")], target, 333_340_000).unwrap();
        let events = follow_until(&mut follower, |events| {
            events.iter().any(|event| matches!(event, Event::Session(_)))
        });
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Session(session) if session.target_duration_s == target))
        );
    }
    // Not JSON: told to the log, and no reason to stop.
    fs::write(key(0).dir(root.path()).join("x.new"), b"{").unwrap();
    fs::rename(key(0).dir(root.path()).join("x.new"), key(0).dir(root.path()).join(layout::SESSION)).unwrap();
    writer.files().write_thumbnail(b"jpeg").unwrap();
    follow_until(&mut follower, |events| events.contains(&Event::Thumbnail(key(0))));
}

#[test]
fn sessions_that_appear_while_others_are_read() {
    const SESSIONS: u64 = 20;
    let root = tempfile::tempdir().unwrap();
    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    let path = root.path().to_owned();
    let writing = std::thread::spawn(move || {
        for number in 0..SESSIONS {
            let mut writer = writer(&path, number);
            for rendition in ["720p", "360p"] {
                writer.init(&video(rendition), b"ftyp").unwrap();
                segment(&mut writer, &name(rendition), 0);
                writer.end(&name(rendition), EndReason::Eof).unwrap();
            }
        }
    });
    let ends = |events: &[Event]| {
        let end = |event: &&Event| matches!(event, Event::Entry { entry: Entry::End { .. }, .. });
        events.iter().filter(end).count() as u64
    };
    let events = follow_until(&mut follower, |events| ends(events) == 2 * SESSIONS);
    writing.join().unwrap();
    for number in 0..SESSIONS {
        for rendition in ["720p", "360p"] {
            let rendition = key(number).rendition(name(rendition));
            assert_eq!(entries_of(&events, &rendition), check_story(root.path(), &rendition));
        }
    }
}

#[test]
fn lines_that_a_crash_tore_are_waited_for_and_skipped() {
    let root = tempfile::tempdir().unwrap();
    let hd = key(0).rendition(name("720p"));
    let dir = hd.dir(root.path());
    fs::create_dir_all(&dir).unwrap();
    let mut index = OpenOptions::new().append(true).create(true).open(dir.join(layout::INDEX)).unwrap();
    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    assert!(follower.read(64).unwrap().is_empty());

    let line = Entry::Segment { seq: 1, len: 2, duration_ns: 3 }.to_line().unwrap();
    index.write_all(&line[..10]).unwrap();
    assert!(follower.read(64).unwrap().is_empty());
    index.write_all(&line[10..]).unwrap();
    let events = follow_until(&mut follower, |events| !events.is_empty());
    assert_eq!(events.len(), 1);
    assert!(
        matches!(&events[0], Event::Entry { entry: Entry::Segment { seq: 1, .. }, end, .. } if *end == line.len() as u64)
    );

    index.write_all(&line[..10]).unwrap();
    index.write_all(b"\n").unwrap();
    index.write_all(&line).unwrap();
    let events = follow_until(&mut follower, |events| events.len() >= 2);
    assert!(matches!(&events[0], Event::BadLine { error: BadLine::Syntax(_), .. }), "{events:?}");
    assert!(matches!(&events[1], Event::Entry { .. }));

    for len in [MAX_LINE_LEN + 1, 10 * MAX_LINE_LEN, 200_000] {
        index.write_all(&vec![b'x'; len]).unwrap();
        assert!(follower.read(64).unwrap().is_empty());
        index.write_all(b"\n").unwrap();
        index.write_all(&line).unwrap();
        let events = follow_until(&mut follower, |events| events.len() >= 2);
        assert!(matches!(&events[0], Event::BadLine { error: BadLine::TooLong, .. }), "{events:?}");
        assert!(matches!(&events[1], Event::Entry { .. }));
    }
}

#[test]
fn sessions_that_are_released_or_removed_stay_quiet() {
    let root = tempfile::tempdir().unwrap();
    let hd = name("720p");
    let mut first = writer(root.path(), 0);
    let mut second = writer(root.path(), 1);
    for writer in [&mut first, &mut second] {
        writer.init(&video("720p"), b"ftyp").unwrap();
    }
    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    follow_until(&mut follower, |events| events.len() >= 2);
    follower.release(&key(0));
    segment(&mut first, &hd, 0);
    segment(&mut second, &hd, 0);
    let second_key = key(1).rendition(hd.clone());
    let events = follow_until(&mut follower, |events| entries_of(events, &second_key).len() >= 6);
    assert_eq!(entries_of(&events, &key(0).rendition(hd)), []);

    fs::remove_dir_all(key(0).dir(root.path())).unwrap();
    fs::remove_dir_all(key(1).dir(root.path())).unwrap();
    let events = follow_until(&mut follower, |events| events.len() >= 2);
    assert_eq!(events, [Event::SessionRemoved(key(0)), Event::SessionRemoved(key(1))]);

    // The same name again is a new session.
    let mut again = writer(root.path(), 0);
    again.init(&video("720p"), b"ftyp").unwrap();
    follow_until(&mut follower, |events| !entries_of(events, &key(0).rendition(name("720p"))).is_empty());
}

#[test]
fn a_queue_that_overflows_costs_no_line() {
    let root = tempfile::tempdir().unwrap();
    let queue: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Equal events in a row are merged by the kernel: two renditions in turn are not.
    let rounds = (queue / 2 + 100).min(20_000);
    let mut writer = writer(root.path(), 0);
    let names = [name("720p"), name("360p")];
    for name in &names {
        writer.init(&video(name.as_str()), b"ftyp").unwrap();
        writer.open_segment(name, open(0, false, 0)).unwrap();
    }
    let mut follower = Follower::open(root.path(), |_| 0).unwrap();
    follow_until(&mut follower, |events| events.len() >= 4);
    for number in 0..rounds {
        names.iter().for_each(|name| part(&mut writer, name, 0, number as u64));
    }
    let events = follow_until(&mut follower, |events| events.len() >= 2 * rounds);
    for name in names {
        let parts = entries_of(&events, &key(0).rendition(name));
        assert_eq!(parts.len(), rounds);
        assert!(matches!(parts.last(), Some(Entry::Part { part, .. }) if *part as usize == rounds - 1));
    }
}
