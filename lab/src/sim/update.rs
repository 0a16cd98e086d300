//! A simulated box's update: everything that a box says on its way to another version, and nothing installed.

use std::time::Duration;

use nodi_protocol::UpdateId;
use nodi_protocol::fleet::update::{Order, Report, State};
use tokio::time::Instant;

use super::device::now_ms;
use super::random::Random;

/// Between two steps of progress.
const STEP: Duration = Duration::from_millis(300);
/// Longest that a box is away for its reboot, in seconds; the shortest is a third of it.
const REBOOT_S: f32 = 3.0;
/// How long the health gate takes at most, in seconds.
const TRIAL_S: f32 = 3.0;
/// Progress of a download and an installation comes in so many steps.
const STEPS: u8 = 5;
/// A bundle whose version says so never comes through its trial.
const BROKEN: &str = "broken";

/// What the box runs, and the update that it is at.
pub(super) struct Software {
    /// That stays, or comes back when a trial fails.
    version: String,
    slot: char,
    current: Option<Updating>,
    /// Of the newest update; said again after each connection.
    last: Option<Report>,
}

struct Updating {
    order: Order,
    state: State,
    step: u8,
    next: Instant,
    /// It will not come through its trial.
    fails: bool,
    /// The trial failed: the old version runs again.
    back: bool,
}

/// What becomes of a step.
pub(super) enum Done {
    /// There is something to say.
    Said(Box<Report>),
    /// And the box is away for so long.
    Reboots(Box<Report>, Duration),
    /// And it was the last.
    Ended(Box<Report>),
}

impl Software {
    pub(super) fn new(version: &str) -> Self {
        Self { version: version.to_owned(), slot: 'A', current: None, last: None }
    }

    /// The version that runs now.
    pub(super) fn running(&self) -> &str {
        match &self.current {
            Some(current) if current.state >= State::Rebooting && !current.back => {
                &current.order.bundle.version
            }
            _ => &self.version,
        }
    }

    pub(super) fn last(&self) -> Option<&Report> {
        self.last.as_ref()
    }

    /// When something is to be done next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.next)
    }

    fn knows(&self, id: UpdateId) -> bool {
        self.last.as_ref().is_some_and(|report| report.id == id)
    }

    /// An order came, for the first time or again. The report is to be said.
    pub(super) fn take(&mut self, order: Order, boot_id: &str) -> Option<Report> {
        let installs = self.current.as_ref().is_some_and(|current| current.state >= State::Installing);
        if self.knows(order.id) || installs {
            return None;
        }
        if now_ms() > order.expires_ms {
            return Some(self.end(&order, State::Expired, "the order came too late", boot_id));
        }
        if order.bundle.version == self.version {
            return Some(self.end(&order, State::Failed, "this version runs already", boot_id));
        }
        let next = Instant::now() + STEP;
        self.current =
            Some(Updating { order, state: State::Waiting, step: 0, next, fails: false, back: false });
        self.report("", boot_id)
    }

    /// The order was cleared: a box that has not begun to install leaves it.
    pub(super) fn withdraw(&mut self, boot_id: &str) -> Option<Report> {
        let current = self.current.take_if(|current| current.state < State::Installing)?;
        Some(self.end(&current.order, State::Withdrawn, "the order was withdrawn", boot_id))
    }

    /// The next step, if its time has come. `live`: sessions on the box.
    pub(super) fn step(
        &mut self,
        now: Instant,
        live: usize,
        boot_id: &str,
        random: &mut Random,
        failures: f32,
    ) -> Option<Done> {
        let current = self.current.as_mut().filter(|current| current.next <= now)?;
        current.next = now + STEP.mul_f32(random.between(0.6, 1.4));
        let busy = live > 0 && !current.order.force;
        match current.state {
            State::Waiting => {
                (current.state, current.step) = (State::Downloading, 0);
                current.fails = random.chance(failures) || current.order.bundle.version.contains(BROKEN);
                self.report("downloads the bundle", boot_id).map(|report| Done::Said(Box::new(report)))
            }
            State::Downloading if current.step < STEPS => {
                current.step += 1;
                self.report("downloads the bundle", boot_id).map(|report| Done::Said(Box::new(report)))
            }
            State::Downloading if busy => {
                let said = self.last.as_ref().is_some_and(|report| report.message.starts_with("waits"));
                if said {
                    return None;
                }
                self.report("waits for the live stream to end", boot_id)
                    .map(|report| Done::Said(Box::new(report)))
            }
            State::Downloading => {
                (current.state, current.step) = (State::Installing, 0);
                self.report("writes the other slot", boot_id).map(|report| Done::Said(Box::new(report)))
            }
            State::Installing if current.step < STEPS => {
                current.step += 1;
                self.report("writes the other slot", boot_id).map(|report| Done::Said(Box::new(report)))
            }
            State::Installing => {
                current.state = State::Rebooting;
                let away = Duration::from_secs_f32(random.between(REBOOT_S / 3.0, REBOOT_S));
                current.next = now + away;
                self.report("starts the other slot", boot_id)
                    .map(|report| Done::Reboots(Box::new(report), away))
            }
            State::Rebooting => {
                current.state = State::Trial;
                current.next = now + Duration::from_secs_f32(random.between(1.0, TRIAL_S));
                self.report("the health gate waits for a picture", boot_id)
                    .map(|report| Done::Said(Box::new(report)))
            }
            _ if current.fails && !current.back => {
                current.back = true;
                let away = Duration::from_secs_f32(random.between(REBOOT_S / 3.0, REBOOT_S));
                current.next = now + away;
                self.report("the health gate gave up; the old slot starts again", boot_id)
                    .map(|report| Done::Reboots(Box::new(report), away))
            }
            _ => {
                let Updating { order, back, .. } = self.current.take()?;
                let report = if back {
                    self.end(
                        &order,
                        State::RolledBack,
                        "ingest did not come up; the old slot runs again",
                        boot_id,
                    )
                } else {
                    self.end(&order, State::Confirmed, "passed its trial", boot_id)
                };
                Some(Done::Ended(Box::new(report)))
            }
        }
    }

    fn report(&mut self, message: &str, boot_id: &str) -> Option<Report> {
        let current = self.current.as_ref()?;
        let measured = matches!(current.state, State::Downloading | State::Installing);
        let report = Report {
            id: current.order.id,
            state: current.state,
            progress: measured.then_some(current.step * (100 / STEPS)),
            message: message.to_owned(),
            from: self.version.clone(),
            to: current.order.bundle.version.clone(),
            slot: Some(self.slot.to_string()),
            deadline_ms: None,
            boot_id: boot_id.to_owned(),
            at_ms: now_ms(),
        };
        self.last = Some(report.clone());
        Some(report)
    }

    fn end(&mut self, order: &Order, state: State, message: &str, boot_id: &str) -> Report {
        let from = self.version.clone();
        if state == State::Confirmed {
            self.version.clone_from(&order.bundle.version);
            self.slot = if self.slot == 'A' { 'B' } else { 'A' };
        }
        let report = Report {
            id: order.id,
            state,
            progress: None,
            message: message.to_owned(),
            from,
            to: order.bundle.version.clone(),
            slot: Some(self.slot.to_string()),
            deadline_ms: None,
            boot_id: boot_id.to_owned(),
            at_ms: now_ms(),
        };
        self.last = Some(report.clone());
        report
    }
}
