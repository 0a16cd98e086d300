//! Who is or was in the room: names, first messages, and what `/who` tells. Bounded: who was away longest is forgotten
//! first, but not that they have spoken.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use hashlink::LinkedHashMap;
use nodi_protocol::chat::User;
use nodi_protocol::chat::action::Target;

use super::Inside;
use crate::limits::AddressHash;
use crate::store::Person;

/// People of whom everything is known, about 500 bytes each. A mention, a command or a ban by address needs to know
/// whom it means; nobody means somebody whom ten thousand others came after.
pub const MAX_PEOPLE: usize = 10_000;
/// Accounts of whom is known that they have spoken here, 16 bytes each: they are not greeted as new.
pub const MAX_KNOWN: usize = 200_000;
/// Addresses remembered of one person: home, mobile, work, and one more.
const MAX_ADDRESSES: usize = 4;

#[derive(Debug)]
pub(super) struct People {
    /// Who was here last is at the back.
    all: LinkedHashMap<String, Person>,
    /// Ids by names in lower case.
    names: HashMap<String, String>,
    /// Hashes of ids.
    spoken: HashSet<u64>,
    hasher: RandomState,
}

impl People {
    pub(super) fn new(people: Vec<Person>, known: &[String]) -> Self {
        let mut this = Self {
            all: LinkedHashMap::new(),
            names: HashMap::new(),
            spoken: HashSet::new(),
            hasher: RandomState::new(),
        };
        known.iter().for_each(|account| this.has_spoken_now(account));
        for person in people {
            if person.messages > 0 {
                this.has_spoken_now(&person.user.id);
            }
            this.put(person);
        }
        this
    }

    fn put(&mut self, person: Person) {
        let id = person.user.id.clone();
        self.names.insert(person.user.name.to_lowercase(), id.clone());
        self.all.insert(id, person);
        while self.all.len() > MAX_PEOPLE {
            let Some((id, person)) = self.all.pop_front() else { break };
            self.forget_name(&id, &person.user.name);
        }
    }

    fn forget_name(&mut self, id: &str, name: &str) {
        let name = name.to_lowercase();
        // Somebody else may have taken the name meanwhile.
        if self.names.get(&name).is_some_and(|owner| owner == id) {
            self.names.remove(&name);
        }
    }

    /// The person of this account, made if there is none, with its name and colour brought up to date.
    pub(super) fn meet(&mut self, user: &User, now_ms: u64) -> &mut Person {
        let renamed = match self.all.get(&user.id) {
            None => true,
            Some(person) if person.user.name != user.name => {
                let old = person.user.name.clone();
                self.forget_name(&user.id, &old);
                true
            }
            Some(_) => false,
        };
        if renamed {
            let person = match self.all.remove(&user.id) {
                Some(person) => Person { user: user.clone(), ..person },
                None => stranger(user, now_ms),
            };
            self.put(person);
        }
        let person = self.all.entry(user.id.clone()).or_insert_with(|| stranger(user, now_ms));
        if person.user != *user {
            person.user = user.clone();
        }
        person.last_ms = person.last_ms.max(now_ms);
        person
    }

    /// They are here: keeps them from being forgotten.
    pub(super) fn refresh(&mut self, account: &str) {
        self.all.to_back(account);
    }

    /// Somebody said something that all have heard.
    pub(super) fn said(&mut self, user: &User, inside: &Inside, at_ms: u64) {
        self.has_spoken_now(&user.id);
        // What they are here may be more than what their token says, and can be taken back.
        let role = inside.role.unwrap_or(user.role);
        let person = self.meet(&User { role, ..user.clone() }, at_ms);
        person.messages += 1;
        person.first_ms.get_or_insert(at_ms);
        person.created_s = inside.created_s.or(person.created_s);
        person.followed_s = inside.followed_s;
        if let Some(address) = inside.addresses.first() {
            saw_at(person, *address, at_ms);
        }
        self.refresh(&user.id);
    }

    pub(super) fn has_spoken(&self, account: &str) -> bool {
        self.spoken.contains(&self.hasher.hash_one(account))
    }

    /// From here on the account is no newcomer.
    pub(super) fn has_spoken_now(&mut self, account: &str) {
        if self.spoken.len() < MAX_KNOWN {
            self.spoken.insert(self.hasher.hash_one(account));
        }
    }

    /// How many accounts have spoken here.
    pub(super) fn spoken(&self) -> usize {
        self.spoken.len()
    }

    pub(super) fn get(&self, account: &str) -> Option<&Person> {
        self.all.get(account)
    }

    pub(super) fn get_mut(&mut self, account: &str) -> Option<&mut Person> {
        self.all.get_mut(account)
    }

    /// By name, in whatever case.
    pub(super) fn named(&self, name: &str) -> Option<&Person> {
        self.names.get(&name.to_lowercase()).and_then(|id| self.all.get(id))
    }

    pub(super) fn find(&self, target: &Target) -> Option<&Person> {
        match target.strip_prefix('@') {
            Some(name) => self.named(name),
            None => self.get(target),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.all.values()
    }

    pub(super) fn forget(&mut self, account: &str) {
        self.spoken.remove(&self.hasher.hash_one(account));
        if let Some(person) = self.all.remove(account) {
            self.forget_name(account, &person.user.name);
        }
    }
}

fn stranger(user: &User, now_ms: u64) -> Person {
    Person {
        user: user.clone(),
        first_ms: None,
        last_ms: now_ms,
        messages: 0,
        timeouts: 0,
        bans: 0,
        created_s: None,
        followed_s: None,
        addresses: Vec::new(),
    }
}

/// Remembers where somebody is.
pub(super) fn saw_at(person: &mut Person, address: AddressHash, now_ms: u64) {
    person.addresses.retain(|(known, _)| *known != address);
    if person.addresses.len() >= MAX_ADDRESSES {
        person.addresses.remove(0);
    }
    person.addresses.push((address, now_ms));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, name: &str) -> User {
        User { id: id.into(), name: name.into(), role: Default::default(), color: None, badges: Vec::new() }
    }

    #[test]
    fn people_are_found_by_id_and_by_name() {
        let mut people = People::new(Vec::new(), &[]);
        people.meet(&user("1", "Bob"), 5);
        assert_eq!(people.find(&"@bOB".to_owned()).unwrap().user.id, "1");
        assert_eq!(people.find(&"1".to_owned()).unwrap().user.name, "Bob");
        assert!(people.find(&"Bob".to_owned()).is_none());
        people.meet(&user("1", "Rob"), 6);
        assert!(people.named("bob").is_none());
        assert_eq!(people.named("rob").unwrap().last_ms, 6);
        // Somebody else takes the name; the first one is forgotten without taking it along.
        people.meet(&user("2", "Rob"), 7);
        people.forget("1");
        assert_eq!(people.named("rob").unwrap().user.id, "2");
    }

    #[test]
    fn the_longest_away_are_forgotten_but_not_that_they_spoke() {
        let mut people = People::new(Vec::new(), &["old".to_owned()]);
        people.said(&user("first", "First"), &Inside::default(), 1);
        people.said(&user("stays", "Stays"), &Inside::default(), 1);
        for n in 0..MAX_PEOPLE {
            people.refresh("stays");
            people.meet(&user(&format!("n{n}"), &format!("Name{n}")), 2);
        }
        assert_eq!(people.all.len(), MAX_PEOPLE);
        assert_eq!(people.names.len(), MAX_PEOPLE);
        assert!(people.get("first").is_none() && people.named("First").is_none());
        assert!(people.get("stays").is_some());
        assert!(people.has_spoken("first") && people.has_spoken("old"));
        assert!(!people.has_spoken("n1"));
    }

    #[test]
    fn the_last_addresses_are_remembered() {
        let mut people = People::new(Vec::new(), &[]);
        let person = people.meet(&user("1", "Bob"), 5);
        for n in 0..10 {
            saw_at(person, AddressHash::new([n; 16]), n.into());
            saw_at(person, AddressHash::new([0; 16]), n.into());
        }
        assert_eq!(person.addresses.len(), MAX_ADDRESSES);
        assert_eq!(person.addresses.last().unwrap(), &(AddressHash::new([0; 16]), 9));
    }
}
