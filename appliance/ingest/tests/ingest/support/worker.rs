//! Plays the transcoding worker: a Unix socket, one FLV stream per connection.

use std::io::Read as _;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use nodi_flv::{Kind, Metadata, Reader, SessionFacts, Tag, amf0, audio, video};

use super::PATIENCE;

/// Accepts workers' connections.
pub struct Workers {
    accepted: Receiver<UnixStream>,
}

impl Workers {
    pub fn listen(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let (send, accepted): (Sender<UnixStream>, _) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if send.send(stream.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { accepted }
    }

    /// The next worker that is asked for.
    pub fn next(&self) -> Worker {
        self.within(PATIENCE).expect("no worker was asked for")
    }

    pub fn within(&self, patience: Duration) -> Option<Worker> {
        self.accepted.recv_timeout(patience).ok().map(Worker::new)
    }
}

/// One worker at its socket.
pub struct Worker {
    stream: UnixStream,
    reader: Reader,
    input: Bytes,
    /// Everything that was read.
    pub tags: Vec<Tag>,
    pub bytes: Vec<u8>,
}

impl Worker {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, reader: Reader::default(), input: Bytes::new(), tags: Vec::new(), bytes: Vec::new() }
    }

    /// The next tag; `None` at the end of the session.
    pub fn next_tag(&mut self) -> Option<Tag> {
        loop {
            if let Some(tag) = self.reader.read(&mut self.input).unwrap() {
                self.tags.push(tag.clone());
                return Some(tag);
            }
            let mut buffer = vec![0; 1 << 16];
            let read = self.stream.read(&mut buffer).unwrap();
            if read == 0 {
                self.reader.finish().unwrap();
                return None;
            }
            buffer.truncate(read);
            self.bytes.extend_from_slice(&buffer);
            self.input = buffer.into();
        }
    }

    /// Reads up to the first tag that `wanted` likes.
    pub fn until(&mut self, wanted: impl Fn(&Tag) -> bool) -> Tag {
        loop {
            let tag = self.next_tag().expect("the session ended");
            if wanted(&tag) {
                return tag;
            }
        }
    }

    pub fn read_all(&mut self) {
        while self.next_tag().is_some() {}
    }

    /// The facts, which must come first.
    pub fn facts(&mut self) -> SessionFacts {
        if self.tags.is_empty() {
            self.next_tag().unwrap();
        }
        SessionFacts::from_tag(&self.tags[0]).unwrap().expect("no session facts at the start")
    }

    /// As a crash does it.
    pub fn crash(self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }

    pub fn video_frames(&self) -> usize {
        self.tags.iter().filter(|tag| is_frame(tag)).count()
    }

    pub fn audio_frames(&self) -> usize {
        self.tags.iter().filter(|tag| is_audio_frame(tag)).count()
    }
}

pub fn is_frame(tag: &Tag) -> bool {
    tag.kind == Kind::Video && matches!(video::parse(&tag.data).unwrap().body, video::Body::Frame { .. })
}

pub fn is_key_frame(tag: &Tag) -> bool {
    tag.kind == Kind::Video
        && matches!(video::parse(&tag.data).unwrap().body, video::Body::Frame { keyframe: true, .. })
}

pub fn is_audio_frame(tag: &Tag) -> bool {
    tag.kind == Kind::Audio && matches!(audio::parse(&tag.data).unwrap().body, audio::Body::Frame(_))
}

pub fn is_header(tag: &Tag) -> bool {
    match tag.kind {
        Kind::Video => matches!(video::parse(&tag.data).unwrap().body, video::Body::SequenceHeader(_)),
        Kind::Audio => matches!(audio::parse(&tag.data).unwrap().body, audio::Body::SequenceHeader(_)),
        Kind::Script => false,
    }
}

pub fn metadata(tag: &Tag) -> Option<Metadata> {
    if tag.kind != Kind::Script {
        return None;
    }
    Metadata::from_script(&tag.data, amf0::Limits::default()).unwrap()
}
