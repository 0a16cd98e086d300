//! What is said over the WebSocket: the chat's own protocol, bare texts, or NATS.

use std::fmt::Write as _;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::SUBPROTOCOL;
use nodi_protocol::chat::client::Frame;

use super::{stamp, wire};

/// Of the one NATS subject.
const SUBJECT: &str = "room";

/// How to join a room, speak in it and recognise a message, for each kind of server.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// `nodi.chat.v1`.
    Chat { channel: ChannelId },
    /// Whatever one says, all hear: a text each.
    Plain,
    /// The NATS client protocol over binary frames.
    Nats,
}

/// What a connection heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is in the room: what is said from here on has to arrive.
    Ready,
    /// A message of the load.
    Message { number: u64, at_us: u64 },
    /// It has to send this.
    Answer(Vec<u8>),
    /// The server refuses something.
    Refused(String),
}

/// What a connection keeps between frames.
#[derive(Default)]
pub(super) struct Ear {
    /// Where the last stamp was.
    offset: usize,
    /// The front of a NATS message whose end is in the next frame.
    rest: Vec<u8>,
    greeted: bool,
}

impl Dialect {
    pub(super) fn request(&self, host: &str) -> String {
        match self {
            Self::Chat { .. } => wire::request(host, "/ws", Some(SUBPROTOCOL)),
            Self::Plain | Self::Nats => wire::request(host, "/", None),
        }
    }

    /// Whether the handshake is all that there is to joining.
    pub(super) fn joined_by_handshake(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// What a connection says first, right after the handshake; empty: nothing.
    pub(super) fn greeting(&self, token: Option<String>) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::new();
        if let Self::Chat { channel } = self {
            let join = Frame::Join { channel: channel.clone(), token, after: None, history: Some(0) };
            wire::put_masked(&mut out, wire::TEXT, &serde_json::to_vec(&join)?);
        }
        Ok(out)
    }

    /// Appends the frame that says `text`.
    pub(super) fn say(&self, number: u64, text: String, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Chat { .. } => {
                // The same nonce would be the same message, also that of a load before this one.
                let nonce = format!("{}-{number}", std::process::id());
                let say = Frame::Say { nonce, text, reply_to: None };
                wire::put_masked(out, wire::TEXT, &serde_json::to_vec(&say)?);
            }
            Self::Plain => wire::put_masked(out, wire::TEXT, text.as_bytes()),
            Self::Nats => {
                let mut publish = String::new();
                let _ = write!(publish, "PUB {SUBJECT} {}\r\n{text}\r\n", text.len());
                wire::put_masked(out, wire::BINARY, publish.as_bytes());
            }
        }
        Ok(())
    }

    /// Reads one data frame and hands on what was in it.
    pub(super) fn hear(&self, ear: &mut Ear, payload: &[u8], mut heard: impl FnMut(Heard)) {
        match self {
            Self::Nats => hear_nats(ear, payload, heard),
            Self::Chat { .. } => {
                if let Some((number, at_us)) = stamp::find(payload, &mut ear.offset) {
                    heard(Heard::Message { number, at_us });
                } else if payload.starts_with(br#"{"t":"welcome""#) {
                    heard(Heard::Ready);
                } else if payload.starts_with(br#"{"t":"refused""#) {
                    heard(Heard::Refused(String::from_utf8_lossy(payload).into_owned()));
                }
            }
            Self::Plain => {
                if let Some((number, at_us)) = stamp::find(payload, &mut ear.offset) {
                    heard(Heard::Message { number, at_us });
                }
            }
        }
    }
}

fn hear_nats(ear: &mut Ear, payload: &[u8], mut heard: impl FnMut(Heard)) {
    let mut kept = std::mem::take(&mut ear.rest);
    let mut bytes = if kept.is_empty() {
        payload
    } else {
        kept.extend_from_slice(payload);
        kept.as_slice()
    };
    while let Some((line, after)) = line(bytes) {
        if let Some(arguments) = line.strip_prefix(b"MSG ") {
            let len = arguments.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let len = std::str::from_utf8(len).ok().and_then(|len| len.parse::<usize>().ok());
            let Some(len) = len else {
                heard(Heard::Refused(String::from_utf8_lossy(line).into_owned()));
                break;
            };
            // The message and its own line end.
            let Some((message, after)) = after.split_at_checked(len + 2) else { break };
            if let Some((number, at_us)) = stamp::find(message, &mut ear.offset) {
                heard(Heard::Message { number, at_us });
            }
            bytes = after;
            continue;
        }
        bytes = after;
        if line == b"PING" {
            heard(Heard::Answer(binary(b"PONG\r\n")));
        } else if line == b"PONG" {
            heard(Heard::Ready);
        } else if line.starts_with(b"INFO ") && !ear.greeted {
            ear.greeted = true;
            let hello = format!(
                "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"load\",\"version\":\"1\",\"protocol\":1}}\r\n\
                 SUB {SUBJECT} 1\r\nPING\r\n"
            );
            heard(Heard::Answer(binary(hello.as_bytes())));
        } else if line.starts_with(b"-ERR") {
            heard(Heard::Refused(String::from_utf8_lossy(line).into_owned()));
        }
    }
    ear.rest = bytes.to_vec();
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(2).position(|window| window == b"\r\n")?;
    Some((bytes.get(..at)?, bytes.get(at + 2..)?))
}

fn binary(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_masked(&mut out, wire::BINARY, payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(dialect: &Dialect, ear: &mut Ear, payload: &[u8]) -> Vec<Heard> {
        let mut all = Vec::new();
        dialect.hear(ear, payload, |heard| all.push(heard));
        all
    }

    #[test]
    fn nats_messages_are_found_however_they_are_cut_into_frames() {
        let said = stamp::text(7, 8, 60);
        let stream =
            format!("INFO {{}}\r\nPONG\r\nMSG room 1 60\r\n{said}\r\nPING\r\nMSG room 1 60\r\n{said}\r\n");
        for size in 1..stream.len() {
            let mut ear = Ear::default();
            let heard: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|cut| hear(&Dialect::Nats, &mut ear, cut)).collect();
            assert!(matches!(heard[0], Heard::Answer(_)), "{size}");
            assert_eq!(heard[1], Heard::Ready);
            assert_eq!(heard[2], Heard::Message { number: 7, at_us: 8 });
            assert_eq!(heard[3], Heard::Answer(binary(b"PONG\r\n")));
            assert_eq!(heard[4], Heard::Message { number: 7, at_us: 8 });
            assert_eq!(heard.len(), 5);
        }
    }

    #[test]
    fn chat_frames_are_told_apart() {
        let chat = Dialect::Chat { channel: "demo".parse().unwrap() };
        let mut ear = Ear::default();
        assert_eq!(hear(&chat, &mut ear, br#"{"t":"welcome","channel":"demo"}"#), [Heard::Ready]);
        assert_eq!(hear(&chat, &mut ear, br#"{"t":"counts","viewers":1,"chatters":0}"#), []);
        assert!(matches!(hear(&chat, &mut ear, br#"{"t":"refused"}"#)[..], [Heard::Refused(_)]));
        let event = format!(r#"{{"id":"x","t":"message","text":"{}"}}"#, stamp::text(1, 2, 50));
        assert_eq!(hear(&chat, &mut ear, event.as_bytes()), [Heard::Message { number: 1, at_us: 2 }]);
    }
}
