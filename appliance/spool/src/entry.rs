//! The lines of an index.

use nodi_protocol::Rendition;
use serde::{Deserialize, Serialize};

/// Longest line, in bytes: an `init` with its rendition has under 400. A reader gives up on a line that
/// is longer, so that a damaged file costs it bounded memory.
pub const MAX_LINE_LEN: usize = 4096;

/// One line of an index: something that happened to a rendition. Times are media time since the session's
/// start, in nanoseconds; `seq` counts segments from 0 over the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// Section `init-<init>.mp4` is complete. After an `end` it brings the rendition back.
    Init { init: u32, rendition: Rendition },
    /// Segment `seq` starts.
    Open {
        seq: u64,
        init: u32,
        discontinuity: bool,
        start_ns: u64,
        /// Wall clock of its first frame by this machine's clock, in milliseconds since the Unix epoch.
        wall_ms: u64,
    },
    /// One `moof` and its `mdat`; `part` counts from 0 within the segment.
    Part { seq: u64, part: u32, offset: u64, len: u64, duration_ns: u64, independent: bool },
    /// Segment `seq` is complete. Length 0: the rendition has nothing for this stretch of time.
    Segment { seq: u64, len: u64, duration_ns: u64 },
    /// Nothing follows.
    End { reason: EndReason },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The publisher stopped.
    Eof,
    /// The machine cannot carry this rung.
    Overload,
    /// The source lost the track, or the rung failed.
    Gone,
    NoSpace,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Eof => "eof",
            Self::Overload => "overload",
            Self::Gone => "gone",
            Self::NoSpace => "no_space",
        })
    }
}

/// Why a line is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("longer than {MAX_LINE_LEN} bytes")]
    TooLong,
    #[error("{0}")]
    Syntax(String),
    #[error("offset {offset} + length {len} is beyond 64 bits")]
    Range { offset: u64, len: u64 },
}

impl Entry {
    /// Reads one line, without its newline.
    ///
    /// # Errors
    /// On anything that [`Entry::to_line`] does not write: unknown kinds and fields included.
    pub fn parse(line: &[u8]) -> Result<Self, BadLine> {
        if line.len() > MAX_LINE_LEN {
            return Err(BadLine::TooLong);
        }
        let entry: Self = serde_json::from_slice(line).map_err(|error| BadLine::Syntax(error.to_string()))?;
        if let Self::Part { offset, len, .. } = entry
            && offset.checked_add(len).is_none()
        {
            return Err(BadLine::Range { offset, len });
        }
        Ok(entry)
    }

    /// The line, with its newline.
    ///
    /// # Errors
    /// Never for an entry that can exist; serde's signature wants it.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nodi_protocol::Track;
    use proptest::prelude::*;

    fn rendition() -> Rendition {
        Rendition {
            name: "720p".parse().unwrap(),
            track: Track::Video {
                codecs: "avc1.64001f".to_owned(),
                width: 1280,
                height: 720,
                frame_rate: (30000, 1001),
            },
            bandwidth: 3_300_000,
            average_bandwidth: 3_000_000,
        }
    }

    #[test]
    fn lines_are_as_documented() {
        let cases = [
            (
                Entry::Init { init: 0, rendition: rendition() },
                r#"{"t":"init","init":0,"rendition":{"name":"720p","kind":"video","codecs":"avc1.64001f","width":1280,"height":720,"frame_rate":[30000,1001],"bandwidth":3300000,"average_bandwidth":3000000}}"#,
            ),
            (
                Entry::Open { seq: 7, init: 0, discontinuity: false, start_ns: 14_000_000_000, wall_ms: 1 },
                r#"{"t":"open","seq":7,"init":0,"discontinuity":false,"start_ns":14000000000,"wall_ms":1}"#,
            ),
            (
                Entry::Part { seq: 7, part: 0, offset: 24, len: 9, duration_ns: 333, independent: true },
                r#"{"t":"part","seq":7,"part":0,"offset":24,"len":9,"duration_ns":333,"independent":true}"#,
            ),
            (
                Entry::Segment { seq: 7, len: 33, duration_ns: 333 },
                r#"{"t":"segment","seq":7,"len":33,"duration_ns":333}"#,
            ),
            (Entry::End { reason: EndReason::NoSpace }, r#"{"t":"end","reason":"no_space"}"#),
        ];
        for (entry, text) in cases {
            let line = entry.to_line().unwrap();
            assert_eq!(std::str::from_utf8(&line).unwrap(), format!("{text}\n"));
            assert_eq!(Entry::parse(text.as_bytes()).unwrap(), entry);
        }
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        for bad in [
            "",
            "{}",
            r#"{"t":"segment","seq":7,"len":33}"#,
            r#"{"t":"segment","seq":-1,"len":33,"duration_ns":1}"#,
            r#"{"t":"segment","seq":7,"len":33,"duration_ns":1,"extra":0}"#,
            r#"{"t":"segment","seq":7,"len":33,"duration_ns":1} x"#,
            r#"{"t":"other","seq":7}"#,
            r#"{"t":"end","reason":"bored"}"#,
            r#"{"t":"part","seq":7,"part":0,"offset":18446744073709551615,"len":1,"duration_ns":1,"independent":true}"#,
            r#"{"t":"init","init":0,"rendition":{"name":"../x","kind":"video","codecs":"a","width":1,"height":1,"frame_rate":[1,1],"bandwidth":1,"average_bandwidth":1}}"#,
        ] {
            assert!(Entry::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Entry::parse(&vec![b' '; MAX_LINE_LEN + 1]), Err(BadLine::TooLong));
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let reason = prop_oneof![
            Just(EndReason::Eof),
            Just(EndReason::Overload),
            Just(EndReason::Gone),
            Just(EndReason::NoSpace)
        ];
        prop_oneof![
            any::<u32>().prop_map(|init| Entry::Init { init, rendition: rendition() }),
            any::<(u64, u32, bool, u64, u64)>().prop_map(|(seq, init, discontinuity, start_ns, wall_ms)| {
                Entry::Open { seq, init, discontinuity, start_ns, wall_ms }
            }),
            any::<(u64, u32, u32, u64, u64, bool)>().prop_map(
                |(seq, part, offset, len, duration_ns, independent)| Entry::Part {
                    seq,
                    part,
                    offset: u64::from(offset),
                    len: len >> 1,
                    duration_ns,
                    independent
                }
            ),
            any::<(u64, u64, u64)>().prop_map(|(seq, len, duration_ns)| Entry::Segment {
                seq,
                len,
                duration_ns
            }),
            reason.prop_map(|reason| Entry::End { reason }),
        ]
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in any_entry()) {
            let line = entry.to_line().unwrap();
            prop_assert!(line.len() <= MAX_LINE_LEN);
            let (newline, text) = line.split_last().unwrap();
            prop_assert_eq!(*newline, b'\n');
            prop_assert!(!text.contains(&b'\n'));
            prop_assert_eq!(Entry::parse(text).unwrap(), entry);
        }

        /// A line that a crash cut short never parses as something else.
        #[test]
        fn a_cut_line_is_never_an_entry(entry in any_entry(), cut in any::<prop::sample::Index>()) {
            let line = entry.to_line().unwrap();
            let cut = cut.index(line.len() - 1);
            prop_assert!(Entry::parse(&line[..cut]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::parse(&bytes);
        }
    }
}
