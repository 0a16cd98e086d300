//! CMAF by our own writer (ISO/IEC 23000-19): fragmented MP4, one track per file, one `moof` + `mdat` a part. Boxes are
//! written by `mp4-atom`; what is here says which boxes, and what is in them. Payloads are never copied: a chunk is a
//! header that the caller writes in front of the samples.

mod chunk;
mod init;

pub use chunk::{Chunk, Kind, Sample, header, overhead};
pub use init::{AudioEntry, SampleEntry, VideoEntry, codecs, section};

/// The only track of every file.
pub const TRACK_ID: u32 = 1;

/// Why boxes could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("decoder configuration: {0}")]
    Configuration(String),
    #[error("{0}")]
    Boxes(#[from] mp4_atom::Error),
    #[error("a part of {0} bytes does not fit into 32 bits")]
    TooLarge(u64),
}
