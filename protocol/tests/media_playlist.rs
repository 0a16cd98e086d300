//! Media playlists as text, and read back by a small parser of RFC 8216bis written only for this.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use nodi_protocol::SessionId;
use nodi_protocol::hls::media::{MAX_BRIDGED, Options, Report, bridge};
use nodi_protocol::hls::{Finished, Media, Part, Segment, render_media};
use proptest::prelude::*;

const START_MS: u64 = 1_763_826_000_000;
const LOW_LATENCY: Options = Options {
    low_latency: Some(nodi_protocol::hls::media::LowLatency { part_hold_back_percent: 300 }),
    delta: false,
};

fn session(n: u64) -> SessionId {
    SessionId::new(START_MS + n, 0)
}

fn parts(count: u64) -> Vec<Part> {
    (0..count)
        .map(|index| Part {
            duration_ns: 333_333_333,
            independent: index == 0,
            offset: index * 100,
            len: 100,
        })
        .collect()
}

fn segment(msn: u64) -> Segment {
    Segment {
        msn,
        session: session(0),
        init: 0,
        discontinuity: false,
        program_date_time_ms: START_MS + msn * 2_000,
        finished: Some(Finished { duration_ns: 2_000_000_000, len: 600 }),
        parts: parts(6),
        gap: false,
    }
}

fn growing(msn: u64, count: u64) -> Segment {
    Segment { finished: None, parts: parts(count), ..segment(msn) }
}

fn media(segments: Vec<Segment>) -> Media {
    Media {
        rendition: "720p".parse().unwrap(),
        target_duration_s: 2,
        part_target_ns: 333_333_333,
        discontinuities_before: 0,
        segments,
        hint: Some(session(0)),
        reports: Vec::new(),
        ended: false,
    }
}

const S0: &str = "01KAP3HR400000000000000000";

#[test]
fn the_session_in_the_texts_is_this_one() {
    assert_eq!(session(0).to_string(), S0);
}

#[test]
fn a_live_window() {
    let mut media = media((0..5).map(segment).chain([growing(5, 2)]).collect());
    media.reports = vec![Report { rendition: "audio".parse().unwrap(), last_msn: 5, last_part: Some(1) }];
    let six_parts = |msn: u64| {
        (0..6)
            .map(|part| {
                let independent = if part == 0 { ",INDEPENDENT=YES" } else { "" };
                format!("#EXT-X-PART:DURATION=0.333333,URI=\"{S0}/720p/{msn}.{part}.m4s\"{independent}\n")
            })
            .collect::<String>()
    };
    let expected = format!(
        "#EXTM3U\n\
         #EXT-X-VERSION:9\n\
         #EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.000000,PART-HOLD-BACK=1.000002,HOLD-BACK=6.000000\n\
         #EXT-X-PART-INF:PART-TARGET=0.333334\n\
         #EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
         #EXT-X-MAP:URI=\"{S0}/720p/init-0.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:00.000Z\n\
         #EXTINF:2.000000,\n\
         {S0}/720p/0.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:02.000Z\n\
         #EXTINF:2.000000,\n\
         {S0}/720p/1.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:04.000Z\n\
         #EXTINF:2.000000,\n\
         {S0}/720p/2.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:06.000Z\n\
         {}\
         #EXTINF:2.000000,\n\
         {S0}/720p/3.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:08.000Z\n\
         {}\
         #EXTINF:2.000000,\n\
         {S0}/720p/4.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:10.000Z\n\
         #EXT-X-PART:DURATION=0.333333,URI=\"{S0}/720p/5.0.m4s\",INDEPENDENT=YES\n\
         #EXT-X-PART:DURATION=0.333333,URI=\"{S0}/720p/5.1.m4s\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{S0}/720p/5.2.m4s\"\n\
         #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=5,LAST-PART=1\n",
        six_parts(3),
        six_parts(4),
    );
    assert_eq!(render_media(&media, &LOW_LATENCY), expected);
}

#[test]
fn plain_hls_has_whole_segments_only() {
    let mut media = media(vec![segment(7), Segment { gap: true, ..segment(8) }, segment(9), growing(10, 3)]);
    media.segments[2].init = 1;
    assert_eq!(
        render_media(&media, &Options::PLAIN),
        format!(
            "#EXTM3U\n\
             #EXT-X-VERSION:8\n\
             #EXT-X-TARGETDURATION:2\n\
             #EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
             #EXT-X-MAP:URI=\"{S0}/720p/init-0.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:14.000Z\n\
             #EXTINF:2.000000,\n\
             {S0}/720p/7.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:16.000Z\n\
             #EXT-X-GAP\n\
             #EXTINF:2.000000,\n\
             {S0}/720p/8.m4s\n\
             #EXT-X-MAP:URI=\"{S0}/720p/init-1.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:18.000Z\n\
             #EXTINF:2.000000,\n\
             {S0}/720p/9.m4s\n"
        )
    );
}

#[test]
fn the_hint_moves_to_the_next_segment_and_is_gone_when_nothing_is_expected() {
    let mut media = media(vec![segment(3)]);
    let text = render_media(&media, &LOW_LATENCY);
    assert!(text.ends_with(&format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{S0}/720p/4.0.m4s\"\n")), "{text}");
    media.hint = None;
    assert!(!render_media(&media, &LOW_LATENCY).contains("PRELOAD-HINT"));
}

#[test]
fn a_growing_segment_that_is_as_long_as_the_one_before_gets_no_more_parts() {
    for (count, expected) in [(5, "4.5"), (6, "5.0")] {
        let text = render_media(&media(vec![segment(3), growing(4, count)]), &LOW_LATENCY);
        assert!(text.ends_with(&format!("URI=\"{S0}/720p/{expected}.m4s\"\n")), "{count} parts: {text}");
    }
    let text = render_media(&media(vec![growing(0, 6)]), &LOW_LATENCY);
    assert!(text.contains("/1.0.m4s"), "the first one is as long as the target: {text}");
}

#[test]
fn a_short_last_part_is_listed_together_with_its_segment() {
    let mut last = growing(4, 6);
    last.parts[5].duration_ns = 280_000_000;
    let withheld = |last: Segment| {
        let mut media = media(vec![segment(3), last]);
        media.withhold_short_part();
        render_media(&media, &LOW_LATENCY)
    };
    let text = withheld(last.clone());
    assert!(text.ends_with(&format!("HINT:TYPE=PART,URI=\"{S0}/720p/4.5.m4s\"\n")), "{text}");
    last.finished = Some(Finished { duration_ns: 1_946_666_667, len: 600 });
    let text = withheld(last.clone());
    assert!(text.contains("DURATION=0.280000") && text.contains("/5.0.m4s"), "{text}");
    let text = withheld(growing(4, 5));
    assert!(
        text.contains("#EXT-X-PART:DURATION=0.333333,URI=\"01KAP3HR400000000000000000/720p/4.4.m4s"),
        "{text}"
    );
}

#[test]
fn a_segment_that_a_crash_cut_short_is_no_measure() {
    let short = Segment { finished: Some(Finished { duration_ns: 300_000_000, len: 60 }), ..segment(4) };
    let text = render_media(&media(vec![segment(3), short.clone(), growing(5, 2)]), &LOW_LATENCY);
    assert!(text.contains("/5.2.m4s"), "{text}");
    let text = render_media(&media(vec![short, growing(5, 2)]), &LOW_LATENCY);
    assert!(text.contains("/5.2.m4s"), "{text}");
}

#[test]
fn the_announced_part_counts_as_an_entry_with_parts() {
    let text = render_media(&media((0..5).map(segment).collect()), &LOW_LATENCY);
    assert!(text.contains("/3.0.m4s") && !text.contains("/2.0.m4s"), "{text}");
}

#[test]
fn a_new_session_is_a_discontinuity_with_a_map_of_its_own() {
    let second = Segment { session: session(1), discontinuity: true, ..segment(2) };
    let text = render_media(&media(vec![segment(1), second.clone()]), &LOW_LATENCY);
    assert!(text.contains(&format!(
        "1.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"{}/720p/init-0.mp4\"\n",
        session(1)
    )));
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "{text}");

    // Its sequence stays when it becomes the first segment.
    let text = render_media(&media(vec![second]), &LOW_LATENCY);
    assert!(
        text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n") && !text.contains("DISCONTINUITY\n"),
        "{text}"
    );
}

#[test]
fn a_delta_skips_what_is_older_than_the_boundary_and_nothing_else() {
    let media = media((10..40).map(segment).chain([growing(40, 1)]).collect());
    let full = render_media(&media, &LOW_LATENCY);
    let delta = render_media(&media, &LOW_LATENCY.delta());
    // The end is 0.33 s into segment 40: segments up to 33 end 12 s or more before it.
    assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=24\n"), "{delta}");
    assert!(delta.contains("#EXT-X-MEDIA-SEQUENCE:10\n"), "{delta}");
    let tail = delta.split_once("init-0.mp4\"\n").unwrap().1;
    assert!(full.ends_with(tail), "{tail}");
    assert_eq!(parse(&full).segments[24..], parse(&delta).segments);

    let short = self::media((0..5).map(segment).collect());
    assert_eq!(render_media(&short, &LOW_LATENCY.delta()), render_media(&short, &LOW_LATENCY));
}

#[test]
fn an_ended_playlist_says_so_and_expects_nothing() {
    let mut media = media(vec![segment(0)]);
    media.ended = true;
    let text = render_media(&media, &LOW_LATENCY);
    assert!(text.ends_with("0.m4s\n#EXT-X-ENDLIST\n") && !text.contains("HINT"), "{text}");
}

#[test]
fn hold_back_never_goes_below_two_parts() {
    let text = render_media(&media(vec![segment(0)]), &Options::low_latency(50));
    assert!(text.contains("PART-HOLD-BACK=0.666668,"), "{text}");
}

#[test]
fn a_segment_longer_than_promised_raises_the_target() {
    let mut long = segment(0);
    long.finished = Some(Finished { duration_ns: 2_500_000_000, len: 1 });
    assert!(render_media(&media(vec![long]), &LOW_LATENCY).contains("#EXT-X-TARGETDURATION:3\n"));
}

#[test]
fn missing_numbers_become_gaps_as_long_as_the_wall_clock_says() {
    let bridged = bridge(vec![segment(0), segment(3)], 2);
    assert_eq!(
        bridged.iter().map(|segment| (segment.msn, segment.gap)).collect::<Vec<_>>(),
        [(0, false), (1, true), (2, true), (3, false)]
    );
    assert_eq!(bridged[1].duration_ns(), 2_000_000_000);
    assert_eq!(bridged[2].program_date_time_ms, segment(2).program_date_time_ms);
    let long = bridge(vec![segment(0), segment(MAX_BRIDGED + 2)], 2);
    assert_eq!(long.len(), 1, "a long hole drops what lies before it");
}

/// What a player makes of a media playlist.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    target_s: u64,
    part_target: f64,
    media_sequence: u64,
    skipped: u64,
    segments: Vec<ParsedSegment>,
    hint: Option<String>,
}

#[derive(Debug, Default, PartialEq, Clone)]
struct ParsedSegment {
    msn: u64,
    discontinuity_sequence: u64,
    map: String,
    duration: Option<f64>,
    uri: String,
    parts: Vec<(f64, String, bool)>,
    gap: bool,
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = [":", ","].iter().find_map(|before| line.find(&format!("{before}{name}=")))? + name.len() + 2;
    let rest = &line[start..];
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(',').next(),
    }
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let (mut next, mut map, mut sequence) = (ParsedSegment::default(), String::new(), 0);
    assert!(text.starts_with("#EXTM3U\n") && text.ends_with('\n'));
    for line in text.lines() {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-TARGETDURATION" => parsed.target_s = value.parse().unwrap(),
            "#EXT-X-PART-INF" => {
                parsed.part_target = attribute(line, "PART-TARGET").unwrap().parse().unwrap()
            }
            "#EXT-X-MEDIA-SEQUENCE" => parsed.media_sequence = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => sequence = value.parse().unwrap(),
            "#EXT-X-SKIP" => parsed.skipped = attribute(line, "SKIPPED-SEGMENTS").unwrap().parse().unwrap(),
            "#EXT-X-DISCONTINUITY" => sequence += 1,
            "#EXT-X-MAP" => map = attribute(line, "URI").unwrap().to_owned(),
            "#EXT-X-GAP" => next.gap = true,
            "#EXT-X-PART" => next.parts.push((
                attribute(line, "DURATION").unwrap().parse().unwrap(),
                attribute(line, "URI").unwrap().to_owned(),
                attribute(line, "INDEPENDENT") == Some("YES"),
            )),
            "#EXTINF" => next.duration = Some(value.trim_end_matches(',').parse().unwrap()),
            "#EXT-X-PRELOAD-HINT" => parsed.hint = attribute(line, "URI").map(str::to_owned),
            _ if line.starts_with('#') => {}
            _ => {
                next.uri = line.to_owned();
                finish(&mut parsed, &mut next, &map, sequence);
            }
        }
    }
    if !next.parts.is_empty() {
        finish(&mut parsed, &mut next, &map, sequence);
    }
    parsed
}

fn finish(parsed: &mut Parsed, next: &mut ParsedSegment, map: &str, sequence: u64) {
    next.msn = parsed.media_sequence + parsed.skipped + parsed.segments.len() as u64;
    next.map = map.to_owned();
    next.discontinuity_sequence = sequence;
    parsed.segments.push(std::mem::take(next));
}

prop_compose! {
    fn any_segments()(
        base in 0..1_000_000_u64,
        shapes in prop::collection::vec((1..9_u64, any::<bool>(), any::<bool>(), 1..333_333_334_u64, 0..3_u32), 1..40),
        open in any::<bool>(),
    ) -> Vec<Segment> {
        let last = shapes.len() - 1;
        shapes.into_iter().enumerate().map(|(index, (count, discontinuity, gap, duration_ns, init))| {
            let parts: Vec<_> = (0..count)
                .map(|part| Part { duration_ns, independent: part == 0, offset: part * 10, len: 10 })
                .collect();
            let is_open = open && index == last;
            Segment {
                finished: (!is_open).then_some(Finished { duration_ns: count * duration_ns, len: count * 10 }),
                discontinuity,
                gap: gap && !is_open,
                init,
                parts,
                ..segment(base + index as u64)
            }
        }).collect()
    }
}

proptest! {
    #[test]
    fn what_is_rendered_reads_back(segments in any_segments(), before in 0..50_u64) {
        let media = Media { discontinuities_before: before, ..media(segments) };
        let parsed = parse(&render_media(&media, &LOW_LATENCY));
        prop_assert_eq!(parsed.segments.len(), media.segments.len());
        let mut discontinuities = before;
        for (read, written) in parsed.segments.iter().zip(&media.segments) {
            discontinuities += u64::from(written.discontinuity);
            prop_assert_eq!(read.msn, written.msn);
            prop_assert_eq!(read.discontinuity_sequence, discontinuities);
            prop_assert_eq!(read.gap, written.gap);
            prop_assert_eq!(read.duration.is_some(), written.finished.is_some());
            if !written.gap {
                prop_assert_eq!(&read.map, &format!("{}/720p/init-{}.mp4", written.session, written.init));
            }
            if let Some(duration) = read.duration {
                prop_assert!(duration.round() <= parsed.target_s as f64);
            }
            for (duration, _, _) in &read.parts {
                prop_assert!(*duration <= parsed.part_target);
            }
        }

        // A player that has the full text and applies the delta has the same segments.
        let delta = parse(&render_media(&media, &LOW_LATENCY.delta()));
        let skipped = usize::try_from(delta.skipped).unwrap();
        let shown = delta.segments.iter().zip(&parsed.segments[skipped..]);
        for (left, right) in shown {
            prop_assert_eq!(left.msn, right.msn);
            prop_assert_eq!(&left.uri, &right.uri);
            prop_assert_eq!(&left.parts, &right.parts);
        }
        prop_assert_eq!(delta.segments.len() + skipped, parsed.segments.len());
    }
}
