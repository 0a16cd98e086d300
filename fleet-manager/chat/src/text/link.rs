//! Links: which are safe to click, how they are shown, and what counts as one although it is not clickable.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::MixedScript as _;
use unicode_security::confusable_detection::skeleton;
use url::Url;

/// Longest address that becomes a link, in bytes: browsers and proxies take no longer ones.
const MAX_URL: usize = 2_048;
/// Ends of host names that count as a link without a path. Ends that are words, as in "do it.so", count with a path
/// only.
const BARE_ENDS: &[&str] = &[
    "com", "net", "org", "info", "biz", "io", "dev", "app", "gg", "tv", "xyz", "ru", "cn", "de", "fr", "nl",
    "pl", "br", "jp", "uk", "eu", "ua", "ca", "au", "co", "ly", "cc", "ws", "tk", "ml", "ga", "cf", "gq",
    "icu", "site", "online", "shop", "store", "stream", "bet", "casino", "porn", "sex", "xxx",
];

/// A safe link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What stands in the text: as it was written, unless its host was made to look like another one.
    pub shown: String,
    /// Where it leads, in ASCII.
    pub url: String,
}

/// Makes a link of `written`, which begins with `http://` or `https://`. `None`: it stays text, because it is none, or
/// because it wants to look like what it is not: a user name before the host, a backslash.
#[must_use]
pub fn link(written: &str) -> Option<Link> {
    if written.len() > MAX_URL || written.contains('\\') {
        return None;
    }
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| written.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    let rest = written.get(scheme.len()..)?;
    let (authority, tail) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let url = Url::parse(written).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    if url.as_str().len() > MAX_URL {
        return None;
    }
    let typed = without_port(authority);
    let shown = if typed.eq_ignore_ascii_case(host) || (is_fair(typed, host)) {
        written.to_owned()
    } else {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}{host}{port}{tail}")
    };
    Some(Link { shown, url: url.into() })
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

/// Whether an international host name, as it was typed, is what it looks like: each label is in one script and does
/// not look like Latin letters when it is none.
fn is_fair(typed: &str, host: &str) -> bool {
    let (unicode, valid) = idna::domain_to_unicode(host);
    valid.is_ok()
        && typed.to_lowercase() == unicode
        && unicode.split('.').all(|label| {
            label.is_ascii() || (label.is_single_script() && !skeleton(label).all(|char| char.is_ascii()))
        })
}

/// Where a link begins in a word: at its start, or after something that is no letter or digit.
pub(super) fn begins_at(word: &str) -> Option<usize> {
    let lower = word.to_ascii_lowercase();
    ["http://", "https://"]
        .into_iter()
        .filter_map(|scheme| lower.find(scheme))
        .filter(|at| {
            !word.get(..*at).and_then(|before| before.chars().next_back()).is_some_and(char::is_alphanumeric)
        })
        .min()
}

/// How much of `word`, which begins with a link, is the link: not the punctuation after it, and not a bracket that
/// was opened before it.
pub(super) fn length(word: &str) -> usize {
    let mut text = word;
    while let Some(last) = text.chars().next_back() {
        let cut = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | '*' | '…' | '»' | '”' | '’' | '>' | '}' => {
                true
            }
            ')' => text.matches(')').count() > text.matches('(').count(),
            ']' => text.matches(']').count() > text.matches('[').count(),
            _ => false,
        };
        if !cut {
            break;
        }
        text = text.get(..text.len() - last.len_utf8()).unwrap_or_default();
    }
    text.len()
}

/// Whether somebody who reads `word` could follow it somewhere: with a scheme, with `www.`, or a bare host name.
/// This is for refusing and holding links, so it takes more for a link than [`link`] does.
#[must_use]
pub fn looks_like_link(word: &str) -> bool {
    let word: Cow<'_, str> = if word.is_ascii() {
        Cow::Owned(word.to_ascii_lowercase())
    } else {
        // Full-width letters and the full stops of other scripts work in browsers.
        Cow::Owned(word.nfkc().collect::<String>().to_lowercase().replace(['。', '．', '｡'], "."))
    };
    if word.contains("://") {
        return true;
    }
    let word = word.trim_matches(|char: char| !char.is_alphanumeric() && char != '/');
    if word.starts_with("www.") && word.len() > 4 {
        return true;
    }
    let (host, path) = match word.split_once(['/', '?', '#']) {
        Some((host, _)) => (host, true),
        None => (word, false),
    };
    // An address with a user before it is for mail, and no less followed.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let (name, port) = (without_port(host), without_port(host).len() < host.len());
    let labels: Vec<&str> = name.split('.').collect();
    let (Some(end), 2..) = (labels.last(), labels.len()) else { return false };
    let is_label =
        |label: &&str| !label.is_empty() && label.chars().all(|char| char.is_alphanumeric() || char == '-');
    if !labels.iter().all(is_label) {
        return false;
    }
    let number = |label: &&str| label.parse::<u8>().is_ok();
    if labels.len() == 4 && labels.iter().all(number) {
        return path || port;
    }
    let is_end = end.chars().count() >= 2 && end.chars().all(char::is_alphabetic);
    BARE_ENDS.contains(end) || end.starts_with("xn--") || (is_end && (path || port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(written: &str) -> Option<String> {
        link(written).map(|link| link.shown)
    }

    #[test]
    fn an_ordinary_link_stays_as_it_was_written() {
        for written in [
            "https://example.org",
            "http://example.org:8080/a?b=c#d",
            "HTTPS://Example.org/Path",
            "https://192.0.2.1/x",
            "https://[2001:db8::1]:8443/",
            "https://bücher.example/",
            "https://пример.рф/путь",
            "https://例え.jp/",
        ] {
            assert_eq!(shown(written).as_deref(), Some(written));
        }
        assert_eq!(link("https://bücher.example/ü").unwrap().url, "https://xn--bcher-kva.example/%C3%BC");
    }

    #[test]
    fn a_host_that_looks_like_another_one_is_shown_as_it_is() {
        // Cyrillic а among Latin letters; all Cyrillic that looks Latin; dotless i.
        assert_eq!(shown("https://p\u{430}ypal.com/login").unwrap(), "https://xn--pypal-4ve.com/login");
        assert_eq!(
            shown("https://\u{430}\u{440}\u{440}\u{4cf}\u{435}.com").unwrap(),
            "https://xn--80ak6aa92e.com"
        );
        assert!(shown("https://m\u{131}crosoft.com:444/x").unwrap().starts_with("https://xn--"));
        assert!(shown("https://m\u{131}crosoft.com:444/x").unwrap().ends_with(".com:444/x"));
        // What a browser would make of it.
        assert_eq!(shown("https://0x7f.1/").unwrap(), "https://127.0.0.1/");
        assert_eq!(shown("https://%65vil.example/").unwrap(), "https://evil.example/");
        assert_eq!(shown("https://ｅｘａｍｐｌｅ.org/").unwrap(), "https://example.org/");
    }

    #[test]
    fn tricks_stay_text() {
        for written in [
            "https://example.org@evil.example/",
            "https://example.org:pass@evil.example/",
            "https://@evil.example/",
            "https://example.org\\@evil.example/",
            "https:///example.org",
            "https://",
            "https://exa mple.org",
            "javascript:alert(1)",
            "ftp://example.org",
            "data:text/html,x",
            "https:example.org",
        ] {
            assert_eq!(link(written), None, "{written}");
        }
        assert_eq!(link(&format!("https://example.org/{}", "a".repeat(MAX_URL))), None);
    }

    #[test]
    fn the_end_of_a_link_is_where_a_reader_sees_it() {
        for (word, part) in [
            ("https://a.example.", "https://a.example"),
            ("https://a.example/x),", "https://a.example/x"),
            ("https://a.example/x_(y)", "https://a.example/x_(y)"),
            ("https://a.example/x?y=1!?", "https://a.example/x?y=1"),
        ] {
            assert_eq!(&word[..length(word)], part);
        }
        assert_eq!(begins_at("(https://a.example)"), Some(1));
        assert_eq!(begins_at("xhttps://a.example"), None);
        assert_eq!(begins_at("see"), None);
    }

    #[test]
    fn more_counts_as_a_link_than_is_made_one() {
        for word in [
            "https://x.example",
            "ftp://x",
            "www.evil",
            "evil.com",
            "(evil.com)",
            "sub.evil.ru/x",
            "t.me/evil",
            "youtu.be/abc",
            "evil。com",
            "ｅｖｉｌ.com",
            "1.2.3.4/x",
            "1.2.3.4:80",
            "me@evil.com",
            "discord.gg/abc",
            "evil.com:8080",
        ] {
            assert!(looks_like_link(word), "{word}");
        }
        for word in [
            "hello",
            "hello.there",
            "ok.so",
            "1.2.3.4",
            "3.50",
            "v1.2",
            "...",
            "a.b",
            "and/or",
            "12:30",
            ":smile:",
            "@bob",
            "e.g.",
        ] {
            assert!(!looks_like_link(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(word in "\\PC{0,80}", host in "[a-zа-я0-9.%@:\\\\-]{0,20}") {
            let _ = looks_like_link(&word);
            prop_assert!(word.is_char_boundary(length(&word)));
            if let Some(at) = begins_at(&word) {
                prop_assert!(word.is_char_boundary(at));
            }
            for written in [word, format!("https://{host}/x")] {
                if let Some(link) = link(&written) {
                    prop_assert!(link.url.is_ascii());
                    prop_assert!(link.url.starts_with("http"));
                    // What is shown leads to the same place.
                    let again = Url::parse(&link.shown).unwrap();
                    prop_assert_eq!(again.as_str(), link.url.as_str());
                }
            }
        }
    }
}
