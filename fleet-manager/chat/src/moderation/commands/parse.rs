//! From what was typed to what is meant.

use nodi_protocol::chat::TIMEOUT_S;
use nodi_protocol::chat::action::{Action, Target, Then};
use nodi_protocol::chat::settings::{Links, Patch};

use super::{COMMANDS, Command, Input, span};
use crate::moderation::settings::{MAX_FOLLOWERS_S, MAX_SLOW_S};

/// Time-out without a time, as Twitch has it: 10 minutes.
const TIMEOUT_DEFAULT_S: u64 = 600;
/// `/slow` without a number, in seconds, as Twitch has it.
const SLOW_DEFAULT_S: u32 = 30;
/// Commands that differ in so many letters are offered instead of one that does not exist.
const TYPING_ERRORS: usize = 2;

/// A command that is not written as it should be, in words for whoever typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

/// What `text`, which is clean, means.
///
/// # Errors
/// It begins with `/` and is no command.
pub fn parse(text: &str) -> Result<Input, Wrong> {
    let Some(rest) = text.strip_prefix('/') else {
        return Ok(Input::Say { text: text.to_owned(), me: false });
    };
    let (name, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = name.to_lowercase();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(unknown(&name));
    };
    Line { command, arguments: arguments.trim() }.input()
}

fn unknown(name: &str) -> Wrong {
    let near =
        COMMANDS.iter().map(|command| (distance(name, command.name), command)).min_by_key(|(far, _)| *far);
    let shown = crate::text::start(name, 30);
    Wrong(match near {
        Some((far, command)) if far <= TYPING_ERRORS && far < command.name.len() => {
            format!("There is no command /{shown}. Did you mean {}?", command.usage)
        }
        _ => format!("There is no command /{shown}; /help lists all."),
    })
}

/// Letters to change, add or leave out (Levenshtein). Long names are not compared.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, char) in one.chars().take(20).enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&other) {
            let above = *cell;
            *cell = (diagonal + usize::from(char != *other)).min(above + 1).min(left + 1);
            (diagonal, left) = (above, *cell);
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX) + one.chars().skip(20).count()
}

/// A command and what follows it.
struct Line<'a> {
    command: &'static Command,
    arguments: &'a str,
}

impl Line<'_> {
    fn input(&self) -> Result<Input, Wrong> {
        let set = |patch: Patch| Ok(Input::Do(Action::Set { settings: patch }));
        match self.command.name {
            "me" if self.arguments.is_empty() => Err(self.wrong("what?")),
            "me" => Ok(Input::Say { text: self.arguments.to_owned(), me: true }),
            "help" => self.help(),
            "delete" => Ok(Input::Do(Action::Delete { id: self.id()? })),
            "timeout" => self.timeout(),
            "ban" => {
                let (user, reason) = self.user_and_rest()?;
                Ok(Input::Do(Action::Ban { user, reason }))
            }
            "untimeout" | "unban" => Ok(Input::Do(Action::Release { user: self.user()? })),
            "purge" => Ok(Input::Do(Action::Purge { user: self.user()? })),
            "clear" => self.alone(Action::Clear {}),
            "slow" => self.slow(),
            "slowoff" => self.patch(Patch { slow_s: Some(0), ..Patch::default() }),
            "followers" => self.followers(),
            "followersoff" => self.patch(Patch { followers_s: Some(None), ..Patch::default() }),
            "subscribers" => self.patch(Patch { subscribers_only: Some(true), ..Patch::default() }),
            "subscribersoff" => self.patch(Patch { subscribers_only: Some(false), ..Patch::default() }),
            "emoteonly" => self.patch(Patch { emotes_only: Some(true), ..Patch::default() }),
            "emoteonlyoff" => self.patch(Patch { emotes_only: Some(false), ..Patch::default() }),
            "unique" => self.patch(Patch { unique: Some(true), ..Patch::default() }),
            "uniqueoff" => self.patch(Patch { unique: Some(false), ..Patch::default() }),
            "chat" => set(Patch { off: Some(!self.on_or_off()?), ..Patch::default() }),
            "raidshield" => set(Patch { raid_shield: Some(self.on_or_off()?), ..Patch::default() }),
            "links" => set(Patch { links: Some(self.links()?), ..Patch::default() }),
            "block" => self.block(),
            "unblock" => Ok(Input::Do(Action::UnblockTerm { term: self.something("which term?")? })),
            "terms" => self.alone(Action::Terms {}),
            "held" => self.alone(Action::Held {}),
            "allow" => Ok(Input::Do(Action::Review { id: self.id()?, allow: true })),
            "deny" => Ok(Input::Do(Action::Review { id: self.id()?, allow: false })),
            "restricted" => self.alone(Action::Restricted {}),
            "log" => self.alone(Action::Log { before: None }),
            "who" => Ok(Input::Do(Action::Who { user: self.user()? })),
            "mods" => self.alone(Action::Moderators {}),
            "mod" => Ok(Input::Do(Action::Appoint { user: self.user()? })),
            "unmod" => Ok(Input::Do(Action::Dismiss { user: self.user()? })),
            _ => Err(unknown(self.command.name)),
        }
    }

    fn wrong(&self, why: &str) -> Wrong {
        Wrong(format!("{}: {why}", self.command.usage))
    }

    /// How a word is quoted in an error.
    fn quote(word: &str) -> String {
        format!("`{}`", crate::text::start(word, 30))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.arguments.split(' ').filter(|word| !word.is_empty())
    }

    fn something(&self, otherwise: &str) -> Result<String, Wrong> {
        if self.arguments.is_empty() { Err(self.wrong(otherwise)) } else { Ok(self.arguments.to_owned()) }
    }

    fn alone(&self, action: Action) -> Result<Input, Wrong> {
        match self.words().next() {
            None => Ok(Input::Do(action)),
            Some(word) => Err(self.wrong(&format!("nothing may follow, but {} does", Self::quote(word)))),
        }
    }

    fn patch(&self, settings: Patch) -> Result<Input, Wrong> {
        self.alone(Action::Set { settings })
    }

    /// `name` or `@name`, and what follows it.
    fn user_and_rest(&self) -> Result<(Target, Option<String>), Wrong> {
        let (name, rest) = self.arguments.split_once(' ').unwrap_or((self.arguments, ""));
        let name = name.strip_prefix('@').unwrap_or(name);
        if name.is_empty() {
            return Err(self.wrong("who?"));
        }
        let rest = rest.trim();
        Ok((format!("@{name}"), (!rest.is_empty()).then(|| rest.to_owned())))
    }

    fn user(&self) -> Result<Target, Wrong> {
        match self.user_and_rest()? {
            (user, None) => Ok(user),
            (_, Some(rest)) => {
                let word = rest.split(' ').next().unwrap_or_default();
                Err(self.wrong(&format!("one name, but {} follows", Self::quote(word))))
            }
        }
    }

    fn id(&self) -> Result<nodi_protocol::chat::EventId, Wrong> {
        let text = self.something("which message?")?;
        text.to_ascii_uppercase()
            .parse()
            .map_err(|_| self.wrong(&format!("{} is not the id of a message", Self::quote(&text))))
    }

    fn span(&self, word: &str) -> Result<u64, Wrong> {
        span::parse(word).ok_or_else(|| {
            self.wrong(&format!("{} is not a time; say 30s, 10m, 2h or 3d", Self::quote(word)))
        })
    }

    fn timeout(&self) -> Result<Input, Wrong> {
        let (user, rest) = self.user_and_rest()?;
        let (seconds, reason) = match &rest {
            None => (TIMEOUT_DEFAULT_S, None),
            Some(rest) => {
                let (time, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                (self.span(time)?, Some(reason.trim()).filter(|reason| !reason.is_empty()))
            }
        };
        if !TIMEOUT_S.contains(&seconds) {
            return Err(self.wrong("a time-out is 1 second to 14 days long; /ban is for longer"));
        }
        Ok(Input::Do(Action::Timeout { user, seconds, reason: reason.map(str::to_owned) }))
    }

    fn slow(&self) -> Result<Input, Wrong> {
        let seconds = match self.words().next() {
            None => SLOW_DEFAULT_S,
            Some(_) => u32::try_from(self.span(self.arguments)?).unwrap_or(u32::MAX),
        };
        if !(1..=MAX_SLOW_S).contains(&seconds) {
            return Err(self.wrong("1 second to 1 hour; /slowoff ends slow mode"));
        }
        Ok(Input::Do(Action::Set { settings: Patch { slow_s: Some(seconds), ..Patch::default() } }))
    }

    fn followers(&self) -> Result<Input, Wrong> {
        let seconds = match self.words().next() {
            None => 0,
            Some(_) => u32::try_from(self.span(self.arguments)?).unwrap_or(u32::MAX),
        };
        if seconds > MAX_FOLLOWERS_S {
            return Err(self.wrong("no longer than 90 days"));
        }
        Ok(Input::Do(Action::Set {
            settings: Patch { followers_s: Some(Some(seconds)), ..Patch::default() },
        }))
    }

    fn on_or_off(&self) -> Result<bool, Wrong> {
        match self.arguments.to_ascii_lowercase().as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            "" => Err(self.wrong("on or off?")),
            other => Err(self.wrong(&format!("{} is neither on nor off", Self::quote(other)))),
        }
    }

    fn links(&self) -> Result<Links, Wrong> {
        match self.arguments.to_ascii_lowercase().as_str() {
            "allow" | "on" => Ok(Links::Allow),
            "hold" => Ok(Links::Hold),
            "refuse" | "off" => Ok(Links::Refuse),
            "" => Err(self.wrong("allow, hold or refuse?")),
            other => Err(self.wrong(&format!("{} is none of allow, hold, refuse", Self::quote(other)))),
        }
    }

    fn block(&self) -> Result<Input, Wrong> {
        let all = self.something("which term?")?;
        let (then, term) = match all.split_once(' ') {
            Some((word, term)) if word.eq_ignore_ascii_case("refuse") => (Then::Refuse, term),
            Some((word, term)) if word.eq_ignore_ascii_case("hold") => (Then::Hold, term),
            _ => (Then::Hold, all.as_str()),
        };
        Ok(Input::Do(Action::BlockTerm { term: term.trim().to_owned(), then }))
    }

    fn help(&self) -> Result<Input, Wrong> {
        let Some(word) = self.words().next() else { return Ok(Input::Help(None)) };
        let name = word.strip_prefix('/').unwrap_or(word).to_lowercase();
        match COMMANDS.iter().find(|command| command.name == name) {
            Some(command) => Ok(Input::Help(Some(command))),
            None => Err(unknown(&name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn action(text: &str) -> Action {
        match parse(text) {
            Ok(Input::Do(action)) => action,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn set(text: &str) -> Patch {
        match action(text) {
            Action::Set { settings } => settings,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().0
    }

    #[test]
    fn text_is_said() {
        assert_eq!(parse("hello /ban"), Ok(Input::Say { text: "hello /ban".into(), me: false }));
        assert_eq!(parse("/me waves  at all"), Ok(Input::Say { text: "waves  at all".into(), me: true }));
        assert_eq!(parse("/ME waves"), Ok(Input::Say { text: "waves".into(), me: true }));
        assert_eq!(wrong("/me"), "/me text: what?");
    }

    #[test]
    fn people_are_silenced() {
        let user = "@bob".to_owned();
        assert_eq!(
            action("/timeout bob"),
            Action::Timeout { user: user.clone(), seconds: 600, reason: None }
        );
        assert_eq!(
            action("/timeout @bob 1h30m too loud,  really"),
            Action::Timeout { user: user.clone(), seconds: 5_400, reason: Some("too loud,  really".into()) }
        );
        assert_eq!(action("/ban bob"), Action::Ban { user: user.clone(), reason: None });
        assert_eq!(action("/ban bob spam"), Action::Ban { user: user.clone(), reason: Some("spam".into()) });
        assert_eq!(action("/unban @bob"), Action::Release { user: user.clone() });
        assert_eq!(action("/untimeout bob"), Action::Release { user: user.clone() });
        assert_eq!(action("/purge bob"), Action::Purge { user: user.clone() });
        assert_eq!(action("/who bob"), Action::Who { user: user.clone() });
        assert_eq!(action("/mod bob"), Action::Appoint { user: user.clone() });
        assert_eq!(action("/unmod bob"), Action::Dismiss { user });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let usage = "/timeout name 10m [reason]";
        assert_eq!(
            wrong("/timeout bob 10x"),
            format!("{usage}: `10x` is not a time; say 30s, 10m, 2h or 3d")
        );
        assert_eq!(
            wrong("/timeout bob spam"),
            format!("{usage}: `spam` is not a time; say 30s, 10m, 2h or 3d")
        );
        for time in ["0", "15d", "99w"] {
            assert_eq!(
                wrong(&format!("/timeout bob {time}")),
                format!("{usage}: a time-out is 1 second to 14 days long; /ban is for longer")
            );
        }
        assert_eq!(wrong("/timeout"), format!("{usage}: who?"));
        assert_eq!(wrong("/ban"), "/ban name [reason]: who?");
        assert_eq!(wrong("/ban @"), "/ban name [reason]: who?");
        assert_eq!(wrong("/unban bob now"), "/unban name: one name, but `now` follows");
        assert_eq!(wrong("/clear all"), "/clear: nothing may follow, but `all` does");
        assert_eq!(wrong("/slowoff 3"), "/slowoff: nothing may follow, but `3` does");
        assert_eq!(wrong("/slow 2h"), "/slow 10: 1 second to 1 hour; /slowoff ends slow mode");
        assert_eq!(wrong("/slow fast"), "/slow 10: `fast` is not a time; say 30s, 10m, 2h or 3d");
        assert_eq!(wrong("/followers 91d"), "/followers [10m]: no longer than 90 days");
        assert_eq!(wrong("/chat"), "/chat on|off: on or off?");
        assert_eq!(wrong("/chat maybe"), "/chat on|off: `maybe` is neither on nor off");
        assert_eq!(wrong("/links maybe"), "/links allow|hold|refuse: `maybe` is none of allow, hold, refuse");
        assert_eq!(wrong("/delete x"), "/delete id: `x` is not the id of a message");
        assert_eq!(wrong("/block"), "/block [hold|refuse] term: which term?");
        assert_eq!(
            wrong("/timout bob"),
            "There is no command /timout. Did you mean /timeout name 10m [reason]?"
        );
        assert_eq!(wrong("/frobnicate"), "There is no command /frobnicate; /help lists all.");
        assert_eq!(wrong("/"), "There is no command /; /help lists all.");
        assert!(wrong(&format!("/{}", "x".repeat(400))).len() < 100);
    }

    #[test]
    fn modes_are_set() {
        assert_eq!(set("/slow").slow_s, Some(30));
        assert_eq!(set("/slow 10").slow_s, Some(10));
        assert_eq!(set("/slow 1m").slow_s, Some(60));
        assert_eq!(set("/slowoff").slow_s, Some(0));
        assert_eq!(set("/followers").followers_s, Some(Some(0)));
        assert_eq!(set("/followers 10m").followers_s, Some(Some(600)));
        assert_eq!(set("/followersoff").followers_s, Some(None));
        assert_eq!(set("/subscribers").subscribers_only, Some(true));
        assert_eq!(set("/subscribersoff").subscribers_only, Some(false));
        assert_eq!(set("/emoteonly").emotes_only, Some(true));
        assert_eq!(set("/emoteonlyoff").emotes_only, Some(false));
        assert_eq!(set("/unique").unique, Some(true));
        assert_eq!(set("/uniqueoff").unique, Some(false));
        assert_eq!(set("/chat off").off, Some(true));
        assert_eq!(set("/chat ON").off, Some(false));
        assert_eq!(set("/raidshield on").raid_shield, Some(true));
        assert_eq!(set("/raidshield off").raid_shield, Some(false));
        assert_eq!(set("/links hold").links, Some(Links::Hold));
        assert_eq!(set("/links refuse").links, Some(Links::Refuse));
        assert_eq!(set("/links allow").links, Some(Links::Allow));
    }

    #[test]
    fn lists_terms_and_decisions() {
        let term = |text: &str, then| Action::BlockTerm { term: text.to_owned(), then };
        assert_eq!(action("/block buy followers"), term("buy followers", Then::Hold));
        assert_eq!(action("/block hold spam"), term("spam", Then::Hold));
        assert_eq!(action("/block refuse spam"), term("spam", Then::Refuse));
        assert_eq!(action("/block refuse"), term("refuse", Then::Hold));
        assert_eq!(action("/unblock buy followers"), Action::UnblockTerm { term: "buy followers".into() });
        let id = nodi_protocol::chat::EventId::new(1_800_000_000_000, 7);
        assert_eq!(action(&format!("/delete {id}")), Action::Delete { id });
        assert_eq!(
            action(&format!("/allow {}", id.to_string().to_lowercase())),
            Action::Review { id, allow: true }
        );
        assert_eq!(action(&format!("/deny {id}")), Action::Review { id, allow: false });
        for (text, want) in [
            ("/clear", Action::Clear {}),
            ("/mods", Action::Moderators {}),
            ("/terms", Action::Terms {}),
            ("/held", Action::Held {}),
            ("/restricted", Action::Restricted {}),
            ("/log", Action::Log { before: None }),
        ] {
            assert_eq!(action(text), want);
        }
    }

    #[test]
    fn help_is_given() {
        assert_eq!(parse("/help"), Ok(Input::Help(None)));
        let Ok(Input::Help(Some(command))) = parse("/help /Ban") else { panic!() };
        assert_eq!(command.name, "ban");
        assert!(wrong("/help bam").contains("Did you mean /ban"));
    }

    proptest! {
        #[test]
        fn every_command_takes_anything(which in 0..COMMANDS.len(), rest in ".{0,60}") {
            let _ = parse(&format!("/{} {rest}", COMMANDS[which].name));
            let _ = parse(&format!("/{rest}"));
        }
    }

    #[test]
    fn every_command_is_understood() {
        for command in COMMANDS {
            if let Err(wrong) = parse(&format!("/{}", command.name)) {
                assert!(wrong.0.starts_with(command.usage), "{}", wrong.0);
            }
        }
    }
}
