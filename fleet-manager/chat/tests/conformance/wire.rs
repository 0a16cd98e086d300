//! A WebSocket client that sends whatever it is told to, right or wrong.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const MASK: [u8; 4] = [0xa5, 0x5a, 0x12, 0x99];
/// Nothing takes longer on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the service sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Got {
    Json(Value),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The end of the TCP connection.
    End,
}

pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The request of a client that does everything right, without the last empty line.
pub(crate) fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: other.v9, nodi.chat.v1\r\n"
    )
}

/// One frame: `first` is the opcode with FIN and reserved bits.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// The head of a frame that says it has `len` bytes.
pub(crate) fn header(first: u8, len: u64) -> Vec<u8> {
    let mut out = vec![first];
    match len {
        0..126 => out.push(0x80 | u8::try_from(len).unwrap()),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(MASK);
    out
}

/// The same without a mask, as only a server may send it.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, u8::try_from(payload.len()).unwrap()];
    out.extend(payload);
    out
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut raw = Self::over(TcpStream::connect(address).unwrap());
        let (status, head) = raw.ask(&format!("{}\r\n", request("/ws")));
        assert_eq!(status, 101, "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(head.to_lowercase().contains("sec-websocket-protocol: nodi.chat.v1"), "{head}");
        assert!(!head.to_lowercase().contains("sec-websocket-extensions"), "{head}");
        raw
    }

    /// In the room, with everything read that greets a newcomer.
    pub(crate) fn joined(address: SocketAddr, channel: &str, token: Option<&str>) -> Self {
        let mut raw = Self::connect(address);
        raw.say(&json!({ "t": "join", "channel": channel, "token": token }));
        let welcome = raw.json();
        assert_eq!(welcome["t"], "welcome", "{welcome}");
        let history = raw.json();
        assert_eq!(history["t"], "history", "{history}");
        raw
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a request and returns status and head of the answer.
    pub(crate) fn ask(&mut self, request: &str) -> (u16, String) {
        self.send(request.as_bytes());
        self.answer().expect("an answer")
    }

    /// `None`: the connection ended without one.
    pub(crate) fn answer(&mut self) -> Option<(u16, String)> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        Some((head.split(' ').nth(1).unwrap().parse().unwrap(), head))
    }

    /// What the service no longer takes is for the next read to tell.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn say(&mut self, value: &Value) {
        self.send(&frame(FIN | TEXT, value.to_string().as_bytes()));
    }

    /// The next frame but for counts and the service's pings, which are answered.
    pub(crate) fn next(&mut self) -> Got {
        loop {
            let Some((opcode, payload)) = self.frame() else { return Got::End };
            match opcode {
                TEXT => {
                    let value: Value = serde_json::from_slice(&payload).unwrap();
                    if value["t"] != "counts" {
                        return Got::Json(value);
                    }
                }
                PING => self.send(&frame(FIN | PONG, &payload)),
                PONG => return Got::Pong(payload),
                CLOSE => {
                    let code = payload.first_chunk().map_or(1_005, |code| u16::from_be_bytes(*code));
                    let reason = String::from_utf8(payload.get(2..).unwrap_or_default().to_vec()).unwrap();
                    return Got::Close(code, reason);
                }
                other => panic!("opcode {other}"),
            }
        }
    }

    pub(crate) fn json(&mut self) -> Value {
        match self.next() {
            Got::Json(value) => value,
            other => panic!("{other:?}"),
        }
    }

    /// Reads on to the close frame, and past it to the end.
    pub(crate) fn closed(&mut self) -> (u16, String) {
        let (code, reason) = loop {
            match self.next() {
                Got::Close(code, reason) => break (code, reason),
                Got::End => panic!("the connection ended without a close frame"),
                Got::Json(_) | Got::Pong(_) => {}
            }
        };
        self.send(&frame(FIN | CLOSE, &code.to_be_bytes()));
        assert_eq!(self.next(), Got::End, "the service ends what it closed");
        (code, reason)
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, head, len)) = self.whole() {
                let payload = self.buffer[head..head + len].to_vec();
                self.buffer.drain(..head + len);
                return Some((opcode, payload));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Opcode, length of the head and of the payload, once all of it is there.
    fn whole(&self) -> Option<(u8, usize, usize)> {
        let (&[first, second], rest) = self.buffer.split_first_chunk()?;
        assert_eq!(first & 0xf0, FIN, "the service sends whole messages without extensions");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (head, len) = match second {
            126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).unwrap()),
            len => (2, usize::from(len)),
        };
        (self.buffer.len() >= head + len).then_some((first & 0x0f, head, len))
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!(
                    "nothing came within {DEADLINE:?}; before: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                )
            }
            // Closed with bytes of ours unread: the answer was read before.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
