//! Finds in a clean text what is more than text: emotes, mentions, links.

use nodi_protocol::chat::event::{Mark, Marked as What};

use super::clean::is_emoji;
use super::link;

/// Marks in one message. Each carries an address of an image or a page, and the whole goes to everybody in the room;
/// what is beyond stays text.
pub const MAX_MARKS: usize = 64;
/// Longest name of an emote or a person, in bytes.
const MAX_NAME: usize = 32;

/// A text with its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// As it came, but hosts of links that look like others are written in ASCII.
    pub text: String,
    /// In order, without overlaps.
    pub marks: Vec<Mark>,
    /// Something in it leads somewhere, whether or not it is marked as a link.
    pub links: bool,
    /// It is nothing but emotes and emoji.
    pub only_emotes: bool,
}

/// Marks `text`, which is clean. `emote` gives the address of an emote's image by its name, `person` the id of an
/// account by its name.
#[must_use]
pub fn mark(
    text: &str,
    emote: impl Fn(&str) -> Option<String>,
    person: impl Fn(&str) -> Option<String>,
) -> Marked {
    let mut maker = Maker {
        emote,
        person,
        out: String::with_capacity(text.len()),
        units: 0,
        marks: Vec::new(),
        links: false,
        only_emotes: !text.is_empty(),
    };
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            maker.push(" ");
        }
        maker.word(word);
    }
    Marked { text: maker.out, marks: maker.marks, links: maker.links, only_emotes: maker.only_emotes }
}

struct Maker<E, P> {
    emote: E,
    person: P,
    out: String,
    /// UTF-16 code units in `out`.
    units: u32,
    marks: Vec<Mark>,
    links: bool,
    only_emotes: bool,
}

impl<E: Fn(&str) -> Option<String>, P: Fn(&str) -> Option<String>> Maker<E, P> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.units = self.units.saturating_add(units(text));
    }

    fn push_marked(&mut self, text: &str, what: What) {
        if self.marks.len() < MAX_MARKS {
            self.marks.push(Mark { from: self.units, len: units(text), what });
        }
        self.push(text);
    }

    fn word(&mut self, word: &str) {
        self.links |= link::looks_like_link(word);
        let Some((before, rest)) = link::begins_at(word).and_then(|at| word.split_at_checked(at)) else {
            return self.plain(word);
        };
        self.links = true;
        self.plain(before);
        let (written, after) = rest.split_at_checked(link::length(rest)).unwrap_or((rest, ""));
        self.only_emotes = false;
        match link::link(written) {
            Some(link) => self.push_marked(&link.shown, What::Link { url: link.url }),
            None => self.push(written),
        }
        self.plain(after);
    }

    /// A stretch without links and spaces.
    fn plain(&mut self, mut text: &str) {
        let mut before = None;
        while let Some(char) = text.chars().next() {
            let found = match char {
                ':' => self.emote_at(text),
                '@' if !before.is_some_and(char::is_alphanumeric) => self.mention_at(text),
                _ => None,
            };
            let (taken, rest) = match &found {
                Some((length, _)) => text.split_at_checked(*length),
                None => text.split_at_checked(char.len_utf8()),
            }
            .unwrap_or((text, ""));
            match found {
                Some((_, what)) => {
                    self.only_emotes &= matches!(what, What::Emote { .. });
                    self.push_marked(taken, what);
                }
                None => {
                    self.only_emotes &= is_emoji(char) || is_part_of_emoji(char);
                    self.push(taken);
                }
            }
            before = taken.chars().next_back();
            text = rest;
        }
    }

    /// `:name:` at the start of `text`: its length in bytes.
    fn emote_at(&self, text: &str) -> Option<(usize, What)> {
        let inner = text.get(1..)?;
        let length =
            inner.bytes().take(MAX_NAME + 1).position(|byte| byte == b':').filter(|length| *length > 0)?;
        let name = inner.get(..length)?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return None;
        }
        let url = (self.emote)(name)?;
        Some((length + 2, What::Emote { name: name.to_owned(), url }))
    }

    /// `@name` at the start of `text`, of somebody who is known: its length in bytes.
    fn mention_at(&self, text: &str) -> Option<(usize, What)> {
        let inner = text.get(1..)?;
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let length = inner
            .bytes()
            .take(MAX_NAME + 1)
            .position(|byte| !in_name(byte))
            .unwrap_or(inner.len().min(MAX_NAME));
        let mut name = inner.get(..length)?;
        loop {
            if name.is_empty() {
                return None;
            }
            if let Some(user) = (self.person)(name) {
                return Some((name.len() + 1, What::Mention { user }));
            }
            // `@bob.` and `@bob...`: the name may end before the punctuation.
            name = name.strip_suffix(['.', '-'])?;
        }
    }
}

fn units(text: &str) -> u32 {
    u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX)
}

/// Joiners, selectors, skin tones, the letters of flags.
fn is_part_of_emoji(char: char) -> bool {
    matches!(char, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(text: &str) -> Marked {
        mark(
            text,
            |name| (name == "wave" || name == "o7").then(|| format!("/e/{name}.webp")),
            |name| (name.eq_ignore_ascii_case("Bob") || name == "eve.x").then(|| name.to_lowercase()),
        )
    }

    /// What each mark covers.
    fn covered(marked: &Marked) -> Vec<String> {
        let units: Vec<u16> = marked.text.encode_utf16().collect();
        let part = |mark: &Mark| {
            String::from_utf16(&units[mark.from as usize..(mark.from + mark.len) as usize]).unwrap()
        };
        marked.marks.iter().map(part).collect()
    }

    #[test]
    fn emotes_mentions_and_links_are_found_where_browsers_count() {
        let found = marked("😀 hi @bob, :wave::o7: see (https://a.example/x).");
        assert_eq!(covered(&found), ["@bob", ":wave:", ":o7:", "https://a.example/x"]);
        assert_eq!(found.marks[0], Mark { from: 6, len: 4, what: What::Mention { user: "bob".into() } });
        assert_eq!(found.marks[1].what, What::Emote { name: "wave".into(), url: "/e/wave.webp".into() });
        assert!(found.links && !found.only_emotes);
    }

    #[test]
    fn what_only_looks_like_one_is_text() {
        for text in [":nobody:", "12:30:45", "::", ":wave", "mail@bob", "@nobody", "@", ":wa ve:", "a@bob.x"]
        {
            assert_eq!(marked(text).marks, [], "{text}");
        }
        assert_eq!(covered(&marked("@Bob: @eve.x... @bob-")), ["@Bob", "@eve.x", "@bob"]);
        assert_eq!(covered(&marked(":x:wave:")), [":wave:"]);
    }

    #[test]
    fn nothing_but_emotes_is_told() {
        for text in [":wave:", ":wave: :o7:", "😀", "👩‍👩‍👧‍👦 🇩🇪", ":wave:👍🏽"]
        {
            assert!(marked(text).only_emotes, "{text}");
        }
        for text in ["x :wave:", ":wave:!", ":nobody:", "@bob", "https://a.example", "1"] {
            assert!(!marked(text).only_emotes, "{text}");
        }
    }

    #[test]
    fn a_link_that_pretends_is_rewritten_and_the_marks_after_it_still_fit() {
        let found = marked("https://p\u{430}ypal.com :wave:");
        assert_eq!(found.text, "https://xn--pypal-4ve.com :wave:");
        assert_eq!(covered(&found), ["https://xn--pypal-4ve.com", ":wave:"]);
        let trick = marked("https://example.org@evil.example");
        assert!(trick.links && trick.marks.is_empty());
    }

    #[test]
    fn marks_are_bounded() {
        let found = marked(&":o7:".repeat(MAX_MARKS + 20));
        assert_eq!(found.marks.len(), MAX_MARKS);
        assert!(found.only_emotes);
    }

    proptest! {
        #[test]
        fn marks_are_in_order_and_within_the_text(text in "(\\PC{0,4}| |:wave:|@bob|https://|\\.|😀|[a-z]{1,5}){0,30}") {
            let found = marked(&text);
            let mut end = 0;
            for mark in &found.marks {
                prop_assert!(mark.from >= end && mark.len > 0);
                end = mark.from + mark.len;
            }
            prop_assert!(end <= units(&found.text));
            let _ = covered(&found);
        }
    }
}
