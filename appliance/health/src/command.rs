//! Running a command line.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// More than RAUC's status; what is behind it is not looked at.
const LONGEST: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{line}: {source}")]
    Start { line: String, source: std::io::Error },
    #[error("{line}: no answer within {} s", .deadline.as_secs())]
    Deadline { line: String, deadline: Duration },
    #[error("{line}: {reason}")]
    Failed { line: String, reason: String },
}

/// What it prints on standard output.
///
/// # Errors
/// When it does not end with 0 in time, with the last line on its standard error.
pub async fn run(words: &[String], deadline: Duration) -> Result<Vec<u8>, Error> {
    let line = words.join(" ");
    let (program, arguments) = words.split_first().ok_or_else(|| Error::Failed {
        line: line.clone(),
        reason: "there is no such command line".to_owned(),
    })?;
    let running = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(deadline, running).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(Error::Start { line, source }),
        Err(_) => return Err(Error::Deadline { line, deadline }),
    };
    if output.status.success() {
        let mut out = output.stdout;
        out.truncate(LONGEST);
        return Ok(out);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let reason = if last.is_empty() { output.status.to_string() } else { last.to_owned() };
    Err(Error::Failed { line, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn the_reason_is_the_last_line_on_standard_error() {
        let long = Duration::from_secs(20);
        assert_eq!(run(&sh("echo yes"), long).await.unwrap(), b"yes\n");
        let error = run(&sh("echo first >&2; echo 'no such slot' >&2; exit 1"), long).await.unwrap_err();
        assert!(error.to_string().ends_with(": no such slot"), "{error}");
        assert!(run(&sh("exit 7"), long).await.unwrap_err().to_string().contains('7'));
        let error = run(&sh("exec sleep 60"), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, Error::Deadline { .. }), "{error}");
        assert!(matches!(run(&["/nowhere/rauc".to_owned()], long).await, Err(Error::Start { .. })));
    }
}
