//! Values that are read from files and follow them: certificates, public keys, the revocation document.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// How often files are looked at: a revocation counts within two seconds.
const INTERVAL: Duration = Duration::from_millis(700);

/// What tells one version of a file from the next.
type Stamp = Vec<Option<(u64, u64, i64, i64)>>;

/// Follows `files` for ever: whenever one changes, what `read` makes of them replaces the value. A version that
/// cannot be read leaves the old value and a warning. `poke` makes it read at once.
pub(crate) async fn follow<T, E: Display>(
    what: &'static str,
    files: Vec<PathBuf>,
    poke: Arc<Notify>,
    read: impl Fn() -> Result<T, E>,
    value: watch::Sender<Arc<T>>,
) {
    // What was read before the first look may be older than what is there now.
    let mut seen = None;
    loop {
        let now = stamp(&files);
        if seen.as_ref() != Some(&now) {
            let first = seen.is_none();
            match read() {
                Ok(new) => {
                    value.send_replace(Arc::new(new));
                    if !first {
                        log::info!("{what}: read again");
                    }
                }
                Err(error) => log::warn!("{what}: still using the previous version: {error}"),
            }
            seen = Some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            // What changed may not be in a file's stamp.
            () = poke.notified() => seen = Some(Vec::new()),
        }
    }
}

fn stamp(files: &[PathBuf]) -> Stamp {
    files
        .iter()
        .map(|file| {
            let meta = std::fs::metadata(file).ok()?;
            Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        })
        .collect()
}
