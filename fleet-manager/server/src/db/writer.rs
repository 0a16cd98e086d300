//! The thread that writes.

use std::cell::RefCell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// Jobs that may wait; who comes then waits for room, which slows down the network side instead of filling memory.
const QUEUE: usize = 4_096;
/// Most jobs in one transaction, so that nobody waits long for the commit.
const BATCH: usize = 256;

type After = Box<dyn FnOnce() + Send>;
/// `Err`: the batch was not committed.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;
type Job = Box<dyn FnOnce(&Tx<'_>) -> Done + Send>;

struct Done {
    keep: bool,
    answer: Answer,
}

/// A transaction of one job: a [`Connection`] that also takes what has to happen after the commit.
pub struct Tx<'a> {
    transaction: &'a Transaction<'a>,
    after: RefCell<Vec<After>>,
}

impl Tx<'_> {
    /// Runs `after` once this job is committed, and never if it is not. It runs on the writer's thread: it must not
    /// block.
    pub fn then(&self, after: impl FnOnce() + Send + 'static) {
        self.after.borrow_mut().push(Box::new(after));
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.transaction
    }
}

/// A clonable handle; the thread ends with the last one.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || work(connection, queue, &counter))?;
        Ok(Self { jobs, waiting })
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = catch_unwind(AssertUnwindSafe(|| job(tx)))
                .unwrap_or_else(|_| Err(Error::Internal("a database job panicked".to_owned())));
            Done {
                keep: result.is_ok(),
                answer: Box::new(move |committed| {
                    let result = match (result, committed) {
                        (Ok(_), Err(reason)) => Err(Error::Unavailable(reason)),
                        (result, _) => result,
                    };
                    // The asker may have gone away: then nobody wants to know.
                    let _ = reply.send(result);
                }),
            }
        });
        let gone = || Error::Unavailable("the database is closed".to_owned());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.jobs.send(job).await.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(gone());
        }
        answer.await.map_err(|_| gone())?
    }
}

fn work(mut connection: Connection, mut queue: mpsc::Receiver<Job>, waiting: &AtomicUsize) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(job) = queue.blocking_recv() {
        batch.push(job);
        while batch.len() < BATCH {
            let Ok(job) = queue.try_recv() else { break };
            batch.push(job);
        }
        waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        commit(&mut connection, batch.drain(..));
    }
}

/// Runs the jobs in one transaction, then what they want to happen afterwards, then answers.
fn commit(connection: &mut Connection, jobs: impl Iterator<Item = Job>) {
    let mut answers = Vec::new();
    let mut after = Vec::new();
    let committed = run(connection, jobs, &mut answers, &mut after);
    if let Err(error) = &committed {
        log::error!("database: {error}");
    } else {
        for after in after {
            if catch_unwind(AssertUnwindSafe(after)).is_err() {
                log::error!("database: what follows a commit panicked");
            }
        }
    }
    let committed = committed.map_err(|error| format!("nothing was stored: {error}"));
    for answer in answers {
        answer(committed.clone());
    }
}

fn run(
    connection: &mut Connection,
    jobs: impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
    after: &mut Vec<After>,
) -> rusqlite::Result<()> {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            // Dropping a job unanswered tells its asker.
            jobs.for_each(drop);
            return Err(error);
        }
    };
    for job in jobs {
        transaction.execute_batch("SAVEPOINT job")?;
        let tx = Tx { transaction: &transaction, after: RefCell::default() };
        let done = job(&tx);
        answers.push(done.answer);
        if done.keep {
            after.append(&mut tx.after.borrow_mut());
        } else {
            transaction.execute_batch("ROLLBACK TO job")?;
        }
        transaction.execute_batch("RELEASE job")?;
    }
    transaction.commit()
}
