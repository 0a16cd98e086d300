//! Chat commands: a message that begins with `/`. Each becomes the [`Action`] that a button would give.
//!
//! | command | does | who |
//! |---|---|---|
//! | `/me text` | says it as an action | everybody |
//! | `/help [command]` | lists the commands | everybody |
//! | `/delete id` | takes one message away | moderators, its author |
//! | `/timeout name [10m] [reason]` | silences somebody for 1 s to 14 d (10 m) | moderators |
//! | `/untimeout name` | ends a time-out | moderators |
//! | `/ban name [reason]` | silences somebody until it is taken back | moderators |
//! | `/unban name` | ends a ban | moderators |
//! | `/purge name` | takes all messages of somebody away | moderators |
//! | `/clear` | takes all messages away | moderators |
//! | `/slow [10]` | slow mode: 1 s to 1 h between two messages of one person (30) | moderators |
//! | `/slowoff` | | moderators |
//! | `/followers [10m]` | only who follows, for at least so long (0), up to 90 d | moderators |
//! | `/followersoff` | | moderators |
//! | `/subscribers`, `/subscribersoff` | only subscribers | moderators |
//! | `/emoteonly`, `/emoteonlyoff` | nothing but emotes and emoji | moderators |
//! | `/unique`, `/uniqueoff` | nothing that was said in the last minute | moderators |
//! | `/chat on\|off` | off: only moderators may speak | moderators |
//! | `/raidshield on\|off` | holds newcomers during a raid | moderators |
//! | `/links allow\|hold\|refuse` | what becomes of links | moderators |
//! | `/block [hold\|refuse] term` | blocks a term (hold) | moderators |
//! | `/unblock term` | | moderators |
//! | `/terms` | lists the blocked terms | moderators |
//! | `/held` | lists what waits for a decision | moderators |
//! | `/allow id`, `/deny id` | decides on a held message | moderators |
//! | `/restricted` | lists who is timed out or banned | moderators |
//! | `/log` | the moderation log | moderators |
//! | `/who name` | what is known of somebody | moderators |
//! | `/mods` | lists the moderators | moderators |
//! | `/mod name` | makes somebody a moderator | streamer |
//! | `/unmod name` | takes that back | streamer; moderators for themselves |

mod parse;
pub mod span;

use nodi_protocol::chat::Role;
use nodi_protocol::chat::action::Action;

pub use parse::{Wrong, parse};

/// What a text is.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Not a command.
    Say {
        text: String,
        me: bool,
    },
    Do(Action),
    /// `/help`, perhaps with the command that it is about.
    Help(Option<&'static Command>),
}

/// One command, as `/help` and error texts tell it.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// Without the slash.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    pub does: &'static str,
    /// Who may give it, at least.
    pub who: Role,
}

macro_rules! commands {
    ($($who:ident $name:literal $usage:literal $does:literal;)*) => {
        /// All commands, in the order in which `/help` lists them.
        pub const COMMANDS: &[Command] = &[
            $(Command { name: $name, usage: $usage, does: $does, who: Role::$who },)*
        ];
    };
}

commands! {
    Viewer "me" "/me text" "says it as an action";
    Viewer "help" "/help [command]" "lists the commands";
    Viewer "delete" "/delete id" "takes one message away; moderators any, others their own";
    Moderator "timeout" "/timeout name 10m [reason]" "silences somebody for 1 second to 14 days";
    Moderator "untimeout" "/untimeout name" "ends a time-out";
    Moderator "ban" "/ban name [reason]" "silences somebody until it is taken back";
    Moderator "unban" "/unban name" "ends a ban";
    Moderator "purge" "/purge name" "takes all messages of somebody away";
    Moderator "clear" "/clear" "takes all messages away";
    Moderator "slow" "/slow 10" "lets everybody speak once in so many seconds, up to 1h";
    Moderator "slowoff" "/slowoff" "ends slow mode";
    Moderator "followers" "/followers [10m]" "lets only followers speak, who have followed for so long, up to 90d";
    Moderator "followersoff" "/followersoff" "ends followers-only mode";
    Moderator "subscribers" "/subscribers" "lets only subscribers speak";
    Moderator "subscribersoff" "/subscribersoff" "ends subscribers-only mode";
    Moderator "emoteonly" "/emoteonly" "lets nothing be said but emotes";
    Moderator "emoteonlyoff" "/emoteonlyoff" "ends emote-only mode";
    Moderator "unique" "/unique" "lets nothing be said twice in a minute";
    Moderator "uniqueoff" "/uniqueoff" "ends unique chat";
    Moderator "chat" "/chat on|off" "turns the chat on or off for all but moderators";
    Moderator "raidshield" "/raidshield on|off" "holds what newcomers say while a burst of them comes in";
    Moderator "links" "/links allow|hold|refuse" "says what becomes of links";
    Moderator "block" "/block [hold|refuse] term" "holds or refuses messages with a term; * at an end leaves that end open";
    Moderator "unblock" "/unblock term" "blocks a term no more";
    Moderator "terms" "/terms" "lists the blocked terms";
    Moderator "held" "/held" "lists the messages that wait for a decision";
    Moderator "allow" "/allow id" "lets a held message through";
    Moderator "deny" "/deny id" "drops a held message";
    Moderator "restricted" "/restricted" "lists who is timed out or banned";
    Moderator "log" "/log" "shows the moderation log";
    Moderator "who" "/who name" "tells what is known of somebody";
    Moderator "mods" "/mods" "lists the moderators";
    Streamer "mod" "/mod name" "makes somebody a moderator";
    Moderator "unmod" "/unmod name" "takes that back; moderators for themselves, the streamer for all";
}

/// The text of `/help`.
#[must_use]
pub fn help(about: Option<&Command>, role: Role) -> String {
    match about {
        Some(command) => format!("{}: {}.", command.usage, command.does),
        None => {
            let usages: Vec<&str> =
                COMMANDS.iter().filter(|command| command.who <= role).map(|command| command.usage).collect();
            format!("{}. /help command tells more.", usages.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_what_one_may_do() {
        assert_eq!(
            help(None, Role::Viewer),
            "/me text, /help [command], /delete id. /help command tells more."
        );
        assert!(help(None, Role::Moderator).contains("/timeout name 10m [reason]"));
        assert!(!help(None, Role::Moderator).contains("/mod name"));
        assert!(help(None, Role::Streamer).contains("/mod name"));
        let clear = COMMANDS.iter().find(|command| command.name == "clear");
        assert_eq!(help(clear, Role::Viewer), "/clear: takes all messages away.");
    }

    /// The documentation above and the list are the same commands.
    #[test]
    fn the_documentation_is_complete() {
        let source = include_str!("mod.rs");
        let documented: Vec<&str> = source.lines().filter(|line| line.starts_with("//! | `/")).collect();
        for command in COMMANDS {
            let name = format!("`/{}", command.name);
            assert!(
                documented.iter().any(|line| line.split('|').nth(1).is_some_and(|cell| cell.contains(&name))),
                "{name} is not documented"
            );
        }
    }
}
