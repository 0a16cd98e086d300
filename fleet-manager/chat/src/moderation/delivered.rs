//! What came back from the bus counts: here, and only here, what the nodes share is changed, and the moderation log is
//! written.

use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Event, Message, What};
use nodi_protocol::chat::server::{Frame, LogEntry};
use nodi_protocol::chat::settings::Settings;
use nodi_protocol::chat::{EventId, Role, User};

use super::commands::span;
use super::nonces::Became;
use super::room::Room;
use super::{Delivery, Inside, Item, Note, Outcome, held, settings};
use crate::store::{Op, Restricted, Waiting};
use crate::text::{self, fold};

/// How much of a message the log quotes, in grapheme clusters.
const QUOTED: usize = 200;

/// What the log says of something.
struct Entry {
    by: Option<User>,
    action: &'static str,
    user: Option<User>,
    text: String,
}

impl Room {
    /// Something came back from the bus. Whatever the order in which it was sent, all come in one order, and each one once.
    pub fn delivered(&mut self, delivery: &Delivery) -> Outcome {
        let mut outcome = Outcome::default();
        let (id, at_ms, inside) = (delivery.id, delivery.at_ms, &delivery.inside);
        let entry = match &delivery.item {
            Item::Event(what) => self.happened(id, at_ms, what, inside, &mut outcome),
            Item::Note(note) => self.noted(id, at_ms, note, inside, &mut outcome),
        };
        outcome
            .ops
            .push(Op::Delivered { channel: self.channel.clone(), delivery: Box::new(delivery.clone()) });
        if let Some(Entry { by, action, user, text }) = entry {
            let entry = LogEntry { id, at_ms, by, action: action.to_owned(), user, text };
            self.journal.push(entry.clone());
            outcome.ops.push(Op::Log { channel: self.channel.clone(), entry: Box::new(entry.clone()) });
            outcome.moderators.push(Frame::Logged { entry });
        }
        outcome
    }

    fn happened(
        &mut self,
        id: EventId,
        at_ms: u64,
        what: &What,
        inside: &Inside,
        outcome: &mut Outcome,
    ) -> Option<Entry> {
        match what {
            What::Message(message) => {
                self.heard(id, at_ms, message, inside);
                None
            }
            What::Deleted { message, by } => {
                let event = self.recent.remove(*message)?;
                let What::Message(message) = event.what else { return None };
                // Taking back one's own words is nobody else's business.
                let by = by.clone().filter(|by| by.id != message.user.id)?;
                let text = text::start(&message.text, QUOTED);
                Some(Entry { by: Some(by), action: "delete", user: Some(message.user), text })
            }
            What::Purged { user, by } => {
                self.recent.remove_of(&user.id);
                self.drop_held(&user.id, by.as_ref(), outcome);
                let by = Some(by.clone()?);
                Some(Entry { by, action: "purge", user: Some(user.clone()), text: String::new() })
            }
            What::Cleared { by } => {
                self.recent.clear();
                Some(Entry { by: Some(by.clone()), action: "clear", user: None, text: String::new() })
            }
            What::Restricted { user, until_ms, reason, by } => {
                let one = Restricted {
                    user: user.clone(),
                    until_ms: *until_ms,
                    reason: reason.clone(),
                    by: by.clone(),
                    at_ms,
                    addresses: inside.addresses.clone(),
                };
                self.silenced(one, outcome)
            }
            What::Released { user, by } => {
                let one = self.restrictions.remove(&user.id)?;
                outcome.changed = Some(user.id.clone());
                let action = if one.until_ms.is_none() { "unban" } else { "untimeout" };
                Some(Entry { by: Some(by.clone()), action, user: Some(user.clone()), text: String::new() })
            }
            What::Role { user, by } => {
                outcome.changed = Some(user.id.clone());
                let action = if user.role >= Role::Moderator {
                    self.moderators.insert(user.id.clone(), user.clone());
                    "mod"
                } else {
                    self.moderators.remove(&user.id);
                    "unmod"
                };
                Some(Entry { by: Some(by.clone()), action, user: Some(user.clone()), text: String::new() })
            }
            What::Settings { settings, by } => self.set_to(settings, by),
        }
    }

    fn heard(&mut self, id: EventId, at_ms: u64, message: &Message, inside: &Inside) {
        let account = &message.user.id;
        self.people.said(&message.user, inside, at_ms);
        self.spoke(account, at_ms);
        if self.settings.unique {
            self.unique.put(fold::likeness(&message.text), at_ms);
        }
        if let Some(nonce) = &inside.nonce {
            self.nonces.put(account, nonce, at_ms, Became::Said(id));
        }
        if let Some(held) = inside.held {
            self.held.decide(held);
        }
        self.recent.push(Event { id, at_ms, what: What::Message(message.clone()) });
    }

    fn silenced(&mut self, one: Restricted, outcome: &mut Outcome) -> Option<Entry> {
        let Restricted { user, until_ms, reason, by, at_ms, .. } = &one;
        self.recent.remove_of(&user.id);
        self.drop_held(&user.id, Some(by), outcome);
        outcome.changed = Some(user.id.clone());
        if let Some(person) = self.people.get_mut(&user.id) {
            match until_ms {
                Some(_) => person.timeouts += 1,
                None => person.bans += 1,
            }
        }
        let length = until_ms.map(|until| span::words_ms(until.saturating_sub(*at_ms)));
        let text = match (length, reason) {
            (Some(length), Some(reason)) => format!("{length}: {reason}"),
            (Some(length), None) => length,
            (None, Some(reason)) => reason.clone(),
            (None, None) => String::new(),
        };
        let action = if until_ms.is_some() { "timeout" } else { "ban" };
        let entry = Entry { by: Some(by.clone()), action, user: Some(user.clone()), text };
        self.restrictions.put(one);
        Some(entry)
    }

    /// What somebody who is silenced said and nobody has seen yet is not to be seen.
    fn drop_held(&mut self, account: &str, by: Option<&User>, outcome: &mut Outcome) {
        for waiting in self.held.remove_of(account) {
            outcome.moderators.push(Frame::Reviewed { id: waiting.id, allowed: false, by: by.cloned() });
        }
    }

    fn set_to(&mut self, settings: &Settings, by: &User) -> Option<Entry> {
        let changes = settings::differences(&self.settings, settings);
        self.settings = settings.clone();
        if !settings.raid_shield {
            self.raid.lower();
        }
        let action = match changes.as_slice() {
            [] => return None,
            [(action, _)] => action,
            _ => "settings",
        };
        let words: Vec<String> = changes.iter().map(|(_, words)| words.clone()).collect();
        Some(Entry { by: Some(by.clone()), action, user: None, text: words.join("; ") })
    }

    fn noted(
        &mut self,
        id: EventId,
        at_ms: u64,
        note: &Note,
        inside: &Inside,
        outcome: &mut Outcome,
    ) -> Option<Entry> {
        match note {
            Note::Held { message, why } => {
                let (message, why, inside) = (message.clone(), why.clone(), inside.clone());
                if self.restrictions.get(&message.user.id, at_ms).is_none() {
                    let waiting = Waiting { id, at_ms, message, why, inside };
                    outcome.moderators.push(Frame::Held { held: held::told(&waiting) });
                    self.held.put(waiting);
                }
                None
            }
            Note::Reviewed { held, allowed, by } => {
                let waiting = self.held.remove(*held)?;
                let by = by.clone();
                outcome.moderators.push(Frame::Reviewed { id: *held, allowed: *allowed, by: by.clone() });
                by.as_ref()?;
                let action = if *allowed { "allow" } else { "deny" };
                let text = text::start(&waiting.message.text, QUOTED);
                Some(Entry { by, action, user: Some(waiting.message.user), text })
            }
            Note::Term { term, then, by } => {
                self.terms.put(term.clone(), *then);
                let text = match then {
                    Then::Hold => format!("“{term}”: hold"),
                    Then::Refuse => format!("“{term}”: refuse"),
                };
                Some(Entry { by: Some(by.clone()), action: "block", user: None, text })
            }
            Note::TermGone { term, by } => {
                self.terms.remove(term);
                Some(Entry {
                    by: Some(by.clone()), action: "unblock", user: None, text: format!("“{term}”")
                })
            }
            Note::Raid { until_ms, newcomers } => {
                if self.settings.raid_shield {
                    self.raid.raise(*until_ms);
                }
                let text = format!("{newcomers} newcomers spoke at once: what newcomers say is held");
                Some(Entry { by: None, action: "raid", user: None, text })
            }
            Note::Erased { account } => {
                self.recent.remove_of(account);
                self.drop_held(account, None, outcome);
                self.people.forget(account);
                self.spoke.remove(account.as_str());
                self.journal.erase(account);
                None
            }
        }
    }
}
