//! A worker dies and another one goes on: one story for whoever reads.

use nodi_spool::EndReason;
use nodi_transcode::cut::CutConfig;

use super::bench::{Bench, feed, tracks};
use super::story;

const RUNGS: [&str; 2] = ["720p", "360p"];

#[test]
fn the_next_worker_goes_on_after_a_discontinuity() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, (30, 1), Some(44_100)));
    feed(&bench, &mut cutter, &RUNGS, (30, 1), Some(44_100), 5);
    drop(cutter);
    // Half a line of one rung, and bytes that no line names.
    let index = bench.dir().join("720p/index");
    let text = std::fs::read(&index).unwrap();
    std::fs::write(&index, &text[..text.len() - 30]).unwrap();

    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, (30, 1), Some(44_100)));
    feed(&bench, &mut cutter, &RUNGS, (30, 1), Some(44_100), 5);
    assert!(cutter.stats().media_ns > 9_900_000_000);
    cutter.finish(EndReason::Eof).unwrap();

    let story = story::read_torn(&bench);
    for (name, rendition) in &story.renditions {
        let seen: Vec<_> = rendition
            .segments
            .iter()
            .map(|segment| (segment.seq, segment.init, segment.discontinuity, segment.duration_ns.is_some()))
            .collect();
        let all = [
            (0, 0, false, true),
            (1, 0, false, true),
            (2, 0, false, true),
            (3, 1, true, true),
            (4, 1, false, true),
            (5, 1, false, true),
        ];
        assert_eq!(seen, all, "{name}");
        assert!(rendition.segments[3].start_ns >= rendition.segments[2].end_ns(), "{name}");
        assert!(rendition.segments[3].start_ns <= 5_050_000_000, "{name}");
        assert_eq!(rendition.ended, Some(EndReason::Eof));
    }
    story.check(false);
}

#[test]
fn a_worker_with_fewer_rungs_ends_those_it_has_not() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, (30, 1), None));
    feed(&bench, &mut cutter, &RUNGS, (30, 1), None, 3);
    drop(cutter);
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["360p"], (30, 1), None));
    feed(&bench, &mut cutter, &["360p"], (30, 1), None, 3);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    assert_eq!(story.of("720p").ended, Some(EndReason::Gone));
    assert_eq!(story.of("360p").segments.len(), 4);
    assert_eq!(story.session.renditions.len(), 1);
    story.check(false);
}

#[test]
fn no_space_ends_the_session_cleanly() {
    use nodi_spool::SessionWriter;
    use nodi_spool::writer::Options;
    use nodi_transcode::cut::{Cutter, Error};
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// One look when the session opens, and one per segment.
    fn shrinking(_: &Path) -> std::io::Result<u64> {
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        Ok(1000_u64.saturating_sub(LOOKS.fetch_add(100, Ordering::Relaxed)))
    }

    let bench = Bench::new();
    let options = Options { min_free_bytes: 500, free_space: shrinking, ..Options::default() };
    let writer =
        SessionWriter::open(bench.root(), &"room".parse().unwrap(), bench.session(), options).unwrap();
    let mut cutter = Cutter::new(writer, CutConfig::default(), tracks(&["a"], (30, 1), None)).unwrap();
    let rung = "a".parse().unwrap();
    let error = (0..)
        .find_map(|index| cutter.video(&rung, super::bench::picture(index, index.is_multiple_of(60))).err())
        .unwrap();
    assert!(matches!(error, Error::Spool(nodi_spool::Error::NoSpace { .. })), "{error}");
    cutter.finish(EndReason::NoSpace).unwrap();
    let story = story::read(&bench);
    story.check(true);
    assert_eq!(story.of("a").ended, Some(EndReason::NoSpace));
    assert_eq!(story.of("a").segments.len(), 5);
}
