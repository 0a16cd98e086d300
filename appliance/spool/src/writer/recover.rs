//! Finishes what a crashed worker left: a torn last line, open segments.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nodi_protocol::RenditionName;

use super::{Index, RenditionWriter, Resumed};
use crate::{AtPath, Entry, Result, layout};

/// All renditions in the session's directory `dir`, each with no segment open, and where the session stands.
pub(super) fn renditions(dir: &Path) -> Result<(BTreeMap<RenditionName, RenditionWriter>, Option<Resumed>)> {
    let mut renditions = BTreeMap::new();
    let mut resumed: Option<Resumed> = None;
    for item in fs::read_dir(dir).at(dir)? {
        let item = item.at(dir)?;
        let name = item.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse::<RenditionName>().ok()) else {
            continue;
        };
        let dir = item.path();
        if !dir.join(layout::INDEX).is_file() {
            continue;
        }
        let (rendition, story) = rendition(&dir)?;
        if let Some(next_seq) = story.next_seq {
            let so_far = resumed.get_or_insert(Resumed { next_seq: 0, media_ns: 0 });
            so_far.next_seq = so_far.next_seq.max(next_seq);
            so_far.media_ns = so_far.media_ns.max(story.media_ns);
        }
        renditions.insert(name, rendition);
    }
    Ok((renditions, resumed))
}

/// What the lines of one index add up to.
#[derive(Debug, Default)]
struct Story {
    next_init: u32,
    /// `None` before the first segment.
    next_seq: Option<u64>,
    media_ns: u64,
    open: Option<Open>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Open {
    seq: u64,
    start_ns: u64,
    len: u64,
    duration_ns: u64,
}

fn rendition(dir: &Path) -> Result<(RenditionWriter, Story)> {
    let path = dir.join(layout::INDEX);
    let text = fs::read(&path).at(&path)?;
    let mut index = Index::open(path)?;
    if !text.is_empty() && !text.ends_with(b"\n") {
        index.append_bytes(b"\n")?;
    }
    let mut story = Story::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match Entry::parse(line) {
            Ok(entry) => story.add(&entry),
            Err(error) => log::warn!(path:% = index.path.display(), error:%; "skipped a line of the index"),
        }
    }
    if let Some(open) = story.open.take() {
        index.append(&Entry::Segment { seq: open.seq, len: open.len, duration_ns: open.duration_ns })?;
    }
    // The file of a segment whose `open` line was lost must not be written a second time.
    for item in fs::read_dir(dir).at(dir)? {
        let name = item.at(dir)?.file_name();
        if let Some(seq) = name.to_str().and_then(layout::parse_segment) {
            story.next_seq = Some(story.next_seq.unwrap_or(0).max(seq.saturating_add(1)));
        }
    }
    let rendition = RenditionWriter {
        dir: dir.to_owned(),
        index,
        next_init: story.next_init,
        segment: None,
        ended: story.ended,
    };
    Ok((rendition, story))
}

impl Story {
    fn add(&mut self, entry: &Entry) {
        match *entry {
            Entry::Init { init, .. } => {
                self.next_init = self.next_init.max(init.saturating_add(1));
                self.ended = false;
            }
            Entry::Open { seq, start_ns, .. } => {
                self.open = Some(Open { seq, start_ns, ..Open::default() });
                self.next_seq = Some(self.next_seq.unwrap_or(0).max(seq.saturating_add(1)));
                self.media_ns = self.media_ns.max(start_ns);
            }
            Entry::Part { seq, offset, len, duration_ns, .. } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.seq == seq) {
                    open.len = open.len.max(offset.saturating_add(len));
                    open.duration_ns = open.duration_ns.saturating_add(duration_ns);
                    self.media_ns = self.media_ns.max(open.start_ns.saturating_add(open.duration_ns));
                }
            }
            Entry::Segment { seq, duration_ns, .. } => {
                if let Some(open) = self.open.take_if(|open| open.seq == seq) {
                    self.media_ns = self.media_ns.max(open.start_ns.saturating_add(duration_ns));
                }
            }
            Entry::End { .. } => self.ended = true,
        }
    }
}
