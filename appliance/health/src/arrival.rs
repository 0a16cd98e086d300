//! What has come of the synthetic stream in the spool. Looked at again and again instead of watched: one session of a few
//! minutes, whose files say everything by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodi_protocol::stream_key::SELF_TEST_CHANNEL;
use nodi_protocol::{RenditionName, SessionId};
use nodi_spool::{Backend, EndReason, Entry, RungState, SpoolSession, WorkerStatus, layout};
use tokio::time::Instant;

/// Largest `session.json` or `status.json` that is read: eight rungs are below 16 KiB.
const LARGEST_FILE: u64 = 256 << 10;
/// Of one index and one look: minutes of it.
const MOST_READ: u64 = 64 << 10;

/// What every rendition has to have.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Finished ones that hold something.
    pub segments: u32,
    /// A rendition that got nothing for so long has stopped.
    pub stall: Duration,
    pub backend: Option<Backend>,
}

/// Follows the newest session that began after it was made.
#[derive(Debug)]
pub struct Arrival {
    channel: PathBuf,
    wanted: Wanted,
    before: BTreeSet<SessionId>,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    directory: PathBuf,
    renditions: BTreeMap<RenditionName, Tail>,
    backend: Option<Backend>,
}

/// How far an index was read.
#[derive(Debug)]
struct Tail {
    offset: u64,
    finished: u32,
    grew: Instant,
    ended: Option<EndReason>,
}

impl Arrival {
    /// Sessions that are there now are not looked at.
    #[must_use]
    pub fn new(spool: &Path, wanted: Wanted) -> Self {
        let channel = spool.join(SELF_TEST_CHANNEL);
        Self { before: sessions(&channel).unwrap_or_default(), channel, wanted, session: None }
    }

    /// Which encoders the worker found, once it says so.
    #[must_use]
    pub fn backend(&self) -> Option<Backend> {
        self.session.as_ref().and_then(|session| session.backend)
    }

    /// Whether all of it is there and goes on growing.
    ///
    /// # Errors
    /// What is missing.
    pub fn look(&mut self, now: Instant) -> Result<String, String> {
        let there =
            sessions(&self.channel).map_err(|error| format!("{}: {error}", self.channel.display()))?;
        let Some(newest) = there.into_iter().rfind(|id| !self.before.contains(id)) else {
            return Err("nothing has come into the spool".to_owned());
        };
        if self.session.as_ref().is_none_or(|session| session.id != newest) {
            let directory = self.channel.join(newest.to_string());
            self.session =
                Some(Session { id: newest, directory, renditions: BTreeMap::new(), backend: None });
        }
        match &mut self.session {
            Some(session) => session.look(&self.wanted, now),
            None => Err("nothing has come into the spool".to_owned()),
        }
    }
}

impl Session {
    fn look(&mut self, wanted: &Wanted, now: Instant) -> Result<String, String> {
        let status: Option<WorkerStatus> = json(&self.directory.join(layout::STATUS))?;
        let Some(described) = json::<SpoolSession>(&self.directory.join(layout::SESSION))? else {
            return Err("the worker has not begun to write".to_owned());
        };
        let mut lacks = Vec::new();
        if let Some(status) = &status {
            self.backend = Some(status.backend);
            if let Some(backend) = wanted.backend
                && backend != status.backend
            {
                lacks.push(format!("the encoder is {}, not {}", word(status.backend), word(backend)));
            }
            for rung in &status.rungs {
                if let RungState::Gone(reason) = rung.state {
                    lacks.push(format!("{} was given up ({reason})", rung.name));
                }
            }
        }
        for (video, what) in [(true, "picture"), (false, "sound")] {
            if !described.renditions.iter().any(|rendition| rendition.is_video() == video) {
                lacks.push(format!("there is no {what}"));
            }
        }
        for rendition in &described.renditions {
            let name = &rendition.name;
            let tail = self.renditions.entry(name.clone()).or_insert(Tail {
                offset: 0,
                finished: 0,
                grew: now,
                ended: None,
            });
            let index = self.directory.join(name.as_str()).join(layout::INDEX);
            tail.read(&index, now).map_err(|error| format!("{}: {error}", index.display()))?;
            if let Some(reason) = tail.ended {
                lacks.push(format!("{name} has ended ({reason})"));
            } else if tail.finished < wanted.segments {
                lacks.push(format!("{name} has {} of {} segments", tail.finished, wanted.segments));
            } else if now.saturating_duration_since(tail.grew) > wanted.stall {
                lacks.push(format!("{name} has got nothing for {} s", wanted.stall.as_secs()));
            }
        }
        if !lacks.is_empty() {
            return Err(lacks.join("; "));
        }
        let names: Vec<_> = described.renditions.iter().map(|rendition| rendition.name.as_str()).collect();
        Ok(format!("arrives as {}", names.join(", ")))
    }
}

impl Tail {
    fn read(&mut self, path: &Path, now: Instant) -> io::Result<()> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(MOST_READ).read_to_end(&mut bytes)?;
        // The last line may be on its way.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let Some(lines) = bytes.get(..whole) else { return Ok(()) };
        self.offset += whole as u64;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Entry::parse(line) {
                Ok(Entry::Part { .. }) => self.grew = now,
                Ok(Entry::Segment { len, .. }) if len > 0 => {
                    self.finished = self.finished.saturating_add(1);
                    self.grew = now;
                }
                Ok(Entry::Init { .. }) => self.ended = None,
                Ok(Entry::End { reason }) => self.ended = Some(reason),
                // A line that a crash tore is the worker's business.
                Ok(Entry::Open { .. } | Entry::Segment { .. }) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn sessions(channel: &Path) -> io::Result<BTreeSet<SessionId>> {
    let items = match std::fs::read_dir(channel) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut found = BTreeSet::new();
    for item in items {
        found.extend(item?.file_name().to_str().and_then(|name| name.parse::<SessionId>().ok()));
    }
    Ok(found)
}

/// `None`: there is no such file yet.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes)) {
        Ok(_) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{}: {error}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn word(backend: Backend) -> &'static str {
    match backend {
        Backend::Jetson => "jetson",
        Backend::Software => "software",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Spool {
        root: tempfile::TempDir,
        session: PathBuf,
    }

    const SESSION: &str = "01JAZZZZZZZZZZZZZZZZZZZZZZ";
    const VIDEO: &str = r#""kind":"video","codecs":"avc1.64001f","width":640,"height":360,"frame_rate":[30,1],"bandwidth":1,"average_bandwidth":1"#;
    const AUDIO: &str = r#""kind":"audio","codecs":"mp4a.40.2","channels":2,"sample_rate":48000,"bandwidth":1,"average_bandwidth":1"#;

    impl Spool {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let session = root.path().join("self-test").join(SESSION);
            Self { root, session }
        }

        fn describe(&self, renditions: &[(&str, &str)]) {
            std::fs::create_dir_all(&self.session).unwrap();
            let all: Vec<_> =
                renditions.iter().map(|(name, track)| format!(r#"{{"name":"{name}",{track}}}"#)).collect();
            let text = format!(
                r#"{{"channel":"self-test","session":"{SESSION}","renditions":[{}],"target_duration_s":2,"part_target_ns":333330000}}"#,
                all.join(",")
            );
            std::fs::write(self.session.join("session.json"), text).unwrap();
        }

        fn append(&self, rendition: &str, lines: &str) {
            let directory = self.session.join(rendition);
            std::fs::create_dir_all(&directory).unwrap();
            let path = directory.join("index");
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, before + lines).unwrap();
        }

        fn segment(&self, rendition: &str, seq: u32) {
            self.append(
                rendition,
                &format!("{{\"t\":\"segment\",\"seq\":{seq},\"len\":9,\"duration_ns\":2000000000}}\n"),
            );
        }

        fn arrival(&self) -> Arrival {
            let wanted = Wanted { segments: 2, stall: Duration::from_secs(10), backend: None };
            Arrival::new(self.root.path(), wanted)
        }
    }

    #[test]
    fn all_renditions_have_to_grow() {
        let spool = Spool::new();
        let mut arrival = spool.arrival();
        let start = Instant::now();
        assert_eq!(arrival.look(start), Err("nothing has come into the spool".to_owned()));
        std::fs::create_dir_all(&spool.session).unwrap();
        assert_eq!(arrival.look(start), Err("the worker has not begun to write".to_owned()));
        spool.describe(&[("720p", VIDEO), ("360p", VIDEO), ("audio", AUDIO)]);
        for name in ["720p", "audio"] {
            spool.segment(name, 0);
            spool.segment(name, 1);
        }
        spool.segment("360p", 0);
        assert_eq!(arrival.look(start), Err("360p has 1 of 2 segments".to_owned()));
        // A segment without anything in it, and half a line, are none.
        spool.append(
            "360p",
            "{\"t\":\"segment\",\"seq\":1,\"len\":0,\"duration_ns\":2000000000}\n{\"t\":\"segm",
        );
        assert_eq!(arrival.look(start), Err("360p has 1 of 2 segments".to_owned()));
        spool.append("360p", "ent\",\"seq\":2,\"len\":9,\"duration_ns\":2000000000}\n");
        assert_eq!(arrival.look(start), Ok("arrives as 720p, 360p, audio".to_owned()));
        // One stops.
        let later = start + Duration::from_secs(11);
        spool.segment("720p", 2);
        spool.segment("audio", 2);
        assert_eq!(arrival.look(later), Err("360p has got nothing for 10 s".to_owned()));
        spool.append("360p", "{\"t\":\"end\",\"reason\":\"no_space\"}\n");
        assert_eq!(arrival.look(later), Err("360p has ended (no_space)".to_owned()));
    }

    #[test]
    fn sound_and_picture_are_wanted_and_an_older_session_does_not_count() {
        let spool = Spool::new();
        spool.describe(&[("360p", VIDEO)]);
        let mut arrival = spool.arrival();
        assert!(arrival.look(Instant::now()).unwrap_err().contains("nothing has come"));
        let mut arrival = Arrival { before: BTreeSet::new(), ..arrival };
        assert!(arrival.look(Instant::now()).unwrap_err().contains("there is no sound"));
    }

    #[test]
    fn what_the_worker_says_counts() {
        let spool = Spool::new();
        let mut arrival = spool.arrival();
        arrival.wanted.backend = Some(Backend::Jetson);
        spool.describe(&[("360p", VIDEO), ("audio", AUDIO)]);
        for name in ["360p", "audio"] {
            spool.segment(name, 0);
            spool.segment(name, 1);
        }
        let status = |backend: &str| {
            format!(
                r#"{{"schema":1,"worker":0,"unix_ms":1,"state":"running","backend":"{backend}","source":null,"speed":1.0,"lag_ms":1,
                "overload":"rung_dropped","rungs":[{{"name":"720p","width":1280,"height":720,"state":{{"state":"gone","reason":"overload"}},
                "passthrough":false,"fps":0.0,"bitrate":0,"frames":0,"dropped":0,"unexpected_key_frames":0,"missed_key_frames":0}}],
                "audio":null,"media_ns":1,"discontinuities":0,"warnings":[]}}"#
            )
        };
        std::fs::write(spool.session.join("status.json"), status("software")).unwrap();
        let lacks = arrival.look(Instant::now()).unwrap_err();
        assert_eq!(lacks, "the encoder is software, not jetson; 720p was given up (overload)");
        assert_eq!(arrival.backend(), Some(Backend::Software));
    }
}
