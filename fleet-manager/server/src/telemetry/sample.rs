//! One measurement of one box, reduced to what is drawn over time.

use nodi_protocol::fleet::telemetry::Telemetry;

/// How many series are kept.
pub const SERIES: usize = 10;

/// One of the series; the order is that of the stored chunks and must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Cpu,
    Gpu,
    Encoder,
    TemperatureC,
    MemoryUsed,
    DiskUsed,
    UplinkSentBps,
    UplinkLagMs,
    ClockOffsetMs,
    Sessions,
}

impl Which {
    pub const ALL: [Self; SERIES] = [
        Self::Cpu,
        Self::Gpu,
        Self::Encoder,
        Self::TemperatureC,
        Self::MemoryUsed,
        Self::DiskUsed,
        Self::UplinkSentBps,
        Self::UplinkLagMs,
        Self::ClockOffsetMs,
        Self::Sessions,
    ];

    /// Stored are whole numbers of 1 / `scale`: finer than the measurement is.
    pub(super) fn scale(self) -> f64 {
        match self {
            Self::Cpu | Self::Gpu | Self::Encoder | Self::MemoryUsed | Self::DiskUsed => 1_000.0,
            Self::TemperatureC | Self::ClockOffsetMs => 10.0,
            Self::UplinkSentBps => 0.001,
            Self::UplinkLagMs | Self::Sessions => 1.0,
        }
    }

    /// What stands for several samples: their mean, or the highest where a short peak is what matters.
    pub(super) fn by_peak(self) -> bool {
        matches!(self, Self::TemperatureC | Self::UplinkLagMs | Self::Sessions)
    }
}

/// Values in the order of [`Which::ALL`]; what the box could not tell is not a number.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub values: [f32; SERIES],
}

impl Sample {
    /// What `telemetry` says, as measured at `at_ms` by the fleet server's clock.
    #[must_use]
    pub fn of(telemetry: &Telemetry, at_ms: i64) -> Self {
        let mut values = [f32::NAN; SERIES];
        for (which, value) in Which::ALL.into_iter().zip(&mut values) {
            *value = measured(telemetry, which).unwrap_or(f32::NAN);
        }
        Self { at_ms, values }
    }

    #[must_use]
    pub fn get(&self, which: Which) -> Option<f32> {
        self.values.get(which as usize).copied().filter(|value| value.is_finite())
    }
}

#[allow(clippy::cast_precision_loss, reason = "24 bits are more than is measured or drawn")]
fn measured(telemetry: &Telemetry, which: Which) -> Option<f32> {
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f32 / whole as f32);
    let value = match which {
        Which::Cpu => telemetry.cpu,
        Which::Gpu => telemetry.gpu,
        Which::Encoder => telemetry.encoder,
        Which::TemperatureC => hottest(telemetry),
        Which::MemoryUsed => telemetry
            .memory
            .and_then(|memory| share(memory.total.saturating_sub(memory.available), memory.total)),
        Which::DiskUsed => fullest(telemetry),
        Which::UplinkSentBps => telemetry.uplink.map(|uplink| uplink.sent_bps as f32),
        Which::UplinkLagMs => telemetry.uplink.map(|uplink| uplink.lag_ms as f32),
        Which::ClockOffsetMs => telemetry.clock_offset_ms,
        Which::Sessions => Some(telemetry.sessions as f32),
    };
    value.filter(|value| value.is_finite())
}

/// Of the hottest zone, in degrees Celsius.
#[must_use]
pub fn hottest(telemetry: &Telemetry) -> Option<f32> {
    telemetry
        .temperatures
        .iter()
        .map(|zone| zone.celsius)
        .filter(|celsius| celsius.is_finite())
        .reduce(f32::max)
}

/// Of the fullest disk, 0 to 1.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
pub fn fullest(telemetry: &Telemetry) -> Option<f32> {
    telemetry
        .disks
        .iter()
        .filter(|disk| disk.total_bytes > 0)
        .map(|disk| disk.total_bytes.saturating_sub(disk.free_bytes) as f32 / disk.total_bytes as f32)
        .reduce(f32::max)
}

/// Several samples as one at `at_ms`; `None` for none.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "a mean of f32s is in their range")]
pub(super) fn merge<'a>(samples: impl Iterator<Item = &'a Sample>, at_ms: i64) -> Option<Sample> {
    let mut sums = [(0.0_f64, 0_u32); SERIES];
    let mut any = false;
    for sample in samples {
        any = true;
        for ((which, value), (sum, count)) in Which::ALL.into_iter().zip(sample.values).zip(&mut sums) {
            if value.is_finite() {
                let value = f64::from(value);
                *sum = match (which.by_peak(), *count) {
                    (true, 0) => value,
                    (true, _) => sum.max(value),
                    (false, _) => *sum + value,
                };
                *count += 1;
            }
        }
    }
    let mut merged = Sample { at_ms, values: [f32::NAN; SERIES] };
    for ((which, value), (sum, count)) in Which::ALL.into_iter().zip(&mut merged.values).zip(sums) {
        if count > 0 {
            *value = if which.by_peak() { sum } else { sum / f64::from(count) } as f32;
        }
    }
    any.then_some(merged)
}

#[cfg(test)]
mod tests {
    use nodi_protocol::fleet::telemetry::{Disk, Memory, Temperature, Uplink};

    use super::*;

    #[test]
    fn absent_is_not_zero() {
        let sample = Sample::of(&Telemetry::default(), 5);
        assert_eq!(sample.get(Which::Cpu), None);
        assert_eq!(sample.get(Which::TemperatureC), None);
        assert_eq!(sample.get(Which::Sessions), Some(0.0));
    }

    #[test]
    fn the_worst_zone_and_disk_count() {
        let zone = |celsius| Temperature { zone: String::new(), celsius, throttles_at: None };
        let disk = |free_bytes| Disk { total_bytes: 100, free_bytes, ..Disk::default() };
        let telemetry = Telemetry {
            cpu: Some(0.5),
            temperatures: vec![zone(40.0), zone(71.5), zone(f32::NAN)],
            disks: vec![disk(90), disk(25), Disk::default()],
            memory: Some(Memory { total: 8, available: 6, ..Memory::default() }),
            uplink: Some(Uplink { sent_bps: 7_000_000, lag_ms: 12, ..Uplink::default() }),
            ..Telemetry::default()
        };
        let sample = Sample::of(&telemetry, 5);
        assert_eq!(sample.get(Which::TemperatureC), Some(71.5));
        assert_eq!(sample.get(Which::DiskUsed), Some(0.75));
        assert_eq!(sample.get(Which::MemoryUsed), Some(0.25));
        assert_eq!(sample.get(Which::UplinkSentBps), Some(7_000_000.0));
        assert_eq!(sample.get(Which::UplinkLagMs), Some(12.0));
    }

    #[test]
    fn merging_takes_means_and_peaks_of_what_is_there() {
        let mut a = Sample { at_ms: 1, values: [f32::NAN; SERIES] };
        let mut b = a;
        a.values[Which::Cpu as usize] = 0.2;
        b.values[Which::Cpu as usize] = 0.4;
        a.values[Which::TemperatureC as usize] = -5.0;
        b.values[Which::TemperatureC as usize] = -7.0;
        a.values[Which::Gpu as usize] = 1.0;
        let merged = merge([a, b].iter(), 9).unwrap();
        assert!((merged.get(Which::Cpu).unwrap() - 0.3).abs() < 1e-6);
        assert_eq!(merged.get(Which::TemperatureC), Some(-5.0));
        assert_eq!(merged.get(Which::Gpu), Some(1.0));
        assert_eq!(merged.get(Which::Encoder), None);
        assert!(merge([].iter(), 9).is_none());
    }
}
