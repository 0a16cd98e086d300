//! The spool stays within its bounds, and what is needed most stays longest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::*;
use nodi_spool::janitor::{Facts, Policy, Report, sweep};
use nodi_spool::{EndReason, RenditionKey, SessionKey, SessionWriter, layout};

#[derive(Default)]
struct Known {
    pushed: BTreeSet<(RenditionKey, u64)>,
    over: BTreeSet<SessionKey>,
}

impl Facts for Known {
    fn pushed(&self, rendition: &RenditionKey, seq: u64) -> bool {
        self.pushed.contains(&(rendition.clone(), seq))
    }

    fn over(&self, session: &SessionKey) -> bool {
        self.over.contains(session)
    }
}

const ROOMY: Policy = Policy { max_bytes: u64::MAX, max_age: Duration::from_secs(3600), min_free_bytes: 0 };

fn plenty(_: &Path) -> std::io::Result<u64> {
    Ok(1 << 40)
}

/// Segments 0 to 4 of two renditions, and an open one; the older ones were written earlier. 68 bytes each.
fn live(root: &Path, number: u64, now: SystemTime) -> SessionWriter {
    let mut writer = writer(root, number);
    for rendition in ["720p", "audio"] {
        writer.init(&video(rendition), b"ftyp").unwrap();
        for seq in 0..5 {
            segment(&mut writer, &name(rendition), seq);
        }
        writer.open_segment(&name(rendition), open(5, false, 10_000_000_000)).unwrap();
        part(&mut writer, &name(rendition), 5, 0);
        for seq in 0..6 {
            let file = File::options().append(true).open(path(root, number, rendition, seq)).unwrap();
            file.set_modified(now - Duration::from_secs(60 * (6 - seq))).unwrap();
        }
    }
    writer
}

fn path(root: &Path, number: u64, rendition: &str, seq: u64) -> std::path::PathBuf {
    key(number).dir(root).join(rendition).join(layout::segment(seq))
}

fn held(root: &Path, number: u64, rendition: &str) -> Vec<u64> {
    (0..6).filter(|seq| path(root, number, rendition, *seq).exists()).collect()
}

#[test]
fn nothing_goes_while_there_is_room() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let _live = live(root.path(), 0, now);
    let report = sweep(root.path(), &ROOMY, &Known::default(), now, plenty).unwrap();
    assert_eq!(report, Report { held_bytes: 2 * (5 * 68 + 17), ..Report::default() });
}

#[test]
fn the_oldest_goes_first_and_what_is_open_never() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let _live = live(root.path(), 0, now);
    let bytes = Policy { max_bytes: 500, ..ROOMY };
    let report = sweep(root.path(), &bytes, &Known::default(), now, plenty).unwrap();
    assert_eq!((report.lost_segments, report.lost_bytes, report.held_bytes), (4, 4 * 68, 442));
    assert_eq!(held(root.path(), 0, "720p"), [2, 3, 4, 5]);
    assert_eq!(held(root.path(), 0, "audio"), [2, 3, 4, 5]);
    assert!(!report.over_bounds);

    let nothing = Policy { max_bytes: 0, ..ROOMY };
    let report = sweep(root.path(), &nothing, &Known::default(), now, plenty).unwrap();
    assert_eq!(held(root.path(), 0, "720p"), [5]);
    assert!(report.over_bounds);
    assert_eq!(report.held_bytes, 34);
}

#[test]
fn what_is_pushed_goes_before_what_is_older() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let _live = live(root.path(), 0, now);
    let hd = key(0).rendition(name("720p"));
    let known = Known { pushed: (1..5).map(|seq| (hd.clone(), seq)).collect(), ..Known::default() };
    let bytes = Policy { max_bytes: 2 * (5 * 68 + 17) - 3 * 68, ..ROOMY };
    let report = sweep(root.path(), &bytes, &known, now, plenty).unwrap();
    assert_eq!((report.pushed_segments, report.pushed_bytes, report.lost_segments), (3, 3 * 68, 0));
    assert_eq!(held(root.path(), 0, "720p"), [0, 4, 5]);
    assert_eq!(held(root.path(), 0, "audio"), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn age_and_free_space_are_bounds_too() {
    fn scarce(_: &Path) -> std::io::Result<u64> {
        Ok(1000)
    }
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let _live = live(root.path(), 0, now);
    let age = Policy { max_age: Duration::from_secs(60 * 4 + 30), ..ROOMY };
    sweep(root.path(), &age, &Known::default(), now, plenty).unwrap();
    assert_eq!(held(root.path(), 0, "720p"), [2, 3, 4, 5]);
    let free = Policy { min_free_bytes: 1100, ..ROOMY };
    let report = sweep(root.path(), &free, &Known::default(), now, scarce).unwrap();
    assert_eq!(report.lost_segments, 2);
    assert_eq!(held(root.path(), 0, "720p"), [3, 4, 5]);
}

#[test]
fn sessions_that_are_over_go_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut ended = live(root.path(), 0, now);
    let crashed = live(root.path(), 1, now);
    let _live = live(root.path(), 2, now);
    for rendition in ["720p", "audio"] {
        ended.end(&name(rendition), EndReason::Eof).unwrap();
    }
    drop((ended, crashed));
    let known = Known { over: [key(1)].into(), ..Known::default() };

    let much_later = now + Duration::from_secs(7200);
    let report = sweep(root.path(), &ROOMY, &known, much_later, plenty).unwrap();
    assert_eq!(report.lost_segments, 6 + 6 + 6 + 6 + 5 + 5);
    assert_eq!(report.sessions, 2);
    assert!(!key(0).dir(root.path()).exists());
    assert!(!key(1).dir(root.path()).exists());
    assert_eq!(held(root.path(), 2, "720p"), [5]);
    assert!(key(2).dir(root.path()).join("720p").join(layout::INDEX).exists());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
