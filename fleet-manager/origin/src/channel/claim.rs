//! A session takes a channel over, and what pushed descriptions must look like.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use nodi_protocol::push::{Claim, Claimed, Held, PlaylistUpdate};
use nodi_protocol::{Rendition, SessionId};
use tokio_util::sync::CancellationToken;

use super::{Channel, Claimant, Inner, LEAST_TARGETS, Lane, MAX_JUMP, MAX_MSN, Session};
use crate::push::error::Error;

/// Longest segment that is worth a live playlist, in seconds.
const MAX_TARGET_DURATION_S: u32 = 60;
/// Shorter parts cost more requests than they save time.
const MIN_PART_TARGET_NS: u64 = 50_000_000;
/// A segment of 60 s in parts of 200 ms has 300.
const MAX_PARTS: usize = 400;
/// Segments in one update: an uplink that returns describes its whole window at once.
const MAX_UPDATE_SEGMENTS: usize = 512;
/// Longest `codecs` of a rendition.
const MAX_CODECS_LEN: usize = 64;

impl Channel {
    /// Opens a session, or opens it again.
    ///
    /// # Errors
    /// When a newer session owns the channel, the claim cannot be, or its first number was used meanwhile.
    pub fn claim(&self, id: SessionId, claim: Claim, by: Claimant) -> Result<Claimed, Error> {
        self.check_claim(&claim)?;
        let now = self.settings.clock.now();
        let mut state = self.lock();
        let previous = state.session.as_ref().map(|session| (session.id, session.base_msn));
        let base_msn = match previous {
            Some((current, _)) if current > id => return Err(Error::Superseded(current)),
            Some((current, base_msn)) if current == id => base_msn,
            _ if claim.base_msn < state.next_msn => return Err(Error::BaseTaken(state.next_msn)),
            _ => claim.base_msn,
        };
        if let Some((older, _)) = previous.filter(|(current, _)| *current != id) {
            if let Some(session) = &state.session {
                session.cancel.cancel();
            }
            for lane in self.all_lanes() {
                lane.timeline_mut().close(older);
            }
            state.discontinuities.insert(base_msn);
        }
        state.next_msn = state.next_msn.max(base_msn);
        // Neither may shrink while a playlist with the larger value may still be in use (RFC 8216bis 4.4.3.1).
        state.target_duration_s = state.target_duration_s.max(claim.target_duration_s);
        state.part_target_ns = claim.part_target_ns;
        state.ended_at = None;
        state.session = Some(Session {
            id,
            base_msn,
            renditions: claim.renditions,
            by,
            last_push: now,
            ended_at: None,
            cut: None,
            cancel: CancellationToken::new(),
        });
        self.match_lanes(&mut state, base_msn);
        self.publish_all(&mut state);
        let least_s = u64::from(state.target_duration_s) * LEAST_TARGETS;
        let window_s = Some(self.settings.playlist.window_s.max(least_s));
        Ok(Claimed { base_msn, held: self.held(id), window_s })
    }

    /// A lane for each claimed rendition; those that are not claimed any more are let go.
    fn match_lanes(&self, state: &mut Inner, base_msn: u64) {
        let now = self.settings.clock.now();
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(session) = &state.session else { return };
        for rendition in &session.renditions {
            let lane = lanes
                .entry(rendition.name.as_str().to_owned())
                .or_insert_with(|| Arc::new(Lane::new(rendition.name.clone(), base_msn, &self.settings)));
            lane.video.store(rendition.is_video(), Ordering::Relaxed);
        }
        state.gone = lanes
            .keys()
            .filter(|name| !session.has(name))
            .map(|name| (name.clone(), state.gone.get(name).copied().unwrap_or(now)))
            .collect();
        // A box that changes its renditions with every claim must not collect lanes.
        let most = self.settings.limits.renditions.saturating_mul(2);
        while lanes.len() > most {
            let Some(oldest) =
                state.gone.iter().min_by_key(|(_, since)| **since).map(|(name, _)| name.clone())
            else {
                break;
            };
            state.gone.remove(&oldest);
            lanes.remove(&oldest);
        }
    }

    fn held(&self, id: SessionId) -> Vec<Held> {
        self.all_lanes()
            .iter()
            .map(|lane| {
                let timeline = lane.timeline();
                let segments = timeline.segments.iter().filter(|(_, object)| object.session == id);
                Held {
                    rendition: lane.name.clone(),
                    inits: timeline.inits.keys().filter(|key| key.0 == id).map(|key| key.1).collect(),
                    segments: segments
                        .filter_map(|(msn, object)| Some((*msn, object.blob.as_ref()?.len())))
                        .collect(),
                }
            })
            .filter(|held| !held.inits.is_empty() || !held.segments.is_empty())
            .collect()
    }

    fn check_claim(&self, claim: &Claim) -> Result<(), Error> {
        let most = self.settings.limits.renditions;
        if claim.renditions.is_empty() || claim.renditions.len() > most {
            return Err(Error::malformed(format!("a session has 1 to {most} renditions")));
        }
        let mut names = HashSet::new();
        for rendition in &claim.renditions {
            if !names.insert(&rendition.name) || rendition.name.as_str() == "index" {
                return Err(Error::malformed(format!("rendition name {} is taken", rendition.name)));
            }
            check_codecs(rendition)?;
        }
        if !(1..=MAX_TARGET_DURATION_S).contains(&claim.target_duration_s) {
            return Err(Error::malformed(format!("target_duration_s must be 1 to {MAX_TARGET_DURATION_S}")));
        }
        let target_ns = u64::from(claim.target_duration_s) * 1_000_000_000;
        if !(MIN_PART_TARGET_NS..=target_ns).contains(&claim.part_target_ns) {
            return Err(Error::malformed(format!(
                "part_target_ns must be {MIN_PART_TARGET_NS} to the target duration"
            )));
        }
        if claim.base_msn > MAX_MSN - MAX_JUMP {
            return Err(Error::malformed("base_msn is too large".to_owned()));
        }
        Ok(())
    }

    pub(super) fn check_msn(&self, state: &Inner, msn: u64) -> Result<(), Error> {
        let base_msn = state.session.as_ref().map_or(0, |session| session.base_msn);
        let most = state.next_msn.max(base_msn).saturating_add(MAX_JUMP).min(MAX_MSN);
        if (base_msn..=most).contains(&msn) {
            Ok(())
        } else {
            Err(Error::malformed(format!("segment {msn} is not between {base_msn} and {most}")))
        }
    }

    pub(super) fn check_update(
        &self,
        state: &Inner,
        session: SessionId,
        update: &PlaylistUpdate,
    ) -> Result<(), Error> {
        if update.segments.len() > MAX_UPDATE_SEGMENTS {
            return Err(Error::malformed(format!("more than {MAX_UPDATE_SEGMENTS} segments in one update")));
        }
        for segment in &update.segments {
            let msn = segment.msn;
            let bad = |what: &str| Err(Error::malformed(format!("segment {msn}: {what}")));
            self.check_msn(state, msn)?;
            if segment.session != session {
                return bad("its session is not the one of the address");
            }
            if segment.parts.len() > MAX_PARTS {
                return bad(&format!("more than {MAX_PARTS} parts"));
            }
            let longest_ns = u64::from(MAX_TARGET_DURATION_S) * 1_000_000_000;
            if segment.duration_ns() > longest_ns {
                return bad(&format!("longer than {MAX_TARGET_DURATION_S} s"));
            }
            let mut end = 0_u64;
            for (index, part) in segment.parts.iter().enumerate() {
                if part.len == 0 || part.offset < end {
                    return bad(&format!("part {index} is empty or overlaps the one before it"));
                }
                end = part.offset.saturating_add(part.len);
            }
            if let Some(finished) = segment.finished.filter(|_| !segment.gap) {
                if finished.len == 0 || finished.len < end {
                    return bad("it is empty or shorter than its parts, and not a gap");
                }
                end = finished.len;
            }
            if end > self.settings.limits.segment_bytes {
                return Err(Error::TooLarge(self.settings.limits.segment_bytes));
            }
        }
        Ok(())
    }
}

/// The text becomes part of a quoted attribute in a list.
fn check_codecs(rendition: &Rendition) -> Result<(), Error> {
    let codecs = rendition.codecs();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if codecs.is_empty() || codecs.len() > MAX_CODECS_LEN || !codecs.bytes().all(good) {
        return Err(Error::malformed(format!("codecs of rendition {} are not of RFC 6381", rendition.name)));
    }
    Ok(())
}
