//! Free loopback ports that stay free for a process that is killed and started again.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::error::{Error, io};

/// Below Linux's ephemeral range (32768 and up): while a server is down no outgoing connection can
/// be given its port.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on which nothing listens. Labs of several processes start looking at different places.
///
/// # Errors
/// When every port of the range is taken.
pub fn free() -> Result<u16, Error> {
    // Spreads processes over the range: neighbouring pids are far apart.
    let spread = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0).wrapping_mul(37);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (spread % COUNT + step % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io("looking for a free port")(std::io::ErrorKind::AddrInUse.into()))
}
