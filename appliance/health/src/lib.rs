//! `nodi-health gate`: whether the slot that runs may be called good (docs/interfaces.md section 13). Outside of a trial it says so
//! at once. In one it does what a streamer would do, again and again until everything holds at the same time or the
//! window is over; then it goes back to the other slot.
//!
//! # What must never happen
//!
//! A box that neither works nor comes back by itself. So nothing that goes wrong in the gate's own files decides anything:
//!
//! - *No `trial.json`*: no trial. The file is written whole before the reboot that begins one.
//! - *A `trial.json` that cannot be read* (only a damaged file system or a fault in the agent makes one) is a trial of
//!   whatever runs, with the usual window and without the broker. Taking it for none would call a slot good that nobody looked
//!   at; failing at once would throw away a slot that may work. It is judged once, whatever comes of it: the next boot puts
//!   it aside, so that it cannot send a box to and fro.
//! - *A trial that passed in an earlier boot* has passed: what comes later is no reason to go back to an older version.
//! - *A trial that failed in [`gate::MOST_FAILURES`] boots* is not gone back from again: the boot loader would have changed the
//!   slot by then if it could, and a box that stays up in a bad state can be reached, one that reboots for ever cannot.
//! - *No other slot to go back to*: the same.
//! - *A configuration that is unusable* fails a trial, and only a trial.
//! - *A record that cannot be written* is said in the log.

pub mod arrival;
pub mod check;
pub mod command;
pub mod config;
pub mod gate;
pub mod probe;
pub mod record;
pub mod slots;
pub mod stream;
pub mod trial;

pub use config::Config;
pub use gate::{Gate, Verdict};
