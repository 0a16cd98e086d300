//! After any sequence of orders, power cuts between them and within them, the board boots by itself.

use nodi_bootslot::{Command, OnTrial, Slot};
use proptest::prelude::*;

use crate::firmware::{Image, Model, index};
use crate::orders::{install, order};

#[derive(Debug, Clone)]
enum Step {
    /// `rauc install`.
    Install(Image),
    /// `rauc status mark-good|bad|active booted|other`, and whatever else somebody says.
    Order(Command),
    Reboot,
    /// The data partition is not there: nobody knows of a trial, and the box starts over.
    Emergency,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = prop_oneof![Just(Slot::A), Just(Slot::B)];
    let image = prop_oneof![4 => Just(Image::Good), 2 => Just(Image::Broken)];
    prop_oneof![
        4 => image.prop_map(Step::Install),
        3 => (slot.clone(), any::<bool>()).prop_map(|(slot, good)| Step::Order(Command::SetState { slot, good })),
        2 => slot.prop_map(|slot| Step::Order(Command::SetPrimary(slot))),
        3 => Just(Step::Reboot),
        3 => Just(Step::Emergency),
        1 => Just(Step::PowerCut),
    ]
}

/// A slot that comes up outside of a trial says so early; one on trial does not.
struct Box {
    model: Model,
    trial: Option<Slot>,
}

impl Box {
    fn came_up(&mut self, slot: Option<Slot>) {
        let slot = slot.expect("the box waits for a person");
        assert_eq!(self.model.images[index(slot)], Image::Good);
        if self.trial != Some(slot) {
            self.trial = None;
        }
        self.boot_ok(self.trial.map_or(OnTrial::None, OnTrial::Slot));
    }

    /// The power may go before it is done.
    fn boot_ok(&mut self, on_trial: OnTrial) {
        let _ = order(&mut self.model, Command::BootOk(on_trial));
    }

    fn take(&mut self, step: &Step, power: Option<u32>) {
        self.model.power = power;
        match step {
            Step::Install(image) => {
                let target = self.model.running.other();
                if install(&mut self.model, *image).is_ok() {
                    self.trial = Some(target);
                }
            }
            // That what does not run is good is only said of what once was.
            Step::Order(Command::SetState { slot, good: true })
                if *slot != self.model.running && self.model.images[index(*slot)] != Image::Good => {}
            Step::Order(command) => {
                let judged = order(&mut self.model, *command).is_ok()
                    && matches!(command, Command::SetState { slot, good: true } if Some(*slot) == self.trial);
                if judged {
                    self.trial = None;
                }
            }
            Step::Reboot => {
                let up = self.model.boot();
                self.came_up(up);
            }
            Step::Emergency => {
                self.model.boot().expect("the box waits for a person");
                self.boot_ok(OnTrial::Unknown);
            }
            Step::PowerCut => {
                let up = self.model.power_cut();
                self.came_up(up);
            }
        }
        if self.model.power == Some(0) {
            let up = self.model.power_cut();
            self.came_up(up);
        }
        self.model.power = None;
        // Whatever comes next, there is a way on.
        for next in [Model::boot, Model::power_cut] {
            let mut next_boot = self.model.clone();
            let up = next(&mut next_boot).expect("no slot boots any more");
            assert_eq!(next_boot.images[index(up)], Image::Good);
        }
    }

    /// And an update is always possible, at the latest after the power was off.
    fn can_be_updated(mut self) {
        for attempt in 0..3 {
            let running = self.model.running;
            order(&mut self.model, Command::SetState { slot: running, good: true }).unwrap();
            match install(&mut self.model, Image::Good) {
                Ok(()) => {
                    assert_eq!(self.model.boot(), Some(running.other()));
                    return;
                }
                Err(error) => assert!(attempt < 2, "{error}"),
            }
            let up = self.model.power_cut();
            self.came_up(up);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_is_always_a_slot_that_boots(
        steps in prop::collection::vec((step(), prop::option::weighted(0.4, 0_u32..8)), 1..14),
        keeps_counter in any::<bool>(),
    ) {
        let mut board = Box { model: Model { keeps_counter, ..Model::new() }, trial: None };
        for (step, power) in &steps {
            board.take(step, *power);
        }
        board.can_be_updated();
    }
}
