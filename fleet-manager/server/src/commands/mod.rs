//! Commands to boxes: durable from the moment they are given, retained at the broker until they are over, and counted as
//! failed when the box says nothing in time.

mod api;
mod deadlines;
mod files;
mod new;
mod states;
mod store;
mod upload;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;

use nodi_protocol::CommandId;
use serde::Deserialize;

use crate::error::Error;
use crate::state::App;
use crate::tasks::Tasks;

pub use api::routes;
pub use files::remove_files;
pub use new::{NewAction, NewCommand, create};
pub use states::State as CommandState;
pub use store::{CommandView, open_commands, outgoing, said, withdraw_all};

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Commands of one box that are not over yet; more are refused.
    pub max_open_per_box: u32,
    /// Commands of one box that are remembered; the oldest that are over are forgotten.
    pub keep_per_box: u32,
    /// Days for which commands that are over are remembered.
    pub keep_days: u32,
    /// Longest file that a box may upload, in bytes.
    pub max_upload: u64,
    /// All uploaded files together, in bytes; the oldest are removed.
    pub max_files_bytes: u64,
    /// Uploaded files; the oldest are removed.
    pub max_files: u32,
    /// Days for which an uploaded file is kept.
    pub files_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_open_per_box: 16,
            keep_per_box: 500,
            keep_days: 90,
            // A day of a busy box's journal, compressed.
            max_upload: 64 << 20,
            max_files_bytes: 2 << 30,
            max_files: 1_000,
            files_days: 30,
        }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [
            ("commands.max_open_per_box", u64::from(self.max_open_per_box)),
            ("commands.keep_per_box", u64::from(self.keep_per_box)),
            ("commands.keep_days", u64::from(self.keep_days)),
            ("commands.max_upload", self.max_upload),
        ] {
            if value == 0 {
                return Err((key, "must not be 0".to_owned()));
            }
        }
        Ok(())
    }
}

/// This area's part of [`App`].
pub struct State {
    /// Where uploaded files are.
    files: PathBuf,
    /// Commands that a box is uploading for just now.
    uploading: Mutex<HashSet<CommandId>>,
}

impl State {
    /// # Errors
    /// When there can be no directory for uploaded files.
    pub fn new(config: &crate::Config) -> Result<Self, Error> {
        let files = config.data_dir.join("uploads");
        std::fs::create_dir_all(&files)
            .map_err(|error| Error::Internal(format!("{}: {error}", files.display())))?;
        Ok(Self { files, uploading: Mutex::default() })
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("command deadlines", deadlines::watch(app.clone()));
    tasks.spawn("uploaded files", files::prune(app.clone()));
}
