//! Exit codes that all processes share. Codes from 10 upwards belong to the single process.

/// All went well.
pub const OK: u8 = 0;
/// Something failed at run time; the log says what.
pub const FAILURE: u8 = 1;
/// The configuration or the command line is unusable: a restart will not help (sysexits EX_CONFIG).
pub const CONFIG: u8 = 78;
