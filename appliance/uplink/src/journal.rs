//! What was pushed where, in SQLite: a restarted uplink goes on instead of starting over.
//!
//! One thread writes; everything that waits when it looks goes into one transaction. WAL without a sync per
//! commit: killing the process loses nothing, a power cut at most the last moments, and what they held is asked
//! from the origins or sent once more. A journal that fails is logged and counted and never stops the media.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodi_daemon::damage::set_aside;
use nodi_protocol::hls::Segment;
use nodi_protocol::{ChannelId, RenditionName, SessionId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use tokio::sync::{mpsc, oneshot};

const SCHEMA_VERSION: i64 = 1;
/// Jobs that may wait for the writer. A target that is faster than the disk waits with it.
const QUEUE: usize = 1024;
/// Most jobs in one transaction, so that nobody waits long for an answer.
const BATCH: usize = 128;
/// Segment rows kept per rendition, target and session: an origin's window is far shorter.
const KEEP_SEGMENTS: u64 = 1024;

const SCHEMA: &str = "
    CREATE TABLE session (
        target TEXT NOT NULL, session TEXT NOT NULL, channel TEXT NOT NULL, base_msn INTEGER NOT NULL,
        over INTEGER NOT NULL DEFAULT 0, touched_ms INTEGER NOT NULL,
        PRIMARY KEY (target, session)) WITHOUT ROWID;
    CREATE TABLE init (
        target TEXT NOT NULL, session TEXT NOT NULL, rendition TEXT NOT NULL, init INTEGER NOT NULL,
        PRIMARY KEY (target, session, rendition, init)) WITHOUT ROWID;
    CREATE TABLE segment (
        target TEXT NOT NULL, session TEXT NOT NULL, rendition TEXT NOT NULL, seq INTEGER NOT NULL,
        len INTEGER NOT NULL, whole INTEGER NOT NULL,
        PRIMARY KEY (target, session, rendition, seq)) WITHOUT ROWID;
    CREATE TABLE listed (
        target TEXT NOT NULL, channel TEXT NOT NULL, rendition TEXT NOT NULL, msn INTEGER NOT NULL,
        entry TEXT NOT NULL,
        PRIMARY KEY (target, channel, rendition, msn)) WITHOUT ROWID;
    CREATE TABLE shelf (
        target TEXT NOT NULL, channel TEXT NOT NULL, rendition TEXT NOT NULL,
        discontinuities INTEGER NOT NULL,
        PRIMARY KEY (target, channel, rendition)) WITHOUT ROWID;
    CREATE TABLE doomed (
        target TEXT NOT NULL, object TEXT NOT NULL, due_ms INTEGER NOT NULL,
        PRIMARY KEY (target, object)) WITHOUT ROWID;
";

/// Why the journal gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("journal {path}: {source}")]
    File { path: std::path::PathBuf, source: std::io::Error },
    #[error("journal has schema {0}, this build reads {SCHEMA_VERSION}")]
    Schema(i64),
    #[error("journal: the writer is gone")]
    Gone,
}

/// What was acknowledged of one session by one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub base_msn: u64,
    /// Nothing is left to do.
    pub over: bool,
    pub inits: Vec<(RenditionName, u32)>,
    pub segments: Vec<Acknowledged>,
}

/// One segment, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub rendition: RenditionName,
    pub seq: u64,
    pub len: u64,
    pub whole: bool,
}

/// One rendition's playlist in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub rendition: RenditionName,
    /// Discontinuities that left the window.
    pub discontinuities: u64,
    pub segments: Vec<Segment>,
}

type Job = Box<dyn FnOnce(&Transaction<'_>) -> Answer + Send>;
/// Runs after the commit.
type Answer = Box<dyn FnOnce(bool) + Send>;

/// A clonable handle to the writer's thread, which ends with the last handle.
#[derive(Clone)]
pub(crate) struct Journal {
    jobs: mpsc::Sender<Job>,
    failures: Arc<AtomicU64>,
}

impl Journal {
    /// Opens or creates the database. One that is damaged is set aside and a new one started.
    ///
    /// # Errors
    /// When there can be no database at `path`, or it was written by a newer build.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let connection = match connect(path) {
            Ok(connection) => connection,
            Err(Error::Sqlite(error)) if is_damage(&error) => {
                set_aside("journal", path, &error)
                    .map_err(|source| Error::File { path: path.to_owned(), source })?;
                connect(path)?
            }
            Err(error) => return Err(error),
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        let failures = Arc::new(AtomicU64::new(0));
        let counter = failures.clone();
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(connection, queue, &counter))
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok(Self { jobs, failures })
    }

    /// Transactions that failed since the start.
    #[must_use]
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Runs `job` and waits until what it did is committed.
    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let result = job(transaction);
            Box::new(move |committed| {
                let result = match result {
                    Ok(value) if committed => Ok(value),
                    Ok(_) => Err(Error::Gone),
                    Err(error) => Err(Error::Sqlite(error)),
                };
                // The asker may have been cancelled: then nobody wants to know.
                let _ = reply.send(result);
            })
        });
        self.jobs.send(job).await.map_err(|_| Error::Gone)?;
        answer.await.map_err(|_| Error::Gone)?
    }

    /// Runs `job` some time soon; a failure is logged.
    async fn note(&self, job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<usize> + Send + 'static) {
        let failures = self.failures.clone();
        let job: Job = Box::new(move |transaction| {
            if let Err(error) = job(transaction) {
                failures.fetch_add(1, Ordering::Relaxed);
                log::error!("journal: {error}");
            }
            Box::new(|_| ())
        });
        if self.jobs.send(job).await.is_err() {
            log::error!("journal: the writer is gone");
        }
    }

    /// What `target` has of `session`; `None` when nothing was ever started.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn record(&self, target: &str, session: SessionId) -> Result<Option<Record>, Error> {
        let (target, session) = (target.to_owned(), session.to_string());
        self.ask(move |db| read_record(db, &target, &session)).await
    }

    /// Fixes the media sequence number of `session`'s first segment at `target`, on disk before it returns.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn start(
        &self,
        target: &str,
        channel: &ChannelId,
        session: SessionId,
        base_msn: u64,
    ) -> Result<(), Error> {
        let (target, channel, session) = (target.to_owned(), channel.to_string(), session.to_string());
        self.ask(move |db| {
            db.prepare_cached(
                "INSERT INTO session (target, session, channel, base_msn, touched_ms) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET base_msn = excluded.base_msn, touched_ms = excluded.touched_ms",
            )?
            .execute(params![
                target,
                session,
                channel,
                base_msn.cast_signed(),
                now_ms().cast_signed()
            ])
        })
        .await
        .map(drop)
    }

    /// `target` needs nothing more of `session`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn finish(
        &self,
        target: &str,
        channel: &ChannelId,
        session: SessionId,
    ) -> Result<(), Error> {
        let (target, channel, session) = (target.to_owned(), channel.to_string(), session.to_string());
        self.ask(move |db| {
            db.prepare_cached("DELETE FROM segment WHERE target = ? AND session = ?")?
                .execute(params![target, session])?;
            db.prepare_cached("DELETE FROM init WHERE target = ? AND session = ?")?
                .execute(params![target, session])?;
            db.prepare_cached(
                "INSERT INTO session (target, session, channel, base_msn, over, touched_ms)
                 VALUES (?, ?, ?, 0, 1, ?)
                 ON CONFLICT DO UPDATE SET over = 1, touched_ms = excluded.touched_ms",
            )?
            .execute(params![target, session, channel, now_ms().cast_signed()])
        })
        .await
        .map(drop)
    }

    pub(crate) async fn init(&self, target: &str, session: SessionId, rendition: &RenditionName, init: u32) {
        let (target, session, rendition) = (target.to_owned(), session.to_string(), rendition.to_string());
        self.note(move |db| {
            db.prepare_cached("INSERT OR IGNORE INTO init VALUES (?, ?, ?, ?)")?
                .execute(params![target, session, rendition, init])
        })
        .await;
    }

    pub(crate) async fn segment(&self, target: &str, session: SessionId, acknowledged: Acknowledged) {
        let (target, session) = (target.to_owned(), session.to_string());
        self.note(move |db| {
            let Acknowledged { rendition, seq, len, whole } = acknowledged;
            let rendition = rendition.as_str();
            db.prepare_cached(
                "DELETE FROM segment WHERE target = ? AND session = ? AND rendition = ? AND seq < ?",
            )?
            .execute(params![
                target,
                session,
                rendition,
                seq.saturating_sub(KEEP_SEGMENTS).cast_signed()
            ])?;
            db.prepare_cached("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?, ?, ?)")?.execute(params![
                target,
                session,
                rendition,
                seq.cast_signed(),
                len.cast_signed(),
                whole
            ])
        })
        .await;
    }

    /// All rows of sessions that the spool no longer has and that were not touched for `age`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn prune(&self, in_spool: Vec<SessionId>, age: Duration) -> Result<usize, Error> {
        self.ask(move |db| {
            db.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS kept (session TEXT PRIMARY KEY); DELETE FROM kept;",
            )?;
            for session in in_spool {
                db.prepare_cached("INSERT OR IGNORE INTO kept VALUES (?)")?.execute([session.to_string()])?;
            }
            let before = now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            let gone = db.execute(
                "DELETE FROM session WHERE touched_ms < ? AND session NOT IN (SELECT session FROM kept)",
                [before.cast_signed()],
            )?;
            for table in ["init", "segment"] {
                db.execute(
                    &format!(
                        "DELETE FROM {table} WHERE NOT EXISTS (SELECT 1 FROM session
                         WHERE session.target = {table}.target AND session.session = {table}.session)"
                    ),
                    [],
                )?;
            }
            Ok(gone)
        })
        .await
    }

    /// The playlists of `channel` as `target` has them.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn listings(&self, target: &str, channel: &ChannelId) -> Result<Vec<Listing>, Error> {
        let (target, channel) = (target.to_owned(), channel.to_string());
        self.ask(move |db| read_listings(db, &target, &channel)).await
    }

    /// A segment is in the store: it may be listed.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn list(
        &self,
        target: &str,
        channel: &ChannelId,
        rendition: &RenditionName,
        segment: &Segment,
    ) -> Result<(), Error> {
        let (target, channel, rendition) = (target.to_owned(), channel.to_string(), rendition.to_string());
        let msn = segment.msn.cast_signed();
        let entry = serde_json::to_string(segment)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        self.ask(move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?)")?
                .execute(params![target, channel, rendition, msn, entry])
        })
        .await
        .map(drop)
    }

    /// Takes everything before `first_msn` off a playlist; `objects` are to be deleted at `due_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn slide(&self, target: &str, channel: &ChannelId, slide: Slide) -> Result<(), Error> {
        let (target, channel) = (target.to_owned(), channel.to_string());
        self.ask(move |db| {
            let rendition = slide.rendition.as_str();
            db.prepare_cached(
                "DELETE FROM listed WHERE target = ? AND channel = ? AND rendition = ? AND msn < ?",
            )?
            .execute(params![target, channel, rendition, slide.first_msn.cast_signed()])?;
            db.prepare_cached("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?, ?)")?.execute(params![
                target,
                channel,
                rendition,
                slide.discontinuities.cast_signed()
            ])?;
            if let Some(due_ms) = slide.due_ms {
                let mut insert = db.prepare_cached("INSERT OR REPLACE INTO doomed VALUES (?, ?, ?)")?;
                for object in slide.objects {
                    insert.execute(params![target, object, due_ms.cast_signed()])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// At most `limit` objects of `target` whose time has come.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn doomed(&self, target: &str, limit: u32) -> Result<Vec<String>, Error> {
        let target = target.to_owned();
        self.ask(move |db| {
            db.prepare_cached("SELECT object FROM doomed WHERE target = ? AND due_ms <= ? LIMIT ?")?
                .query_map(params![target, now_ms().cast_signed(), limit], |row| row.get(0))?
                .collect()
        })
        .await
    }

    pub(crate) async fn deleted(&self, target: &str, object: String) {
        let target = target.to_owned();
        self.note(move |db| {
            db.prepare_cached("DELETE FROM doomed WHERE target = ? AND object = ?")?
                .execute(params![target, object])
        })
        .await;
    }

    /// Waits until everything noted before is on disk, also after a power cut.
    pub(crate) async fn flush(&self) {
        if let Err(error) = self.ask(|_| Ok(())).await {
            log::error!("{error}");
        }
    }
}

/// A window that moved on.
#[derive(Debug, Clone)]
pub(crate) struct Slide {
    pub rendition: RenditionName,
    pub first_msn: u64,
    /// Discontinuities that left the window so far.
    pub discontinuities: u64,
    pub objects: Vec<String>,
    /// Milliseconds since the Unix epoch; `None`: the objects stay.
    pub due_ms: Option<u64>,
}

fn connect(path: &Path) -> Result<Connection, Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| Error::File { path: parent.to_owned(), source })?;
    }
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        SCHEMA_VERSION => {}
        0 => {
            connection
                .execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?;
        }
        newer => return Err(Error::Schema(newer)),
    }
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn write(mut connection: Connection, mut queue: mpsc::Receiver<Job>, failures: &AtomicU64) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut waiting, BATCH) > 0 {
        let mut answers: Vec<Answer> = Vec::with_capacity(waiting.len());
        let result = connection.transaction().and_then(|transaction| {
            answers.extend(waiting.drain(..).map(|job| job(&transaction)));
            transaction.commit()
        });
        waiting.clear();
        if let Err(error) = &result {
            failures.fetch_add(1, Ordering::Relaxed);
            log::error!("journal: {error}");
        }
        answers.into_iter().for_each(|answer| answer(result.is_ok()));
    }
}

fn read_record(db: &Transaction<'_>, target: &str, session: &str) -> rusqlite::Result<Option<Record>> {
    let row = db
        .prepare_cached("SELECT base_msn, over FROM session WHERE target = ? AND session = ?")?
        .query_row([target, session], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))
        .optional()?;
    let Some((base_msn, over)) = row else { return Ok(None) };
    let inits = db
        .prepare_cached("SELECT rendition, init FROM init WHERE target = ? AND session = ?")?
        .query_map([target, session], |row| Ok((name(row, 0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let segments = db
        .prepare_cached("SELECT rendition, seq, len, whole FROM segment WHERE target = ? AND session = ?")?
        .query_map([target, session], |row| {
            Ok(Acknowledged {
                rendition: name(row, 0)?,
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                len: row.get::<_, i64>(2)?.cast_unsigned(),
                whole: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Record { base_msn, over, inits, segments }))
}

fn read_listings(db: &Transaction<'_>, target: &str, channel: &str) -> rusqlite::Result<Vec<Listing>> {
    let mut listings: Vec<Listing> = db
        .prepare_cached("SELECT rendition, discontinuities FROM shelf WHERE target = ? AND channel = ?")?
        .query_map([target, channel], |row| {
            Ok(Listing {
                rendition: name(row, 0)?,
                discontinuities: row.get::<_, i64>(1)?.cast_unsigned(),
                segments: Vec::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = db.prepare_cached(
        "SELECT rendition, entry FROM listed WHERE target = ? AND channel = ? ORDER BY rendition, msn",
    )?;
    let rows = statement.query_map([target, channel], |row| {
        let entry: String = row.get(1)?;
        Ok((name(row, 0)?, serde_json::from_str(&entry).map_err(|error| conversion(1, error))?))
    })?;
    for row in rows {
        let (rendition, segment) = row?;
        match listings.iter_mut().find(|listing| listing.rendition == rendition) {
            Some(listing) => listing.segments.push(segment),
            None => listings.push(Listing { rendition, discontinuities: 0, segments: vec![segment] }),
        }
    }
    Ok(listings)
}

fn name(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<RenditionName> {
    row.get::<_, String>(column)?.try_into().map_err(|error| conversion(column, error))
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (ChannelId, SessionId, RenditionName) {
        ("nodi".parse().unwrap(), SessionId::new(5, 5), "720p".parse().unwrap())
    }

    fn segment(msn: u64, session: SessionId) -> Segment {
        Segment {
            msn,
            session,
            init: 0,
            discontinuity: msn == 7,
            program_date_time_ms: 1_000,
            finished: None,
            parts: Vec::new(),
            gap: false,
        }
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_a_reopen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/journal.sqlite");
        let (channel, session, rendition) = names();
        {
            let journal = Journal::open(&path).unwrap();
            assert_eq!(journal.record("a", session).await.unwrap(), None);
            journal.start("a", &channel, session, 42).await.unwrap();
            journal.init("a", session, &rendition, 0).await;
            for (len, whole) in [(10, false), (20, true)] {
                let acknowledged = Acknowledged { rendition: rendition.clone(), seq: 3, len, whole };
                journal.segment("a", session, acknowledged).await;
            }
            journal.flush().await;
        }
        let journal = Journal::open(&path).unwrap();
        let record = journal.record("a", session).await.unwrap().unwrap();
        assert_eq!(record.base_msn, 42);
        assert_eq!(record.inits, [(rendition.clone(), 0)]);
        assert_eq!(record.segments, [Acknowledged { rendition, seq: 3, len: 20, whole: true }]);
        assert_eq!(journal.record("b", session).await.unwrap(), None, "targets do not share");

        journal.finish("a", &channel, session).await.unwrap();
        let record = journal.record("a", session).await.unwrap().unwrap();
        assert!(record.over && record.segments.is_empty());
        assert_eq!(journal.prune(vec![session], Duration::ZERO).await.unwrap(), 0, "still in the spool");
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(journal.prune(vec![], Duration::ZERO).await.unwrap(), 1);
        assert_eq!(journal.record("a", session).await.unwrap(), None);
    }

    #[tokio::test]
    async fn segment_rows_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("j")).unwrap();
        let (channel, session, rendition) = names();
        journal.start("a", &channel, session, 0).await.unwrap();
        for seq in 0..KEEP_SEGMENTS + 100 {
            let acknowledged = Acknowledged { rendition: rendition.clone(), seq, len: 1, whole: true };
            journal.segment("a", session, acknowledged).await;
        }
        let record = journal.record("a", session).await.unwrap().unwrap();
        assert_eq!(record.segments.len() as u64, KEEP_SEGMENTS + 1);
    }

    #[tokio::test]
    async fn listings_slide_and_their_objects_are_doomed() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("j")).unwrap();
        let (channel, session, rendition) = names();
        for msn in 7..10 {
            journal.list("s", &channel, &rendition, &segment(msn, session)).await.unwrap();
        }
        let slide = Slide {
            rendition: rendition.clone(),
            first_msn: 9,
            discontinuities: 1,
            objects: vec!["x/7".into(), "x/8".into()],
            due_ms: Some(0),
        };
        journal.slide("s", &channel, slide).await.unwrap();
        let listings = journal.listings("s", &channel).await.unwrap();
        assert_eq!(
            listings,
            [Listing { rendition, discontinuities: 1, segments: vec![segment(9, session)] }]
        );
        assert_eq!(journal.doomed("s", 10).await.unwrap(), ["x/7", "x/8"]);
        journal.deleted("s", "x/7".into()).await;
        assert_eq!(journal.doomed("s", 10).await.unwrap(), ["x/8"]);
        assert!(journal.doomed("t", 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        std::fs::write(&path, vec![0x55; 8192]).unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.flush().await;
        assert!(directory.path().join("journal.damaged").exists());
    }
}
