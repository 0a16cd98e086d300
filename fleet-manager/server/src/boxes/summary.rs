//! A box in one row of a list: made when the box changes, so that a list only picks and sorts.

use nodi_protocol::BoxId;
use serde::{Deserialize, Serialize};

use super::record::{Location, Record};
use crate::telemetry::{fullest, hottest};

/// Share of a disk from which on it is worth a word, and from which on recordings are at risk.
const DISK_WARNING: f32 = 0.85;
const DISK_CRITICAL: f32 = 0.95;
/// Share of the encoder from which on it has no room for a peak.
const ENCODER_WARNING: f32 = 0.95;
/// Below the temperature at which the kernel throttles, in degrees Celsius.
const HEAT_MARGIN: f32 = 5.0;
/// Where the kernel does not say at which temperature it throttles.
const HEAT_WARNING: f32 = 90.0;
/// How far the uplink may be behind, in milliseconds, before viewers notice.
const LAG_WARNING_MS: u64 = 4_000;
const LAG_CRITICAL_MS: u64 = 15_000;
/// A clock that is further off makes times in playlists and logs wrong, in milliseconds.
const CLOCK_WARNING_MS: f32 = 1_000.0;
/// A certificate that was not renewed by then needs a person.
const CERTIFICATE_WARNING_MS: i64 = 14 * 24 * 3_600 * 1_000;
const CERTIFICATE_CRITICAL_MS: i64 = 3 * 24 * 3_600 * 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Online,
    Offline,
    /// It has its certificate and was never seen at the broker.
    NeverSeen,
    Revoked,
}

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    #[default]
    Ok,
    Warning,
    Critical,
}

/// Why a box is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Reason {
    /// Stable, for programs.
    pub code: &'static str,
    pub severity: Health,
    /// For people.
    pub text: String,
}

/// One row of the list of boxes. Shares are 0 to 1; what the box cannot tell is null.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BoxSummary {
    pub id: BoxId,
    pub name: String,
    pub state: State,
    pub health: Health,
    pub reasons: Vec<Reason>,
    pub model: String,
    /// Of its software.
    pub version: String,
    /// What bundles have to be made for; null: it takes no updates.
    pub compatible: Option<String>,
    pub location: Option<Location>,
    pub last_seen_ms: Option<i64>,
    pub cpu: Option<f32>,
    pub gpu: Option<f32>,
    pub encoder: Option<f32>,
    /// Of the hottest zone.
    pub temperature_c: Option<f32>,
    /// Of the fullest disk.
    pub disk_used: Option<f32>,
    pub uplink_sent_bps: Option<u64>,
    pub sessions: u32,
    pub spare_sessions: Option<u32>,
    pub desired_version: u64,
    /// 0: none yet.
    pub applied_version: u64,
    /// Why the desired version is not in force.
    pub rejected: Option<String>,
    pub drain: bool,
    /// That are active.
    pub alerts: u32,
}

impl BoxSummary {
    #[must_use]
    pub fn of(record: &Record, epoch: &str, now_ms: i64) -> Self {
        let state = match record {
            Record { revoked: Some(_), .. } => State::Revoked,
            record if record.is_online() => State::Online,
            Record { last_seen_ms: None, .. } => State::NeverSeen,
            _ => State::Offline,
        };
        let telemetry = record.telemetry.as_ref().map(|(telemetry, _)| telemetry.as_ref());
        let reported = record.reported_of(epoch);
        let rejected = reported.and_then(|reported| reported.rejected.as_ref());
        let reasons = reasons(record, epoch, now_ms);
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            state,
            health: reasons.iter().map(|reason| reason.severity).max().unwrap_or_default(),
            reasons,
            model: record.hardware.model.clone(),
            version: record.version.clone(),
            compatible: record.hardware.compatible.clone(),
            location: record.location.clone(),
            last_seen_ms: record.last_seen_ms,
            cpu: telemetry.and_then(|telemetry| telemetry.cpu).map(share),
            gpu: telemetry.and_then(|telemetry| telemetry.gpu).map(share),
            encoder: telemetry.and_then(|telemetry| telemetry.encoder).map(share),
            temperature_c: telemetry.and_then(hottest).map(|celsius| (celsius * 10.0).round() / 10.0),
            disk_used: telemetry.and_then(fullest).map(share),
            uplink_sent_bps: telemetry.and_then(|telemetry| telemetry.uplink).map(|uplink| uplink.sent_bps),
            sessions: u32::try_from(record.sessions.len()).unwrap_or(u32::MAX),
            spare_sessions: telemetry.and_then(|telemetry| telemetry.spare_sessions),
            desired_version: record.desired_version,
            applied_version: reported.map_or(0, |reported| reported.applied),
            rejected: rejected.map(|rejected| rejected.reason.clone()),
            drain: record.desired.drain.unwrap_or(false),
            alerts: record.alerts,
        }
    }

    /// Whether the difference to `older` is one that somebody who looks at the list has to see at once, and not only
    /// numbers that move all the time.
    #[must_use]
    pub fn differs_in_substance(&self, older: &Self) -> bool {
        let plain = |summary: &Self| Self {
            last_seen_ms: None,
            cpu: None,
            gpu: None,
            encoder: None,
            temperature_c: None,
            disk_used: None,
            uplink_sent_bps: None,
            // The same reason with another number in its words is the same reason.
            reasons: summary
                .reasons
                .iter()
                .map(|reason| Reason { code: reason.code, severity: reason.severity, text: String::new() })
                .collect(),
            ..summary.clone()
        };
        plain(self) != plain(older)
    }
}

/// To three digits: what is shown, and short in JSON.
fn share(value: f32) -> f32 {
    (value * 1_000.0).round() / 1_000.0
}

/// What is not as it should be, worst first. Of a box that is not there nothing more is said than that.
#[must_use]
fn reasons(record: &Record, epoch: &str, now_ms: i64) -> Vec<Reason> {
    let mut list = Vec::new();
    let mut add = |code, severity, text: String| list.push(Reason { code, severity, text });
    if record.revoked.is_some() {
        return list;
    }
    if !record.is_online() {
        if record.last_seen_ms.is_some() {
            add("offline", Health::Critical, "It is not connected.".to_owned());
        }
        return list;
    }
    if let Some(rejected) = record.reported_of(epoch).and_then(|reported| reported.rejected.as_ref()) {
        add("settings_rejected", Health::Warning, format!("It refuses its settings: {}", rejected.reason));
    }
    if let Some((telemetry, _)) = &record.telemetry {
        if let Some(zone) = telemetry
            .temperatures
            .iter()
            .filter(|zone| {
                zone.celsius >= zone.throttles_at.map_or(HEAT_WARNING, |limit| limit - HEAT_MARGIN)
            })
            .max_by(|a, b| a.celsius.total_cmp(&b.celsius))
        {
            add("hot", Health::Warning, format!("{} is at {:.0} °C.", zone.zone, zone.celsius));
        }
        if let Some(why) = telemetry.throttling.first() {
            add("throttling", Health::Critical, format!("Its clocks are held down: {why}."));
        }
        if let Some(used) = fullest(telemetry)
            && used >= DISK_WARNING
        {
            let severity = if used >= DISK_CRITICAL { Health::Critical } else { Health::Warning };
            add("disk", severity, format!("A disk is {:.0} % full.", used * 100.0));
        }
        if let Some(encoder) = telemetry.encoder
            && encoder >= ENCODER_WARNING
        {
            add("encoder", Health::Warning, "Its encoder is full.".to_owned());
        }
        if let Some(uplink) = telemetry.uplink
            && uplink.lag_ms >= LAG_WARNING_MS
        {
            let severity = if uplink.lag_ms >= LAG_CRITICAL_MS { Health::Critical } else { Health::Warning };
            add("uplink_lag", severity, format!("Its uplink is {} s behind.", uplink.lag_ms / 1_000));
        }
        for process in
            telemetry.processes.iter().filter(|process| !process.running && process.name != "transcode")
        {
            add("process", Health::Critical, format!("{} does not run.", process.name));
        }
        if telemetry.clock_synchronised == Some(false)
            || telemetry.clock_offset_ms.is_some_and(|offset| offset.abs() >= CLOCK_WARNING_MS)
        {
            add("clock", Health::Warning, "Its clock is not right.".to_owned());
        }
        let ends = telemetry.certificate_not_after_ms.and_then(|ms| i64::try_from(ms).ok());
        if let Some(left) = ends.map(|ends| ends - now_ms)
            && left < CERTIFICATE_WARNING_MS
        {
            let severity = if left < CERTIFICATE_CRITICAL_MS { Health::Critical } else { Health::Warning };
            let days = left.max(0) / (24 * 3_600 * 1_000);
            add("certificate", severity, format!("Its certificate ends in {days} days."));
        }
        if let Some(outbox) = telemetry.outbox
            && outbox.dropped > 0
            && outbox.waiting > 0
        {
            add("outbox", Health::Warning, "It had to drop reports.".to_owned());
        }
    }
    list.sort_by_key(|reason| std::cmp::Reverse(reason.severity));
    list
}
