//! The moderation log: who did what to whom, in words. Written from what came back from the bus, so that every node
//! writes the same.

use std::collections::VecDeque;

use nodi_protocol::chat::EventId;
use nodi_protocol::chat::server::LogEntry;

/// Entries that are kept of one channel, about 400 bytes each.
pub const MAX_LOG: usize = 1_000;
/// Entries of one answer.
pub const PAGE: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Oldest first.
    entries: VecDeque<LogEntry>,
}

impl Journal {
    pub(super) fn new(entries: Vec<LogEntry>) -> Self {
        let mut this = Self::default();
        entries.into_iter().for_each(|entry| this.push(entry));
        this
    }

    pub(super) fn push(&mut self, entry: LogEntry) {
        if self.entries.len() >= MAX_LOG {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Newest first, and whether there are older ones.
    pub(super) fn page(&self, before: Option<EventId>) -> (Vec<LogEntry>, bool) {
        let mut older =
            self.entries.iter().rev().filter(|entry| before.is_none_or(|before| entry.id < before));
        let page: Vec<LogEntry> = older.by_ref().take(PAGE).cloned().collect();
        (page, older.next().is_some())
    }

    /// What somebody said is quoted no more.
    pub(super) fn erase(&mut self, account: &str) {
        for entry in &mut self.entries {
            if quotes(entry) && entry.user.as_ref().is_some_and(|user| user.id == account) {
                entry.text.clear();
            }
        }
    }
}

/// Whether the text of an entry is what its user said.
pub(crate) fn quotes(entry: &LogEntry) -> bool {
    QUOTING.contains(&entry.action.as_str())
}

/// The actions whose entries quote.
pub(crate) const QUOTING: [&str; 3] = ["delete", "allow", "deny"];

#[cfg(test)]
mod tests {
    use nodi_protocol::chat::User;

    use super::*;

    fn entry(n: u64, action: &str) -> LogEntry {
        let user = User {
            id: "1".into(),
            name: "Bob".into(),
            role: Default::default(),
            color: None,
            badges: Vec::new(),
        };
        LogEntry {
            id: EventId::new(n, 0),
            at_ms: n,
            by: None,
            action: action.into(),
            user: Some(user),
            text: "words".into(),
        }
    }

    #[test]
    fn it_is_read_in_pages() {
        let journal = Journal::new((0..MAX_LOG as u64 + 20).map(|n| entry(n, "ban")).collect());
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let (page, more) = journal.page(before);
            seen.extend(page.iter().map(|entry| entry.at_ms));
            before = page.last().map(|entry| entry.id);
            if !more {
                break;
            }
        }
        let all: Vec<u64> = (20..MAX_LOG as u64 + 20).rev().collect();
        assert_eq!(seen, all);
        assert_eq!(journal.page(Some(EventId::new(20, 0))), (Vec::new(), false));
    }

    #[test]
    fn quotations_are_erased() {
        let mut journal = Journal::new(vec![entry(1, "delete"), entry(2, "ban")]);
        journal.erase("2");
        assert_eq!(journal.page(None).0[1].text, "words");
        journal.erase("1");
        let texts: Vec<String> = journal.page(None).0.into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["words", ""]);
    }
}
