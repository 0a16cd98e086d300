//! The sound: what publishers do to it, and that it stays with the pictures.

use nodi_spool::EndReason;
use nodi_transcode::cut::{AudioFrame, CutConfig, Cutter, Event, Stats};

use super::bench::{Bench, name, picture, sound, sound_number, tracks};
use super::story::{self, Story};

const RATE: (u32, u32) = (30, 1);
const SECOND_NS: i64 = 1_000_000_000;

/// Pictures for `seconds`, and the sounds that `sounds` makes, each as early as `ahead_ns` before its time.
fn run(seconds: u64, sample_rate: u32, ahead_ns: i64, sounds: &[AudioFrame]) -> (Story, Stats, Vec<Event>) {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a"], RATE, Some(sample_rate)));
    let mut events = Vec::new();
    let mut sounds = sounds.iter().peekable();
    for index in 0..seconds * 30 {
        bench.pass(33);
        while let Some(sound) =
            sounds.next_if(|sound| sound.pts_ns - ahead_ns <= index as i64 * SECOND_NS / 30)
        {
            cutter.audio(sound.clone()).unwrap();
        }
        cutter.video(&name("a"), picture(index, index.is_multiple_of(60))).unwrap();
        events.extend(cutter.take_events());
    }
    for sound in sounds {
        cutter.audio(sound.clone()).unwrap();
    }
    let stats = cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(true);
    (story, stats, events)
}

fn numbers(story: &Story) -> Vec<Option<u64>> {
    story.of("audio").samples().map(|sample| sound_number(&sample.data)).collect()
}

/// How far a sound is from where its own time says, in ms.
fn worst_shift_ms(story: &Story, sample_rate: u64, start_ns: i64) -> i64 {
    let ms = |sample: &story::Sample, number: u64| {
        let heard = sample.start as i64 * 1000 / sample_rate as i64;
        heard - (number * 1024 * 1000 / sample_rate) as i64 - start_ns / 1_000_000
    };
    story
        .of("audio")
        .samples()
        .filter_map(|sample| sound_number(&sample.data).map(|number| ms(sample, number).abs()))
        .max()
        .unwrap()
}

#[test]
fn jitter_of_whole_milliseconds_moves_nothing() {
    for sample_rate in [44_100, 48_000] {
        let mut sounds: Vec<_> = (0..280).map(|number| sound(number, sample_rate, 0)).collect();
        for (position, sound) in sounds.iter_mut().enumerate() {
            sound.pts_ns += [0, 7, -9, 20, -15][position % 5] * 1_000_000;
        }
        let (story, stats, events) = run(6, sample_rate, 0, &sounds);
        assert_eq!(events, []);
        assert_eq!((stats.audio.filled, stats.audio.dropped, stats.audio.resyncs), (0, 0, 0));
        let numbers: Vec<_> = numbers(&story).into_iter().map(Option::unwrap).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
    }
}

#[test]
fn one_odd_timestamp_moves_nothing() {
    let mut sounds: Vec<_> = (0..280).map(|number| sound(number, 48_000, 0)).collect();
    sounds[50].pts_ns += 300_000_000;
    sounds[90].pts_ns -= 300_000_000;
    let (story, stats, _) = run(6, 48_000, SECOND_NS, &sounds);
    assert_eq!((stats.audio.filled, stats.audio.dropped), (0, 0));
    assert_eq!(numbers(&story)[88..93], [Some(88), Some(89), Some(90), Some(91), Some(92)]);
}

#[test]
fn a_gap_becomes_silence_of_its_length() {
    let sounds: Vec<_> = (0..280)
        .filter(|number| !(100..130).contains(number))
        .map(|number| sound(number, 48_000, 0))
        .collect();
    let (story, stats, events) = run(6, 48_000, 0, &sounds);
    assert_eq!((stats.audio.filled, stats.audio.resyncs, stats.audio.dropped), (30, 1, 0));
    assert!(events.iter().any(|event| matches!(event, Event::AudioFilled { .. })));
    let numbers = numbers(&story);
    assert_eq!(numbers[98..102], [Some(98), Some(99), None, None]);
    assert_eq!(numbers[128..132], [None, None, Some(130), Some(131)]);
    assert!(worst_shift_ms(&story, 48_000, 0) <= 1);
}

#[test]
fn what_comes_twice_is_heard_once() {
    let sounds: Vec<_> = (0..150).chain(120..280).map(|number| sound(number, 48_000, 0)).collect();
    let (story, stats, events) = run(6, 48_000, 0, &sounds);
    assert_eq!((stats.audio.filled, stats.audio.dropped), (0, 30));
    assert!(events.iter().any(|event| matches!(event, Event::AudioDropped { .. })));
    let numbers: Vec<_> = numbers(&story).into_iter().map(Option::unwrap).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
}

#[test]
fn sound_that_starts_with_the_pictures_or_before_or_after() {
    for start_ms in [-3000, -40, 0, 10, 1500, 3500] {
        let start_ns = start_ms * 1_000_000;
        let sounds: Vec<_> = (0..500).map(|number| sound(number, 44_100, start_ns)).collect();
        let (story, _, _) = run(8, 44_100, 0, &sounds);
        assert!(worst_shift_ms(&story, 44_100, start_ns) <= 12, "{start_ms}");
        let segments = &story.of("audio").segments;
        assert_eq!(segments.len(), 4, "{start_ms}");
        assert!(segments[0].start_ns < 24_000_000, "{start_ms}");
        let silent = numbers(&story).iter().filter(|number| number.is_none()).count() as i64;
        assert!((silent * 23 - start_ms.max(0)).abs() <= 50, "{start_ms}: {silent}");
    }
}

#[test]
fn sound_that_comes_late_but_comes_is_waited_for() {
    // Two seconds behind the pictures all the time, in time of arrival.
    let sounds: Vec<_> = (0..280).map(|number| sound(number, 48_000, 0)).collect();
    let (story, stats, _) = run(6, 48_000, -2 * SECOND_NS, &sounds);
    assert!(worst_shift_ms(&story, 48_000, 0) <= 1);
    // It is silence for as long as nobody knows that any will come.
    assert!(stats.audio.filled <= 94, "{:?}", stats.audio);
}

#[test]
fn sound_that_stops_for_good_does_not_stop_the_pictures() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a"], RATE, Some(48_000)));
    for number in 0..100 {
        cutter.audio(sound(number, 48_000, 0)).unwrap();
    }
    for index in 0..300 {
        bench.pass(33);
        cutter.video(&name("a"), picture(index, index.is_multiple_of(60))).unwrap();
    }
    let story = story::read(&bench);
    // All but the newest second is there already.
    assert_eq!(story.of("audio").segments.len(), 5);
    assert!(story.of("audio").segments[3].duration_ns.is_some());
    assert_eq!(story.of("a").segments.len(), 5);
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(true);
    assert_eq!(numbers(&story).iter().filter(|number| number.is_some()).count(), 100);
    assert!((460..=469).contains(&numbers(&story).len()));
}

#[test]
fn sound_that_returns_is_heard_again() {
    let sounds: Vec<_> = (0..600)
        .filter(|number| !(100..400).contains(number))
        .map(|number| sound(number, 48_000, 0))
        .collect();
    let (story, _, _) = run(12, 48_000, 0, &sounds);
    assert!(worst_shift_ms(&story, 48_000, 0) <= 11);
    let numbers = numbers(&story);
    assert!(numbers.contains(&Some(99)) && numbers.contains(&Some(405)));
}

#[test]
fn sound_alone() {
    for sample_rate in [44_100, 48_000] {
        let bench = Bench::new();
        let mut cutter = bench.cutter(CutConfig::default(), tracks(&[], (0, 1), Some(sample_rate)));
        for number in 0..400 {
            cutter.audio(sound(number, sample_rate, 5 * SECOND_NS)).unwrap();
        }
        assert!(cutter.stats().media_ns > 8 * SECOND_NS as u64);
        cutter.finish(EndReason::Eof).unwrap();
        let story = story::read(&bench);
        story.check(true);
        let audio = story.of("audio");
        assert_eq!(audio.samples().count(), 400);
        for segment in &audio.segments {
            assert!(segment.start_ns.abs_diff(segment.seq * 2_000_000_000) <= 12_000_000);
        }
        assert_eq!(story.session.target_duration_s, 2);
    }
}

#[test]
fn when_pictures_stand_still_sound_goes_on_alone() {
    let bench = Bench::new();
    let mut cutter = bench.cutter(CutConfig::default(), tracks(&["a", "b"], RATE, Some(48_000)));
    let mut sounds = 0;
    let mut both = |cutter: &mut Cutter, until_ms: u64| {
        while sounds * 64 / 3 < until_ms {
            bench.pass(21);
            cutter.audio(sound(sounds, 48_000, 0)).unwrap();
            sounds += 1;
        }
    };
    for index in 0..100 {
        both(&mut cutter, index * 100 / 3);
        for rung in ["a", "b"] {
            cutter.video(&name(rung), picture(index, index.is_multiple_of(60))).unwrap();
        }
    }
    both(&mut cutter, 20_000);
    let failed = cutter.take_events();
    assert!(failed.contains(&Event::RungFailed { rung: name("a") }), "{failed:?}");
    cutter.finish(EndReason::Eof).unwrap();
    let story = story::read(&bench);
    story.check(false);
    assert_eq!(story.of("a").ended, Some(EndReason::Gone));
    assert!(story.of("audio").segments.len() >= 9);
    assert!(numbers(&story).iter().all(Option::is_some));
}
