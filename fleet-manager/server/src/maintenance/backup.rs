//! `nodi-fleet backup PATH`: a copy of the database as of one moment, also while the server writes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::check::{Finding, Level, database_findings};
use crate::clock::Clock;
use crate::config::Config;
use crate::{db, ids};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: there is a file already", .0.display())]
    Exists(PathBuf),
    #[error("{}: there is no database", .0.display())]
    Missing(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the path of a backup has to be text that SQLite can name")]
    Path,
    #[error("the copy is not sound: {0}")]
    Unsound(String),
    #[error("{0}")]
    Random(String),
}

/// Writes the copy, verifies it, and only then gives it its name.
///
/// The copy counts versions of desired state under an epoch of its own: a server that starts from it may be behind what
/// boxes have seen, and boxes tell by the epoch that its lower numbers are news all the same.
///
/// # Errors
/// When there is something at `path`, the disk is full, or the copy is not sound.
pub fn backup(config: &Config, clock: &Clock, path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Err(Error::Exists(path.to_owned()));
    }
    let database = config.database();
    if !database.exists() {
        return Err(Error::Missing(database));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let io = |source| Error::Io { path: partial.clone(), source };
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let source = db::connect(&database, false)?;
    source.execute("VACUUM INTO ?1", [partial.to_str().ok_or(Error::Path)?])?;
    drop(source);
    let epoch = ids::ulid(clock.unix_ms()).map_err(|error| Error::Random(error.to_string()))?;
    let copy = Connection::open(&partial)?;
    copy.execute("UPDATE meta SET epoch = ?1 WHERE id = 1", params![epoch])?;
    // Meanwhile boxes have gone on, and a person has to see that before anybody new begins.
    copy.execute(
        "UPDATE rollout SET state = 'paused', reason = 'restored from a backup' WHERE state IN ('running', 'gated')",
        [],
    )?;
    let unsound: Vec<String> = database_findings(&copy)?
        .into_iter()
        .filter(|finding| finding.level == Level::Error)
        .map(|Finding { text, .. }| text)
        .collect();
    drop(copy);
    if !unsound.is_empty() {
        return Err(Error::Unsound(unsound.join("; ")));
    }
    File::open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&partial, path).map_err(io)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::Io { path: directory.to_owned(), source })
}
