//! Blocked terms of a channel.

use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::server::Term;

use crate::text::pattern::{Haystack, Pattern};

/// Terms of one channel. Each message is searched for each of them.
pub const MAX_TERMS: usize = 500;
/// Longest term, in grapheme clusters.
pub const MAX_TERM: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Terms {
    all: Vec<(Term, Pattern)>,
}

impl Terms {
    pub(super) fn new(terms: Vec<(String, Then)>) -> Self {
        let mut this = Self::default();
        terms.into_iter().for_each(|(term, then)| this.put(term, then));
        this
    }

    fn at(&self, term: &str) -> Option<usize> {
        let term = term.to_lowercase();
        self.all.iter().position(|(one, _)| one.term.to_lowercase() == term)
    }

    pub(super) fn get(&self, term: &str) -> Option<&Term> {
        self.all.get(self.at(term)?).map(|(term, _)| term)
    }

    pub(super) fn put(&mut self, term: String, then: Then) {
        self.remove(&term);
        match Pattern::new(&term) {
            Some(pattern) if self.all.len() < MAX_TERMS => self.all.push((Term { term, then }, pattern)),
            _ => log::warn!(term = term.as_str(); "a blocked term cannot be used"),
        }
    }

    pub(super) fn remove(&mut self, term: &str) {
        if let Some(at) = self.at(term) {
            self.all.remove(at);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= MAX_TERMS
    }

    /// In the order of the alphabet.
    pub(super) fn list(&self) -> Vec<Term> {
        let mut list: Vec<Term> = self.all.iter().map(|(term, _)| term.clone()).collect();
        list.sort_by(|a, b| a.term.cmp(&b.term));
        list
    }

    /// The gravest of those that a text contains.
    pub(super) fn find(&self, text: &str) -> Option<&Term> {
        if self.all.is_empty() {
            return None;
        }
        let haystack = Haystack::new(text);
        let mut found = None;
        for (term, pattern) in &self.all {
            if (found.is_none() || term.then == Then::Refuse) && pattern.is_in(&haystack) {
                found = Some(term);
                if term.then == Then::Refuse {
                    break;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_term_counts() {
        let mut terms = Terms::new(vec![("spam".into(), Then::Hold), ("scam".into(), Then::Refuse)]);
        assert_eq!(terms.find("sp4m").unwrap().term, "spam");
        assert_eq!(terms.find("spam and s.c.a.m").unwrap().term, "scam");
        assert!(terms.find("nothing").is_none());
        terms.put("SPAM".into(), Then::Refuse);
        assert_eq!(terms.get("spam").unwrap().then, Then::Refuse);
        assert_eq!(terms.list().len(), 2);
        terms.remove("Spam");
        assert!(terms.find("spam").is_none());
    }

    #[test]
    fn they_are_bounded() {
        let mut terms = Terms::new((0..MAX_TERMS + 5).map(|n| (format!("term{n}"), Then::Hold)).collect());
        assert!(terms.is_full());
        assert_eq!(terms.list().len(), MAX_TERMS);
        terms.put("term1".into(), Then::Refuse);
        assert_eq!(terms.get("term1").unwrap().then, Then::Refuse);
    }
}
