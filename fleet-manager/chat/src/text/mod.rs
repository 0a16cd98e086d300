//! What becomes of a text before anybody sees it, and what is found in it.
//!
//! - [`clean()`]: what somebody typed, made fit to be shown to thousands: normalised (NFC), of bounded length, without
//!   what is invisible, reorders its neighbours or piles up.
//! - [`mark()`]: emotes, mentions and safe links in a clean text.
//! - [`fold`] and [`pattern`]: texts brought to what they look like, so that a blocked term is found however it is
//!   spelt, and a name that imitates another one.
//!
//! Nothing here panics on any input, and the work is bounded by [`MAX_TEXT_BYTES`]. Nothing here knows of rooms.

mod clean;
pub mod fold;
pub mod link;
mod mark;
pub mod pattern;

use nodi_protocol::chat::{MAX_GRAPHEMES, MAX_TEXT_BYTES};

pub use clean::{clean, clean_within};
pub use mark::{MAX_MARKS, Marked, mark};

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("there is nothing left to say: the message has no visible characters")]
    Empty,
    #[error("the message is longer than {MAX_GRAPHEMES} characters")]
    Graphemes,
    #[error("the message is longer than {MAX_TEXT_BYTES} bytes")]
    Bytes,
}

/// The first `count` grapheme clusters, with an ellipsis if that is not all.
#[must_use]
pub fn start(text: &str, count: usize) -> String {
    use unicode_segmentation::UnicodeSegmentation as _;
    match text.grapheme_indices(true).nth(count) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_cut_between_characters() {
        assert_eq!(start("hello", 5), "hello");
        assert_eq!(start("hello you", 6), "hello…");
        assert_eq!(start("👩‍👩‍👧👩‍👩‍👧", 1), "👩‍👩‍👧…");
    }
}
