//! Who is in a room.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use nodi_protocol::chat::Role;
use slab::Slab;

use crate::connection::link::{Link, Pushed};
use crate::moderation::Speaker;

/// Connections that are written to before other tasks have their turn: some milliseconds of work, so that a room of ten
/// thousand does not make others wait.
const SLICE: usize = 512;

/// One connection.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) link: Arc<Link>,
    /// `None`: reads only.
    pub(super) chatter: Option<Box<Chatter>>,
}

/// A connection that may speak.
#[derive(Debug)]
pub(super) struct Chatter {
    pub(super) speaker: Speaker,
    /// In this channel.
    pub(super) role: Role,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    /// Dense, because each delivery walks over it.
    all: Slab<Member>,
    /// Connections of each account.
    accounts: HashMap<String, Vec<usize>>,
    /// Of those, how many.
    with_account: usize,
    /// The next one to be looked at in the sweep.
    swept: usize,
}

impl Members {
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Who watches: an account counts once, and so does each connection without one.
    #[must_use]
    pub(super) fn viewers(&self) -> u64 {
        (self.all.len() - self.with_account + self.accounts.len()) as u64
    }

    /// How many of these can speak.
    #[must_use]
    pub(super) fn chatters(&self) -> u64 {
        self.accounts.len() as u64
    }

    pub(super) fn insert(&mut self, link: Arc<Link>, chatter: Option<Box<Chatter>>) {
        let entry = self.all.vacant_entry();
        let slot = entry.key();
        link.set_slot(u32::try_from(slot).unwrap_or(u32::MAX));
        entry.insert(Member { link, chatter: None });
        self.set_chatter(slot, chatter);
    }

    /// Where a connection is, if it is in the room.
    #[must_use]
    pub(super) fn find(&self, link: &Arc<Link>) -> Option<usize> {
        let slot = link.slot();
        self.all.get(slot).filter(|member| Arc::ptr_eq(&member.link, link)).map(|_| slot)
    }

    #[must_use]
    pub(super) fn get(&self, slot: usize) -> Option<&Member> {
        self.all.get(slot)
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.set_chatter(slot, None);
        self.all.try_remove(slot);
    }

    /// Signs a connection in or out.
    pub(super) fn set_chatter(&mut self, slot: usize, chatter: Option<Box<Chatter>>) {
        let Some(member) = self.all.get_mut(slot) else { return };
        if let Some(before) = member.chatter.take() {
            self.with_account -= 1;
            let account = before.speaker.account();
            if let Some(slots) = self.accounts.get_mut(account) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.accounts.remove(account);
                }
            }
        }
        if let Some(chatter) = chatter {
            self.with_account += 1;
            self.accounts.entry(chatter.speaker.account().to_owned()).or_default().push(slot);
            member.chatter = Some(chatter);
        }
    }

    /// The connections of an account.
    #[must_use]
    pub(super) fn of_account(&self, account: &str) -> Vec<usize> {
        self.accounts.get(account).cloned().unwrap_or_default()
    }

    pub(super) fn set_role(&mut self, slot: usize, role: Role) {
        if let Some(chatter) = self.all.get_mut(slot).and_then(|member| member.chatter.as_mut()) {
            chatter.role = role;
        }
    }

    /// Those who keep order here.
    pub(super) fn moderators(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.accounts.values().flatten().filter_map(|slot| {
            let member = self.all.get(*slot)?;
            (member.chatter.as_ref()?.role >= Role::Moderator).then_some(&member.link)
        })
    }

    /// Connections that can speak, with when their tokens expire.
    pub(super) fn expiries(&self) -> impl Iterator<Item = (usize, u64)> {
        self.accounts.values().flatten().filter_map(|slot| {
            let chatter = self.all.get(*slot)?.chatter.as_ref()?;
            Some((*slot, chatter.speaker.expires_ms()))
        })
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.all.iter().map(|(_, member)| &member.link)
    }

    /// Writes to everybody, with pauses for other tasks. Who is gone is taken out; how many got it is returned.
    pub(super) async fn send(&mut self, frames: &Bytes, now_ms: u64) -> usize {
        let mut gone = Vec::new();
        for (count, (slot, member)) in self.all.iter().enumerate() {
            if count % SLICE == SLICE - 1 {
                tokio::task::yield_now().await;
            }
            if member.link.push(frames, now_ms) == Pushed::Gone {
                gone.push(slot);
            }
        }
        let reached = self.all.len() - gone.len();
        for slot in gone {
            self.remove(slot);
        }
        reached
    }

    /// The next connections of a round that takes `rounds` calls.
    pub(super) fn sweep(&mut self, rounds: usize) -> Vec<usize> {
        let capacity = self.all.capacity();
        let count = capacity.div_ceil(rounds.max(1));
        let mut slots = Vec::new();
        for _ in 0..count {
            if self.swept >= capacity {
                self.swept = 0;
            }
            if self.all.contains(self.swept) {
                slots.push(self.swept);
            }
            self.swept += 1;
        }
        slots
    }
}
