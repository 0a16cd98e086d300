//! What takes long: downloading, installing, asking for the reboot. One at a time, and gone with its state.

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::seams::{Obstacle, Progress, Said};

/// Nothing, something that goes on, or its end that nobody has looked at.
#[derive(Default)]
pub(super) struct Work {
    task: JoinSet<Result<(), Obstacle>>,
    said: Option<watch::Receiver<Said>>,
    ended: Option<Result<(), Obstacle>>,
}

impl Work {
    /// `work` is given where to say how far it is.
    pub(super) fn begin<F>(&mut self, work: impl FnOnce(Progress) -> F)
    where
        F: Future<Output = Result<(), Obstacle>> + Send + 'static,
    {
        let (progress, said) = Progress::new();
        self.task = JoinSet::new();
        self.task.spawn(work(progress));
        self.said = Some(said);
        self.ended = None;
    }

    pub(super) fn is_going_on(&self) -> bool {
        !self.task.is_empty()
    }

    /// How it ended, told once.
    pub(super) fn take(&mut self) -> Option<Result<(), Obstacle>> {
        if self.ended.is_none()
            && let Some(joined) = self.task.try_join_next()
        {
            self.note(joined);
        }
        self.ended.take()
    }

    /// How far it is.
    pub(super) fn said(&mut self) -> Option<Said> {
        let said = self.said.as_mut()?.borrow_and_update().clone();
        (said != Said::default()).then_some(said)
    }

    /// Until it ended, or is farther.
    pub(super) async fn changed(&mut self) {
        let farther = async {
            let has_changed = match &mut self.said {
                Some(said) => said.changed().await.is_ok(),
                None => false,
            };
            if !has_changed {
                std::future::pending::<()>().await;
            }
        };
        let ended = async {
            match self.task.join_next().await {
                Some(joined) => joined,
                None => std::future::pending().await,
            }
        };
        let joined = tokio::select! {
            joined = ended => joined,
            () = farther => return,
        };
        self.note(joined);
    }

    fn note(&mut self, joined: Result<Result<(), Obstacle>, tokio::task::JoinError>) {
        self.ended = Some(joined.unwrap_or_else(|error| Err(Obstacle::lasting(error.to_string()))));
    }
}
