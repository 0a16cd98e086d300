//! The raid shield: notices a burst of newcomers.

use std::collections::{HashMap, VecDeque};

use super::config;

/// Accounts watched at a time. In a room where more speak within the window nobody could tell a raid from a crowd.
const MAX_WATCHED: usize = 5_000;

/// What somebody who speaks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The account is new.
    New,
    /// It is not, but it never spoke here.
    First,
    Known,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Who spoke first within the window when, in order.
    order: VecDeque<(u64, String)>,
    kinds: HashMap<String, Kind>,
    new: usize,
    first: usize,
    until_ms: u64,
}

impl Watch {
    pub(super) fn new(until_ms: u64) -> Self {
        Self { until_ms, ..Self::default() }
    }

    pub(super) fn is_up(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    pub(super) fn raise(&mut self, until_ms: u64) {
        self.until_ms = self.until_ms.max(until_ms);
    }

    pub(super) fn lower(&mut self) {
        *self = Self::default();
    }

    /// Somebody wants to say something. `known`: how many had spoken here before this day. The number of newcomers if this is a
    /// raid.
    pub(super) fn see(
        &mut self,
        config: &config::Raid,
        now_ms: u64,
        account: &str,
        kind: Kind,
        known: usize,
    ) -> Option<u32> {
        self.forget(now_ms.saturating_sub(u64::from(config.window_s) * 1_000));
        if !self.kinds.contains_key(account) && self.order.len() < MAX_WATCHED {
            self.order.push_back((now_ms, account.to_owned()));
            self.kinds.insert(account.to_owned(), kind);
            match kind {
                Kind::New => self.new += 1,
                Kind::First => self.first += 1,
                Kind::Known => {}
            }
        }
        let all = self.kinds.len();
        let (new, strangers) = (self.new, self.new + self.first);
        let accounts = new >= config.accounts && new > all - new;
        let crowd = strangers >= config.first_timers
            && strangers >= 2 * (all - strangers)
            && known >= config.accounts.saturating_mul(5);
        (accounts || crowd).then(|| u32::try_from(strangers).unwrap_or(u32::MAX))
    }

    fn forget(&mut self, then_ms: u64) {
        while self.order.front().is_some_and(|(at, _)| *at < then_ms) {
            let Some((_, account)) = self.order.pop_front() else { break };
            match self.kinds.remove(&account) {
                Some(Kind::New) => self.new -= 1,
                Some(Kind::First) => self.first -= 1,
                Some(Kind::Known) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn a_burst_of_new_accounts_is_a_raid() {
        let config = config::Raid::default();
        let mut watch = Watch::default();
        for n in 0..9 {
            assert_eq!(watch.see(&config, NOW, &format!("n{n}"), Kind::New, 0), None);
        }
        // Again and again the same ones are not more.
        assert_eq!(watch.see(&config, NOW, "n1", Kind::New, 0), None);
        assert_eq!(watch.see(&config, NOW, "n9", Kind::New, 0), Some(10));
    }

    #[test]
    fn newcomers_among_many_others_are_an_evening() {
        let config = config::Raid::default();
        let mut watch = Watch::default();
        for n in 0..15 {
            assert_eq!(watch.see(&config, NOW, &format!("k{n}"), Kind::Known, 500), None);
            assert_eq!(watch.see(&config, NOW, &format!("n{n}"), Kind::New, 500), None);
        }
    }

    #[test]
    fn slowly_they_are_no_burst() {
        let config = config::Raid::default();
        let mut watch = Watch::default();
        for n in 0..100 {
            assert_eq!(watch.see(&config, NOW + n * 4_000, &format!("n{n}"), Kind::New, 0), None);
        }
        assert!(watch.kinds.len() < 10);
    }

    #[test]
    fn strangers_with_old_accounts_are_a_raid_where_people_know_each_other() {
        let config = config::Raid::default();
        for (known, raid) in [(49, None), (50, Some(40))] {
            let mut watch = Watch::default();
            let mut last = None;
            for n in 0..40 {
                last = watch.see(&config, NOW, &format!("f{n}"), Kind::First, known);
            }
            assert_eq!(last, raid);
        }
    }

    #[test]
    fn the_shield_stays_up_for_a_while() {
        let mut watch = Watch::default();
        watch.raise(NOW + 10);
        watch.raise(NOW + 5);
        assert!(watch.is_up(NOW + 9) && !watch.is_up(NOW + 10));
        watch.lower();
        assert!(!watch.is_up(NOW));
    }
}
