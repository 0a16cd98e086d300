//! FLV and what it carries: tags, AMF0, the heads of audio and video tags, AVC and AAC configuration,
//! and the one script tag of ours that leads a session.
//!
//! Everything here reads bytes that strangers wrote: nothing panics, recurses without a bound or
//! allocates by a declared length. No IO. H.264 and AAC are understood; every other codec is recognised and
//! named, so that it can be refused by name or added beside them.

pub mod aac;
pub mod amf0;
pub mod audio;
pub mod avc;
mod bits;
mod cursor;
pub mod facts;
pub mod metadata;
pub mod tag;
pub mod video;

pub use facts::SessionFacts;
pub use metadata::Metadata;
pub use tag::{Kind, Reader, Tag};
