//! What boxes send for a command: logs, which become a file, and measurements of the uplink, of which only the length
//! counts.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;
use nodi_protocol::CommandId;
use rusqlite::{OptionalExtension as _, params};
use subtle::ConstantTimeEq as _;
use tokio::io::AsyncWriteExt as _;

use super::{files, store};
use crate::error::Error;
use crate::http::identity::bearer;
use crate::ids;
use crate::state::App;

/// A box that sends nothing for so long has lost its line.
const IDLE: Duration = Duration::from_secs(30);

/// What an upload may be.
struct Allowed {
    digest: Vec<u8>,
    max_bytes: u64,
    keep: bool,
}

/// Takes one upload. A broken one may be made again while the command runs, a complete one not.
///
/// # Errors
/// When the token is not good for it, or it is too long or breaks off.
pub(super) async fn take(app: &App, id: CommandId, headers: &HeaderMap, body: Body) -> Result<(), Error> {
    let refused = || Error::Unauthenticated("this token is not good for this upload".to_owned());
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .ok_or_else(refused)?;
    let allowed = app.db.read(move |connection| allowed(connection, &id)).await?.ok_or_else(refused)?;
    if !bool::from(allowed.digest.ct_eq(&ids::digest(token))) {
        return Err(refused());
    }
    let _alone = Alone::new(app, id)?;
    let bytes = if allowed.keep {
        let part = app.commands.files.join(format!("{id}.part"));
        let written = write(&part, body, allowed.max_bytes).await;
        match written {
            Ok(bytes) => {
                let path = files::path(app, &id);
                tokio::fs::rename(&part, &path).await.map_err(|error| full_or(&path, &error))?;
                bytes
            }
            Err(error) => {
                // The next attempt writes over it anyway.
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
        }
    } else {
        count(body, allowed.max_bytes).await?
    };
    let (shared, keep) = (app.clone(), allowed.keep);
    app.db
        .write(move |tx| {
            tx.execute(
                "UPDATE command SET upload_digest = NULL, file_bytes = iif(?2, ?3, NULL) WHERE id = ?1",
                params![id.to_string(), keep, i64::try_from(bytes).unwrap_or(i64::MAX)],
            )?;
            if keep && let Some(view) = store::one(tx, &id)? {
                store::tell(&shared, tx, &view);
            }
            Ok(())
        })
        .await?;
    log::info!(command:% = id, bytes; "uploaded");
    Ok(())
}

fn allowed(connection: &rusqlite::Connection, id: &CommandId) -> Result<Option<Allowed>, Error> {
    let row: Option<(Option<Vec<u8>>, Option<i64>, String)> = connection
        .prepare_cached("SELECT upload_digest, upload_max, kind FROM command WHERE id = ?1")?
        .query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.and_then(|(digest, max, kind)| {
        Some(Allowed { digest: digest?, max_bytes: u64::try_from(max?).ok()?, keep: kind == "collect_logs" })
    }))
}

/// One upload of a command at a time.
struct Alone<'a> {
    app: &'a App,
    id: CommandId,
}

impl<'a> Alone<'a> {
    fn new(app: &'a App, id: CommandId) -> Result<Self, Error> {
        let mut uploading = app.commands.uploading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if uploading.insert(id) {
            Ok(Self { app, id })
        } else {
            Err(Error::conflict("another upload of this command is under way"))
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.app
            .commands
            .uploading
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&self.id);
    }
}

async fn write(path: &Path, body: Body, max: u64) -> Result<u64, Error> {
    let mut file = tokio::fs::File::create(path).await.map_err(|error| full_or(path, &error))?;
    let mut body = Reader { body: body.into_data_stream(), bytes: 0, max };
    while let Some(chunk) = body.next().await? {
        file.write_all(&chunk).await.map_err(|error| full_or(path, &error))?;
    }
    // What was answered is on the disk.
    file.sync_all().await.map_err(|error| full_or(path, &error))?;
    Ok(body.bytes)
}

async fn count(body: Body, max: u64) -> Result<u64, Error> {
    let mut body = Reader { body: body.into_data_stream(), bytes: 0, max };
    while body.next().await?.is_some() {}
    Ok(body.bytes)
}

struct Reader {
    body: axum::body::BodyDataStream,
    bytes: u64,
    max: u64,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<axum::body::Bytes>, Error> {
        let chunk = tokio::time::timeout(IDLE, self.body.next())
            .await
            .map_err(|_| Error::Timeout(format!("nothing came for {} s", IDLE.as_secs())))?;
        let chunk =
            chunk.transpose().map_err(|error| Error::Malformed(format!("the body broke off: {error}")))?;
        if let Some(chunk) = &chunk {
            self.bytes += chunk.len() as u64;
            if self.bytes > self.max {
                return Err(Error::TooLarge(format!("the body is longer than {} bytes", self.max)));
            }
        }
        Ok(chunk)
    }
}

fn full_or(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::Unavailable("the server's disk is full".to_owned())
        }
        _ => Error::Internal(format!("{}: {error}", path.display())),
    }
}
