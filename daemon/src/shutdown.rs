//! Stopping: the first SIGTERM or SIGINT asks every task to stop taking new work and to drain; a
//! second one, or the deadline, ends the process at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A clonable handle that tasks await.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<bool>,
}

/// The side that triggers a [`Shutdown`].
#[derive(Clone, Debug)]
pub struct Trigger {
    ask: watch::Sender<bool>,
}

/// A pair that is not connected to signals: for tests and for services inside another process.
#[must_use]
pub fn manual() -> (Trigger, Shutdown) {
    let (ask, asked) = watch::channel(false);
    (Trigger { ask }, Shutdown { asked })
}

/// Listens for SIGTERM and SIGINT. After the first, the process has `deadline` to end by itself.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signals(deadline: Duration) -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (trigger, shutdown) = manual();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        log::info!("stopping: draining for at most {} s", deadline.as_secs());
        crate::systemd::stopping();
        trigger.stop();
        tokio::select! {
            _ = terminate.recv() => log::warn!("second signal: ending at once"),
            _ = interrupt.recv() => log::warn!("second signal: ending at once"),
            () = tokio::time::sleep(deadline) => log::error!("still not drained: ending at the deadline"),
        }
        std::process::exit(i32::from(crate::exit::FAILURE));
    });
    Ok(shutdown)
}

impl Trigger {
    /// Asks every holder of the paired [`Shutdown`] to stop.
    pub fn stop(&self) {
        self.ask.send_replace(true);
    }
}

impl Shutdown {
    /// Completes once stopping was asked for, or the trigger is gone.
    pub async fn wait(&self) {
        let mut asked = self.asked.clone();
        // An error means that the trigger was dropped: nobody is left who wants us to run.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Whether stopping was asked for already.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow() || self.asked.has_changed().is_err()
    }
}
