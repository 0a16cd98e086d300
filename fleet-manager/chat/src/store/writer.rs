//! The thread that writes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nodi_protocol::ChannelId;
use nodi_protocol::chat::EventId;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;

use super::{Clock, Config, Erased, Error, Op, Salts, Stats, apply, erase, retention};

/// What may wait to be written, about 1 KiB each: more than a minute of the busiest channel while the disk is full.
pub const QUEUE: u64 = 20_000;
/// Most in one transaction, so that a reader who waits for it does not wait long.
const BATCH: usize = 4_096;
/// After a batch failed, how long until it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often old things are looked for.
const RETENTION: Duration = Duration::from_secs(60);
/// The same while there is more to delete than is deleted at once.
const RETENTION_SOON: Duration = Duration::from_millis(500);
/// How often what is lost is told in the log, in operations.
const TELL_EVERY: u64 = 1_000;

pub(super) enum Job {
    Op(Box<Op>),
    /// Answered when everything before it is written.
    Barrier(oneshot::Sender<Result<(), Error>>),
    Erase(String, oneshot::Sender<Result<Erased, Error>>),
    Close(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Job>,
    counts: Arc<Counts>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        config: Config,
        salts: Arc<Salts>,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let thread = Thread {
            connection,
            config,
            salts,
            clock,
            counts: Arc::clone(&counts),
            pending: Vec::new(),
            touched: HashSet::new(),
        };
        std::thread::Builder::new().name("chat-store".to_owned()).spawn(move || thread.run(&queue))?;
        Ok(Self { jobs, counts })
    }

    pub(super) fn submit(&self, op: Op) {
        // The channel itself is unbounded; this is its bound.
        let waiting = self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting < QUEUE && self.jobs.send(Job::Op(Box::new(op))).is_ok() {
            return;
        }
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        let lost = self.counts.lost.fetch_add(1, Ordering::Relaxed);
        if lost.is_multiple_of(TELL_EVERY) {
            log::error!(lost = lost + 1; "database: too much waits to be written, and something is lost");
        }
    }

    pub(super) fn send(&self, job: Job) -> Result<(), Error> {
        self.jobs.send(job).map_err(|_| Error::Closed)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            waiting: self.counts.waiting.load(Ordering::Relaxed),
            written: self.counts.written.load(Ordering::Relaxed),
            lost: self.counts.lost.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
        }
    }
}

struct Thread {
    connection: Connection,
    config: Config,
    salts: Arc<Salts>,
    clock: Clock,
    counts: Arc<Counts>,
    pending: Vec<Op>,
    /// Channels in which something was written since old things were looked for.
    touched: HashSet<ChannelId>,
}

impl Thread {
    fn run(mut self, queue: &Receiver<Job>) {
        let batch = Duration::from_millis(self.config.batch_ms);
        let mut write_at: Option<Instant> = None;
        let mut clean_at = Instant::now();
        loop {
            let next = write_at.map_or(clean_at, |write_at| write_at.min(clean_at));
            match queue.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Job::Op(op)) => {
                    self.pending.push(*op);
                    let full = self.pending.len() >= BATCH;
                    if write_at.is_none() {
                        write_at = Some(Instant::now() + batch);
                    } else if full && self.pending.len().is_multiple_of(BATCH) {
                        write_at = self.write();
                    }
                }
                Ok(Job::Barrier(reply)) => {
                    write_at = self.write();
                    let result = if write_at.is_none() { Ok(()) } else { Err(Error::Behind) };
                    // Whoever asked may have gone.
                    let _ = reply.send(result);
                }
                Ok(Job::Erase(account, reply)) => {
                    write_at = self.write();
                    let result = match write_at {
                        None => erase::account(&mut self.connection, &account),
                        Some(_) => Err(Error::Behind),
                    };
                    let _ = reply.send(result);
                }
                Ok(Job::Close(reply)) => {
                    self.write();
                    // Leaves one file behind, not three.
                    let truncated =
                        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                    if let Err(error) = truncated {
                        log::debug!("database: {error}");
                    }
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if write_at.is_some_and(|at| at <= Instant::now()) {
                        write_at = self.write();
                    }
                }
            }
            // A busy queue never times out.
            if write_at.is_some_and(|at| at <= Instant::now()) {
                write_at = self.write();
            }
            if clean_at <= Instant::now() {
                clean_at = Instant::now() + self.clean();
            }
        }
    }

    /// Writes what waits. `Some`: it could not, and when to try again.
    fn write(&mut self) -> Option<Instant> {
        if self.pending.is_empty() {
            return None;
        }
        let many = self.pending.len() as u64;
        match self.commit() {
            Ok(failed) => {
                self.pending.clear();
                self.counts.waiting.fetch_sub(many, Ordering::Relaxed);
                self.counts.written.fetch_add(many - failed, Ordering::Relaxed);
                self.counts.failed.fetch_add(failed, Ordering::Relaxed);
                None
            }
            Err(error) => {
                log::error!(waiting = many; "database: nothing can be written now: {error}");
                Some(Instant::now() + RETRY)
            }
        }
    }

    /// All or nothing; how many of them the database will never take.
    fn commit(&mut self) -> Result<u64, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut failed = 0;
        let mut last: HashMap<ChannelId, EventId> = HashMap::new();
        for op in &self.pending {
            transaction.execute_batch("SAVEPOINT op")?;
            match apply::op(&transaction, op) {
                Ok(()) => {
                    if let Op::Delivered { channel, delivery } = op {
                        last.insert(channel.clone(), delivery.id);
                    }
                }
                Err(error) if is_passing(&error) => return Err(error),
                Err(error) => {
                    // It would be the same the next time, and nothing after it would ever be written.
                    log::error!("database: something cannot be written: {error}");
                    transaction.execute_batch("ROLLBACK TO op")?;
                    failed += 1;
                }
            }
            transaction.execute_batch("RELEASE op")?;
        }
        for (channel, id) in &last {
            apply::last(&transaction, channel, *id)?;
        }
        transaction.commit()?;
        self.touched.extend(last.into_keys());
        Ok(failed)
    }

    /// Deletes what is too old, and says when to look again.
    fn clean(&mut self) -> Duration {
        let now_ms = self.clock.unix_ms();
        if let Err(error) = self.salts.turn(&self.connection, &self.config, now_ms) {
            log::error!("database: salts: {error}");
        }
        match retention::clean(&mut self.connection, &self.config, now_ms, &mut self.touched) {
            Ok(retention::Left::Nothing) => RETENTION,
            Ok(retention::Left::More) => RETENTION_SOON,
            Err(error) => {
                log::error!("database: old messages cannot be deleted: {error}");
                RETENTION
            }
        }
    }
}

/// Whether the same may work later: the disk is full or does not answer, somebody else has the file.
fn is_passing(error: &Error) -> bool {
    let Error::Sqlite(error) = error else { return false };
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}
