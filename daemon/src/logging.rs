//! One facade (`log` with key-value pairs), two sinks: structured journal fields under systemd,
//! readable lines on a terminal.

use log::LevelFilter;

/// Installs the logger for process `name`. `level` is the configured default; `RUST_LOG` wins over it.
///
/// Calling it twice keeps the first logger.
pub fn init(name: &'static str, level: LevelFilter) {
    if systemd_journal_logger::connected_to_journal()
        && let Ok(logger) = systemd_journal_logger::JournalLog::new()
    {
        let logger = logger
            .with_syslog_identifier(name.to_owned())
            .with_extra_fields([("VERSION", env!("CARGO_PKG_VERSION"))]);
        if logger.install().is_ok() {
            log::set_max_level(level);
        }
        return;
    }
    // A second call in one process (tests start several services in one) is not an error.
    let _ = env_logger::Builder::new()
        .filter_level(level)
        .parse_default_env()
        .format_timestamp_millis()
        .try_init();
}
