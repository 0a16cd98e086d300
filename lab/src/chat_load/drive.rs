//! Holds the connections, publishes by the clock, and answers on stdin's lines what was measured.
//!
//! Lines: `fill` the room; `start` publishing; `mark` the beginning of a window; `report` what happened since the mark; `stop`
//! publishing, wait for what is under way, and report on everything. The load ends with stdin.

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use serde::Serialize;

use super::connection::{Connection, Phase, Read};
use super::dialect::Dialect;
use super::latency::Histogram;
use super::{stamp, tokens};
use crate::chat::Tokens;

/// Handshakes under way at once: below every server's backlog of connections that it has not accepted yet.
const IN_FLIGHT: usize = 100;
const CONNECT_DEADLINE: Duration = Duration::from_secs(120);
/// So long nothing has to come before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(2);
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_millis(100);
/// Looked at again this soon when a socket would not take everything.
const RETRY: Duration = Duration::from_millis(1);
const EVENTS: usize = 1_024;
const READ_BYTES: usize = 256 << 10;
/// Reasons of closed connections and refusals that are kept to be told.
const REASONS: usize = 5;
const STDIN: u64 = u64::MAX;

/// What is loaded how.
pub struct Options {
    pub server: SocketAddr,
    pub dialect: Dialect,
    pub subscribers: usize,
    /// They are in the room as well, and hear what they say.
    pub publishers: usize,
    /// Messages per second of all publishers together.
    pub rate: u32,
    /// Bytes of a message's text.
    pub text_bytes: usize,
    /// Gives the publishers their tokens; bare texts and NATS need none.
    pub tokens: Option<Tokens>,
}

/// What was measured, since the mark or in all.
#[derive(Debug, Serialize)]
struct Report {
    connections: usize,
    closed: usize,
    /// Messages that left.
    published: u64,
    /// Messages that arrived, counted at every connection.
    delivered: u64,
    /// Bytes that arrived, with frames' headers.
    bytes: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// How late the publisher was at worst: the load's own fault.
    late_ms: f64,
    /// Deliveries that never came. Only after `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    /// How many different orders of messages there were. Only after `stop`; 1 is one for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    orders: Option<usize>,
    refused: u64,
    /// Why connections were closed and messages refused: the first of each.
    reasons: Vec<String>,
}

/// A room's worth of clients.
pub struct Load {
    options: Options,
    poll: OwnedFd,
    connections: Vec<Connection>,
    ready: usize,
    closed: usize,
    started: Instant,
    /// When the next message is due, in microseconds; `None`: nothing is published.
    due_us: Option<u64>,
    published: u64,
    window: Window,
    refused: u64,
    reasons: Vec<String>,
    /// Connections whose socket would not take everything.
    unsent: HashSet<usize>,
    commands: Vec<u8>,
    ended: bool,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    read: Read,
}

struct Window {
    latency: Histogram,
    bytes: u64,
    published_before: u64,
    late_us: u64,
}

impl Window {
    fn from(published: u64) -> Self {
        Self { latency: Histogram::new(), bytes: 0, published_before: published, late_us: 0 }
    }
}

impl Load {
    /// Nobody is connected yet.
    ///
    /// # Errors
    /// When the options make no sense or the kernel refuses something.
    pub fn new(options: Options) -> io::Result<Self> {
        if options.text_bytes < stamp::LEN {
            return Err(io::Error::other(format!("a text has at least {} bytes", stamp::LEN)));
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            connections: Vec::with_capacity(options.subscribers + options.publishers),
            options,
            poll,
            ready: 0,
            closed: 0,
            started: Instant::now(),
            due_us: None,
            published: 0,
            window: Window::from(0),
            refused: 0,
            reasons: Vec::new(),
            unsent: HashSet::new(),
            commands: Vec::new(),
            ended: false,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ_BYTES],
            read: Read::default(),
        })
    }

    /// Connects the first `count`, publishers first, as far as there are so many; they are in the room then.
    ///
    /// # Errors
    /// When the server takes one of them not, or not in time.
    pub fn connect(&mut self, count: usize) -> io::Result<()> {
        let total = count.min(self.options.subscribers + self.options.publishers);
        let started = Instant::now();
        while self.ready < total {
            while self.connections.len() < total && self.connections.len() - self.ready < IN_FLIGHT {
                self.open()?;
            }
            self.turn(TURN)?;
            if self.closed > 0 {
                return Err(io::Error::other(format!("a connection was closed: {:?}", self.reasons)));
            }
            if started.elapsed() > CONNECT_DEADLINE {
                let ready = self.ready;
                return Err(io::Error::other(format!("{ready} of {total} were let in in time")));
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        let index = self.connections.len();
        let token = match &self.options {
            Options { dialect: Dialect::Chat { channel }, tokens: Some(keys), publishers, .. }
                if index < *publishers =>
            {
                Some(tokens::publisher(keys, channel, index)?)
            }
            _ => None,
        };
        let connection = Connection::open(self.options.server, &self.options.dialect, token)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.poll, &connection.stream, data, epoll::EventFlags::IN)?;
        self.connections.push(connection);
        Ok(())
    }

    /// Does what the lines on stdin say, until they end.
    ///
    /// # Errors
    /// When `out` cannot be written or the kernel refuses something.
    pub fn obey(&mut self, out: &mut impl Write) -> io::Result<()> {
        let stdin = io::stdin();
        epoll::add(&self.poll, &stdin, epoll::EventData::new_u64(STDIN), epoll::EventFlags::IN)?;
        writeln!(out, "{{\"ready\":{}}}", self.ready)?;
        while !self.ended {
            self.turn(TURN)?;
            while let Some(at) = self.commands.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.commands.drain(..=at).collect();
                let report = match line.trim_ascii() {
                    b"fill" => {
                        self.connect(usize::MAX)?;
                        self.report(None)
                    }
                    b"start" => {
                        self.due_us = Some(self.now_us());
                        self.report(None)
                    }
                    b"mark" => {
                        self.window = Window::from(self.published);
                        self.report(None)
                    }
                    b"report" => self.report(None),
                    b"stop" => {
                        self.due_us = None;
                        self.settle()?;
                        self.report(Some(self.orders()))
                    }
                    other => {
                        let other = String::from_utf8_lossy(other);
                        return Err(io::Error::other(format!("no such command: {other}")));
                    }
                };
                writeln!(out, "{}", serde_json::to_string(&report)?)?;
            }
        }
        Ok(())
    }

    fn report(&self, orders: Option<usize>) -> Report {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1_000.0;
        let latency = &self.window.latency;
        Report {
            connections: self.connections.len(),
            closed: self.closed,
            published: self.published - self.window.published_before,
            delivered: latency.total(),
            bytes: self.window.bytes,
            p50_ms: ms(latency.quantile_us(0.5)),
            p99_ms: ms(latency.quantile_us(0.99)),
            max_ms: ms(latency.max_us()),
            late_ms: ms(self.window.late_us),
            lost: orders.map(|_| self.missing()),
            orders,
            refused: self.refused,
            reasons: self.reasons.clone(),
        }
    }

    /// Deliveries that have not come, of all messages to all connections.
    fn missing(&self) -> u64 {
        self.connections.iter().map(|one| self.published.saturating_sub(one.received)).sum()
    }

    fn orders(&self) -> usize {
        let alive = self.connections.iter().filter(|one| one.phase == Phase::Ready);
        alive.map(|one| (one.received, one.order)).collect::<HashSet<_>>().len()
    }

    /// Reads on until everything is there, or nothing comes any more.
    fn settle(&mut self) -> io::Result<()> {
        let started = Instant::now();
        let mut heard = (Instant::now(), self.window.bytes);
        while started.elapsed() < SETTLE_DEADLINE && heard.0.elapsed() < QUIET && self.missing() > 0 {
            self.turn(TURN)?;
            if self.window.bytes != heard.1 {
                heard = (Instant::now(), self.window.bytes);
            }
        }
        Ok(())
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Waits for something to do, at most so long, and does it.
    fn turn(&mut self, at_most: Duration) -> io::Result<()> {
        let mut wait = if self.unsent.is_empty() { at_most } else { RETRY };
        if let Some(due) = self.due_us {
            wait = wait.min(Duration::from_micros(due.saturating_sub(self.now_us())));
        }
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let data = event.data.u64();
            if data == STDIN {
                self.read_commands()?;
            } else if let Ok(index) = usize::try_from(data) {
                self.read_from(index)?;
            }
            self.publish_what_is_due()?;
        }
        self.events = events;
        for index in std::mem::take(&mut self.unsent) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.flush(&mut self.read);
            }
            self.account(index)?;
        }
        self.publish_what_is_due()
    }

    fn read_commands(&mut self) -> io::Result<()> {
        let mut bytes = [0; 256];
        let count = rustix::io::read(io::stdin().as_fd(), &mut bytes)?;
        self.ended |= count == 0;
        self.commands.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(())
    }

    fn read_from(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        connection.read(&self.options.dialect, &mut self.buffer, &mut self.read);
        self.account(index)
    }

    /// Takes over what happened while a connection was read or written.
    fn account(&mut self, index: usize) -> io::Result<()> {
        let now = self.now_us();
        for at_us in self.read.stamps.drain(..) {
            self.window.latency.add(now.saturating_sub(at_us));
        }
        self.window.bytes += std::mem::take(&mut self.read.bytes);
        self.ready += usize::from(std::mem::take(&mut self.read.became_ready));
        for text in self.read.refused.drain(..) {
            self.refused += 1;
            if self.reasons.len() < REASONS {
                self.reasons.push(text);
            }
        }
        let Some(connection) = self.connections.get(index) else { return Ok(()) };
        if let Some(why) = self.read.closed.take() {
            self.closed += 1;
            if self.reasons.len() < REASONS {
                self.reasons.push(why);
            }
            epoll::delete(&self.poll, &connection.stream)?;
        } else if connection.has_unsent() {
            self.unsent.insert(index);
        }
        Ok(())
    }

    fn publish_what_is_due(&mut self) -> io::Result<()> {
        while let Some(due) = self.due_us {
            let now = self.now_us();
            if now < due {
                break;
            }
            self.window.late_us = self.window.late_us.max(now - due);
            self.due_us = Some(due + 1_000_000 / u64::from(self.options.rate.max(1)));
            let number = self.published;
            let publishers = self.options.publishers.max(1) as u64;
            let index = usize::try_from(number % publishers).unwrap_or_default();
            let mut frame = Vec::new();
            let text = stamp::text(number, now, self.options.text_bytes);
            self.options.dialect.say(number, text, &mut frame)?;
            let Some(connection) = self.connections.get_mut(index) else { break };
            if connection.phase != Phase::Ready {
                return Err(io::Error::other(format!("a publisher was closed: {:?}", self.reasons)));
            }
            connection.send(&frame, &mut self.read);
            self.published += 1;
            self.account(index)?;
        }
        Ok(())
    }
}
