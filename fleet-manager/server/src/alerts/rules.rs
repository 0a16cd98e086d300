//! What is wrong with a box or a stream: the thresholds, and the words for what lies beyond them.

use nodi_protocol::fleet::session::Session;
use nodi_protocol::fleet::telemetry::Telemetry;
use serde::Deserialize;

use super::engine::{Reading, Timing};
use super::kind::{Kind, Severity};
use crate::boxes::Record;
use crate::rollouts::Halted;
use crate::streams::words::{self, Side};
use crate::telemetry::fullest;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// How long a condition has to be there and to be gone, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub start_after_s: u32,
    pub end_after_s: u32,
}

impl Span {
    const fn new(start_after_s: u32, end_after_s: u32) -> Self {
        Self { start_after_s, end_after_s }
    }

    fn timing(self) -> Timing {
        Timing {
            start_after_ms: i64::from(self.start_after_s) * 1_000,
            end_after_ms: i64::from(self.end_after_s) * 1_000,
        }
    }
}

/// When there is an alert.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// On top of the seconds after which a silent box counts as offline. By default longer than a reconnect takes.
    pub box_offline: Span,
    pub too_hot: Span,
    pub throttling: Span,
    pub disk_filling: Span,
    pub encoder_full: Span,
    pub uplink_lag: Span,
    pub input_unhealthy: Span,
    pub certificate_expiring: Span,
    /// So many degrees Celsius below the temperature at which the kernel throttles, a box is too hot. It has cooled
    /// down when it is as much further below.
    pub heat_margin_c: f32,
    /// The temperature at which a box is too hot whose kernel does not say when it throttles.
    pub hot_c: f32,
    /// Share of a disk that is used: a warning, a critical one, and where it ends.
    pub disk_warning: f32,
    pub disk_critical: f32,
    pub disk_end: f32,
    /// Share of the encoder's capacity that is used, and where it ends.
    pub encoder_full_at: f32,
    pub encoder_end: f32,
    /// How far the uplink is behind, in milliseconds: a warning when viewers come near the end of what they have, a
    /// critical one when they are past it, and where it ends.
    pub uplink_lag_warning_ms: u64,
    pub uplink_lag_critical_ms: u64,
    pub uplink_lag_end_ms: u64,
    /// Days before a certificate's end. Boxes renew theirs when a third is left, which is 30 days of the usual 90:
    /// half of that is time enough to notice.
    pub certificate_warning_days: u32,
    pub certificate_critical_days: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            box_offline: Span::new(30, 15),
            too_hot: Span::new(60, 60),
            throttling: Span::new(30, 60),
            disk_filling: Span::new(60, 60),
            encoder_full: Span::new(60, 60),
            uplink_lag: Span::new(20, 30),
            input_unhealthy: Span::new(20, 30),
            certificate_expiring: Span::new(0, 0),
            heat_margin_c: 5.0,
            hot_c: 90.0,
            disk_warning: 0.85,
            disk_critical: 0.95,
            disk_end: 0.80,
            encoder_full_at: 0.95,
            encoder_end: 0.85,
            uplink_lag_warning_ms: 4_000,
            uplink_lag_critical_ms: 15_000,
            uplink_lag_end_ms: 2_000,
            certificate_warning_days: 14,
            certificate_critical_days: 3,
        }
    }
}

impl Rules {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let rising = |key, low: f64, high: f64| {
            if low < high { Ok(()) } else { Err((key, format!("{low} is not below {high}"))) }
        };
        rising("alerts.rules.disk_end", self.disk_end.into(), self.disk_warning.into())?;
        rising("alerts.rules.disk_warning", self.disk_warning.into(), self.disk_critical.into())?;
        rising("alerts.rules.encoder_end", self.encoder_end.into(), self.encoder_full_at.into())?;
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a lag")]
        let (end, warning, critical) = (
            self.uplink_lag_end_ms as f64,
            self.uplink_lag_warning_ms as f64,
            self.uplink_lag_critical_ms as f64,
        );
        rising("alerts.rules.uplink_lag_end_ms", end, warning)?;
        rising("alerts.rules.uplink_lag_warning_ms", warning, critical)?;
        rising(
            "alerts.rules.certificate_critical_days",
            self.certificate_critical_days.into(),
            self.certificate_warning_days.into(),
        )
    }

    #[must_use]
    pub(super) fn timing(&self, kind: Kind) -> Timing {
        match kind {
            Kind::BoxOffline => self.box_offline,
            Kind::TooHot => self.too_hot,
            Kind::Throttling => self.throttling,
            Kind::DiskFilling => self.disk_filling,
            Kind::EncoderFull => self.encoder_full,
            Kind::UplinkLag => self.uplink_lag,
            Kind::InputUnhealthy => self.input_unhealthy,
            Kind::CertificateExpiring => self.certificate_expiring,
            // It has been silent for long when it is found out; and what is halted waits for a person.
            Kind::CommandSilent | Kind::RolloutHalted => Span::new(0, 0),
        }
        .timing()
    }

    /// A box that is ours: a revoked one is not looked at.
    pub(super) fn of_box(&self, record: &Record, now_ms: i64, mut see: impl FnMut(Kind, Reading)) {
        see(Kind::BoxOffline, offline(record, now_ms));
        let telemetry = record.telemetry.as_ref().map(|(telemetry, _)| telemetry.as_ref());
        see(Kind::CertificateExpiring, self.certificate(record, telemetry, now_ms));
        // Of a box that is away nothing is known: what was wrong with it may still be.
        let telemetry = telemetry.filter(|_| record.is_online());
        let mut measured = |kind, reading: fn(&Self, &Telemetry) -> Reading| {
            see(kind, telemetry.map_or(Reading::Between, |telemetry| reading(self, telemetry)));
        };
        measured(Kind::TooHot, Self::heat);
        measured(Kind::Throttling, Self::throttling);
        measured(Kind::DiskFilling, Self::disk);
        measured(Kind::EncoderFull, Self::encoder);
        measured(Kind::UplinkLag, Self::uplink);
    }

    fn heat(&self, telemetry: &Telemetry) -> Reading {
        let limit = |throttles_at: Option<f32>| throttles_at.map_or(self.hot_c, |at| at - self.heat_margin_c);
        let zones = || telemetry.temperatures.iter().filter(|zone| zone.celsius.is_finite());
        let hottest = zones()
            .filter(|zone| zone.celsius >= limit(zone.throttles_at))
            .max_by(|a, b| a.celsius.total_cmp(&b.celsius));
        match hottest {
            Some(zone) => warning(format!(
                "{} is at {:.0} °C{}.",
                zone.zone,
                zone.celsius,
                zone.throttles_at.map(|at| format!(", it slows down at {at:.0} °C")).unwrap_or_default()
            )),
            None if zones().any(|zone| zone.celsius >= limit(zone.throttles_at) - self.heat_margin_c) => {
                Reading::Between
            }
            None => Reading::Good,
        }
    }

    fn throttling(&self, telemetry: &Telemetry) -> Reading {
        if telemetry.throttling.is_empty() {
            return Reading::Good;
        }
        critical(format!("Its clocks are held down: {}.", telemetry.throttling.join(", ")))
    }

    fn disk(&self, telemetry: &Telemetry) -> Reading {
        let Some(used) = fullest(telemetry) else { return Reading::Between };
        let text = || format!("A disk is {:.0} % full.", used * 100.0);
        match used {
            used if used >= self.disk_critical => critical(text()),
            used if used >= self.disk_warning => warning(text()),
            used if used >= self.disk_end => Reading::Between,
            _ => Reading::Good,
        }
    }

    fn encoder(&self, telemetry: &Telemetry) -> Reading {
        let used = telemetry.encoder.unwrap_or(0.0);
        if used >= self.encoder_full_at {
            warning(format!("{:.0} % of its encoder is used.", used * 100.0))
        } else if telemetry.spare_sessions == Some(0) {
            warning(format!("It carries {} and has no room for another one.", streams(telemetry.sessions)))
        } else if used >= self.encoder_end {
            Reading::Between
        } else {
            Reading::Good
        }
    }

    fn uplink(&self, telemetry: &Telemetry) -> Reading {
        let Some(uplink) = telemetry.uplink else { return Reading::Good };
        let text = || format!("Its uplink is {} s behind.", uplink.lag_ms / 1_000);
        match uplink.lag_ms {
            lag if lag >= self.uplink_lag_critical_ms => critical(text()),
            lag if lag >= self.uplink_lag_warning_ms => warning(text()),
            lag if lag >= self.uplink_lag_end_ms => Reading::Between,
            _ => Reading::Good,
        }
    }

    /// What the box itself says it uses; before it said so, what was signed for it.
    fn certificate(&self, record: &Record, telemetry: Option<&Telemetry>, now_ms: i64) -> Reading {
        let used = telemetry
            .and_then(|telemetry| telemetry.certificate_not_after_ms)
            .and_then(|ms| i64::try_from(ms).ok());
        let signed = record.certificate.as_ref().map(|certificate| certificate.not_after_ms);
        let Some(ends_ms) = used.or(signed) else { return Reading::Between };
        let left_ms = ends_ms.saturating_sub(now_ms);
        let text = || match left_ms / DAY_MS {
            _ if left_ms <= 0 => "Its certificate has ended: it cannot connect.".to_owned(),
            0 => "Its certificate ends within a day, and it has not renewed it.".to_owned(),
            days => format!("Its certificate ends in {days} days, and it has not renewed it."),
        };
        if left_ms < i64::from(self.certificate_critical_days) * DAY_MS {
            critical(text())
        } else if left_ms < i64::from(self.certificate_warning_days) * DAY_MS {
            warning(text())
        } else {
            Reading::Good
        }
    }
}

fn offline(record: &Record, now_ms: i64) -> Reading {
    match record.last_seen_ms {
        _ if record.is_online() => Reading::Good,
        // It was never here: somebody still has to plug it in.
        None => Reading::Between,
        Some(seen_ms) => critical(match now_ms.saturating_sub(seen_ms) / 1_000 {
            silent_s if silent_s < 120 => format!("Nothing was heard of it for {} s.", silent_s.max(0)),
            silent_s => format!("Nothing was heard of it for {} minutes.", silent_s / 60),
        }),
    }
}

/// What the publisher sends. Of a box that is away nothing is known.
#[must_use]
pub(super) fn of_session(session: &Session, online: bool) -> Reading {
    if !online {
        return Reading::Between;
    }
    let mut serious = session
        .warnings
        .iter()
        .filter(|warning| {
            let meaning = words::meaning(&warning.code);
            meaning.side == Side::Encoder && !meaning.hint
        })
        .peekable();
    if serious.peek().is_none() {
        return Reading::Good;
    }
    let no_picture = session.warnings.iter().any(|warning| warning.code == words::NO_VIDEO);
    let reason = serious.map(|warning| words::sentence(&warning.text)).collect::<Vec<_>>().join(" ");
    if no_picture { critical(reason) } else { warning(reason) }
}

/// A command that the box did not answer.
#[must_use]
pub(super) fn of_command(action: &str) -> Reading {
    warning(format!("It did not say what became of the command {action:?}."))
}

/// A rollout that waits for a person.
#[must_use]
pub(super) fn of_rollout(rollout: &Halted) -> Reading {
    let Halted { name, version, reason } = rollout;
    critical(format!("The rollout {name:?} of version {version} is halted: {reason}."))
}

fn warning(reason: String) -> Reading {
    Reading::Bad { severity: Severity::Warning, reason }
}

fn critical(reason: String) -> Reading {
    Reading::Bad { severity: Severity::Critical, reason }
}

fn streams(count: u32) -> String {
    if count == 1 { "one stream".to_owned() } else { format!("{count} streams") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nodi_protocol::fleet::session::Warning;
    use nodi_protocol::fleet::telemetry::{Disk, Temperature, Uplink};

    use super::*;
    use crate::streams::testing::record;

    const NOW: i64 = 1_763_826_000_000;

    /// What is said of each kind that is not good: `kind severity`, or `kind between`.
    fn seen(record: &Record) -> Vec<String> {
        let mut list = Vec::new();
        Rules::default().of_box(record, NOW, |kind, reading| match reading {
            Reading::Bad { severity, .. } => list.push(format!("{} {}", kind.name(), severity.name())),
            Reading::Between => list.push(format!("{} between", kind.name())),
            Reading::Good => {}
        });
        list
    }

    fn with(telemetry: Telemetry) -> Record {
        let mut record = record("box-a");
        let disk = Disk { total_bytes: 100, free_bytes: 50, ..Disk::default() };
        let disks = if telemetry.disks.is_empty() { vec![disk] } else { telemetry.disks.clone() };
        let ends = telemetry.certificate_not_after_ms.or(Some(u64::try_from(NOW + 60 * DAY_MS).unwrap()));
        let telemetry = Telemetry { disks, certificate_not_after_ms: ends, ..telemetry };
        record.telemetry = Some((Arc::new(telemetry), NOW));
        record
    }

    fn zone(celsius: f32, throttles_at: Option<f32>) -> Telemetry {
        let temperatures = vec![Temperature { zone: "tj-thermal".into(), celsius, throttles_at }];
        Telemetry { temperatures, ..Telemetry::default() }
    }

    #[test]
    fn each_threshold_is_where_it_should_be() {
        let disk = |free_bytes| Telemetry {
            disks: vec![Disk { total_bytes: 1_000, free_bytes, ..Disk::default() }],
            ..Telemetry::default()
        };
        let encoder = |used| Telemetry { encoder: Some(used), ..Telemetry::default() };
        let lag = |lag_ms| Telemetry {
            uplink: Some(Uplink { lag_ms, ..Uplink::default() }),
            ..Telemetry::default()
        };
        let ends = |days: i64| Telemetry {
            certificate_not_after_ms: Some(u64::try_from(NOW + days * DAY_MS + 1).unwrap()),
            ..Telemetry::default()
        };
        let held = Telemetry { throttling: vec!["over-current".into()], ..Telemetry::default() };
        let full = Telemetry { spare_sessions: Some(0), sessions: 2, ..Telemetry::default() };
        for (telemetry, expected) in [
            (Telemetry::default(), ""),
            (zone(84.9, Some(95.0)), ""),
            (zone(85.0, Some(95.0)), "too_hot between"),
            (zone(90.0, Some(95.0)), "too_hot warning"),
            (zone(89.9, None), "too_hot between"),
            (zone(90.0, None), "too_hot warning"),
            (zone(f32::NAN, None), ""),
            (held, "throttling critical"),
            (disk(201), ""),
            (disk(200), "disk_filling between"),
            (disk(150), "disk_filling warning"),
            (disk(50), "disk_filling critical"),
            (encoder(0.84), ""),
            (encoder(0.85), "encoder_full between"),
            (encoder(0.95), "encoder_full warning"),
            (full, "encoder_full warning"),
            (lag(1_999), ""),
            (lag(2_000), "uplink_lag between"),
            (lag(4_000), "uplink_lag warning"),
            (lag(15_000), "uplink_lag critical"),
            (ends(14), ""),
            (ends(13), "certificate_expiring warning"),
            (ends(2), "certificate_expiring critical"),
        ] {
            assert_eq!(seen(&with(telemetry.clone())).join(), expected, "{telemetry:?}");
        }
    }

    trait Join {
        fn join(&self) -> String;
    }

    impl Join for Vec<String> {
        fn join(&self) -> String {
            self.as_slice().join(", ")
        }
    }

    #[test]
    fn of_a_box_that_is_away_nothing_else_changes() {
        let mut away = with(zone(99.0, None));
        away.presence = crate::boxes::Presence::default();
        away.last_seen_ms = Some(NOW - 20_000);
        let away = seen(&away);
        assert_eq!(away.first().map(String::as_str), Some("box_offline critical"));
        assert!(away.iter().skip(1).all(|reading| reading.ends_with("between")), "{away:?}");
        let mut never = record("box-a");
        never.presence = crate::boxes::Presence::default();
        never.last_seen_ms = None;
        assert_eq!(seen(&never).first().map(String::as_str), Some("box_offline between"));
    }

    #[test]
    fn hints_and_the_boxs_own_troubles_are_no_unhealthy_input() {
        let session = |codes: &[&str]| {
            let mut session = crate::streams::testing::session("nodi");
            session.warnings = codes
                .iter()
                .map(|code| Warning { code: (*code).to_owned(), text: format!("{code} is so") })
                .collect();
            session
        };
        assert_eq!(of_session(&session(&[]), true), Reading::Good);
        assert_eq!(of_session(&session(&["b_frames", "worker_slow"]), true), Reading::Good);
        assert_eq!(
            of_session(&session(&["b_frames", "av_skew", "stalls"]), true),
            warning("Av_skew is so. Stalls is so.".into())
        );
        assert!(matches!(
            of_session(&session(&["no_video"]), true),
            Reading::Bad { severity: Severity::Critical, .. }
        ));
        assert_eq!(of_session(&session(&["no_video"]), false), Reading::Between);
    }

    #[test]
    fn thresholds_in_the_wrong_order_are_named() {
        Rules::default().validate().unwrap();
        let rules = Rules { disk_end: 0.9, ..Rules::default() };
        assert_eq!(rules.validate().unwrap_err().0, "alerts.rules.disk_end");
    }
}
