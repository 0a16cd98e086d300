//! Which object a public path names. Paths have one spelling each: no escapes, no extra slashes, no leading
//! zeros; whatever else is nothing, so that a cache holds every object once.

use nodi_protocol::SessionId;
use nodi_protocol::hls::uri;

use crate::channel::Position;
use crate::push::number;

#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Health,
    Multivariant {
        channel: &'a str,
    },
    Playlist {
        channel: &'a str,
        rendition: &'a str,
    },
    Status {
        channel: &'a str,
    },
    Thumbnail {
        channel: &'a str,
    },
    Object {
        channel: &'a str,
        session: SessionId,
        rendition: &'a str,
        object: Object,
    },
    /// Something of the watch site.
    Page(Page),
    Nothing,
}

/// The site's pages are one document, which finds out from its address what to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A page of the site.
    Document,
    /// No page, but an address that somebody may have typed: the document says so.
    Missing,
    /// What the document loads.
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Init(u32),
    Segment(u64),
    Part(u64, u64),
}

#[must_use]
pub fn target(path: &str) -> Target<'_> {
    if let Some(rest) = path.strip_prefix("/live/") {
        return live(rest).unwrap_or(Target::Nothing);
    }
    match path {
        "/healthz" => Target::Health,
        _ => Target::Page(page(path)),
    }
}

/// First segments of what others serve on the same host, or of files: programs ask for these, and read no page.
const NO_PAGES: [&str; 5] = ["assets", "chat", "emotes", "live", "site"];

fn page(path: &str) -> Page {
    let Some(rest) = path.strip_prefix('/') else { return Page::File };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut segments = rest.split('/');
    let first = segments.next().unwrap_or("");
    match (first, segments.next(), segments.next()) {
        ("", None, None) if path == "/" => Page::Document,
        ("following" | "account" | "studio", None, None) => Page::Document,
        ("watch" | "studio", Some(channel), None) if is_word(channel) => Page::Document,
        _ if !NO_PAGES.contains(&first) && rest.split('/').all(is_word) => Page::Missing,
        _ => Page::File,
    }
}

/// What stands between slashes in an address that people read: no file's name, nothing escaped.
fn is_word(segment: &str) -> bool {
    !segment.is_empty()
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn live(rest: &str) -> Option<Target<'_>> {
    let mut segments = rest.split('/');
    let channel = segments.next()?;
    let (first, second, third) = (segments.next()?, segments.next(), segments.next());
    if segments.next().is_some() {
        return None;
    }
    match (second, third) {
        (None, None) => file(channel, first),
        (Some(rendition), Some(name)) => {
            let session = first.parse().ok()?;
            Some(Target::Object { channel, session, rendition, object: object(name)? })
        }
        _ => None,
    }
}

fn file<'a>(channel: &'a str, name: &'a str) -> Option<Target<'a>> {
    match name {
        uri::MULTIVARIANT => Some(Target::Multivariant { channel }),
        uri::STATUS => Some(Target::Status { channel }),
        uri::THUMBNAIL => Some(Target::Thumbnail { channel }),
        _ => Some(Target::Playlist { channel, rendition: name.strip_suffix(".m3u8")? }),
    }
}

fn object(name: &str) -> Option<Object> {
    if let Some(init) = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
        return Some(Object::Init(u32::try_from(number(init)?).ok()?));
    }
    let name = name.strip_suffix(".m4s")?;
    match name.split_once('.') {
        None => Some(Object::Segment(number(name)?)),
        Some((msn, part)) => Some(Object::Part(number(msn)?, number(part)?)),
    }
}

/// What a playlist request asks for besides the playlist (RFC 8216bis 6.2.5).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Directives {
    pub wait_for: Option<Position>,
    pub delta: bool,
}

/// Directives that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadDirective(pub &'static str);

/// Reads the query; parameters that are not ours belong to someone else and are left alone.
///
/// # Errors
/// Which directive is bad.
pub fn directives(query: &str) -> Result<Directives, BadDirective> {
    let (mut msn, mut part, mut delta) = (None, None, false);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "_HLS_msn" => msn = Some(number(value).ok_or(BadDirective("_HLS_msn is not a number"))?),
            "_HLS_part" => part = Some(number(value).ok_or(BadDirective("_HLS_part is not a number"))?),
            "_HLS_skip" => match value {
                "YES" | "v2" => delta = true,
                _ => return Err(BadDirective("_HLS_skip is neither YES nor v2")),
            },
            _ => {}
        }
    }
    match (msn, part) {
        (None, Some(_)) => Err(BadDirective("_HLS_part needs _HLS_msn")),
        (None, None) => Ok(Directives { wait_for: None, delta }),
        (Some(msn), part) => Ok(Directives { wait_for: Some(Position { msn, part }), delta }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects() {
        let session = SessionId::new(7, 7);
        let object = |name| {
            let path = format!("/live/nodi/{session}/720p/{name}");
            match target(&path) {
                Target::Object { channel: "nodi", session: found, rendition: "720p", object } => {
                    assert_eq!(found, session);
                    Some(object)
                }
                _ => None,
            }
        };
        assert_eq!(object("init-3.mp4"), Some(Object::Init(3)));
        assert_eq!(object("12.m4s"), Some(Object::Segment(12)));
        assert_eq!(object("12.0.m4s"), Some(Object::Part(12, 0)));
        for bad in ["012.m4s", "12.00.m4s", "init-.mp4", "init-0.m4s", "12.m4s/", ".m4s", "1.2.3.m4s", "../x"]
        {
            assert_eq!(object(bad), None, "{bad}");
        }
        assert_eq!(target("/live/a/index.m3u8"), Target::Multivariant { channel: "a" });
        assert_eq!(target("/live/a/audio.m3u8"), Target::Playlist { channel: "a", rendition: "audio" });
        for nothing in ["/live/", "/live/a", "/live//a//b", "/live/a/b/c", "/live/a/../b.m3u", "/live/a/x"] {
            assert_eq!(target(nothing), Target::Nothing, "{nothing}");
        }
    }

    #[test]
    fn the_sites_pages_are_told_from_its_files() {
        for page in [
            "/",
            "/watch/a",
            "/watch/a/",
            "/watch/Room_1",
            "/following",
            "/account",
            "/account/",
            "/studio",
            "/studio/a-1",
        ] {
            assert_eq!(target(page), Target::Page(Page::Document), "{page}");
        }
        for missing in ["/watch", "/watch/a/b", "/studio/a/b/c", "/nowhere", "/following/a", "/index"] {
            assert_eq!(target(missing), Target::Page(Page::Missing), "{missing}");
        }
        for file in [
            "/assets/a.js",
            "/emotes/heart.svg",
            "/emotes/heart",
            "/logo.svg",
            "/theme.js",
            "/site/v1/live",
            "/chat/ws",
            "/live",
            "//",
            "/watch//a",
            "/watch/a%2Fb",
            "/watch/a.b",
            "*",
        ] {
            assert_eq!(target(file), Target::Page(Page::File), "{file}");
        }
    }

    #[test]
    fn queries_are_directives() {
        let position = |msn, part| Some(Position { msn, part });
        assert_eq!(directives(""), Ok(Directives::default()));
        assert_eq!(directives("token=x&_HLS_skip=v2"), Ok(Directives { wait_for: None, delta: true }));
        assert_eq!(
            directives("_HLS_msn=3&_HLS_part=0"),
            Ok(Directives { wait_for: position(3, Some(0)), delta: false })
        );
        for bad in ["_HLS_part=1", "_HLS_msn=", "_HLS_msn=-1", "_HLS_msn=1&_HLS_part=x", "_HLS_skip=NO"] {
            assert!(directives(bad).is_err(), "{bad}");
        }
    }
}
