//! A local directory as a store. Files appear whole, by rename.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::remote::MAX_PLAYLIST;
use super::{Content, Error};

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Keys are made of checked names, so that they stay below the root.
    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    pub(super) async fn put(&self, key: &str, content: &Content) -> Result<u64, Error> {
        let (path, content) = (self.path(key), content.clone());
        blocking(move || write(&path, &content)).await
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(key);
        blocking(move || match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_PLAYLIST => {
                Err(Error::File { path, source: ErrorKind::FileTooLarge.into() })
            }
            Ok(_) => match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(source) => Err(Error::File { path, source }),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { path, source }),
        })
        .await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key);
        blocking(move || match std::fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::File { path, source }),
            _ => {
                // A session's directories go with their last file; anything else in them keeps them.
                for parent in path.ancestors().skip(1).take(2) {
                    if std::fs::remove_dir(parent).is_err() {
                        break;
                    }
                }
                Ok(())
            }
        })
        .await
    }
}

fn write(path: &Path, content: &Content) -> Result<u64, Error> {
    let at = |source: io::Error| Error::File { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(at)?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let len = match content {
        Content::Bytes(bytes) => {
            std::fs::write(&temporary, bytes).map_err(at)?;
            u64::try_from(bytes.len()).unwrap_or(u64::MAX)
        }
        Content::File(source) => std::fs::copy(source, &temporary).map_err(|error| {
            if source.exists() { at(error) } else { Error::Lost { path: source.clone(), source: error } }
        })?,
    };
    std::fs::rename(&temporary, path).map_err(at)?;
    Ok(len)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Unreachable(error.to_string())),
    }
}
