//! Tells browsers of sessions: what matters at once, numbers now and then.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use nodi_protocol::{BoxId, ChannelId, SessionId};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use super::view::SessionView;
use crate::boxes::Change;
use crate::live::{Audience, Kind, News};
use crate::state::App;

/// How often sessions that changed are shown.
const SHOW: Duration = Duration::from_secs(1);
/// Sessions shown at a time only because a number moved: a browser can draw that.
const NUMBERS: usize = 20;

/// `session_ended` in the stream of live changes.
#[derive(Debug, Serialize)]
struct Ended {
    id: SessionId,
    channel: ChannelId,
    box_id: BoxId,
}

/// What browsers were told last.
struct Shown {
    box_id: BoxId,
    channel: ChannelId,
    substance: String,
}

#[derive(Default)]
struct Board {
    shown: HashMap<SessionId, Shown>,
    /// Changed since they were shown, the oldest first, each once.
    moved: VecDeque<(SessionId, BoxId)>,
    /// The same, for looking one up.
    waiting: HashSet<SessionId>,
}

/// Runs until the process stops.
pub(super) async fn sessions(app: App) {
    let mut changes = app.boxes.registry.changes();
    let mut board = Board::default();
    board.look_at_all(&app);
    let mut tick = tokio::time::interval(SHOW);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => board.changed(&app, change),
                Err(RecvError::Lagged(_)) => board.look_at_all(&app),
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => board.show(&app),
        }
    }
}

impl Board {
    fn changed(&mut self, app: &App, change: Change) {
        match change {
            Change::Session(box_id, session) => {
                app.streams.changed();
                let new = !self.shown.contains_key(&session.session);
                self.mark(session.session, &box_id);
                if new {
                    self.show(app);
                }
            }
            Change::SessionEnded(_, session) => {
                app.streams.changed();
                // One that nobody was told of ended before it was shown.
                self.forget(app, session.session);
            }
            // Its sessions look different now.
            Change::Box(id) => {
                app.streams.changed();
                if let Some(record) = app.boxes.registry.get(&id) {
                    record.sessions.keys().for_each(|session| self.mark(*session, &id));
                }
            }
            // And these go with it.
            Change::Removed(_) => {
                app.streams.changed();
                self.look_at_all(app);
            }
            Change::Event(..) => {}
        }
    }

    fn mark(&mut self, id: SessionId, box_id: &BoxId) {
        if self.waiting.insert(id) {
            self.moved.push_back((id, box_id.clone()));
        }
    }

    /// Everything anew: some changes were missed, or it is not known what changed.
    fn look_at_all(&mut self, app: &App) {
        let sessions = app.boxes.registry.sessions();
        let now: HashMap<SessionId, &BoxId> =
            sessions.iter().map(|(record, session)| (session.session, &record.id)).collect();
        let gone: Vec<SessionId> = self.shown.keys().filter(|id| !now.contains_key(id)).copied().collect();
        for id in gone {
            self.forget(app, id);
        }
        for (id, box_id) in now {
            self.mark(id, box_id);
        }
    }

    /// What matters at once; of the rest some.
    fn show(&mut self, app: &App) {
        let mut numbers = 0;
        for _ in 0..self.moved.len() {
            let Some((id, box_id)) = self.moved.pop_front() else { break };
            let record = app.boxes.registry.get(&box_id);
            let found = record.as_ref().and_then(|record| Some((record, record.sessions.get(&id)?)));
            let Some((record, session)) = found else {
                // It ended: that is told by itself.
                self.waiting.remove(&id);
                continue;
            };
            let view = SessionView::of(app, record, session);
            let substance = view.substance();
            let matters = self.shown.get(&id).is_none_or(|shown| shown.substance != substance);
            if matters || numbers < NUMBERS {
                numbers += usize::from(!matters);
                self.waiting.remove(&id);
                self.send(app, &view, substance);
            } else {
                self.moved.push_back((id, box_id));
            }
        }
    }

    fn send(&mut self, app: &App, view: &SessionView, substance: String) {
        let (box_id, channel) = (view.box_id.clone(), view.report.channel.clone());
        app.live.send(Kind::Session, Audience::Channel(channel.clone()), view);
        self.shown.insert(view.report.session, Shown { box_id, channel, substance });
    }

    fn forget(&mut self, app: &App, id: SessionId) {
        if let Some(Shown { box_id, channel, .. }) = self.shown.remove(&id) {
            let audience = Audience::Channel(channel.clone());
            app.live.send(Kind::SessionEnded, audience, &Ended { id, channel, box_id });
        }
    }
}

/// Keeps the names of channels up to date.
pub(super) async fn names(app: App) {
    let mut news = app.live.watch();
    let mut seen = app.live.newest();
    let mut only = Some(None);
    loop {
        if let Some(which) = only.take()
            && let Err(error) = app.streams.names.refresh(&app, which).await
        {
            log::warn!("names of channels: {error}");
        }
        if news.changed().await.is_err() {
            return;
        }
        match app.live.after(seen) {
            News::Reset { from } => {
                seen = from;
                only = Some(None);
            }
            News::Changes(changes) => {
                let mut ids = Vec::new();
                for change in changes {
                    seen = change.seq;
                    if let (Kind::Channel, Audience::Channel(id)) = (change.kind, change.audience)
                        && !ids.contains(&id)
                    {
                        ids.push(id);
                    }
                }
                only = match ids.len() {
                    0 => None,
                    1 => Some(ids.pop()),
                    _ => Some(None),
                };
            }
        }
    }
}
