//! The state of one room and what is asked of it.

use std::collections::HashMap;
use std::sync::Arc;

use hashlink::LinkedHashMap;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::action::{Action, Target};
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::server::{self, Code, Emote, Frame, You};
use nodi_protocol::chat::settings::Settings;
use nodi_protocol::chat::token::Claims;
use nodi_protocol::chat::{EventId, Role, User};

use super::config::Config;
use super::held::Queue;
use super::journal::Journal;
use super::nonces::Nonces;
use super::people::{People, saw_at};
use super::raid::Watch;
use super::recent::{Recent, Unique};
use super::restrictions::{self, Restrictions};
use super::speaker::Speaker;
use super::terms::Terms;
use super::{Note, Outcome, Publish, refusal};
use crate::limits::{AddressHash, AddressKey, Bucket, Table};
use crate::store::{Loaded, Op, Salts};
use crate::text::fold::NameLikeness;

/// Badges of one person: more do not fit before a name.
const MAX_BADGES: usize = 5;
/// Addresses of which is known how many accounts they have.
const MAX_CROWDS: usize = 10_000;
/// How long an account counts for the crowd at an address, in milliseconds: one day.
const CROWD_MS: u64 = 86_400_000;

/// One channel's chat: pure, without clock, network or disk. See the [module](super).
#[derive(Debug)]
pub struct Room {
    pub(super) channel: ChannelId,
    pub(super) rules: Config,
    pub(super) salts: Arc<Salts>,
    pub(super) settings: Settings,
    /// Appointed here, by account.
    pub(super) moderators: HashMap<String, User>,
    pub(super) restrictions: Restrictions,
    pub(super) terms: Terms,
    pub(super) held: Queue,
    pub(super) journal: Journal,
    pub(super) people: People,
    pub(super) recent: Recent,
    pub(super) unique: Unique,
    pub(super) nonces: Nonces,
    pub(super) raid: Watch,
    /// How many had spoken here when the room was opened, or a day ago: who comes within an evening does not make the
    /// others of that evening strangers.
    pub(super) regulars: usize,
    counted_ms: Option<u64>,
    pub(super) limits: Limits,
    /// When an account spoke last, of those that did since it mattered.
    pub(super) spoke: LinkedHashMap<String, u64>,
    /// Accounts at an address, with when they were seen last.
    crowds: LinkedHashMap<AddressHash, Vec<(String, u64)>>,
    emotes: Vec<Emote>,
    pub(super) images: HashMap<String, String>,
    facts: Option<ChannelFacts>,
}

/// The buckets of a room.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) accounts: Table<String>,
    pub(super) attempts: Table<String>,
    pub(super) addresses: Table<AddressKey>,
    pub(super) channel: Bucket,
}

/// What an address does to somebody who speaks from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    Free,
    /// Somebody was banned there, but many are there.
    Shared,
    /// Somebody was banned there.
    Banned,
}

impl Room {
    /// A room as it was left.
    #[must_use]
    pub fn open(channel: ChannelId, rules: &Config, salts: &Arc<Salts>, stored: Loaded) -> Self {
        let mut room = Self {
            channel,
            settings: stored.settings.unwrap_or_else(|| rules.defaults.clone()),
            rules: rules.clone(),
            salts: Arc::clone(salts),
            moderators: stored.moderators.into_iter().map(|user| (user.id.clone(), user)).collect(),
            restrictions: Restrictions::new(stored.restrictions),
            terms: Terms::new(stored.terms),
            held: Queue::new(stored.held),
            journal: Journal::new(stored.log),
            people: People::new(Vec::new(), &stored.known),
            recent: Recent::new(stored.events),
            unique: Unique::default(),
            nonces: Nonces::new(stored.nonces),
            raid: Watch::new(stored.raid_until_ms),
            regulars: 0,
            counted_ms: None,
            limits: Limits {
                accounts: Table::new(Table::<String>::CAPACITY),
                attempts: Table::new(Table::<String>::CAPACITY),
                addresses: Table::new(Table::<AddressKey>::CAPACITY),
                channel: Bucket::default(),
            },
            spoke: LinkedHashMap::new(),
            crowds: LinkedHashMap::new(),
            emotes: Vec::new(),
            images: HashMap::new(),
            facts: None,
        };
        for person in &stored.people {
            if person.messages > 0 {
                room.spoke.insert(person.user.id.clone(), person.last_ms);
            }
            for (address, at) in &person.addresses {
                room.join_crowd(*address, &person.user.id, *at);
            }
        }
        room.people = People::new(stored.people, &stored.known);
        room.regulars = room.people.spoken();
        if let Some(facts) = stored.facts {
            room.take_facts(facts);
        }
        room
    }

    /// Who a token's bearer is here.
    ///
    /// # Errors
    /// The token is for another channel, or the address is one that somebody was banned from. Reading goes on.
    pub fn identify(
        &mut self,
        now_ms: u64,
        claims: Claims,
        address: AddressKey,
    ) -> Result<Speaker, server::Refused> {
        if claims.channel.as_ref() != Some(&self.channel) {
            return Err(refusal("", Code::Unauthenticated, "this chat token is for another channel", None));
        }
        if claims.exp.saturating_mul(1_000) <= now_ms {
            return Err(refusal(
                "",
                Code::Unauthenticated,
                "this chat token has expired; get a new one",
                None,
            ));
        }
        let hashes = self.salts.hashes(&self.channel, &address);
        let speaker = Speaker { likeness: NameLikeness::of(&claims.name), claims, address, hashes };
        let user = self.user(&speaker, speaker.claims.role);
        let person = self.people.meet(&user, now_ms);
        person.created_s = Some(speaker.claims.created_s);
        person.followed_s = speaker.claims.followed_s;
        self.people.refresh(speaker.account());
        // The account's own ban is told by `you`.
        if self.restriction(&speaker, now_ms).is_none() && self.address(&speaker, now_ms) == Address::Banned {
            return Err(refusal(
                "",
                Code::Banned,
                "somebody was banned from this address; you can read on",
                None,
            ));
        }
        if let Some(here) = speaker.hashes.first() {
            if let Some(person) = self.people.get_mut(speaker.account()) {
                saw_at(person, *here, now_ms);
            }
            self.join_crowd(*here, speaker.account(), now_ms);
        }
        Ok(speaker)
    }

    /// What a connection with this token is and may do now.
    #[must_use]
    pub fn you(&self, now_ms: u64, speaker: &Speaker) -> You {
        You {
            user: self.user(speaker, self.role(speaker)),
            expires_ms: speaker.expires_ms(),
            restriction: self.restriction(speaker, now_ms).map(restrictions::told),
        }
    }

    /// The higher one of the token's role and the one that the account was appointed to here.
    #[must_use]
    pub fn role(&self, speaker: &Speaker) -> Role {
        self.at_least(speaker.claims.role, speaker.account())
    }

    fn at_least(&self, role: Role, account: &str) -> Role {
        if self.moderators.contains_key(account) { role.max(Role::Moderator) } else { role }
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    #[must_use]
    pub fn emotes(&self) -> &[Emote] {
        &self.emotes
    }

    /// Nobody may enter.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.suspended)
    }

    /// What the fleet server was last heard to say of the channel; `None`: nothing yet.
    #[must_use]
    pub fn known_facts(&self) -> Option<&ChannelFacts> {
        self.facts.as_ref()
    }

    /// The fleet server says something of the channel.
    pub fn facts(&mut self, facts: &ChannelFacts) -> Outcome {
        if self.facts.as_ref() == Some(facts) {
            return Outcome::default();
        }
        self.take_facts(facts.clone());
        Outcome { ops: vec![Op::Facts(Box::new(facts.clone()))], ..Outcome::default() }
    }

    fn take_facts(&mut self, facts: ChannelFacts) {
        self.images = facts.emotes.iter().map(|emote| (emote.name.clone(), emote.url.clone())).collect();
        self.emotes.clone_from(&facts.emotes);
        self.facts = Some(facts);
    }

    /// What a button does.
    pub fn act(&mut self, now_ms: u64, speaker: &Speaker, nonce: &str, action: Action) -> Outcome {
        match self.admit(now_ms, speaker, nonce) {
            Ok(()) => self.obey(now_ms, speaker, nonce, action),
            Err(outcome) => *outcome,
        }
    }

    /// The bus did not take what a `say` or `do` was to publish: asked again with the same nonce, it is another try.
    pub fn unsent(&mut self, account: &str, nonce: &str) {
        self.nonces.remove(account, nonce);
    }

    /// An account's messages are erased for good, because its owner wants it.
    pub fn erase(&mut self, _now_ms: u64, account: &str) -> Outcome {
        use nodi_protocol::chat::event::What;
        let mut outcome = Outcome::default();
        if let Some(person) = self.people.get(account) {
            // Whoever has them on the screen takes them away.
            outcome.publish.push(Publish::event(What::Purged { user: person.user.clone(), by: None }));
        }
        outcome.publish.push(Publish::note(Note::Erased { account: account.to_owned() }));
        outcome
    }

    /// Time has passed. Called about once a second.
    pub fn tick(&mut self, now_ms: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let hold_ms = u64::from(self.rules.hold_s) * 1_000;
        for id in self.held.older(now_ms.saturating_sub(hold_ms)) {
            self.held.decide(id);
            outcome.publish.push(Publish::note(Note::Reviewed { held: id, allowed: false, by: None }));
        }
        for account in self.restrictions.end(now_ms) {
            outcome.ops.push(Op::Ended { channel: self.channel.clone(), account });
        }
        let counted_ms = *self.counted_ms.get_or_insert(now_ms);
        if counted_ms.saturating_add(CROWD_MS) <= now_ms {
            self.regulars = self.people.spoken();
            self.counted_ms = Some(now_ms);
        }
        self.nonces.forget(now_ms);
        self.unique.forget(now_ms.saturating_sub(u64::from(self.rules.unique_s) * 1_000));
        self.limits.accounts.sweep(now_ms);
        self.limits.attempts.sweep(now_ms);
        self.limits.addresses.sweep(now_ms);
        let slowest = u64::from(super::settings::MAX_SLOW_S) * 1_000;
        while self.spoke.front().is_some_and(|(_, at)| at.saturating_add(slowest) < now_ms) {
            self.spoke.pop_front();
        }
        outcome
    }

    /// As everybody sees somebody, with this role.
    pub(super) fn user(&self, speaker: &Speaker, role: Role) -> User {
        let claims = &speaker.claims;
        let color = claims.color.as_ref().filter(|color| {
            color
                .strip_prefix('#')
                .is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        });
        let own = match role {
            Role::Viewer => None,
            Role::Subscriber => Some("subscriber"),
            Role::Moderator => Some("moderator"),
            Role::Streamer => Some("streamer"),
            Role::Staff => Some("staff"),
        };
        let given = claims.badges.iter().map(String::as_str).filter(|badge| Some(*badge) != own);
        User {
            id: claims.sub.clone(),
            name: claims.name.clone(),
            role,
            color: color.cloned(),
            badges: own.into_iter().chain(given).take(MAX_BADGES).map(str::to_owned).collect(),
        }
    }

    /// What keeps somebody from speaking. Nothing keeps a streamer or an operator.
    pub(super) fn restriction(&self, speaker: &Speaker, now_ms: u64) -> Option<&crate::store::Restricted> {
        if speaker.claims.role >= Role::Streamer {
            return None;
        }
        self.restrictions.get(speaker.account(), now_ms)
    }

    /// Who is meant, with the role that they have here.
    pub(super) fn target(&self, target: &Target, now_ms: u64) -> Option<User> {
        let user =
            self.people.find(target).map(|person| &person.user).or_else(|| {
                match target.strip_prefix('@') {
                    Some(name) => self.restrictions.named(name, now_ms).map(|one| &one.user).or_else(|| {
                        self.moderators.values().find(|user| user.name.eq_ignore_ascii_case(name))
                    }),
                    None => self
                        .restrictions
                        .get(target, now_ms)
                        .map(|one| &one.user)
                        .or_else(|| self.moderators.get(target)),
                }
            })?;
        let role = self.at_least(user.role, &user.id);
        Some(restrictions::with_role(user, role))
    }

    /// Whether a ban of somebody else holds for where the speaker is.
    pub(super) fn address(&self, speaker: &Speaker, now_ms: u64) -> Address {
        if self.role(speaker) >= Role::Moderator {
            return Address::Free;
        }
        let holds_ms = self.rules.address_ban_s.saturating_mul(1_000);
        let Some(ban) = self.restrictions.at(&speaker.hashes, speaker.account(), holds_ms, now_ms) else {
            return Address::Free;
        };
        let spoke = self.people.get(speaker.account()).and_then(|person| person.first_ms);
        if spoke.is_some_and(|spoke| spoke.saturating_add(CROWD_MS) <= ban.at_ms) {
            // At home in this channel for longer than a ban is prepared for: a flatmate.
            return Address::Free;
        }
        if self.crowd(&speaker.hashes, now_ms) >= self.rules.shared_address {
            Address::Shared
        } else {
            Address::Banned
        }
    }

    /// Accounts at an address within a day.
    fn crowd(&self, addresses: &[AddressHash], now_ms: u64) -> usize {
        addresses
            .iter()
            .filter_map(|address| self.crowds.get(address))
            .map(|accounts| accounts.iter().filter(|(_, at)| at.saturating_add(CROWD_MS) > now_ms).count())
            .max()
            .unwrap_or_default()
    }

    fn join_crowd(&mut self, address: AddressHash, account: &str, now_ms: u64) {
        let most = self.rules.shared_address;
        let mut accounts = self.crowds.remove(&address).unwrap_or_default();
        accounts.retain(|(known, _)| known != account);
        accounts.push((account.to_owned(), now_ms));
        if accounts.len() > most {
            accounts.remove(0);
        }
        self.crowds.insert(address, accounts);
        while self.crowds.len() > MAX_CROWDS {
            self.crowds.pop_front();
        }
    }
}

/// An answer and nothing else.
pub(super) fn answered(frame: Frame) -> Outcome {
    Outcome { answer: Some(frame), ..Outcome::default() }
}

pub(super) fn refused(nonce: &str, code: Code, text: impl Into<String>, retry_ms: Option<u64>) -> Outcome {
    answered(Frame::Refused(refusal(nonce, code, text, retry_ms)))
}

/// Which message a reply or an action names.
pub(super) fn no_such_message(id: EventId) -> String {
    format!("there is no message {id} among the last ones")
}
