//! Asking the processes' own programs whether they could go by new settings, before anything changes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::render::Files;
use super::{Config, MODE};
use crate::files::replace;
use crate::host::{self, CommandLine};

/// Reading two small files; the rest is what a busy machine takes to start a program.
const LIMIT: Duration = Duration::from_secs(20);
/// `EX_CONFIG`: the files are what is wrong.
const BAD: i32 = 78;

/// Why settings would not be usable.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// In the process's own words, naming the key.
    #[error("{process}: {reason}")]
    Bad { process: &'static str, reason: String },
    #[error("{process} cannot be asked: {source}")]
    Unasked { process: &'static str, source: host::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
}

/// Asks all three.
pub(super) async fn all(config: &Config, files: &Files) -> Result<(), Error> {
    let asked = [
        ("ingest", &config.ingest.program, &config.ingest.config, &files.ingest),
        ("transcode", &config.transcode.program, &config.transcode.config, &files.transcode),
        ("uplink", &config.uplink.program, &config.uplink.config, &files.uplink),
    ];
    for (process, program, configuration, text) in asked {
        let candidate = config.directory.join(format!("{process}.candidate"));
        replace(&candidate, text.as_bytes(), MODE)
            .map_err(|source| Error::Write { path: candidate.clone(), source })?;
        let answer = ask(process, program, configuration, &candidate).await;
        // Left behind it would only confuse people.
        let _ = std::fs::remove_file(&candidate);
        answer?;
    }
    Ok(())
}

async fn ask(
    process: &'static str,
    program: &Path,
    configuration: &Path,
    candidate: &Path,
) -> Result<(), Error> {
    let words: [&OsStr; 6] = [
        program.as_os_str(),
        "--config".as_ref(),
        configuration.as_os_str(),
        "--settings".as_ref(),
        candidate.as_os_str(),
        "--check".as_ref(),
    ];
    let command = CommandLine(words.map(|word| word.to_string_lossy().into_owned()).to_vec());
    let ended = command.run(LIMIT).await.map_err(|source| Error::Unasked { process, source })?;
    if ended.status.code() == Some(BAD) {
        // The path is one that exists only here.
        let prefix = format!("configuration {}: ", candidate.display());
        let reason = ended.said.strip_prefix(&prefix).unwrap_or(&ended.said).to_owned();
        return Err(Error::Bad { process, reason });
    }
    ended.expect_success().map_err(|source| Error::Unasked { process, source })?;
    Ok(())
}
