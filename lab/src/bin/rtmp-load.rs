//! Load for measuring RTMP servers: many publishers from one cheap process, and sinks that discard.
//!
//! A clip is turned into a chunk stream once. All media messages carry time *deltas* (chunk type 1), so that
//! the same bytes can be sent over and over, by every publisher, and the server still sees time going on.
#![allow(clippy::print_stdout, reason = "a command line: what it prints is its result")]

use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use clap::{Parser, Subcommand};
use nodi_flv::{Kind, Tag};
use nodi_lab::keys::Keys;
use nodi_lab::publish::flv;
use nodi_protocol::ChannelId;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};

/// How often publishers are looked at. Shorter than an audio frame, so that messages leave one at a time.
const TICK: Duration = Duration::from_millis(4);
/// The publishers start spread over this time, so that their key frames do not coincide.
const SPREAD: Duration = Duration::from_secs(2);
const SETUP_DEADLINE: Duration = Duration::from_secs(10);
/// What the server says in between (acknowledgements) is thrown away this often.
const DRAIN_EVERY: Duration = Duration::from_secs(1);
/// nginx-rtmp takes chunk stream ids below 32.
const AUDIO_CHUNKS: u8 = 20;
const VIDEO_CHUNKS: u8 = 21;
/// What every server calls a connection's first stream.
const STREAM_ID: u32 = 1;

#[derive(Parser)]
#[command(version, about = "Many RTMP publishers from one process, and sinks that discard")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publishes a clip from many connections in real time. Prints `{"ready":N}` when all of them are accepted;
    /// then answers each line on stdin with `{"bytes":…,"publishers":…,"late":…}`, and ends with stdin
    Publish(Publish),
    /// Accepts connections on a Unix socket and discards what they send, until stdin ends
    Sink {
        #[arg(long)]
        socket: PathBuf,
    },
}

#[derive(clap::Args)]
struct Publish {
    #[arg(long)]
    server: SocketAddr,
    /// An FLV file
    #[arg(long)]
    clip: PathBuf,
    #[arg(long)]
    publishers: usize,
    #[arg(long, default_value_t = 4096)]
    chunk_size: u32,
    /// Mints a stream key per publisher with the keys of this directory (made if absent); plain names otherwise
    #[arg(long)]
    keys: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Publish(args) => publish(&args),
        Command::Sink { socket } => sink(&socket),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rtmp-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A chunk stream that can be repeated for ever.
struct Loop {
    /// Sequence headers, with absolute time.
    prefix: Bytes,
    media: Bytes,
    /// When in the loop which bytes have to be out.
    due: Vec<(Duration, usize)>,
    length: Duration,
}

impl Loop {
    fn build(tags: &[Tag], chunk_size: usize) -> anyhow::Result<Self> {
        let mut prefix = BytesMut::new();
        let mut media = BytesMut::new();
        let mut due = Vec::new();
        let (headers, frames): (Vec<_>, Vec<_>) =
            tags.iter().filter(|tag| tag.kind != Kind::Script).partition(|tag| is_header(tag));
        for tag in &headers {
            chunk(&mut prefix, tag, None, chunk_size)?;
        }
        let first = frames.first().context("the clip has no media")?.timestamp_ms;
        let last = frames.iter().map(|tag| tag.timestamp_ms).max().unwrap_or(first);
        let video: Vec<_> = frames.iter().filter(|tag| tag.kind == Kind::Video).collect();
        ensure!(video.len() > 1, "the clip has no video");
        let frame_ms = (last - first) / u32::try_from(video.len() - 1)?;
        let length_ms = last - first + frame_ms;
        for kind in [Kind::Audio, Kind::Video] {
            ensure!(headers.iter().any(|tag| tag.kind == kind), "the clip has no {kind:?} header");
        }
        // The first message of each kind continues from the last one of the round before.
        let mut before = [Kind::Audio, Kind::Video].map(|kind| {
            let last = frames.iter().rev().find(|tag| tag.kind == kind).map_or(0, |tag| tag.timestamp_ms);
            (kind, i64::from(last) - i64::from(length_ms))
        });
        for tag in frames {
            let Some((_, before)) = before.iter_mut().find(|(kind, _)| *kind == tag.kind) else { continue };
            let delta = u32::try_from(i64::from(tag.timestamp_ms) - *before).unwrap_or(0);
            *before = i64::from(tag.timestamp_ms);
            chunk(&mut media, tag, Some(delta), chunk_size)?;
            due.push((Duration::from_millis(u64::from(tag.timestamp_ms - first)), media.len()));
        }
        Ok(Self {
            prefix: prefix.freeze(),
            media: media.freeze(),
            due,
            length: Duration::from_millis(u64::from(length_ms)),
        })
    }
}

fn is_header(tag: &Tag) -> bool {
    // AVCPacketType and AACPacketType 0: sequence headers.
    tag.data.get(1) == Some(&0)
}

/// Appends one message: with its own time (chunk type 0), or with the time since the one before (type 1).
fn chunk(out: &mut BytesMut, tag: &Tag, delta: Option<u32>, chunk_size: usize) -> anyhow::Result<()> {
    const LARGEST_TIME: u32 = 0xff_fffe;
    let id = if tag.kind == Kind::Audio { AUDIO_CHUNKS } else { VIDEO_CHUNKS };
    let time = delta.unwrap_or(0);
    ensure!(time <= LARGEST_TIME, "the clip has a gap of {time} ms");
    out.put_u8(if delta.is_some() { 0x40 | id } else { id });
    out.put_uint(u64::from(time), 3);
    out.put_uint(tag.data.len() as u64, 3);
    out.put_u8(tag.kind.id());
    if delta.is_none() {
        out.put_u32_le(STREAM_ID);
    }
    for (index, piece) in tag.data.chunks(chunk_size).enumerate() {
        if index > 0 {
            out.put_u8(0xc0 | id);
        }
        out.put_slice(piece);
    }
    Ok(())
}

struct Publisher {
    stream: TcpStream,
    started: Instant,
    rounds: u32,
    /// Next entry of `due`.
    next: usize,
    /// Bytes of `media` that are out, and that should be.
    sent: usize,
    target: usize,
    alive: bool,
}

fn publish(args: &Publish) -> anyhow::Result<()> {
    let tags = flv::read(&args.clip)?;
    let chunk_size = usize::try_from(args.chunk_size)?;
    let stream = Loop::build(&tags, chunk_size)?;
    let keys = args.keys.as_deref().map(Keys::open).transpose()?;
    let mut publishers = Vec::with_capacity(args.publishers);
    for number in 0..args.publishers {
        let name = match &keys {
            Some(keys) => keys.mint(&format!("load-{number}").parse::<ChannelId>()?).reveal().to_owned(),
            None => format!("load-{number}"),
        };
        let mut stream_out =
            connect(args.server, &name, args.chunk_size).with_context(|| format!("publisher {number}"))?;
        stream_out.write_all(&stream.prefix)?;
        stream_out.set_nonblocking(true)?;
        let spread = SPREAD * u32::try_from(number)? / u32::try_from(args.publishers)?;
        publishers.push(Publisher {
            stream: stream_out,
            started: Instant::now() + spread,
            rounds: 0,
            next: 0,
            sent: 0,
            target: 0,
            alive: true,
        });
    }
    // Connecting took its time: all of them start now, each at its own place.
    let now = Instant::now();
    for (number, publisher) in publishers.iter_mut().enumerate() {
        publisher.started = now + SPREAD * u32::try_from(number)? / u32::try_from(args.publishers)?;
    }
    println!("{{\"ready\":{}}}", publishers.len());
    let bytes = Arc::new(AtomicU64::new(0));
    let alive = Arc::new(AtomicU64::new(publishers.len() as u64));
    let late = Arc::new(AtomicU64::new(0));
    let asked = std::thread::spawn({
        let (bytes, alive, late) = (Arc::clone(&bytes), Arc::clone(&alive), Arc::clone(&late));
        move || {
            for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
                println!(
                    "{{\"bytes\":{},\"publishers\":{},\"late\":{}}}",
                    bytes.load(Ordering::Relaxed),
                    alive.load(Ordering::Relaxed),
                    late.load(Ordering::Relaxed)
                );
            }
        }
    });
    let mut drained = Instant::now();
    while !asked.is_finished() {
        let tick = Instant::now();
        for publisher in &mut publishers {
            if publisher.alive {
                bytes.fetch_add(publisher.advance(&stream, tick)?, Ordering::Relaxed);
                // The server takes less than real time.
                if publisher.target.saturating_sub(publisher.sent) > stream.media.len() / 4 {
                    late.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if tick - drained > DRAIN_EVERY {
            drained = tick;
            publishers.iter_mut().for_each(Publisher::drain);
            let count = publishers.iter().filter(|publisher| publisher.alive).count();
            alive.store(count as u64, Ordering::Relaxed);
        }
        std::thread::sleep(TICK.saturating_sub(tick.elapsed()));
    }
    Ok(())
}

impl Publisher {
    /// Sends what is due; returns how many bytes went out.
    fn advance(&mut self, stream: &Loop, now: Instant) -> anyhow::Result<u64> {
        let mut sent = 0;
        while let Some(elapsed) = now.checked_duration_since(self.started + stream.length * self.rounds) {
            while let Some((_, end)) = stream.due.get(self.next).filter(|(at, _)| *at <= elapsed) {
                self.target = *end;
                self.next += 1;
            }
            let Some(pending) = stream.media.get(self.sent..self.target) else { bail!("lost count") };
            if !pending.is_empty() {
                match self.stream.write(pending) {
                    Ok(written) => {
                        self.sent += written;
                        sent += written as u64;
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                        break;
                    }
                    Err(_) => {
                        self.alive = false;
                        break;
                    }
                }
            }
            if self.sent < stream.media.len() {
                break;
            }
            self.rounds += 1;
            (self.next, self.sent, self.target) = (0, 0, 0);
        }
        Ok(sent)
    }

    fn drain(&mut self) {
        let mut scratch = [0; 4096];
        while self.alive {
            match self.stream.read(&mut scratch) {
                Ok(0) => self.alive = false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.alive = false,
            }
        }
    }
}

/// Handshake, `connect`, `publish`; the stream is ready for media then.
fn connect(server: SocketAddr, name: &str, chunk_size: u32) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SETUP_DEADLINE))?;
    let mut buffer = [0; 8192];
    let mut handshake = Handshake::new(PeerType::Client);
    stream.write_all(&handshake.generate_outbound_p0_and_p1().map_err(rtmp)?)?;
    let rest = loop {
        match handshake.process_bytes(read(&mut stream, &mut buffer)?).map_err(rtmp)? {
            HandshakeProcessResult::InProgress { response_bytes } => stream.write_all(&response_bytes)?,
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                stream.write_all(&response_bytes)?;
                break remaining_bytes;
            }
        }
    };
    let config = ClientSessionConfig {
        chunk_size,
        tc_url: Some(format!("rtmp://{server}/live")),
        ..ClientSessionConfig::new()
    };
    let (mut session, first) = ClientSession::new(config).map_err(rtmp)?;
    carry_out(&mut stream, first)?;
    let early = session.handle_input(&rest).map_err(rtmp)?;
    carry_out(&mut stream, early)?;
    let request = session.request_connection("live".to_owned()).map_err(rtmp)?;
    carry_out(&mut stream, vec![request])?;
    loop {
        let results = session.handle_input(read(&mut stream, &mut buffer)?).map_err(rtmp)?;
        for event in carry_out(&mut stream, results)? {
            match event {
                ClientSessionEvent::ConnectionRequestAccepted => {
                    let publish = session
                        .request_publishing(name.to_owned(), PublishRequestType::Live)
                        .map_err(rtmp)?;
                    carry_out(&mut stream, vec![publish])?;
                }
                ClientSessionEvent::PublishRequestAccepted => return Ok(stream),
                ClientSessionEvent::ConnectionRequestRejected { description } => {
                    bail!("refused: {description}")
                }
                ClientSessionEvent::UnhandleableOnStatusCode { code } => bail!("refused: {code}"),
                _ => {}
            }
        }
    }
}

fn read<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> anyhow::Result<&'a [u8]> {
    let count = stream.read(buffer).context("waiting for the server")?;
    ensure!(count > 0, "the server closed the connection");
    Ok(buffer.get(..count).unwrap_or_default())
}

fn carry_out(
    stream: &mut TcpStream,
    results: Vec<ClientSessionResult>,
) -> anyhow::Result<Vec<ClientSessionEvent>> {
    let mut events = Vec::new();
    for result in results {
        match result {
            ClientSessionResult::OutboundResponse(packet) => stream.write_all(&packet.bytes)?,
            ClientSessionResult::RaisedEvent(event) => events.push(event),
            ClientSessionResult::UnhandleableMessageReceived(_) => {}
        }
    }
    Ok(events)
}

fn rtmp(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("RTMP: {error}")
}

#[tokio::main(flavor = "current_thread")]
async fn sink(socket: &Path) -> anyhow::Result<()> {
    use tokio::io::AsyncReadExt as _;

    const READ_BYTES: usize = 256 * 1024;

    let listener = tokio::net::UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    println!("{{\"ready\":0}}");
    let stdin_ended = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().for_each(drop));
    let serve = async {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut buffer = vec![0; READ_BYTES];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            });
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = serve => bail!("accepting failed"),
        _ = stdin_ended => Ok(()),
    }
}
