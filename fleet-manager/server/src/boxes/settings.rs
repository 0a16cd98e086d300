//! Settings: the fleet's, a box's own laid over them, what is allowed, and how desired and reported differ.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::fleet::desired::{Limits, Reported, Rung, Settings};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// As transcode has it.
const MAX_RUNGS: usize = 8;
/// A box pushes every session to each: two are usual, more than four no line carries.
const MAX_ORIGINS: usize = 4;
/// Three a day of the week.
const MAX_WINDOWS: usize = 21;
/// An old and a new one while they change, and some to spare.
const MAX_STREAM_KEYS: usize = 8;
const MAX_TEXT: usize = 256;

/// `above` laid over `below`: what it names replaces, limits one by one.
#[must_use]
pub fn overlay(below: &Settings, above: &Settings) -> Settings {
    fn either<T: Clone>(above: &Option<T>, below: &Option<T>) -> Option<T> {
        above.as_ref().or(below.as_ref()).cloned()
    }
    let limits = match (&above.limits, &below.limits) {
        (Some(above), Some(below)) => Some(Limits {
            connections: above.connections.or(below.connections),
            connections_per_address: above.connections_per_address.or(below.connections_per_address),
            bitrate_bps: above.bitrate_bps.or(below.bitrate_bps),
            pixels_per_s: above.pixels_per_s.or(below.pixels_per_s),
        }),
        (above, below) => either(above, below),
    };
    Settings {
        log_level: either(&above.log_level, &below.log_level),
        ladder: either(&above.ladder, &below.ladder),
        part_ms: either(&above.part_ms, &below.part_ms),
        limits,
        origins: either(&above.origins, &below.origins),
        stream_keys: either(&above.stream_keys, &below.stream_keys),
        telemetry_s: either(&above.telemetry_s, &below.telemetry_s),
        maintenance: either(&above.maintenance, &below.maintenance),
        drain: either(&above.drain, &below.drain),
    }
}

/// Checks what can be checked without the box; the rest the box checks, and says why not.
///
/// # Errors
/// Which value is not possible, and why.
pub fn validate(settings: &Settings) -> Result<(), Error> {
    fn within<T: PartialOrd + std::fmt::Display + Copy>(
        field: &str,
        value: T,
        low: T,
        high: T,
    ) -> Result<(), Error> {
        if value >= low && value <= high {
            return Ok(());
        }
        Err(Error::invalid(format!("settings.{field}"), format!("{value} is not between {low} and {high}")))
    }
    if let Some(seconds) = settings.telemetry_s {
        within("telemetry_s", seconds, 1, 300)?;
    }
    if let Some(ms) = settings.part_ms {
        within("part_ms", ms, 200, 1_000)?;
    }
    if let Some(ladder) = &settings.ladder {
        validate_ladder(ladder)?;
    }
    if let Some(limits) = &settings.limits {
        for (field, value) in [
            ("limits.connections", limits.connections.map(u64::from)),
            ("limits.connections_per_address", limits.connections_per_address.map(u64::from)),
            ("limits.bitrate_bps", limits.bitrate_bps),
            ("limits.pixels_per_s", limits.pixels_per_s),
        ] {
            if let Some(value) = value {
                within(field, value, 1, i64::MAX.unsigned_abs())?;
            }
        }
    }
    if let Some(origins) = &settings.origins {
        within("origins", origins.len(), 1, MAX_ORIGINS)?;
        let mut names = BTreeSet::new();
        for (at, origin) in origins.iter().enumerate() {
            if !names.insert(&origin.name) {
                return Err(Error::invalid(
                    format!("settings.origins[{at}].name"),
                    "another origin has this name",
                ));
            }
            check_origin_name(at, &origin.name)?;
            check_origin_url(at, &origin.url)?;
        }
    }
    for (at, window) in settings.maintenance.iter().flatten().enumerate() {
        within(&format!("maintenance[{at}].start_minute"), window.start_minute, 0, 1_439)?;
        within(&format!("maintenance[{at}].minutes"), window.minutes, 15, 1_440)?;
    }
    if let Some(windows) = &settings.maintenance {
        within("maintenance", windows.len(), 0, MAX_WINDOWS)?;
    }
    if let Some(keys) = &settings.stream_keys {
        within("stream_keys", keys.len(), 1, MAX_STREAM_KEYS)?;
        for (at, key) in keys.iter().enumerate() {
            if STANDARD.decode(key).map_or(true, |bytes| bytes.len() != 32) {
                return Err(Error::invalid(
                    format!("settings.stream_keys[{at}]"),
                    "is not a public key: base64 of 32 bytes",
                ));
            }
        }
    }
    Ok(())
}

fn validate_ladder(ladder: &[Rung]) -> Result<(), Error> {
    let invalid = |field: String, reason: String| Error::invalid(format!("settings.ladder{field}"), reason);
    if ladder.is_empty() || ladder.len() > MAX_RUNGS {
        return Err(invalid(String::new(), format!("{} rungs, not 1 to {MAX_RUNGS}", ladder.len())));
    }
    let mut names = BTreeSet::new();
    for (at, rung) in ladder.iter().enumerate() {
        // Names that renditions have which are no rungs.
        if ["audio", "source"].contains(&rung.name.as_str()) || !names.insert(rung.name.as_str()) {
            return Err(invalid(format!("[{at}].name"), format!("{} is taken", rung.name)));
        }
        if !(90..=2160).contains(&rung.height) {
            return Err(invalid(
                format!("[{at}].height"),
                format!("{} is not between 90 and 2160", rung.height),
            ));
        }
        if !(50_000..=50_000_000).contains(&rung.bitrate) {
            let reason = format!("{} is not between 50000 and 50000000", rung.bitrate);
            return Err(invalid(format!("[{at}].bitrate"), reason));
        }
    }
    for (at, pair) in ladder.windows(2).enumerate() {
        if let [above, below] = pair
            && (above.height, above.bitrate) < (below.height, below.bitrate)
        {
            return Err(invalid(
                format!("[{}]", at + 1),
                "is better than the one before: best first".to_owned(),
            ));
        }
    }
    Ok(())
}

fn check_origin_name(at: usize, name: &str) -> Result<(), Error> {
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!("settings.origins[{at}].name"), "is not 1 to 32 letters, digits, '-' and '_'"))
}

fn check_origin_url(at: usize, url: &str) -> Result<(), Error> {
    let host = url.strip_prefix("https://").unwrap_or_default();
    let good = !host.is_empty()
        && url.len() <= MAX_TEXT
        && url
            .parse::<axum::http::Uri>()
            .is_ok_and(|uri| uri.path() == "/" && uri.query().is_none() && uri.host().is_some());
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        format!("settings.origins[{at}].url"),
        "is not of the form https://host or https://host:port",
    ))
}

/// How one setting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Both say the same.
    Applied,
    /// Accepted; it takes effect with the next session.
    Pending,
    /// The box has not said anything to this version yet.
    Waiting,
    /// The box refused this version.
    Rejected,
    /// The box has something else in force.
    Differs,
}

/// One setting, desired beside reported.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    /// Such as `ladder` or `limits.connections`.
    pub setting: String,
    /// Null: left to the box's own configuration.
    #[schema(value_type = Value)]
    pub desired: Value,
    /// Null: the box does not say.
    #[schema(value_type = Value)]
    pub reported: Value,
    pub standing: Standing,
}

/// Every setting that either side names. `reported` only if it is of the same epoch.
#[must_use]
pub fn differences(desired: &Settings, version: u64, reported: Option<&Reported>) -> Vec<Difference> {
    let wanted = flat(desired);
    let has = reported.map(|reported| flat(&reported.settings)).unwrap_or_default();
    let names: BTreeSet<&String> = wanted.iter().chain(&has).map(|(name, _)| name).collect();
    let find = |list: &[(String, Value)], name: &str| {
        list.iter().find(|(other, _)| other == name).map_or(Value::Null, |(_, value)| value.clone())
    };
    names
        .into_iter()
        .map(|name| {
            let (desired, in_force) = (find(&wanted, name), find(&has, name));
            let top = name.split('.').next().unwrap_or(name);
            let standing = match reported {
                // What nobody wants otherwise is as it should be.
                _ if desired == in_force || desired.is_null() => Standing::Applied,
                Some(reported)
                    if reported.rejected.as_ref().is_some_and(|rejected| rejected.version == version) =>
                {
                    Standing::Rejected
                }
                Some(reported) if reported.pending.iter().any(|pending| pending == top) => Standing::Pending,
                Some(reported) if reported.applied == version => Standing::Differs,
                _ => Standing::Waiting,
            };
            Difference { setting: name.clone(), desired, reported: in_force, standing }
        })
        .collect()
}

/// Settings as names and values; limits one by one.
fn flat(settings: &Settings) -> Vec<(String, Value)> {
    let mut list = Vec::new();
    if let Ok(Value::Object(map)) = serde_json::to_value(settings) {
        for (name, value) in map {
            match value {
                Value::Object(inner) if name == "limits" => {
                    list.extend(inner.into_iter().map(|(limit, value)| (format!("{name}.{limit}"), value)));
                }
                value => list.push((name, value)),
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use nodi_protocol::fleet::desired::{LogLevel, Origin, Rejected};

    use super::*;

    fn rung(name: &str, height: u32) -> Rung {
        Rung { name: name.parse().unwrap(), height, bitrate: height * 4_000 }
    }

    #[test]
    fn a_boxs_own_settings_lie_over_the_fleets() {
        let fleet = Settings {
            telemetry_s: Some(10),
            drain: Some(false),
            limits: Some(Limits { connections: Some(8), bitrate_bps: Some(9), ..Limits::default() }),
            ..Settings::default()
        };
        let own = Settings {
            drain: Some(true),
            limits: Some(Limits { connections: Some(2), ..Limits::default() }),
            ..Settings::default()
        };
        let both = overlay(&fleet, &own);
        assert_eq!((both.telemetry_s, both.drain), (Some(10), Some(true)));
        assert_eq!(
            both.limits,
            Some(Limits { connections: Some(2), bitrate_bps: Some(9), ..Limits::default() })
        );
        assert_eq!(overlay(&fleet, &Settings::default()), fleet);
        assert_eq!(overlay(&Settings::default(), &own), own);
    }

    #[test]
    fn what_is_not_possible_is_named() {
        let origin = |name: &str, url: &str| Origin { name: name.into(), url: url.into() };
        let cases = [
            (Settings { telemetry_s: Some(0), ..Settings::default() }, "settings.telemetry_s"),
            (Settings { part_ms: Some(1_001), ..Settings::default() }, "settings.part_ms"),
            (Settings { ladder: Some(vec![]), ..Settings::default() }, "settings.ladder"),
            (
                Settings { ladder: Some(vec![rung("a", 360), rung("b", 720)]), ..Settings::default() },
                "settings.ladder[1]",
            ),
            (
                Settings { ladder: Some(vec![rung("a", 720), rung("a", 360)]), ..Settings::default() },
                "settings.ladder[1].name",
            ),
            (
                Settings {
                    limits: Some(Limits { connections: Some(0), ..Limits::default() }),
                    ..Settings::default()
                },
                "settings.limits.connections",
            ),
            (
                Settings { origins: Some(vec![origin("a", "http://x")]), ..Settings::default() },
                "settings.origins[0].url",
            ),
            (
                Settings { origins: Some(vec![origin("a", "https://x/y")]), ..Settings::default() },
                "settings.origins[0].url",
            ),
            (
                Settings {
                    origins: Some(vec![origin("a", "https://x"), origin("a", "https://y")]),
                    ..Settings::default()
                },
                "settings.origins[1].name",
            ),
            (
                Settings { stream_keys: Some(vec!["AAAA".into()]), ..Settings::default() },
                "settings.stream_keys[0]",
            ),
        ];
        for (settings, expected) in cases {
            match validate(&settings) {
                Err(Error::Invalid { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        let good = Settings {
            log_level: Some(LogLevel::Debug),
            ladder: Some(vec![rung("720p", 720), rung("360p", 360)]),
            origins: Some(vec![origin("main", "https://origin.example:9443")]),
            ..Settings::default()
        };
        validate(&good).unwrap();
    }

    #[test]
    fn the_difference_says_how_each_setting_stands() {
        let desired = Settings {
            telemetry_s: Some(5),
            drain: Some(true),
            ladder: Some(vec![rung("720p", 720)]),
            limits: Some(Limits { connections: Some(4), ..Limits::default() }),
            ..Settings::default()
        };
        let standing = |reported: Option<&Reported>| {
            differences(&desired, 7, reported)
                .into_iter()
                .map(|difference| (difference.setting, difference.standing))
                .collect::<Vec<_>>()
        };
        assert!(standing(None).iter().all(|(_, standing)| *standing == Standing::Waiting));
        let mut reported = Reported {
            applied: 7,
            epoch: String::new(),
            settings: Settings {
                telemetry_s: Some(5),
                drain: Some(false),
                part_ms: Some(333),
                ..Settings::default()
            },
            rejected: None,
            pending: vec!["ladder".into()],
            at_ms: 0,
        };
        let named = |name: &str, standing| (name.to_owned(), standing);
        assert_eq!(
            standing(Some(&reported)),
            [
                named("drain", Standing::Differs),
                named("ladder", Standing::Pending),
                named("limits.connections", Standing::Differs),
                named("part_ms", Standing::Applied),
                named("telemetry_s", Standing::Applied),
            ]
        );
        reported.applied = 6;
        reported.rejected = Some(Rejected { version: 7, reason: "ladder: too much".into() });
        assert_eq!(standing(Some(&reported))[0], named("drain", Standing::Rejected));
    }
}
