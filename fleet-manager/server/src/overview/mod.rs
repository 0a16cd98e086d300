//! The overview: how the fleet does, in one answer.

use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use nodi_protocol::BoxId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::alerts;
use crate::boxes::{BoxState, BoxSummary, Health};
use crate::error::Error;
use crate::http::access::Api;
use crate::state::App;
use crate::streams::{self, SessionView};

/// For how long an answer is good, in milliseconds: everybody gets the same one, and what changes comes as live changes.
const FRESH_MS: i64 = 1_000;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("overview").viewer(routes!(overview))
}

/// The last answer, and when it was made.
#[derive(Debug, Default)]
pub struct Held(Mutex<Option<(i64, Bytes)>>);

/// How the fleet does.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Overview {
    boxes: Boxes,
    /// The newest first.
    live: Vec<SessionView>,
    alerts_active: u64,
    /// Those that have a place.
    boxes_on_map: Vec<BoxOnMap>,
}

/// Counts. Revoked boxes are in none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
struct Boxes {
    total: u64,
    online: u64,
    /// Those that were never seen are not among them.
    offline: u64,
    never_seen: u64,
    /// Online, with something that is not as it should be.
    warning: u64,
    /// Online, with something that viewers notice.
    critical: u64,
    /// For approval.
    waiting: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct BoxOnMap {
    id: BoxId,
    name: String,
    state: BoxState,
    health: Health,
    latitude: f64,
    longitude: f64,
    sessions: u32,
}

impl Boxes {
    fn count<'a>(summaries: impl Iterator<Item = &'a BoxSummary>) -> Self {
        let mut boxes = Self::default();
        for summary in summaries {
            let online = match summary.state {
                BoxState::Revoked => continue,
                BoxState::Online => true,
                BoxState::Offline | BoxState::NeverSeen => false,
            };
            boxes.total += 1;
            boxes.online += u64::from(online);
            boxes.offline += u64::from(summary.state == BoxState::Offline);
            boxes.never_seen += u64::from(summary.state == BoxState::NeverSeen);
            boxes.warning += u64::from(online && summary.health == Health::Warning);
            boxes.critical += u64::from(online && summary.health == Health::Critical);
        }
        boxes
    }
}

/// How the fleet does
#[utoipa::path(get, path = "/overview", responses((status = 200, description = "As of this second.", body = Overview)))]
async fn overview(Shared(app): Shared<App>) -> Result<Response, Error> {
    let now_ms = app.now_ms();
    let held = app.overview.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let json = match held {
        Some((at_ms, json)) if (0..FRESH_MS).contains(&(now_ms - at_ms)) => json,
        _ => {
            let json = Bytes::from(serde_json::to_vec(&make(&app).await?)?);
            *app.overview.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now_ms, json.clone()));
            json
        }
    };
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

async fn make(app: &App) -> Result<Overview, Error> {
    let (alerts_active, waiting) = app
        .db
        .read(|connection| {
            let waiting: i64 = connection
                .prepare_cached("SELECT count(*) FROM waiting_box WHERE rejected_ms IS NULL")?
                .query_row([], |row| row.get(0))?;
            Ok((alerts::active(connection)?, u64::try_from(waiting).unwrap_or(0)))
        })
        .await?;
    let summaries = app.boxes.registry.summaries();
    let boxes = Boxes { waiting, ..Boxes::count(summaries.iter().map(|summary| &**summary)) };
    let boxes_on_map = summaries
        .iter()
        .filter(|summary| summary.state != BoxState::Revoked)
        .filter_map(|summary| {
            let at = summary.location.as_ref()?;
            Some(BoxOnMap {
                id: summary.id.clone(),
                name: summary.name.clone(),
                state: summary.state,
                health: summary.health,
                latitude: at.latitude,
                longitude: at.longitude,
                sessions: summary.sessions,
            })
        })
        .collect();
    Ok(Overview { boxes, live: streams::live(app), alerts_active, boxes_on_map })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::Presence;
    use crate::streams::testing::record;

    #[test]
    fn every_box_is_counted_once() {
        let online = record("box-a");
        let mut offline = record("box-b");
        offline.presence = Presence::default();
        let mut never = offline.clone();
        never.last_seen_ms = None;
        let mut revoked = record("box-d");
        revoked.revoked = Some(crate::boxes::Revocation { at_ms: 0, reason: String::new() });
        let summaries = [online, offline, never, revoked].map(|record| BoxSummary::of(&record, "", 0));
        let boxes = Boxes { total: 3, online: 1, offline: 1, never_seen: 1, ..Boxes::default() };
        assert_eq!(Boxes::count(summaries.iter()), boxes);
    }
}
