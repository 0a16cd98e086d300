//! Publishes as an encoder does: RTMP to ingest, in real time, again when the connection ends.

use std::net::SocketAddr;
use std::time::Duration;

use nodi_flv::{Kind, Tag};
use nodi_protocol::stream_key::StreamKey;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Clip, Looped};

/// From the connection to the answer to `publish`; ingest's own limits are 5 and 10 s.
const CONNECT: Duration = Duration::from_secs(15);
/// What ingest does not take for so long it will not take.
const SEND: Duration = Duration::from_secs(10);
/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);
const READ: usize = 16 << 10;
const APPLICATION: &str = "live";
/// How it names itself, for ingest's log.
const NAME: &str = "nodi-health";

/// How publishing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Connecting,
    Publishing,
    /// The last attempt ended so; the next one comes.
    Failed(String),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("ingest does not answer on {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    #[error("the connection to ingest broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("ingest closed the connection{0}")]
    Closed(String),
    #[error("RTMP: {0}")]
    Rtmp(String),
    #[error("ingest refuses the stream: {0}")]
    Refused(String),
    #[error("ingest does not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    #[error(transparent)]
    Clip(#[from] super::Error),
}

/// Publishes `clip` until it is dropped.
pub async fn run(address: SocketAddr, key: StreamKey, clip: Clip, state: watch::Sender<State>) {
    loop {
        let ended = publish(address, &key, clip, &state).await;
        log::info!(reason:% = ended; "the synthetic stream ended");
        state.send_replace(State::Failed(ended.to_string()));
        tokio::time::sleep(AGAIN).await;
    }
}

async fn publish(address: SocketAddr, key: &StreamKey, clip: Clip, state: &watch::Sender<State>) -> Error {
    let connected = tokio::time::timeout(CONNECT, Publisher::connect(address, key)).await;
    let mut publisher = match connected {
        Ok(Ok(publisher)) => publisher,
        Ok(Err(error)) => return error,
        Err(_) => return Error::Deadline(CONNECT),
    };
    state.send_replace(State::Publishing);
    let tags = match Looped::new(clip) {
        Ok(looped) => looped,
        Err(error) => return error.into(),
    };
    match publisher.play(tags).await {
        Ok(()) => Error::Closed(String::new()),
        Err(error) => error,
    }
}

struct Publisher {
    stream: TcpStream,
    session: ClientSession,
    buffer: Vec<u8>,
    /// The last description that came with a status: rml_rtmp hands on only its code.
    said: Option<String>,
}

impl Publisher {
    async fn connect(address: SocketAddr, key: &StreamKey) -> Result<Self, Error> {
        let connected = TcpStream::connect(address).await;
        let mut stream = connected.map_err(|error| Error::Connect(address, error))?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; READ];
        let rest = handshake(&mut stream, &mut buffer).await?;
        let config = ClientSessionConfig {
            flash_version: NAME.to_owned(),
            tc_url: Some(format!("rtmp://{address}/{APPLICATION}")),
            ..ClientSessionConfig::new()
        };
        let (session, first) = ClientSession::new(config).map_err(rtmp)?;
        let mut publisher = Self { stream, session, buffer, said: None };
        publisher.carry_out(first).await?;
        let early = publisher.session.handle_input(&rest).map_err(rtmp)?;
        publisher.carry_out(early).await?;
        let connect = publisher.session.request_connection(APPLICATION.to_owned()).map_err(rtmp)?;
        publisher.carry_out(vec![connect]).await?;
        publisher.wait_for(&ClientSessionEvent::ConnectionRequestAccepted).await?;
        let publish = publisher
            .session
            .request_publishing(key.reveal().to_owned(), PublishRequestType::Live)
            .map_err(rtmp)?;
        publisher.carry_out(vec![publish]).await?;
        publisher.wait_for(&ClientSessionEvent::PublishRequestAccepted).await?;
        Ok(publisher)
    }

    /// Sends each tag when it is due.
    async fn play(&mut self, tags: Looped) -> Result<(), Error> {
        let start = Instant::now();
        for tag in tags {
            tokio::time::sleep_until(start + Duration::from_millis(u64::from(tag.timestamp_ms))).await;
            match tokio::time::timeout(SEND, self.send(&tag)).await {
                Ok(sent) => sent?,
                Err(_) => return Err(Error::Deadline(SEND)),
            }
        }
        Ok(())
    }

    async fn send(&mut self, tag: &Tag) -> Result<(), Error> {
        let time = RtmpTimestamp::new(tag.timestamp_ms);
        let packet = match tag.kind {
            Kind::Video => self.session.publish_video_data(tag.data.clone(), time, false),
            Kind::Audio => self.session.publish_audio_data(tag.data.clone(), time, false),
            Kind::Script => return Ok(()),
        };
        self.carry_out(vec![packet.map_err(rtmp)?]).await?;
        // Without waiting: pings are answered, and an end is noticed.
        match self.stream.try_read(&mut self.buffer) {
            Ok(read) => self.take(read).await.map(drop),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn take(&mut self, read: usize) -> Result<Vec<ClientSessionEvent>, Error> {
        let bytes = self.buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Err(Error::Closed(self.said.take().map(|said| format!(": {said}")).unwrap_or_default()));
        }
        if let Some(said) = description(bytes) {
            self.said = Some(said);
        }
        let results = self.session.handle_input(bytes).map_err(rtmp)?;
        self.carry_out(results).await
    }

    async fn wait_for(&mut self, wanted: &ClientSessionEvent) -> Result<(), Error> {
        loop {
            let read = self.stream.read(&mut self.buffer).await?;
            for event in self.take(read).await? {
                match event {
                    event if event == *wanted => return Ok(()),
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(Error::Refused(description));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => {
                        return Err(Error::Refused(self.said.take().unwrap_or(code)));
                    }
                    _ => {}
                }
            }
        }
    }

    async fn carry_out(
        &mut self,
        results: Vec<ClientSessionResult>,
    ) -> Result<Vec<ClientSessionEvent>, Error> {
        let mut events = Vec::new();
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.stream.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        Ok(events)
    }
}

/// Returns the bytes that came behind the handshake.
async fn handshake(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Vec<u8>, Error> {
    let mut handshake = Handshake::new(PeerType::Client);
    stream.write_all(&handshake.generate_outbound_p0_and_p1().map_err(rtmp)?).await?;
    loop {
        let read = stream.read(buffer).await?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Err(Error::Closed(String::new()));
        }
        match handshake.process_bytes(bytes).map_err(rtmp)? {
            HandshakeProcessResult::InProgress { response_bytes } => {
                stream.write_all(&response_bytes).await?
            }
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                stream.write_all(&response_bytes).await?;
                return Ok(remaining_bytes);
            }
        }
    }
}

/// Of an `onStatus`: the AMF0 string that follows the key of this name (AMF 0, section 2.4). Ingest sends it in one chunk.
fn description(bytes: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"description\x02";
    let at = bytes.windows(KEY.len()).rposition(|window| window == KEY)?;
    let (len, rest) = bytes.get(at + KEY.len()..)?.split_first_chunk::<2>()?;
    let text = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn rtmp(error: impl std::fmt::Display) -> Error {
    Error::Rtmp(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_a_status_is_found() {
        let status = b"\x00\x04code\x02\x00\x03abc\x00\x0bdescription\x02\x00\x05wrong\x00\x00\x09";
        assert_eq!(description(status).as_deref(), Some("wrong"));
        for len in 0..status.len() - 3 {
            assert_eq!(description(&status[..len]), None, "{len} bytes");
        }
    }
}
