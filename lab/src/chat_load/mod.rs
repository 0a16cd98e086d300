//! Load for measuring what one message to a room of thousands costs a server: one thread that holds all connections,
//! publishes by the clock and accounts for every delivery; and the least that any server could do, to compare with.
//!
//! The client parses just enough of WebSocket (RFC 6455) to find its own messages. Every message carries its number
//! and the time at which it left; reader and publisher are one process, so both read the same clock.

mod connection;
mod dialect;
mod drive;
mod floor;
mod latency;
mod stamp;
mod tokens;
mod wire;

pub use dialect::Dialect;
pub use drive::{Load, Options};
pub use floor::serve as serve_floor;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows this process as many sockets as it may have.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_file_limit() -> std::io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
