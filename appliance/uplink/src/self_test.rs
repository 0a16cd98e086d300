//! The health gate's stream in the spool: nobody is sent anything of it, and what is left of it goes as soon as its worker
//! has ended it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodi_protocol::stream_key::SELF_TEST_CHANNEL;
use nodi_protocol::{ChannelId, SessionId};
use nodi_spool::{Entry, layout};

/// A worker that ended nothing and has written nothing for so long is dead: one that has to wait for a slow machine goes on
/// after seconds.
const DEAD: Duration = Duration::from_secs(60);

/// Whether the channel is the gate's.
#[must_use]
pub(crate) fn is_channel(channel: &ChannelId) -> bool {
    channel.as_str() == SELF_TEST_CHANNEL
}

/// What was there at the last look, and since when. The system's clock is not asked: it may be set while a box is tried.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(HashMap<PathBuf, (State, Instant)>);

/// Files, their bytes, and the newest time that any of them was changed.
type State = (u64, u64, (i64, i64));

impl Leftovers {
    /// Removes the sessions that are over and did not change since the last look.
    pub(crate) fn clean(&mut self, spool: &Path, now: Instant) -> io::Result<()> {
        let mut seen = HashMap::new();
        for session in sessions(&spool.join(SELF_TEST_CHANNEL))? {
            let state = state(&session)?;
            let since = self.0.get(&session).filter(|(before, _)| *before == state).map(|(_, since)| *since);
            let quiet = since.map(|since| now.saturating_duration_since(since));
            if quiet.is_some_and(|quiet| quiet >= DEAD) || (quiet.is_some() && has_ended(&session)?) {
                fs::remove_dir_all(&session)?;
                log::info!(path:% = session.display(); "removed what the health gate's stream left");
            } else {
                seen.insert(session, (state, since.unwrap_or(now)));
            }
        }
        self.0 = seen;
        Ok(())
    }
}

/// Whether the last line of every index says so; indexes of a few minutes are read whole.
fn has_ended(session: &Path) -> io::Result<bool> {
    let mut renditions = 0;
    for item in fs::read_dir(session)? {
        let item = item?;
        if !item.metadata()?.is_dir() {
            continue;
        }
        renditions += 1;
        let index = match fs::read(item.path().join(layout::INDEX)) {
            Ok(index) => index,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let last = index.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        if !matches!(Entry::parse(last), Ok(Entry::End { .. })) {
            return Ok(false);
        }
    }
    Ok(renditions > 0)
}

fn sessions(channel: &Path) -> io::Result<Vec<PathBuf>> {
    let items = match fs::read_dir(channel) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for item in items {
        let item = item?;
        // Only what a worker can have made.
        if item.file_name().to_str().is_some_and(|name| name.parse::<SessionId>().is_ok()) {
            found.push(item.path());
        }
    }
    Ok(found)
}

fn state(directory: &Path) -> io::Result<State> {
    let mut all = (0, 0, (0, 0));
    for item in fs::read_dir(directory)? {
        let item = item?;
        let metadata = item.metadata()?;
        let (files, bytes, changed) =
            if metadata.is_dir() { state(&item.path())? } else { (1, metadata.len(), (0, 0)) };
        all.0 += files;
        all.1 += bytes;
        all.2 = all.2.max(changed).max((metadata.mtime(), metadata.mtime_nsec()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "{\"t\":\"end\",\"reason\":\"eof\"}\n";

    #[test]
    fn what_is_over_goes_and_what_is_still_written_stays() {
        let spool = tempfile::tempdir().unwrap();
        let mut leftovers = Leftovers::default();
        let start = Instant::now();
        leftovers.clean(spool.path(), start).unwrap();
        let session = |channel: &str, ms, index: &str| {
            let path = spool.path().join(channel).join(SessionId::new(ms, 0).to_string());
            for rendition in ["360p", "audio"] {
                fs::create_dir_all(path.join(rendition)).unwrap();
                fs::write(path.join(rendition).join("index"), index).unwrap();
            }
            fs::write(path.join("session.json"), "{}").unwrap();
            path
        };
        let over = session("self-test", 1, END);
        let live = session("self-test", 2, "{}\n");
        let streamer = session("nodi", 3, END);
        fs::create_dir(spool.path().join("self-test/notes")).unwrap();
        leftovers.clean(spool.path(), start).unwrap();
        assert!(over.exists() && live.exists(), "seen for the first time");
        leftovers.clean(spool.path(), start + DEAD / 2).unwrap();
        assert!(!over.exists() && live.exists());
        // One rendition ended, the other has just got something.
        fs::write(live.join("audio/index"), END).unwrap();
        leftovers.clean(spool.path(), start + DEAD).unwrap();
        leftovers.clean(spool.path(), start + DEAD + DEAD / 2).unwrap();
        assert!(live.exists());
        leftovers.clean(spool.path(), start + DEAD * 2).unwrap();
        assert!(!live.exists() && streamer.exists() && spool.path().join("self-test/notes").exists());
    }
}
