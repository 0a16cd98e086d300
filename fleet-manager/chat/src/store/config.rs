//! `[store]` of the configuration.

use nodi_daemon::config::Validate;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long what happened in a channel is kept, in days. Default 30.
    pub keep_days: u32,
    /// How much of it is kept of one channel, in events. Default 200,000, about 100 MB.
    pub keep_events: u64,
    /// How often a new salt for hashes of addresses begins, in seconds; the one before stays for as long again. After
    /// two such times nothing on the disk says where anybody was. Default 7 days.
    pub salt_s: u64,
    /// How long what is to be written may wait for more, in milliseconds: one sync of the disk for all of it. Default
    /// 200.
    pub batch_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep_days: 30, keep_events: 200_000, salt_s: 7 * 86_400, batch_ms: 200 }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if !(1..=3_650).contains(&self.keep_days) {
            return Err(("store.keep_days", "has to be 1 to 3,650".to_owned()));
        }
        if !(1_000..=100_000_000).contains(&self.keep_events) {
            return Err(("store.keep_events", "has to be 1,000 to 100,000,000".to_owned()));
        }
        if !(3_600..=90 * 86_400).contains(&self.salt_s) {
            return Err(("store.salt_s", "has to be one hour to 90 days".to_owned()));
        }
        if !(1..=900).contains(&self.batch_ms) {
            return Err((
                "store.batch_ms",
                "has to be 1 to 900: after a second everything is on the disk".to_owned(),
            ));
        }
        Ok(())
    }
}
