//! What the agent cannot do itself: command lines from its configuration, run without a shell.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// What is kept of what a command says on one stream, in bytes: reasons are a line, a self-test's report is 2 KiB.
const KEPT: usize = 64 << 10;
/// What is shown of a reason, in characters.
const SHOWN: usize = 300;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no command is configured for this")]
    NotConfigured,
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} did not end within {} s", .limit.as_secs())]
    Slow { program: String, limit: Duration },
    #[error("{program} failed ({status}){}", colon(.said))]
    Failed { program: String, status: ExitStatus, said: String },
    #[error("{program}: {source}")]
    Io { program: String, source: std::io::Error },
}

fn colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// A program and its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct CommandLine(pub Vec<String>);

/// How a command ended, well or not.
#[derive(Debug)]
pub struct Ended {
    pub program: String,
    pub status: ExitStatus,
    /// The first of what it wrote to standard output.
    pub output: Vec<u8>,
    /// The last line that it wrote to standard error.
    pub said: String,
}

impl Ended {
    /// # Errors
    /// When it did not end with 0.
    pub fn expect_success(self) -> Result<Vec<u8>, Error> {
        if self.status.success() {
            Ok(self.output)
        } else {
            Err(Error::Failed { program: self.program, status: self.status, said: self.said })
        }
    }
}

impl CommandLine {
    #[must_use]
    pub fn new<const N: usize>(words: [&str; N]) -> Self {
        Self(words.map(str::to_owned).to_vec())
    }

    /// With more arguments at its end.
    #[must_use]
    pub fn with<S: Into<String>>(&self, more: impl IntoIterator<Item = S>) -> Self {
        let mut words = self.0.clone();
        words.extend(more.into_iter().map(Into::into));
        Self(words)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ready to be started; it is killed when its handle is dropped.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn command(&self) -> Result<(String, Command), Error> {
        let (program, arguments) = self.0.split_first().ok_or(Error::NotConfigured)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        Ok((program.clone(), command))
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot be started, or takes longer than `limit`: then it is killed.
    pub async fn run(&self, limit: Duration) -> Result<Ended, Error> {
        let (program, mut command) = self.command()?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start { program: program.clone(), source })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let (output, said, status) = tokio::join!(first(stdout), last_line(stderr), child.wait());
            Ok::<_, std::io::Error>((output?, said?, status?))
        };
        match tokio::time::timeout(limit, ended).await {
            Ok(Ok((output, said, status))) => Ok(Ended { program, status, output, said }),
            Ok(Err(source)) => Err(Error::Io { program, source }),
            Err(_) => Err(Error::Slow { program, limit }),
        }
    }
}

/// The first [`KEPT`] bytes; the rest is read, so that the writer does not block, and forgotten.
async fn first(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(KEPT as u64).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

async fn last_line(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut tail = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let excess = tail.len().saturating_sub(KEPT);
        tail.drain(..excess);
    }
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    Ok(line.chars().filter(|c| !c.is_control()).take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn success_and_failure_are_told_apart_with_the_reason() {
        let good = CommandLine::new(["echo", "a b"]).with(["$HOME"]);
        assert_eq!(good.run(LIMIT).await.unwrap().expect_success().unwrap(), b"a b $HOME\n");
        let bad = CommandLine::new(["sh", "-c", "echo first >&2; echo 'the reason' >&2; exit 3"]);
        let error = bad.run(LIMIT).await.unwrap().expect_success().unwrap_err().to_string();
        assert_eq!(error, "sh failed (exit status: 3): the reason");
        assert!(matches!(CommandLine::default().run(LIMIT).await, Err(Error::NotConfigured)));
        let missing = CommandLine::new(["/nonexistent/program"]).run(LIMIT).await.unwrap_err().to_string();
        assert!(missing.starts_with("cannot start /nonexistent/program: "), "{missing}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_and_one_that_talks_is_bounded() {
        let hangs = CommandLine::new(["sleep", "100"]).run(Duration::from_millis(50)).await;
        assert!(matches!(hangs, Err(Error::Slow { .. })));
        let talks = CommandLine::new(["head", "-c", "1000000", "/dev/zero"]).run(LIMIT).await.unwrap();
        assert_eq!(talks.output.len(), KEPT);
    }
}
