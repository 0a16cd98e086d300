//! Background tasks: each has a name, ends when the process stops, and is noticed when it ends before that.

use nodi_daemon::shutdown::Shutdown;
use tokio::task::JoinSet;

/// All tasks of the process.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<&'static str>,
    shutdown: Shutdown,
}

impl Tasks {
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { set: JoinSet::new(), shutdown }
    }

    /// A task that is cut off at its next await when the process stops.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.set.spawn(async move {
            tokio::select! {
                () = task => {}
                () = shutdown.wait() => {}
            }
            name
        });
    }

    /// A task that sees the stop itself and may still finish something.
    pub fn spawn_draining(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    /// Returns when all have ended after a stop was asked for, or one ended before: then `Err` has its name.
    ///
    /// # Errors
    /// The task that ended although nobody asked it to.
    pub async fn run(&mut self) -> Result<(), String> {
        while let Some(ended) = self.set.join_next().await {
            match ended {
                Ok(name) if !self.shutdown.is_asked() => return Err(format!("task {name} ended")),
                Ok(_) => {}
                Err(error) => return Err(format!("a task failed: {error}")),
            }
        }
        Ok(())
    }
}
