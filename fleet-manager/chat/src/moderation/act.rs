//! What moderators do.

use nodi_protocol::chat::action::{Action, Target, Then};
use nodi_protocol::chat::event::What;
use nodi_protocol::chat::server::{Answer, Code, Frame, RestrictedUser, Who};
use nodi_protocol::chat::settings::Patch;
use nodi_protocol::chat::{EventId, Role, TIMEOUT_S, User};

use super::commands::span;
use super::nonces::Became;
use super::restrictions::{MAX_RESTRICTED, told, with_role};
use super::rights::{needed, out_of_reach, plural, reaches};
use super::room::{Room, no_such_message, refused};
use super::speaker::Speaker;
use super::terms::MAX_TERM;
use super::{Inside, Item, Note, Outcome, Publish, held, settings};
use crate::text::{self, pattern::Pattern};

/// Longest reason, in grapheme clusters.
pub const MAX_REASON: usize = 200;
/// Moderators of one channel.
pub const MAX_MODERATORS: usize = 200;
/// People in one answer.
pub const MAX_LISTED: usize = 200;
/// Longest name or id that is looked up, in bytes.
const MAX_TARGET: usize = 64;

/// What an action comes to.
struct Done {
    publish: Vec<Publish>,
    /// For whoever did it.
    text: String,
    answer: Option<Answer>,
}

type Result<T> = std::result::Result<T, (Code, String)>;

fn no<T>(code: Code, text: impl Into<String>) -> Result<T> {
    Err((code, text.into()))
}

fn done(what: What, text: String) -> Result<Done> {
    Ok(Done { publish: vec![Publish::event(what)], text, answer: None })
}

fn noted(note: Note, text: String) -> Result<Done> {
    Ok(Done { publish: vec![Publish::note(note)], text, answer: None })
}

/// It is so already.
fn nothing(text: impl Into<String>) -> Result<Done> {
    Ok(Done { publish: Vec::new(), text: text.into(), answer: None })
}

fn listed(text: String, answer: Answer) -> Result<Done> {
    Ok(Done { publish: Vec::new(), text, answer: Some(answer) })
}

/// Somebody who acts.
struct Actor<'a> {
    speaker: &'a Speaker,
    user: User,
    role: Role,
    now_ms: u64,
}

impl Room {
    pub(super) fn obey(&mut self, now_ms: u64, speaker: &Speaker, nonce: &str, action: Action) -> Outcome {
        let role = self.role(speaker);
        let actor = Actor { speaker, user: self.user(speaker, role), role, now_ms };
        match self.perform(&actor, action) {
            Ok(done) => {
                if !done.publish.is_empty() {
                    let became = Became::Done(done.text.clone());
                    self.nonces.put(speaker.account(), nonce, now_ms, became);
                }
                let answer = Frame::Done { nonce: nonce.to_owned(), text: done.text, answer: done.answer };
                Outcome { publish: done.publish, answer: Some(answer), ..Outcome::default() }
            }
            Err((code, text)) => refused(nonce, code, text, None),
        }
    }

    fn perform(&mut self, actor: &Actor<'_>, action: Action) -> Result<Done> {
        let needed = needed(&action);
        if actor.role < needed {
            return no(Code::Forbidden, format!("only {} may do this", plural(needed)));
        }
        if !matches!(action, Action::Delete { .. }) {
            self.not_silenced(actor.now_ms, actor.speaker).map_err(|(code, text, _)| (code, text))?;
        }
        match action {
            Action::Delete { id } => self.delete(actor, id),
            Action::Purge { user } => {
                let user = self.reached(actor, &user)?;
                let text = format!("All messages of {} are taken away.", user.name);
                done(What::Purged { user, by: Some(actor.user.clone()) }, text)
            }
            Action::Clear {} => {
                done(What::Cleared { by: actor.user.clone() }, "All messages are taken away.".to_owned())
            }
            Action::Timeout { user, seconds, reason } => {
                self.time_out(actor, &user, seconds, reason.as_deref())
            }
            Action::Ban { user, reason } => self.ban(actor, &user, reason.as_deref()),
            Action::Release { user } => self.release(actor, &user),
            Action::Set { settings } => self.set(actor, &settings),
            Action::Appoint { user } => self.appoint(actor, &user),
            Action::Dismiss { user } => self.dismiss(actor, &user),
            Action::Moderators {} => self.list_moderators(),
            Action::BlockTerm { term, then } => self.block(actor, &term, then),
            Action::UnblockTerm { term } => match self.terms.get(term.trim()) {
                Some(found) => {
                    let text = format!("“{}” is blocked no more.", found.term);
                    noted(Note::TermGone { term: found.term.clone(), by: actor.user.clone() }, text)
                }
                None => no(Code::NotFound, format!("“{}” is not blocked", text::start(&term, MAX_TERM))),
            },
            Action::Terms {} => {
                let terms = self.terms.list();
                listed(count(terms.len(), "blocked term"), Answer::Terms { terms })
            }
            Action::Review { id, allow } => self.review(actor, id, allow),
            Action::Held {} => {
                let held = self.held.list();
                listed(format!("{} for a decision.", wait(held.len())), Answer::Held { held })
            }
            Action::Log { before } => {
                let (entries, more) = self.journal.page(before);
                listed(count(entries.len(), "log entry"), Answer::Log { entries, more })
            }
            Action::Who { user } => self.who(actor, &user),
            Action::Restricted {} => {
                let all = self.restrictions.list(actor.now_ms);
                let text = format!("{} timed out or banned.", people(all.len()));
                let restricted = all.into_iter().take(MAX_LISTED).map(|one| RestrictedUser {
                    user: one.user.clone(),
                    restriction: told(one),
                    at_ms: one.at_ms,
                    by: Some(one.by.clone()),
                });
                listed(text, Answer::Restricted { restricted: restricted.collect() })
            }
        }
    }

    fn known(&self, actor: &Actor<'_>, target: &Target) -> Result<User> {
        let name = target.strip_prefix('@').unwrap_or(target);
        if name.is_empty() || target.len() > MAX_TARGET {
            return no(Code::Invalid, "user: has to be the id of an account, or @name");
        }
        self.target(target, actor.now_ms)
            .ok_or_else(|| (Code::NotFound, format!("nobody called {name} has been here")))
    }

    /// Somebody on whom the actor may act.
    fn reached(&self, actor: &Actor<'_>, target: &Target) -> Result<User> {
        let user = self.known(actor, target)?;
        if reaches(actor.role, user.role) {
            return Ok(user);
        }
        if user.id == actor.user.id {
            return no(Code::Forbidden, "not on yourself");
        }
        let text = out_of_reach(&user.name, user.role);
        no(Code::Forbidden, text)
    }

    fn delete(&self, actor: &Actor<'_>, id: EventId) -> Result<Done> {
        let Some(message) = self.recent.find(id) else { return no(Code::NotFound, no_such_message(id)) };
        let author = &message.user;
        let role = self.target(&author.id, actor.now_ms).map_or(author.role, |user| user.role);
        if author.id != actor.user.id && !reaches(actor.role, role) {
            let text = if actor.role < Role::Moderator {
                "only moderators may take away what others said".to_owned()
            } else {
                out_of_reach(&author.name, role)
            };
            return no(Code::Forbidden, text);
        }
        done(
            What::Deleted { message: id, by: Some(actor.user.clone()) },
            "The message is taken away.".to_owned(),
        )
    }

    fn time_out(
        &self,
        actor: &Actor<'_>,
        target: &Target,
        seconds: u64,
        reason: Option<&str>,
    ) -> Result<Done> {
        if !TIMEOUT_S.contains(&seconds) {
            return no(Code::Invalid, "seconds: a time-out is 1 second to 14 days long");
        }
        let reason = clean_reason(reason)?;
        let user = self.reached(actor, target)?;
        match self.restrictions.get(&user.id, actor.now_ms) {
            Some(one) if one.until_ms.is_none() => {
                return no(Code::Invalid, format!("{} is banned; /unban first", user.name));
            }
            Some(_) => {}
            None => self.room_for_restrictions()?,
        }
        let text = format!("{} is timed out for {}.", user.name, span::words(seconds));
        let until_ms = Some(actor.now_ms.saturating_add(seconds.saturating_mul(1_000)));
        done(What::Restricted { user, until_ms, reason, by: actor.user.clone() }, text)
    }

    fn ban(&self, actor: &Actor<'_>, target: &Target, reason: Option<&str>) -> Result<Done> {
        let reason = clean_reason(reason)?;
        let user = self.reached(actor, target)?;
        match self.restrictions.get(&user.id, actor.now_ms) {
            Some(one) if one.until_ms.is_none() => {
                return nothing(format!("{} is banned already.", user.name));
            }
            Some(_) => {}
            None => self.room_for_restrictions()?,
        }
        let mut publish = Vec::new();
        if self.moderators.contains_key(&user.id) {
            publish.extend(self.dismissal(actor, &user));
        }
        let addresses = match self.people.get(&user.id) {
            Some(person) => person.addresses.iter().map(|(address, _)| *address).collect(),
            None => Vec::new(),
        };
        let text = format!("{} is banned.", user.name);
        publish.push(Publish {
            item: Item::Event(What::Restricted { user, until_ms: None, reason, by: actor.user.clone() }),
            inside: Inside { addresses, ..Inside::default() },
        });
        Ok(Done { publish, text, answer: None })
    }

    fn room_for_restrictions(&self) -> Result<()> {
        if self.restrictions.len() >= MAX_RESTRICTED {
            return no(Code::Full, "the list of time-outs and bans is full; /unban somebody first");
        }
        Ok(())
    }

    fn release(&self, actor: &Actor<'_>, target: &Target) -> Result<Done> {
        let user = self.reached(actor, target)?;
        if self.restrictions.get(&user.id, actor.now_ms).is_none() {
            return no(Code::NotFound, format!("{} is neither timed out nor banned", user.name));
        }
        let text = format!("{} may speak again.", user.name);
        done(What::Released { user, by: actor.user.clone() }, text)
    }

    fn set(&self, actor: &Actor<'_>, patch: &Patch) -> Result<Done> {
        let after = settings::changed(&self.settings, patch);
        settings::check(&after).map_err(|text| (Code::Invalid, text))?;
        let words: Vec<String> =
            settings::differences(&self.settings, &after).into_iter().map(|(_, words)| words).collect();
        if words.is_empty() {
            return nothing("It is so already.");
        }
        let text = sentence(&words.join("; "));
        done(What::Settings { settings: after, by: actor.user.clone() }, text)
    }

    fn appoint(&self, actor: &Actor<'_>, target: &Target) -> Result<Done> {
        let user = self.known(actor, target)?;
        if user.role >= Role::Moderator {
            return nothing(format!("{} may do that already.", user.name));
        }
        if self.restrictions.get(&user.id, actor.now_ms).is_some() {
            return no(Code::Invalid, format!("{} is timed out or banned; /unban first", user.name));
        }
        if self.moderators.len() >= MAX_MODERATORS {
            return no(Code::Full, format!("there are {MAX_MODERATORS} moderators, and no more can be made"));
        }
        let text = format!("{} is a moderator now.", user.name);
        let user = crowned(&user, Role::Moderator);
        done(What::Role { user, by: actor.user.clone() }, text)
    }

    fn dismiss(&self, actor: &Actor<'_>, target: &Target) -> Result<Done> {
        let user = self.known(actor, target)?;
        if user.id != actor.user.id && actor.role < Role::Streamer {
            return no(Code::Forbidden, "only the streamer may do this");
        }
        if user.role < Role::Moderator {
            return no(Code::NotFound, format!("{} is no moderator", user.name));
        }
        match self.dismissal(actor, &user) {
            Some(publish) if self.moderators.contains_key(&user.id) => {
                let text = format!("{} is no moderator any more.", user.name);
                Ok(Done { publish: vec![publish], text, answer: None })
            }
            _ => no(Code::Forbidden, format!("{} was made a moderator by the platform, not here", user.name)),
        }
    }

    /// `None`: their token alone makes them a moderator or more.
    fn dismissal(&self, actor: &Actor<'_>, user: &User) -> Option<Publish> {
        let role = self.people.get(&user.id).map_or(Role::Viewer, |person| person.user.role);
        (role < Role::Moderator)
            .then(|| Publish::event(What::Role { user: crowned(user, role), by: actor.user.clone() }))
    }

    fn list_moderators(&self) -> Result<Done> {
        let by_token = self
            .people
            .iter()
            .filter(|person| {
                person.user.role == Role::Moderator && !self.moderators.contains_key(&person.user.id)
            })
            .map(|person| &person.user);
        let mut users: Vec<User> = self
            .moderators
            .values()
            .chain(by_token)
            .take(MAX_LISTED)
            .map(|user| with_role(user, user.role.max(Role::Moderator)))
            .collect();
        users.sort_by_key(|user| user.name.to_lowercase());
        listed(count(users.len(), "moderator"), Answer::Moderators { users })
    }

    fn block(&self, actor: &Actor<'_>, term: &str, then: Then) -> Result<Done> {
        let term = text::clean_within(term, MAX_TERM)
            .map_err(|_| (Code::Invalid, format!("term: has to be 1 to {MAX_TERM} characters")))?;
        if Pattern::new(&term).is_none() {
            return no(Code::Invalid, "term: has to have at least two letters or digits");
        }
        match self.terms.get(&term) {
            Some(found) if found.then == then => return nothing(format!("“{term}” is blocked already.")),
            None if self.terms.is_full() => {
                return no(Code::Full, "the list of blocked terms is full; /unblock one first");
            }
            Some(_) | None => {}
        }
        let text = match then {
            Then::Hold => format!("Messages with “{term}” wait for a moderator."),
            Then::Refuse => format!("Messages with “{term}” are refused."),
        };
        noted(Note::Term { term, then, by: actor.user.clone() }, text)
    }

    fn review(&mut self, actor: &Actor<'_>, id: EventId, allow: bool) -> Result<Done> {
        let Some(waiting) = self.held.get(id) else {
            return no(Code::NotFound, "this message does not wait any more");
        };
        if waiting.message.user.id == actor.user.id {
            return no(Code::Forbidden, "somebody else decides on your own messages");
        }
        let by = Some(actor.user.clone());
        let mut publish = Vec::new();
        if allow {
            let mut message = waiting.message.clone();
            message.first = !self.people.has_spoken(&message.user.id);
            let inside = held::inside(waiting);
            publish.push(Publish { item: Item::Event(What::Message(message)), inside });
        }
        publish.push(Publish::note(Note::Reviewed { held: id, allowed: allow, by }));
        self.held.decide(id);
        let text = if allow { "The message is let through." } else { "The message is dropped." };
        Ok(Done { publish, text: text.to_owned(), answer: None })
    }

    fn who(&self, actor: &Actor<'_>, target: &Target) -> Result<Done> {
        let user = self.known(actor, target)?;
        let person = self.people.get(&user.id);
        let restriction = self.restrictions.get(&user.id, actor.now_ms).map(told);
        let who = Who {
            restriction,
            created_s: person.and_then(|person| person.created_s),
            followed_s: person.and_then(|person| person.followed_s),
            messages: person.map_or(0, |person| person.messages),
            timeouts: person.map_or(0, |person| person.timeouts),
            bans: person.map_or(0, |person| person.bans),
            said: self.recent.of(&user.id),
            user,
        };
        let state = match &who.restriction {
            None => String::new(),
            Some(restriction) => match restriction.until_ms {
                Some(until) => {
                    format!(", timed out for {} more", span::words_ms(until.saturating_sub(actor.now_ms)))
                }
                None => ", banned".to_owned(),
            },
        };
        let text = format!(
            "{}: {} here, timed out {}, banned {}{state}.",
            who.user.name,
            count(usize::try_from(who.messages).unwrap_or(usize::MAX), "message").trim_end_matches('.'),
            times(who.timeouts),
            times(who.bans),
        );
        listed(text, Answer::Who { who: Box::new(who) })
    }
}

fn clean_reason(reason: Option<&str>) -> Result<Option<String>> {
    match reason.map(|reason| text::clean_within(reason, MAX_REASON)) {
        None | Some(Err(text::Wrong::Empty)) => Ok(None),
        Some(Ok(reason)) => Ok(Some(reason)),
        Some(Err(_)) => no(Code::Invalid, format!("reason: no longer than {MAX_REASON} characters")),
    }
}

/// Somebody with another role, and the badge that goes with it.
fn crowned(user: &User, role: Role) -> User {
    let mut user = with_role(user, role);
    user.badges.retain(|badge| badge != "moderator");
    if role == Role::Moderator {
        user.badges.insert(0, "moderator".to_owned());
    }
    user
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => String::new(),
    }
}

fn count(many: usize, what: &str) -> String {
    match (many, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}."),
        (many, Some(stem)) => format!("{many} {stem}ies."),
        (many, None) => format!("{many} {what}s."),
    }
}

fn wait(many: usize) -> String {
    if many == 1 { "1 message waits".to_owned() } else { format!("{many} messages wait") }
}

fn people(many: usize) -> String {
    if many == 1 { "1 person is".to_owned() } else { format!("{many} people are") }
}

fn times(many: u64) -> String {
    if many == 1 { "once".to_owned() } else { format!("{many} times") }
}
