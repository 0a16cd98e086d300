//! Following channels.

use axum::extract::State;
use axum::http::StatusCode;
use nodi_protocol::ChannelId;
use rusqlite::params;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::access::Site;
use super::card::{self, Card};
use super::sessions::Account;
use crate::channels::rows;
use crate::error::Error;
use crate::http::extract::{At, Json};
use crate::state::App;

pub(super) fn routes() -> Site {
    Site::new("following").member(routes!(follow, unfollow)).member(routes!(list))
}

/// Follow a channel
///
/// Following it already changes nothing: neither since when, nor how many do.
#[utoipa::path(put, path = "/channels/{channel}/follow", params(("channel" = ChannelId, Path)), responses(
    (status = 204, description = "Followed."),
    (status = 409, description = "One follows too many already."),
))]
async fn follow(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
) -> Result<StatusCode, Error> {
    let (now_ms, most) = (app.now_ms(), app.config.site.follows_per_person);
    app.db
        .write(move |tx| {
            if rows::get(tx, &channel)?.is_none() {
                return Err(Error::not_found("channel", &channel));
            }
            // Conflict-free for who follows it already, whatever the count.
            let added = tx
                .prepare_cached(
                    "INSERT INTO follow (person_id, channel_id, since_ms) SELECT ?1, ?2, ?3
                     WHERE NOT EXISTS (SELECT 1 FROM follow WHERE person_id = ?1 AND channel_id = ?2)",
                )?
                .execute(params![account.id, channel.as_str(), now_ms])?;
            if added == 0 {
                return Ok(());
            }
            let held: u32 = tx
                .prepare_cached("SELECT count(*) FROM follow WHERE person_id = ?1")?
                .query_row([&account.id], |row| row.get(0))?;
            if held > most {
                return Err(Error::conflict(format!("you follow {most} channels already; leave some first")));
            }
            Ok(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stop following a channel
#[utoipa::path(delete, path = "/channels/{channel}/follow", params(("channel" = ChannelId, Path)), responses((status = 204, description = "Not followed.")))]
async fn unfollow(
    State(app): State<App>,
    account: Account,
    At(channel): At<ChannelId>,
) -> Result<StatusCode, Error> {
    app.db
        .write(move |tx| {
            tx.prepare_cached("DELETE FROM follow WHERE person_id = ?1 AND channel_id = ?2")?
                .execute(params![account.id, channel.as_str()])?;
            Ok(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Serialize, ToSchema)]
struct Following {
    /// Live ones first, those with the most viewers before others.
    channels: Vec<Followed>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Followed {
    #[serde(flatten)]
    card: Card,
    followed_ms: i64,
}

/// What one follows
#[utoipa::path(get, path = "/following", responses((status = 200, description = "The channels.", body = Following)))]
async fn list(State(app): State<App>, account: Account) -> Result<Json<Following>, Error> {
    let shared = app.clone();
    let mut channels = app
        .db
        .read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {}, follow.since_ms FROM follow JOIN {} WHERE follow.person_id = ?1 AND channel.id = follow.channel_id
                 ORDER BY channel.id",
                card::COLUMNS,
                card::FROM,
            ))?;
            let mut rows = statement.query([&account.id])?;
            let mut channels = Vec::new();
            while let Some(row) = rows.next()? {
                channels.push(Followed {
                    card: Card::of(&shared, card::read(row)?),
                    followed_ms: row.get(card::WIDTH)?,
                });
            }
            Ok(channels)
        })
        .await?;
    channels.sort_by(|one, other| one.card.rank(&other.card));
    Ok(Json(Following { channels }))
}
