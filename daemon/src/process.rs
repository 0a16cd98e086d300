//! What stands around the work of a process: the log at its beginning, the exit code at its end.

use std::fmt::Display;
use std::process::ExitCode;

use log::LevelFilter;

use crate::{exit, logging};

/// Starts the log, as detailed as the configuration says.
///
/// # Errors
/// The configuration is unusable, which the log says; the process ends with this.
pub fn begin<C, E: Display>(
    name: &'static str,
    configured: Result<C, E>,
    level: impl FnOnce(&C) -> LevelFilter,
) -> Result<C, ExitCode> {
    match configured {
        Ok(config) => {
            logging::init(name, level(&config));
            Ok(config)
        }
        Err(error) => {
            logging::init(name, LevelFilter::Info);
            log::error!("{error}");
            Err(ExitCode::from(exit::CONFIG))
        }
    }
}

/// Says what went wrong, if anything.
pub fn end<E: Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(exit::FAILURE)
        }
    }
}
