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
    // The logger itself lets everything through, so that the level can be moved in both directions later.
    // A second call in one process (tests start several services in one) is not an error.
    let installed = env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .parse_default_env()
        .format_timestamp_millis()
        .try_init();
    if installed.is_ok() {
        set_level(level);
    }
}

/// Moves the level of the running process; without effect while `RUST_LOG` is set.
pub fn set_level(level: LevelFilter) {
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_none() {
        log::set_max_level(level);
    }
}
