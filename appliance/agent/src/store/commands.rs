//! Commands: what is to be done, how far it is, and which ids have been seen.

use nodi_protocol::CommandId;
use nodi_protocol::fleet::command::{Command, Status};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{Error, Store, parse, render};

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Accepted,
    Running,
    Over,
    /// The fleet emptied it before it began. It never begins.
    Withdrawn,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Over => "over",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "accepted" => Self::Accepted,
            "running" => Self::Running,
            "withdrawn" => Self::Withdrawn,
            _ => Self::Over,
        }
    }
}

/// One command as remembered.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub id: CommandId,
    /// `None` when it is over, or was never understood.
    pub command: Option<Command>,
    pub status: Option<Status>,
    pub phase: Phase,
    pub cleared: bool,
    /// Nothing is left to say to the broker.
    pub emptied: bool,
}

const COLUMNS: &str = "id, command, status, phase, cleared, emptied";

impl Store {
    /// What is known of `id`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn command(&self, id: CommandId) -> Result<Option<Record>, Error> {
        self.ask(move |db| {
            let sql = format!("SELECT {COLUMNS} FROM command WHERE id = ?");
            db.prepare_cached(&sql)?
                .query_row([id.to_string()], |row| Ok(record(row)))
                .optional()?
                .transpose()
        })
        .await
    }

    /// Everything that is not done with: not over, or over and not emptied.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn open_commands(&self) -> Result<Vec<Record>, Error> {
        self.ask(|db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM command WHERE phase IN ('accepted', 'running') OR emptied = 0 ORDER BY id"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                match record(row) {
                    Ok(record) => records.push(record),
                    // Left as it is: its id stays known, so that it does not run again.
                    Err(error) => log::error!("remembered command: {error}"),
                }
            }
            Ok(records)
        })
        .await
    }

    /// Remembers `id` with its first status. Nothing happens when it is known already: `false`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn accept(
        &self,
        id: CommandId,
        command: Option<Command>,
        status: Status,
        phase: Phase,
        seen_ms: u64,
    ) -> Result<bool, Error> {
        self.ask(move |db| {
            let expires_ms = command.as_ref().map_or(seen_ms, |command| command.expires_ms);
            let json = command.map(|command| render("command", &command)).transpose()?;
            let new = db
                .prepare_cached(
                    "INSERT OR IGNORE INTO command (id, command, status, phase, expires_ms, seen_ms)
                     VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    id.to_string(),
                    json,
                    render("status", &status)?,
                    phase.name(),
                    expires_ms.cast_signed(),
                    seen_ms.cast_signed(),
                ])?;
            Ok(new == 1)
        })
        .await
    }

    /// From `accepted` to `running`, if it still is accepted: `false` when it was withdrawn meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn begin(&self, id: CommandId, status: Status) -> Result<bool, Error> {
        self.ask(move |db| {
            let begun = db
                .prepare_cached(
                    "UPDATE command SET phase = 'running', status = ? WHERE id = ? AND phase = 'accepted'",
                )?
                .execute(params![render("status", &status)?, id.to_string()])?;
            Ok(begun == 1)
        })
        .await
    }

    /// It is over, with this as the last word. One that is over stays as it ended: `false`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn finish(&self, id: CommandId, status: Status) -> Result<bool, Error> {
        self.ask(move |db| {
            let finished = db
                .prepare_cached(
                    "UPDATE command SET phase = 'over', status = ?, command = NULL, cleared = 0, emptied = 0
                     WHERE id = ? AND phase IN ('accepted', 'running')",
                )?
                .execute(params![render("status", &status)?, id.to_string()])?;
            Ok(finished == 1)
        })
        .await
    }

    /// The fleet server emptied the command. Returns what it is then, or `None` when it was never seen.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn clear(&self, id: CommandId) -> Result<Option<Record>, Error> {
        self.ask(move |db| {
            db.prepare_cached(
                "UPDATE command SET cleared = 1,
                   phase = CASE phase WHEN 'accepted' THEN 'withdrawn' ELSE phase END,
                   command = CASE phase WHEN 'accepted' THEN NULL ELSE command END
                 WHERE id = ?",
            )?
            .execute([id.to_string()])?;
            one(db, id)
        })
        .await
    }

    /// The command is on the broker again although it was cleared: the fleet server wants to hear the status again.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn unclear(&self, id: CommandId) -> Result<Option<Record>, Error> {
        self.ask(move |db| {
            db.prepare_cached("UPDATE command SET cleared = 0, emptied = 0 WHERE id = ?")?
                .execute([id.to_string()])?;
            one(db, id)
        })
        .await
    }

    /// A withdrawn command gets a status, since it is on the broker again.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn rule(&self, id: CommandId, status: Status) -> Result<(), Error> {
        self.ask(move |db| {
            db.prepare_cached(
                "UPDATE command SET phase = 'over', status = ? WHERE id = ? AND phase = 'withdrawn'",
            )?
            .execute(params![render("status", &status)?, id.to_string()])?;
            Ok(())
        })
        .await
    }

    /// The broker has emptied the status.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn emptied(&self, id: CommandId) -> Result<(), Error> {
        self.ask(move |db| {
            db.prepare_cached("UPDATE command SET emptied = 1 WHERE id = ? AND cleared = 1")?
                .execute([id.to_string()])?;
            Ok(())
        })
        .await
    }

    /// Forgets ids that were seen before `seen_ms`, cannot come any more at `now_ms`, and are done with; and the oldest of
    /// those when there are more than `most`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget_commands(&self, seen_ms: u64, now_ms: u64, most: u64) -> Result<usize, Error> {
        self.ask(move |db| {
            let old = db
                .prepare_cached(
                    "DELETE FROM command WHERE emptied = 1 AND phase IN ('over', 'withdrawn')
                     AND expires_ms < ? AND seen_ms < ?",
                )?
                .execute(params![now_ms.cast_signed(), seen_ms.cast_signed()])?;
            let surplus = db
                .prepare_cached(
                    "DELETE FROM command WHERE id IN (
                       SELECT id FROM command WHERE emptied = 1 AND phase IN ('over', 'withdrawn')
                         AND expires_ms < ?
                       ORDER BY id LIMIT MAX(0, (SELECT COUNT(*) FROM command) - ?))",
                )?
                .execute(params![now_ms.cast_signed(), most.cast_signed()])?;
            Ok(old + surplus)
        })
        .await
    }
}

fn one(db: &Transaction<'_>, id: CommandId) -> Result<Option<Record>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM command WHERE id = ?");
    db.prepare_cached(&sql)?.query_row([id.to_string()], |row| Ok(record(row))).optional()?.transpose()
}

fn record(row: &Row<'_>) -> Result<Record, Error> {
    let id: String = row.get(0)?;
    let command: Option<String> = row.get(1)?;
    let status: Option<String> = row.get(2)?;
    let phase: String = row.get(3)?;
    Ok(Record {
        id: id.parse().map_err(|_| Error::Sqlite(rusqlite::Error::InvalidQuery))?,
        command: command.map(|json| parse("command", &json)).transpose()?,
        status: status.map(|json| parse("status", &json)).transpose()?,
        phase: Phase::of(&phase),
        cleared: row.get(4)?,
        emptied: row.get(5)?,
    })
}
