//! Tokens with which accounts speak in chats: signed here, checked by the chat service without asking.

use axum::extract::State;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::Role as ChatRole;
use nodi_protocol::chat::token::Claims;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::access::Site;
use super::sessions::Account;
use crate::channels::rows;
use crate::error::Error;
use crate::http::extract::{At, Json};
use crate::people::Role;
use crate::state::App;

pub(super) fn routes() -> Site {
    Site::new("chat").member(routes!(for_channel)).member(routes!(for_account))
}

/// A chat token.
#[derive(Debug, Serialize, ToSchema)]
struct ChatToken {
    token: String,
    expires_ms: i64,
}

/// A token to speak with in a channel's chat
#[utoipa::path(post, path = "/channels/{channel}/chat-token", params(("channel" = ChannelId, Path)), responses(
    (status = 200, description = "The token.", body = ChatToken),
))]
async fn for_channel(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
) -> Result<Json<ChatToken>, Error> {
    let asked = channel.clone();
    let (account, owned, followed_s) = app
        .db
        .read(move |connection| {
            let row = rows::get(connection, &asked)?.ok_or_else(|| Error::not_found("channel", &asked))?;
            if row.suspended_ms.is_some() {
                return Err(Error::forbidden("this channel is suspended"));
            }
            let owned = row.owner_id.as_deref() == Some(account.id.as_str());
            let followed_s = followed_s(connection, &account.id, &asked)?;
            Ok((account, owned, followed_s))
        })
        .await?;
    let (role, badges) = standing(account.role, owned);
    let claims = Claims { channel: Some(channel), role, badges, followed_s, ..claims(&app, account) };
    mint(&app, &claims).map(Json)
}

/// A token for what concerns one's own messages
///
/// Good for exporting and erasing them, in no channel for speaking.
#[utoipa::path(post, path = "/account/chat-token", responses((status = 200, description = "The token.", body = ChatToken)))]
async fn for_account(State(app): State<App>, account: Account) -> Result<Json<ChatToken>, Error> {
    mint(&app, &claims(&app, account)).map(Json)
}

/// What somebody is in a channel's chat: role and badges. Nobody is a subscriber yet, and moderators are appointed in
/// the chat itself.
fn standing(role: Role, owned: bool) -> (ChatRole, Vec<String>) {
    let staff = role >= Role::Operator;
    let badges = [(staff, "staff"), (owned, "streamer")];
    let badges = badges.into_iter().filter(|(has, _)| *has).map(|(_, badge)| badge.to_owned()).collect();
    let role = match (staff, owned) {
        (true, _) => ChatRole::Staff,
        (false, true) => ChatRole::Streamer,
        (false, false) => ChatRole::Viewer,
    };
    (role, badges)
}

/// Of the account itself, in no channel.
fn claims(app: &App, account: Account) -> Claims {
    let now_s = seconds(app.now_ms());
    Claims {
        sub: account.id,
        name: account.name,
        color: account.color,
        badges: Vec::new(),
        channel: None,
        role: ChatRole::Viewer,
        followed_s: None,
        created_s: seconds(account.created_ms),
        exp: now_s.saturating_add(app.config.site.chat_token_s),
    }
}

fn mint(app: &App, claims: &Claims) -> Result<ChatToken, Error> {
    let token = app.site.chat_key.mint(claims)?;
    app.site.counts.chat_tokens.inc();
    let expires_ms = i64::try_from(claims.exp.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Ok(ChatToken { token, expires_ms })
}

fn followed_s(connection: &Connection, person: &str, channel: &ChannelId) -> Result<Option<u64>, Error> {
    let since_ms: Option<i64> = connection
        .prepare_cached("SELECT since_ms FROM follow WHERE person_id = ?1 AND channel_id = ?2")?
        .query_row(params![person, channel.as_str()], |row| row.get(0))
        .optional()?;
    Ok(since_ms.map(seconds))
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_standing_counts_and_every_badge_is_worn() {
        let of = |role, owned| {
            let (role, badges) = standing(role, owned);
            (role, badges.join(" "))
        };
        assert_eq!(of(Role::Member, false), (ChatRole::Viewer, String::new()));
        assert_eq!(of(Role::Streamer, false), (ChatRole::Viewer, String::new()));
        assert_eq!(of(Role::Viewer, false), (ChatRole::Viewer, String::new()));
        assert_eq!(of(Role::Streamer, true), (ChatRole::Streamer, "streamer".to_owned()));
        assert_eq!(of(Role::Administrator, false), (ChatRole::Staff, "staff".to_owned()));
        assert_eq!(of(Role::Operator, true), (ChatRole::Staff, "staff streamer".to_owned()));
    }
}
