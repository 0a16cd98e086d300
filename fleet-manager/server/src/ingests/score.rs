//! Which box a publisher should go to (`docs/ingests-api.md`): purely from what is known of the boxes.

use nodi_protocol::fleet::telemetry::Telemetry;

use super::place::Place;
use crate::boxes::{BoxSummary, Health, Record};
use crate::telemetry::hottest;

/// At this distance a box is worth half of one next door, in kilometres: about 5 ms more each way, and for the
/// publisher's congestion control twice that.
const HALF_KM: f64 = 500.0;
/// A box whose place is not known counts as being so far away, in kilometres.
const UNKNOWN_KM: f64 = 5_000.0;
/// What a box with a warning is worth.
const WARNING: f64 = 0.5;
/// Where the encoder cannot tell how many more sessions it carries: it is full from this share on.
const ENCODER_FULL: f32 = 0.9;
/// What one stream needs of the line, in bit/s: the usual ladder's rungs together and a quarter more.
const STREAM_BPS: f64 = 12_000_000.0;
/// A line that has room for so many streams is as good as any.
const LINE_STREAMS: f64 = 4.0;
/// A line whose capacity nobody knows.
const UNKNOWN_LINE: f64 = 0.7;
/// The least that a box with room is worth, so that the nearest one is not passed over for one on another continent.
const LEAST: f64 = 0.05;
/// From this temperature on a box takes nothing new where the kernel does not say when it throttles, in degrees Celsius;
/// otherwise from as far below as [`MARGIN_C`].
const HOT_C: f32 = 90.0;
const MARGIN_C: f32 = 5.0;

/// A box that takes publishers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub id: String,
    pub name: String,
    pub place: Option<Place>,
    /// 0 (just about full) to 1 (idle): health × encoder × line.
    pub fitness: f64,
    /// With `{stream_key}` in them.
    pub url_template: String,
    pub url_template_secure: Option<String>,
}

/// How fit a box is, 0 to 1; `None`: nobody should be sent there.
#[must_use]
pub(super) fn fitness(record: &Record, summary: &BoxSummary) -> Option<f64> {
    if !record.is_online() || is_draining(record) {
        return None;
    }
    let health = match summary.health {
        Health::Ok => 1.0,
        Health::Warning => WARNING,
        Health::Critical => return None,
    };
    // Nothing was measured yet: it has just come.
    let Some((telemetry, _)) = &record.telemetry else { return None };
    if is_hot(telemetry) {
        return None;
    }
    Some(health * encoder(telemetry)? * line(record, telemetry)?)
}

fn is_draining(record: &Record) -> bool {
    let applied = record.reported.as_ref().and_then(|reported| reported.settings.drain);
    record.desired.drain == Some(true) || applied == Some(true)
}

fn is_hot(telemetry: &Telemetry) -> bool {
    let zones = &telemetry.temperatures;
    !telemetry.throttling.is_empty()
        || zones.iter().any(|zone| zone.throttles_at.is_some_and(|at| zone.celsius >= at - MARGIN_C))
        || hottest(telemetry).is_some_and(|celsius| celsius >= HOT_C)
}

/// The share of its sessions that a box has still room for.
fn encoder(telemetry: &Telemetry) -> Option<f64> {
    let share = match (telemetry.spare_sessions, telemetry.encoder) {
        (Some(0), _) => return None,
        (Some(spare), _) => f64::from(spare) / (f64::from(spare) + f64::from(telemetry.sessions)),
        (None, Some(used)) if used >= ENCODER_FULL => return None,
        (None, Some(used)) => 1.0 - f64::from(used),
        (None, None) => 1.0,
    };
    Some(share.clamp(LEAST, 1.0))
}

/// How many more streams the line carries. Only what a person knows of it rules a box out: what the box has seen its line
/// carry may be no more than what its streams needed so far, and says nothing about what else would fit.
#[allow(clippy::cast_precision_loss, reason = "bit/s of a line")]
fn line(record: &Record, telemetry: &Telemetry) -> Option<f64> {
    let sent = telemetry.uplink.map_or(0, |uplink| uplink.sent_bps);
    let room = |capacity: u64| capacity.saturating_sub(sent) as f64 / STREAM_BPS;
    if let Some(room) = record.capacity_bps.map(room) {
        return (room >= 1.0).then_some((room / LINE_STREAMS).clamp(LEAST, 1.0));
    }
    let seen = telemetry.uplink.and_then(|uplink| uplink.capacity_bps).map(room);
    Some(seen.map_or(UNKNOWN_LINE, |room| (room / LINE_STREAMS).clamp(UNKNOWN_LINE, 1.0)))
}

/// What a box is worth for somebody at `place`.
#[must_use]
pub(super) fn score(candidate: &Candidate, place: Option<Place>) -> f64 {
    let Some(place) = place else { return candidate.fitness };
    let distance_km = candidate.place.map_or(UNKNOWN_KM, |of_box| of_box.distance_km(place));
    candidate.fitness / (1.0 + distance_km / HALF_KM)
}

/// The best `most`, the best one first. Equals are in the order of their ids, so that an answer is the same each time.
#[must_use]
pub(super) fn best(candidates: &[Candidate], place: Option<Place>, most: usize) -> Vec<&Candidate> {
    let mut scored: Vec<(f64, &Candidate)> =
        candidates.iter().map(|candidate| (score(candidate, place), candidate)).collect();
    let order =
        |a: &(f64, &Candidate), b: &(f64, &Candidate)| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id));
    if scored.len() > most {
        scored.select_nth_unstable_by(most, order);
        scored.truncate(most);
    }
    scored.sort_unstable_by(order);
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nodi_protocol::fleet::desired::Settings;
    use nodi_protocol::fleet::telemetry::{Temperature, Uplink};

    use super::*;
    use crate::boxes::Presence;
    use crate::streams::testing::record;

    fn with(telemetry: Telemetry) -> Record {
        let mut record = record("box-a");
        record.telemetry = Some((Arc::new(telemetry), 0));
        record
    }

    fn of(record: &Record) -> Option<f64> {
        fitness(record, &BoxSummary::of(record, "", 0))
    }

    fn idle() -> Telemetry {
        let uplink = Uplink { capacity_bps: Some(100_000_000), ..Uplink::default() };
        Telemetry { spare_sessions: Some(4), uplink: Some(uplink), ..Telemetry::default() }
    }

    #[test]
    fn an_idle_box_is_fit_and_a_busy_one_less() {
        assert_eq!(of(&with(idle())), Some(1.0));
        let busy = Telemetry { sessions: 3, spare_sessions: Some(1), ..idle() };
        assert_eq!(of(&with(busy)), Some(0.25));
        let uplink = Uplink { capacity_bps: Some(2_000_000), sent_bps: 1_900_000, ..Uplink::default() };
        let little = of(&with(Telemetry { uplink: Some(uplink), ..idle() }));
        assert_eq!(little, Some(0.7), "a small stream is no sign of a small line");
        assert_eq!(of(&with(Telemetry { uplink: None, ..idle() })), Some(0.7));
        let warned = Telemetry { clock_synchronised: Some(false), ..idle() };
        assert_eq!(of(&with(warned)), Some(0.5));
    }

    #[test]
    fn nobody_is_sent_where_nothing_more_fits() {
        let zone = |celsius, throttles_at| Telemetry {
            temperatures: vec![Temperature { zone: "t".into(), celsius, throttles_at }],
            ..idle()
        };
        for (what, telemetry) in [
            ("no room in the encoder", Telemetry { spare_sessions: Some(0), ..idle() }),
            ("a full encoder", Telemetry { spare_sessions: None, encoder: Some(0.9), ..idle() }),
            ("hot", zone(90.0, None)),
            ("hot by its own measure", zone(80.0, Some(85.0))),
            ("throttling", Telemetry { throttling: vec!["oc".into()], ..idle() }),
        ] {
            assert_eq!(of(&with(telemetry)), None, "{what}");
        }
        let mut away = with(idle());
        away.presence = Presence::default();
        assert_eq!(of(&away), None);
        let mut draining = with(idle());
        draining.desired = Arc::new(Settings { drain: Some(true), ..Settings::default() });
        assert_eq!(of(&draining), None);
        assert_eq!(of(&record("box-a")), None, "it has said nothing yet");
    }

    #[test]
    fn what_a_person_knows_of_the_line_counts() {
        let mut record = with(idle());
        record.capacity_bps = Some(10_000_000);
        assert_eq!(of(&record), None);
        record.capacity_bps = Some(24_000_000);
        assert_eq!(of(&record), Some(0.5));
    }

    fn candidate(id: &str, place: Option<(f64, f64)>, fitness: f64) -> Candidate {
        Candidate {
            id: id.to_owned(),
            name: id.to_owned(),
            place: place.and_then(|(latitude, longitude)| Place::new(latitude, longitude)),
            fitness,
            url_template: String::new(),
            url_template_secure: None,
        }
    }

    fn ids(candidates: &[Candidate], place: Option<(f64, f64)>, most: usize) -> String {
        let place = place.and_then(|(latitude, longitude)| Place::new(latitude, longitude));
        best(candidates, place, most).iter().map(|one| one.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn near_and_fit_comes_first() {
        let rome = Some((41.9, 12.5));
        let boxes = [
            candidate("milan", Some((45.5, 9.2)), 1.0),
            candidate("naples", Some((40.8, 14.3)), 0.9),
            candidate("naples-busy", Some((40.8, 14.3)), 0.2),
            candidate("new-york", Some((40.7, -74.0)), 1.0),
            candidate("nowhere", None, 1.0),
        ];
        assert_eq!(ids(&boxes, rome, 9), "naples milan naples-busy nowhere new-york");
        assert_eq!(ids(&boxes, Some((42.0, -71.0)), 1), "new-york");
        assert_eq!(ids(&boxes, None, 2), "milan new-york", "without a place the fittest");
        assert_eq!(ids(&boxes, rome, 0), "");
    }

    #[test]
    fn the_answer_is_the_same_each_time_and_bounded() {
        let boxes: Vec<_> = (0..5_000).map(|n| candidate(&format!("box-{n:04}"), None, 0.5)).collect();
        assert_eq!(ids(&boxes, None, 3), "box-0000 box-0001 box-0002");
        let reversed: Vec<_> = boxes.into_iter().rev().collect();
        assert_eq!(ids(&reversed, None, 3), "box-0000 box-0001 box-0002");
    }
}
