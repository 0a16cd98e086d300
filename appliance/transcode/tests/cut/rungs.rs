//! What rungs may do, and what the others and their own viewers see of it.

use nodi_spool::EndReason;
use nodi_transcode::cut::{Boundaries, CutConfig, Cutter, Error, Event, Frame};

use super::bench::{Bench, SESSION_MS, feed, name, picture, picture_index, tracks};
use super::story::{self, Rendition};

const RATE: (u32, u32) = (30, 1);
const RUNGS: [&str; 3] = ["1080p", "720p", "360p"];

fn part_frames(rendition: &Rendition) -> Vec<Vec<usize>> {
    rendition
        .segments
        .iter()
        .map(|segment| segment.parts.iter().map(|part| part.samples.len()).collect())
        .collect()
}

/// Two seconds at a time; `key` says where a rung has its key frames, `there` which frames it delivers at all.
fn run(
    cutter: &mut Cutter,
    rungs: &[&str],
    frames: std::ops::Range<u64>,
    key: impl Fn(&str, u64) -> bool,
    there: impl Fn(&str, u64) -> bool,
) {
    for index in frames {
        for rung in rungs.iter().filter(|rung| there(rung, index)) {
            cutter.video(&name(rung), picture(index, key(rung, index))).unwrap();
        }
    }
}

fn every_60(_: &str, index: u64) -> bool {
    index.is_multiple_of(60)
}

fn all(_: &str, _: u64) -> bool {
    true
}

#[test]
fn everything_as_it_should_be() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, RATE, Some(48_000)));
    feed(&bench, &mut cutter, &RUNGS, RATE, Some(48_000), 7);
    assert_eq!(cutter.take_events(), []);
    let stats = cutter.finish(EndReason::Eof).unwrap();
    assert_eq!(stats.segments, 4);
    assert_eq!(stats.rungs.len(), 3);

    let story = story::read(&bench);
    story.check(true);
    assert_eq!(story.session.target_duration_s, 2);
    assert_eq!(story.session.part_target_ns, 333_340_000);
    for rung in RUNGS {
        let rendition = story.of(rung);
        assert_eq!(part_frames(rendition), [vec![10; 6], vec![10; 6], vec![10; 6], vec![10; 3]]);
        assert_eq!(rendition.ended, Some(EndReason::Eof));
        assert_eq!(rendition.timescale, 90_000);
        let indexes: Vec<_> = rendition.samples().map(|sample| picture_index(&sample.data)).collect();
        assert_eq!(indexes, (0..210).collect::<Vec<_>>());
        for segment in &rendition.segments {
            assert_eq!(segment.wall_ms, SESSION_MS + 50 + segment.seq * 2000);
        }
    }
    let audio = story.of("audio");
    // 93.75 frames a segment; parts of 15 frames (320 ms) and what is left.
    assert_eq!(
        part_frames(audio)[..3],
        [vec![15, 15, 15, 15, 15, 15, 4], vec![15, 15, 15, 15, 15, 15, 4], vec![15, 15, 15, 15, 15, 15, 3]]
    );
    assert!(audio.samples().all(|sample| sample.sync));
    let names: Vec<_> = story.session.renditions.iter().map(|rendition| rendition.name.as_str()).collect();
    assert_eq!(names, ["1080p", "720p", "360p", "audio"]);
    // 800 kbit/s, a full buffer in a segment of 2 s, and the boxes.
    let claim = &story.session.renditions[0];
    assert!((1_200_000..1_210_000).contains(&claim.bandwidth), "{claim:?}");
    assert!((800_000..810_000).contains(&claim.average_bandwidth), "{claim:?}");
    assert!(
        claim.bandwidth > 1_200_000
            && story.of("720p").segments.iter().all(|segment| {
                segment.len * 8 * 1_000_000_000 / segment.duration_ns.unwrap() < u64::from(claim.bandwidth)
            })
    );
}

#[test]
fn parts_are_there_the_moment_their_last_frame_is() {
    let bench = Bench::new();
    let mut cutter =
        bench.cutter(CutConfig { part_ms: 200, ..CutConfig::default() }, tracks(&["a"], RATE, None));
    for index in 0..60 {
        cutter.video(&name("a"), picture(index, index == 0)).unwrap();
        let story = story::read(&bench);
        let frames = part_frames(story.of("a"))[0].len();
        assert_eq!(frames as u64, (index + 1) / 6);
    }
}

#[test]
fn frame_rates_and_part_lengths() {
    for (rate, part_ms, target_ns, longest) in [
        ((30_000, 1001), 333, 333_670_000, 10),
        ((60_000, 1001), 200, 200_200_000, 12),
        ((60, 1), 333, 333_340_000, 20),
        ((25, 1), 333, 320_000_000, 8),
        ((24_000, 1001), 333, 333_670_000, 8),
        ((50, 1), 1000, 1_000_000_000, 50),
    ] {
        let bench = Bench::new();
        let config = CutConfig { part_ms, ..CutConfig::default() };
        let mut cutter = bench.cutter(config, tracks(&["a", "b"], rate, Some(44_100)));
        assert_eq!(cutter.part_target_ns(), target_ns);
        feed(&bench, &mut cutter, &["a", "b"], rate, Some(44_100), 9);
        cutter.finish(EndReason::Eof).unwrap();
        let story = story::read(&bench);
        story.check(true);
        let frames = part_frames(story.of("a"));
        assert_eq!(frames.iter().flatten().max(), Some(&longest), "{rate:?}");
    }
}

#[test]
fn a_key_frame_elsewhere_is_an_event_and_no_cut() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, None));
    run(
        &mut cutter,
        &["a", "b"],
        0..180,
        |rung, index| index.is_multiple_of(60) || (rung == "b" && index == 75),
        all,
    );
    assert_eq!(cutter.take_events(), [Event::UnexpectedKeyFrame { rung: name("b"), index: 75 }]);
    assert_eq!(cutter.stats().rungs[1].unexpected_key_frames, 1);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(true);
    assert_eq!(story.of("b").segments.len(), 3);
    assert!(story.of("b").samples().any(|sample| sample.sync && picture_index(&sample.data) == 75));
}

#[test]
fn a_missed_key_frame_costs_that_rung_a_segment() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, RATE, Some(48_000)));
    run(
        &mut cutter,
        &RUNGS,
        0..240,
        |rung, index| index.is_multiple_of(60) && (rung, index) != ("720p", 60),
        all,
    );
    assert!(cutter.take_events().contains(&Event::MissedKeyFrame { rung: name("720p"), seq: 1 }));
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    let lens: Vec<_> = story.of("720p").segments.iter().map(|segment| segment.len > 0).collect();
    assert_eq!(lens, [true, false, true, true]);
    assert!(story.of("1080p").segments.iter().all(|segment| segment.len > 0));
    assert_eq!(story.of("720p").ended, Some(EndReason::Eof));
}

#[test]
fn a_rung_that_misses_again_and_again_is_given_up() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, RATE, None));
    run(
        &mut cutter,
        &RUNGS,
        0..360,
        |rung, index| if rung == "360p" { index == 0 } else { index.is_multiple_of(60) },
        all,
    );
    assert!(cutter.take_events().contains(&Event::RungFailed { rung: name("360p") }));
    assert_eq!(cutter.stats().rungs[2].gone, Some(EndReason::Gone));
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    assert_eq!(story.of("360p").ended, Some(EndReason::Gone));
    assert_eq!(story.of("720p").segments.len(), 6);
    assert_eq!(story.session.renditions.len(), 2);
}

#[test]
fn key_frames_that_move_on_all_rungs_move_the_boundary() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, Some(44_100)));
    let key = |_: &str, index: u64| index == 0 || (index >= 64 && (index - 64).is_multiple_of(60));
    run(&mut cutter, &["a", "b"], 0..250, key, all);
    assert_eq!(
        cutter.take_events().iter().filter(|event| !matches!(event, Event::AudioFilled { .. })).count(),
        0
    );
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    let frames: Vec<_> = story.of("a").segments.iter().map(|segment| segment.samples().count()).collect();
    assert_eq!(frames, [64, 60, 60, 60, 6]);
}

#[test]
fn without_key_frames_the_timeline_breaks_and_goes_on() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, None));
    run(&mut cutter, &["a", "b"], 0..300, |_, index| index == 0 || index == 200 || index == 260, all);
    assert!(cutter.take_events().contains(&Event::NoKeyFrames { seq: 0 }));
    assert_eq!(cutter.stats().discontinuities, 1);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    let segments = &story.of("a").segments;
    assert_eq!(segments.iter().map(|segment| segment.samples().count()).collect::<Vec<_>>(), [74, 60, 40]);
    assert_eq!(
        segments.iter().map(|segment| segment.discontinuity).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[test]
fn frames_that_never_came_are_bridged() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, None));
    // In the middle of a part, its first one, its last one, the last of a segment, and a whole part.
    let gone = |index: u64| matches!(index, 5 | 10 | 29 | 59 | 80..=89);
    run(&mut cutter, &["a", "b"], 0..180, every_60, |rung, index| rung == "a" || !gone(index));
    let missing: u64 = cutter
        .take_events()
        .iter()
        .map(|event| match event {
            Event::FramesMissing { frames, .. } => *frames,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(missing, 14);
    assert_eq!(cutter.stats().rungs[1].missing_frames, 14);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    let durations: Vec<_> =
        story.of("b").segments.iter().map(|segment| segment.duration_ns.unwrap()).collect();
    assert_eq!(durations, [2_000_000_000; 3]);
    // Only the part that is missing as a whole leaves a hole.
    let mut position = 0;
    let mut holes = Vec::new();
    for sample in story.of("b").samples() {
        if sample.start != position {
            holes.push((position / 3000, sample.start / 3000));
        }
        position = sample.start + sample.duration;
    }
    assert_eq!(holes, [(80, 90)]);
}

#[test]
fn a_rung_at_half_rate_has_the_same_parts() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, None));
    for index in 0..180 {
        cutter.video(&name("b"), picture(index, index.is_multiple_of(60))).unwrap();
        if index < 70 {
            cutter.video(&name("a"), picture(index, index.is_multiple_of(60))).unwrap();
        } else if index.is_multiple_of(2) {
            cutter
                .video(&name("a"), Frame { duration: 2, ..picture(index, index.is_multiple_of(60)) })
                .unwrap();
        }
    }
    assert_eq!(cutter.take_events(), []);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(true);
    assert_eq!(part_frames(story.of("a")), [vec![10; 6], vec![10, 5, 5, 5, 5, 5], vec![5; 6]]);
    assert_eq!(story.of("a").segments[2].end_ns(), story.of("b").segments[2].end_ns());
}

#[test]
fn a_rung_that_is_gone_leaves_the_others_alone() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, RATE, None));
    run(&mut cutter, &RUNGS, 0..75, every_60, all);
    cutter.rung_gone(&name("1080p"), EndReason::Overload).unwrap();
    cutter.rung_gone(&name("1080p"), EndReason::Overload).unwrap();
    run(&mut cutter, &RUNGS, 75..180, every_60, all);
    assert!(matches!(cutter.video(&name("4k"), picture(0, true)), Err(Error::UnknownRung(_))));
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    assert_eq!(story.of("1080p").ended, Some(EndReason::Overload));
    assert_eq!(part_frames(story.of("1080p")), [vec![10; 6], vec![10, 5]]);
    assert_eq!(part_frames(story.of("720p")), [vec![10; 6], vec![10; 6], vec![10; 6]]);
}

#[test]
fn a_rung_that_stands_still_is_given_up_and_nobody_waits_for_it() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, None));
    run(&mut cutter, &["a", "b"], 0..30, every_60, all);
    for index in 30..600 {
        bench.pass(33);
        run(&mut cutter, &["a"], index..index + 1, every_60, all);
    }
    assert_eq!(cutter.take_events(), [Event::RungFailed { rung: name("b") }]);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    assert_eq!(part_frames(story.of("a")).len(), 10);
}

#[test]
fn the_sources_key_frames_decide_when_it_is_passed_through() {
    let bench = Bench::new();
    let config = CutConfig {
        boundaries: Boundaries::Source { rung: name("source"), min_segment_ms: 1500, max_segment_ms: 5000 },
        ..CutConfig::default()
    };
    let mut cutter = bench.cutter(config, tracks(&["source", "720p"], RATE, Some(48_000)));
    let keys = [0, 60, 75, 131, 180, 270];
    run(&mut cutter, &["720p", "source"], 0..300, |_, index| keys.contains(&index), all);
    assert!(!cutter.take_events().iter().any(|event| matches!(event, Event::UnexpectedKeyFrame { .. })));
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    assert_eq!(story.session.target_duration_s, 5);
    for rung in ["source", "720p"] {
        let frames: Vec<_> =
            story.of(rung).segments.iter().map(|segment| segment.samples().count()).collect();
        assert_eq!(frames, [60, 71, 49, 90, 30]);
    }
}

#[test]
fn a_change_of_the_source_is_a_discontinuity_with_new_sections() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, RATE, Some(48_000)));
    feed(&bench, &mut cutter, &RUNGS, RATE, Some(48_000), 3);
    // Smaller, faster, other sound.
    cutter.restart(CutConfig::default(), tracks(&["720p", "360p"], (60, 1), Some(44_100))).unwrap();
    feed(&bench, &mut cutter, &["720p", "360p"], (60, 1), Some(44_100), 3);
    let stats = cutter.finish(EndReason::Eof).unwrap();
    assert_eq!(stats.discontinuities, 1);
    let story = story::read(&bench);
    story.check(false);
    assert_eq!(story.of("1080p").ended, Some(EndReason::Gone));
    for rendition in ["720p", "360p", "audio"] {
        let segments = &story.of(rendition).segments;
        let seen: Vec<_> =
            segments.iter().map(|segment| (segment.seq, segment.init, segment.discontinuity)).collect();
        assert_eq!(seen, [(0, 0, false), (1, 0, false), (2, 1, true), (3, 1, false)]);
        // Sound was a tenth of a second ahead, and that was written.
        assert!((3_000_000_000..=3_125_000_000).contains(&segments[2].start_ns));
    }
}

#[test]
fn nonsense_is_refused() {
    let bench = Bench::new();
    let refused = |config: CutConfig, tracks| Cutter::new(bench.writer(), config, tracks).unwrap_err();
    let part = |part_ms| CutConfig { part_ms, ..CutConfig::default() };
    assert!(matches!(refused(part(100), tracks(&["a"], RATE, None)), Error::PartTarget(100)));
    assert!(matches!(refused(part(2000), tracks(&["a"], RATE, None)), Error::PartTarget(2000)));
    assert!(matches!(refused(part(333), tracks(&["a"], (0, 1), None)), Error::FrameRate(0, 1)));
    assert!(matches!(refused(part(333), tracks(&[], RATE, None)), Error::NoTracks));
    let mut broken = tracks(&["a"], RATE, None);
    broken.video[0].codec = nodi_transcode::cut::VideoCodec::Avc(bytes::Bytes::from_static(&[1, 2, 3]));
    assert!(matches!(refused(part(333), broken), Error::Codec { .. }));

    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a"], RATE, None));
    cutter.video(&name("a"), picture(0, true)).unwrap();
    assert!(matches!(
        cutter.video(&name("a"), picture(0, true)),
        Err(Error::Order { index: 0, last: 1, .. })
    ));
}
