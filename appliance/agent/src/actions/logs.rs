//! A range of the journal as one compressed file, made while it is uploaded: nothing of it touches the disk.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use nodi_protocol::fleet::command::Upload;
use reqwest::Client;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, BufReader};
use tokio::sync::mpsc;

use super::{Config, upload};
use crate::local::describe;
use crate::seams::{Outcome, Progress};

/// Bytes of log that are read at most: a day of a talkative box is 100 MB.
const MOST_READ: u64 = 512 << 20;
/// Of each log file where there is no journal: its end.
const MOST_OF_A_FILE: u64 = 16 << 20;
/// What is read at a time.
const PIECE: usize = 64 << 10;
/// A longer line is cut.
const LONGEST_LINE: usize = 64 << 10;
/// What the end of the compressed stream takes at most, with what the encoder holds back.
const RESERVE: u64 = 128 << 10;

/// What went out.
#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    read: u64,
    compressed: u64,
    truncated: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Host(#[from] crate::host::Error),
    #[error("reading the log: {0}")]
    Read(#[from] std::io::Error),
    /// The upload knows why.
    #[error("the upload ended early")]
    Closed,
}

pub(super) async fn collect(
    config: &Config,
    client: &Client,
    (since_ms, until_ms): (u64, u64),
    to: &Upload,
    progress: &Progress,
) -> Outcome {
    if until_ms <= since_ms {
        return Outcome::failed("the range of time is empty");
    }
    let (send, body) = mpsc::channel(4);
    let mut sink = Sink::new(send, to.max_bytes, progress.clone());
    let making = async move {
        let made = if config.log_files.is_empty() {
            from_journal(config, (since_ms, until_ms), &mut sink).await
        } else {
            from_files(config, (since_ms, until_ms), &mut sink).await
        };
        match made {
            Ok(()) => sink.finish().await,
            Err(error) => {
                // The upload must not look complete.
                sink.abort(&error).await;
                Err(error)
            }
        }
    };
    let (uploaded, made) = tokio::join!(upload::put(client, to, "application/gzip", body), making);
    match (uploaded, made) {
        (_, Err(error @ (Error::Host(_) | Error::Read(_)))) => Outcome::failed(error.to_string()),
        (Err(error), _) => Outcome::failed(describe(&error)),
        (Ok(()), Err(error @ Error::Closed)) => Outcome::failed(error.to_string()),
        (Ok(()), Ok(sent)) => {
            let cut = if sent.truncated { ", cut at the largest size: ask for a shorter time" } else { "" };
            let message =
                format!("{} KiB of log, {} KiB compressed{cut}", sent.read >> 10, sent.compressed >> 10);
            Outcome::succeeded(message).with_result(serde_json::json!({
                "bytes": sent.read,
                "compressed_bytes": sent.compressed,
                "truncated": sent.truncated,
            }))
        }
    }
}

async fn from_journal(
    config: &Config,
    (since_ms, until_ms): (u64, u64),
    sink: &mut Sink,
) -> Result<(), Error> {
    // Whole seconds, so that the last one is in.
    let range = [format!("--since=@{}", since_ms / 1000), format!("--until=@{}", until_ms.div_ceil(1000))];
    let (program, mut command) = config.journal.with(range).command()?;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| crate::host::Error::Start { program: program.clone(), source })?;
    if let Some(output) = child.stdout.take() {
        sink.take_all(output).await?;
    }
    if sink.sent.truncated {
        // It still has more to say.
        let _ = child.start_kill();
        return Ok(());
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(crate::host::Error::Failed { program, status, said: String::new() }.into())
    }
}

async fn from_files(config: &Config, range: (u64, u64), sink: &mut Sink) -> Result<(), Error> {
    for path in &config.log_files {
        if sink.sent.truncated {
            break;
        }
        match open_end(path).await {
            Ok(file) => {
                sink.take(format!("==> {} <==\n", path.display()).as_bytes()).await?;
                within(range, file, sink).await?;
            }
            // The process may never have started.
            Err(error) => sink.take(format!("==> {}: {error} <==\n", path.display()).as_bytes()).await?,
        }
    }
    Ok(())
}

async fn open_end(path: &Path) -> std::io::Result<tokio::fs::File> {
    let mut file = tokio::fs::File::open(path).await?;
    let len = file.metadata().await?.len();
    file.seek(std::io::SeekFrom::Start(len.saturating_sub(MOST_OF_A_FILE))).await?;
    Ok(file)
}

/// Lines whose time is in the range; one without a time goes with the line before it.
async fn within(
    (since_ms, until_ms): (u64, u64),
    file: impl AsyncRead + Unpin,
    sink: &mut Sink,
) -> Result<(), Error> {
    let bounds = (timestamp(since_ms), timestamp(until_ms));
    let mut reader = BufReader::with_capacity(PIECE, file);
    let mut line = Vec::new();
    let mut wanted = true;
    loop {
        line.clear();
        if !read_line(&mut reader, &mut line).await? {
            return Ok(());
        }
        if let Some(time) = time_of(&line) {
            wanted = time >= bounds.0.as_str() && time <= bounds.1.as_str();
        }
        if wanted {
            sink.take(&line).await?;
        }
        if sink.sent.truncated {
            return Ok(());
        }
    }
}

/// One line with its newline, cut at [`LONGEST_LINE`]; `false` at the end.
async fn read_line(
    reader: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    use tokio::io::AsyncBufReadExt as _;
    let mut any = false;
    loop {
        let held = reader.fill_buf().await?;
        if held.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = held.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(held.len());
        let room = LONGEST_LINE.saturating_sub(line.len());
        line.extend(held.iter().take(taken.min(room)));
        reader.consume(taken);
        if end.is_some() {
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            return Ok(true);
        }
    }
}

/// The time at the start of a line as this platform's processes write it on a terminal: `[2026-11-22T19:29:39.281Z …`.
/// Times of this form are ordered as texts.
fn time_of(line: &[u8]) -> Option<&str> {
    const LEN: usize = "2026-11-22T19:29:39.281Z".len();
    let line = line.strip_prefix(b"[").unwrap_or(line);
    let time = std::str::from_utf8(line.get(..LEN)?).ok()?;
    let shape = time.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        19 => byte == b'.',
        23 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    shape.then_some(time)
}

/// UTC, in the form of [`time_of`].
fn timestamp(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // The calendar repeats every 400 years of 146,097 days; a year begins in March here, so that February is its end.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
}

/// Compresses, counts, and stops at the largest size.
struct Sink {
    encoder: GzEncoder<Vec<u8>>,
    out: mpsc::Sender<std::io::Result<Bytes>>,
    most: u64,
    sent: Sent,
    progress: Progress,
}

impl Sink {
    fn new(out: mpsc::Sender<std::io::Result<Bytes>>, most: u64, progress: Progress) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        Self { encoder, out, most, sent: Sent::default(), progress }
    }

    async fn take_all(&mut self, mut input: impl AsyncRead + Unpin) -> Result<(), Error> {
        let mut buffer = vec![0; PIECE];
        while !self.sent.truncated {
            let read = input.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            self.take(buffer.get(..read).unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn take(&mut self, text: &[u8]) -> Result<(), Error> {
        let held = self.encoder.get_ref().len() as u64;
        if self.sent.compressed + held + RESERVE.min(self.most / 2) > self.most || self.sent.read > MOST_READ
        {
            self.sent.truncated = true;
            return Ok(());
        }
        self.encoder.write_all(text)?;
        self.sent.read += text.len() as u64;
        if self.encoder.get_ref().len() >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let piece = std::mem::take(self.encoder.get_mut());
        self.sent.compressed += piece.len() as u64;
        self.progress.say(None, format!("{} KiB of log read", self.sent.read >> 10));
        self.out.send(Ok(piece.into())).await.map_err(|_| Error::Closed)
    }

    async fn finish(mut self) -> Result<Sent, Error> {
        self.encoder.try_finish()?;
        self.flush().await?;
        Ok(self.sent)
    }

    async fn abort(self, error: &Error) {
        // Nobody listens when the upload is what failed.
        let _ = self.out.send(Err(std::io::Error::other(error.to_string()))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    async fn collected(most: u64, text: &[u8], range: (u64, u64)) -> (String, Sent) {
        let (send, mut body) = mpsc::channel(4);
        let mut sink = Sink::new(send, most, Progress::new().0);
        let making = async move {
            within(range, text, &mut sink).await.unwrap();
            sink.finish().await.unwrap()
        };
        let reading = async move {
            let mut all = Vec::new();
            while let Some(piece) = body.recv().await {
                all.extend_from_slice(&piece.unwrap());
            }
            all
        };
        let (sent, all) = tokio::join!(making, reading);
        assert_eq!(sent.compressed, all.len() as u64);
        let mut said = String::new();
        flate2::read::GzDecoder::new(all.as_slice()).read_to_string(&mut said).unwrap();
        (said, sent)
    }

    #[tokio::test]
    async fn lines_of_the_range_and_those_that_belong_to_them() {
        let text = b"no time yet\n[2026-11-22T19:00:00.000Z INFO  a] early\n[2026-11-22T19:00:01.500Z WARN  b] in\n  more\n\
            [2026-11-22T19:00:02.001Z INFO  c] late\n  of the late one\n2026-11-22T19:00:01.900Z in again";
        let since = 1_795_374_001_000;
        let (said, sent) = collected(1 << 20, text, (since, since + 1_000)).await;
        assert_eq!(
            said,
            "no time yet\n[2026-11-22T19:00:01.500Z WARN  b] in\n  more\n2026-11-22T19:00:01.900Z in again"
        );
        assert!(!sent.truncated);
    }

    #[tokio::test]
    async fn what_is_too_large_is_cut_and_still_a_whole_file() {
        let mut text = Vec::new();
        for number in 0..200_000_u64 {
            // Hardly compressible.
            text.extend_from_slice(format!("{:x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_bytes());
        }
        let (said, sent) = collected(500_000, &text, (0, 1)).await;
        assert!(sent.truncated && sent.compressed <= 500_000, "{sent:?}");
        assert!(text.starts_with(said.as_bytes()) && said.len() > 400_000);
    }

    #[test]
    fn a_time_is_a_time() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_374_001_281, "2026-11-22T19:00:01.281Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(ms), text);
            assert_eq!(time_of(text.as_bytes()), Some(text));
        }
        assert_eq!(time_of(b"[2026-11-22T19:29:39.281Z INFO x] y"), Some("2026-11-22T19:29:39.281Z"));
        for other in [&b"[2026-11-22 19:29:39.281Z INFO"[..], b"[", b"", b"[2026-11-22T19:29:39.28"] {
            assert_eq!(time_of(other), None);
        }
    }
}
