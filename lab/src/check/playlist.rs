//! A reader of playlists that shares no code with what writes them: a misunderstanding of
//! RFC 8216bis would otherwise agree with itself. Only what the checker looks at; other tags are skipped.

use std::collections::BTreeMap;

/// Why a text is not a playlist that a player would accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Error {
    pub line: usize,
    pub reason: String,
}

/// What a player can choose from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Multivariant {
    pub variants: Vec<Variant>,
    pub audio: Vec<AudioRendition>,
    pub independent_segments: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    pub uri: String,
    pub bandwidth: u64,
    pub average_bandwidth: Option<u64>,
    pub codecs: Vec<String>,
    pub resolution: Option<(u32, u32)>,
    pub frame_rate: Option<f64>,
    pub audio: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AudioRendition {
    pub group: String,
    pub name: String,
    pub uri: Option<String>,
}

/// One media playlist, or a delta update of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Media {
    pub version: u32,
    pub target_duration_s: u64,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    pub server_control: ServerControl,
    /// PART-TARGET in seconds.
    pub part_target: Option<f64>,
    /// EXT-X-SKIP: how many segments are left out after `media_sequence`.
    pub skipped: u64,
    /// In order; the last one may be growing.
    pub segments: Vec<Segment>,
    /// URI of the announced part.
    pub preload_hint: Option<String>,
    pub reports: Vec<Report>,
    pub ended: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerControl {
    pub can_block_reload: bool,
    pub can_skip_until: Option<f64>,
    pub hold_back: Option<f64>,
    pub part_hold_back: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segment {
    pub msn: u64,
    /// Discontinuities from the channel's beginning up to this segment, its own tag included.
    pub discontinuity: u64,
    /// Both `None` while it grows.
    pub uri: Option<String>,
    pub duration: Option<f64>,
    pub parts: Vec<Part>,
    pub map: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub program_date_time_ms: Option<i64>,
    pub gap: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub uri: String,
    pub duration: f64,
    pub independent: bool,
    pub gap: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub uri: String,
    pub last_msn: u64,
    pub last_part: Option<u64>,
}

/// Position of a part in a channel: media sequence number and part number.
pub type Position = (u64, u64);

impl Segment {
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.uri.is_some()
    }
}

impl Media {
    /// What a player asks for next: the part after the last one.
    #[must_use]
    pub fn next(&self) -> Position {
        match self.segments.last() {
            None => (self.media_sequence + self.skipped, 0),
            Some(last) if last.is_complete() => (last.msn + 1, 0),
            Some(last) => (last.msn, last.parts.len() as u64),
        }
    }

    /// Fills in what a delta update left out from the playlist that was known before.
    ///
    /// # Errors
    /// When `known` does not have all that was skipped, or a full playlist is at hand already.
    pub fn expand(mut self, known: &Self) -> Result<Self, String> {
        if self.skipped == 0 {
            return Ok(self);
        }
        let first = self.media_sequence;
        let end = first + self.skipped;
        let old: Vec<Segment> =
            known.segments.iter().filter(|segment| (first..end).contains(&segment.msn)).cloned().collect();
        if old.len() as u64 != self.skipped {
            return Err(format!(
                "the delta update skips {} segments from {first} on, of which the client knows {}",
                self.skipped,
                old.len()
            ));
        }
        if let Some(last) = old.iter().rev().find(|segment| !segment.is_complete()) {
            return Err(format!("the delta update skips segment {}, which the client saw growing", last.msn));
        }
        // The tags count on from the last segment that was skipped.
        let counted = old.last().map_or(self.discontinuity_sequence, |last| last.discontinuity);
        for segment in &mut self.segments {
            segment.discontinuity = segment.discontinuity - self.discontinuity_sequence + counted;
        }
        self.segments.splice(0..0, old);
        self.skipped = 0;
        Ok(self)
    }
}

/// Reads a multivariant playlist.
///
/// # Errors
/// Names the line.
pub fn parse_multivariant(text: &str) -> Result<Multivariant, Error> {
    let mut playlist = Multivariant::default();
    let mut pending = None;
    for (line, text) in lines(text)? {
        let fail = |reason: String| Error { line, reason };
        if let Some(attributes) = text.strip_prefix("#EXT-X-STREAM-INF:") {
            pending = Some(attributes_of(attributes).map_err(fail)?);
        } else if let Some(attributes) = text.strip_prefix("#EXT-X-MEDIA:") {
            let attributes = attributes_of(attributes).map_err(fail)?;
            if attributes.raw("TYPE").map_err(fail)? == "AUDIO" {
                playlist.audio.push(AudioRendition {
                    group: attributes.quoted("GROUP-ID").map_err(fail)?,
                    name: attributes.quoted("NAME").map_err(fail)?,
                    uri: attributes.quoted("URI").ok(),
                });
            }
        } else if text == "#EXT-X-INDEPENDENT-SEGMENTS" {
            playlist.independent_segments = true;
        } else if !text.starts_with('#') {
            let attributes =
                pending.take().ok_or_else(|| fail("a URI without EXT-X-STREAM-INF".to_owned()))?;
            playlist.variants.push(variant(&attributes, text).map_err(fail)?);
        }
    }
    Ok(playlist)
}

fn variant(attributes: &Attributes<'_>, uri: &str) -> Result<Variant, String> {
    let resolution = match attributes.raw("RESOLUTION") {
        Err(_) => None,
        Ok(text) => {
            let (width, height) = text.split_once('x').ok_or(format!("RESOLUTION {text:?}"))?;
            Some((number(width)?, number(height)?))
        }
    };
    Ok(Variant {
        uri: uri.to_owned(),
        bandwidth: number(attributes.raw("BANDWIDTH")?)?,
        average_bandwidth: attributes.raw("AVERAGE-BANDWIDTH").ok().map(number).transpose()?,
        codecs: attributes.quoted("CODECS")?.split(',').map(|codec| codec.trim().to_owned()).collect(),
        resolution,
        frame_rate: attributes.raw("FRAME-RATE").ok().map(number).transpose()?,
        audio: attributes.quoted("AUDIO").ok(),
    })
}

/// Reads a media playlist.
///
/// # Errors
/// Names the line.
pub fn parse_media(text: &str) -> Result<Media, Error> {
    let mut reader = Reader::default();
    for (line, text) in lines(text)? {
        reader.line(text).map_err(|reason| Error { line, reason })?;
    }
    reader.finish().map_err(|reason| Error { line: text.lines().count(), reason })
}

#[derive(Default)]
struct Reader {
    media: Media,
    seen_target: bool,
    /// The segment whose tags are being read.
    current: Segment,
    /// Whether `current` has any tag yet.
    started: bool,
    discontinuities: u64,
    map: Option<String>,
}

impl Reader {
    fn line(&mut self, text: &str) -> Result<(), String> {
        if !text.starts_with('#') {
            return self.segment(text);
        }
        let (tag, value) = text.split_once(':').unwrap_or((text, ""));
        match tag {
            "#EXT-X-VERSION" => self.media.version = number(value)?,
            "#EXT-X-TARGETDURATION" => {
                self.media.target_duration_s = number(value)?;
                self.seen_target = true;
            }
            "#EXT-X-MEDIA-SEQUENCE" => self.media.media_sequence = number(value)?,
            "#EXT-X-DISCONTINUITY-SEQUENCE" => self.media.discontinuity_sequence = number(value)?,
            "#EXT-X-ENDLIST" => self.media.ended = true,
            "#EXT-X-SERVER-CONTROL" => {
                let attributes = attributes_of(value)?;
                let seconds = |name| attributes.raw(name).ok().map(number).transpose();
                self.media.server_control = ServerControl {
                    can_block_reload: attributes.raw("CAN-BLOCK-RELOAD").is_ok_and(|value| value == "YES"),
                    can_skip_until: seconds("CAN-SKIP-UNTIL")?,
                    hold_back: seconds("HOLD-BACK")?,
                    part_hold_back: seconds("PART-HOLD-BACK")?,
                };
            }
            "#EXT-X-PART-INF" => {
                self.media.part_target = Some(number(attributes_of(value)?.raw("PART-TARGET")?)?);
            }
            "#EXT-X-SKIP" => {
                self.media.skipped = number(attributes_of(value)?.raw("SKIPPED-SEGMENTS")?)?;
            }
            "#EXT-X-PRELOAD-HINT" => {
                let attributes = attributes_of(value)?;
                if attributes.raw("TYPE")? == "PART" {
                    self.media.preload_hint = Some(attributes.quoted("URI")?);
                }
            }
            "#EXT-X-RENDITION-REPORT" => {
                let attributes = attributes_of(value)?;
                self.media.reports.push(Report {
                    uri: attributes.quoted("URI")?,
                    last_msn: number(attributes.raw("LAST-MSN")?)?,
                    last_part: attributes.raw("LAST-PART").ok().map(number).transpose()?,
                });
            }
            _ => return self.segment_tag(tag, value),
        }
        Ok(())
    }

    fn segment_tag(&mut self, tag: &str, value: &str) -> Result<(), String> {
        match tag {
            "#EXTINF" => {
                let duration = value.split(',').next().unwrap_or(value);
                self.current.duration = Some(number(duration)?);
            }
            "#EXT-X-DISCONTINUITY" => {
                self.discontinuities += 1;
            }
            "#EXT-X-MAP" => self.map = Some(attributes_of(value)?.quoted("URI")?),
            "#EXT-X-GAP" => self.current.gap = true,
            "#EXT-X-PROGRAM-DATE-TIME" => {
                let ms = date_time_ms(value).ok_or_else(|| format!("date {value:?}"))?;
                self.current.program_date_time_ms = Some(ms);
            }
            "#EXT-X-PART" => {
                let attributes = attributes_of(value)?;
                self.current.parts.push(Part {
                    uri: attributes.quoted("URI")?,
                    duration: number(attributes.raw("DURATION")?)?,
                    independent: attributes.raw("INDEPENDENT").is_ok_and(|value| value == "YES"),
                    gap: attributes.raw("GAP").is_ok_and(|value| value == "YES"),
                });
            }
            _ => return Ok(()),
        }
        self.started = true;
        Ok(())
    }

    fn segment(&mut self, uri: &str) -> Result<(), String> {
        if self.current.duration.is_none() {
            return Err(format!("{uri} has no EXTINF"));
        }
        self.current.uri = Some(uri.to_owned());
        self.push();
        Ok(())
    }

    fn push(&mut self) {
        let mut segment = std::mem::take(&mut self.current);
        let base = self.media.media_sequence + self.media.skipped;
        segment.msn = base + self.media.segments.len() as u64;
        segment.discontinuity = self.media.discontinuity_sequence + self.discontinuities;
        segment.map.clone_from(&self.map);
        self.media.segments.push(segment);
        self.started = false;
    }

    fn finish(mut self) -> Result<Media, String> {
        if !self.seen_target {
            return Err("EXT-X-TARGETDURATION is missing".to_owned());
        }
        if self.current.duration.is_some() {
            return Err("EXTINF without a URI".to_owned());
        }
        if self.started && !self.current.parts.is_empty() {
            self.push();
        }
        Ok(self.media)
    }
}

/// Numbered lines that are not empty and not comments; the first one must be EXTM3U.
fn lines(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, Error> {
    if text.lines().next() != Some("#EXTM3U") {
        return Err(Error { line: 1, reason: "does not start with #EXTM3U".to_owned() });
    }
    Ok(text
        .lines()
        .enumerate()
        .skip(1)
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.is_empty() && (!line.starts_with('#') || line.starts_with("#EXT"))))
}

/// RFC 8216bis 4.2.
struct Attributes<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Attributes<'a> {
    fn raw(&self, name: &str) -> Result<&'a str, String> {
        self.0.get(name).copied().ok_or_else(|| format!("{name} is missing"))
    }

    fn quoted(&self, name: &str) -> Result<String, String> {
        let raw = self.raw(name)?;
        raw.strip_prefix('"')
            .and_then(|raw| raw.strip_suffix('"'))
            .map(str::to_owned)
            .ok_or_else(|| format!("{name} is not a quoted string: {raw}"))
    }
}

fn attributes_of(mut text: &str) -> Result<Attributes<'_>, String> {
    let mut attributes = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("no '=' in {text:?}"))?;
        let end = match rest.strip_prefix('"') {
            Some(inner) => inner.find('"').ok_or("a quoted string does not end")? + 2,
            None => rest.find(',').unwrap_or(rest.len()),
        };
        let (value, rest) = rest.split_at_checked(end).ok_or("a value is cut")?;
        if attributes.insert(name, value).is_some() {
            return Err(format!("{name} appears twice"));
        }
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return Err(format!("no comma before {rest:?}")),
        };
    }
    Ok(Attributes(attributes))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number of the expected kind"))
}

/// `2026-11-22T15:40:00.123Z` as milliseconds since the Unix epoch; UTC only, as our playlists are.
fn date_time_ms(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|field| field.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let seconds: f64 = time.next()?.parse().ok()?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since the epoch by counting years that start in March, which puts the leap day last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = shifted_year * 365 + leap_days + (shifted_month * 153 + 2) / 5 + day - 1 - 719_468;
    #[allow(clippy::cast_possible_truncation, reason = "below 60,000 when it was a time of day")]
    let ms = (seconds * 1_000.0).round() as i64;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.0,HOLD-BACK=6.0
#EXT-X-PART-INF:PART-TARGET=0.333334
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-MAP:URI=\"s/v/init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T15:40:00.123Z
#EXTINF:2.000000,
s/v/7.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"t/v/init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T15:40:02.123Z
#EXT-X-PART:DURATION=0.333333,URI=\"t/v/8.0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.333333,URI=\"t/v/8.1.m4s\"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"t/v/8.2.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=8,LAST-PART=1
";

    #[test]
    fn a_low_latency_playlist() {
        let media = parse_media(LIVE).unwrap();
        assert_eq!((media.media_sequence, media.next()), (7, (8, 2)));
        assert_eq!(media.segments[0].discontinuity, 1);
        assert_eq!(media.segments[1].discontinuity, 2);
        assert_eq!(media.segments[1].map.as_deref(), Some("t/v/init-0.mp4"));
        assert!(media.segments[1].parts[0].independent && !media.segments[1].is_complete());
        assert_eq!(media.preload_hint.as_deref(), Some("t/v/8.2.m4s"));
        assert_eq!(media.reports[0].last_part, Some(1));
        let between =
            media.segments[1].program_date_time_ms.unwrap() - media.segments[0].program_date_time_ms.unwrap();
        assert_eq!(between, 2_000);
    }

    #[test]
    fn a_delta_update_is_completed_from_what_is_known() {
        let full = parse_media(LIVE).unwrap();
        let delta = LIVE.replace(
            "#EXT-X-MAP:URI=\"s/v/init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T15:40:00.123Z
#EXTINF:2.000000,
s/v/7.m4s",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=1",
        );
        let delta = parse_media(&delta).unwrap();
        assert_eq!(delta.clone().expand(&full).unwrap(), full);
        assert!(delta.expand(&Media::default()).unwrap_err().contains("knows 0"));
    }

    #[test]
    fn dates() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T00:00:00.000Z", 951_782_400_000),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400_000),
        ] {
            assert_eq!(date_time_ms(text), Some(ms), "{text}");
        }
        assert_eq!(date_time_ms("yesterday"), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, reason) in [
            ("", "EXTM3U"),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:x", "number"),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:2\na.m4s", "no EXTINF"),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,", "without a URI"),
            ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1", "TARGETDURATION"),
            ("#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=1,PART-TARGET=2", "twice"),
        ] {
            let error = parse_media(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
