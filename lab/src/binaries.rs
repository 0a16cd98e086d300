//! Where the platform's executables are: beside the lab's own, because one cargo build made both.

use std::path::{Path, PathBuf};

use crate::error::{Error, io};

/// The executable of one of our processes.
///
/// # Errors
/// Names the missing file and the command that makes it.
pub(crate) fn ours(name: &str) -> Result<PathBuf, Error> {
    let me = std::env::current_exe().map_err(io("finding the lab's own executable"))?;
    let beside = me.parent().unwrap_or(Path::new("."));
    // Test executables lie in `deps`, one below.
    let folder = if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside }.to_owned();
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { Err(Error::NotBuilt { name: name.to_owned(), path }) }
}

/// A program of the system. Debian keeps servers in a directory that is not on a user's path.
///
/// # Errors
/// When it is not installed.
pub(crate) fn system(program: &str) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Error::NotInstalled { program: program.to_owned() })
}
