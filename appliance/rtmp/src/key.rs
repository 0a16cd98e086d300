//! Where an encoder may have put the stream key.
//!
//! People paste it into the field for keys, or at the end of the server's URL, with and without a query; encoders split
//! that URL into application and stream name in different ways.

/// More places than there are; bounds the work of who tries them all.
const MAX_CANDIDATES: usize = 16;
/// What encoders put before a name whose file they think of.
const PREFIXES: [&str; 3] = ["flv:", "mp4:", "live/"];

/// What may be the stream key, the likeliest first: the caller takes the first one that looks like a key at all.
///
/// `name` is the argument of `publish`; `app` and `tc_url` come from `connect`. May be empty. Never log what this returns.
#[must_use]
pub fn key_candidates<'a>(app: &'a str, tc_url: &'a str, name: &'a str) -> Vec<&'a str> {
    let mut candidates = Vec::new();
    let mut add = |text: &'a str| {
        let text = text.trim();
        if !text.is_empty() && !candidates.contains(&text) && candidates.len() < MAX_CANDIDATES {
            candidates.push(text);
        }
    };
    let (path, query) = split_query(name);
    for prefix in PREFIXES {
        if let Some(rest) = path.strip_prefix(prefix) {
            add(rest);
        }
    }
    add(path);
    path.rsplit('/').for_each(&mut add);
    // A key with a "?" in it is no key of ours, but it is what the publisher typed.
    add(name);
    query.into_iter().flat_map(values).for_each(&mut add);
    for url in [app, without_authority(tc_url)] {
        let (path, query) = split_query(url);
        path.rsplit('/').for_each(&mut add);
        query.into_iter().flat_map(values).for_each(&mut add);
    }
    candidates
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)))
}

/// Values of `key=…`, `token=…` and the like: which name people chose does not matter.
fn values(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value)
}

/// The path of a URL: host and port are nobody's key.
fn without_authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wherever_the_key_is_it_is_found() {
        for (app, tc_url, name) in [
            ("live", "rtmp://host/live", "KEY"),
            ("live", "rtmp://host/live", "KEY?token=1"),
            ("live", "rtmp://host/live", "flv:KEY"),
            ("live", "rtmp://host:1935/live", "/KEY/"),
            ("live", "rtmp://host/live", "?key=KEY"),
            ("live/KEY", "rtmp://host/live/KEY", ""),
            ("live/KEY/", "rtmp://host/live/KEY/", ""),
            ("live/KEY?a=b", "rtmp://host/live/KEY?a=b", ""),
            ("live/KEY", "rtmp://host/live/KEY", "stream"),
            ("KEY", "rtmp://host/KEY", ""),
            ("live?key=KEY", "rtmp://host/live?key=KEY", "x"),
            ("live", "rtmp://host/live/KEY", ""),
            ("", "rtmp://host", "live/KEY"),
        ] {
            let candidates = key_candidates(app, tc_url, name);
            assert!(candidates.contains(&"KEY"), "{app} {tc_url} {name}: {candidates:?}");
            assert!(!candidates.contains(&"host"), "{candidates:?}");
        }
    }

    #[test]
    fn the_plain_name_comes_first() {
        assert_eq!(key_candidates("live", "rtmp://host/live", "KEY"), ["KEY", "live"]);
        assert_eq!(key_candidates("", "", ""), [""; 0]);
    }

    #[test]
    fn a_thousand_slashes_make_no_thousand_candidates() {
        let name: String = (0..1000).map(|n| format!("{n}/")).collect();
        assert_eq!(key_candidates("live", "", &name).len(), MAX_CANDIDATES);
    }
}
