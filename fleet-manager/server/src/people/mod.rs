//! People: who they are, what they may do, how they log in, and the tokens of their programs.

mod login_routes;
pub mod logins;
pub mod names;
pub mod password;
mod person_routes;
mod routes;
pub(crate) mod rows;
pub(crate) mod slowdown;
mod token_routes;
pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::state::App;
use crate::tasks::Tasks;
pub(crate) use login_routes::{MEMBERS, target};
pub use login_routes::{check_credentials, first_administrator};
pub use routes::routes;
pub use rows::PersonView;
pub use token_routes::TokenView;

/// How often expired logins and tokens are deleted.
const PRUNE: Duration = Duration::from_secs(3_600);

/// What somebody may do. Each role may do what those before it may; a member has an account of the watch site and no
/// right in this API; a streamer is a viewer of nothing but their own channels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Member,
    Streamer,
    Viewer,
    Operator,
    Administrator,
}

impl Role {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Streamer => "streamer",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// # Errors
    /// When the database holds something else, which its own checks forbid.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        [Self::Member, Self::Streamer, Self::Viewer, Self::Operator, Self::Administrator]
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| Error::Internal(format!("no role {name:?}")))
    }
}

/// What a token may do of what its person may. Each includes those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Read,
    Operate,
    Administer,
}

impl Scope {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Administer => "administer",
        }
    }

    /// # Errors
    /// When the database holds something else, which its own checks forbid.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        [Self::Read, Self::Operate, Self::Administer]
            .into_iter()
            .find(|scope| scope.name() == name)
            .ok_or_else(|| Error::Internal(format!("no scope {name:?}")))
    }

    /// Whether a token of this scope may do what takes `role`.
    #[must_use]
    pub fn reaches(self, role: Role) -> bool {
        match role {
            Role::Member | Role::Streamer | Role::Viewer => true,
            Role::Operator => self >= Self::Operate,
            Role::Administrator => self >= Self::Administer,
        }
    }
}

/// How people log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A browser that does nothing for so long is logged out, in seconds.
    pub idle_s: u64,
    /// After so long everybody logs in again, in seconds.
    pub longest_s: u64,
    /// Browsers that one person can be logged in with; the oldest is logged out.
    pub logins_per_person: u32,
    /// Shortest password that is taken, in characters.
    pub password_min: usize,
    /// API tokens that one person can have.
    pub tokens_per_person: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // A working day's lunch, and two weeks: the dashboard hangs on a wall in many places.
            idle_s: 12 * 3_600,
            longest_s: 14 * 86_400,
            logins_per_person: 20,
            password_min: 10,
            tokens_per_person: 50,
        }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.idle_s == 0 || self.longest_s < self.idle_s {
            return Err((
                "people.longest_s",
                "must not be less than people.idle_s, and neither 0".to_owned(),
            ));
        }
        if self.password_min < 8 {
            return Err(("people.password_min", "must not be less than 8".to_owned()));
        }
        if self.logins_per_person == 0 {
            return Err(("people.logins_per_person", "must not be 0".to_owned()));
        }
        Ok(())
    }
}

/// This area's part of the state.
pub struct State {
    pub(crate) hasher: password::Hasher,
    pub(crate) slowdown: slowdown::SlowDown,
    /// One permit per browser that follows live changes.
    pub(crate) followers: Arc<Semaphore>,
}

impl State {
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn new(config: &crate::Config) -> Result<Self, Error> {
        Ok(Self {
            hasher: password::Hasher::new()?,
            slowdown: slowdown::SlowDown::default(),
            followers: Arc::new(Semaphore::new(config.http.max_followers.min(Semaphore::MAX_PERMITS))),
        })
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    let app = app.clone();
    tasks.spawn("logins", async move {
        loop {
            let pruning = app.clone();
            if let Err(error) = app.db.write(move |tx| logins::prune(tx, &pruning)).await {
                log::warn!("expired logins stay: {error}");
            }
            app.clock.sleep(PRUNE).await;
        }
    });
}
