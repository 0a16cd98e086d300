//! What another box, or an earlier life of this one, left in a store: where its playlists end.

/// Largest playlist that is read: a day of 2 s segments listed whole has about 6 MB.
pub(super) const MAX_PLAYLIST: u64 = 16 << 20;

/// The end of a media playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct End {
    /// The first number that it has not used.
    pub next_msn: u64,
    /// Discontinuities in it and before it.
    pub discontinuities: u64,
}

/// Reads as much of a playlist as the next one has to continue. Anything that is no playlist ends at 0.
#[must_use]
pub(super) fn parse(text: &str) -> End {
    let (mut first, mut segments, mut before, mut inside) = (0_u64, 0_u64, 0_u64, 0_u64);
    for line in text.lines() {
        let number = |tag: &str| line.strip_prefix(tag).and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(number) = number("#EXT-X-MEDIA-SEQUENCE:") {
            first = number;
        } else if let Some(number) = number("#EXT-X-DISCONTINUITY-SEQUENCE:") {
            before = number;
        } else if line.starts_with("#EXTINF:") {
            segments += 1;
        } else if line.trim() == "#EXT-X-DISCONTINUITY" {
            inside += 1;
        }
    }
    End { next_msn: first.saturating_add(segments), discontinuities: before.saturating_add(inside) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_playlist() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:40\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXTINF:2.0,\na\n\
                    #EXT-X-DISCONTINUITY\n#EXTINF:2.0,\nb\n";
        assert_eq!(parse(text), End { next_msn: 42, discontinuities: 3 });
        assert_eq!(parse("<html>"), End::default());
        assert_eq!(parse("#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1,\n").next_msn, u64::MAX);
    }
}
