//! The connections that read.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Semaphore;

use crate::error::Error;

pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self { free: Semaphore::new(connections.len()), idle: Mutex::new(connections) }
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    pub(super) async fn run<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        job: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let closed = || Error::Unavailable("the database is closed".to_owned());
        let readers = std::sync::Arc::clone(self);
        // The permit is given back only after the connection, also when the asker goes away meanwhile.
        let permit = self.free.acquire().await.map_err(|_| closed())?;
        permit.forget();
        let task = tokio::task::spawn_blocking(move || {
            let mut lent = Lent { connection: readers.take(), readers: &readers };
            let connection = lent.connection.as_mut().ok_or_else(closed)?;
            // One snapshot for all statements of the job.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            job(&transaction)
        });
        task.await.map_err(|error| Error::Internal(format!("a database read failed: {error}")))?
    }
}

/// Gives the connection back whatever happens.
struct Lent<'a> {
    connection: Option<Connection>,
    readers: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.put(connection);
        }
        self.readers.free.add_permits(1);
    }
}
