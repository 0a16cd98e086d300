//! A publisher that sends exactly the tags it is given, on `rml_rtmp`'s client session.

use std::time::Duration;

use nodi_flv::{Kind, Tag};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::error::{Error, io};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 16 * 1024;

/// A connection that has been accepted for publishing.
pub struct Publisher {
    stream: TcpStream,
    session: ClientSession,
    buffer: Vec<u8>,
}

impl Publisher {
    /// Connects and publishes under `key` in the application `live`.
    ///
    /// # Errors
    /// [`Error::Rtmp`] with what the server said when it refuses.
    pub async fn connect(port: u16, key: &str) -> Result<Self, Error> {
        tokio::time::timeout(CONNECT_DEADLINE, Self::open(port, key)).await.unwrap_or_else(|_| {
            Err(Error::Deadline { what: "publishing".to_owned(), deadline: CONNECT_DEADLINE })
        })
    }

    async fn open(port: u16, key: &str) -> Result<Self, Error> {
        let what = || format!("RTMP connection to port {port}");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(io(what()))?;
        stream.set_nodelay(true).map_err(io(what()))?;
        let mut buffer = vec![0; READ_BYTES];
        let remaining = handshake(&mut stream, &mut buffer).await?;

        let config = ClientSessionConfig {
            flash_version: "nodi-lab".to_owned(),
            tc_url: Some(format!("rtmp://127.0.0.1:{port}/live")),
            ..ClientSessionConfig::new()
        };
        let (session, first) = ClientSession::new(config).map_err(rtmp)?;
        let mut publisher = Self { stream, session, buffer };
        publisher.carry_out(first).await?;
        let early = publisher.session.handle_input(&remaining).map_err(rtmp)?;
        publisher.carry_out(early).await?;

        let connect = publisher.session.request_connection("live".to_owned()).map_err(rtmp)?;
        publisher.carry_out(vec![connect]).await?;
        publisher.wait_for(&ClientSessionEvent::ConnectionRequestAccepted).await?;
        let publish =
            publisher.session.request_publishing(key.to_owned(), PublishRequestType::Live).map_err(rtmp)?;
        publisher.carry_out(vec![publish]).await?;
        publisher.wait_for(&ClientSessionEvent::PublishRequestAccepted).await?;
        Ok(publisher)
    }

    /// Sends one audio or video tag; script data is left out.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn send(&mut self, tag: &Tag) -> Result<(), Error> {
        let time = RtmpTimestamp::new(tag.timestamp_ms);
        let result = match tag.kind {
            Kind::Video => self.session.publish_video_data(tag.data.clone(), time, false),
            Kind::Audio => self.session.publish_audio_data(tag.data.clone(), time, false),
            Kind::Script => return Ok(()),
        };
        self.carry_out(vec![result.map_err(rtmp)?]).await?;
        self.answer().await
    }

    /// Sends tags at the pace of their timestamps. A step back or a jump of more than a second takes no time.
    ///
    /// # Errors
    /// When the server closes the connection.
    pub async fn play(&mut self, tags: &[Tag]) -> Result<(), Error> {
        const JUMP_MS: u32 = 1_000;
        let mut due = Instant::now();
        let mut last = tags.first().map_or(0, |tag| tag.timestamp_ms);
        for tag in tags {
            let step = tag.timestamp_ms.wrapping_sub(last);
            if step < JUMP_MS {
                due += Duration::from_millis(u64::from(step));
                last = tag.timestamp_ms;
            } else if step < u32::MAX - JUMP_MS {
                last = tag.timestamp_ms;
            }
            tokio::time::sleep_until(due).await;
            self.send(tag).await?;
        }
        Ok(())
    }

    /// Until the server closes the connection; what it said last.
    pub async fn closed(&mut self) -> Vec<ClientSessionEvent> {
        let mut said = Vec::new();
        while let Ok(mut events) = self.receive().await {
            said.append(&mut events);
        }
        said
    }

    /// Reads what is there without waiting, so that pings are answered and windows acknowledged.
    async fn answer(&mut self) -> Result<(), Error> {
        match self.stream.try_read(&mut self.buffer) {
            Ok(0) => Err(Error::Rtmp("the server closed the connection".to_owned())),
            Ok(read) => self.handle(read).await.map(drop),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(source) => Err(io("RTMP connection")(source)),
        }
    }

    async fn receive(&mut self) -> Result<Vec<ClientSessionEvent>, Error> {
        let read = self.stream.read(&mut self.buffer).await.map_err(io("RTMP connection"))?;
        if read == 0 {
            return Err(Error::Rtmp("the server closed the connection".to_owned()));
        }
        self.handle(read).await
    }

    async fn handle(&mut self, read: usize) -> Result<Vec<ClientSessionEvent>, Error> {
        let bytes = self.buffer.get(..read).unwrap_or_default();
        let results = self.session.handle_input(bytes).map_err(rtmp)?;
        self.carry_out(results).await
    }

    async fn wait_for(&mut self, wanted: &ClientSessionEvent) -> Result<(), Error> {
        loop {
            for event in self.receive().await? {
                match event {
                    event if event == *wanted => return Ok(()),
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(Error::Rtmp(format!("connect refused: {description}")));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => return Err(Error::Rtmp(code)),
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
                ClientSessionResult::OutboundResponse(packet) => {
                    self.stream.write_all(&packet.bytes).await.map_err(io("RTMP connection"))?;
                }
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
    let first = handshake.generate_outbound_p0_and_p1().map_err(rtmp)?;
    stream.write_all(&first).await.map_err(io("RTMP handshake"))?;
    loop {
        let read = stream.read(buffer).await.map_err(io("RTMP handshake"))?;
        let bytes = buffer.get(..read).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| Error::Rtmp("closed during the handshake".to_owned()))?;
        match handshake.process_bytes(bytes).map_err(rtmp)? {
            HandshakeProcessResult::InProgress { response_bytes } => {
                stream.write_all(&response_bytes).await.map_err(io("RTMP handshake"))?;
            }
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                stream.write_all(&response_bytes).await.map_err(io("RTMP handshake"))?;
                return Ok(remaining_bytes);
            }
        }
    }
}

fn rtmp(error: impl std::fmt::Display) -> Error {
    Error::Rtmp(error.to_string())
}
