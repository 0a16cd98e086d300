//! `nodi-bootslot`: between RAUC and the boot loader of a Jetson. RAUC asks and orders in its own words (`bootloader=custom`);
//! this turns them into `nvbootctrl` and EFI variables, so that after any order, and after a power cut within one, some
//! slot boots. The command line, its exit codes and what is wanted of `nvbootctrl` are in `README.md`.
//!
//! What the firmware does with it (edk2-nvidia r39.2, `BootChainDxe` and `L4TLauncher`): `BootChainFwNext` asks for a switch of the
//! chain, and is dropped unread while a `BootChainFwStatus` of an earlier switch is there. The launcher counts attempts per
//! slot in a scratch register; where that lost its contents, a slot starts with three, or with none when its
//! `RootfsStatusSlotX` is 0xFF. A slot without attempts gets 0xFF for good, and the other one is tried; when both are out, the box
//! waits for a person.

pub mod board;
pub mod command;
pub mod slots;
pub mod tool;
pub mod variables;

pub use board::{Board, Jetson};
pub use command::{Command, OnTrial, Slot};

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("A/B redundancy is not armed: {0}")]
    NotArmed(String),
    /// Nothing was changed.
    #[error("refused: {0}")]
    LastSlot(String),
    /// Nothing was changed. It passes, once the health gate has.
    #[error(
        "refused: slot {0}, which runs, was not marked good since it came up, so the other one is still needed"
    )]
    Unconfirmed(Slot),
    #[error(transparent)]
    Tool(#[from] tool::Error),
    #[error(transparent)]
    Variable(#[from] variables::Error),
    #[error("the boot loader did not take slot {wanted} as the next one: {is} still is")]
    NotTaken { wanted: Slot, is: Slot },
    #[error(
        "the boot loader's counter has no attempt left for slot {0}, and nvbootctrl did not renew it: switch the box off and on once"
    )]
    NoAttempts(Slot),
    /// `first` happened, and then the way back did not work either.
    #[error("{first}; and then: {then}")]
    Undo { first: Box<Error>, then: Box<Error> },
}

impl Error {
    /// As in `README.md`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotArmed(_) => exit::NOT_ARMED,
            Self::LastSlot(_) | Self::Unconfirmed(_) => exit::REFUSED,
            Self::Tool(_)
            | Self::Variable(_)
            | Self::NotTaken { .. }
            | Self::NoAttempts(_)
            | Self::Undo { .. } => exit::FAILURE,
        }
    }
}

/// Exit codes.
pub mod exit {
    pub const FAILURE: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const NOT_ARMED: u8 = 3;
    pub const REFUSED: u8 = 4;
}
