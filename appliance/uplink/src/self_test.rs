//! The health gate's stream in the spool: nobody is sent anything of it, and what is left of it goes as soon as nothing is
//! written any more.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nodi_protocol::stream_key::SELF_TEST_CHANNEL;
use nodi_protocol::{ChannelId, SessionId};

/// Whether the channel is the gate's.
#[must_use]
pub(crate) fn is_channel(channel: &ChannelId) -> bool {
    channel.as_str() == SELF_TEST_CHANNEL
}

/// What was there at the last look. No clock is asked: it may be set while a box is tried.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(HashMap<PathBuf, State>);

/// Files, their bytes, and the newest time that any of them was changed.
type State = (u64, u64, (i64, i64));

impl Leftovers {
    /// Removes the sessions to which nothing happened since the last look; a worker writes several times a second.
    pub(crate) fn clean(&mut self, spool: &Path) -> io::Result<()> {
        let mut seen = HashMap::new();
        for session in sessions(&spool.join(SELF_TEST_CHANNEL))? {
            let state = state(&session)?;
            if self.0.get(&session) == Some(&state) {
                fs::remove_dir_all(&session)?;
                log::info!(path:% = session.display(); "removed what the health gate's stream left");
            } else {
                seen.insert(session, state);
            }
        }
        self.0 = seen;
        Ok(())
    }
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

    #[test]
    fn what_still_grows_stays_and_what_does_not_goes() {
        let spool = tempfile::tempdir().unwrap();
        let mut leftovers = Leftovers::default();
        leftovers.clean(spool.path()).unwrap();
        let session = |channel: &str, ms| {
            let path = spool.path().join(channel).join(SessionId::new(ms, 0).to_string());
            fs::create_dir_all(path.join("360p")).unwrap();
            fs::write(path.join("360p/index"), "1\n").unwrap();
            path
        };
        let (over, live, streamer) = (session("self-test", 1), session("self-test", 2), session("nodi", 3));
        fs::create_dir(spool.path().join("self-test/notes")).unwrap();
        leftovers.clean(spool.path()).unwrap();
        assert!(over.exists() && live.exists(), "seen for the first time");
        fs::write(live.join("360p/index"), "1\n2\n").unwrap();
        leftovers.clean(spool.path()).unwrap();
        assert!(!over.exists() && live.exists());
        leftovers.clean(spool.path()).unwrap();
        assert!(!live.exists() && streamer.exists() && spool.path().join("self-test/notes").exists());
    }
}
