//! The decision: whether there is a trial, whether everything holds at the same time, and what follows when it does not.

use std::path::Path;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_daemon::{exit, systemd};
use nodi_spool::Backend;
use tokio::time::Instant;

use crate::arrival::{Arrival, Wanted};
use crate::check::{Check, name};
use crate::config::Config;
use crate::record::{Judged, Record};
use crate::slots::{self, Slots};
use crate::stream::Clip;
use crate::trial::{self, Found, Trial};
use crate::{command, probe};

use self::source::Source;

mod source;

/// After so many boots in which one and the same trial failed, nothing is gone back from any more. The boot loader
/// itself changes the slot after three.
pub const MOST_FAILURES: u32 = 3;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Between two questions to RAUC which slot runs, while that is not known.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How often RAUC is told what has to happen, and how long after one another.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// What systemd gives us beyond the present moment; each look renews it.
const EXTENSION: Duration = Duration::from_secs(60);
/// How long the agent has to be connected without a break.
const STEADY: Duration = Duration::from_secs(20);
/// Outside of a trial nobody waits for a RAUC that hangs.
const QUICK: Duration = Duration::from_secs(10);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    NoTrial,
    Passed,
    /// It failed, and the other slot is the next one.
    WentBack,
    /// It failed, and there is nothing to go back to: this slot has to do.
    Stays,
    /// The system goes down.
    Interrupted,
}

impl Verdict {
    /// 0: the slot may be called good.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NoTrial | Self::Passed | Self::Stays => exit::OK,
            Self::WentBack | Self::Interrupted => exit::FAILURE,
        }
    }
}

/// One run of the gate.
pub struct Gate {
    pub config: Config,
    /// Why the configuration is the built-in one.
    pub unusable: Option<String>,
    /// The system's clock, in milliseconds since the Unix epoch: for the record, never for a decision.
    pub now_ms: fn() -> u64,
    pub shutdown: Shutdown,
}

/// What the files say.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Nothing,
    /// A damaged file that was judged before.
    SetAside,
    PassedBefore(Trial),
    Try(Trial, Option<String>),
}

fn decide(found: Found, running: Option<&str>, newest: Option<&Judged>) -> Task {
    let judged = |trial: &Trial| newest.filter(|newest| newest.id == trial.id);
    match found {
        Found::Nothing => Task::Nothing,
        Found::Damaged(reason) => {
            let trial = Trial::unknown();
            if judged(&trial).is_some_and(|before| before.passed.is_some()) {
                Task::SetAside
            } else {
                Task::Try(trial, Some(reason))
            }
        }
        Found::Trial(trial) if running.is_some_and(|running| running != trial.slot) => Task::Nothing,
        Found::Trial(trial) => {
            let before =
                judged(&trial).filter(|before| running.is_some_and(|running| running == before.slot));
            if before.is_some_and(|before| before.passed == Some(true)) {
                Task::PassedBefore(trial)
            } else {
                Task::Try(trial, None)
            }
        }
    }
}

/// A trial under way.
struct Attempt<'a> {
    gate: &'a Gate,
    trial: Trial,
    running: Option<Slots>,
    asked: Instant,
    source: Source,
    arrival: Arrival,
    clip: Clip,
    /// That stay as they are: how the trial was found.
    found: Vec<Check>,
    record: Record,
}

impl Gate {
    /// Judges the slot that runs.
    pub async fn run(&self) -> Verdict {
        let config = &self.config;
        let before = Record::read(&config.gate);
        let found = trial::read(&config.trial);
        let asked = self.slots(matches!(found, Found::Nothing));
        let running = tokio::select! {
            asked = asked => asked,
            () = self.shutdown.wait() => return Verdict::Interrupted,
        };
        let newest = before.and_then(Record::newest_trial);
        let no_file = found == Found::Nothing;
        let slot = running.as_ref().ok().map(|slots| slots.running.clone());
        let task = decide(found, slot.as_deref(), newest.as_ref());
        let began_ms = (self.now_ms)();
        let mut record = Record {
            boot_id: self.boot_id(),
            slot: slot.unwrap_or_default(),
            trial: false,
            id: None,
            passed: Some(true),
            checks: Vec::new(),
            began_ms,
            at_ms: began_ms,
            failures: 0,
            // A file that was damaged and is gone has nothing more to say.
            last_trial: newest.filter(|newest| !(no_file && newest.id == trial::DAMAGED)),
        };
        match task {
            Task::Nothing => {
                self.write(&record);
                log::info!(slot:% = record.slot; "no trial");
                Verdict::NoTrial
            }
            Task::SetAside => {
                self.write(&record);
                trial::set_aside(&config.trial);
                log::warn!("a damaged trial.json was judged in an earlier boot: put aside");
                Verdict::NoTrial
            }
            Task::PassedBefore(trial) => {
                let message = "this trial passed in an earlier boot".to_owned();
                record.checks.push(Check::of(name::EARLIER, Ok(message)));
                record.trial = true;
                record.id = Some(trial.id);
                self.write(&record);
                Verdict::Passed
            }
            Task::Try(trial, damage) => self.attempt(trial, damage, running, record).await,
        }
    }

    async fn slots(&self, quick: bool) -> Result<Slots, String> {
        if quick && let Some(running) = slots::from_command_line(&self.config) {
            return Ok(Slots { running, other_is_bad: None });
        }
        let asked = slots::look(&self.config);
        if !quick {
            return asked.await;
        }
        match tokio::time::timeout(QUICK, asked).await {
            Ok(looked) => looked,
            Err(_) => Err(format!("RAUC does not answer within {} s", QUICK.as_secs())),
        }
    }

    async fn attempt(
        &self,
        trial: Trial,
        damage: Option<String>,
        running: Result<Slots, String>,
        mut record: Record,
    ) -> Verdict {
        let config = &self.config;
        let until = Instant::now() + trial.window(config.trial_s, config.shortest_trial_s);
        record.trial = true;
        record.id = Some(trial.id.clone());
        record.passed = None;
        record.failures = record
            .last_trial
            .as_ref()
            .filter(|before| before.id == trial.id)
            .map_or(0, |before| before.failures + u32::from(before.passed == Some(false)));
        log::info!(slot:% = record.slot, id:% = trial.id; "trial");
        let mut found = Vec::new();
        if let Some(reason) = damage {
            // It keeps nobody from passing: what counts is what runs.
            let message = format!("{} cannot be read ({reason}): what runs is tried", config.trial.display());
            found.push(Check::of(name::TRIAL, Ok(message)));
        }
        if let Some(reason) = &self.unusable {
            found.push(Check::of(name::CONFIGURATION, Err(reason.clone())));
        }
        let clip = config.stream.clip;
        let mut attempt = Attempt {
            gate: self,
            source: Source::start(config, clip),
            arrival: self.arrival(),
            clip,
            trial,
            running: running.ok(),
            asked: Instant::now(),
            found,
            record,
        };
        let held = loop {
            let look = async {
                let held = attempt.look().await;
                if !held {
                    tokio::time::sleep(LOOK).await;
                }
                held
            };
            tokio::select! {
                held = look => if held { break true },
                () = self.shutdown.wait() => return Verdict::Interrupted,
            }
            if attempt.is_another_slot() {
                attempt.record.trial = false;
                attempt.record.id = None;
                attempt.record.passed = Some(true);
                attempt.record.checks.clear();
                self.write(&attempt.record);
                return Verdict::NoTrial;
            }
            // Nothing that comes later makes the configuration usable.
            if self.unusable.is_some() || Instant::now() >= until {
                break false;
            }
            systemd::extend_timeout(EXTENSION);
        };
        let Attempt { source, mut record, running, .. } = attempt;
        drop(source);
        record.passed = Some(held);
        self.write(&record);
        if held {
            systemd::status("passed");
            log::info!("the trial passed");
            return Verdict::Passed;
        }
        log::error!(lacks:% = lacking(&record.checks); "the trial failed");
        self.go_back(record, running).await
    }

    /// Makes the other slot the next one and reboots, if there is one and it was not tried too often.
    async fn go_back(&self, mut record: Record, running: Option<Slots>) -> Verdict {
        let config = &self.config;
        let commands = &config.commands;
        let no_way = if record.failures >= MOST_FAILURES {
            Some(format!("this trial failed in {} boots before: the box stays as it is", record.failures))
        } else if running.is_some_and(|slots| slots.other_is_bad == Some(true)) {
            Some("the other slot is marked bad: there is nothing to go back to".to_owned())
        } else {
            None
        };
        if let Some(reason) = no_way {
            log::error!(reason:%; "no way back");
            record.checks.push(Check::of(name::WAY_BACK, Err(reason)));
            self.write(&record);
            return Verdict::Stays;
        }
        systemd::status("failed: going back to the other slot");
        let mut faults = Vec::new();
        // Each is tried whatever became of the one before: either of the first two is enough, and if neither worked the boot
        // loader counts the reboot as one of this slot's attempts.
        for words in [&commands.mark_bad, &commands.mark_other] {
            if let Err(error) = self.insist(words).await {
                log::error!("{error}");
                faults.push(error.to_string());
            }
        }
        let way = match faults.as_slice() {
            [] => Ok("the other slot is the next one".to_owned()),
            faults => Err(faults.join("; ")),
        };
        record.checks.push(Check::of(name::WAY_BACK, way));
        self.write(&record);
        if let Err(error) = command::run(&commands.reboot, commands.deadline()).await {
            // The unit's own OnFailure= reboots too.
            log::error!("{error}");
        }
        Verdict::WentBack
    }

    /// RAUC does one thing at a time, and refuses what comes meanwhile: somebody may just ask it how it is.
    async fn insist(&self, words: &[String]) -> Result<(), command::Error> {
        let deadline = self.config.commands.deadline();
        let mut left = TRIES;
        loop {
            systemd::extend_timeout(deadline + EXTENSION);
            left -= 1;
            match command::run(words, deadline).await {
                Err(error) if left > 0 => log::warn!("{error}; once more"),
                outcome => return outcome.map(drop),
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    fn arrival(&self) -> Arrival {
        let stream = &self.config.stream;
        let wanted = Wanted {
            segments: stream.segments,
            stall: Duration::from_secs(stream.stall_s),
            backend: stream.backend,
        };
        Arrival::new(&self.config.spool, wanted)
    }

    fn boot_id(&self) -> String {
        read_word(&self.config.boot_id).unwrap_or_else(|| "unknown".to_owned())
    }

    /// A record that cannot be written decides nothing.
    fn write(&self, record: &Record) {
        let record = Record { at_ms: (self.now_ms)(), ..record.clone() };
        if let Err(error) = record.write(&self.config.gate) {
            log::error!(path:% = self.config.gate.display(), error:%; "cannot write what the gate found");
        }
    }
}

impl Attempt<'_> {
    /// One look at everything; whether all of it holds.
    async fn look(&mut self) -> bool {
        let config = &self.gate.config;
        if self.running.is_none() && self.asked.elapsed() >= ASK_AGAIN {
            self.running = slots::look(config).await.ok();
            self.asked = Instant::now();
        }
        let mut checks = self.found.clone();
        let slot = match &self.running {
            Some(slots) => {
                self.record.slot.clone_from(&slots.running);
                Ok(format!("{} runs", slots.running))
            }
            None => Err("it is not known which slot runs".to_owned()),
        };
        checks.push(Check::of(name::SLOT, slot));
        checks.push(Check::of(name::STREAM, self.stream()));
        checks.push(Check::of(name::UPLINK, probe::uplink(&config.uplink).await));
        let agent = probe::agent(&config.link);
        let connected = agent.as_ref().ok().and_then(|agent| agent.connected);
        let said = if connected.is_some() { "answers, connected" } else { "answers" };
        checks.push(Check::of(name::AGENT, agent.map(|_| said.to_owned())));
        checks.push(Check::of(
            name::BROKER,
            match connected {
                Some(since) if since >= STEADY || !self.trial.broker => Ok("connected".to_owned()),
                // One that ends again and again is connected again and again.
                Some(_) => Err(format!("not connected for {} s yet", STEADY.as_secs())),
                None if self.trial.broker => Err("not connected, and was before the update".to_owned()),
                None => Ok("not connected, and was not before the update".to_owned()),
            },
        ));
        let holds = checks.iter().all(|check| check.passed);
        if checks != self.record.checks {
            self.record.checks = checks;
            self.gate.write(&self.record);
            let lacks = lacking(&self.record.checks);
            log::info!(lacks:%; "trial");
            systemd::status(if holds { "everything holds" } else { &lacks });
        }
        holds
    }

    fn stream(&mut self) -> Result<String, String> {
        let arrived = self.arrival.look(Instant::now());
        // A slow machine has shown what it can by now.
        if self.clip == Clip::Auto && arrived.is_ok() {
            match self.arrival.backend() {
                Some(Backend::Jetson) => {
                    self.clip = Clip::Full;
                    self.source.play(self.clip);
                    self.arrival = self.gate.arrival();
                    return Err("the small stream arrives; now the full ladder".to_owned());
                }
                Some(Backend::Software) => self.clip = Clip::Small,
                None => return Err("the worker has not said yet which encoder it uses".to_owned()),
            }
        }
        match (arrived, self.source.trouble()) {
            (Ok(message), None) => Ok(message),
            (Ok(_), Some(trouble)) => Err(trouble),
            (Err(lacks), None) => Err(lacks),
            (Err(lacks), Some(trouble)) => Err(format!("{trouble}; {lacks}")),
        }
    }

    /// It took a while to learn which slot runs.
    fn is_another_slot(&self) -> bool {
        let named = !self.trial.slot.is_empty();
        named && self.running.as_ref().is_some_and(|slots| slots.running != self.trial.slot)
    }
}

fn lacking(checks: &[Check]) -> String {
    let lacks: Vec<_> =
        checks.iter().filter(|check| !check.passed).map(|check| check.message.as_str()).collect();
    if lacks.is_empty() { "nothing".to_owned() } else { lacks.join("; ") }
}

fn read_word(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let word = text.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, slot: &str) -> Trial {
        serde_json::from_value(serde_json::json!({"id": id, "slot": slot})).unwrap()
    }

    fn before(id: &str, slot: &str, passed: Option<bool>) -> Judged {
        Judged {
            id: id.to_owned(),
            boot_id: "b".to_owned(),
            slot: slot.to_owned(),
            passed,
            checks: Vec::new(),
            at_ms: 0,
            failures: 0,
        }
    }

    #[test]
    fn what_the_files_say() {
        let trial = || Found::Trial(named("1", "B"));
        let damaged = || Found::Damaged("cut".to_owned());
        let again = |id: &str, slot| Task::Try(named(id, slot), None);
        let unknown = || Task::Try(Trial::unknown(), Some("cut".to_owned()));
        for (found, running, newest, task) in [
            (Found::Nothing, Some("A"), None, Task::Nothing),
            (trial(), Some("B"), None, again("1", "B")),
            (trial(), Some("A"), None, Task::Nothing),
            (trial(), Some("A"), Some(before("1", "B", Some(false))), Task::Nothing),
            (trial(), Some("B"), Some(before("1", "B", None)), again("1", "B")),
            (trial(), Some("B"), Some(before("1", "B", Some(false))), again("1", "B")),
            (trial(), Some("B"), Some(before("1", "B", Some(true))), Task::PassedBefore(named("1", "B"))),
            (trial(), Some("B"), Some(before("0", "B", Some(true))), again("1", "B")),
            (trial(), None, Some(before("1", "B", Some(true))), again("1", "B")),
            (damaged(), Some("A"), None, unknown()),
            (damaged(), None, Some(before("1", "B", Some(true))), unknown()),
            (damaged(), Some("A"), Some(before(trial::DAMAGED, "A", None)), unknown()),
            // Whichever slot it was judged in.
            (damaged(), Some("A"), Some(before(trial::DAMAGED, "B", Some(false))), Task::SetAside),
            (damaged(), Some("B"), Some(before(trial::DAMAGED, "B", Some(true))), Task::SetAside),
        ] {
            let shown = format!("{found:?} in {running:?} after {newest:?}");
            assert_eq!(decide(found, running, newest.as_ref()), task, "{shown}");
        }
    }
}
