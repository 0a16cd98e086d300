//! The rules of a room, as a pure state machine: no clock, no network, no disk. Time is passed in, in milliseconds since
//! the Unix epoch; what has to happen is handed out as an [`Outcome`].
//!
//! # How it is driven
//!
//! [`Room::say`] and [`Room::act`] decide whether something may happen and hand out what goes to the bus. Only what comes
//! back from there ([`Room::delivered`]) changes what nodes share: restrictions, settings, roles, terms, what is held, the
//! last messages. What protects one node (buckets, the raid shield's watch, slow mode) changes at once.
//!
//! # The order in which a message is judged
//!
//! | # | question | code | `retry_ms` |
//! |---|---|---|---|
//! | 1 | Is the nonce 1 to 64 characters? | `invalid` | |
//! | 2 | Is the token still good? | `unauthenticated` | |
//! | 3 | Was this nonce used within 10 minutes? Then the first answer is given again | | |
//! | 4 | Does the account try too often, whatever becomes of it (60 in 30 s)? | `rate` | yes |
//! | 5 | Is there visible text, of at most 500 grapheme clusters and 4,096 bytes? | `text` | |
//! | 6 | Is it a command? Then it is judged as one | `command` | |
//! | 7 | Is the message that it answers among the last 1,000? | `not_found` | |
//! | 8 | Is the account timed out or banned? | `timed_out`, `banned` | until the end of the time-out |
//! | 9 | Was somebody else banned from this address? | `banned` | |
//! | 10 | Is the chat off? | `off` | |
//! | 11 | Only subscribers? | `subscribers_only` | |
//! | 12 | Only followers, of a certain age? | `followers_only` | when they have followed for long enough |
//! | 13 | Nothing but emotes (and emoji)? | `emotes_only` | |
//! | 14 | Slow mode? | `slow` | yes |
//! | 15 | Is one of the buckets empty: account (20 in 30 s), address (100 in 30 s), channel (2,500 in 10 s)? | `rate` | yes |
//! | 16 | Unique chat: was it said within a minute, by anybody? | `duplicate` | yes |
//! | 17 | Links? | `links`, or held | |
//! | 18 | Blocked terms? | `blocked`, or held | |
//! | 19 | Does the name look like that of a banned account? A banned but shared address? A newcomer in a raid (subscribers aside)? | held | |
//!
//! Moderators, streamer and operators are asked 1 to 8 only (8: moderators), with a bucket of 100 in 30 s. Who is held gets
//! `held`; a moderator decides within 10 minutes or it is dropped. At most 200 wait, three of one account; beyond: `full`.
//!
//! # Bans that hold
//!
//! A ban holds for the account, and for 7 days also for the addresses that the account was last seen at (an IPv4 address or
//! an IPv6 /64, hashed with a salt that is thrown away). Another account from there is refused, except
//! - one that first spoke here a day or more before the ban: a flatmate;
//! - at an address with five or more accounts within a day (a school, a mobile network): their messages are held.
//!
//! Who was refused does not count for the crowd, so making accounts does not make an address shared. An account whose name
//! looks like a banned one's (`5pamK1ng`, or `spamking_2` if it is made for it) is held, unless it spoke here before.
//!
//! # Who may do what
//!
//! [`commands`] lists all commands. Nobody acts on somebody of the same or a higher role: moderators on viewers and
//! subscribers, the streamer on moderators too, operators on all. Everybody may take away their own messages; moderators may
//! step down. Somebody who is timed out or banned may do nothing but that. Each action is refused with `forbidden` (the
//! role), `not_found` (no such message, user or term), `invalid` (the value) or `full` (a list is full).
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | messages that can be answered or taken away | 1,000 ([`MAX_RECENT`]) |
//! | people of whom all is known, and of whom is known that they spoke | 10,000, 200,000 ([`MAX_PEOPLE`], [`MAX_KNOWN`]) |
//! | time-outs and bans | 20,000 ([`MAX_RESTRICTED`]) |
//! | moderators | 200 ([`MAX_MODERATORS`]) |
//! | blocked terms, and characters of one | 500, 100 ([`MAX_TERMS`], [`MAX_TERM`]) |
//! | messages that wait for a moderator, and of one account | 200, 3 ([`MAX_HELD`], [`MAX_HELD_EACH`]) |
//! | entries of the moderation log, and of one page | 1,000, 50 ([`MAX_LOG`], [`PAGE`]) |
//! | characters of a reason | 200 ([`MAX_REASON`]) |
//! | marks in a message | 64 ([`crate::text::MAX_MARKS`]) |
//! | people in an answer to `restricted` | 200 ([`MAX_LISTED`]) |

mod act;
pub mod commands;
mod config;
mod delivered;
mod held;
mod journal;
mod judge;
mod nonces;
mod outcome;
mod people;
mod raid;
mod recent;
mod restrictions;
mod rights;
mod room;
pub mod settings;
mod speaker;
mod terms;
#[cfg(test)]
mod tests;

use nodi_protocol::chat::server::{Code, Refused};

pub use act::{MAX_LISTED, MAX_MODERATORS, MAX_REASON};
pub use config::{Config, Raid};
pub use held::{MAX_HELD, MAX_HELD_EACH};
pub(crate) use journal::QUOTING;
pub use journal::{MAX_LOG, PAGE};
pub use nonces::{KEPT_MS as NONCES_KEPT_MS, MAX_NONCE, MAX_NONCES};
pub use outcome::{Delivery, Inside, Item, Note, Outcome, Publish, takes_away};
pub use people::{MAX_KNOWN, MAX_PEOPLE};
pub use recent::MAX_RECENT;
pub use restrictions::MAX_RESTRICTED;
pub use room::Room;
pub use speaker::Speaker;
pub use terms::{MAX_TERM, MAX_TERMS};

fn refusal(nonce: &str, code: Code, text: impl Into<String>, retry_ms: Option<u64>) -> Refused {
    Refused { nonce: nonce.to_owned(), code, text: text.into(), retry_ms }
}
