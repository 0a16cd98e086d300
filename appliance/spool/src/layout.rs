//! Names of the files under the spool's root.

use std::path::{Path, PathBuf};

use nodi_protocol::{ChannelId, RenditionName, SessionId};

/// Where the spool is on a box.
pub const DEFAULT_ROOT: &str = "/var/spool/nodi";
/// [`crate::SpoolSession`] as JSON.
pub const SESSION: &str = "session.json";
/// [`crate::WorkerStatus`] as JSON.
pub const STATUS: &str = "status.json";
pub const THUMBNAIL: &str = "thumbnail.jpg";
/// One [`crate::Entry`] a line.
pub const INDEX: &str = "index";
/// Ends the name of a file that is being written and gets its real name by rename.
pub const TEMPORARY: &str = ".new";

/// Which session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    pub channel: ChannelId,
    pub session: SessionId,
}

impl SessionKey {
    #[must_use]
    pub fn dir(&self, root: &Path) -> PathBuf {
        session_dir(root, &self.channel, self.session)
    }

    #[must_use]
    pub fn rendition(&self, rendition: RenditionName) -> RenditionKey {
        RenditionKey { channel: self.channel.clone(), session: self.session, rendition }
    }
}

/// Which rendition of which session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RenditionKey {
    pub channel: ChannelId,
    pub session: SessionId,
    pub rendition: RenditionName,
}

impl RenditionKey {
    #[must_use]
    pub fn dir(&self, root: &Path) -> PathBuf {
        rendition_dir(root, &self.channel, self.session, &self.rendition)
    }

    #[must_use]
    pub fn session(&self) -> SessionKey {
        SessionKey { channel: self.channel.clone(), session: self.session }
    }
}

#[must_use]
pub fn session_dir(root: &Path, channel: &ChannelId, session: SessionId) -> PathBuf {
    root.join(channel.as_str()).join(session.to_string())
}

#[must_use]
pub fn rendition_dir(
    root: &Path,
    channel: &ChannelId,
    session: SessionId,
    rendition: &RenditionName,
) -> PathBuf {
    session_dir(root, channel, session).join(rendition.as_str())
}

#[must_use]
pub fn init(number: u32) -> String {
    format!("init-{number}.mp4")
}

#[must_use]
pub fn segment(seq: u64) -> String {
    format!("{seq}.m4s")
}

/// The sequence number in a segment's file name; `None` for any other file.
#[must_use]
pub fn parse_segment(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".m4s")?;
    // One spelling only: no sign, no leading zeros.
    let seq = digits.parse::<u64>().ok()?;
    (seq.to_string() == digits).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_have_one_spelling() {
        assert_eq!(parse_segment(&segment(0)), Some(0));
        assert_eq!(parse_segment(&segment(u64::MAX)), Some(u64::MAX));
        for other in ["", ".m4s", "+1.m4s", "01.m4s", "1.m4s.new", "init-0.mp4", "18446744073709551616.m4s"] {
            assert_eq!(parse_segment(other), None, "{other}");
        }
    }
}
