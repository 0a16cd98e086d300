//! The transcode worker: one live session from FLV on standard input to a ladder of CMAF renditions in the spool.
//!
//! Decodes once, makes the frame rate constant, scales and encodes each rung with key frames at the same pictures, and
//! cuts everything on one timeline. Knows nothing of networks, playlists or keys.

pub mod backend;
pub mod capacity;
pub mod cmaf;
pub mod config;
pub mod cut;
pub mod elements;
pub mod ladder;
pub mod overload;
pub mod pipeline;
pub mod rate;
pub mod selftest;
pub mod timeline;
pub mod worker;
