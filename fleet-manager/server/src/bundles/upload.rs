//! Taking a bundle: the body goes to the disk as it comes, is looked at, and only then gets its name.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::BundleId;
use super::format::{self, Contents};
use super::store::{self, Bundle};
use crate::audit::{self, Actor};
use crate::error::{Error, is_duplicate};
use crate::state::App;

/// A browser that sends nothing for so long has lost its line.
const IDLE: Duration = Duration::from_secs(60);
/// Free space is looked at again after so many bytes.
const LOOK_EVERY: u64 = 64 << 20;
/// What is not complete yet; removed at the next start.
const INCOMING: &str = "incoming";
/// Presence of a box has a version of at most this length, in characters.
const MAX_VERSION: usize = 64;
const MAX_COMPATIBLE: usize = 200;
const MAX_DESCRIPTION: usize = 1_000;

/// What the uploader says, for bundles that do not say it themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    pub(super) version: Option<String>,
    pub(super) compatible: Option<String>,
}

/// What a bundle is called in the end.
struct Facts {
    version: String,
    compatible: String,
    description: String,
    build: String,
}

/// Takes one bundle. `length` is what the request says it has.
///
/// # Errors
/// When it is none, too long, there already, or there is no room.
pub(super) async fn take(
    app: &App,
    given: Given,
    length: Option<u64>,
    body: Body,
    actor: Actor,
) -> Result<Bundle, Error> {
    let _alone = app
        .bundles
        .uploading
        .try_acquire()
        .map_err(|_| Error::Unavailable("another bundle is being uploaded".to_owned()))?;
    let room = room(app).await?;
    let length = length.unwrap_or(0);
    if length > app.config.bundles.max_bytes {
        return Err(too_long(app));
    }
    if length > room {
        return Err(full(room));
    }
    let part = app.bundles.dir.join(INCOMING);
    let taken = written(app, &part, body, room).await;
    let (id, bytes) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            // What is left is removed at the next start at the latest.
            let _ = tokio::fs::remove_file(&part).await;
            return Err(error);
        }
    };
    let placed = place(app, &part, given, id, bytes, actor).await;
    if placed.is_err() {
        let _ = tokio::fs::remove_file(&part).await;
    }
    placed
}

/// Bytes that may come, by the quota and by the disk.
async fn room(app: &App) -> Result<u64, Error> {
    let config = &app.config.bundles;
    let dir = app.bundles.dir.clone();
    let (total, count) = app.db.read(move |connection| store::on_disk(connection, &dir)).await?;
    if count >= config.max_bundles {
        return Err(Error::Storage(format!("there are {count} bundles already: remove one")));
    }
    let quota = config.max_total_bytes.saturating_sub(total);
    Ok(quota.min(free(app)?))
}

/// Bytes on the disk beyond those that are to stay free.
fn free(app: &App) -> Result<u64, Error> {
    let dir = &app.bundles.dir;
    let disk =
        rustix::fs::statvfs(dir).map_err(|error| Error::Internal(format!("{}: {error}", dir.display())))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(app.config.bundles.keep_free_bytes))
}

fn too_long(app: &App) -> Error {
    Error::TooLarge(format!("the bundle is longer than {} bytes", app.config.bundles.max_bytes))
}

fn full(room: u64) -> Error {
    Error::Storage(format!("there is room for {room} bytes of bundles: remove one that is not needed"))
}

fn disk(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::Storage("the server's disk is full".to_owned())
        }
        _ => Error::Internal(format!("{}: {error}", path.display())),
    }
}

/// Writes the body to `part`; its name and length.
async fn written(app: &App, part: &Path, body: Body, room: u64) -> Result<(BundleId, u64), Error> {
    let mut file = tokio::fs::File::create(part).await.map_err(|error| disk(part, &error))?;
    let mut body = body.into_data_stream();
    let (mut digest, mut bytes, mut look) = (Sha256::new(), 0_u64, LOOK_EVERY);
    loop {
        let chunk = tokio::time::timeout(IDLE, body.next())
            .await
            .map_err(|_| Error::Timeout(format!("nothing came for {} s", IDLE.as_secs())))?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| Error::Malformed(format!("the body broke off: {error}")))?;
        bytes += chunk.len() as u64;
        if bytes > app.config.bundles.max_bytes {
            return Err(too_long(app));
        }
        if bytes > room {
            return Err(full(room));
        }
        if bytes >= look {
            look = bytes + LOOK_EVERY;
            if free(app)? == 0 {
                return Err(Error::Storage("the server's disk is full".to_owned()));
            }
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(|error| disk(part, &error))?;
    }
    // What is answered is on the disk.
    file.sync_all().await.map_err(|error| disk(part, &error))?;
    Ok((BundleId::of_digest(&digest.finalize()), bytes))
}

/// Looks at what came, and makes it a bundle.
async fn place(
    app: &App,
    part: &Path,
    given: Given,
    id: BundleId,
    bytes: u64,
    actor: Actor,
) -> Result<Bundle, Error> {
    let opened = part.to_owned();
    let contents = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(&opened).map_err(|error| disk(&opened, &error))?;
        format::inspect(std::io::BufReader::new(file)).map_err(|error| match error {
            format::NotABundle::Io(error) => disk(&opened, &error),
            other => Error::invalid("body", other.to_string()),
        })
    })
    .await
    .map_err(|error| Error::Internal(error.to_string()))??;
    let facts = facts(given, &contents)?;
    let path = app.bundles.path(&id);
    let (wanted, named) = (id.clone(), path.clone());
    let known = app.db.read(move |connection| store::one(connection, &wanted)).await?;
    if let Some(known) = &known
        && std::fs::metadata(&named).is_ok_and(|file| file.len() == known.bytes)
    {
        return Err(Error::conflict(format!("version {} of these bytes is here already", known.version)));
    }
    let (from, to, dir) = (part.to_owned(), path.clone(), app.bundles.dir.clone());
    tokio::task::spawn_blocking(move || {
        std::fs::rename(&from, &to)?;
        std::fs::File::open(&dir)?.sync_all()
    })
    .await
    .map_err(|error| Error::Internal(error.to_string()))?
    .map_err(|error| disk(&path, &error))?;
    let (shared, now_ms) = (app.clone(), app.now_ms());
    let stored = app
        .db
        .write(move |tx| {
            let target = format!("bundle/{id}");
            // The file of a database that came back from a backup.
            if let Some(known) = known {
                audit::record(tx, now_ms, &actor, "bundle.restore", &target, audit::NONE, Some(&known))?;
                return Ok(known);
            }
            let Facts { version, compatible, description, build } = facts;
            let bundle = Bundle {
                sha256: id,
                version,
                compatible,
                description,
                build,
                format: contents.format,
                bytes,
                added_ms: now_ms,
                added_by: actor.name.clone(),
            };
            match store::insert(tx, &bundle) {
                Err(Error::Database(error)) if is_duplicate(&error) => {
                    return Err(Error::conflict("these bytes are here already"));
                }
                other => other?,
            }
            audit::record(tx, now_ms, &actor, "bundle.add", &target, audit::NONE, Some(&bundle))?;
            store::tell(&shared, tx)?;
            Ok(bundle)
        })
        .await;
    if matches!(&stored, Err(error) if !matches!(error, Error::Conflict(_))) {
        super::remove(&path);
    }
    stored
}

/// The manifest's word, or the uploader's where there is none; both have to agree.
fn facts(given: Given, contents: &Contents) -> Result<Facts, Error> {
    let manifest = contents.manifest.clone().unwrap_or_default();
    let one = |field: &str, said: String, given: Option<String>, max: usize| -> Result<String, Error> {
        let given = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let text = match given {
            Some(given) if !said.is_empty() && given != said => {
                return Err(Error::invalid(field, format!("is {given:?}, and the bundle says {said:?}")));
            }
            Some(given) => given,
            None if said.is_empty() && contents.manifest.is_none() => {
                let reason = "has to be given in the query: the manifest of this bundle cannot be read here";
                return Err(Error::invalid(field, reason));
            }
            None if said.is_empty() => {
                return Err(Error::invalid(field, "is missing in the bundle's manifest"));
            }
            None => said,
        };
        if text.chars().count() > max || text.chars().any(char::is_control) {
            return Err(Error::invalid(
                field,
                format!("is longer than {max} characters, or not to be shown"),
            ));
        }
        Ok(text)
    };
    let shown = |text: &str| -> String {
        text.chars().filter(|char| !char.is_control()).take(MAX_DESCRIPTION).collect()
    };
    Ok(Facts {
        version: one("version", manifest.version, given.version, MAX_VERSION)?,
        compatible: one("compatible", manifest.compatible, given.compatible, MAX_COMPATIBLE)?,
        description: shown(&manifest.description),
        build: shown(&manifest.build),
    })
}
