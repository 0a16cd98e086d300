//! What a text looks like: letters that look alike become one (UTS 39 section 4, and what chat adds to it: digits and
//! signs for letters, small capitals, letters in boxes and flags), whatever is drawn over them is gone, and repetition
//! is counted.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategoryGroup as Group, UnicodeGeneralCategory as _};
use unicode_security::confusable_detection::skeleton;

/// Runs that are kept of one text. A compatibility character can stand for eighteen letters; no honest message folds
/// to more than this.
const MAX_RUNS: usize = 2_048;
/// Shortest stem of a name by which names are compared, in letters: shorter ones are everybody's.
const MIN_STEM: usize = 5;

/// What stands before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    None,
    /// Something that is neither letter nor white space.
    Sign,
    Space,
}

/// One letter, as often as it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub letter: char,
    pub count: u32,
    pub gap: Gap,
    /// It was written as a letter, not as a digit or sign that looks like one.
    pub written: bool,
}

/// How digits and signs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Digits are digits.
    Digits,
    /// Digits are the letters that they look like.
    Letters,
    /// Signs too, where they touch a letter: `b@d`, `$pam`.
    Signs,
}

/// Whether reading signs as letters could make a difference.
#[must_use]
pub fn has_signs(text: &str) -> bool {
    text.contains(['@', '$', '!', '|', '+', '€', '£', '¢'])
}

/// Folds a text.
#[must_use]
pub fn fold(text: &str, reading: Reading) -> Vec<Run> {
    let mut folder = Folder { runs: Vec::with_capacity(text.len()), gap: Gap::None };
    let mut chars = text.nfkd().filter(|char| !is_drawn_over(*char)).peekable();
    let mut before = false;
    while let Some(char) = chars.next() {
        if folder.runs.len() >= MAX_RUNS {
            break;
        }
        let touches = before || chars.peek().is_some_and(|next| next.is_alphanumeric());
        before = char.is_alphanumeric();
        if char.is_ascii() || matches!(char, '€' | '£' | '¢') {
            folder.basic(char.to_ascii_lowercase(), reading, touches);
        } else if let Some(letter) = boxed(char).or_else(|| small_capital(char)) {
            before = true;
            folder.basic(letter, reading, true);
        } else {
            let mut buffer = [0; 4];
            let lower: String =
                skeleton(char.encode_utf8(&mut buffer)).flat_map(char::to_lowercase).collect();
            for like in skeleton(&lower).filter(|char| !is_drawn_over(*char)).flat_map(char::to_lowercase) {
                if like.is_ascii_alphabetic() {
                    folder.basic(like, reading, touches);
                } else {
                    folder.other(like, char);
                }
            }
        }
    }
    folder.runs
}

struct Folder {
    runs: Vec<Run>,
    gap: Gap,
}

impl Folder {
    fn push(&mut self, letter: char, written: bool) {
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        match self.runs.last_mut() {
            Some(last) if last.letter == letter && gap == Gap::None => {
                last.count = last.count.saturating_add(1);
                last.written &= written;
            }
            last => {
                // The start of the text is as good as a space.
                let gap = if last.is_none() { Gap::Space } else { gap };
                self.runs.push(Run { letter, count: 1, gap, written });
            }
        }
    }

    fn separate(&mut self, gap: Gap) {
        if gap == Gap::Space || self.gap == Gap::None {
            self.gap = gap;
        }
    }

    /// ASCII, and the signs of currencies that pass for letters.
    fn basic(&mut self, char: char, reading: Reading, touches: bool) {
        if char.is_ascii_whitespace() {
            return self.separate(Gap::Space);
        }
        let digit = reading != Reading::Digits;
        let sign = reading == Reading::Signs && touches;
        match char {
            // Upper-case i, lower-case l and the digit are one stroke; so are i and l here.
            'i' if digit => self.push('l', true),
            'm' => {
                self.push('r', true);
                self.push('n', true);
            }
            'a'..='z' => self.push(char, true),
            '0' if digit => self.push('o', false),
            '1' if digit => self.push('l', false),
            '2' if digit => self.push('z', false),
            '3' if digit => self.push('e', false),
            '4' if digit => self.push('a', false),
            '5' if digit => self.push('s', false),
            '6' | '9' if digit => self.push('g', false),
            '7' if digit => self.push('t', false),
            '8' if digit => self.push('b', false),
            '0'..='9' => self.push(char, true),
            '@' if sign => self.push('a', false),
            '$' if sign => self.push('s', false),
            '!' | '|' | '£' if sign => self.push('l', false),
            '+' if sign => self.push('t', false),
            '€' if sign => self.push('e', false),
            '¢' if sign => self.push('c', false),
            _ => self.separate(Gap::Sign),
        }
    }

    /// `like` is what `char` looks like, and not ASCII letters.
    fn other(&mut self, like: char, char: char) {
        if like.is_alphanumeric() || char.is_alphanumeric() {
            self.push(like, true);
        } else if like.is_whitespace() {
            self.separate(Gap::Space);
        } else if matches!(like.general_category_group(), Group::Mark) {
            // A vowel sign of an Indic or Thai word.
            self.push(like, true);
        } else if like.general_category_group() != Group::Other {
            self.separate(Gap::Sign);
        }
    }
}

/// Marks that change how a letter looks but not which one it is, and what is not drawn at all.
fn is_drawn_over(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5c7}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}' | '\u{20d0}'..='\u{20ff}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}' | '\u{ad}')
}

/// Letters in circles, squares and flags that Unicode does not say are letters.
fn boxed(char: char) -> Option<char> {
    let first = [0x1f150, 0x1f170, 0x1f1e6]
        .into_iter()
        .find(|first| (*first..first + 26).contains(&u32::from(char)))?;
    char::from_u32(u32::from(char) - first + u32::from('a'))
}

fn small_capital(char: char) -> Option<char> {
    const SMALL: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ";
    const LETTERS: &str = "abcdefghijklmnopqrstuvwyz";
    SMALL.chars().zip(LETTERS.chars()).find(|(small, _)| *small == char).map(|(_, letter)| letter)
}

/// Two texts that read alike have the same: without case, look-alike letters, white space, punctuation and repetition.
#[must_use]
pub fn likeness(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let runs = fold(text, Reading::Digits);
    if runs.is_empty() {
        // Nothing but signs and emoji: these are what it says.
        text.hash(&mut hasher);
    }
    let mut last = None;
    for run in runs {
        if last != Some(run.letter) {
            run.letter.hash(&mut hasher);
        }
        last = Some(run.letter);
    }
    hasher.finish()
}

/// What a name looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameLikeness {
    /// The whole of it.
    pub whole: String,
    /// Without the digits and underscores at its end, if there is enough left: `spammer_2` is another `spammer`.
    pub stem: Option<String>,
}

impl NameLikeness {
    #[must_use]
    pub fn of(name: &str) -> Self {
        let letters = |text: &str| {
            let mut letters = String::with_capacity(text.len());
            for run in fold(text, Reading::Letters) {
                if !letters.ends_with(run.letter) {
                    letters.push(run.letter);
                }
            }
            letters
        };
        let sign = |char: char| matches!(char, '_' | '-' | '.');
        let stem =
            name.trim_start_matches(sign).trim_end_matches(|char: char| char.is_ascii_digit() || sign(char));
        let stem = Some(letters(stem)).filter(|stem| stem.chars().count() >= MIN_STEM);
        let whole = letters(name);
        // A name of nothing but signs looks like itself only.
        Self { whole: if whole.is_empty() { name.to_owned() } else { whole }, stem }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(text: &str, reading: Reading) -> String {
        fold(text, reading)
            .iter()
            .flat_map(|run| std::iter::repeat_n(run.letter, run.count as usize))
            .collect()
    }

    #[test]
    fn what_looks_alike_folds_alike() {
        let want = letters("Viagra", Reading::Letters);
        for text in [
            "viagra",
            "VIAGRA",
            "v1agra",
            "vl4gr4",
            "Ｖｉａｇｒａ",
            "vіаgrа",
            "𝓿𝓲𝓪𝓰𝓻𝓪",
            "v̷i̷a̷g̷r̷a̷",
            "ⓥⓘⓐⓖⓡⓐ",
            "🆅🅸🅰🅶🆁🅰",
            "🅥🅘🅐🅖🅡🅐",
            "🇻🇮🇦🇬🇷🇦",
            "ᴠɪᴀɢʀᴀ",
            "víàgrâ",
        ] {
            assert_eq!(letters(text, Reading::Letters), want, "{text}");
        }
        for text in ["v!@gr@", "v|agra"] {
            assert_eq!(letters(text, Reading::Signs), want, "{text}");
        }
        assert_eq!(letters("modern", Reading::Letters), letters("rnodem", Reading::Letters));
    }

    #[test]
    fn a_sign_is_a_letter_only_where_it_touches_one() {
        assert_eq!(letters("hi ! you", Reading::Signs), letters("hi you", Reading::Signs));
        assert_eq!(letters("hi!", Reading::Letters), "hl");
        assert_eq!(letters("2 + 2", Reading::Digits), "22");
    }

    #[test]
    fn runs_know_what_stands_before_them() {
        let runs = fold("aa b.c", Reading::Letters);
        let gaps: Vec<_> = runs.iter().map(|run| (run.letter, run.count, run.gap)).collect();
        assert_eq!(gaps, [('a', 2, Gap::Space), ('b', 1, Gap::Space), ('c', 1, Gap::Sign)]);
    }

    #[test]
    fn scripts_stay_apart() {
        assert_ne!(letters("กา", Reading::Letters), letters("กี", Reading::Letters));
        assert_ne!(letters("कि", Reading::Letters), letters("कु", Reading::Letters));
        assert!(!letters("日本語", Reading::Letters).is_empty());
    }

    #[test]
    fn a_repeated_message_is_known_again() {
        for (one, other) in
            [("Buy now!", "BUY NOW"), ("hello", "heeello..."), ("buy now", "b u y n o w"), ("😀", "😀")]
        {
            assert_eq!(likeness(one), likeness(other), "{one} {other}");
        }
        for (one, other) in [("buy now", "buy two"), ("😀", "😁"), ("room 1", "room 2")] {
            assert_ne!(likeness(one), likeness(other), "{one} {other}");
        }
    }

    #[test]
    fn names_that_imitate_are_known() {
        let of = NameLikeness::of;
        for name in ["SpamKing", "Sparnking", "5pamK1ng", "spam_king", "SPAMKLNG", "spaamking"] {
            assert_eq!(of(name).whole, of("spamking").whole, "{name}");
        }
        assert_eq!(of("spamking_2").stem, of("spamking99").stem);
        assert_eq!(of("spamking").stem.as_deref(), Some(of("spamking").whole.as_str()));
        assert_eq!(of("bob99").stem, None);
        assert_ne!(of("spamking").whole, of("kingspam").whole);
        assert_ne!(of("___").whole, of("____").whole);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in ".{0,200}") {
            for reading in [Reading::Digits, Reading::Letters, Reading::Signs] {
                let runs = fold(&text, reading);
                prop_assert!(runs.iter().all(|run| run.count > 0 && !run.letter.is_uppercase()));
            }
            let _ = (likeness(&text), NameLikeness::of(&text));
        }

        #[test]
        fn case_makes_no_difference(text in "[a-zA-Z ]{0,50}") {
            prop_assert_eq!(fold(&text, Reading::Letters), fold(&text.to_uppercase(), Reading::Letters));
        }
    }
}
