//! One connection to the chat service, as `docs/chat-protocol.md` describes it.

use std::net::Ipv4Addr;

use futures_util::{SinkExt as _, StreamExt as _};
use nodi_protocol::chat::SUBPROTOCOL;
use nodi_protocol::chat::client;
use nodi_protocol::chat::event::Event;
use nodi_protocol::chat::server;
use serde::Deserialize;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::error::{Error, io};

/// Where to, and from which address.
#[derive(Debug, Clone)]
pub struct Dial {
    /// `ws://127.0.0.1:PORT/…`
    pub url: String,
    /// One of this machine's 16 million loopback addresses: to the service each is another person's.
    pub from: Ipv4Addr,
}

impl Dial {
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), from: Ipv4Addr::LOCALHOST }
    }

    #[must_use]
    pub fn from(mut self, address: Ipv4Addr) -> Self {
        self.from = address;
        self
    }
}

/// What comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Event(Event),
    Frame(server::Frame),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// RFC 6455 section 7.4; absent when it broke.
    pub code: Option<u16>,
    pub reason: String,
}

impl Ended {
    fn broken(error: &tungstenite::Error) -> Self {
        Self { code: None, reason: error.to_string() }
    }
}

pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// # Errors
    /// When nobody answers, or with something else than a WebSocket ([`Error::Refused`]).
    pub async fn connect(dial: &Dial) -> Result<Self, Error> {
        let url = &dial.url;
        let bad = |why: &dyn std::fmt::Display| Error::Chat(format!("{url}: {why}"));
        let parsed: tungstenite::http::Uri = url.parse().map_err(|error| bad(&error))?;
        let port = parsed.port_u16().ok_or_else(|| bad(&"no port in it"))?;
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((dial.from, 0).into())?;
            let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connecting.await.map_err(io(format!("connecting to {url}")))?;
        let request = ClientRequestBuilder::new(parsed).with_sub_protocol(SUBPROTOCOL);
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::Error::Http(answer)) => Err(Error::Refused {
                url: url.clone(),
                status: answer.status().as_u16(),
                text: String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned(),
            }),
            Err(error) => Err(bad(&error)),
        }
    }

    /// # Errors
    /// When the connection is over.
    pub async fn send(&mut self, frame: &client::Frame) -> Result<(), Ended> {
        let text =
            serde_json::to_string(frame).map_err(|error| Ended { code: None, reason: error.to_string() })?;
        self.socket.send(Message::text(text)).await.map_err(|error| Ended::broken(&error))
    }

    /// The next one. Pings are answered on the way. Nothing is lost when it is not waited for to its end.
    ///
    /// # Errors
    /// How the connection ended; also with a frame that is none of the protocol's.
    pub async fn next(&mut self) -> Result<Incoming, Ended> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return parse(&text).map_err(|error| Ended {
                        code: None,
                        reason: format!("{error} in {}", text.as_str()),
                    });
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or_else(Ended::default, |frame| Ended {
                        code: Some(frame.code.into()),
                        reason: frame.reason.to_string(),
                    }));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Ended::broken(&error)),
                None => return Err(Ended::default()),
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // Whoever has gone already needs no goodbye.
        let _ = self.socket.close(None).await;
    }
}

fn parse(text: &str) -> Result<Incoming, serde_json::Error> {
    #[derive(Deserialize)]
    struct Kind {
        t: String,
    }
    const EVENTS: [&str; 8] =
        ["message", "deleted", "purged", "cleared", "restricted", "released", "role", "settings"];
    let kind: Kind = serde_json::from_str(text)?;
    if EVENTS.contains(&kind.t.as_str()) {
        serde_json::from_str(text).map(Incoming::Event)
    } else {
        serde_json::from_str(text).map(Incoming::Frame)
    }
}
