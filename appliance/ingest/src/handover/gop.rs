//! What a new worker needs to go on with a stream that is already running: metadata, codec headers, and
//! the current group of pictures, within a bound.

use nodi_flv::Tag;

/// What a tag means for those who join in mid-stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Metadata,
    VideoHeader,
    AudioHeader,
    KeyFrame,
    /// A video frame that needs others.
    DeltaFrame,
    Audio,
    /// Script data other than metadata.
    Data,
}

impl Class {
    #[must_use]
    pub fn is_audio_or_video(self) -> bool {
        !matches!(self, Self::Metadata | Self::Data)
    }
}

/// Headers as they were at one point of the stream.
#[derive(Debug, Clone, Default)]
struct Headers {
    metadata: Option<Tag>,
    video: Option<Tag>,
    audio: Option<Tag>,
}

impl Headers {
    fn iter(&self) -> impl Iterator<Item = &Tag> {
        [&self.metadata, &self.video, &self.audio].into_iter().flatten()
    }
}

/// The stream since its last key frame.
#[derive(Debug)]
pub struct Gop {
    latest: Headers,
    /// The headers that were in force at the key frame.
    at_key: Headers,
    /// Starts with the key frame, or, before the first one, with the stream. Empty after the group grew too long.
    tags: Vec<Tag>,
    has_key_frame: bool,
    /// No worker has joined yet: what comes before the first key frame is kept for it.
    early: bool,
    bytes: usize,
    limit: usize,
    overflowed: bool,
}

impl Gop {
    /// Keeps up to `limit` bytes of media besides the headers.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            latest: Headers::default(),
            at_key: Headers::default(),
            tags: Vec::new(),
            has_key_frame: false,
            early: true,
            bytes: 0,
            limit,
            overflowed: false,
        }
    }

    /// Takes the next tag of the stream.
    pub fn take(&mut self, tag: &Tag, class: Class) {
        match class {
            Class::Metadata => replace(&mut self.latest.metadata, tag),
            Class::AudioHeader => replace(&mut self.latest.audio, tag),
            Class::VideoHeader => {
                // Frames of the old configuration cannot be decoded with the new one.
                if self.latest.video.as_ref().is_some_and(|old| old.data != tag.data) {
                    self.forget();
                }
                replace(&mut self.latest.video, tag);
                return;
            }
            Class::KeyFrame => {
                self.forget();
                self.overflowed = false;
                self.has_key_frame = true;
                self.at_key = self.latest.clone();
            }
            Class::DeltaFrame if !self.has_key_frame => return,
            Class::DeltaFrame | Class::Audio | Class::Data => {}
        }
        if !(self.has_key_frame || self.early && !self.overflowed && class == Class::Audio) {
            return;
        }
        self.bytes += tag.data.len();
        if self.bytes > self.limit {
            self.forget();
            self.overflowed = true;
            return;
        }
        self.tags.push(tag.clone());
    }

    /// Headers, then the group: what leads to where the stream is now. Headers carry the time stamp of what
    /// follows them, so that the replay does not seem to start at 0.
    pub fn replay(&self) -> impl Iterator<Item = Tag> {
        let headers = if self.has_key_frame { &self.at_key } else { &self.latest };
        let timestamp_ms = self.tags.first().map(|key_frame| key_frame.timestamp_ms);
        headers
            .iter()
            .cloned()
            .map(move |header| Tag { timestamp_ms: timestamp_ms.unwrap_or(header.timestamp_ms), ..header })
            .chain(self.tags.iter().cloned())
    }

    /// The headers in force now.
    pub fn headers(&self) -> impl Iterator<Item = &Tag> {
        self.latest.iter()
    }

    #[must_use]
    pub fn has_video(&self) -> bool {
        self.latest.video.is_some()
    }

    /// Whether the replay brings the stream's video up to now, so that its next frame can follow.
    #[must_use]
    pub fn holds_key_frame(&self) -> bool {
        self.has_key_frame
    }

    /// A worker has taken the replay. From now on sound that belongs to no group of pictures is not kept: the next worker
    /// would get it late.
    pub fn joined(&mut self) {
        self.early = false;
        if !self.has_key_frame {
            self.forget();
        }
    }

    /// Whether the current group grew too long to be kept.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Bytes of media that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget(&mut self) {
        self.tags.clear();
        self.has_key_frame = false;
        self.bytes = 0;
    }
}

fn replace(header: &mut Option<Tag>, tag: &Tag) {
    *header = Some(tag.clone());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nodi_flv::Kind;

    use super::*;

    fn tag(kind: Kind, timestamp_ms: u32, data: &'static str) -> Tag {
        Tag { kind, timestamp_ms, data: Bytes::from_static(data.as_bytes()) }
    }

    fn take(gop: &mut Gop, class: Class, timestamp_ms: u32, data: &'static str) {
        let kind = match class {
            Class::Metadata | Class::Data => Kind::Script,
            Class::Audio | Class::AudioHeader => Kind::Audio,
            _ => Kind::Video,
        };
        gop.take(&tag(kind, timestamp_ms, data), class);
    }

    fn replayed(gop: &Gop) -> Vec<(u32, String)> {
        gop.replay().map(|tag| (tag.timestamp_ms, String::from_utf8(tag.data.to_vec()).unwrap())).collect()
    }

    fn texts(gop: &Gop) -> Vec<String> {
        replayed(gop).into_iter().map(|(_, text)| text).collect()
    }

    fn started(limit: usize) -> Gop {
        let mut gop = Gop::new(limit);
        take(&mut gop, Class::Metadata, 0, "meta");
        take(&mut gop, Class::VideoHeader, 0, "avc");
        take(&mut gop, Class::AudioHeader, 0, "aac");
        gop
    }

    #[test]
    fn a_key_frame_starts_over() {
        let mut gop = started(100);
        gop.joined();
        take(&mut gop, Class::Audio, 5, "early");
        assert_eq!(texts(&gop), ["meta", "avc", "aac"]);
        assert!(!gop.holds_key_frame());
        take(&mut gop, Class::KeyFrame, 10, "k1");
        take(&mut gop, Class::DeltaFrame, 20, "d1");
        take(&mut gop, Class::KeyFrame, 30, "k2");
        take(&mut gop, Class::Audio, 31, "a2");
        let expected = [(30, "meta"), (30, "avc"), (30, "aac"), (30, "k2"), (31, "a2")];
        assert_eq!(replayed(&gop), expected.map(|(at, text)| (at, text.to_owned())));
        assert_eq!(gop.bytes(), 4);
    }

    #[test]
    fn sound_before_the_first_key_frame_waits_for_the_first_worker() {
        let mut gop = started(100);
        take(&mut gop, Class::Audio, 5, "a1");
        take(&mut gop, Class::DeltaFrame, 6, "d");
        take(&mut gop, Class::Audio, 7, "a2");
        assert_eq!(texts(&gop), ["meta", "avc", "aac", "a1", "a2"]);
        assert!(!gop.holds_key_frame());
        gop.joined();
        take(&mut gop, Class::Audio, 8, "a3");
        assert_eq!(texts(&gop), ["meta", "avc", "aac"]);
    }

    #[test]
    fn a_group_that_is_too_long_leaves_the_headers() {
        let mut gop = started(8);
        take(&mut gop, Class::KeyFrame, 10, "kkkk");
        take(&mut gop, Class::DeltaFrame, 20, "dddd");
        assert!(gop.holds_key_frame());
        take(&mut gop, Class::DeltaFrame, 30, "d");
        assert!(gop.overflowed() && !gop.holds_key_frame());
        take(&mut gop, Class::DeltaFrame, 40, "d");
        assert_eq!(texts(&gop), ["meta", "avc", "aac"]);
        take(&mut gop, Class::KeyFrame, 50, "k");
        assert!(!gop.overflowed() && gop.holds_key_frame());
    }

    #[test]
    fn headers_that_change_within_a_group_stay_in_their_place() {
        let mut gop = started(100);
        take(&mut gop, Class::KeyFrame, 10, "k");
        take(&mut gop, Class::AudioHeader, 15, "aac2");
        take(&mut gop, Class::Audio, 15, "a");
        assert_eq!(texts(&gop), ["meta", "avc", "aac", "k", "aac2", "a"]);
        take(&mut gop, Class::VideoHeader, 20, "avc");
        assert!(gop.holds_key_frame(), "a repeated header changes nothing");
        take(&mut gop, Class::VideoHeader, 20, "avc2");
        assert_eq!(texts(&gop), ["meta", "avc2", "aac2"]);
    }
}
