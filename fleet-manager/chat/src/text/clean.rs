//! From what came over the wire to what may be shown.

use std::borrow::Cow;

use nodi_protocol::chat::{MAX_GRAPHEMES, MAX_TEXT_BYTES};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory as Category, UnicodeEmoji as _, UnicodeGeneralCategory as _};
use unicode_segmentation::UnicodeSegmentation as _;

use super::Wrong;

/// Marks above and below one letter. Vietnamese, Thai and pointed Hebrew need up to three; more are towers that cover
/// other people's lines.
const MAX_MARKS: usize = 4;
/// Spacing marks after one letter, as Indic scripts write vowels with.
const MAX_SPACING: usize = 6;
/// Taking something out can bring two together that are not allowed side by side. Two passes settle all texts that
/// are not made to test this; what has not settled after the last one is as clean, just not minimal.
const PASSES: usize = 4;

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const TAG_END: char = '\u{e007f}';
/// Longest name of a region in tag characters, `gbeng` and the end, of emoji flags.
const MAX_TAGS: usize = 7;

/// Makes a message of what somebody typed: NFC; white space of any kind is one space, and none at the ends; nothing
/// invisible, nothing that reorders its surroundings (bidirectional controls), no private or unassigned characters,
/// no towers of marks.
///
/// # Errors
/// When nothing is left, or it is too long.
pub fn clean(input: &str) -> Result<String, Wrong> {
    clean_within(input, MAX_GRAPHEMES)
}

/// The same with another greatest number of grapheme clusters.
///
/// # Errors
/// When nothing is left, or it is too long.
pub fn clean_within(input: &str, graphemes: usize) -> Result<String, Wrong> {
    if input.len() > MAX_TEXT_BYTES {
        return Err(Wrong::Bytes);
    }
    let text = if input.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        fold_spaces(input)
    } else {
        settle(input)
    };
    if text.is_empty() {
        return Err(Wrong::Empty);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(Wrong::Bytes);
    }
    if text.len() > graphemes && text.graphemes(true).nth(graphemes).is_some() {
        return Err(Wrong::Graphemes);
    }
    Ok(text)
}

fn fold_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn settle(input: &str) -> String {
    let mut text = Cow::Borrowed(input);
    for _ in 0..PASSES {
        let next = pass(&text);
        if next == text {
            return next;
        }
        text = Cow::Owned(next);
    }
    text.into_owned()
}

/// What becomes of a character among its neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Space,
    Drop,
}

fn pass(text: &str) -> String {
    let chars: Vec<char> = text.nfc().collect();
    let mut out = String::with_capacity(text.len());
    // The last one kept, and the last one kept that is no selector or skin tone: what a joiner joins to.
    let (mut last, mut base) = (None, None);
    let (mut marks, mut spacing) = (0, 0);
    let mut space = false;
    let mut tags = 0;
    for (at, &char) in chars.iter().enumerate() {
        if tags > 0 {
            // In a flag, the length of which is known.
            tags -= 1;
            out.push(char);
            last = Some(char);
            continue;
        }
        let fate = match char.general_category() {
            Category::NonspacingMark | Category::EnclosingMark if is_selector(char) => selector(char, last),
            Category::NonspacingMark | Category::EnclosingMark => {
                marks += 1;
                // Without a letter under it it would sit on whatever is drawn before the message.
                keep(marks <= MAX_MARKS && last.is_some() && !space && !is_invisible(char))
            }
            Category::SpacingMark => {
                spacing += 1;
                keep(spacing <= MAX_SPACING && last.is_some() && !space)
            }
            category => {
                let fate = of_its_own(char, category, base, chars.get(at + 1).copied());
                if fate != Fate::Drop && char != ZWJ && char != ZWNJ {
                    (marks, spacing) = (0, 0);
                }
                fate
            }
        };
        match fate {
            Fate::Drop => {}
            Fate::Space => {
                space = !out.is_empty();
                (last, base) = (last.map(|_| ' '), None);
            }
            Fate::Keep => {
                if std::mem::take(&mut space) {
                    out.push(' ');
                }
                out.push(char);
                last = Some(char);
                if !is_selector(char) && !is_skin_tone(char) {
                    base = Some(char);
                }
                if char == BLACK_FLAG {
                    tags = region(chars.get(at + 1..).unwrap_or_default());
                }
            }
        }
    }
    // What stood between a letter and its mark may be gone now.
    out.nfc().collect()
}

fn keep(yes: bool) -> Fate {
    if yes { Fate::Keep } else { Fate::Drop }
}

fn of_its_own(char: char, category: Category, base: Option<char>, next: Option<char>) -> Fate {
    if char.is_whitespace() || is_blank(char) {
        return Fate::Space;
    }
    match category {
        Category::Control | Category::Surrogate | Category::PrivateUse => Fate::Drop,
        // Emoji are assigned there faster than tables are updated.
        Category::Unassigned => keep(matches!(char, '\u{1f000}'..='\u{1faff}')),
        Category::Format => match char {
            ZWJ => keep(joins(base, next, |char| is_emoji(char) || is_joining(char))),
            ZWNJ => keep(joins(base, next, is_joining)),
            // Signs that enclose the number after them, and are seen.
            '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' => Fate::Keep,
            _ => Fate::Drop,
        },
        // Stands for an object that is not there.
        _ => keep(char != '\u{fffc}'),
    }
}

fn joins(before: Option<char>, after: Option<char>, of: impl Fn(char) -> bool) -> bool {
    before.is_some_and(&of) && after.is_some_and(&of)
}

/// A variation selector chooses between the two looks of an emoji, and otherwise only makes equal texts different.
fn selector(char: char, last: Option<char>) -> Fate {
    let emoji = |last: char| last.is_emoji_char() || matches!(last, '\u{1f000}'..='\u{1faff}');
    keep(matches!(char, '\u{fe0e}' | '\u{fe0f}') && last.is_some_and(emoji))
}

fn is_selector(char: char) -> bool {
    matches!(char, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

fn is_skin_tone(char: char) -> bool {
    matches!(char, '\u{1f3fb}'..='\u{1f3ff}')
}

pub(super) fn is_emoji(char: char) -> bool {
    !char.is_ascii() && (char.is_emoji_char() || matches!(char, '\u{1f000}'..='\u{1faff}'))
}

/// Marks that nobody sees.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{34f}' | '\u{17b4}' | '\u{17b5}')
}

/// Letters and symbols that are drawn as nothing.
fn is_blank(char: char) -> bool {
    matches!(char, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{1d159}')
}

/// Letters of scripts that need joiners to be written right: Arabic, Syriac, N'Ko, the Indic scripts, Myanmar, Khmer,
/// Mongolian.
fn is_joining(char: char) -> bool {
    matches!(char, '\u{620}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18aa}' | '\u{a840}'..='\u{a871}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

/// How many tag characters after a black flag make it a region's flag; 0 if they do not.
fn region(after: &[char]) -> usize {
    let length = after.iter().take(MAX_TAGS).position(|&char| char == TAG_END);
    match length {
        Some(length) if length > 0 => {
            let valid = after
                .iter()
                .take(length)
                .all(|char| matches!(char, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}'));
            if valid { length + 1 } else { 0 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in [
            "hello, world!",
            "Grüße aus Köln — 20 €",
            "Việt Nam đẹp lắm",
            "привет, как дела?",
            "שָׁלוֹם",
            "می‌خواهم",
            "नमस्ते, क्‍ष",
            "ภาษาไทยที่นี่",
            "日本語が分かりますか",
            "한국어",
            "👩‍👩‍👧‍👦 👍🏽 ❤️‍🔥 🏳️‍🌈 1️⃣ 🇩🇪",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿 goal",
            "x² ≠ y₃ ½ ™",
        ] {
            assert_eq!(clean(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn white_space_is_one_space_and_none_at_the_ends() {
        assert_eq!(clean("  a \t\r\n b\u{a0}\u{2003}c\u{3000}  ").unwrap(), "a b c");
        assert_eq!(clean("a\u{2028}b\u{85}c").unwrap(), "a b c");
        assert_eq!(clean("a\u{2800}\u{3164}b").unwrap(), "a b");
    }

    #[test]
    fn what_reorders_or_hides_is_gone() {
        assert_eq!(clean("abc\u{202e}def\u{202c}\u{2066}g\u{2069}\u{200f}\u{61c}").unwrap(), "abcdefg");
        assert_eq!(clean("b\u{200b}a\u{200d}d\u{feff} w\u{ad}o\u{2060}r\u{200c}d").unwrap(), "bad word");
        assert_eq!(clean("a\u{0}b\u{7}c\u{1b}[31m").unwrap(), "abc[31m");
        assert_eq!(clean("a\u{e000}b\u{fffc}c\u{f0000}\u{fdd0}").unwrap(), "abc");
        assert_eq!(clean("a\u{fe0f}b\u{e0100}c\u{34f}").unwrap(), "abc");
        // Hidden text in tag characters.
        assert_eq!(clean("hi\u{e0068}\u{e0069}").unwrap(), "hi");
        assert_eq!(clean("🏴\u{e0068}\u{e0069}").unwrap(), "🏴");
    }

    #[test]
    fn equal_texts_are_equal() {
        assert_eq!(clean("e\u{301}"), clean("é"));
        assert_eq!(clean("e\u{200b}\u{301}").unwrap(), "é");
    }

    #[test]
    fn towers_are_cut() {
        let tower = format!("h{}i", "\u{31a}\u{320}".repeat(100));
        let cleaned = clean(&tower).unwrap();
        assert_eq!(cleaned.chars().count(), 2 + MAX_MARKS);
        // A joiner does not start a new tower, and a mark needs a letter.
        let joined = format!("ن{}ن", "\u{64b}\u{200d}".repeat(50));
        assert!(clean(&joined).unwrap().chars().filter(|char| *char == '\u{64b}').count() <= MAX_MARKS);
        assert_eq!(clean("\u{301}\u{302}a \u{301}b").unwrap(), "a b");
        assert_eq!(clean("\u{301}"), Err(Wrong::Empty));
    }

    #[test]
    fn length_is_counted_as_people_count() {
        assert!(clean(&"a".repeat(500)).is_ok());
        assert_eq!(clean(&"a".repeat(501)), Err(Wrong::Graphemes));
        assert!(clean(&"👍🏽".repeat(500)).is_ok());
        assert_eq!(clean(&"👍🏽".repeat(501)), Err(Wrong::Graphemes));
        assert_eq!(clean(&"👩‍👩‍👧‍👦".repeat(200)), Err(Wrong::Bytes));
        assert!(clean(&format!("{}{}", " ".repeat(1_000), "a".repeat(500))).is_ok());
        for empty in ["", " ", "\u{200b}\u{2800}\n", "\u{202e}"] {
            assert_eq!(clean(empty), Err(Wrong::Empty), "{empty:?}");
        }
    }

    /// Characters that matter to the rules more often than chance brings them together.
    fn nasty() -> impl Strategy<Value = String> {
        let chars = prop::sample::select(vec![
            'a',
            'e',
            ' ',
            '\n',
            '\u{0}',
            '\u{300}',
            '\u{301}',
            '\u{327}',
            '\u{34f}',
            '\u{64b}',
            'ن',
            ZWJ,
            ZWNJ,
            '\u{202e}',
            '\u{2066}',
            '👩',
            '\u{1f3fd}',
            '\u{fe0f}',
            '\u{fe0e}',
            BLACK_FLAG,
            '\u{e0067}',
            TAG_END,
            '1',
            '\u{20e3}',
            '\u{1100}',
            '\u{1161}',
            '\u{11a8}',
            '\u{200b}',
            'क',
            '\u{94d}',
            '\u{93f}',
            '\u{2800}',
            '\u{e000}',
            '\u{fdfa}',
            '\u{1d15e}',
            'ſ',
            '\u{17b4}',
            '\u{e0100}',
        ]);
        prop::collection::vec(chars, 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    fn check(input: &str) -> Result<(), TestCaseError> {
        let Ok(text) = clean(input) else { return Ok(()) };
        prop_assert!(text.len() <= MAX_TEXT_BYTES);
        prop_assert!(text.graphemes(true).count() <= MAX_GRAPHEMES);
        prop_assert_eq!(&text.nfc().collect::<String>(), &text);
        prop_assert_eq!(text.trim(), text.as_str());
        prop_assert!(!text.contains("  "));
        let hides = |char: char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}');
        let hidden = text.chars().any(|char| char.is_control() || hides(char));
        prop_assert!(!hidden);
        prop_assert_eq!(clean(&text), Ok(text), "cleaning twice");
        Ok(())
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(input in ".{0,300}") {
            check(&input)?;
        }

        #[test]
        fn nothing_made_to_break_it_does(input in nasty()) {
            check(&input)?;
        }
    }
}
