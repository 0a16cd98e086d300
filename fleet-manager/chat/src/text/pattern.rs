//! Blocked terms: found as a word, in whatever letters, spaced out or stretched, and not inside of other words.
//!
//! `bad` finds `BAD`, `b@d`, `bаd` with a Cyrillic letter, `b a d`, `b.a.d` and `baaaad`, but neither `badge` nor
//! `ba dog`. A term that begins or ends with `*` is open there: `bad*` finds `badge`. In scripts that do not put spaces
//! between words every term is open. What is joined over spaces has to look like it: pieces of one or two letters, so
//! that "my pen is red" says nothing but that. A term with a space in it finds both: `bad word` is also in `badword`.

use std::cell::OnceCell;

use super::fold::{Gap, Reading, Run, fold, has_signs};

/// Fewest letters in a term: one letter would be found everywhere.
const MIN_LETTERS: u32 = 2;

/// A term, ready to be looked for.
#[derive(Debug, Clone)]
pub struct Pattern {
    runs: Vec<Run>,
    open_start: bool,
    open_end: bool,
    /// It has letters: digits and signs in messages may stand for letters.
    letters: bool,
    mask: u128,
}

/// A message, ready to be looked through. Made once for all terms.
#[derive(Debug)]
pub struct Haystack<'a> {
    text: &'a str,
    digits: OnceCell<Letters>,
    letters: OnceCell<Letters>,
    signs: OnceCell<Option<Letters>>,
}

#[derive(Debug)]
struct Letters {
    runs: Vec<Run>,
    mask: u128,
}

impl Letters {
    fn read(text: &str, reading: Reading) -> Self {
        let runs = fold(text, reading);
        Self { mask: mask(&runs), runs }
    }
}

/// Which letters there are: what is not in it is not in the text. Most terms are not looked for any further.
fn mask(runs: &[Run]) -> u128 {
    runs.iter().fold(0, |mask, run| mask | 1 << (u32::from(run.letter) % u128::BITS))
}

impl<'a> Haystack<'a> {
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, digits: OnceCell::new(), letters: OnceCell::new(), signs: OnceCell::new() }
    }

    fn digits(&self) -> &Letters {
        self.digits.get_or_init(|| Letters::read(self.text, Reading::Digits))
    }

    fn letters(&self) -> &Letters {
        self.letters.get_or_init(|| Letters::read(self.text, Reading::Letters))
    }

    fn signs(&self) -> Option<&Letters> {
        let read = || has_signs(self.text).then(|| Letters::read(self.text, Reading::Signs));
        self.signs.get_or_init(read).as_ref()
    }
}

impl Pattern {
    /// `None`: too short to be looked for.
    #[must_use]
    pub fn new(term: &str) -> Option<Self> {
        let (core, open_start) =
            term.trim().strip_prefix('*').map_or((term.trim(), false), |core| (core, true));
        let (core, open_end) = core.strip_suffix('*').map_or((core, false), |core| (core, true));
        let letters = core.chars().any(char::is_alphabetic);
        let reading = match (letters, has_signs(core)) {
            (false, _) => Reading::Digits,
            (true, false) => Reading::Letters,
            (true, true) => Reading::Signs,
        };
        let runs = fold(core, reading);
        let count: u32 = runs.iter().map(|run| run.count).sum();
        let spaceless = |run: Option<&Run>| run.is_some_and(|run| is_spaceless(run.letter));
        // One sign of a script without an alphabet is a word.
        if count < MIN_LETTERS && !spaceless(runs.first()) {
            return None;
        }
        Some(Self {
            open_start: open_start || spaceless(runs.first()),
            open_end: open_end || spaceless(runs.last()),
            mask: mask(&runs),
            runs,
            letters,
        })
    }

    #[must_use]
    pub fn is_in(&self, haystack: &Haystack<'_>) -> bool {
        if self.letters {
            self.is_in_letters(haystack.letters())
                || haystack.signs().is_some_and(|letters| self.is_in_letters(letters))
        } else {
            self.is_in_letters(haystack.digits())
        }
    }

    fn is_in_letters(&self, text: &Letters) -> bool {
        self.mask & !text.mask == 0 && self.is_in_runs(&text.runs)
    }

    fn is_in_runs(&self, text: &[Run]) -> bool {
        let Some(first) = self.runs.first() else { return false };
        let mut before: Option<&Run> = None;
        for (at, run) in text.iter().enumerate() {
            if run.letter == first.letter
                && (self.open_start || is_border(before, run))
                && self.matches(text.get(at..).unwrap_or_default())
            {
                return true;
            }
            before = Some(run);
        }
        false
    }

    /// Whether `text` begins with the term.
    fn matches(&self, text: &[Run]) -> bool {
        let mut rest = text.iter().peekable();
        let mut pieces = Pieces::default();
        let (mut stretched, mut last) = (0, None);
        for (at, want) in self.runs.iter().enumerate() {
            let Some(run) = rest.next_if(|run| run.letter == want.letter) else { return false };
            if at > 0 && run.gap != Gap::None {
                if want.gap == Gap::None {
                    pieces.cut(run.gap);
                } else if !std::mem::take(&mut pieces).look_joined() {
                    // The term itself has a space here.
                    return false;
                }
            }
            pieces.add(run);
            let mut count = run.count;
            last = Some(run);
            // The end of one word and the start of the next may share the letter: `as s`.
            while !fits(count, want.count) {
                let Some(more) = rest.next_if(|more| more.letter == want.letter && more.gap != Gap::None)
                else {
                    return false;
                };
                pieces.cut(more.gap);
                pieces.add(more);
                count = count.saturating_add(more.count);
                last = Some(more);
            }
            stretched += u32::from(count == 2 && want.count == 1);
        }
        let ends = self.open_end || rest.peek().is_none_or(|next| is_border(last, next));
        // One doubled letter makes another word of it (`bot`, `boot`); two are meant.
        ends && stretched != 1 && pieces.look_joined()
    }
}

/// Whether a letter that is repeated `count` times can stand for `want` of them.
fn fits(count: u32, want: u32) -> bool {
    count == want || (count >= 3 && count > want) || (count == 2 && want == 1)
}

/// Whether a word ends between the two: there is something, or one is a letter and the other only looks like one.
fn is_border(before: Option<&Run>, after: &Run) -> bool {
    before.is_none_or(|before| after.gap != Gap::None || before.written != after.written)
}

fn is_spaceless(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// The pieces that a stretch of the term is found in.
#[derive(Default)]
struct Pieces {
    /// Letters in the present piece.
    present: u32,
    letters: u32,
    cuts: u32,
    /// A piece is one letter that is no word.
    lone: bool,
    /// At least one of the cuts is a space.
    space: bool,
    last: Option<char>,
}

impl Pieces {
    fn add(&mut self, run: &Run) {
        // An m is folded to r and n, and is one letter for all that.
        let count =
            run.count - u32::from(run.letter == 'n' && self.last == Some('r') && run.gap == Gap::None);
        self.present += count;
        self.letters += count;
        self.last = Some(run.letter);
    }

    fn cut(&mut self, gap: Gap) {
        self.end_piece();
        self.cuts += 1;
        self.space |= gap == Gap::Space;
    }

    fn end_piece(&mut self) {
        let word = matches!(self.last, Some('a' | 'e' | 'i' | 'l' | 'o' | 'u' | 'y'));
        self.lone |= self.present == 1 && !word;
        self.present = 0;
    }

    /// Whether the pieces are one word that was taken apart.
    fn look_joined(mut self) -> bool {
        self.end_piece();
        let short = self.letters <= 2 * (self.cuts + 1);
        match self.cuts {
            0 => true,
            _ if !self.space => true,
            1 => self.lone || short,
            _ => short,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(term: &str, text: &str) -> bool {
        Pattern::new(term).unwrap().is_in(&Haystack::new(text))
    }

    #[test]
    fn a_term_is_found_however_it_is_spelt() {
        for text in [
            "badword",
            "BadWord!",
            "say badword now",
            "b4dw0rd",
            "b@dword",
            "bаdwоrd",
            "b a d w o r d",
            "b.a.d.w.o.r.d",
            "bad-word",
            "bad_word",
            "b  a  d w-o-r-d",
            "baaadwooord",
            "bbaaddword",
            "ｂａｄｗｏｒｄ",
            "𝐛𝐚𝐝𝐰𝐨𝐫𝐝",
            "ba dw or d",
            "b adword",
            "(badword)",
            "@badword",
            "badword123",
            "xx_badword_xx",
            "b\u{336}a\u{336}d\u{336}w\u{336}o\u{336}r\u{336}d\u{336}",
            "🅱adword",
            "🇧 🇦 🇩 🇼 🇴 🇷 🇩",
        ] {
            assert!(finds("badword", text), "{text}");
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        for (term, text) in [
            ("bad", "badge"),
            ("bad", "ba dog"),
            ("ass", "class"),
            ("ass", "as she said"),
            ("ass", "as is"),
            ("bot", "boot"),
            ("cool", "col"),
            ("penis", "my pen is red"),
            ("badword", "bad but a word"),
            ("hit", "hi there"),
            ("88", "BB"),
            ("1488", "14 of 88 people"),
            ("scunt", "scunthorpe"),
            ("therapist", "the rapist"),
            ("badword", "bad word"),
        ] {
            assert!(!finds(term, text), "{term} in {text}");
        }
    }

    #[test]
    fn repetition_counts() {
        assert!(finds("ass", "asssss"));
        assert!(finds("bad", "baaad"));
        assert!(!finds("ass", "as"));
        assert!(finds("class", "class struggle"));
    }

    #[test]
    fn a_word_in_two_is_found_when_nobody_writes_it_so() {
        for text in ["sp am", "s pam", "spa m", "s p a m", "sp.am"] {
            assert!(finds("spam", text), "{text}");
        }
        assert!(finds("bad word", "badword") && finds("bad word", "bad word"));
    }

    #[test]
    fn a_star_opens_a_term() {
        assert!(finds("bad*", "badge"));
        assert!(!finds("bad*", "abad"));
        assert!(finds("*bad", "abad"));
        assert!(finds("*bad*", "sinbadly"));
    }

    #[test]
    fn terms_of_several_words() {
        for text in
            ["buy followers", "BUY   F0LLOWERS", "buyfollowers", "b u y followers", "buy f-o-l-l-o-w-e-r-s"]
        {
            assert!(finds("buy followers", text), "{text}");
        }
        assert!(!finds("buy followers", "buy more followers"));
    }

    #[test]
    fn scripts_without_spaces() {
        assert!(finds("笨蛋", "你是笨蛋吗"));
        assert!(finds("傻", "你傻"));
        assert!(finds("дурак", "ты дурак!"));
        assert!(!finds("дурак", "дураковский"));
    }

    #[test]
    fn numbers() {
        assert!(finds("1488", "it is 1488!"));
        assert!(!finds("1488", "21488"));
        assert!(finds("h8", "I h8 you"));
    }

    #[test]
    fn too_short_a_term_is_none() {
        for term in ["", "a", "*", "**", ".", "!", " "] {
            assert!(Pattern::new(term).is_none(), "{term:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(term in ".{0,40}", text in ".{0,200}") {
            if let Some(pattern) = Pattern::new(&term) {
                let _ = pattern.is_in(&Haystack::new(&text));
            }
        }

        #[test]
        fn a_term_is_found_as_it_is_in_a_sentence_and_spaced_out(term in "[a-z]{3,12}", by in "[ .*_-]") {
            prop_assume!(Pattern::new(&term).is_some());
            prop_assert!(finds(&term, &term));
            prop_assert!(finds(&term, &term.to_uppercase()));
            let sentence = format!("well, {term} it is");
            prop_assert!(finds(&term, &sentence));
            let spaced: Vec<String> = term.chars().map(String::from).collect();
            prop_assert!(finds(&term, &spaced.join(&by)));
        }
    }
}
