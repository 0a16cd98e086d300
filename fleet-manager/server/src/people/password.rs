//! Passwords: argon2id, away from the threads that serve, and no more at a time than memory and cores allow.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::ids;

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane. About 30 ms of a core, which makes guessing dear and
/// logging in not noticeable.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at a time: 38 MiB, and never all cores of a larger machine.
const AT_ONCE: usize = 2;
/// Log-ins that may wait for a turn, about a second's worth; more are told to come back.
const WAITING: usize = 32;
/// Longest password, in bytes: no limit to anybody, and a limit to what strangers make us hash.
pub const MAX_BYTES: usize = 1_024;

/// Makes and checks password hashes (PHC strings).
pub struct Hasher {
    argon2: Argon2<'static>,
    /// Checked when there is no such person, so that it takes as long as when there is.
    nobody: Arc<str>,
    turn: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Hasher {
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn new() -> Result<Self, Error> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash_now(&argon2, &ids::secret("")?)?.into();
        Ok(Self {
            argon2,
            nobody,
            turn: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        })
    }

    /// # Errors
    /// When too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        let argon2 = self.argon2.clone();
        self.run(move || hash_now(&argon2, &password)).await
    }

    /// Whether `password` is the one of `stored`; `None` (nobody) takes as long and is never right.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn verify(&self, stored: Option<String>, password: String) -> Result<bool, Error> {
        let argon2 = self.argon2.clone();
        let nobody = Arc::clone(&self.nobody);
        self.run(move || {
            let known = stored.is_some();
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(&nobody)).map_err(failed)?;
            let right = argon2.verify_password(password.as_bytes(), &hash).is_ok();
            Ok(right && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let busy =
            || Error::TooMany { reason: "too many log-ins at the moment".to_owned(), retry_after_s: 2 };
        let _place = self.queue.try_acquire().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| busy())?;
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        work.await.map_err(|error| Error::Internal(format!("password hash: {error}")))?
    }
}

fn hash_now(argon2: &Argon2<'_>, password: &str) -> Result<String, Error> {
    Ok(argon2.hash_password(password.as_bytes()).map_err(failed)?.to_string())
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("password hash: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let hasher = Hasher::new().unwrap();
        let stored = hasher.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(hasher.verify(Some(stored.clone()), "correct horse".into()).await.unwrap());
        assert!(!hasher.verify(Some(stored), "correct hors".into()).await.unwrap());
        assert!(!hasher.verify(None, "anything".into()).await.unwrap());
    }
}
