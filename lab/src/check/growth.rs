//! Two versions of one playlist: what may change between them and what may not (RFC 8216bis 6.2.1).

use super::playlist::{Media, Segment};

/// Durations of a segment's parts may differ from EXTINF by rounding alone.
const ROUNDING_S: f64 = 0.002;

/// What is wrong with `new` as a successor of `old`.
#[must_use]
pub(super) fn compare(old: &Media, new: &Media) -> Vec<String> {
    let mut wrong = Vec::new();
    if old.ended && (!new.ended || old.segments != new.segments) {
        wrong.push("the playlist changed after EXT-X-ENDLIST".to_owned());
    }
    if new.target_duration_s != old.target_duration_s {
        let (old, new) = (old.target_duration_s, new.target_duration_s);
        wrong.push(format!("EXT-X-TARGETDURATION changed from {old} to {new}"));
    }
    if new.part_target != old.part_target {
        wrong.push(format!("PART-TARGET changed from {:?} to {:?}", old.part_target, new.part_target));
    }
    if new.media_sequence < old.media_sequence {
        let (old, new) = (old.media_sequence, new.media_sequence);
        wrong.push(format!("EXT-X-MEDIA-SEQUENCE went back from {old} to {new}"));
    }
    if new.next() < old.next() && !new.segments.is_empty() {
        wrong.push(format!("the end went back from {:?} to {:?}", old.next(), new.next()));
    }
    let mut later = new.segments.iter().peekable();
    for segment in &old.segments {
        while later.peek().is_some_and(|new| new.msn < segment.msn) {
            later.next();
        }
        if let Some(new) = later.peek().filter(|new| new.msn == segment.msn) {
            compare_segments(segment, new, &mut wrong);
        }
    }
    wrong
}

fn compare_segments(old: &Segment, new: &Segment, wrong: &mut Vec<String>) {
    let msn = old.msn;
    let mut changed = |what: &str, old: String, new: String| {
        wrong.push(format!("segment {msn}: {what} changed from {old} to {new}"));
    };
    // An outage leaves gaps, which are filled behind live: for players a gap that closes is harmless.
    let was_gap = old.gap;
    if old.is_complete() && !was_gap && (old.uri != new.uri || old.duration != new.duration) {
        changed(
            "URI or duration",
            format!("{:?} {:?}", old.uri, old.duration),
            format!("{:?} {:?}", new.uri, new.duration),
        );
    }
    if old.discontinuity != new.discontinuity {
        changed("discontinuity sequence", old.discontinuity.to_string(), new.discontinuity.to_string());
    }
    if !was_gap && old.program_date_time_ms != new.program_date_time_ms {
        changed(
            "EXT-X-PROGRAM-DATE-TIME",
            format!("{:?}", old.program_date_time_ms),
            format!("{:?}", new.program_date_time_ms),
        );
    }
    if old.map.is_some() && new.map.is_some() && old.map != new.map {
        changed("EXT-X-MAP", format!("{:?}", old.map), format!("{:?}", new.map));
    }
    if old.is_complete() && new.gap && !was_gap {
        changed("EXT-X-GAP", old.gap.to_string(), new.gap.to_string());
    }
    if was_gap || new.gap {
        return;
    }
    // Parts of an older segment may be taken off, all of them or none (6.2.2).
    let dropped = new.parts.is_empty() && new.is_complete();
    if !dropped && !new.parts.starts_with(&old.parts) {
        changed(
            "the list of parts",
            format!("{} parts", old.parts.len()),
            format!("{} parts", new.parts.len()),
        );
    }
    if let (false, Some(duration), false) = (old.is_complete(), new.duration, new.parts.is_empty()) {
        let sum: f64 = new.parts.iter().map(|part| part.duration).sum();
        if (sum - duration).abs() > ROUNDING_S {
            wrong.push(format!("segment {msn}: EXTINF is {duration}, its parts last {sum}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::playlist::parse_media;
    use super::*;

    fn media(first: u64, lines: &str) -> Media {
        parse_media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{lines}"))
            .unwrap()
    }

    #[test]
    fn growing_and_sliding_is_right() {
        let old = media(1, "#EXTINF:2,\n1.m4s\n#EXT-X-PART:DURATION=1,URI=\"2.0\"\n");
        let grown = media(
            1,
            "#EXTINF:2,\n1.m4s\n#EXT-X-PART:DURATION=1,URI=\"2.0\"\n#EXT-X-PART:DURATION=1,URI=\"2.1\"\n#EXTINF:2,\n2.m4s\n",
        );
        assert_eq!(compare(&old, &grown), Vec::<String>::new());
        assert_eq!(
            compare(&grown, &media(2, "#EXTINF:2,\n2.m4s\n#EXTINF:2,\n3.m4s\n")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn everything_else_is_wrong() {
        let old = media(5, "#EXTINF:2,\n5.m4s\n#EXT-X-PART:DURATION=1,URI=\"6.0\"\n");
        for (new, reason) in [
            (media(4, "#EXTINF:2,\n4.m4s\n#EXTINF:2,\n5.m4s\n#EXTINF:2,\n6.m4s\n"), "MEDIA-SEQUENCE"),
            (media(5, "#EXTINF:2,\n5.m4s\n"), "end went back"),
            (media(5, "#EXTINF:1,\n5.m4s\n#EXTINF:2,\n6.m4s\n"), "duration"),
            (media(5, "#EXTINF:2,\n5.m4s\n#EXT-X-PART:DURATION=1,URI=\"x\"\n"), "list of parts"),
            (media(5, "#EXTINF:2,\n5.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\n6.m4s\n"), "discontinuity"),
            (
                media(5, "#EXTINF:2,\n5.m4s\n#EXT-X-PART:DURATION=1,URI=\"6.0\"\n#EXTINF:2,\n6.m4s\n"),
                "parts last",
            ),
        ] {
            let wrong = compare(&old, &new).join("; ");
            assert!(wrong.contains(reason), "{reason}: {wrong}");
        }
    }
}
