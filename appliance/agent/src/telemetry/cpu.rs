//! Processor and memory.

use nodi_protocol::fleet::telemetry::Memory;

use super::source::{Source, share};

/// How busy all cores were since the last look.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    last: Option<(u64, u64)>,
}

impl Cpu {
    pub(super) fn busy(&mut self, source: &Source) -> Option<f32> {
        let (busy, total) = parse_stat(&source.text("proc/stat")?)?;
        let (last_busy, last_total) = self.last.replace((busy, total))?;
        share(busy.saturating_sub(last_busy), total.checked_sub(last_total)?)
    }
}

/// Busy and all time of all cores, in ticks, from `/proc/stat`.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = fields.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let total: u64 = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (ticks.len() >= 4).then_some((total - idle, total))
}

pub(super) fn load_1m(source: &Source) -> Option<f32> {
    source.text("proc/loadavg")?.split_whitespace().next()?.parse().ok()
}

pub(super) fn uptime_s(source: &Source) -> Option<u64> {
    source.text("proc/uptime")?.split(['.', ' ']).next()?.parse().ok()
}

pub(super) fn memory(source: &Source) -> Option<Memory> {
    let text = source.text("proc/meminfo")?;
    let bytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory {
        total: bytes("MemTotal")?,
        available: bytes("MemAvailable")?,
        swap_total: bytes("SwapTotal").unwrap_or(0),
        swap_free: bytes("SwapFree").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_disk_is_idle_and_guests_count_once() {
        assert_eq!(parse_stat("cpu  10 1 5 80 4 0 0 0 10 1\ncpu0 1 1 1 1"), Some((16, 100)));
        assert_eq!(parse_stat("cpu0 1 2 3 4"), None);
        assert_eq!(parse_stat("cpu  x"), None);
    }
}
