//! Boxes over HTTP.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use nodi_protocol::BoxId;
use nodi_protocol::fleet::desired::{Reported, Settings};
use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::presence::Hardware;
use nodi_protocol::fleet::telemetry::Telemetry;
use rusqlite::params;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::record::{Certificate, Location, Record, Revocation};
use super::summary::{BoxSummary, Health, State as BoxState};
use super::{check_location, check_name, store};
use crate::audit;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::state::App;

const MAX_NOTES: usize = 4_000;
/// A petabit.
const MAX_CAPACITY: u64 = 1_000_000_000_000_000;

pub(super) fn routes(api: Api) -> Api {
    api.viewer(routes!(list)).viewer(routes!(one)).operator(routes!(change)).viewer(routes!(events))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only boxes in this state.
    state: Option<BoxState>,
    /// Only boxes of this health.
    health: Option<Health>,
    /// Only boxes that take no new sessions, or only those that do.
    drain: Option<bool>,
    /// Only boxes with this version of the software.
    #[param(max_length = 200)]
    version: Option<String>,
    /// Only boxes that take bundles made for this.
    #[param(max_length = 200)]
    compatible: Option<String>,
}

const SORTS: [&str; 17] = [
    "name",
    "id",
    "state",
    "health",
    "model",
    "version",
    "last_seen_ms",
    "cpu",
    "gpu",
    "encoder",
    "temperature_c",
    "disk_used",
    "uplink_sent_bps",
    "sessions",
    "spare_sessions",
    "desired_version",
    "alerts",
];

/// What cannot be told comes first.
fn compare(a: &BoxSummary, b: &BoxSummary, field: &str) -> Ordering {
    fn numbers(a: Option<f32>, b: Option<f32>) -> Ordering {
        a.partial_cmp(&b).unwrap_or(Ordering::Equal)
    }
    match field {
        "id" => Ordering::Equal,
        "state" => a.state.cmp(&b.state),
        "health" => a.health.cmp(&b.health),
        "model" => a.model.cmp(&b.model),
        "version" => a.version.cmp(&b.version),
        "last_seen_ms" => a.last_seen_ms.cmp(&b.last_seen_ms),
        "cpu" => numbers(a.cpu, b.cpu),
        "gpu" => numbers(a.gpu, b.gpu),
        "encoder" => numbers(a.encoder, b.encoder),
        "temperature_c" => numbers(a.temperature_c, b.temperature_c),
        "disk_used" => numbers(a.disk_used, b.disk_used),
        "uplink_sent_bps" => a.uplink_sent_bps.cmp(&b.uplink_sent_bps),
        "sessions" => a.sessions.cmp(&b.sessions),
        "spare_sessions" => a.spare_sessions.cmp(&b.spare_sessions),
        "desired_version" => a.desired_version.cmp(&b.desired_version),
        "alerts" => a.alerts.cmp(&b.alerts),
        _ => by_name(&a.name, &b.name),
    }
}

/// Without regard to case, and without making lower-case copies of 5,000 names.
fn by_name(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a
            .bytes()
            .map(|byte| byte.to_ascii_lowercase())
            .cmp(b.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    a.chars().flat_map(char::to_lowercase).cmp(b.chars().flat_map(char::to_lowercase))
}

/// All boxes
#[utoipa::path(get, path = "/boxes", params(Paging, Filter), responses(
    (status = 200, description = "One page of them.", body = Page<BoxSummary>),
))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<Arc<BoxSummary>>>, Error> {
    let order = paging.order(&SORTS, "name")?;
    let search = paging.search()?;
    let mut rows = app.boxes.registry.summaries();
    rows.retain(|row| {
        filter.state.is_none_or(|state| row.state == state)
            && filter.health.is_none_or(|health| row.health == health)
            && filter.drain.is_none_or(|drain| row.drain == drain)
            && filter.version.as_ref().is_none_or(|version| row.version == *version)
            && filter.compatible.as_ref().is_none_or(|compatible| row.compatible.as_ref() == Some(compatible))
            && search.as_ref().is_none_or(|text| found(row, text))
    });
    rows.sort_unstable_by(|a, b| {
        let ordering = compare(a, b, order.field).then_with(|| a.id.cmp(&b.id));
        if order.descending { ordering.reverse() } else { ordering }
    });
    Ok(Json(Page::of(rows, &paging)?))
}

fn found(row: &BoxSummary, text: &str) -> bool {
    let place = row.location.as_ref().map_or("", |location| location.name.as_str());
    [row.name.as_str(), row.id.as_str(), &row.model, &row.version, place]
        .iter()
        .any(|value| value.to_lowercase().contains(text))
}

/// One box, with everything that is known of it now.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct BoxDetail {
    #[serde(flatten)]
    summary: BoxSummary,
    presence: PresenceView,
    hardware: Hardware,
    /// The newest, and when it was measured by the server's clock.
    telemetry: Option<Telemetry>,
    telemetry_at_ms: Option<i64>,
    desired: Settings,
    reported: Option<Reported>,
    certificate: Option<Certificate>,
    revoked: Option<Revocation>,
    /// What its line carries upwards, as a person knows it, in bit/s.
    capacity_bps: Option<u64>,
    notes: String,
    enrolled_ms: i64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct PresenceView {
    online: bool,
    /// Of the kernel: a new one means that the box was started anew.
    boot_id: Option<String>,
    /// Connections to the broker so far.
    connection: u64,
}

fn detail(app: &App, record: &Record, summary: &BoxSummary) -> BoxDetail {
    BoxDetail {
        summary: summary.clone(),
        presence: PresenceView {
            online: record.is_online(),
            boot_id: record.boot_id.clone(),
            connection: record.presence.connection,
        },
        hardware: (*record.hardware).clone(),
        telemetry: record.telemetry.as_ref().map(|(telemetry, _)| (**telemetry).clone()),
        telemetry_at_ms: record.telemetry.as_ref().map(|(_, at_ms)| *at_ms),
        desired: (*record.desired).clone(),
        reported: record.reported_of(app.boxes.registry.epoch()).cloned(),
        certificate: record.certificate.clone(),
        revoked: record.revoked.clone(),
        capacity_bps: record.capacity_bps,
        notes: record.notes.clone(),
        enrolled_ms: record.enrolled_ms,
    }
}

fn look(app: &App, id: &BoxId) -> Result<Json<BoxDetail>, Error> {
    let registry = &app.boxes.registry;
    let both = registry.get(id).zip(registry.summary(id));
    let (record, summary) = both.ok_or_else(|| Error::not_found("box", id))?;
    Ok(Json(detail(app, &record, &summary)))
}

/// One box
#[utoipa::path(get, path = "/boxes/{id}", params(("id" = BoxId, Path)), responses(
    (status = 200, description = "Everything that is known of it now.", body = BoxDetail),
))]
async fn one(State(app): State<App>, At(id): At<BoxId>) -> Result<Json<BoxDetail>, Error> {
    look(&app, &id)
}

/// What is left out stays as it is; null takes a location or a capacity away.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BoxChange {
    #[serde(default)]
    #[schema(max_length = 100)]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Location>)]
    location: Option<Option<Location>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>, maximum = 1_000_000_000_000_000_u64)]
    capacity_bps: Option<Option<u64>>,
    #[serde(default)]
    #[schema(max_length = 4_000)]
    notes: Option<String>,
}

/// Tells null from absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes what people know of a box
#[utoipa::path(patch, path = "/boxes/{id}", params(("id" = BoxId, Path)), request_body = BoxChange, responses(
    (status = 200, description = "As it is now.", body = BoxDetail),
))]
async fn change(
    State(app): State<App>,
    who: Identity,
    At(id): At<BoxId>,
    Json(change): Json<BoxChange>,
) -> Result<Json<BoxDetail>, Error> {
    let name = change.name.as_deref().map(check_name).transpose()?;
    if let Some(Some(location)) = &change.location {
        check_location(location)?;
    }
    if let Some(Some(bps)) = change.capacity_bps
        && !(1..=MAX_CAPACITY).contains(&bps)
    {
        return Err(Error::invalid("capacity_bps", format!("{bps} is not between 1 and {MAX_CAPACITY}")));
    }
    if change.notes.as_ref().is_some_and(|notes| notes.chars().count() > MAX_NOTES) {
        return Err(Error::invalid("notes", format!("are longer than {MAX_NOTES} characters")));
    }
    let (shared, actor, now_ms, box_id) = (app.clone(), who.actor(), app.now_ms(), id.clone());
    app.db
        .write(move |tx| {
            let before = store::one(tx, &box_id, now_ms)?.ok_or_else(|| Error::not_found("box", &box_id))?;
            let mut after = before.clone();
            if let Some(name) = name {
                after.name = name;
            }
            if let Some(location) = change.location {
                after.location = location;
            }
            if let Some(capacity_bps) = change.capacity_bps {
                after.capacity_bps = capacity_bps;
            }
            if let Some(notes) = change.notes {
                after.notes = notes;
            }
            tx.execute(
                "UPDATE box SET name = ?2, location_name = ?3, latitude = ?4, longitude = ?5, capacity_bps = ?6, \
                 notes = ?7 WHERE id = ?1",
                params![
                    box_id.as_str(),
                    after.name,
                    after.location.as_ref().map(|location| &location.name),
                    after.location.as_ref().map(|location| location.latitude),
                    after.location.as_ref().map(|location| location.longitude),
                    after.capacity_bps.map(|bps| i64::try_from(bps).unwrap_or(i64::MAX)),
                    after.notes,
                ],
            )?;
            let facts = |record: &Record| {
                serde_json::json!({
                    "name": record.name,
                    "location": record.location,
                    "capacity_bps": record.capacity_bps,
                    "notes": record.notes,
                })
            };
            let target = format!("box/{box_id}");
            audit::record(tx, now_ms, &actor, "box.change", &target, Some(&facts(&before)), Some(&facts(&after)))?;
            tx.then(move || {
                shared.boxes.registry.update(&box_id, now_ms, |record| {
                    record.name = after.name;
                    record.location = after.location;
                    record.capacity_bps = after.capacity_bps;
                    record.notes = after.notes;
                });
                shared.boxes.registry.tell(super::Change::Box(box_id));
            });
            Ok(())
        })
        .await?;
    look(&app, &id)
}

/// Something that happened on a box.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct EventView {
    /// By the box's clock.
    at_ms: i64,
    /// By the server's clock: later when the box was offline.
    received_ms: i64,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventFilter {
    /// Only events of this kind, such as `booted`.
    #[param(max_length = 40)]
    kind: Option<String>,
}

/// What happened on a box
#[utoipa::path(get, path = "/boxes/{id}/events", params(("id" = BoxId, Path), Paging, EventFilter), responses(
    (status = 200, description = "One page of them.", body = Page<EventView>),
))]
async fn events(
    State(app): State<App>,
    At(id): At<BoxId>,
    Query(paging): Query<Paging>,
    Query(filter): Query<EventFilter>,
) -> Result<Json<Page<EventView>>, Error> {
    if !app.boxes.registry.contains(&id) {
        return Err(Error::not_found("box", id));
    }
    let page = app
        .db
        .read(move |connection| {
            Select::new("at_ms, received_ms, what", "event")
                .only("box_id = ?", Some(String::from(id)))
                .only("kind = ?", filter.kind)
                .search(&paging, &["kind", "what"])?
                .page(
                    connection,
                    &paging,
                    &[("at_ms", "at_ms"), ("received_ms", "received_ms"), ("kind", "kind")],
                    "-at_ms",
                    "id",
                    |row| {
                        let what: String = row.get(2)?;
                        Ok(EventView {
                            at_ms: row.get(0)?,
                            received_ms: row.get(1)?,
                            what: serde_json::from_str(&what)?,
                        })
                    },
                )
        })
        .await?;
    Ok(Json(page))
}
