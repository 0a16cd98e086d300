use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the lab cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is not built: there is no {path}; run `cargo build --workspace --bins`")]
    NotBuilt { name: String, path: PathBuf },
    #[error("{program} is not installed; run `scripts/setup`")]
    NotInstalled { program: String },
    #[error("cannot start {name}: {source}")]
    Start { name: String, source: std::io::Error },
    #[error("{name} ended ({status}); the end of {log}:\n{tail}")]
    Ended { name: String, status: ExitStatus, log: PathBuf, tail: String },
    #[error("no process is called {0}")]
    NoSuchProcess(String),
    #[error("{what} did not happen within {} s", deadline.as_secs_f32())]
    Deadline { what: String, deadline: Duration },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("stream keys: {0}")]
    KeyFile(#[from] nodi_protocol::stream_key::KeyFileError),
    #[error("{url}: {source}")]
    Http { url: String, source: reqwest::Error },
    #[error("the host says: {0}")]
    Host(String),
    #[error("{url} answers {status}: {text}")]
    Refused { url: String, status: u16, text: String },
    #[error(transparent)]
    Id(#[from] nodi_protocol::id::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{needed} open files are needed, and the limit is {limit}: raise it (`ulimit -n`)")]
    OpenFiles { needed: u64, limit: u64 },
    #[error("RTMP: {0}")]
    Rtmp(String),
    #[error("{program} failed ({status}): {output}")]
    Tool { program: String, status: ExitStatus, output: String },
    #[error("{0}")]
    Media(String),
    #[error("chat: {0}")]
    Chat(String),
}

/// Names what was tried when the operating system said no.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}
