//! What is done from the command line: setting up, checking, backing up.

mod backup;
mod check;
mod init;

pub use backup::backup;
pub use check::{Finding, Level, check};
pub use init::{Done, init};
