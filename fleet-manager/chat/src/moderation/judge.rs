//! May this be said? The order in which a message is judged is the order of [`Room::speak`].

use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Message, Reply, What};
use nodi_protocol::chat::server::{Code, Frame};
use nodi_protocol::chat::settings::Links;
use nodi_protocol::chat::{EventId, Role};

use super::commands::{self, Input, span};
use super::held::MAX_HELD_EACH;
use super::nonces::{Became, MAX_NONCE};
use super::raid::Kind;
use super::room::{Address, Room, answered, no_such_message, refused};
use super::speaker::Speaker;
use super::{Inside, Item, Note, Outcome, Publish};
use crate::text::{self, Marked, fold};

/// How much of a message a reply to it shows, in grapheme clusters.
const QUOTED: usize = 100;
/// Accounts of which is remembered when they spoke last: all that can speak within the longest slow mode in a room
/// that is not flooded.
const MAX_SPOKE: usize = 50_000;
/// Somebody who spoke first this short a time ago is still a newcomer to the raid shield, in milliseconds.
const NEWCOMER_MS: u64 = 600_000;

/// Why something is not said at once.
enum Verdict {
    Say,
    /// With why, for moderators.
    Hold(String),
}

type Refusal = (Code, String, Option<u64>);

fn no<T>(code: Code, text: impl Into<String>) -> Result<T, Refusal> {
    Err((code, text.into(), None))
}

fn later<T>(code: Code, text: impl Into<String>, retry_ms: u64) -> Result<T, Refusal> {
    Err((code, text.into(), Some(retry_ms)))
}

impl Room {
    /// Somebody says something, or gives a command.
    pub fn say(
        &mut self,
        now_ms: u64,
        speaker: &Speaker,
        nonce: &str,
        text: &str,
        reply_to: Option<EventId>,
    ) -> Outcome {
        if let Err(outcome) = self.admit(now_ms, speaker, nonce) {
            return *outcome;
        }
        let input = match text::clean(text) {
            Ok(text) => commands::parse(&text),
            Err(wrong) => return refused(nonce, Code::Text, wrong.to_string(), None),
        };
        match input {
            Ok(Input::Say { text, me }) => self.speak(now_ms, speaker, nonce, &text, me, reply_to),
            Ok(Input::Do(action)) => self.obey(now_ms, speaker, nonce, action),
            Ok(Input::Help(about)) => answered(Frame::Done {
                nonce: nonce.to_owned(),
                text: commands::help(about, self.role(speaker)),
                answer: None,
            }),
            Err(wrong) => refused(nonce, Code::Command, wrong.0, None),
        }
    }

    /// What comes before anything is looked at: the nonce, the token, whether this was asked before, and how often
    /// somebody tries.
    pub(super) fn admit(&mut self, now_ms: u64, speaker: &Speaker, nonce: &str) -> Result<(), Box<Outcome>> {
        let refuse = |nonce, code, text: &str, retry| Err(Box::new(refused(nonce, code, text, retry)));
        if nonce.is_empty() || nonce.chars().nth(MAX_NONCE).is_some() {
            return refuse("", Code::Invalid, "nonce: has to be 1 to 64 characters", None);
        }
        if speaker.expires_ms() <= now_ms {
            return refuse(nonce, Code::Unauthenticated, "the chat token has expired; send a new one", None);
        }
        let nonce_text = nonce.to_owned();
        match self.nonces.get(speaker.account(), nonce, now_ms) {
            None => {}
            Some(Became::Pending) => return Err(Box::new(Outcome { awaits: true, ..Outcome::default() })),
            Some(Became::Said(id)) => {
                return Err(Box::new(answered(Frame::Said { nonce: nonce_text, id: *id })));
            }
            Some(Became::Held) => return refuse(nonce, Code::Held, HELD, None),
            Some(Became::Done(text)) => {
                let done = Frame::Done { nonce: nonce_text, text: text.clone(), answer: None };
                return Err(Box::new(answered(done)));
            }
        }
        let limits = &self.rules.limits;
        let rate = if self.role(speaker) >= Role::Moderator { limits.moderator } else { limits.attempts };
        match self.limits.attempts.try_take(speaker.account(), rate, now_ms) {
            Ok(()) => Ok(()),
            Err(wait) => refuse(nonce, Code::Rate, "too much at once; wait a moment", Some(wait)),
        }
    }

    fn speak(
        &mut self,
        now_ms: u64,
        speaker: &Speaker,
        nonce: &str,
        text: &str,
        me: bool,
        reply_to: Option<EventId>,
    ) -> Outcome {
        let image = |name: &str| self.images.get(name).cloned();
        let person = |name: &str| self.people.named(name).map(|person| person.user.id.clone());
        let marked = text::mark(text, image, person);
        let reply = match reply_to.map(|id| (id, self.recent.find(id))) {
            None => None,
            Some((id, None)) => return refused(nonce, Code::NotFound, no_such_message(id), None),
            Some((id, Some(message))) => {
                Some(Reply { id, user: message.user.clone(), text: text::start(&message.text, QUOTED) })
            }
        };
        let likeness = if self.settings.unique { Some(fold::likeness(&marked.text)) } else { None };
        let (verdict, raid) = match self.judge(now_ms, speaker, &marked, likeness) {
            Ok(verdict) => verdict,
            Err((code, text, retry_ms)) => return refused(nonce, code, text, retry_ms),
        };
        let mut outcome = Outcome::default();
        outcome.publish.extend(raid);
        let message = Message {
            user: self.user(speaker, self.role(speaker)),
            text: marked.text,
            marks: marked.marks,
            me,
            reply,
            first: !self.people.has_spoken(speaker.account()),
        };
        let inside = speaker.inside(nonce);
        match verdict {
            Verdict::Say => {
                self.people.has_spoken_now(speaker.account());
                self.spend(now_ms, speaker, likeness);
                self.nonces.put(speaker.account(), nonce, now_ms, Became::Pending);
                outcome.publish.push(Publish { item: Item::Event(What::Message(message)), inside });
                outcome.awaits = true;
            }
            Verdict::Hold(why) => {
                let full = if self.held.is_full() {
                    Some("too many messages wait for the moderators")
                } else if self.held.count_of(speaker.account()) >= MAX_HELD_EACH {
                    Some("your last messages still wait for a moderator")
                } else {
                    None
                };
                if let Some(text) = full {
                    outcome.answer = refused(nonce, Code::Full, text, None).answer;
                    return outcome;
                }
                self.spend(now_ms, speaker, likeness);
                self.nonces.put(speaker.account(), nonce, now_ms, Became::Held);
                outcome.publish.push(hold(message, why, inside));
                outcome.answer = refused(nonce, Code::Held, HELD, None).answer;
            }
        }
        outcome
    }

    /// The cheap questions first, and those that a burst of nonsense must not get to last.
    fn judge(
        &mut self,
        now_ms: u64,
        speaker: &Speaker,
        marked: &Marked,
        likeness: Option<u64>,
    ) -> Result<(Verdict, Option<Publish>), Refusal> {
        let role = self.role(speaker);
        self.not_silenced(now_ms, speaker)?;
        if role >= Role::Moderator {
            let rate = self.rules.limits.moderator;
            return match self.limits.accounts.wait_ms(speaker.account(), rate, now_ms) {
                0 => Ok((Verdict::Say, None)),
                wait => later(Code::Rate, rate_text(wait), wait),
            };
        }
        let address = self.address(speaker, now_ms);
        if address == Address::Banned {
            return no(Code::Banned, "somebody was banned from this address; you can read on");
        }
        self.modes(now_ms, speaker, role, marked)?;
        self.rates(now_ms, speaker)?;
        let unique_ms = u64::from(self.rules.unique_s) * 1_000;
        if let Some(said) = likeness.and_then(|likeness| self.unique.said_ms(likeness)) {
            let over = said.saturating_add(unique_ms);
            if over > now_ms {
                return later(Code::Duplicate, "this was said a moment ago", over - now_ms);
            }
        }
        let mut hold = None;
        if marked.links {
            match self.settings.links {
                Links::Allow => {}
                Links::Hold => hold = Some("a link".to_owned()),
                Links::Refuse => return no(Code::Links, "links are not allowed here"),
            }
        }
        if let Some(term) = self.terms.find(&marked.text) {
            if term.then == Then::Refuse {
                return no(Code::Blocked, "this has something in it that is not said here");
            }
            hold = hold.or_else(|| Some(format!("the blocked term “{}”", term.term)));
        }
        if address == Address::Shared {
            hold = hold.or_else(|| Some("somebody was banned from this shared address".to_owned()));
        }
        let spoke = self.people.get(speaker.account()).and_then(|person| person.first_ms);
        let imitated =
            self.restrictions.imitated(&speaker.likeness, speaker.account(), speaker.created_ms(), spoke);
        if let Some(one) = imitated {
            hold = hold
                .or_else(|| Some(format!("the name looks like that of {}, who is banned", one.user.name)));
        }
        let mut raid = None;
        if self.settings.raid_shield && role < Role::Subscriber {
            let (up, note) = self.raid(now_ms, speaker, spoke);
            raid = note;
            if up {
                hold = hold.or_else(|| Some("a newcomer during a raid".to_owned()));
            }
        }
        Ok((hold.map_or(Verdict::Say, Verdict::Hold), raid))
    }

    /// Time-outs and bans of the account.
    pub(super) fn not_silenced(&self, now_ms: u64, speaker: &Speaker) -> Result<(), Refusal> {
        let Some(one) = self.restriction(speaker, now_ms) else { return Ok(()) };
        let reason = one.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        match one.until_ms {
            Some(until) => {
                let wait = until.saturating_sub(now_ms);
                later(
                    Code::TimedOut,
                    format!("you are timed out for {} more{reason}", span::words_ms(wait)),
                    wait,
                )
            }
            None => no(Code::Banned, format!("you are banned from this chat{reason}")),
        }
    }

    fn modes(&self, now_ms: u64, speaker: &Speaker, role: Role, marked: &Marked) -> Result<(), Refusal> {
        let settings = &self.settings;
        if settings.off {
            return no(Code::Off, "the chat is off");
        }
        if settings.subscribers_only && role < Role::Subscriber {
            return no(Code::SubscribersOnly, "only subscribers may speak now");
        }
        if let Some(seconds) = settings.followers_s {
            let Some(since) = speaker.claims.followed_s else {
                return no(Code::FollowersOnly, "only followers may speak now");
            };
            let from = since.saturating_add(seconds.into()).saturating_mul(1_000);
            if from > now_ms {
                let text = format!("only who has followed for {} may speak now", span::words(seconds.into()));
                return later(Code::FollowersOnly, text, from - now_ms);
            }
        }
        if settings.emotes_only && !marked.only_emotes {
            return no(Code::EmotesOnly, "nothing but emotes now");
        }
        if settings.slow_s > 0
            && let Some(spoke) = self.spoke.get(speaker.account())
        {
            let from = spoke.saturating_add(u64::from(settings.slow_s) * 1_000);
            if from > now_ms {
                let text = format!("slow mode: you may speak again in {}", span::words_ms(from - now_ms));
                return later(Code::Slow, text, from - now_ms);
            }
        }
        Ok(())
    }

    fn rates(&self, now_ms: u64, speaker: &Speaker) -> Result<(), Refusal> {
        let rates = &self.rules.limits;
        let account = self.limits.accounts.wait_ms(speaker.account(), rates.account, now_ms);
        let address = self.limits.addresses.wait_ms(&speaker.address, rates.address, now_ms);
        let channel = self.limits.channel.wait_ms(rates.channel, now_ms);
        let wait = account.max(address).max(channel);
        if wait == 0 {
            return Ok(());
        }
        let text = if account == wait {
            rate_text(wait)
        } else if address == wait {
            format!("too many messages from this address; it may speak again in {}", span::words_ms(wait))
        } else {
            format!("too many messages in this chat; try again in {}", span::words_ms(wait))
        };
        later(Code::Rate, text, wait)
    }

    /// Whether the speaker is held by the raid shield, and what the other nodes have to know of it.
    fn raid(&mut self, now_ms: u64, speaker: &Speaker, spoke: Option<u64>) -> (bool, Option<Publish>) {
        let config = &self.rules.raid;
        let is_new = speaker.created_ms().saturating_add(config.new_account_s.saturating_mul(1_000)) > now_ms;
        let spoken = self.people.has_spoken(speaker.account());
        let kind = match (is_new, spoken) {
            (true, _) => Kind::New,
            (false, false) => Kind::First,
            (false, true) => Kind::Known,
        };
        let known = self.regulars;
        let mut note = None;
        if let Some(newcomers) = self.raid.see(config, now_ms, speaker.account(), kind, known) {
            let hold_ms = u64::from(config.hold_s) * 1_000;
            let fresh = !self.raid.is_up(now_ms);
            let until_ms = now_ms.saturating_add(hold_ms);
            self.raid.raise(until_ms);
            note = fresh.then(|| Publish::note(Note::Raid { until_ms, newcomers }));
        }
        // Who was first in the burst has already spoken once.
        let newcomer = kind != Kind::Known && !spoken
            || spoke.is_some_and(|spoke| spoke.saturating_add(NEWCOMER_MS) > now_ms)
            || kind == Kind::New;
        (newcomer && self.raid.is_up(now_ms), note)
    }

    /// Takes from the buckets what a message costs, and remembers when it was.
    fn spend(&mut self, now_ms: u64, speaker: &Speaker, likeness: Option<u64>) {
        let rates = &self.rules.limits;
        let account = speaker.account();
        if self.role(speaker) >= Role::Moderator {
            self.limits.accounts.take(account, rates.moderator, now_ms);
        } else {
            self.limits.accounts.take(account, rates.account, now_ms);
            self.limits.addresses.take(&speaker.address, rates.address, now_ms);
            self.limits.channel.take(rates.channel, now_ms);
        }
        self.spoke(account, now_ms);
        if let Some(likeness) = likeness {
            self.unique.put(likeness, now_ms);
        }
    }

    pub(super) fn spoke(&mut self, account: &str, now_ms: u64) {
        self.spoke.insert(account.to_owned(), now_ms);
        while self.spoke.len() > MAX_SPOKE {
            self.spoke.pop_front();
        }
    }
}

const HELD: &str = "a moderator looks at this before others see it";

fn rate_text(wait_ms: u64) -> String {
    format!("too many messages; you may speak again in {}", span::words_ms(wait_ms))
}

fn hold(message: Message, why: String, inside: Inside) -> Publish {
    Publish { item: Item::Note(Note::Held { message, why }), inside }
}
