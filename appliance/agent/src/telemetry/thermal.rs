//! Temperatures, and what holds the clocks down.

use std::collections::BTreeMap;
use std::path::Path;

use nodi_protocol::fleet::telemetry::Temperature;

use super::source::{Source, name, number, text};

/// More zones than any board has.
const MOST_ZONES: usize = 32;
/// Kinds of cooling devices, most that are told at a time.
const MOST_REASONS: usize = 16;
/// Beyond this a sensor says that it is off or broken: Tegra's read -256 °C while their unit has no power.
const PLAUSIBLE: std::ops::RangeInclusive<i64> = -50_000..=200_000;
/// Trip points that are looked at.
const MOST_TRIPS: usize = 16;

pub(super) fn temperatures(source: &Source) -> Vec<Temperature> {
    let zones = source.entries("sys/class/thermal");
    zones
        .iter()
        .filter(|path| name(path).starts_with("thermal_zone"))
        .filter_map(|path| zone(path))
        .take(MOST_ZONES)
        .collect()
}

fn zone(path: &Path) -> Option<Temperature> {
    let millidegrees: i64 = number(&path.join("temp")).filter(|value| PLAUSIBLE.contains(value))?;
    // The kernel slows down at passive trip points; `hot` only tells, `critical` switches off, `active` is the fan.
    let throttles_at = (0..MOST_TRIPS)
        .map_while(|trip| text(&path.join(format!("trip_point_{trip}_type"))).map(|kind| (trip, kind)))
        .filter(|(_, kind)| kind == "passive")
        .filter_map(|(trip, _)| number::<i64>(&path.join(format!("trip_point_{trip}_temp"))))
        .filter(|value| *value > 0)
        .min();
    Some(Temperature {
        zone: text(&path.join("type"))?,
        celsius: celsius(millidegrees),
        throttles_at: throttles_at.map(celsius),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a temperature")]
fn celsius(millidegrees: i64) -> f32 {
    ((millidegrees as f32) / 100.0).round() / 10.0
}

/// What happened since the last look is told besides what is so now.
#[derive(Debug, Default)]
pub(super) struct Throttling {
    counts: BTreeMap<String, u64>,
}

impl Throttling {
    pub(super) fn reasons(&mut self, source: &Source) -> Vec<String> {
        let mut reasons = Vec::new();
        for path in source.entries("sys/class/thermal") {
            if name(&path).starts_with("cooling_device")
                && number::<i64>(&path.join("cur_state")).is_some_and(|state| state > 0)
                && let Some(kind) = text(&path.join("type"))
                && slows_down(&kind)
            {
                reasons.push(kind);
            }
        }
        for path in source.entries("sys/class/hwmon") {
            if text(&path.join("name")).as_deref() == Some("soctherm_oc") {
                self.overcurrent(&path, &mut reasons);
            }
        }
        // Intel's and AMD's own protection, which no cooling device tells of.
        for path in source.entries("sys/devices/system/cpu") {
            let count = number::<u64>(&path.join("thermal_throttle/package_throttle_count"));
            if self.rose(&format!("package of {}", name(&path)), count) {
                reasons.push("package-thermal".to_owned());
            }
        }
        reasons.sort();
        reasons.dedup();
        reasons.truncate(MOST_REASONS);
        reasons
    }

    /// The over-current events of Orin's SOC_THERM. Not the third: spikes of microseconds, which come all the time at
    /// full power and cost nothing that can be seen.
    fn overcurrent(&mut self, path: &Path, reasons: &mut Vec<String>) {
        for (event, what) in [("oc1", "oc1 under-voltage"), ("oc2", "oc2 average over-current")] {
            let enabled = number::<u32>(&path.join(format!("{event}_throt_en"))) == Some(1);
            let count = number::<u64>(&path.join(format!("{event}_event_cnt")));
            if self.rose(event, count) && enabled {
                reasons.push(what.to_owned());
            }
        }
    }

    fn rose(&mut self, what: &str, count: Option<u64>) -> bool {
        let Some(count) = count else { return false };
        self.counts.insert(what.to_owned(), count).is_some_and(|before| count > before)
    }
}

/// Fans cool without slowing anything down, and Tegra's alert for a hot surface is for people.
fn slows_down(kind: &str) -> bool {
    !kind.to_ascii_lowercase().contains("fan") && kind != "hot-surface-alert"
}
