//! What an operator may set about the rules; what a moderator may set is [`nodi_protocol::chat::settings`].

use nodi_daemon::config::{Validate, in_range};
use nodi_protocol::chat::settings::Settings;
use serde::Deserialize;

use crate::limits;

/// `[moderation]` of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What a channel's chat starts with, until its moderators change it. Default: everything off but the raid shield.
    pub defaults: Settings,
    /// How long a held message waits for a moderator, in seconds; then it is dropped. Default 600.
    pub hold_s: u32,
    /// How long a message may not be said again in unique chat, in seconds. Default 60.
    pub unique_s: u32,
    /// How long a ban also holds for the address that the account was last seen at, in seconds. Addresses change
    /// hands, so this is an obstacle and no wall. Default 7 days; 0: not at all. It ends with the salt that the address
    /// is hashed with, after one to two times `store.salt_s`.
    pub address_ban_s: u64,
    /// An address with at least this many accounts within a day is shared (a school, a mobile network): what others
    /// say from there is held for a moderator instead of being refused. Default 5.
    pub shared_address: usize,
    pub raid: Raid,
    /// How much may be said.
    pub limits: limits::Config,
}

/// When a burst of newcomers is taken for a raid, `[moderation.raid]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raid {
    /// An account younger than this, in seconds, is new. Default one day.
    pub new_account_s: u64,
    /// So many new accounts that speak within `window_s`, and more of them than of all others: a raid. Default 10.
    pub accounts: usize,
    /// So many accounts that speak here for the first time within `window_s`, whatever their age, and twice as many
    /// as all others: a raid too. Only in a channel where `accounts` × 5 had spoken before this day: the first evening of a
    /// channel is not a raid. Default 40.
    pub first_timers: usize,
    /// In seconds. Default 30.
    pub window_s: u32,
    /// How long newcomers are held after the last sign of a raid, in seconds. Default 120.
    pub hold_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            defaults: Settings::default(),
            hold_s: 600,
            unique_s: 60,
            address_ban_s: 7 * 86_400,
            shared_address: 5,
            raid: Raid::default(),
            limits: limits::Config::default(),
        }
    }
}

impl Default for Raid {
    fn default() -> Self {
        Self { new_account_s: 86_400, accounts: 10, first_timers: 40, window_s: 30, hold_s: 120 }
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        in_range("moderation.hold_s", self.hold_s, 10..=86_400)?;
        in_range("moderation.unique_s", self.unique_s, 1..=3_600)?;
        in_range("moderation.address_ban_s", self.address_ban_s, 0..=30 * 86_400)?;
        in_range("moderation.shared_address", self.shared_address, 2..=1_000)?;
        in_range("moderation.raid.new_account_s", self.raid.new_account_s, 0..=365 * 86_400)?;
        in_range("moderation.raid.accounts", self.raid.accounts, 2..=1_000)?;
        in_range("moderation.raid.first_timers", self.raid.first_timers, 2..=1_000)?;
        in_range("moderation.raid.window_s", self.raid.window_s, 1..=600)?;
        in_range("moderation.raid.hold_s", self.raid.hold_s, 1..=3_600)?;
        self.limits.validate()?;
        super::settings::check(&self.defaults).map_err(|reason| ("moderation.defaults", reason))
    }
}
