//! What every Nodi process does alike around its real work: logging, loading its configuration and the settings laid
//! over it, following files that change, stopping on signals, telling systemd how it is. Nothing here knows about media or HTTP.

pub mod config;
pub mod damage;
pub mod exit;
pub mod files;
pub mod logging;
pub mod process;
pub mod settings;
pub mod shutdown;
pub mod systemd;
pub mod watch;
pub mod watchdog;
