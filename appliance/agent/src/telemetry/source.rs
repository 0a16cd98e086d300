//! Small files of the kernel's, below a root that tests put elsewhere. What cannot be read is unknown, never an error:
//! no two boards have the same ones, and some answer only at times.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The largest file that is read: `/proc/stat` of a machine with hundreds of cores.
const LARGEST: u64 = 256 << 10;

/// Where `proc`, `sys` and `etc` are found.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    root: PathBuf,
}

impl Source {
    #[must_use]
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// `path` without a slash at its start.
    #[must_use]
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    #[must_use]
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        text(&self.at(path))
    }

    /// What is in a directory, by name, in order.
    #[must_use]
    pub(crate) fn entries(&self, path: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(self.at(path))
            .into_iter()
            .flatten()
            .flatten()
            .map(|item| item.path())
            .collect();
        // As people count: `hwmon10` after `hwmon9`.
        found.sort_by_cached_key(|path| {
            let name = name(path);
            let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let (stem, number) = name.split_at(name.len() - digits);
            (stem.to_owned(), number.parse::<u64>().unwrap_or(0))
        });
        found
    }
}

/// The text without white space and NULs at its ends; `None` when there is none.
#[must_use]
pub(super) fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[must_use]
pub(super) fn number<T: FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// The last part of a path.
#[must_use]
pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `part` of `whole` as a share, at most 1.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a share is shown with two digits"
)]
pub(super) fn share(part: u64, whole: u64) -> Option<f32> {
    (whole > 0).then(|| ((part as f64 / whole as f64).min(1.0) as f32 * 1000.0).round() / 1000.0)
}
