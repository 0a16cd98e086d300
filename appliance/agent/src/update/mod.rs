//! Updates of the box's software: from the fleet's order to a new slot that has proved itself, or back to the old one.
//!
//! [`machine`] keeps the state (docs/interfaces.md section 13): the next state is on disk before what it names begins, and
//! after a restart it is decided from evidence ([`judge`]), whatever was cut short. It knows the box through
//! [`Updater`](crate::seams::Updater) alone. [`RaucUpdater`] is that on a box: [`download`], RAUC on D-Bus ([`rauc`]), and
//! the files through which agent, health gate and boot loader meet ([`files`]).

mod compatible;
mod config;
mod download;
mod files;
mod judge;
mod machine;
mod rauc;
mod record;
mod updater;
pub(crate) mod version;
pub(crate) mod window;

pub use config::Config;
pub(crate) use machine::{Heard, Machine, Setup, is_held};
pub(crate) use record::Record;
pub(crate) use updater::{RaucUpdater, Surroundings, own_compatible};
