//! Orders against a board that behaves as edk2-nvidia r39.2 does: in memory, where its power can be cut between any two
//! effects, and as files with a stand-in for `nvbootctrl`, where the real binary is started as RAUC starts it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(unreachable_pub, reason = "the modules of one test binary")]

mod firmware;
mod orders;
mod power;
mod process;
