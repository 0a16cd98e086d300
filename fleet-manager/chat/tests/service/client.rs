//! A client, as small as one can be.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::service::{DEADLINE, Service};

/// What comes from the service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Got {
    Frame(Value),
    /// Its close code; `None`: the connection ended without one.
    End(Option<u16>),
}

pub(crate) struct Client<S = TcpStream> {
    socket: WebSocketStream<S>,
}

/// How to enter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Join {
    pub(crate) channel: String,
    pub(crate) token: Option<String>,
    pub(crate) after: Option<String>,
    /// What a proxy says of where the client is.
    pub(crate) from: Option<String>,
    /// Of the client's socket, in bytes; 0: the kernel's own.
    pub(crate) receive_buffer: usize,
}

impl Join {
    pub(crate) fn reader(channel: &str) -> Self {
        Self { channel: channel.to_owned(), ..Self::default() }
    }

    pub(crate) fn with(channel: &str, token: String) -> Self {
        Self { token: Some(token), ..Self::reader(channel) }
    }
}

impl Client {
    pub(crate) async fn connect(service: &Service, join: &Join) -> Self {
        Self::try_connect(service.address, join).await.unwrap()
    }

    async fn try_connect(address: SocketAddr, join: &Join) -> Result<Self, Error> {
        let socket = TcpSocket::new_v4()?;
        if join.receive_buffer > 0 {
            socket.set_recv_buffer_size(u32::try_from(join.receive_buffer).unwrap())?;
        }
        let stream = socket.connect(address).await?;
        let mut client = Self::over(stream, join).await?;
        let mut frame = json!({ "t": "join", "channel": join.channel });
        if let Some(token) = &join.token {
            frame["token"] = json!(token);
        }
        if let Some(after) = &join.after {
            frame["after"] = json!(after);
        }
        client.try_send(&frame).await?;
        Ok(client)
    }

    /// Connects and takes `welcome` and `history`.
    pub(crate) async fn join(service: &Service, join: &Join) -> (Self, Value, Value) {
        let mut client = Self::connect(service, join).await;
        let welcome = client.frame().await;
        assert_eq!(welcome["t"], "welcome", "{welcome}");
        let history = client.frame().await;
        assert_eq!(history["t"], "history", "{history}");
        (client, welcome, history)
    }

    /// Like [`join`](Self::join); `None` when the connection did not last for so long.
    pub(crate) async fn try_join(service: &Service, join: &Join) -> Option<(Self, Value)> {
        let mut client = Self::try_connect(service.address, join).await.ok()?;
        let Got::Frame(welcome) = client.next().await else { return None };
        assert_eq!(welcome["t"], "welcome", "{welcome}");
        let Got::Frame(history) = client.next().await else { return None };
        assert_eq!(history["t"], "history", "{history}");
        Some((client, history))
    }

    /// Without a word; with a reset instead of an end when `reset`.
    pub(crate) fn cut(self, reset: bool) {
        if reset {
            SockRef::from(self.socket.get_ref()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn over(stream: S, join: &Join) -> Result<Self, Error> {
        let mut request = "ws://chat/ws".into_client_request()?;
        let fields = request.headers_mut();
        fields.insert("sec-websocket-protocol", "nodi.chat.v1".parse().unwrap());
        if let Some(from) = &join.from {
            fields.insert("x-forwarded-for", from.parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn try_send(&mut self, frame: &Value) -> Result<(), Error> {
        self.socket.send(Message::text(frame.to_string())).await
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.try_send(frame).await.unwrap();
    }

    pub(crate) async fn say(&mut self, nonce: &str, text: &str) {
        self.send(&json!({ "t": "say", "nonce": nonce, "text": text })).await;
    }

    /// The next frame but `counts`.
    pub(crate) async fn next(&mut self) -> Got {
        loop {
            match self.next_of_all().await {
                Got::Frame(frame) if frame["t"] == "counts" => {}
                got => return got,
            }
        }
    }

    pub(crate) async fn next_of_all(&mut self) -> Got {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("nothing comes");
            return match message {
                Some(Ok(Message::Text(text))) => Got::Frame(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => Got::End(close.map(|close| close.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Got::End(None),
            };
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        match self.next().await {
            Got::Frame(frame) => frame,
            end => panic!("{end:?}"),
        }
    }

    /// The next one of a kind; others are passed over.
    pub(crate) async fn frame_of(&mut self, kind: &str) -> Value {
        loop {
            if let Got::Frame(frame) = self.next_of_all().await
                && frame["t"] == kind
            {
                return frame;
            }
        }
    }

    /// Says something and waits until it is taken.
    pub(crate) async fn said(&mut self, nonce: &str, text: &str) -> String {
        self.say(nonce, text).await;
        loop {
            let frame = self.frame().await;
            assert_ne!(frame["t"], "refused", "{frame}");
            if frame["t"] == "said" && frame["nonce"] == nonce {
                return frame["id"].as_str().unwrap().to_owned();
            }
        }
    }

    pub(crate) async fn end(&mut self) -> Option<u16> {
        loop {
            if let Got::End(code) = self.next().await {
                return code;
            }
        }
    }
}
