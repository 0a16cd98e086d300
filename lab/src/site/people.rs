//! Who is at the lab's site: accounts that are made as everybody makes one, a channel that is one of theirs, and a
//! moderator whom its streamer appointed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nodi_protocol::ChannelId;
use nodi_protocol::chat::action::Action;
use nodi_protocol::chat::server;
use serde::Serialize;
use serde_json::json;

use super::Visitor;
use crate::chat::client::Dial;
use crate::chat::member::{Answer, Member};
use crate::error::{Error, io};
use crate::fleet::Fleet;

const FILE: &str = "people.json";
const PASSWORD_BYTES: usize = 6;
const TITLE: &str = "Colour bars and beeps, all day long";
const ABOUT: &str =
    "The test picture of this lab: a moving pattern, the clip's time, and a tone every second.";

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    pub name: String,
    pub password: String,
}

/// The accounts that a lab has from its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logins {
    /// Owns the lab's channel.
    pub streamer: Login,
    /// Keeps order in its chat.
    pub moderator: Login,
    pub viewers: [Login; 2],
}

/// The passwords of a lab's directory, by name: one that is used again has the accounts already.
#[derive(Debug)]
pub struct Book {
    file: PathBuf,
    passwords: BTreeMap<String, String>,
}

impl Book {
    /// # Errors
    /// When the file is broken.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let file = dir.join(FILE);
        let passwords = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| io(format!("reading {}", file.display()))(error.into()))?,
            Err(_) => BTreeMap::new(),
        };
        Ok(Self { file, passwords })
    }

    /// The password of that name, made up if there is none.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn login(&mut self, name: &str) -> Result<Login, Error> {
        if let Some(password) = self.passwords.get(name) {
            return Ok(Login { name: name.to_owned(), password: password.clone() });
        }
        let mut random = [0; PASSWORD_BYTES];
        getrandom::fill(&mut random)
            .map_err(|error| io("reading random bytes")(std::io::Error::other(error)))?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.passwords.insert(name.to_owned(), password.clone());
        let json = serde_json::to_vec_pretty(&self.passwords).map_err(|error| io("logins")(error.into()))?;
        crate::keys::replace(&self.file, &json)?;
        Ok(Login { name: name.to_owned(), password })
    }

    fn logins(&mut self) -> Result<Logins, Error> {
        Ok(Logins {
            streamer: self.login("Marea")?,
            moderator: self.login("Argine")?,
            viewers: [self.login("Goccia")?, self.login("Onda")?],
        })
    }
}

/// Makes what is not there yet: accounts, owner and moderator of the channel. `base` is the site, `chat` the
/// WebSocket.
pub(crate) async fn settle(
    dir: &Path,
    base: &str,
    chat: &str,
    fleet: &Fleet,
    channel: &ChannelId,
) -> Result<Logins, Error> {
    let logins = Book::open(dir)?.logins()?;
    let mut streamer = arrive(base, &logins.streamer, 1).await?;
    let mut moderator = arrive(base, &logins.moderator, 2).await?;
    for (viewer, host) in logins.viewers.iter().zip(3..) {
        arrive(base, viewer, host).await?;
    }
    // Signing up makes a member; an operator gives them the channel that is there already.
    fleet.give(channel, streamer.account()?).await?;
    let known = streamer.get(&format!("/channels/{channel}")).await?;
    if known.get("description").is_none_or(|about| about == "") {
        let about = json!({ "title": TITLE, "description": ABOUT });
        streamer.patch(&format!("/channels/{channel}"), about).await?;
    }
    appoint(chat, channel, &mut streamer, &mut moderator).await?;
    Ok(logins)
}

/// Signs up, or in who has been here before; each from an address of their own.
pub(crate) async fn arrive(base: &str, login: &Login, host: u8) -> Result<Visitor, Error> {
    let mut visitor = Visitor::from(base, Ipv4Addr::new(127, 0, 1, host))?;
    match visitor.sign_up(login).await {
        Err(Error::Refused { status: 409, .. }) => visitor.sign_in(login).await?,
        other => other?,
    }
    Ok(visitor)
}

/// In the chat, as streamers do it.
async fn appoint(
    chat: &str,
    channel: &ChannelId,
    streamer: &mut Visitor,
    moderator: &mut Visitor,
) -> Result<(), Error> {
    let user = moderator.account()?.to_owned();
    let token = moderator.chat_token(channel).await?;
    // Whoever has been in the room is known to it.
    let there = Member::enter(Dial::new(chat), channel, Some(token)).await?;
    let token = streamer.chat_token(channel).await?;
    let owner = Member::enter(Dial::new(chat), channel, Some(token)).await?;
    if let Answer::Done(_, Some(server::Answer::Moderators { users })) =
        owner.act(Action::Moderators {}).await?
        && users.iter().any(|known| known.id == user)
    {
        return Ok(());
    }
    let answer = owner.act(Action::Appoint { user }).await?;
    drop(there);
    match answer {
        Answer::Done(..) => Ok(()),
        other => Err(Error::Chat(format!("appointing the moderator: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_people() {
        let dir = tempfile::tempdir().unwrap();
        let first = Book::open(dir.path()).unwrap().logins().unwrap();
        assert_eq!(Book::open(dir.path()).unwrap().logins().unwrap(), first);
        assert!(first.streamer.password.len() >= 10, "the site takes ten characters or more");
    }
}
