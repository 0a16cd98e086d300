//! One client's connection, after the upgrade: its task reads what the client sends and hands it to the room. What goes to
//! the client is written by the room, through the [`Link`].

mod input;
pub mod link;
mod pace;
pub mod wire;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream as _;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::client::Frame;
use nodi_protocol::chat::server::{self, Code, Refused};
use nodi_protocol::chat::{HISTORY, MAX_CLIENT_FRAME};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::clock;
use crate::frame::{self, code};
use crate::limits::AddressKey;
use crate::room::registry::Refusal;
use crate::room::{Command, Handle, Identity, Join};
use crate::serve::admission::{Seat, Unjoined};
use crate::service::{Service, unauthenticated};
use link::{End, Link};
use pace::Pace;
use wire::Wire;

/// Read at a time. It is kept for each connection, so it is what an idle one costs most; a message is shorter, and a longer
/// one takes a few reads.
const READ_BUFFER: usize = 1 << 10;
/// The last frames have so long to get out.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// After our close frame the client has so long to end the connection. Without waiting, the kernel would take what the
/// client still sends as a reason to drop what it has not yet read.
const LAST_READ: Duration = Duration::from_secs(2);
/// What a client may still send meanwhile, in bytes.
const LAST_BYTES: usize = 1 << 20;

/// A connection that the HTTP side has let in.
#[derive(Debug)]
pub struct Upgraded {
    pub wire: Wire,
    /// What came behind the request's head.
    pub rest: Vec<u8>,
    pub address: AddressKey,
    pub seat: Result<Seat, Closed>,
}

/// To be closed at once: what an HTTP status would say, where browsers can read it.
#[derive(Debug, Clone, Copy)]
pub struct Closed(pub u16, pub &'static str);

/// Runs a connection to its end.
pub async fn run(service: Arc<Service>, upgraded: Upgraded, unjoined: Unjoined) {
    let Upgraded { wire, rest, address, seat } = upgraded;
    let link = Arc::clone(wire.link());
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_CLIENT_FRAME))
        .max_frame_size(Some(MAX_CLIENT_FRAME));
    let socket = WebSocketStream::from_partially_read(wire, rest, Role::Server, Some(config)).await;
    let mut connection = Connection {
        pace: Pace::new(&service.config.connections, clock::ticks()),
        service,
        socket,
        link,
        address,
    };
    // Held to the very end, so that connections that end slowly count too.
    let parted = match &seat {
        &Err(Closed(code, reason)) => {
            connection.close(code, reason);
            Parted::ByUs
        }
        Ok(_seat) => match Box::pin(connection.enter(unjoined)).await {
            Err(parted) => parted,
            Ok(room) => {
                connection.service.metrics.connections.inc();
                let parted = connection.talk(&room).await;
                connection.link.broken_unless_closed();
                // An error means that the room has ended.
                let _ = room.send(Command::Leave(Arc::clone(&connection.link))).await;
                connection.service.metrics.connections.dec();
                parted
            }
        },
    };
    Box::pin(connection.part(parted)).await;
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parted {
    /// Our close frame is on its way.
    ByUs,
    /// The client's was answered, or the client is gone.
    ByClient,
}

struct Connection {
    service: Arc<Service>,
    socket: WebSocketStream<Wire>,
    link: Arc<Link>,
    address: AddressKey,
    pace: Pace,
}

impl Connection {
    /// Waits for the `join`, and lets the room know.
    async fn enter(&mut self, unjoined: Unjoined) -> Result<Handle, Parted> {
        unjoined.is_now(&self.link);
        let deadline = self.service.config.connections.join();
        let Ok(text) = tokio::time::timeout(deadline, self.read()).await else {
            self.close(code::JOIN_EXPECTED, "the first frame, `join`, did not come in time");
            return Err(Parted::ByUs);
        };
        let (channel, token, after, history) = match input::parse(&text?) {
            Ok(Frame::Join { channel, token, after, history }) => (channel, token, after, history),
            Ok(_) => {
                self.close(code::JOIN_EXPECTED, "the first frame is `join`");
                return Err(Parted::ByUs);
            }
            Err(wrong) => {
                self.close(code::PROTOCOL, &wrong.text);
                return Err(Parted::ByUs);
            }
        };
        let room = match self.service.rooms.enter(&self.service, &channel) {
            Ok(room) => room,
            Err(Refusal::Full) => {
                self.close(code::TRY_AGAIN, "too many channels are open");
                return Err(Parted::ByUs);
            }
            Err(Refusal::Stopping) => {
                self.close(code::GOING_AWAY, "the chat restarts; connect again");
                return Err(Parted::ByUs);
            }
        };
        let join = Join {
            link: Arc::clone(&self.link),
            address: self.address,
            identity: self.identity(&channel, token.as_deref()),
            after,
            history: history.map_or(HISTORY, usize::from).min(HISTORY),
        };
        match room.send(Command::Join(join)).await {
            Ok(()) => Ok(room),
            Err(_) => {
                self.close(code::GOING_AWAY, "the chat restarts; connect again");
                Err(Parted::ByUs)
            }
        }
    }

    /// Hands what the client sends to the room until either side ends it.
    async fn talk(&mut self, room: &Handle) -> Parted {
        loop {
            let text = match self.read().await {
                Ok(text) => text,
                Err(parted) => return parted,
            };
            let command = match input::parse(&text) {
                Ok(frame) => self.command(room.channel(), frame),
                Err(wrong) => match wrong.nonce {
                    Some(nonce) => Err(refused(nonce, wrong.text)),
                    None => {
                        self.close(code::PROTOCOL, &wrong.text);
                        return Parted::ByUs;
                    }
                },
            };
            match command {
                Ok(Some(command)) => {
                    if room.send(command).await.is_err() {
                        self.close(code::GOING_AWAY, "the chat restarts; connect again");
                        return Parted::ByUs;
                    }
                }
                Ok(None) => {
                    self.close(code::PROTOCOL, "`join` comes once, as the first frame");
                    return Parted::ByUs;
                }
                Err(refused) => self.answer(refused),
            }
        }
    }

    /// `None`: not now.
    fn command(&self, channel: &ChannelId, frame: Frame) -> Result<Option<Command>, Refused> {
        let link = Arc::clone(&self.link);
        Ok(Some(match frame {
            Frame::Join { .. } => return Ok(None),
            Frame::Auth { token } => match self.identity(channel, token.as_deref()) {
                Identity::Refused(refused) => return Err(*refused),
                identity => Command::Auth { link, address: self.address, identity },
            },
            Frame::Say { nonce, text, reply_to } => {
                input::check_nonce(&nonce)?;
                Command::Say { link, nonce, text, reply_to }
            }
            Frame::Do { nonce, action } => {
                input::check_nonce(&nonce)?;
                Command::Do { link, nonce, action: Box::new(action) }
            }
        }))
    }

    fn identity(&self, channel: &ChannelId, token: Option<&str>) -> Identity {
        match token.map(|token| self.service.verify(token, Some(channel))) {
            None => Identity::Nobody,
            Some(Ok(claims)) => Identity::Account(Box::new(claims)),
            Some(Err(refusal)) => Identity::Refused(Box::new(unauthenticated("", refusal.to_string()))),
        }
    }

    /// The next text that the client sends.
    async fn read(&mut self) -> Result<String, Parted> {
        loop {
            let message = poll_fn(|context| self.poll_read(context)).await?;
            let now_ms = clock::ticks();
            self.link.heard(now_ms);
            self.service.metrics.frames.inc();
            if !self.pace.take(now_ms) {
                self.close(code::POLICY, "too many frames");
                return Err(Parted::ByUs);
            }
            match message {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Binary(_) => {
                    self.close(code::BINARY, "frames are text");
                    return Err(Parted::ByUs);
                }
                // Answered below; after a close, reading on sends the answer.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Parted>> {
        if let Poll::Ready(end) = self.link.poll_end(context) {
            return Poll::Ready(Err(match end {
                End::Closed(code) => {
                    self.service.metrics.closed(code);
                    Parted::ByUs
                }
                End::Broken => Parted::ByClient,
            }));
        }
        if let Poll::Ready(Err(_)) = self.socket.get_mut().poll_outbox(context) {
            return Poll::Ready(Err(Parted::ByClient));
        }
        let (code, reason) = match Pin::new(&mut self.socket).poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(message))) => return Poll::Ready(Ok(message)),
            Poll::Ready(None) => return Poll::Ready(Err(Parted::ByClient)),
            Poll::Ready(Some(Err(error))) => match error {
                Error::Capacity(_) => (code::TOO_BIG, format!("longer than {MAX_CLIENT_FRAME} bytes")),
                Error::Utf8(_) => (code::NOT_UTF8, "not UTF-8".to_owned()),
                Error::Protocol(error) if !is_hang_up(&error) => (code::PROTOCOL, error.to_string()),
                _ => return Poll::Ready(Err(Parted::ByClient)),
            },
        };
        self.close(code, &reason);
        Poll::Ready(Err(Parted::ByUs))
    }

    fn answer(&self, refused: Refused) {
        self.service.metrics.refused(refused.code);
        let json = serde_json::to_vec(&server::Frame::Refused(refused)).unwrap_or_default();
        // Whether it went out is seen at the next read.
        let _ = self.link.push(&frame::text(&json), clock::ticks());
    }

    fn close(&self, code: u16, reason: &str) {
        if self.link.end().is_none() {
            self.service.metrics.closed(code);
            self.link.close(code, reason, clock::ticks());
        }
    }

    /// Gets the last frames out and ends the connection.
    async fn part(mut self, parted: Parted) {
        let wire = self.socket.get_mut();
        let written = tokio::time::timeout(LAST_WRITE, async {
            poll_fn(|context| wire.poll_outbox(context)).await?;
            poll_fn(|context| wire.poll_end(context)).await
        });
        if !matches!(written.await, Ok(Ok(()))) || parted == Parted::ByClient {
            return;
        }
        let mut left = LAST_BYTES;
        let mut bytes = [0; READ_BUFFER];
        let drained = async {
            while left > 0 {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = poll_fn(|context| Pin::new(&mut *wire).poll_read(context, &mut buffer)).await;
                let len = buffer.filled().len();
                if read.is_err() || len == 0 {
                    return;
                }
                left = left.saturating_sub(len);
            }
        };
        // Whatever comes of it, the connection is over.
        let _ = tokio::time::timeout(LAST_READ, drained).await;
    }
}

/// The client went without a word, which is no mistake of its protocol.
fn is_hang_up(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    matches!(error, tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
}

fn refused(nonce: String, text: String) -> Refused {
    Refused { nonce, code: Code::Invalid, text, retry_ms: None }
}
