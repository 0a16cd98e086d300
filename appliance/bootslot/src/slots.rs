//! What each order does, step by step. A power cut between any two steps leaves a slot that boots: of the two
//! statuses that of the running slot is never set to unbootable, and a slot that is not whole is never the next one.

use crate::Error;
use crate::board::Board;
use crate::command::{Command, OnTrial, Slot};
use crate::tool::{self, Info};
use crate::variables::{self, Variable, status};

const ARMED: u32 = 1;
const SLOTS: u32 = 2;
/// `RootfsRetryCountMax` of L4TConfiguration.dts, where the firmware does not say it.
const ATTEMPTS: u32 = 3;

/// Carries out `command`; the answer, if it has one.
///
/// # Errors
/// What failed. Nothing was changed with [`Error::NotArmed`], [`Error::LastSlot`] and [`Error::Unconfirmed`].
pub fn run(command: Command, board: &mut impl Board) -> Result<Option<&'static str>, Error> {
    let name = |slot| match slot {
        Slot::A => "A",
        Slot::B => "B",
    };
    match command {
        Command::GetCurrent => current(board).map(|slot| Some(name(slot))),
        Command::GetPrimary => info(board).map(|info| Some(name(info.active))),
        Command::GetState(slot) => is_good(board, slot).map(|good| Some(if good { "good" } else { "bad" })),
        Command::SetPrimary(slot) => set_primary(board, slot).map(|()| None),
        Command::SetState { slot, good: true } => set_good(board, slot).map(|()| None),
        Command::SetState { slot, good: false } => set_bad(board, slot).map(|()| None),
        Command::Armed => ready(board).map(|()| None),
        Command::BootOk(on_trial) => boot_ok(board, on_trial).map(|()| None),
    }
}

fn current(board: &mut impl Board) -> Result<Slot, Error> {
    Ok(tool::parse_current(&board.nvbootctrl(&["get-current-slot"])?)?)
}

fn info(board: &mut impl Board) -> Result<Info, Error> {
    Ok(Info::parse(&board.nvbootctrl(&[tool::DUMP])?)?)
}

/// Without redundancy an order to switch is taken and has no effect.
fn armed(board: &mut impl Board) -> Result<Info, Error> {
    match board.read(Variable::RedundancyLevel)? {
        Some(ARMED) => {}
        Some(level) => {
            return Err(Error::NotArmed(format!(
                "EFI variable {} is {level}, not {ARMED}",
                Variable::RedundancyLevel
            )));
        }
        None => {
            return Err(Error::NotArmed(format!("there is no EFI variable {}", Variable::RedundancyLevel)));
        }
    }
    let info = info(board)?;
    if info.slots == SLOTS {
        Ok(info)
    } else {
        Err(Error::NotArmed(format!("the boot loader has {} slots, not {SLOTS}", info.slots)))
    }
}

fn status_of(slot: Slot) -> Variable {
    match slot {
        Slot::A => Variable::StatusA,
        Slot::B => Variable::StatusB,
    }
}

/// No variable is how a board starts that has never failed.
fn is_good(board: &mut impl Board, slot: Slot) -> Result<bool, Error> {
    let variable = status_of(slot);
    match board.read(variable)? {
        None | Some(status::NORMAL) => Ok(true),
        Some(status::UNBOOTABLE) => Ok(false),
        Some(value) => Err(variables::Error::Value { variable, value }.into()),
    }
}

fn set_primary(board: &mut impl Board, slot: Slot) -> Result<(), Error> {
    let info = armed(board)?;
    let running = current(board)?;
    // RAUC said "bad" before it wrote the slot, and says nothing else before this.
    mark(board, slot, status::NORMAL)?;
    if slot == running {
        if info.active == slot && board.read(Variable::ChainNext)?.is_none() {
            return Ok(());
        }
        return switch(board, slot);
    }
    switch_or_stay(board, slot, running)
}

/// To a slot that does not run. When it is not certain that the switch works, none is asked for.
fn switch_or_stay(board: &mut impl Board, slot: Slot, running: Slot) -> Result<(), Error> {
    let switched = switch(board, slot).and_then(|()| check_attempts(board, slot));
    match switched {
        Ok(()) => Ok(()),
        Err(first) => Err(match switch(board, running) {
            Ok(()) => first,
            Err(then) => Error::Undo { first: Box::new(first), then: Box::new(then) },
        }),
    }
}

fn switch(board: &mut impl Board, slot: Slot) -> Result<(), Error> {
    board.remove(Variable::ChainStatus)?;
    board.nvbootctrl(&["set-active-boot-slot", slot.number()])?;
    match info(board)?.active {
        active if active == slot => Ok(()),
        is => Err(Error::NotTaken { wanted: slot, is }),
    }
}

/// The launcher refuses a slot whose counter in the scratch register is 0, whatever its status says.
fn check_attempts(board: &mut impl Board, slot: Slot) -> Result<(), Error> {
    if attempts(board, slot)? == Some(0) { Err(Error::NoAttempts(slot)) } else { Ok(()) }
}

/// `None`: not every tool tells; then the launcher's own way back has to do.
fn attempts(board: &mut impl Board, slot: Slot) -> Result<Option<u32>, Error> {
    match board.nvbootctrl(&["-t", "rootfs", tool::DUMP]) {
        Ok(text) => Ok(tool::attempts(&text, slot)),
        Err(Error::Tool(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `slot`, which runs, was called good since it came up: then its counter is full again.
fn confirmed(board: &mut impl Board, slot: Slot) -> Result<(), Error> {
    let most = board.read(Variable::RetryCountMax)?.unwrap_or(ATTEMPTS);
    let is = attempts(board, slot)?.is_none_or(|left| left >= most);
    if is { Ok(()) } else { Err(Error::Unconfirmed(slot)) }
}

/// A boot is an attempt of the slot on trial, and of nobody else; the launcher counts them all, and a slot that has used up its
/// attempts is lost to it. Where nobody knows whether there is a trial, the slots take turns: the other one may be broken.
fn boot_ok(board: &mut impl Board, on_trial: OnTrial) -> Result<(), Error> {
    let running = current(board)?;
    let rest = running.other();
    let may_be = match on_trial {
        OnTrial::None => false,
        OnTrial::Slot(slot) => slot == running,
        OnTrial::Unknown => true,
    };
    if !may_be || !would_start(board, rest).unwrap_or(false) {
        return verify(board);
    }
    match (on_trial, attempts(board, running)?) {
        (OnTrial::Slot(_), _) | (_, Some(1..)) => Ok(()),
        (_, Some(0)) => {
            verify(board)?;
            switch_or_stay(board, rest, running)
        }
        (_, None) => verify(board),
    }
}

fn verify(board: &mut impl Board) -> Result<(), Error> {
    board.nvbootctrl(&["verify"]).map(drop)
}

/// As far as the launcher is concerned.
fn would_start(board: &mut impl Board, slot: Slot) -> Result<bool, Error> {
    Ok(is_good(board, slot)? && attempts(board, slot)? != Some(0))
}

/// The other slot may be given up for an update.
fn ready(board: &mut impl Board) -> Result<(), Error> {
    armed(board)?;
    let running = current(board)?;
    confirmed(board, running)
}

fn set_good(board: &mut impl Board, slot: Slot) -> Result<(), Error> {
    if slot == current(board)? {
        verify(board)?;
    }
    mark(board, slot, status::NORMAL)
}

fn set_bad(board: &mut impl Board, slot: Slot) -> Result<(), Error> {
    let info = armed(board)?;
    let running = current(board)?;
    let rest = slot.other();
    // One that cannot be read must not be counted on.
    if !is_good(board, rest).unwrap_or(false) {
        return Err(Error::LastSlot(format!(
            "slot {slot} stays as it is, since slot {rest} is not marked good and no other one would be left"
        )));
    }
    if slot == running {
        return switch_or_stay(board, rest, running);
    }
    let is_next = info.active == slot || board.read(Variable::ChainNext)?.is_some();
    // An installation that was cut begins again, maybe before the running slot was called good: nothing is given up by it.
    if !is_next && board.read(status_of(slot)).is_ok_and(|is| is == Some(status::UNBOOTABLE)) {
        return Ok(());
    }
    // A slot on trial: the other one is what is left if it fails.
    confirmed(board, running)?;
    // An installation that was not booted yet is about to be written over: the next boot must not go there.
    if is_next {
        switch(board, running)?;
    }
    mark(board, slot, status::UNBOOTABLE)
}

/// The firmware's memory wears out with each write, and the running slot is marked good in every boot.
fn mark(board: &mut impl Board, slot: Slot, wanted: u32) -> Result<(), Error> {
    let variable = status_of(slot);
    // One that cannot be read is written over.
    if board.read(variable).is_ok_and(|is| is == Some(wanted)) {
        return Ok(());
    }
    board.write(variable, wanted)
}
