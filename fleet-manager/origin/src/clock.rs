//! Time, passed in: tests of reconnect windows and waiting requests advance it by hand and are instant.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub enum Clock {
    System { start: Instant },
    Manual(Arc<Manual>),
}

/// A clock that stands still until [`Manual::advance`].
#[derive(Debug)]
pub struct Manual {
    start_unix_ms: u64,
    elapsed: watch::Sender<Duration>,
}

impl Manual {
    #[must_use]
    pub fn new(start_unix_ms: u64) -> Arc<Self> {
        Arc::new(Self { start_unix_ms, elapsed: watch::channel(Duration::ZERO).0 })
    }

    pub fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += by);
    }
}

impl Clock {
    #[must_use]
    pub fn system() -> Self {
        Self::System { start: Instant::now() }
    }

    /// Since some moment before the first call; never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        match self {
            Self::System { start } => start.elapsed(),
            Self::Manual(manual) => *manual.elapsed.borrow(),
        }
    }

    /// Wall-clock time.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        match self {
            Self::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Self::Manual(manual) => {
                let elapsed = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
                manual.start_unix_ms.saturating_add(elapsed)
            }
        }
    }

    pub async fn sleep(&self, duration: Duration) {
        match self {
            Self::System { .. } => tokio::time::sleep(duration).await,
            Self::Manual(manual) => {
                let until = self.now() + duration;
                let mut elapsed = manual.elapsed.subscribe();
                if elapsed.wait_for(|elapsed| *elapsed >= until).await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }

    /// Until deadlines should be looked at again, after they were looked at with `seen` as the time.
    pub async fn tick(&self, seen: Duration) {
        match self {
            Self::System { .. } => tokio::time::sleep(TICK).await,
            Self::Manual(manual) => {
                let mut elapsed = manual.elapsed.subscribe();
                if elapsed.wait_for(|elapsed| *elapsed > seen).await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}
