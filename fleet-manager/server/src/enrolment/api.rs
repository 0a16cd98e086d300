//! Enrolment over HTTP. What boxes ask is open to everybody: the request itself proves who asks.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nodi_protocol::BoxId;
use nodi_protocol::enrol::{Enrolled, Renewal, Renewed, Request, Waiting};
use nodi_protocol::fleet::presence::Hardware;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::claim::{self, ClaimCode, NewClaimCode};
use super::waiting::{self, Asked, WaitingBox};
use super::{certificates, revoke};
use crate::audit::{self, Actor, ActorKind};
use crate::boxes::{self, BoxSummary, Location};
use crate::ca::{PublicKey, SigningRequest};
use crate::db::Tx;
use crate::error::Error;
use crate::http::access::Api;
use crate::http::client::Client;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::http::list::{Page, Paging, Select};
use crate::live::{Audience, Kind};
use crate::state::App;

/// Longest text about itself that is kept of a box, in characters.
const MAX_FACT: usize = 200;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("enrolment")
        .public(routes!(enrol))
        .public(routes!(renew))
        .public(routes!(revocation_list))
        .viewer(routes!(list_waiting))
        .operator(routes!(approve))
        .operator(routes!(approve_code))
        .operator(routes!(reject))
        .operator(routes!(revoke_box))
        .operator(routes!(delete_box))
        .operator(routes!(list_codes, create_code))
        .operator(routes!(delete_code))
}

/// How a request of a box ends.
enum Outcome {
    Enrolled(String),
    Waits { code: String, new: bool },
    Refused(&'static str),
    Full,
}

/// Asks for a certificate
///
/// A box asks with a certificate signing request, and again until it has its certificate or is refused. With a good claim
/// code it is let in at once; without one it waits for a person, who compares the code that the box shows.
#[utoipa::path(post, path = "/enrolments", request_body = Request, responses(
    (status = 200, description = "It is let in.", body = Enrolled),
    (status = 202, description = "It waits for a person.", body = Waiting),
    (status = 403, description = "The claim code is not good, or the box was turned away or revoked."),
    (status = 429, description = "Too many requests from this address, or too many boxes wait."),
))]
async fn enrol(
    State(app): State<App>,
    client: Client,
    Json(request): Json<Request>,
) -> Result<Response, Error> {
    let now_ms = app.now_ms();
    let too_many = |retry_after_s| Error::TooMany {
        reason: "too many requests from this address".to_owned(),
        retry_after_s,
    };
    app.enrolment.requests.take(client.address, now_ms).map_err(too_many)?;
    if request.claim_code.is_some() {
        app.enrolment.guesses.check(client.address, now_ms).map_err(too_many)?;
    }
    let key = parse(&request.csr_pem)?;
    let id = key.box_id();
    let hardware = tidy_hardware(&request.hardware);
    let version = tidy(&request.version);
    let (shared, box_id, claim_code) = (app.clone(), id.clone(), request.claim_code);
    let outcome = app
        .db
        .write(move |tx| {
            decide(&shared, tx, &key, claim_code.as_deref(), &hardware, &version, client, now_ms)
        })
        .await?;
    match outcome {
        Outcome::Enrolled(certificate_pem) => Ok(Json(Enrolled {
            box_id: id,
            certificate_pem,
            ca_pem: app.enrolment.authority.certificate_pem().to_owned(),
            broker: app.link.broker_for_boxes(),
        })
        .into_response()),
        Outcome::Waits { code, new } => {
            if new {
                log::info!(box_id:%, code = code.as_str(); "a box waits for approval");
            }
            app.live.send(Kind::Enrolment, Audience::Staff, &serde_json::json!({ "box_id": box_id }));
            let waiting = Waiting { box_id, code, retry_s: app.config.enrolment.retry_s };
            Ok((StatusCode::ACCEPTED, Json(waiting)).into_response())
        }
        Outcome::Refused(reason) => {
            if reason == WRONG_CODE {
                // It was checked above that there is one left.
                let _ = app.enrolment.guesses.take(client.address, now_ms);
            }
            log::warn!(box_id:%, address:% = client.address; "enrolment refused: {reason}");
            Err(Error::forbidden(reason))
        }
        Outcome::Full => Err(Error::TooMany {
            reason: "too many boxes wait for approval".to_owned(),
            retry_after_s: u64::from(app.config.enrolment.retry_s).max(60),
        }),
    }
}

const WRONG_CODE: &str = "the claim code is wrong, used up or expired";

#[allow(clippy::too_many_arguments, reason = "what one request says")]
fn decide(
    app: &App,
    tx: &Tx<'_>,
    key: &PublicKey,
    claim_code: Option<&str>,
    hardware: &Hardware,
    version: &str,
    client: Client,
    now_ms: i64,
) -> Result<Outcome, Error> {
    let id = key.box_id();
    let authority = &app.enrolment.authority;
    let validity = app.config.enrolment.validity();
    if let Some(record) = boxes::store::one(tx, &id, now_ms)? {
        if record.revoked.is_some() {
            return Ok(Outcome::Refused("this box was revoked"));
        }
        // Let in before, by whichever way: the answer may not have arrived.
        let pem = certificates::for_enrolment(tx, authority, key, validity, now_ms)?;
        note_certificate(app, tx, &id, now_ms)?;
        return Ok(Outcome::Enrolled(pem));
    }
    let address = client.address.to_string();
    let Some(code) = claim_code else {
        let most = app.config.enrolment.max_waiting;
        return Ok(match waiting::ask(tx, key, hardware, version, &address, most, now_ms)? {
            Asked::Waits { code, new } => Outcome::Waits { code, new },
            Asked::Rejected => Outcome::Refused("a person turned this box away"),
            Asked::Full => Outcome::Full,
        });
    };
    if waiting::find(tx, &id)?.is_some_and(|(waiting, _)| waiting.rejected) {
        return Ok(Outcome::Refused("a person turned this box away"));
    }
    let Some(claim) = claim::consume(tx, code, now_ms)? else { return Ok(Outcome::Refused(WRONG_CODE)) };
    let actor = Actor {
        kind: ActorKind::Box,
        id: Some(id.to_string()),
        name: id.to_string(),
        address: Some(client.address),
    };
    let by = format!("claim code {claim}");
    admit(app, tx, key, id.as_str(), None, hardware, version, &by, &actor, now_ms)?;
    let pem = certificates::for_enrolment(tx, authority, key, validity, now_ms)?;
    note_certificate(app, tx, &id, now_ms)?;
    Ok(Outcome::Enrolled(pem))
}

/// Makes it one of ours.
#[allow(clippy::too_many_arguments, reason = "what is known of a new box")]
fn admit(
    app: &App,
    tx: &Tx<'_>,
    key: &PublicKey,
    name: &str,
    location: Option<&Location>,
    hardware: &Hardware,
    version: &str,
    by: &str,
    actor: &Actor,
    now_ms: i64,
) -> Result<(), Error> {
    let base = &app.boxes.base;
    let record = boxes::store::insert(tx, key, name, location, hardware, version, by, base, now_ms)?;
    let id = record.id.clone();
    waiting::remove(tx, &id)?;
    // It may have been one of ours before, and deleted.
    app.revoked.refresh(tx)?;
    let after = serde_json::json!({ "name": name, "location": location, "by": by, "hardware": hardware });
    audit::record(tx, now_ms, actor, "box.enrol", &format!("box/{id}"), audit::NONE, Some(&after))?;
    let app = app.clone();
    tx.then(move || {
        app.boxes.registry.insert(record, app.now_ms());
        app.live.send(Kind::Enrolment, Audience::Staff, &serde_json::json!({ "box_id": id }));
        app.link.desired_changed(id);
    });
    Ok(())
}

/// The registry learns of a new certificate.
fn note_certificate(app: &App, tx: &Tx<'_>, id: &BoxId, now_ms: i64) -> Result<(), Error> {
    let certificate = boxes::store::newest_certificate(tx, id)?;
    let (app, id) = (app.clone(), id.clone());
    tx.then(move || {
        app.boxes.registry.update(&id, now_ms, |record| record.certificate = certificate);
    });
    Ok(())
}

fn parse(csr_pem: &str) -> Result<PublicKey, Error> {
    let request =
        SigningRequest::from_pem(csr_pem).map_err(|error| Error::invalid("csr_pem", error.to_string()))?;
    Ok(request.public_key)
}

/// Texts from strangers go into tables and logs.
fn tidy(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(MAX_FACT).collect()
}

fn tidy_hardware(hardware: &Hardware) -> Hardware {
    Hardware {
        model: tidy(&hardware.model),
        serial: tidy(&hardware.serial),
        architecture: tidy(&hardware.architecture),
        encoder: tidy(&hardware.encoder),
        os: tidy(&hardware.os),
        kernel: tidy(&hardware.kernel),
        l4t: hardware.l4t.as_deref().map(tidy),
        compatible: hardware.compatible.as_deref().map(tidy),
        rtmp_url: hardware.rtmp_url.as_deref().map(tidy),
        rtmps_url: hardware.rtmps_url.as_deref().map(tidy),
        // A number that no JSON reader can take apart is no fact either.
        memory_bytes: hardware.memory_bytes.min(i64::MAX.unsigned_abs()),
        cores: hardware.cores,
    }
}

/// Asks for the next certificate
///
/// The request has to be made with the key that the box enrolled with.
#[utoipa::path(post, path = "/boxes/{id}/certificate", params(("id" = BoxId, Path)), request_body = Renewal, responses(
    (status = 200, description = "The next certificate.", body = Renewed),
    (status = 403, description = "The key is another one, or the box was revoked."),
    (status = 429, description = "Too many requests."),
))]
async fn renew(
    State(app): State<App>,
    client: Client,
    At(id): At<BoxId>,
    Json(renewal): Json<Renewal>,
) -> Result<Json<Renewed>, Error> {
    let now_ms = app.now_ms();
    app.enrolment.requests.take(client.address, now_ms).map_err(|retry_after_s| Error::TooMany {
        reason: "too many requests from this address".to_owned(),
        retry_after_s,
    })?;
    let key = parse(&renewal.csr_pem)?;
    if key.box_id() != id {
        return Err(Error::forbidden(format!("the key is not that of {id}")));
    }
    let shared = app.clone();
    let certificate_pem = app
        .db
        .write(move |tx| {
            let record = boxes::store::one(tx, &id, now_ms)?.ok_or_else(|| Error::not_found("box", &id))?;
            if record.revoked.is_some() {
                return Err(Error::forbidden("this box was revoked"));
            }
            let validity = shared.config.enrolment.validity();
            let pem = certificates::for_renewal(tx, &shared.enrolment.authority, &key, validity, now_ms)?;
            note_certificate(&shared, tx, &id, now_ms)?;
            Ok(pem)
        })
        .await?;
    Ok(Json(Renewed {
        certificate_pem,
        ca_pem: app.enrolment.authority.certificate_pem().to_owned(),
        broker: app.link.broker_for_boxes(),
    }))
}

/// Certificates that were taken back
///
/// A certificate revocation list (RFC 5280), PEM, for a broker on another machine.
#[utoipa::path(get, path = "/crl.pem", responses(
    (status = 200, description = "The list.", body = String, content_type = "application/x-pem-file"),
))]
async fn revocation_list(State(app): State<App>) -> Result<Response, Error> {
    let pem = crate::link::revocation_list(&app).await?;
    let kind = HeaderValue::from_static("application/x-pem-file");
    Ok(([(header::CONTENT_TYPE, kind)], pem).into_response())
}

/// Boxes that wait for a person
#[utoipa::path(get, path = "/enrolments", params(Paging), responses(
    (status = 200, description = "One page of them.", body = Page<WaitingBox>),
))]
async fn list_waiting(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<WaitingBox>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(waiting::COLUMNS, "waiting_box")
                .search(&paging, &["box_id", "code", "hardware", "address"])?
                .page(
                    connection,
                    &paging,
                    &[
                        ("first_seen_ms", "first_seen_ms"),
                        ("last_seen_ms", "last_seen_ms"),
                        ("box_id", "box_id"),
                        ("code", "code"),
                    ],
                    "first_seen_ms",
                    "box_id",
                    waiting::read,
                )
        })
        .await?;
    Ok(Json(page))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Approval {
    /// What it is called; by default its id.
    #[serde(default)]
    #[schema(max_length = 100)]
    name: Option<String>,
    #[serde(default)]
    location: Option<Location>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeApproval {
    /// As the box shows it, in any case, with or without its hyphen.
    #[schema(max_length = 64)]
    code: String,
    /// What it is called; by default its id.
    #[serde(default)]
    #[schema(max_length = 100)]
    name: Option<String>,
    #[serde(default)]
    location: Option<Location>,
}

/// Lets a waiting box in
#[utoipa::path(post, path = "/enrolments/{box_id}/approve", params(("box_id" = BoxId, Path)), request_body = Approval,
    responses((status = 200, description = "It is one of ours.", body = BoxSummary)))]
async fn approve(
    State(app): State<App>,
    who: Identity,
    At(id): At<BoxId>,
    Json(approval): Json<Approval>,
) -> Result<Json<BoxSummary>, Error> {
    let_in(&app, &who, Wanted::Id(id), approval).await
}

/// Lets the box in that shows this code
#[utoipa::path(post, path = "/enrolments/approve-code", request_body = CodeApproval, responses(
    (status = 200, description = "It is one of ours.", body = BoxSummary),
    (status = 404, description = "No waiting box shows this code."),
))]
async fn approve_code(
    State(app): State<App>,
    who: Identity,
    Json(CodeApproval { code, name, location }): Json<CodeApproval>,
) -> Result<Json<BoxSummary>, Error> {
    let_in(&app, &who, Wanted::Code(code), Approval { name, location }).await
}

enum Wanted {
    Id(BoxId),
    Code(String),
}

async fn let_in(
    app: &App,
    who: &Identity,
    wanted: Wanted,
    approval: Approval,
) -> Result<Json<BoxSummary>, Error> {
    let now_ms = app.now_ms();
    let name = approval.name.map(|name| boxes::check_name(&name)).transpose()?;
    if let Some(location) = &approval.location {
        boxes::check_location(location)?;
    }
    let (shared, actor) = (app.clone(), who.actor());
    let id = app
        .db
        .write(move |tx| {
            let (found, missing) = match &wanted {
                Wanted::Id(id) => (waiting::find(tx, id)?, Error::not_found("waiting box", id)),
                Wanted::Code(code) => {
                    (waiting::find_code(tx, code)?, Error::not_found("waiting box with the code", code))
                }
            };
            let (waiting, key) = found.ok_or(missing)?;
            let id = waiting.box_id;
            let name = name.unwrap_or_else(|| id.to_string());
            admit(
                &shared,
                tx,
                &key,
                &name,
                approval.location.as_ref(),
                &waiting.hardware,
                &waiting.version,
                &actor.name,
                &actor,
                now_ms,
            )?;
            Ok(id)
        })
        .await?;
    let summary = app.boxes.registry.summary(&id).ok_or_else(|| Error::not_found("box", &id))?;
    Ok(Json((*summary).clone()))
}

/// Turns a waiting box away
#[utoipa::path(post, path = "/enrolments/{box_id}/reject", params(("box_id" = BoxId, Path)), responses(
    (status = 204, description = "It is told no from now on."),
))]
async fn reject(State(app): State<App>, who: Identity, At(id): At<BoxId>) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    let (shared, actor) = (app.clone(), who.actor());
    app.db
        .write(move |tx| {
            let (waiting, _) = waiting::find(tx, &id)?.ok_or_else(|| Error::not_found("waiting box", &id))?;
            waiting::reject(tx, &id, now_ms)?;
            let before = serde_json::json!({ "code": waiting.code, "address": waiting.address });
            audit::record(
                tx,
                now_ms,
                &actor,
                "box.reject",
                &format!("box/{id}"),
                Some(&before),
                audit::NONE,
            )?;
            tx.then(move || {
                shared.live.send(Kind::Enrolment, Audience::Staff, &serde_json::json!({ "box_id": id }));
            });
            Ok(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeBox {
    /// For those who come later.
    #[schema(max_length = 200)]
    reason: String,
}

/// Revokes a box
///
/// Its certificates are taken back: within seconds the broker and the origins take nothing from it any more. It cannot be
/// undone; a box that was deleted afterwards can ask to be let in again.
#[utoipa::path(post, path = "/boxes/{id}/revoke", params(("id" = BoxId, Path)), request_body = RevokeBox, responses(
    (status = 204, description = "It is no longer ours."),
    (status = 409, description = "It is revoked already."),
))]
async fn revoke_box(
    State(app): State<App>,
    who: Identity,
    At(id): At<BoxId>,
    Json(body): Json<RevokeBox>,
) -> Result<StatusCode, Error> {
    revoke::revoke(&app, &id, &body.reason, who.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a revoked box and everything that it reported
#[utoipa::path(delete, path = "/boxes/{id}", params(("id" = BoxId, Path)), responses(
    (status = 204, description = "It is forgotten."),
    (status = 409, description = "It is not revoked."),
))]
async fn delete_box(State(app): State<App>, who: Identity, At(id): At<BoxId>) -> Result<StatusCode, Error> {
    revoke::remove(&app, &id, who.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Claim codes
#[utoipa::path(get, path = "/claim-codes", params(Paging), responses(
    (status = 200, description = "One page of them, without the codes themselves.", body = Page<ClaimCode>),
))]
async fn list_codes(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ClaimCode>>, Error> {
    let page = app
        .db
        .read(move |connection| {
            Select::new(claim::COLUMNS, "claim_code").search(&paging, &["note", "created_by"])?.page(
                connection,
                &paging,
                &[("created_ms", "created_ms"), ("expires_ms", "expires_ms"), ("note", "note")],
                "-created_ms",
                "id",
                |row| Ok(claim::read(row)?),
            )
        })
        .await?;
    Ok(Json(page))
}

/// Makes a claim code
///
/// The answer is the only place where the code is shown.
#[utoipa::path(post, path = "/claim-codes", request_body = NewClaimCode, responses(
    (status = 201, description = "With the code.", body = ClaimCode),
    (status = 409, description = "There are too many."),
))]
async fn create_code(
    State(app): State<App>,
    who: Identity,
    Json(new): Json<NewClaimCode>,
) -> Result<(StatusCode, Json<ClaimCode>), Error> {
    let now_ms = app.now_ms();
    let (actor, most) = (who.actor(), app.config.enrolment.max_claim_codes);
    let claim = app
        .db
        .write(move |tx| {
            let claim = claim::create(tx, &new, &actor.name, most, now_ms)?;
            let shown = ClaimCode { code: None, ..claim.clone() };
            let target = format!("claim-code/{}", claim.id);
            audit::record(tx, now_ms, &actor, "claim_code.create", &target, audit::NONE, Some(&shown))?;
            Ok(claim)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(claim)))
}

/// Deletes a claim code
///
/// Boxes that used it stay ours.
#[utoipa::path(delete, path = "/claim-codes/{id}", params(("id" = String, Path)), responses(
    (status = 204, description = "It lets nobody in any more."),
))]
async fn delete_code(State(app): State<App>, who: Identity, At(id): At<String>) -> Result<StatusCode, Error> {
    let now_ms = app.now_ms();
    let actor = who.actor();
    app.db
        .write(move |tx| {
            let claim = tx
                .query_row(
                    &format!("SELECT {} FROM claim_code WHERE id = ?1", claim::COLUMNS),
                    [&id],
                    claim::read,
                )
                .map_err(|error| match error {
                    rusqlite::Error::QueryReturnedNoRows => Error::not_found("claim code", &id),
                    error => error.into(),
                })?;
            tx.execute("DELETE FROM claim_code WHERE id = ?1", [&id])?;
            let target = format!("claim-code/{id}");
            audit::record(tx, now_ms, &actor, "claim_code.delete", &target, Some(&claim), audit::NONE)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
