//! The topics of live sessions: one retained message each, emptied when the session is over, also when the agent was
//! not there to see its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodi_mqtt::{Link, Message, NotSent};
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::session::Session;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::{BoxId, SessionId};
use tokio::sync::watch;

use super::keep::{connected, disconnected};
use crate::seams::Sessions;
use crate::store::{Error, Store};

/// Shows `sessions` to the fleet, for ever.
pub(crate) async fn show(
    link: Link,
    box_id: BoxId,
    store: Store,
    mut sessions: watch::Receiver<Option<Sessions>>,
) {
    // What the broker was told on this connection; `None`: something, on an earlier one.
    let mut told: BTreeMap<SessionId, Option<Arc<Session>>> = match store.told_sessions().await {
        Ok(told) => told.into_iter().map(|session| (session, None)).collect(),
        Err(error) => {
            log::error!("{error}");
            BTreeMap::new()
        }
    };
    let mut last = 0;
    loop {
        let number = connected(&link).await;
        if number != last {
            told.values_mut().for_each(|told| *told = None);
            last = number;
        }
        let live = sessions.borrow_and_update().clone();
        let done = match live {
            // Not known yet: what the broker shows may well be true.
            None => Ok(()),
            Some(live) => {
                let mut round = Round { link: &link, box_id: &box_id, store: &store, told: &mut told };
                round.update(&live).await
            }
        };
        match done {
            Ok(()) => tokio::select! {
                () = disconnected(&link, number) => {}
                changed = sessions.changed() => if changed.is_err() {
                    disconnected(&link, number).await;
                },
            },
            Err(NotSent::Closed) => return,
            Err(_) => disconnected(&link, number).await,
        }
    }
}

struct Round<'a> {
    link: &'a Link,
    box_id: &'a BoxId,
    store: &'a Store,
    told: &'a mut BTreeMap<SessionId, Option<Arc<Session>>>,
}

impl Round<'_> {
    async fn update(&mut self, live: &Sessions) -> Result<(), NotSent> {
        let over: Vec<SessionId> = self.told.keys().filter(|id| !live.contains_key(id)).copied().collect();
        for id in over {
            self.publish(id, Vec::new()).await?;
            log_failure(self.store.forget_session(id).await);
            self.told.remove(&id);
        }
        for (id, session) in live {
            if self.told.get(id).and_then(Option::as_ref) == Some(session) {
                continue;
            }
            let payload = match session.to_json() {
                Ok(payload) => payload,
                Err(error) => {
                    log::error!(session:% = id; "{error}");
                    continue;
                }
            };
            if !self.told.contains_key(id) {
                // Before the broker has it, so that it is emptied whatever happens.
                log_failure(self.store.tell_session(*id).await);
                self.told.insert(*id, None);
            }
            self.publish(*id, payload).await?;
            self.told.insert(*id, Some(session.clone()));
        }
        Ok(())
    }

    /// A message that the broker refuses for ever is logged and taken as said.
    async fn publish(&self, id: SessionId, payload: Vec<u8>) -> Result<(), NotSent> {
        let topic = Topic::Box(self.box_id.clone(), BoxTopic::Session(id)).to_string();
        match self.link.publish(Message::retained(topic, payload)).await {
            Err(error) if !error.is_transient() && error != NotSent::Closed => {
                log::error!(session:% = id; "not sent: {error}");
                Ok(())
            }
            other => other,
        }
    }
}

fn log_failure(result: Result<(), Error>) {
    if let Err(error) = result {
        log::error!("{error}");
    }
}
