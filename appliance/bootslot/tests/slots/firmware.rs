//! A board: its variables, its scratch register, what is in its slots, and how it boots. `BootChainDxe` and `L4TLauncher` of
//! edk2-nvidia r39.2, with the parts left out that no order of ours reaches.

use std::collections::BTreeMap;

use nodi_bootslot::variables::{Variable, status};
use nodi_bootslot::{Board, Error, Slot, tool};

/// `RootfsRetryCountMax` of L4TConfiguration.dts.
pub const ATTEMPTS: u32 = 3;
/// `BOOT_CHAIN_MAX_RESET_COUNT`.
const RESETS: u32 = 3;
/// Two slots of three attempts and the switches between them are fewer; more is a loop without end.
const MOST_RESETS: usize = 40;

/// Of `BootChainFwStatus`.
const SUCCESS: u32 = 0;
const IN_PROGRESS: u32 = 1;
const NO_OPERATION: u32 = 2;
const MAX_RESETS: u32 = 5;
const CHAIN_FAILED: u32 = 12;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    Good,
    /// Whole, but it panics and the watchdog resets the board.
    Broken,
    /// Half written. As [`Image::Broken`] if it is ever started.
    Torn,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub variables: BTreeMap<Variable, u32>,
    /// The chain that the boot ROM takes; survives everything.
    pub chain: Slot,
    pub previous: Option<Slot>,
    pub resets: u32,
    /// Attempts left per slot; `None`: the register lost its magic number.
    pub register: Option<[u32; 2]>,
    pub images: [Image; 2],
    pub running: Slot,
    /// `set-active-boot-slot` leaves the counter alone: what NVIDIA's closed tool may do in some release.
    pub keeps_counter: bool,
    /// Effects until the power is cut.
    pub power: Option<u32>,
}

impl Model {
    /// As it leaves the factory: the same image in both slots.
    pub fn new() -> Self {
        let variables = [(Variable::RedundancyLevel, 1), (Variable::StatusA, 0), (Variable::StatusB, 0)];
        let mut model = Self {
            variables: variables.into(),
            chain: Slot::A,
            previous: None,
            resets: 0,
            register: None,
            images: [Image::Good; 2],
            running: Slot::A,
            keeps_counter: false,
            power: None,
        };
        assert_eq!(model.boot(), Some(Slot::A));
        model.verify();
        model
    }

    pub fn status(&self, slot: Slot) -> u32 {
        self.variables[&status_of(slot)]
    }

    fn set_status(&mut self, slot: Slot, value: u32) {
        self.variables.insert(status_of(slot), value);
    }

    /// The power is off for a moment.
    pub fn power_cut(&mut self) -> Option<Slot> {
        self.power = None;
        self.register = None;
        self.boot()
    }

    /// From a reset to the next slot that comes up; `None`: it waits for a person.
    pub fn boot(&mut self) -> Option<Slot> {
        for _ in 0..MOST_RESETS {
            if self.switch_chain() {
                continue;
            }
            match self.launch() {
                Launch::Slot(slot) if self.images[index(slot)] == Image::Good => {
                    self.running = slot;
                    return Some(slot);
                }
                // The watchdog resets it.
                Launch::Slot(_) | Launch::Reset => {}
                Launch::Recovery => return None,
            }
        }
        None
    }

    /// `BootChainExecuteUpdate`; `true`: it resets the board.
    fn switch_chain(&mut self) -> bool {
        let Some(next) = self.variables.get(&Variable::ChainNext).map(|next| slot(*next)) else {
            return false;
        };
        let outcome = match self.variables.get(&Variable::ChainStatus).copied() {
            Some(IN_PROGRESS) if self.chain == next => SUCCESS,
            Some(IN_PROGRESS) => CHAIN_FAILED,
            // Of an earlier switch: this one is dropped.
            Some(outcome) => return self.finish_switch(outcome),
            None if self.chain == next => NO_OPERATION,
            None => {
                self.previous = Some(self.chain);
                self.variables.insert(Variable::ChainStatus, IN_PROGRESS);
                if self.resets < RESETS {
                    self.resets += 1;
                    self.chain = next;
                    return true;
                }
                MAX_RESETS
            }
        };
        self.variables.insert(Variable::ChainStatus, outcome);
        self.finish_switch(outcome)
    }

    fn finish_switch(&mut self, outcome: u32) -> bool {
        let previous = self.previous.take();
        self.variables.remove(&Variable::ChainNext);
        self.resets = 0;
        match previous {
            Some(previous) if outcome != SUCCESS && previous != self.chain => {
                self.chain = previous;
                true
            }
            _ => false,
        }
    }

    /// `ValidateRootfsStatus`.
    fn launch(&mut self) -> Launch {
        let bad = |model: &Self, slot| model.status(slot) == status::UNBOOTABLE;
        let fresh = Slot::BOTH.map(|slot| if bad(self, slot) { 0 } else { ATTEMPTS });
        let mut left = self.register.unwrap_or(fresh);
        if Slot::BOTH.iter().all(|slot| bad(self, *slot)) {
            self.register = None;
            return Launch::Recovery;
        }
        let (current, other) = (self.chain, self.chain.other());
        if left[index(current)] > 0 {
            left[index(current)] -= 1;
            self.register = Some(left);
            return Launch::Slot(current);
        }
        self.set_status(current, status::UNBOOTABLE);
        self.register = None;
        if left[index(other)] > 0 {
            self.variables.insert(Variable::ChainNext, number(other));
            self.variables.remove(&Variable::ChainStatus);
            return Launch::Reset;
        }
        self.set_status(other, status::UNBOOTABLE);
        Launch::Recovery
    }

    /// `nvbootctrl verify`, as the early unit runs it outside of a trial.
    pub fn verify(&mut self) {
        let running = self.running;
        if let Some(left) = &mut self.register {
            left[index(running)] = ATTEMPTS;
        }
    }

    pub fn active(&self) -> Slot {
        self.variables.get(&Variable::ChainNext).map_or(self.chain, |next| slot(*next))
    }

    fn effect(&mut self, act: impl FnOnce(&mut Self)) -> Result<(), Error> {
        match &mut self.power {
            Some(0) => return Err(cut()),
            Some(left) => *left -= 1,
            None => {}
        }
        act(self);
        Ok(())
    }
}

enum Launch {
    Slot(Slot),
    Reset,
    Recovery,
}

impl Board for Model {
    fn nvbootctrl(&mut self, arguments: &[&str]) -> Result<String, Error> {
        let left = self.register.unwrap_or_default();
        let word = |slot| if self.status(slot) == status::NORMAL { "normal" } else { "unbootable" };
        let (current, active) = (self.running, self.active());
        match arguments {
            ["get-current-slot"] => Ok(format!("{}\n", current.number())),
            ["dump-slots-info"] => Ok(format!(
                "Current version: 39.2.0\nCapsule update status: 0\nCurrent bootloader slot: {current}\n\
                 Active bootloader slot: {active}\nnum_slots: 2\nslot: 0,             status: normal\n\
                 slot: 1,             status: normal\n"
            )),
            ["-t", "rootfs", "dump-slots-info"] => Ok(format!(
                "Current rootfs slot: {current}\nActive rootfs slot: {active}\nnum_slots: 2\n\
                 slot: 0,             retry_count: {},             status: {}\n\
                 slot: 1,             retry_count: {},             status: {}\n",
                left[0],
                word(Slot::A),
                left[1],
                word(Slot::B)
            )),
            ["set-active-boot-slot", next] => {
                let next = Slot::from_number(next).unwrap();
                self.effect(|model| {
                    model.variables.insert(Variable::ChainNext, number(next));
                })?;
                if !self.keeps_counter {
                    self.effect(|model| {
                        if let Some(left) = &mut model.register {
                            left[index(next)] = ATTEMPTS;
                        }
                    })?;
                }
                Ok(String::new())
            }
            ["verify"] => {
                self.effect(Self::verify)?;
                Ok("Info: variable BootChainFwStatus is not found.\n".to_owned())
            }
            other => panic!("nvbootctrl {other:?}"),
        }
    }

    fn read(&mut self, variable: Variable) -> Result<Option<u32>, Error> {
        Ok(self.variables.get(&variable).copied())
    }

    fn write(&mut self, variable: Variable, value: u32) -> Result<(), Error> {
        self.effect(|model| {
            model.variables.insert(variable, value);
        })
    }

    fn remove(&mut self, variable: Variable) -> Result<(), Error> {
        self.effect(|model| {
            model.variables.remove(&variable);
        })
    }
}

fn cut() -> Error {
    tool::Error::Start { program: "power".into(), source: std::io::ErrorKind::ConnectionAborted.into() }
        .into()
}

fn status_of(slot: Slot) -> Variable {
    match slot {
        Slot::A => Variable::StatusA,
        Slot::B => Variable::StatusB,
    }
}

pub fn index(slot: Slot) -> usize {
    slot.number().parse().unwrap()
}

fn number(slot: Slot) -> u32 {
    slot.number().parse().unwrap()
}

fn slot(number: u32) -> Slot {
    Slot::from_number(&number.to_string()).unwrap()
}
