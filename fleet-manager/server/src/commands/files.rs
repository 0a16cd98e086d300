//! Uploaded files: bounded in bytes, number and age.

use std::path::PathBuf;
use std::time::Duration;

use nodi_protocol::{BoxId, CommandId};
use rusqlite::{Connection, params};

use crate::db::Tx;
use crate::error::Error;
use crate::state::App;

const INTERVAL: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Where a command's file is.
pub(super) fn path(app: &App, id: &CommandId) -> PathBuf {
    app.commands.files.join(id.to_string())
}

/// Removes the files of a box's commands once the transaction is committed.
///
/// # Errors
/// SQLite's.
pub fn remove_files(app: &App, tx: &Tx<'_>, box_id: &BoxId) -> Result<(), Error> {
    let ids =
        ids(tx, "SELECT id FROM command WHERE box_id = ?1 AND file_bytes IS NOT NULL", box_id.as_str())?;
    let paths: Vec<PathBuf> = ids.iter().map(|id| path(app, id)).collect();
    tx.then(move || remove(&paths));
    Ok(())
}

fn ids(connection: &Connection, sql: &str, parameter: impl rusqlite::ToSql) -> Result<Vec<CommandId>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([parameter])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        ids.push(id.parse().map_err(|error| Error::Internal(format!("database: {error}")))?);
    }
    Ok(ids)
}

fn remove(paths: &[PathBuf]) {
    for path in paths {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::warn!("{}: {error}", path.display());
            }
            _ => {}
        }
    }
}

/// Removes what is too old or too much, commands and files.
pub(super) async fn prune(app: App) {
    loop {
        let shared = app.clone();
        let now_ms = app.now_ms();
        let pruned = app.db.write(move |tx| prune_once(&shared, tx, now_ms)).await;
        if let Err(error) = pruned {
            log::warn!("uploaded files: {error}");
        }
        app.clock.sleep(INTERVAL).await;
    }
}

fn prune_once(app: &App, tx: &Tx<'_>, now_ms: i64) -> Result<(), Error> {
    let config = &app.config.commands;
    // Newest first: what comes behind the bounds goes.
    let mut statement =
        tx.prepare_cached("SELECT id, file_bytes, updated_ms FROM command WHERE file_bytes IS NOT NULL ORDER BY updated_ms DESC")?;
    let mut rows = statement.query([])?;
    let (mut bytes, mut count, mut gone) = (0_u64, 0_u32, Vec::new());
    while let Some(row) = rows.next()? {
        bytes = bytes.saturating_add(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
        count += 1;
        let old = row.get::<_, i64>(2)? < now_ms - i64::from(config.files_days) * DAY_MS;
        if old || bytes > config.max_files_bytes || count > config.max_files {
            let id: String = row.get(0)?;
            gone.push(
                id.parse::<CommandId>().map_err(|error| Error::Internal(format!("database: {error}")))?,
            );
        }
    }
    for id in &gone {
        tx.execute("UPDATE command SET file_bytes = NULL WHERE id = ?1", [id.to_string()])?;
    }
    tx.prepare_cached("DELETE FROM command WHERE over_ms < ?1 AND file_bytes IS NULL")?
        .execute(params![now_ms - i64::from(config.keep_days) * DAY_MS])?;
    if !gone.is_empty() {
        log::info!("removed {} uploaded files", gone.len());
        let paths: Vec<PathBuf> = gone.iter().map(|id| path(app, id)).collect();
        tx.then(move || remove(&paths));
    }
    Ok(())
}
