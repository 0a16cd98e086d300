//! Who may not speak, and who is taken for one of them: by address, by name.

use std::collections::HashMap;

use nodi_protocol::chat::User;
use nodi_protocol::chat::server::Restriction;

use crate::limits::AddressHash;
use crate::store::Restricted;
use crate::text::fold::NameLikeness;

/// Time-outs and bans in force in one channel, about 500 bytes each. Who has more needs followers-only mode.
pub const MAX_RESTRICTED: usize = 20_000;
/// An account made less than this before a ban may have been made for it, in milliseconds: one day.
const PREPARED_MS: u64 = 86_400_000;

#[derive(Debug, Default)]
pub(super) struct Restrictions {
    all: HashMap<String, Restricted>,
    /// Banned accounts by where they were.
    addresses: HashMap<AddressHash, Vec<String>>,
    /// Banned accounts by what their names look like.
    names: HashMap<String, Vec<String>>,
    stems: HashMap<String, Vec<String>>,
}

impl Restrictions {
    pub(super) fn new(all: Vec<Restricted>) -> Self {
        let mut this = Self::default();
        all.into_iter().for_each(|one| this.put(one));
        this
    }

    pub(super) fn put(&mut self, one: Restricted) {
        self.remove(&one.user.id);
        if self.all.len() >= MAX_RESTRICTED {
            log::warn!(user = one.user.id.as_str(); "a restriction does not fit into memory");
            return;
        }
        if one.until_ms.is_none() {
            let id = &one.user.id;
            for address in &one.addresses {
                self.addresses.entry(*address).or_default().push(id.clone());
            }
            let likeness = NameLikeness::of(&one.user.name);
            self.names.entry(likeness.whole).or_default().push(id.clone());
            if let Some(stem) = likeness.stem {
                self.stems.entry(stem).or_default().push(id.clone());
            }
        }
        self.all.insert(one.user.id.clone(), one);
    }

    pub(super) fn remove(&mut self, account: &str) -> Option<Restricted> {
        let one = self.all.remove(account)?;
        for address in &one.addresses {
            leave_out(&mut self.addresses, address, account);
        }
        let likeness = NameLikeness::of(&one.user.name);
        leave_out(&mut self.names, &likeness.whole, account);
        if let Some(stem) = &likeness.stem {
            leave_out(&mut self.stems, stem, account);
        }
        Some(one)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What holds for an account now.
    pub(super) fn get(&self, account: &str, now_ms: u64) -> Option<&Restricted> {
        self.all.get(account).filter(|one| one.until_ms.is_none_or(|until| until > now_ms))
    }

    pub(super) fn named(&self, name: &str, now_ms: u64) -> Option<&Restricted> {
        self.all.values().find(|one| {
            one.user.name.eq_ignore_ascii_case(name) && one.until_ms.is_none_or(|until| until > now_ms)
        })
    }

    /// All that hold now, the newest first.
    pub(super) fn list(&self, now_ms: u64) -> Vec<&Restricted> {
        let mut list: Vec<_> =
            self.all.values().filter(|one| one.until_ms.is_none_or(|until| until > now_ms)).collect();
        list.sort_by(|a, b| b.at_ms.cmp(&a.at_ms).then_with(|| a.user.id.cmp(&b.user.id)));
        list
    }

    /// Forgets time-outs that are over, and tells whose.
    pub(super) fn end(&mut self, now_ms: u64) -> Vec<String> {
        let over: Vec<String> = self
            .all
            .values()
            .filter(|one| one.until_ms.is_some_and(|until| until <= now_ms))
            .map(|one| one.user.id.clone())
            .collect();
        for account in &over {
            self.remove(account);
        }
        over
    }

    /// A ban of somebody else that holds for one of these addresses, for `holds_ms` after it was spoken.
    pub(super) fn at(
        &self,
        addresses: &[AddressHash],
        account: &str,
        holds_ms: u64,
        now_ms: u64,
    ) -> Option<&Restricted> {
        addresses
            .iter()
            .filter_map(|address| self.addresses.get(address))
            .flatten()
            .filter(|id| *id != account)
            .filter_map(|id| self.all.get(id))
            .find(|one| one.at_ms.saturating_add(holds_ms) > now_ms)
    }

    /// Somebody else who is banned and whose name this one imitates. `spoke_ms`: when the account spoke here first.
    pub(super) fn imitated(
        &self,
        likeness: &NameLikeness,
        account: &str,
        created_ms: u64,
        spoke_ms: Option<u64>,
    ) -> Option<&Restricted> {
        // Who was here before is not an imitation.
        let free = |one: &&Restricted| spoke_ms.is_none_or(|spoke| spoke >= one.at_ms);
        let of = |ids: Option<&Vec<String>>| -> Vec<&Restricted> {
            let ids = ids.map(Vec::as_slice).unwrap_or_default();
            ids.iter().filter(|id| *id != account).filter_map(|id| self.all.get(id)).filter(free).collect()
        };
        if let Some(one) = of(self.names.get(&likeness.whole)).first() {
            return Some(one);
        }
        // `name2` after `name1` is common; it is suspicious when the account is made for it.
        let stem = likeness.stem.as_ref()?;
        of(self.stems.get(stem)).into_iter().find(|one| created_ms.saturating_add(PREPARED_MS) >= one.at_ms)
    }
}

fn leave_out<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Vec<String>>, key: &K, account: &str) {
    if let Some(accounts) = map.get_mut(key) {
        accounts.retain(|one| one != account);
        if accounts.is_empty() {
            map.remove(key);
        }
    }
}

/// As clients are told.
pub(super) fn told(one: &Restricted) -> Restriction {
    Restriction { until_ms: one.until_ms, reason: one.reason.clone() }
}

/// The role aside, the same person.
pub(super) fn with_role(user: &User, role: nodi_protocol::chat::Role) -> User {
    User { role, ..user.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, name: &str) -> User {
        User { id: id.into(), name: name.into(), role: Default::default(), color: None, badges: Vec::new() }
    }

    fn ban(id: &str, name: &str, at_ms: u64, addresses: &[u8]) -> Restricted {
        Restricted {
            user: user(id, name),
            until_ms: None,
            reason: None,
            by: user("m", "Mod"),
            at_ms,
            addresses: addresses.iter().map(|n| AddressHash::new([*n; 16])).collect(),
        }
    }

    #[test]
    fn a_time_out_ends_by_itself() {
        let mut all = Restrictions::new(vec![Restricted { until_ms: Some(100), ..ban("1", "Bob", 0, &[]) }]);
        assert!(all.get("1", 99).is_some() && all.named("bob", 99).is_some());
        assert!(all.get("1", 100).is_none() && all.named("bob", 100).is_none() && all.list(100).is_empty());
        assert_eq!(all.end(99), Vec::<String>::new());
        assert_eq!(all.end(100), ["1"]);
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn a_ban_holds_for_the_address_for_a_while() {
        let mut all = Restrictions::new(vec![ban("1", "Bob", 1_000, &[1, 2])]);
        let at = |all: &Restrictions, n: u8, account: &str, now| {
            all.at(&[AddressHash::new([n; 16])], account, 500, now).is_some()
        };
        assert!(at(&all, 1, "2", 1_499) && at(&all, 2, "2", 1_499));
        assert!(!at(&all, 1, "2", 1_500), "for so long only");
        assert!(!at(&all, 1, "1", 1_000), "the account has a ban of its own");
        assert!(!at(&all, 3, "2", 1_000));
        all.remove("1");
        assert!(!at(&all, 1, "2", 1_000));
        assert!(all.addresses.is_empty() && all.names.is_empty() && all.stems.is_empty());
    }

    #[test]
    fn imitations_of_a_banned_name_are_known() {
        let day = PREPARED_MS;
        let all = Restrictions::new(vec![ban("1", "SpamKing", 10 * day, &[])]);
        let imitated =
            |name: &str, created, spoke| all.imitated(&NameLikeness::of(name), "2", created, spoke).is_some();
        assert!(imitated("5pamK1ng", 0, None));
        assert!(!imitated("5pamK1ng", 0, Some(day)), "was here before");
        assert!(imitated("spamking_2", 10 * day, None));
        assert!(!imitated("spamking_2", 8 * day, None), "made long before");
        assert!(!imitated("king", 10 * day, None));
        assert!(all.imitated(&NameLikeness::of("SpamKing"), "1", 0, None).is_none());
    }

    #[test]
    fn a_second_restriction_takes_the_place_of_the_first() {
        let mut all = Restrictions::new(vec![ban("1", "Bob", 1, &[1])]);
        all.put(Restricted { until_ms: Some(50), ..ban("1", "Bob", 2, &[]) });
        assert_eq!(all.len(), 1);
        assert!(all.get("1", 50).is_none());
        assert!(all.addresses.is_empty());
    }
}
