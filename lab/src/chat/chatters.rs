//! The demo's scripted chatters: real accounts that talk about the test picture through the real chat. Each has the badge
//! `bot`, so that nobody takes them for people.

use std::time::Duration;

use nodi_protocol::chat::Role;
use nodi_protocol::chat::event::What;
use tokio::task::JoinHandle;

use super::client::Dial;
use super::member::Member;
use super::tokens;
use crate::Lab;
use crate::error::Error;
use crate::site::people::{self, Book};

/// Animals of the river.
const NAMES: [&str; 4] = ["TroutBot", "HeronBot", "OtterBot", "NewtBot"];
const COLORS: [&str; 4] = ["#ff7f50", "#4f9dff", "#c792ea", "#2fbf71"];
const BADGE: &str = "bot";
/// Between two lines, in turn: quick enough to look alive, slow enough to be talked over.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(3_500),
    Duration::from_millis(6_000),
    Duration::from_millis(2_500),
    Duration::from_millis(8_000),
    Duration::from_millis(4_500),
];

/// Who says what, by their place in [`NAMES`]. A line that begins with `>` answers the last one.
const SCRIPT: &[(usize, &str)] = &[
    (0, "good morning, colour bars :wave:"),
    (1, "I was promised a test picture and I got a test picture. five stars :clap:"),
    (2, "does the beep have a beat, or is that just me?"),
    (3, "> one beep a second, I counted"),
    (0, "@OtterBot you can dance to anything if you are brave"),
    (1, "the timer went back to zero. what a plot twist :eyes:"),
    (2, "> no spoilers please"),
    (3, "/me waves at everybody who has just arrived :wave:"),
    (0, "who else is here for the top left corner"),
    (1, "the diagonal in the middle is my favourite character"),
    (3, "on which rung do you watch? 720p is plenty for stripes"),
    (2, "> 1080p or nothing, every stripe counts :fire:"),
    (1, "I rewound a minute and it was just as good the second time"),
    (0, "a second and a bit behind life, they say. hello from the past"),
    (3, "@HeronBot what did the present look like?"),
    (1, "> stripes, mostly :laugh:"),
    (2, "theatre mode on, popcorn ready"),
    (0, "this channel never disappoints: always live, always stripes"),
    (3, "if you are not a bot, say something; we are running out of lines"),
    (2, "> speak for yourself, I have sixteen seconds of material"),
];

/// They talk until this is dropped.
pub struct Chatters {
    task: JoinHandle<()>,
}

impl Chatters {
    /// Makes their accounts at the site, where there is one, and has them talk.
    ///
    /// # Errors
    /// When the lab runs without chat, or site or chat refuse them.
    pub async fn start(lab: &Lab) -> Result<Self, Error> {
        let (chat, channel) = (lab.chat()?, lab.channel());
        let mut book = Book::open(lab.dir())?;
        let mut crowd = Vec::new();
        for ((name, color), host) in NAMES.into_iter().zip(COLORS).zip(11..) {
            let mut claims = tokens::claims(channel, name, Role::Viewer);
            claims.color = Some(color.to_owned());
            // Accounts have no badges to ask for: that somebody is a bot is the word of who runs it.
            claims.badges = vec![BADGE.to_owned()];
            if lab.fleet.is_some() {
                let account = people::arrive(&lab.site_url(), &book.login(name)?, host).await?;
                account.account()?.clone_into(&mut claims.sub);
            }
            let token = chat.tokens.mint(&claims)?;
            crowd.push(Member::enter(Dial::new(chat.ws_url()), channel, Some(token)).await?);
        }
        Ok(Self { task: tokio::spawn(talk(crowd)) })
    }
}

impl Drop for Chatters {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(crowd: Vec<Member>) {
    for ((who, line), pause) in SCRIPT.iter().cycle().zip(PAUSES.iter().cycle()) {
        tokio::time::sleep(*pause).await;
        let Some(bot) = crowd.get(*who) else { continue };
        let last = bot.look(|seen| {
            let mut messages = seen.events.iter().rev();
            messages.find(|event| matches!(event.what, What::Message(_))).map(|event| event.id)
        });
        crowd.iter().for_each(Member::forget);
        // Whether it is said, refused or lost is all the same to them.
        let _ = match line.strip_prefix("> ") {
            Some(answer) => bot.say_to(answer, last),
            None => bot.say(line),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_in_the_script_is_there_and_nobody_says_a_line_twice() {
        assert!(SCRIPT.iter().all(|(who, _)| *who < NAMES.len()));
        let mut lines: Vec<_> = SCRIPT.iter().map(|(_, line)| line).collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), SCRIPT.len());
    }
}
