//! A publisher of our own, on rml_rtmp's client session: sends what a test makes up, when it wants.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nodi_flv::{Kind, Tag};
use nodi_protocol::stream_key::StreamKey;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;

use super::{PATIENCE, media};

/// What a connection can be made over.
pub trait Transport: Read + Write + Send {
    fn set_read_timeout(&self, timeout: Option<Duration>);
}

impl Transport for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) {
        TcpStream::set_read_timeout(self, timeout).unwrap();
    }
}

pub struct Client {
    stream: Box<dyn Transport>,
    session: ClientSession,
    /// Everything that the server said, as text where it is text.
    said: Vec<u8>,
    accepted: bool,
    ended: bool,
}

impl Client {
    /// Past the handshake and `connect`.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Box::new(stream), "live")
    }

    pub fn over(mut stream: Box<dyn Transport>, app: &str) -> Self {
        stream.set_read_timeout(Some(PATIENCE));
        let mut handshake = Handshake::new(PeerType::Client);
        stream.write_all(&handshake.generate_outbound_p0_and_p1().unwrap()).unwrap();
        let rest = loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed during the handshake");
            match handshake.process_bytes(&buffer[..read]).unwrap() {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    stream.write_all(&response_bytes).unwrap();
                }
                HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                    stream.write_all(&response_bytes).unwrap();
                    break remaining_bytes;
                }
            }
        };
        let mut config = ClientSessionConfig::new();
        config.flash_version = "nodi-test/1".to_owned();
        let (mut session, _) = ClientSession::new(config).unwrap();
        let request = session.request_connection(app.to_owned()).unwrap();
        let mut client = Self { stream, session, said: Vec::new(), accepted: false, ended: false };
        client.take(&rest);
        client.send_result(request);
        client.until("connect to be answered", |client| client.accepted);
        client
    }

    /// Asks to publish and waits for the answer: whether it was granted.
    pub fn publish(&mut self, key: &str) -> bool {
        self.accepted = false;
        let request = self.session.request_publishing(key.to_owned(), PublishRequestType::Live).unwrap();
        self.send_result(request);
        self.until("publish to be answered", |client| client.accepted || client.ended);
        self.accepted
    }

    /// Connected and publishing, headers sent.
    pub fn publishing(address: SocketAddr, key: &StreamKey) -> Self {
        let mut client = Self::connect(address);
        assert!(client.publish(key.reveal()), "{}", client.said());
        client.metadata();
        client.tag(&media::avc_header());
        client.tag(&media::aac_header());
        client
    }

    pub fn metadata(&mut self) {
        let mut metadata = StreamMetadata::new();
        metadata.encoder = Some("nodi-test".to_owned());
        let packet = self.session.publish_metadata(&metadata).unwrap();
        self.send_result(packet);
    }

    pub fn tag(&mut self, tag: &Tag) {
        self.try_tag(tag).unwrap();
    }

    pub fn try_tag(&mut self, tag: &Tag) -> io::Result<()> {
        let (data, timestamp) = (tag.data.clone(), RtmpTimestamp::new(tag.timestamp_ms));
        let result = match tag.kind {
            Kind::Video => self.session.publish_video_data(data, timestamp, false),
            Kind::Audio => self.session.publish_audio_data(data, timestamp, false),
            Kind::Script => panic!("use metadata()"),
        };
        let ClientSessionResult::OutboundResponse(packet) = result.unwrap() else { return Ok(()) };
        self.stream.write_all(&packet.bytes)
    }

    /// One second of 25 frames from `from_ms`, with a key frame at its start, as fast as it goes.
    pub fn second(&mut self, from_ms: u32, frame_len: usize) {
        for frame in 0..25 {
            let at = from_ms + frame * 40;
            let tag = if frame == 0 { media::key_frame } else { media::delta_frame };
            self.tag(&tag(at, frame_len));
            self.tag(&media::aac_frame(at));
        }
    }

    pub fn stop_publishing(&mut self) {
        for result in self.session.stop_publishing().unwrap() {
            self.send_result(result);
        }
    }

    /// Everything the server said so far, as text.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).into_owned()
    }

    /// Reads until the server closes; gives what it said.
    pub fn until_closed(&mut self) -> String {
        self.until("the server to close", |client| client.ended);
        self.said()
    }

    pub fn until_said(&mut self, text: &str) {
        self.until(text, |client| client.said().contains(text));
    }

    /// Reads what is there, without answering anything.
    pub fn ignore(&mut self, for_how_long: Duration) -> bool {
        let deadline = Instant::now() + for_how_long;
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.stream.set_read_timeout(Some(left));
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => break,
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends nothing but answers.
    pub fn answer_for(&mut self, for_how_long: Duration) {
        let deadline = Instant::now() + for_how_long;
        self.until("the time to pass", |_| Instant::now() >= deadline);
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        self.stream.set_read_timeout(Some(Duration::from_millis(200)));
        while !done(self) {
            assert!(!self.ended, "closed before: {what}; it said {}", self.said());
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(read) => self.take(&buffer[..read]),
                Err(error) if is_timeout(&error) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                    self.ended = true;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        for result in self.session.handle_input(bytes).unwrap() {
            match result {
                ClientSessionResult::OutboundResponse(packet) => {
                    // The server may be gone already.
                    let _ = self.stream.write_all(&packet.bytes);
                }
                ClientSessionResult::RaisedEvent(
                    ClientSessionEvent::ConnectionRequestAccepted
                    | ClientSessionEvent::PublishRequestAccepted,
                ) => self.accepted = true,
                _ => {}
            }
        }
    }

    fn send_result(&mut self, result: ClientSessionResult) {
        if let ClientSessionResult::OutboundResponse(packet) = result {
            self.stream.write_all(&packet.bytes).unwrap();
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A connection past the handshake, for bytes that no client would send.
pub fn raw(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = vec![0; 1537];
    hello[0] = 3;
    stream.write_all(&hello).unwrap();
    let mut answer = vec![0; 1 + 2 * 1536];
    stream.read_exact(&mut answer).unwrap();
    stream.write_all(&answer[1..1537]).unwrap();
    stream
}

/// Whether the server closes `stream`; what it says before is dropped.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    let deadline = Instant::now() + PATIENCE;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while Instant::now() < deadline {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return false,
            Err(_) => return true,
        }
    }
    false
}
