//! `GET /events`: live changes as server-sent events.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use nodi_protocol::BoxId;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::access::Api;
use super::extract::Query;
use super::identity::Identity;
use crate::error::Error;
use crate::live::{Audience, Change, News};
use crate::people::Role;
use crate::state::App;

/// How often a quiet stream says that it is alive, and whether its reader may still read is looked at.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Api {
    Api::new("events").person(routes!(events))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Telemetry of this box too.
    #[serde(rename = "box")]
    #[param(value_type = Option<String>)]
    box_id: Option<BoxId>,
}

/// Live changes
///
/// Server-sent events: `box`, `box_removed`, `telemetry`, `session`, `session_ended`, `command`, `alert`, `channel`,
/// `enrolment`, `updates`, each with the thing itself as JSON, and `rollouts` with the `id` of one that changed and
/// `bundles`, to fetch them again. After a break the browser sends `Last-Event-ID` and gets what it
/// missed, or `reset`: fetch everything again.
#[utoipa::path(get, path = "/events", params(Filter, ("last-event-id" = Option<String>, Header, description = "Go on behind this event.")),
    responses((status = 200, description = "A stream that does not end.", body = String, content_type = "text/event-stream")))]
async fn events(
    State(app): State<App>,
    who: Identity,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let slot = Arc::clone(&app.people.followers).try_acquire_owned().map_err(|_| {
        Error::Unavailable(format!("{} browsers follow already", app.config.http.max_followers))
    })?;
    let wake = app.live.watch();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let mut pending = VecDeque::new();
    let seen = match last.map(|id| app.live.resume(id)) {
        None => app.live.newest(),
        Some(Some(seen)) => seen,
        Some(None) => {
            let newest = app.live.newest();
            pending.push_back(reset(&app, newest));
            newest
        }
    };
    // Something at once, so that the browser knows that it is connected.
    pending.push_back(Event::default().comment("connected"));
    let telemetry = filter.box_id.filter(|_| who.role >= Role::Viewer).map(|id| app.live.follow_box(&id));
    let follower = Follower { app, who, seen, pending, wake, telemetry, first: true, _slot: slot };
    let stream = unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(stream))
}

fn reset(app: &App, seq: u64) -> Event {
    Event::default().event("reset").id(app.live.event_id(seq)).data("{}")
}

struct Follower {
    app: App,
    who: Identity,
    /// Number of the last change that was looked at.
    seen: u64,
    pending: VecDeque<Event>,
    wake: watch::Receiver<u64>,
    telemetry: Option<broadcast::Receiver<Arc<str>>>,
    first: bool,
    _slot: OwnedSemaphorePermit,
}

enum Wake {
    News,
    Telemetry(Arc<str>),
    Alive,
    Stop,
}

impl Follower {
    /// `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if std::mem::take(&mut self.first) {
                // What came between the browser's last event and now.
                self.collect().await?;
                continue;
            }
            match self.wait().await {
                Wake::News => self.collect().await?,
                Wake::Telemetry(json) => {
                    self.pending.push_back(Event::default().event("telemetry").data(&*json));
                }
                Wake::Alive => {
                    self.who = self.who.renewed(&self.app).await?;
                    self.pending.push_back(Event::default().comment("alive"));
                }
                Wake::Stop => return None,
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let telemetry = async {
            match &mut self.telemetry {
                None => std::future::pending().await,
                Some(receiver) => loop {
                    match receiver.recv().await {
                        Ok(json) => break json,
                        // A slow browser misses some points of a chart.
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                    }
                },
            }
        };
        tokio::select! {
            changed = self.wake.changed() => if changed.is_ok() { Wake::News } else { Wake::Stop },
            json = telemetry => Wake::Telemetry(json),
            () = tokio::time::sleep(ALIVE) => Wake::Alive,
            () = self.app.shutdown.wait() => Wake::Stop,
        }
    }

    /// Takes over what is new and for this reader.
    async fn collect(&mut self) -> Option<()> {
        match self.app.live.after(self.seen) {
            News::Reset { from } => {
                self.seen = from;
                self.pending.push_back(reset(&self.app, from));
            }
            News::Changes(changes) => {
                let own = self.own_channels(&changes).await?;
                for change in changes {
                    self.seen = change.seq;
                    let may = match &change.audience {
                        _ if self.who.role >= Role::Viewer => true,
                        Audience::Staff => false,
                        Audience::Channel(id) => own.contains(id.as_str()),
                    };
                    if may {
                        let id = self.app.live.event_id(change.seq);
                        self.pending
                            .push_back(Event::default().event(change.kind.name()).id(id).data(&*change.json));
                    }
                }
            }
        }
        Some(())
    }

    /// A streamer's channels, asked for when it matters; `None` when the database fails, which ends the stream.
    async fn own_channels(&self, changes: &[Change]) -> Option<HashSet<String>> {
        let of_channels = changes.iter().any(|change| matches!(change.audience, Audience::Channel(_)));
        if self.who.role >= Role::Viewer || !of_channels {
            return Some(HashSet::new());
        }
        let person = self.who.person_id.clone();
        self.app.db.read(move |connection| crate::channels::owned_by(connection, &person)).await.ok()
    }
}
