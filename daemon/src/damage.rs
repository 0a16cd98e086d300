//! What becomes of a SQLite database that is damaged: it is kept for whoever wants to look, and out of the way.

use std::fmt::Display;
use std::io;
use std::path::Path;

/// Renames the database at `path` to the same name with the extension `damaged`, and says why in the log. What belongs
/// to it and would spoil a new one of its name is removed.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(what: &str, path: &Path, why: &dyn Display) -> io::Result<()> {
    let aside = path.with_extension("damaged");
    log::error!("{what} {} is damaged ({why}): set aside as {}", path.display(), aside.display());
    std::fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // There is none after a clean end.
        let _ = std::fs::remove_file(name);
    }
    Ok(())
}
