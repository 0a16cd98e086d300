//! What streamers write for everybody to read: cleaned of what plays tricks with a page, and bounded as people count.

use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::error::Error;

/// Longest title, in grapheme clusters (UAX 29): it stands on one line of a card.
pub const MAX_TITLE: usize = 140;
/// Longest description, in grapheme clusters.
pub const MAX_DESCRIPTION: usize = 1_000;
/// Bytes for each grapheme cluster: a flag or a family of emoji needs up to 35, text 1 to 4. What needs more on average
/// is no text, but marks piled up.
const BYTES_EACH: usize = 8;

/// A title: one line.
///
/// # Errors
/// When it is too long.
pub fn title(text: &str) -> Result<String, Error> {
    let words = clean(text, false).split_whitespace().collect::<Vec<_>>().join(" ");
    bounded("title", words, MAX_TITLE)
}

/// A description: several lines.
///
/// # Errors
/// When it is too long.
pub fn description(text: &str) -> Result<String, Error> {
    let mut lines: Vec<String> = Vec::new();
    for line in clean(text, true).lines() {
        let line = line.trim_end();
        // Paragraphs, not screens of nothing.
        if line.is_empty() && lines.last().is_none_or(String::is_empty) {
            continue;
        }
        lines.push(line.to_owned());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    bounded("description", lines.join("\n"), MAX_DESCRIPTION)
}

fn bounded(field: &str, text: String, most: usize) -> Result<String, Error> {
    if text.len() > most * BYTES_EACH || text.graphemes(true).count() > most {
        return Err(Error::invalid(field, format!("must not be longer than {most} characters")));
    }
    Ok(text)
}

/// In NFC, without control characters and without what turns or hides text.
fn clean(text: &str, several_lines: bool) -> String {
    text.replace("\r\n", "\n")
        .nfc()
        .filter_map(|letter| match letter {
            '\n' if several_lines => Some('\n'),
            '\n' | '\r' | '\t' => Some(' '),
            _ if is_trick(letter) => None,
            _ => Some(letter),
        })
        .collect()
}

/// Characters that are not seen and change what is: controls, directions, spaces of no width. The joiners between emoji
/// and in Indic and Persian words are none.
fn is_trick(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}'
            | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e001f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_plays_tricks_is_taken_out() {
        assert_eq!(title("  a\u{202e}b\n\tc\u{0}  ").unwrap(), "ab c");
        assert_eq!(title("e\u{301}").unwrap(), "\u{e9}");
        assert_eq!(title("\u{200b}\u{feff}").unwrap(), "");
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(title(family).unwrap(), family);
        assert_eq!(description("\n\none\r\n\n\n\ntwo  \n\n").unwrap(), "one\n\ntwo");
    }

    #[test]
    fn length_is_as_people_count() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert!(title(&family.repeat(50)).is_ok());
        assert!(title(&"\u{fc}".repeat(MAX_TITLE)).is_ok());
        assert!(title(&"u".repeat(MAX_TITLE + 1)).is_err());
        let piled_up = format!("a{}", "\u{301}".repeat(2_000));
        assert!(title(&piled_up).is_err(), "one character of four kilobytes");
    }

    proptest! {
        #[test]
        fn what_is_clean_stays_as_it_is(text in ".{0,200}") {
            if let Ok(once) = title(&text) {
                prop_assert_eq!(title(&once).unwrap(), once);
            }
            if let Ok(once) = description(&text) {
                prop_assert_eq!(description(&once).unwrap(), once);
            }
        }
    }
}
