//! When an alert starts, gets worse and ends: purely from what is seen and when. Nothing here knows what a box is.
//!
//! A condition has to hold for a while before it is an alert, and to be gone for a while before the alert ends; between
//! its two thresholds an alert stays as it is. One that comes and goes all the same is held open for longer, so that
//! nobody is told about it again and again.

use std::collections::{HashMap, VecDeque};

use nodi_protocol::{BoxId, ChannelId, SessionId};

use super::kind::{Kind, Severity};

/// Starts within this time count as coming and going, in milliseconds.
pub(super) const FLAP_WINDOW_MS: i64 = 3_600_000;
/// From so many starts within the window on, an alert is held open.
const FLAPS: usize = 3;
/// How long one that comes and goes has to be gone before it ends, in milliseconds.
const FLAP_END_MS: i64 = 900_000;
/// What was open when the server stopped, and is not seen again for so long, is gone, in milliseconds: until then the
/// boxes have said anew what they have to say.
const RESTORED_MS: i64 = 60_000;

/// How long a condition has to be there before it is an alert, and gone before the alert ends, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    pub start_after_ms: i64,
    pub end_after_ms: i64,
}

/// What is seen of one condition just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Beyond its threshold.
    Bad {
        severity: Severity,
        reason: String,
    },
    /// Between the two thresholds, or nothing is known: what is stays.
    Between,
    Good,
}

/// What an alert is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    pub box_id: Option<BoxId>,
    pub box_name: Option<String>,
    pub session: Option<SessionId>,
    pub channel: Option<ChannelId>,
}

/// What has to be made durable, and is then given to [`Engine::confirm`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub kind: Kind,
    pub subject: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Start { about: About, severity: Severity, reason: String },
    Worse { id: String, severity: Severity, reason: String },
    End { id: String, reason: &'static str },
}

/// An alert that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub id: String,
    pub severity: Severity,
}

#[derive(Debug)]
struct Condition {
    /// The look in which it was last seen.
    round: u64,
    /// It was open when the server started, and was not seen since: the time of the start.
    restored_ms: Option<i64>,
    bad_since: Option<i64>,
    good_since: Option<i64>,
    open: Option<Open>,
    /// When it started lately.
    starts: VecDeque<i64>,
}

impl Condition {
    fn new() -> Self {
        Self {
            round: 0,
            restored_ms: None,
            bad_since: None,
            good_since: None,
            open: None,
            starts: VecDeque::new(),
        }
    }

    fn end_after_ms(&self, timing: Timing) -> i64 {
        let flaps = self.starts.len() >= FLAPS;
        if flaps { timing.end_after_ms.max(FLAP_END_MS) } else { timing.end_after_ms }
    }
}

/// Follows all conditions that are not simply good.
#[derive(Debug, Default)]
pub(super) struct Engine {
    conditions: HashMap<Kind, HashMap<String, Condition>>,
    round: u64,
    decisions: Vec<Decision>,
}

impl Engine {
    /// An alert that was open when the server stopped.
    pub(super) fn restore(&mut self, kind: Kind, subject: &str, open: Open, now_ms: i64) {
        let condition = self.condition(kind, subject);
        condition.open = Some(open);
        condition.restored_ms = Some(now_ms);
    }

    /// An alert that started lately, open or not; the oldest first.
    pub(super) fn restore_start(&mut self, kind: Kind, subject: &str, started_ms: i64) {
        self.condition(kind, subject).starts.push_back(started_ms);
    }

    fn condition(&mut self, kind: Kind, subject: &str) -> &mut Condition {
        self.conditions.entry(kind).or_default().entry(subject.to_owned()).or_insert_with(Condition::new)
    }

    /// Begins a look at everything.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.decisions.clear();
    }

    /// One condition as it is now. `about` is asked for only when an alert starts.
    pub(super) fn observe(
        &mut self,
        kind: Kind,
        subject: &str,
        timing: Timing,
        reading: Reading,
        now_ms: i64,
        about: impl FnOnce() -> About,
    ) {
        let round = self.round;
        let known = self.conditions.get_mut(&kind).and_then(|conditions| conditions.get_mut(subject));
        let condition = match (known, &reading) {
            (Some(condition), _) => condition,
            (None, Reading::Bad { .. }) => self.condition(kind, subject),
            // Nearly everything, nearly always.
            (None, _) => return,
        };
        condition.round = round;
        condition.restored_ms = None;
        while condition.starts.front().is_some_and(|start| *start < now_ms - FLAP_WINDOW_MS) {
            condition.starts.pop_front();
        }
        let what = match reading {
            Reading::Bad { severity, reason } => {
                condition.good_since = None;
                let since = *condition.bad_since.get_or_insert(now_ms);
                match &condition.open {
                    None if now_ms - since >= timing.start_after_ms => {
                        Some(What::Start { about: about(), severity, reason })
                    }
                    Some(open) if severity > open.severity => {
                        Some(What::Worse { id: open.id.clone(), severity, reason })
                    }
                    _ => None,
                }
            }
            Reading::Between => {
                condition.bad_since = None;
                condition.good_since = None;
                None
            }
            Reading::Good => {
                condition.bad_since = None;
                let since = *condition.good_since.get_or_insert(now_ms);
                match &condition.open {
                    Some(open) if now_ms - since >= condition.end_after_ms(timing) => {
                        Some(What::End { id: open.id.clone(), reason: kind.end_reason() })
                    }
                    _ => None,
                }
            }
        };
        if let Some(what) = what {
            self.decisions.push(Decision { kind, subject: subject.to_owned(), what });
        }
    }

    /// Ends the look: what was not seen in it is gone. Returns what there is to do.
    pub(super) fn finish(&mut self, now_ms: i64) -> Vec<Decision> {
        let round = self.round;
        let mut decisions = std::mem::take(&mut self.decisions);
        for (kind, conditions) in &mut self.conditions {
            conditions.retain(|subject, condition| {
                if condition.round == round {
                    let quiet = condition.open.is_none() && condition.bad_since.is_none();
                    return !quiet || !condition.starts.is_empty();
                }
                if condition.restored_ms.is_some_and(|since| now_ms < since.saturating_add(RESTORED_MS)) {
                    return true;
                }
                condition.bad_since = None;
                if let Some(open) = &condition.open {
                    let what = What::End { id: open.id.clone(), reason: kind.gone_reason() };
                    decisions.push(Decision { kind: *kind, subject: subject.clone(), what });
                }
                condition.starts.retain(|start| *start >= now_ms - FLAP_WINDOW_MS);
                condition.open.is_some() || !condition.starts.is_empty()
            });
        }
        decisions
    }

    /// The decision is on the disk; a start with its new id.
    pub(super) fn confirm(&mut self, decision: &Decision, id: &str, now_ms: i64) {
        let condition = self.condition(decision.kind, &decision.subject);
        match &decision.what {
            What::Start { severity, .. } => {
                condition.open = Some(Open { id: id.to_owned(), severity: *severity });
                condition.starts.push_back(now_ms);
            }
            What::Worse { severity, .. } => {
                if let Some(open) = &mut condition.open {
                    open.severity = *severity;
                }
            }
            What::End { .. } => {
                condition.open = None;
                condition.good_since = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { start_after_ms: 30_000, end_after_ms: 10_000 };
    const KIND: Kind = Kind::DiskFilling;

    struct Story {
        engine: Engine,
        now_ms: i64,
        said: Vec<String>,
    }

    impl Story {
        fn new() -> Self {
            Self { engine: Engine::default(), now_ms: 0, said: Vec::new() }
        }

        /// The same for so many seconds, looked at each second.
        fn see(&mut self, seconds: i64, reading: Option<&Reading>) -> &mut Self {
            for _ in 0..seconds {
                self.now_ms += 1_000;
                self.engine.begin();
                if let Some(reading) = reading {
                    let about = About::default;
                    self.engine.observe(KIND, "b", TIMING, reading.clone(), self.now_ms, about);
                }
                for decision in self.engine.finish(self.now_ms) {
                    let id = format!("{}", self.said.len());
                    self.engine.confirm(&decision, &id, self.now_ms);
                    let word = match decision.what {
                        What::Start { severity, .. } => format!("start {severity:?}"),
                        What::Worse { severity, .. } => format!("worse {severity:?}"),
                        What::End { reason, .. } => {
                            if reason == KIND.gone_reason() {
                                "gone".to_owned()
                            } else {
                                "end".to_owned()
                            }
                        }
                    };
                    self.said.push(format!("{} s: {word}", self.now_ms / 1_000));
                }
            }
            self
        }

        fn bad(&mut self, seconds: i64) -> &mut Self {
            self.see(seconds, Some(&Reading::Bad { severity: Severity::Warning, reason: "r".into() }))
        }

        fn worse(&mut self, seconds: i64) -> &mut Self {
            self.see(seconds, Some(&Reading::Bad { severity: Severity::Critical, reason: "r".into() }))
        }

        fn between(&mut self, seconds: i64) -> &mut Self {
            self.see(seconds, Some(&Reading::Between))
        }

        fn good(&mut self, seconds: i64) -> &mut Self {
            self.see(seconds, Some(&Reading::Good))
        }

        fn said(&self) -> Vec<&str> {
            self.said.iter().map(String::as_str).collect()
        }
    }

    #[test]
    fn it_starts_after_a_while_and_ends_after_a_while() {
        assert_eq!(Story::new().bad(30).said(), [] as [&str; 0]);
        assert_eq!(Story::new().bad(40).good(10).said(), ["31 s: start Warning"]);
        assert_eq!(Story::new().bad(40).good(20).said(), ["31 s: start Warning", "51 s: end"]);
    }

    #[test]
    fn a_short_one_is_none_and_leaves_nothing_behind() {
        let mut story = Story::new();
        for _ in 0..10 {
            story.bad(25).good(5);
        }
        assert_eq!(story.said(), [] as [&str; 0]);
        assert!(story.engine.conditions.values().all(HashMap::is_empty));
    }

    #[test]
    fn between_the_thresholds_everything_stays_as_it_is() {
        assert_eq!(Story::new().bad(40).between(600).said(), ["31 s: start Warning"]);
        assert_eq!(Story::new().between(600).said(), [] as [&str; 0]);
        assert_eq!(Story::new().bad(40).good(8).between(1).good(8).said(), ["31 s: start Warning"]);
        assert_eq!(Story::new().bad(25).between(1).bad(25).said(), [] as [&str; 0]);
    }

    #[test]
    fn it_gets_worse_and_not_better() {
        let mut story = Story::new();
        story.bad(40).worse(5).bad(60).worse(5);
        assert_eq!(story.said(), ["31 s: start Warning", "41 s: worse Critical"]);
    }

    #[test]
    fn what_is_gone_ends_at_once() {
        assert_eq!(Story::new().bad(40).see(3, None).said(), ["31 s: start Warning", "41 s: gone"]);
    }

    #[test]
    fn one_that_comes_and_goes_is_held_open() {
        let mut story = Story::new();
        for _ in 0..30 {
            story.bad(40).good(20);
        }
        let starts = story.said.iter().filter(|word| word.contains("start")).count();
        assert_eq!(starts, 3, "{:?}", story.said);
        let before = story.said.len();
        story.good(3_700);
        assert_eq!(story.said.len(), before + 1, "it ends at last");
        assert!(story.engine.conditions.values().all(HashMap::is_empty));
    }

    #[test]
    fn a_restart_starts_nothing_twice_and_ends_what_went_meanwhile() {
        let restored = || {
            let mut story = Story::new();
            let open = Open { id: "7".into(), severity: Severity::Warning };
            story.engine.restore(KIND, "b", open, 0);
            story
        };
        assert_eq!(restored().bad(300).said(), [] as [&str; 0]);
        assert_eq!(restored().see(30, None).bad(300).said(), [] as [&str; 0], "it took a while to be seen");
        assert_eq!(restored().see(70, None).said(), ["60 s: gone"]);
        assert_eq!(restored().good(15).said(), ["11 s: end"]);
    }

    #[test]
    fn what_did_not_reach_the_disk_is_decided_again() {
        let mut engine = Engine::default();
        for now_ms in [0, 30_000, 31_000] {
            engine.begin();
            let reading = Reading::Bad { severity: Severity::Warning, reason: "r".into() };
            engine.observe(KIND, "b", TIMING, reading, now_ms, About::default);
            assert_eq!(engine.finish(now_ms).len(), usize::from(now_ms >= 30_000));
        }
    }
}
