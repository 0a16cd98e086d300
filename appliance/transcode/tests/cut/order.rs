//! Renditions come from different threads: the order in which their frames come in must not show.

use nodi_spool::EndReason;
use nodi_transcode::cut::CutConfig;
use proptest::prelude::*;

use super::bench::{Bench, SESSION_MS, name, picture, sound, sounds_in, tracks};
use super::story;

const RUNGS: [&str; 3] = ["1080p", "720p", "360p"];
const SECONDS: u64 = 5;

/// Feeds all that `SECONDS` have in the order that `choices` say, with no track more than `skew` frames ahead.
fn cut(choices: &[u8], skew: u64, sample_rate: u32) -> Vec<(String, Vec<u8>)> {
    let bench = Bench::new();
    let rate = (30, 1);
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, rate, Some(sample_rate)));
    cutter.arrived(0, SESSION_MS * 1_000_000);
    let sounds = sounds_in(SECONDS, sample_rate);
    let mut done = [0_u64; 4];
    let ends = [SECONDS * 30, SECONDS * 30, SECONDS * 30, sounds];
    let mut choices = choices.iter().cycle();
    while done != ends {
        // In thirtieths of a second.
        let at = |track: usize| {
            if track == 3 { done[3] * 1024 * 30 / u64::from(sample_rate) } else { done[track] }
        };
        let slowest = (0..4).filter(|track| done[*track] < ends[*track]).map(at).min().unwrap();
        let allowed: Vec<_> =
            (0..4).filter(|track| done[*track] < ends[*track] && at(*track) <= slowest + skew).collect();
        let track = allowed[usize::from(*choices.next().unwrap()) % allowed.len()];
        let index = done[track];
        match RUNGS.get(track) {
            Some(rung) => cutter.video(&name(rung), picture(index, index.is_multiple_of(60))).unwrap(),
            None => cutter.audio(sound(index, sample_rate, 0)).unwrap(),
        }
        done[track] += 1;
    }
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(true);
    let mut files = Vec::new();
    for rendition in RUNGS.iter().chain(&["audio"]) {
        for item in std::fs::read_dir(bench.dir().join(rendition)).unwrap() {
            let item = item.unwrap();
            let path = format!("{rendition}/{}", item.file_name().into_string().unwrap());
            files.push((path, std::fs::read(item.path()).unwrap()));
        }
    }
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_gives_the_same_bytes(
        choices in prop::collection::vec(any::<u8>(), 1..200),
        skew in 0u64..60,
        cd in any::<bool>(),
    ) {
        let sample_rate = if cd { 44_100 } else { 48_000 };
        let in_step = cut(&[0], 0, sample_rate);
        let shuffled = cut(&choices, skew, sample_rate);
        for (expected, found) in in_step.iter().zip(&shuffled) {
            prop_assert_eq!(&expected.0, &found.0);
            prop_assert!(expected.1 == found.1, "{} differs", expected.0);
        }
        prop_assert_eq!(in_step.len(), shuffled.len());
    }
}

/// One thing that happens to a session.
#[derive(Debug, Clone)]
enum Step {
    /// A rung's next frame, so many frames after the one before.
    Picture {
        rung: usize,
        skip: u64,
        keyframe: Option<bool>,
        half_rate: bool,
    },
    /// The next sound, moved by milliseconds.
    Sound {
        jump_ms: i64,
    },
    Pass {
        ms: u64,
    },
    Gone {
        rung: usize,
    },
    Restart {
        rungs: usize,
        sound: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keyframe = prop_oneof![20 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let skip = prop_oneof![30 => Just(0_u64), 1 => 1u64..40];
    let jump = prop_oneof![40 => -5i64..5, 1 => -3000i64..3000, 1 => -400_000i64..400_000];
    let picture = (0usize..3, skip, keyframe, prop::bool::weighted(0.05))
        .prop_map(|(rung, skip, keyframe, half_rate)| Step::Picture { rung, skip, keyframe, half_rate });
    let step = prop_oneof![
        300 => picture,
        140 => jump.prop_map(|jump_ms| Step::Sound { jump_ms }),
        60 => (0u64..200).prop_map(|ms| Step::Pass { ms }),
        1 => (0usize..3).prop_map(|rung| Step::Gone { rung }),
        1 => (0usize..=3, any::<bool>()).prop_map(|(rungs, sound)| Step::Restart { rungs, sound: sound || rungs == 0 }),
    ];
    prop::collection::vec(step, 0..1500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_the_rules_hold(steps in steps()) {
        let bench = Bench::new();
        let rate = (30, 1);
        let mut cutter = bench.cutter(CutConfig::default(), tracks(&RUNGS, rate, Some(48_000)));
        let mut next = [0_u64; 3];
        let (mut sounds, mut shift_ns) = (0, 0);
        let mut active = 3;
        for step in steps {
            match step {
                Step::Picture { rung, skip, keyframe, half_rate } => {
                    let index = next[rung] + skip;
                    let mut frame = picture(index, keyframe.unwrap_or(index.is_multiple_of(60)));
                    frame.duration = 1 + u32::from(half_rate);
                    next[rung] = index + u64::from(frame.duration);
                    let result = cutter.video(&name(RUNGS[rung]), frame);
                    prop_assert!(result.is_ok() || rung >= active, "{result:?}");
                }
                Step::Sound { jump_ms } => {
                    shift_ns += jump_ms * 1_000_000;
                    cutter.audio(sound(sounds, 48_000, shift_ns)).unwrap();
                    sounds += 1;
                }
                Step::Pass { ms } => bench.pass(ms),
                Step::Gone { rung } => {
                    let _ = cutter.rung_gone(&name(RUNGS[rung]), EndReason::Overload);
                }
                Step::Restart { rungs, sound } => {
                    active = rungs;
                    next = [0; 3];
                    (sounds, shift_ns) = (0, 0);
                    let tracks = tracks(&RUNGS[..rungs], rate, sound.then_some(48_000));
                    cutter.restart(CutConfig::default(), tracks).unwrap();
                }
            }
        }
        let stats = cutter.finish(EndReason::Eof).unwrap();
        let story = story::read(&bench);
        story.check(false);
        for rendition in story.renditions.values() {
            prop_assert!(rendition.ended.is_some());
            prop_assert!(rendition.segments.len() as u64 <= stats.segments);
        }
    }
}
