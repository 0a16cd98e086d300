//! One session, from the first byte to the last line of the spool.
//!
//! Three threads with bounded queues between them: the [`reader`] cuts the input into tags and stamps their arrival,
//! the [`intake`] decides what is encoded and feeds the pipelines, the [`writer`] takes what comes out, cuts it and
//! reports. Pipelines have threads of their own. Nothing that is behind ever waits for something that is before it.

mod gate;
mod intake;
mod passthrough;
mod plan;
mod reader;
mod report;
mod writer;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nodi_daemon::exit;

use crate::config::Config;
use crate::{backend, cut, pipeline};

/// Exit codes of this process beyond the common ones.
pub mod exit_code {
    /// The input is not FLV, or carries codecs that are not supported.
    pub const BAD_INPUT: u8 = 10;
    /// No usable decoder or encoder.
    pub const NO_ENCODER: u8 = 11;
    /// The spool's file system is full.
    pub const NO_SPACE: u8 = 12;
    /// The media pipeline failed again and again.
    pub const PIPELINE: u8 = 13;
}

/// Why a session ended early. What was written up to then is complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("bad input: {0}")]
    BadInput(String),
    #[error(transparent)]
    NoEncoder(#[from] backend::Error),
    #[error(transparent)]
    Pipeline(#[from] pipeline::run::Error),
    #[error(transparent)]
    Cut(#[from] cut::Error),
    #[error("GStreamer: {0}")]
    GStreamer(#[from] gstreamer::glib::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("the {0} thread panicked")]
    Panic(&'static str),
}

impl From<nodi_spool::Error> for Error {
    fn from(error: nodi_spool::Error) -> Self {
        Self::Cut(error.into())
    }
}

impl Error {
    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) => exit_code::BAD_INPUT,
            Self::NoEncoder(_) => exit_code::NO_ENCODER,
            Self::Cut(cut::Error::Spool(nodi_spool::Error::NoSpace { .. })) => exit_code::NO_SPACE,
            Self::Pipeline(_) => exit_code::PIPELINE,
            Self::Cut(_) | Self::GStreamer(_) | Self::Thread(_) | Self::Panic(_) => exit::FAILURE,
        }
    }
}

/// Asks a worker to finish what it has and to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    asked: AtomicBool,
    looks: AtomicU64,
}

impl Stop {
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Release);
    }

    /// The worker looks each time that it comes back to its input, several times a second.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        self.0.asked.load(Ordering::Acquire)
    }

    /// How often the worker has looked: one that does not look any more hangs.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::Relaxed)
    }
}

/// Works until `input` ends or `stop` is asked.
///
/// # Errors
/// See [`Error`]; each has its exit code.
pub fn run(config: &Config, input: impl Read + Send + 'static, stop: &Stop) -> Result<(), Error> {
    gstreamer::init()?;
    let detected = backend::detect(config.backend)?;
    // Before anything is read: what comes in while the machine is measured would be late for its whole session.
    let costs = intake::costs(config, &detected);
    let tags = reader::spawn(input).map_err(Error::Thread)?;
    intake::run(config, detected, costs, &tags, stop)
}
