//! One box's series over a span of time, in as many points as a chart has.

use serde::Serialize;

use super::chunk::FULL_RATE;
use super::sample::{Sample, Which, merge};
use crate::clock::millis;

/// Most points of an answer.
const MAX_POINTS: i64 = 1_000;
const MINUTE_MS: i64 = 60_000;
/// What a box sends by default, and so the finest that is drawn, in milliseconds.
const FINEST_MS: i64 = 10_000;

/// What is asked for, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    pub from_ms: i64,
    pub to_ms: i64,
    /// Length of a point.
    pub step_ms: i64,
    /// Whether full rate is there for all of it and fine enough to be of use.
    pub full_rate: bool,
}

impl Query {
    /// The span ends at `to_ms`, at the latest now; the step is a multiple of what is stored.
    #[must_use]
    pub fn new(from_ms: Option<i64>, to_ms: Option<i64>, points: Option<u32>, now_ms: i64) -> Self {
        let to_ms = to_ms.unwrap_or(now_ms).clamp(0, now_ms);
        let from_ms = from_ms.unwrap_or(to_ms - 3_600_000).clamp(to_ms - millis(super::KEEP_MINUTES), to_ms);
        let points = i64::from(points.unwrap_or(360)).clamp(1, MAX_POINTS);
        let span = (to_ms - from_ms).max(1);
        let wanted = (span + points - 1) / points;
        let full_rate = from_ms >= now_ms - millis(FULL_RATE) && wanted < MINUTE_MS;
        let unit = if full_rate { FINEST_MS } else { MINUTE_MS };
        let step_ms = ((wanted + unit - 1) / unit).max(1) * unit;
        // Whole steps: the same instant is always in the same point, whenever it is asked for.
        Self { from_ms: from_ms.div_euclid(step_ms) * step_ms, to_ms, step_ms, full_rate }
    }
}

/// Values at `at_ms`; what was not told is null. Loads, memory and disk are shares from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Series {
    pub cpu: Vec<Option<f32>>,
    pub gpu: Vec<Option<f32>>,
    pub encoder: Vec<Option<f32>>,
    /// Of the hottest zone; the highest where a point stands for several measurements.
    pub temperature_c: Vec<Option<f32>>,
    pub memory_used: Vec<Option<f32>>,
    /// Of the fullest disk.
    pub disk_used: Vec<Option<f32>>,
    pub uplink_sent_bps: Vec<Option<f32>>,
    /// The highest where a point stands for several measurements.
    pub uplink_lag_ms: Vec<Option<f32>>,
    pub clock_offset_ms: Vec<Option<f32>>,
    /// The highest where a point stands for several measurements.
    pub sessions: Vec<Option<f32>>,
}

impl Series {
    fn of(&mut self, which: Which) -> &mut Vec<Option<f32>> {
        match which {
            Which::Cpu => &mut self.cpu,
            Which::Gpu => &mut self.gpu,
            Which::Encoder => &mut self.encoder,
            Which::TemperatureC => &mut self.temperature_c,
            Which::MemoryUsed => &mut self.memory_used,
            Which::DiskUsed => &mut self.disk_used,
            Which::UplinkSentBps => &mut self.uplink_sent_bps,
            Which::UplinkLagMs => &mut self.uplink_lag_ms,
            Which::ClockOffsetMs => &mut self.clock_offset_ms,
            Which::Sessions => &mut self.sessions,
        }
    }
}

/// Answer of `GET /boxes/{id}/telemetry`.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct View {
    /// How many seconds one point stands for.
    pub resolution_s: u32,
    /// Begin of each point, in milliseconds since the Unix epoch. Where nothing was measured there is no point.
    pub at_ms: Vec<i64>,
    pub series: Series,
}

/// `samples`, in order of time, as the points of `query`.
#[must_use]
pub fn render(query: &Query, samples: &[Sample]) -> View {
    let point = |sample: &Sample| sample.at_ms.div_euclid(query.step_ms);
    let mut view = View {
        resolution_s: u32::try_from(query.step_ms / 1_000).unwrap_or(u32::MAX),
        at_ms: Vec::new(),
        series: Series::default(),
    };
    let begin = samples.partition_point(|sample| sample.at_ms < query.from_ms);
    let end = samples.partition_point(|sample| sample.at_ms <= query.to_ms);
    let inside = samples.get(begin..end).unwrap_or_default();
    for group in inside.chunk_by(|a, b| point(a) == point(b)) {
        let Some(merged) = group.first().and_then(|first| merge(group.iter(), point(first) * query.step_ms))
        else {
            continue;
        };
        view.at_ms.push(merged.at_ms);
        for which in Which::ALL {
            view.series.of(which).push(merged.get(which));
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::super::sample::SERIES;
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    #[test]
    fn the_step_fits_the_span() {
        let hour = Query::new(Some(NOW - HOUR), None, Some(360), NOW);
        assert_eq!((hour.step_ms, hour.full_rate), (10_000, true));
        let day = Query::new(Some(NOW - 24 * HOUR), None, Some(360), NOW);
        assert_eq!((day.step_ms, day.full_rate), (240_000, false));
        let week = Query::new(Some(NOW - 7 * 24 * HOUR), None, Some(1_000), NOW);
        assert_eq!((week.step_ms, week.full_rate), (660_000, false));
        let long_ago = Query::new(Some(NOW - 5 * HOUR), Some(NOW - 4 * HOUR), Some(1_000), NOW);
        assert_eq!((long_ago.step_ms, long_ago.full_rate), (60_000, false));
    }

    #[test]
    fn nonsense_is_brought_into_range() {
        for (from, to) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX), (NOW, NOW), (-5, -9)] {
            let query = Query::new(Some(from), Some(to), Some(u32::MAX), NOW);
            assert!(query.from_ms <= query.to_ms && query.to_ms <= NOW && query.step_ms > 0, "{query:?}");
            assert!(render(&query, &[]).at_ms.is_empty());
        }
        assert!(Query::new(None, None, Some(0), NOW).step_ms > 0);
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let query = Query::new(Some(NOW - HOUR), None, Some(360), NOW);
        let at = |ago: i64| Sample { at_ms: NOW - ago, values: [0.25; SERIES] };
        let view = render(&query, &[at(2 * HOUR), at(600_000), at(591_000), at(10_000)]);
        assert_eq!(view.at_ms, [NOW - 600_000, NOW - 10_000]);
        assert_eq!(view.series.cpu, [Some(0.25), Some(0.25)]);
    }
}
