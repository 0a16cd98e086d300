//! One connection of the load, from its handshake to the account of what it received.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::dialect::{Dialect, Ear, Heard};
use super::wire;

/// Of the hash over the numbers received, in their order (Fowler, Noll and Vo's 64-bit prime).
const PRIME: u64 = 0x0100_0000_01b3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Handshake,
    Joining,
    Ready,
    Closed,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) phase: Phase,
    token: Option<String>,
    /// The front of a frame whose end has not come.
    rest: Vec<u8>,
    /// What the socket would not take yet.
    out: Vec<u8>,
    ear: Ear,
    pub(super) received: u64,
    /// Over the numbers in their order: equal for all who received the same in the same order.
    pub(super) order: u64,
}

/// What happened while a connection was read.
#[derive(Default)]
pub(super) struct Read {
    pub(super) bytes: u64,
    /// When each message left, in microseconds.
    pub(super) stamps: Vec<u64>,
    pub(super) became_ready: bool,
    pub(super) refused: Vec<String>,
    /// Why it is over, if it is.
    pub(super) closed: Option<String>,
}

impl Connection {
    pub(super) fn open(server: SocketAddr, dialect: &Dialect, token: Option<String>) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.write_all(dialect.request(&server.to_string()).as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            phase: Phase::Handshake,
            token,
            rest: Vec::new(),
            out: Vec::new(),
            ear: Ear::default(),
            received: 0,
            order: 0,
        })
    }

    /// Reads once. What is already known of `read` is kept, so that one serves many connections.
    pub(super) fn read(&mut self, dialect: &Dialect, buffer: &mut [u8], read: &mut Read) {
        let count = match self.stream.read(buffer) {
            Ok(0) => return self.close(read, "the server ended the connection".to_owned()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(error) => return self.close(read, error.to_string()),
        };
        read.bytes += count as u64;
        let new = buffer.get(..count).unwrap_or_default();
        if self.rest.is_empty() && self.phase != Phase::Handshake {
            let left = self.frames(dialect, new, read);
            self.rest.extend_from_slice(new.get(new.len() - left..).unwrap_or_default());
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(new);
            let head = if self.phase == Phase::Handshake { self.handshake(dialect, &all, read) } else { 0 };
            let left = self.frames(dialect, all.get(head..).unwrap_or_default(), read);
            all.drain(..all.len() - left);
            self.rest = all;
        }
        self.flush(read);
    }

    /// Returns the length of the answer's head, once it is there.
    fn handshake(&mut self, dialect: &Dialect, bytes: &[u8], read: &mut Read) -> usize {
        let Some(len) = wire::head_len(bytes) else {
            if bytes.len() > wire::MAX_HEAD {
                self.close(read, "an endless head".to_owned());
            }
            return 0;
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            self.close(read, String::from_utf8_lossy(bytes).into_owned());
            return len;
        }
        match dialect.greeting(self.token.take()) {
            Ok(greeting) => self.out.extend(greeting),
            Err(error) => self.close(read, error.to_string()),
        }
        self.phase = if dialect.joined_by_handshake() { Phase::Ready } else { Phase::Joining };
        read.became_ready |= self.phase == Phase::Ready;
        len
    }

    /// Returns how many bytes at the end are not a whole frame.
    fn frames(&mut self, dialect: &Dialect, bytes: &[u8], read: &mut Read) -> usize {
        let mut rest = bytes;
        while matches!(self.phase, Phase::Joining | Phase::Ready) {
            let frame = match wire::take(&mut rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    self.close(read, error.to_string());
                    break;
                }
            };
            match frame.opcode {
                wire::PING => wire::put_masked(&mut self.out, wire::PONG, frame.payload),
                wire::PONG => {}
                wire::CLOSE => {
                    let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    let reason = frame.payload.get(2..).unwrap_or_default();
                    self.close(read, format!("{code} {}", String::from_utf8_lossy(reason)));
                }
                _ => self.data(dialect, frame.payload, read),
            }
        }
        rest.len()
    }

    fn data(&mut self, dialect: &Dialect, payload: &[u8], read: &mut Read) {
        let Self { ear, out, phase, received, order, .. } = self;
        dialect.hear(ear, payload, |heard| match heard {
            Heard::Message { number, at_us } => {
                *received += 1;
                *order = (*order ^ number).wrapping_mul(PRIME);
                read.stamps.push(at_us);
            }
            Heard::Ready => {
                read.became_ready |= *phase == Phase::Joining;
                *phase = Phase::Ready;
            }
            Heard::Answer(frame) => out.extend(frame),
            Heard::Refused(text) => read.refused.push(text),
        });
    }

    /// Says something, or keeps it until the socket takes it.
    pub(super) fn send(&mut self, frame: &[u8], read: &mut Read) {
        self.out.extend_from_slice(frame);
        self.flush(read);
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn flush(&mut self, read: &mut Read) {
        while !self.out.is_empty() && self.phase != Phase::Closed {
            match self.stream.write(&self.out) {
                Ok(count) => {
                    self.out.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.close(read, error.to_string()),
            }
        }
    }

    fn close(&mut self, read: &mut Read, why: String) {
        self.phase = Phase::Closed;
        self.out = Vec::new();
        read.closed = Some(why);
    }
}
