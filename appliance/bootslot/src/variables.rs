//! NVIDIA's EFI variables as files: four bytes of attributes, then a 32-bit number in little endian (Linux
//! `Documentation/filesystems/efivarfs.rst`).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::IFlags;

/// The vendor's namespace, spelt as efivarfs does.
const VENDOR: &str = "781e084c-a330-417c-b678-38e696380cb9";
/// Non-volatile, and visible to boot and run-time services (UEFI 2.10, section 8.2).
const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];
/// `EFIVARFS_MAGIC` of `linux/magic.h`.
const EFIVARFS: i64 = 0xde5e_81e4;
/// No variable of these is longer; a longer one is none of these.
const LONGEST: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    /// 1: two root file systems. The firmware locks it.
    RedundancyLevel,
    /// Attempts that a slot has. The firmware locks it.
    RetryCountMax,
    StatusA,
    StatusB,
    /// The chain to switch to. Written by `nvbootctrl` and the launcher.
    ChainNext,
    /// What became of the last switch; while it is there none is begun.
    ChainStatus,
}

/// Of `RootfsStatusSlotX`.
pub mod status {
    pub const NORMAL: u32 = 0;
    pub const UNBOOTABLE: u32 = 0xff;
}

impl Variable {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RedundancyLevel => "RootfsRedundancyLevel",
            Self::RetryCountMax => "RootfsRetryCountMax",
            Self::StatusA => "RootfsStatusSlotA",
            Self::StatusB => "RootfsStatusSlotB",
            Self::ChainNext => "BootChainFwNext",
            Self::ChainStatus => "BootChainFwStatus",
        }
    }

    #[must_use]
    pub fn file_name(self) -> String {
        format!("{}-{VENDOR}", self.name())
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("EFI variable {variable}: {source}")]
    Io { variable: Variable, source: io::Error },
    #[error("EFI variable {variable} has {len} bytes, not the 8 of attributes and a number")]
    Length { variable: Variable, len: usize },
    #[error("EFI variable {variable} holds {value:#x}, which means nothing here")]
    Value { variable: Variable, value: u32 },
    #[error("EFI variable {variable} was set to {wanted:#x} and then was not that")]
    NotKept { variable: Variable, wanted: u32 },
}

/// efivarfs, or a directory that stands in for it.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// `None`: there is no such variable.
    ///
    /// # Errors
    /// When it cannot be read, or is of another length.
    pub fn read(&self, variable: Variable) -> Result<Option<u32>, Error> {
        match self.bytes(variable) {
            Ok(bytes) => match bytes.as_slice() {
                [_, _, _, _, value @ ..] => match value.try_into() {
                    Ok(value) => Ok(Some(u32::from_le_bytes(value))),
                    Err(_) => Err(Error::Length { variable, len: bytes.len() }),
                },
                _ => Err(Error::Length { variable, len: bytes.len() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { variable, source }),
        }
    }

    /// Sets it, and reads it back.
    ///
    /// # Errors
    /// When it cannot be written, or does not keep the value.
    pub fn write(&self, variable: Variable, value: u32) -> Result<(), Error> {
        let failed = |source| Error::Io { variable, source };
        // The firmware refuses other attributes than a variable has.
        let attributes = self.bytes(variable).ok().and_then(|bytes| bytes.first_chunk::<4>().copied());
        let mut bytes = attributes.unwrap_or(ATTRIBUTES).to_vec();
        bytes.extend_from_slice(&value.to_le_bytes());
        let path = self.path(variable);
        clear_immutable(&path);
        if self.is_efivarfs().map_err(failed)? {
            write_in_place(&path, &bytes).map_err(failed)?;
        } else {
            self.replace(&path, &bytes).map_err(failed)?;
        }
        match self.read(variable)? {
            Some(is) if is == value => Ok(()),
            _ => Err(Error::NotKept { variable, wanted: value }),
        }
    }

    /// Also when there is none.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove(&self, variable: Variable) -> Result<(), Error> {
        let path = self.path(variable);
        clear_immutable(&path);
        let removed = match std::fs::remove_file(&path) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| Error::Io { variable, source })
    }

    fn path(&self, variable: Variable) -> PathBuf {
        self.0.join(variable.file_name())
    }

    fn bytes(&self, variable: Variable) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(variable))?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn is_efivarfs(&self) -> io::Result<bool> {
        let found = rustix::fs::fstatfs(File::open(&self.0)?)?;
        #[allow(clippy::useless_conversion, reason = "the field's type differs between targets")]
        Ok(i64::from(found.f_type) == EFIVARFS)
    }

    /// A power cut leaves the old contents or the new ones.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        match File::open(&self.0)?.sync_all() {
            // efivarfs has nothing to sync: the firmware has it.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }
}

/// Each `write` call is one order to the firmware, which is carried out whole or not at all.
fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    if file.write(bytes)? == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::WriteZero, "it took only some of the bytes"))
    }
}

/// The kernel protects variables that it does not know from `rm -rf`.
fn clear_immutable(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    // A file system without such flags has nothing to clear; and if it failed, the write says so.
    if let Ok(flags) = rustix::fs::ioctl_getflags(&file)
        && flags.contains(IFlags::IMMUTABLE)
    {
        let _ = rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let kept = tempfile::tempdir().unwrap();
        let directory = Directory::new(kept.path().to_owned());
        (kept, directory)
    }

    #[test]
    fn a_variable_is_attributes_and_a_number() {
        let (kept, directory) = directory();
        assert_eq!(directory.read(Variable::StatusB).unwrap(), None);
        directory.write(Variable::StatusB, status::UNBOOTABLE).unwrap();
        let path = kept.path().join("RootfsStatusSlotB-781e084c-a330-417c-b678-38e696380cb9");
        assert_eq!(std::fs::read(&path).unwrap(), [7, 0, 0, 0, 0xff, 0, 0, 0]);
        assert_eq!(directory.read(Variable::StatusB).unwrap(), Some(0xff));
        // What it has it keeps.
        std::fs::write(&path, [6, 0, 0, 0, 1, 0, 0, 0]).unwrap();
        directory.write(Variable::StatusB, 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [6, 0, 0, 0, 0, 0, 0, 0]);
        directory.remove(Variable::StatusB).unwrap();
        directory.remove(Variable::StatusB).unwrap();
        assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
    }

    #[test]
    fn other_lengths_are_named_and_can_be_written_over() {
        let (kept, directory) = directory();
        let path = kept.path().join(Variable::StatusA.file_name());
        for bytes in [&b""[..], &[7, 0, 0], &[7, 0, 0, 0], &[7, 0, 0, 0, 0], &[7; 20]] {
            std::fs::write(&path, bytes).unwrap();
            let error = directory.read(Variable::StatusA).unwrap_err();
            assert!(matches!(error, Error::Length { len, .. } if len == bytes.len()), "{error}");
        }
        directory.write(Variable::StatusA, 0).unwrap();
        assert_eq!(directory.read(Variable::StatusA).unwrap(), Some(0));
    }

    #[test]
    fn in_place_the_bytes_go_in_one_write() {
        let (kept, _) = directory();
        let path = kept.path().join("variable");
        write_in_place(&path, &[7, 0, 0, 0, 1, 0, 0, 0]).unwrap();
        write_in_place(&path, &[7, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [7, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_immutable_file_is_written_and_removed_where_the_file_system_has_such_flags() {
        let (kept, directory) = directory();
        directory.write(Variable::StatusA, 1).unwrap();
        let path = kept.path().join(Variable::StatusA.file_name());
        let protect = || {
            let file = File::open(&path).unwrap();
            let flags = rustix::fs::ioctl_getflags(&file)?;
            rustix::fs::ioctl_setflags(&file, flags | IFlags::IMMUTABLE)
        };
        // Needs the right to do it, and a file system that can.
        if protect().is_err() {
            return;
        }
        directory.write(Variable::StatusA, 0).unwrap();
        protect().unwrap();
        directory.remove(Variable::StatusA).unwrap();
        assert_eq!(directory.read(Variable::StatusA).unwrap(), None);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_not_a_missing_variable_when_written() {
        let directory = Directory::new("/nowhere/efivars".into());
        assert_eq!(directory.read(Variable::RedundancyLevel).unwrap(), None);
        assert!(matches!(directory.write(Variable::StatusA, 0), Err(Error::Io { .. })));
    }
}
