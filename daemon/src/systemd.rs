//! `sd_notify` for `Type=notify` units; silent when the process does not run under systemd.

use std::time::Duration;

use sd_notify::NotifyState;

/// The process serves.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The process drains.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// All parts of the process were seen to work; [`Watchdog`](crate::watchdog::Watchdog) alone calls it.
pub(crate) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often [`alive`] has to be called: half of `WatchdogSec=`; `None` when no watchdog is set.
#[must_use]
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Starting, running or stopping may take so much longer from now on.
pub fn extend_timeout(by: Duration) {
    notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("sd_notify: {error}");
    }
}
