//! Network interfaces.

use std::collections::HashMap;
use std::path::Path;

use nodi_protocol::fleet::telemetry::Interface;
use tokio::time::Instant;

use super::source::{Source, name, number, text};

/// A box has a handful; a development machine may have hundreds of virtual ones.
const MOST: usize = 16;

/// Rates are those since the last look.
#[derive(Debug, Default)]
pub(super) struct Network {
    last: HashMap<String, (Instant, u64, u64)>,
}

impl Network {
    pub(super) fn interfaces(&mut self, source: &Source, now: Instant) -> Vec<Interface> {
        let all = source.entries("sys/class/net");
        let lines: Vec<_> = all.iter().filter(|path| path.join("device").exists()).collect();
        // Inside a container or a network namespace nothing has hardware of its own.
        let lines = if lines.is_empty() { all.iter().collect() } else { lines };
        let lines = lines.into_iter().filter(|path| name(path) != "lo").take(MOST);
        let mut last = HashMap::new();
        let mut interfaces = Vec::new();
        for path in lines {
            let id = name(path);
            let (Some(received), Some(sent)) = (counter(path, "rx_bytes"), counter(path, "tx_bytes")) else {
                continue;
            };
            let before = self.last.get(&id).copied();
            last.insert(id.clone(), (now, received, sent));
            // Its first rate comes with the next look.
            let Some((then, received_then, sent_then)) = before else { continue };
            let elapsed = now.duration_since(then).as_secs_f64();
            interfaces.push(Interface {
                name: id,
                up: is_up(path),
                speed_mbps: number::<i64>(&path.join("speed")).and_then(|speed| u32::try_from(speed).ok()),
                received_bps: rate(received_then, received, elapsed),
                sent_bps: rate(sent_then, sent, elapsed),
                errors: ["rx_errors", "tx_errors"].iter().filter_map(|kind| counter(path, kind)).sum(),
            });
        }
        self.last = last;
        interfaces
    }
}

fn counter(path: &Path, kind: &str) -> Option<u64> {
    number(&path.join("statistics").join(kind))
}

fn is_up(path: &Path) -> bool {
    match text(&path.join("operstate")).as_deref() {
        Some("up") => true,
        // Drivers that do not say, such as those of tunnels.
        Some("unknown") => number::<u8>(&path.join("carrier")) == Some(1),
        _ => false,
    }
}

/// Bits per second; a counter that went back was set anew.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate in bit/s"
)]
pub(super) fn rate(before: u64, now: u64, elapsed_s: f64) -> u64 {
    if elapsed_s > 0.0 { (now.saturating_sub(before) as f64 * 8.0 / elapsed_s) as u64 } else { 0 }
}
