//! Files with the owner and the mode that they have to have, whatever the umask is.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::ca;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("there is no user {0:?} on this machine")]
    NoUser(String),
    #[error("{0}")]
    Certificate(#[from] ca::Error),
}

/// A user of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    pub(super) fn of(user: &str) -> Result<Self, Error> {
        let path = Path::new("/etc/passwd");
        let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        text.lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
                (name == user).then_some(Self { uid, gid })
            })
            .ok_or_else(|| Error::NoUser(user.to_owned()))
    }

    /// The name of who runs this process.
    #[must_use]
    pub(super) fn name_of(uid: u32) -> Option<String> {
        let text = fs::read_to_string("/etc/passwd").ok()?;
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
    }

    fn take(self, path: &Path) -> std::io::Result<()> {
        // Only the superuser may give files away; everybody else writes for themselves.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }
}

/// Who runs this process, by name.
#[must_use]
pub fn current_user() -> Option<String> {
    Owner::name_of(rustix::process::geteuid().as_raw())
}

pub(super) fn directory(path: &Path, mode: u32, owner: Option<&Owner>) -> Result<(), Error> {
    let make = || {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        owner.map_or(Ok(()), |owner| owner.take(path))
    };
    make().map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Writes a file as a whole: a reader sees the old one or the new one.
pub(super) fn replace(path: &Path, mode: u32, owner: Option<&Owner>, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        // Never readable for others, not even for a moment.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if let Some(owner) = owner {
            owner.take(&new)?;
        }
        fs::set_permissions(&new, Permissions::from_mode(mode))?;
        fs::rename(&new, path)
    };
    write().map_err(|source| Error::Io { path: path.to_owned(), source })
}
