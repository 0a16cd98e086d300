//! Somebody in a room who stays: comes back when the connection breaks, names the last event, takes what was missed, and
//! says again what nobody has answered for. It keeps everything that it got, for a test to look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nodi_protocol::ChannelId;
use nodi_protocol::chat::EventId;
use nodi_protocol::chat::action::Action;
use nodi_protocol::chat::client::Frame;
use nodi_protocol::chat::event::{Event, What};
use nodi_protocol::chat::server::{self, Code, Refused, Welcome, You};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::client::{Client, Dial, Ended, Incoming};
use crate::error::Error;

/// A page waits longer, and longer each time; a test has no crowd to spare the service.
const AGAIN: Duration = Duration::from_millis(100);
/// A connection that was made and says nothing for so long is dead (the protocol says 45 s).
const SILENCE: Duration = Duration::from_secs(45);
/// Somebody who has got so many events is done: a test of a flood has thousands.
const MOST_EVENTS: usize = 1_000_000;
/// With these there is no way back in.
const FOR_GOOD: [u16; 3] = [4001, 4002, 4006];
/// Anything the service answers takes milliseconds; a machine that also compiles takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a `say` or a `do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Said(EventId),
    Done(String, Option<server::Answer>),
    Refused(Refused),
}

impl Answer {
    /// Why it was refused, if it was.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refused) => Some(refused.code),
            Self::Said(_) | Self::Done(..) => None,
        }
    }
}

/// Everything that somebody got.
#[derive(Debug, Default)]
pub struct Seen {
    /// In the order in which they came, over all connections.
    pub events: Vec<Event>,
    /// One for each connection.
    pub welcomes: Vec<Welcome>,
    /// How often the service said that more was missed than it keeps.
    pub gaps: usize,
    /// By nonce.
    pub answers: BTreeMap<String, Answer>,
    pub you: Option<You>,
    /// Viewers and chatters.
    pub counts: Option<(u64, u64)>,
    /// What moderators are told.
    pub told: Vec<server::Frame>,
    /// How each connection ended.
    pub ends: Vec<Ended>,
    token: Option<String>,
    /// Not answered yet, each with the connection over which it went.
    pending: BTreeMap<String, (Frame, usize)>,
    nonces: u64,
}

impl Seen {
    /// What was said, without what was taken away later.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match &event.what {
                What::Message(message) => Some(message.text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Whether somebody has said exactly this.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        self.texts().contains(&text)
    }

    /// Every event came once, and in the order of the room.
    #[must_use]
    pub fn is_in_order(&self) -> bool {
        self.events.windows(2).all(|pair| matches!(pair, [one, next] if one.id < next.id))
    }
}

struct Shared {
    dial: Dial,
    channel: ChannelId,
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
    /// There is something to send.
    orders: Notify,
    /// The connection shall break.
    cut: Notify,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whole after every statement that changes it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let value = change(&mut self.seen());
        self.changed.send_replace(());
        value
    }
}

/// Dropping it breaks its connection.
pub struct Member {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Member {
    /// Goes in and waits for the welcome. Without a token it only reads.
    ///
    /// # Errors
    /// When there is no welcome.
    pub async fn enter(dial: Dial, channel: &ChannelId, token: Option<String>) -> Result<Self, Error> {
        let member = Self::knock(dial, channel, token);
        let welcome = |seen: &Seen| {
            let out = seen.ends.iter().find(|end| end.code.is_some()).cloned();
            out.map(Err).or_else(|| (!seen.welcomes.is_empty()).then_some(Ok(())))
        };
        match member.until("a welcome", PATIENCE, welcome).await? {
            Ok(()) => Ok(member),
            Err(end) => Err(Error::Chat(format!("not let in: {end:?}"))),
        }
    }

    /// The same without waiting.
    #[must_use]
    pub fn knock(dial: Dial, channel: &ChannelId, token: Option<String>) -> Self {
        let shared = Arc::new(Shared {
            dial,
            channel: channel.clone(),
            seen: Mutex::new(Seen { token, ..Seen::default() }),
            changed: watch::Sender::new(()),
            orders: Notify::new(),
            cut: Notify::new(),
        });
        let task = tokio::spawn(stay(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Looks at what came so far.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.shared.seen())
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T, Error> {
        let mut changed = self.shared.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = self.look(&mut look) {
                    return found;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(deadline, found)
            .await
            .map_err(|_| Error::Deadline { what: what.to_owned(), deadline })
    }

    /// Until this text has come.
    ///
    /// # Errors
    /// When it does not.
    pub async fn hears(&self, text: &str) -> Result<(), Error> {
        self.until(&format!("{text:?}"), PATIENCE, |seen| seen.has(text).then_some(())).await
    }

    /// Says something, as often as it takes to be answered; returns its nonce.
    #[must_use]
    pub fn say(&self, text: &str) -> String {
        self.say_to(text, None)
    }

    /// The same, as a reply.
    #[must_use]
    pub fn say_to(&self, text: &str, reply_to: Option<EventId>) -> String {
        self.order(|nonce| Frame::Say { nonce, text: text.to_owned(), reply_to })
    }

    /// Says something and waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn said(&self, text: &str) -> Result<Answer, Error> {
        let nonce = self.say(text);
        self.answer(&nonce).await
    }

    /// Does what a button does and waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn act(&self, action: Action) -> Result<Answer, Error> {
        let nonce = self.order(|nonce| Frame::Do { nonce, action });
        self.answer(&nonce).await
    }

    /// # Errors
    /// When there is none in time.
    pub async fn answer(&self, nonce: &str) -> Result<Answer, Error> {
        self.until("an answer", PATIENCE, |seen| seen.answers.get(nonce).cloned()).await
    }

    /// Shows another token, now and whenever it comes back. `None` signs out.
    ///
    /// # Errors
    /// When the service does not answer, or does not like it.
    pub async fn sign_in(&self, token: Option<String>) -> Result<Option<You>, Error> {
        self.shared.change(|seen| {
            seen.token.clone_from(&token);
            seen.you = None;
            seen.answers.remove("");
            seen.pending.insert(String::new(), (Frame::Auth { token }, 0));
        });
        self.shared.orders.notify_one();
        let you = |seen: &Seen| match seen.answers.get("") {
            Some(Answer::Refused(refused)) => Some(Err(refused.text.clone())),
            _ if seen.pending.contains_key("") => None,
            _ => Some(Ok(seen.you.clone())),
        };
        self.until("an answer to the token", PATIENCE, you).await?.map_err(Error::Chat)
    }

    /// Breaks the connection without a word; it comes back by itself.
    pub fn cut(&self) {
        self.shared.cut.notify_one();
    }

    /// Lets go of all but the last event, and of answers: for who talks for days.
    pub fn forget(&self) {
        let mut seen = self.shared.seen();
        let keep = seen.events.pop();
        seen.events.clear();
        seen.events.extend(keep);
        seen.answers.clear();
        seen.welcomes.clear();
        seen.ends.clear();
        seen.told.clear();
        // What could not be said for so long is stale.
        seen.pending.clear();
    }

    fn order(&self, frame: impl FnOnce(String) -> Frame) -> String {
        let nonce = self.shared.change(|seen| {
            seen.nonces += 1;
            // Two lives of one person must not have the same: the service would take the second for the first.
            let nonce = format!("{:x}-{}", super::tokens::now().as_micros(), seen.nonces);
            seen.pending.insert(nonce.clone(), (frame(nonce.clone()), 0));
            nonce
        });
        self.shared.orders.notify_one();
        nonce
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stay(shared: Arc<Shared>) {
    let mut connection = 0;
    loop {
        connection += 1;
        let end = match Client::connect(&shared.dial).await {
            Ok(client) => be_in(&shared, client, connection).await,
            // 502 and 503 are what an edge says while the service is away; 429 and the rest may be over soon.
            Err(error) => Ended { code: None, reason: error.to_string() },
        };
        log::debug!("chat connection {connection} ended: {end:?}");
        let for_good = end.code.is_some_and(|code| FOR_GOOD.contains(&code));
        let full = shared.change(|seen| {
            seen.ends.push(end);
            seen.events.len() >= MOST_EVENTS
        });
        if for_good || full {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn be_in(shared: &Shared, mut client: Client, connection: usize) -> Ended {
    let began = Instant::now();
    let join = {
        let seen = shared.seen();
        let (token, after) = (seen.token.clone(), seen.events.last().map(|event| event.id));
        Frame::Join { channel: shared.channel.clone(), token, after, history: None }
    };
    if let Err(end) = client.send(&join).await {
        return end;
    }
    let mut welcome = false;
    loop {
        tokio::select! {
            incoming = tokio::time::timeout(SILENCE, client.next()) => match incoming {
                Ok(Ok(incoming)) => {
                    welcome |= matches!(incoming, Incoming::Frame(server::Frame::Welcome(_)));
                    shared.change(|seen| note(seen, incoming));
                }
                Ok(Err(end)) => return end,
                Err(_) => return Ended { code: None, reason: format!("silent since {:?}", began.elapsed()) },
            },
            () = shared.orders.notified() => {}
            () = shared.cut.notified() => return Ended { code: None, reason: "cut".to_owned() },
        }
        if !welcome {
            continue;
        }
        let unsent: Vec<Frame> = shared.change(|seen| {
            let waiting = seen.pending.values_mut().filter(|(_, sent)| *sent != connection);
            waiting
                .map(|(frame, sent)| {
                    *sent = connection;
                    frame.clone()
                })
                .collect()
        });
        for frame in &unsent {
            if let Err(end) = client.send(frame).await {
                return end;
            }
        }
    }
}

fn note(seen: &mut Seen, incoming: Incoming) {
    let (nonce, answer) = match incoming {
        Incoming::Event(event) => return seen.events.push(event),
        Incoming::Frame(server::Frame::Welcome(welcome)) => {
            seen.you.clone_from(&welcome.you);
            seen.counts = Some((welcome.viewers, welcome.chatters));
            return seen.welcomes.push(welcome);
        }
        Incoming::Frame(server::Frame::History { events, gap }) => {
            seen.gaps += usize::from(gap);
            return seen.events.extend(events);
        }
        Incoming::Frame(server::Frame::You { you }) => {
            seen.you = you;
            seen.pending.remove("");
            return;
        }
        Incoming::Frame(server::Frame::Counts { viewers, chatters }) => {
            seen.counts = Some((viewers, chatters));
            return;
        }
        Incoming::Frame(server::Frame::Said { nonce, id }) => (nonce, Answer::Said(id)),
        Incoming::Frame(server::Frame::Done { nonce, text, answer }) => (nonce, Answer::Done(text, answer)),
        Incoming::Frame(server::Frame::Refused(refused)) => (refused.nonce.clone(), Answer::Refused(refused)),
        Incoming::Frame(told) => return seen.told.push(told),
    };
    seen.pending.remove(&nonce);
    seen.answers.insert(nonce, answer);
}
