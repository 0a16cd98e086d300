//! What was already asked for, so that a client that asks again after a broken connection is answered again and not
//! obeyed twice.

use hashlink::LinkedHashMap;
use nodi_protocol::chat::EventId;

use crate::store::Nonce;

/// How long a repetition is known as one, in milliseconds: longer than any client goes on trying to reconnect without
/// telling its user.
pub const KEPT_MS: u64 = 10 * 60 * 1_000;
/// How long something may be on its way to the bus and back, in milliseconds. After that it was lost, and a repetition
/// is another try.
const PENDING_MS: u64 = 5_000;
/// Requests remembered, about 150 bytes each.
pub const MAX_NONCES: usize = 20_000;
/// Longest nonce, in characters.
pub const MAX_NONCE: usize = 64;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Became {
    /// On its way to the bus.
    Pending,
    Said(EventId),
    Held,
    /// An action was done, and this was said about it.
    Done(String),
}

#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// Oldest first.
    all: LinkedHashMap<(String, String), (u64, Became)>,
}

impl Nonces {
    pub(super) fn new(said: Vec<Nonce>) -> Self {
        let mut this = Self::default();
        for one in said {
            this.put(&one.account, &one.nonce, one.at_ms, Became::Said(one.id));
        }
        this
    }

    pub(super) fn get(&self, account: &str, nonce: &str, now_ms: u64) -> Option<&Became> {
        self.all
            .get(&(account.to_owned(), nonce.to_owned()))
            .filter(|(at, became)| {
                let kept = if *became == Became::Pending { PENDING_MS } else { KEPT_MS };
                now_ms < at.saturating_add(kept)
            })
            .map(|(_, became)| became)
    }

    pub(super) fn put(&mut self, account: &str, nonce: &str, now_ms: u64, became: Became) {
        self.all.insert((account.to_owned(), nonce.to_owned()), (now_ms, became));
        while self.all.len() > MAX_NONCES {
            self.all.pop_front();
        }
    }

    /// It was not done after all.
    pub(super) fn remove(&mut self, account: &str, nonce: &str) {
        self.all.remove(&(account.to_owned(), nonce.to_owned()));
    }

    pub(super) fn forget(&mut self, now_ms: u64) {
        while self.all.front().is_some_and(|(_, (at, _))| at.saturating_add(KEPT_MS) <= now_ms) {
            self.all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_again_for_a_while() {
        let id = EventId::new(1, 1);
        let mut nonces = Nonces::new(vec![Nonce { account: "a".into(), nonce: "1".into(), id, at_ms: 100 }]);
        assert_eq!(nonces.get("a", "1", 100 + KEPT_MS - 1), Some(&Became::Said(id)));
        assert_eq!(nonces.get("a", "1", 100 + KEPT_MS), None);
        assert_eq!(nonces.get("b", "1", 100), None);
        nonces.put("b", "1", 200, Became::Held);
        nonces.forget(100 + KEPT_MS);
        assert_eq!(nonces.all.len(), 1);
    }

    #[test]
    fn what_was_lost_on_the_way_may_be_tried_again() {
        let mut nonces = Nonces::default();
        nonces.put("a", "1", 100, Became::Pending);
        assert_eq!(nonces.get("a", "1", 100 + PENDING_MS - 1), Some(&Became::Pending));
        assert_eq!(nonces.get("a", "1", 100 + PENDING_MS), None);
    }

    #[test]
    fn they_are_bounded() {
        let mut nonces = Nonces::default();
        for n in 0..MAX_NONCES + 5 {
            nonces.put("a", &n.to_string(), 1, Became::Pending);
        }
        assert_eq!(nonces.all.len(), MAX_NONCES);
        assert!(nonces.get("a", "4", 1).is_none());
    }
}
