//! Whether a box is there: by what it says, by its last will, and by its silence.

use nodi_protocol::fleet::presence;

/// Silence of a box that reports every 10 s or more often, in milliseconds: so that 15 s after a cut everybody knows,
/// with a second for the way to the dashboard.
const SILENCE_MS: i64 = 14_000;
/// The interval up to which [`SILENCE_MS`] holds, in seconds.
const USUAL_S: u32 = 10;

/// What is known of one box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    pub online: bool,
    /// The newest connection that the box told of.
    pub connection: u64,
    /// It said goodbye, or its last will did: only a new word of presence brings it back.
    gone: bool,
    /// When it was last heard, by the server's clock.
    heard_ms: i64,
}

impl Presence {
    /// As the database has it. An online box has from now on as long to be heard as any other.
    #[must_use]
    pub fn restored(online: bool, connection: u64, now_ms: i64) -> Self {
        Self { online, connection, gone: !online, heard_ms: now_ms }
    }

    /// The box says, or its last will. A word of an older connection than the newest one is late and counts for nothing.
    pub fn said(&mut self, said: &presence::Presence, now_ms: i64) {
        if said.connection < self.connection {
            return;
        }
        self.connection = said.connection;
        self.online = said.online;
        self.gone = !said.online;
        if said.online {
            self.heard_ms = now_ms;
        }
    }

    /// Anything else came from it just now.
    pub fn heard(&mut self, now_ms: i64) {
        self.heard_ms = now_ms;
        // A last will is the last thing of its connection: what comes behind it was on the way before.
        if !self.gone {
            self.online = true;
        }
    }

    /// Looks at the clock. `interval_s`: how often the box reports.
    pub fn check(&mut self, now_ms: i64, interval_s: u32) {
        if self.is_silent(now_ms, interval_s) {
            self.online = false;
        }
    }

    /// Whether it counts as online and was not heard for too long.
    #[must_use]
    pub fn is_silent(&self, now_ms: i64, interval_s: u32) -> bool {
        self.online && now_ms - self.heard_ms > silence_ms(interval_s)
    }

    /// Time in which nothing could be heard does not count: the link to the broker was down, or this process slept.
    pub fn hold(&mut self, now_ms: i64) {
        self.heard_ms = now_ms;
    }
}

/// How long a box may be silent.
fn silence_ms(interval_s: u32) -> i64 {
    if interval_s <= USUAL_S { SILENCE_MS } else { i64::from(interval_s) * 1_500 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(online: bool, connection: u64) -> presence::Presence {
        presence::Presence {
            online,
            boot_id: String::new(),
            connection,
            version: String::new(),
            at_ms: 0,
            hardware: None,
        }
    }

    #[test]
    fn a_late_will_of_an_older_connection_counts_for_nothing() {
        let mut box_ = Presence::default();
        box_.said(&says(true, 1), 0);
        box_.said(&says(true, 2), 10);
        box_.said(&says(false, 1), 20);
        assert!(box_.online);
        box_.said(&says(false, 2), 30);
        assert!(!box_.online);
        box_.said(&says(true, 1), 40);
        assert!(!box_.online, "a retained word of an older connection");
    }

    #[test]
    fn silence_is_absence_and_any_word_ends_it() {
        let mut box_ = Presence::default();
        box_.said(&says(true, 1), 0);
        box_.check(14_000, 10);
        assert!(box_.online);
        box_.check(14_001, 10);
        assert!(!box_.online);
        box_.heard(15_000);
        assert!(box_.online);
    }

    #[test]
    fn what_comes_after_a_goodbye_was_on_the_way_before() {
        let mut box_ = Presence::default();
        box_.said(&says(true, 1), 0);
        box_.said(&says(false, 1), 10);
        box_.heard(11);
        assert!(!box_.online);
        box_.said(&says(true, 2), 12);
        assert!(box_.online);
    }

    #[test]
    fn a_box_that_reports_rarely_may_be_silent_for_longer() {
        let mut box_ = Presence::default();
        box_.said(&says(true, 1), 0);
        box_.check(89_000, 60);
        assert!(box_.online);
        box_.check(90_001, 60);
        assert!(!box_.online);
    }

    #[test]
    fn time_in_which_nothing_could_be_heard_does_not_count() {
        let mut box_ = Presence::restored(true, 3, 0);
        box_.hold(60_000);
        box_.check(61_000, 10);
        assert!(box_.online);
        box_.check(75_000, 10);
        assert!(!box_.online);
    }
}
