//! One rendition's segments over all sessions: what was described, what bytes are there, and the
//! longest playlist that both allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use nodi_protocol::SessionId;
use nodi_protocol::hls::media::bridge;
use nodi_protocol::hls::{Finished, Part, Segment};

use crate::blob::{Blob, Slice};

/// Keyed by media sequence number and, for initialisation sections, by session and number.
#[derive(Debug, Default)]
pub struct Timeline {
    pub inits: BTreeMap<(SessionId, u32), Bytes>,
    pub segments: BTreeMap<u64, Object>,
}

/// A segment of which a description, bytes, or both have come.
#[derive(Debug)]
pub struct Object {
    pub session: SessionId,
    pub described: Option<Segment>,
    pub blob: Option<Arc<Blob>>,
}

impl Object {
    pub fn new(session: SessionId) -> Self {
        Self { session, described: None, blob: None }
    }

    fn held(&self) -> u64 {
        self.blob.as_ref().map_or(0, |blob| blob.len())
    }

    /// Its parts as far as their bytes are there.
    fn parts(&self) -> &[Part] {
        let held = self.held();
        let parts = self.described.as_ref().map_or(&[][..], |described| &described.parts);
        let count = parts.iter().take_while(|part| part.offset.saturating_add(part.len) <= held).count();
        parts.get(..count).unwrap_or_default()
    }

    /// Whole and described, or a gap that its box declared.
    fn is_complete(&self) -> bool {
        self.described.as_ref().is_some_and(|described| {
            described.gap || described.finished.is_some_and(|finished| finished.len <= self.held())
        })
    }

    /// The finished segment's bytes; `None` while it grows.
    pub fn whole(&self) -> Option<Slice> {
        let described = self.described.as_ref().filter(|described| !described.gap)?;
        self.blob.as_ref()?.slice(0, described.finished?.len)
    }

    pub fn part(&self, part: u64) -> PartAnswer {
        let Some(described) = &self.described else {
            return PartAnswer::Later;
        };
        let index = usize::try_from(part).unwrap_or(usize::MAX);
        match described.parts.get(index) {
            Some(part) if !described.gap => {
                let slice = self.blob.as_ref().and_then(|blob| blob.slice(part.offset, part.len));
                slice.map_or(PartAnswer::Later, PartAnswer::Here)
            }
            None if described.finished.is_none() => PartAnswer::Later,
            _ => PartAnswer::Never,
        }
    }

    /// Ends it with what its parts add up to; `false` if that is nothing.
    fn close(&mut self) -> bool {
        let parts = self.parts();
        let Some(last) = parts.last() else {
            return false;
        };
        let finished = Finished {
            duration_ns: parts.iter().fold(0, |sum, part| sum.saturating_add(part.duration_ns)),
            len: last.offset.saturating_add(last.len),
        };
        let count = parts.len();
        if let Some(described) = &mut self.described {
            described.parts.truncate(count);
            described.finished = Some(finished);
        }
        if let Some(blob) = &self.blob {
            blob.set_end(finished.len);
        }
        true
    }
}

/// Whether a part can be had.
#[derive(Debug)]
pub enum PartAnswer {
    Here(Slice),
    Later,
    Never,
}

impl Timeline {
    /// What a playlist may show now, in order: finished segments, gaps where bytes are missing that later
    /// ones have, and the growing segment as far as its parts are there.
    pub fn shown(&self, discontinuities: &BTreeSet<u64>, target_duration_s: u32) -> Vec<Segment> {
        let last_complete = self
            .segments
            .iter()
            .rev()
            .find(|(_, object)| object.is_complete() && self.has_init(object))
            .map(|(msn, _)| *msn);
        let mut shown = Vec::with_capacity(self.segments.len());
        for (msn, object) in &self.segments {
            let Some(described) = &object.described else { continue };
            let has_init = self.has_init(object);
            let mut segment = described.clone();
            segment.discontinuity = discontinuities.contains(msn);
            if described.gap {
                segment.parts.clear();
                segment.finished.get_or_insert(Finished { duration_ns: described.duration_ns(), len: 0 });
            } else if object.is_complete() && has_init {
                // As it is.
            } else if last_complete.is_some_and(|last| *msn < last) {
                segment.gap = true;
                segment.parts.clear();
                segment.finished.get_or_insert(Finished { duration_ns: described.duration_ns(), len: 0 });
            } else {
                if has_init {
                    segment.finished = None;
                    segment.parts.truncate(object.parts().len());
                    if !segment.parts.is_empty() {
                        shown.push(segment);
                    }
                }
                break;
            }
            shown.push(segment);
        }
        bridge(shown, target_duration_s)
    }

    fn has_init(&self, object: &Object) -> bool {
        object.described.as_ref().is_some_and(|described| {
            described.gap || self.inits.contains_key(&(described.session, described.init))
        })
    }

    /// Nothing of `session` will come any more: what is unfinished ends with the parts that are there.
    pub fn close(&mut self, session: SessionId) {
        for object in self.segments.values_mut().filter(|object| object.session == session) {
            if object.is_complete() {
                continue;
            }
            if !object.close() {
                if let Some(blob) = object.blob.take() {
                    blob.abandon();
                }
                if let Some(described) = &mut object.described {
                    described.gap = true;
                }
            }
        }
        self.segments.retain(|_, object| object.session != session || object.described.is_some());
    }

    /// Drops all that lies before `first_msn`.
    pub fn evict_before(&mut self, first_msn: u64) {
        let kept = self.segments.split_off(&first_msn);
        for object in std::mem::replace(&mut self.segments, kept).into_values() {
            if let Some(blob) = object.blob {
                blob.abandon();
            }
        }
    }

    /// Drops initialisation sections that no segment needs and that are not `current`'s.
    pub fn evict_inits(&mut self, current: Option<SessionId>) {
        let used: BTreeSet<(SessionId, u32)> = self
            .segments
            .values()
            .filter_map(|object| object.described.as_ref())
            .map(|described| (described.session, described.init))
            .collect();
        self.inits.retain(|key, _| Some(key.0) == current || used.contains(key));
    }
}
