//! Time, passed in: tests of expiry, slow-down and alerts advance it by hand and are instant.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(Arc<Manual>),
}

/// A clock that stands still until [`Manual::advance`].
#[derive(Debug)]
pub struct Manual {
    unix_ms: watch::Sender<i64>,
}

impl Manual {
    #[must_use]
    pub fn new(unix_ms: i64) -> Arc<Self> {
        Arc::new(Self { unix_ms: watch::channel(unix_ms).0 })
    }

    pub fn advance(&self, by: Duration) {
        self.unix_ms.send_modify(|now| *now = now.saturating_add(millis(by)));
    }
}

impl Clock {
    /// Wall-clock time in milliseconds since the Unix epoch; signed, as SQLite's integers are.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        match self {
            Self::System => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Manual(manual) => *manual.unix_ms.borrow(),
        }
    }

    pub async fn sleep(&self, duration: Duration) {
        match self {
            Self::System => tokio::time::sleep(duration).await,
            Self::Manual(manual) => {
                let until = self.unix_ms().saturating_add(millis(duration));
                let mut now = manual.unix_ms.subscribe();
                if now.wait_for(|now| *now >= until).await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}

/// Milliseconds as the database counts them.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
