//! An origin that does not want the session any more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::delete;
use common::media::{Worker, audio, session_id};
use common::recorder::{Event, Recorder};
use common::{Appliance, until};
use nodi_protocol::push::Refusal;

type Ended = Arc<Mutex<Vec<(String, String)>>>;

#[derive(serde::Deserialize)]
struct Reason {
    reason: String,
}

/// The part of ingest's local socket that the uplink uses.
fn ingest(appliance: &Appliance) -> Ended {
    async fn end(
        State(ended): State<Ended>,
        Path(session): Path<String>,
        Query(Reason { reason }): Query<Reason>,
    ) -> StatusCode {
        ended.lock().unwrap().push((session, reason));
        StatusCode::NO_CONTENT
    }
    let ended = Ended::default();
    let app = Router::new().route("/sessions/{session}", delete(end)).with_state(ended.clone());
    let listener = tokio::net::UnixListener::bind(appliance.path("ingest.sock")).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    ended
}

fn origin(address: std::net::SocketAddr) -> String {
    format!("[[origin]]\nname = \"primary\"\nurl = \"http://{address}\"\n")
}

#[tokio::test]
async fn a_newer_session_elsewhere_ends_this_one() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    let ended = ingest(&appliance);
    let uplink = appliance.start(&origin(address)).await;
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
    worker.play(Duration::from_millis(600)).await;
    until("it is live", || !recorder.described("audio").is_empty()).await;

    // The publisher came back at another box.
    recorder.lock().session = Some(session_id(2));
    worker.play(Duration::from_millis(300)).await;
    until("ingest is told", || !ended.lock().unwrap().is_empty()).await;
    assert_eq!(*ended.lock().unwrap(), [(session.to_string(), "superseded".to_owned())]);
    let requests = recorder.lock().keys.len();
    worker.play(Duration::from_millis(1_000)).await;
    assert!(recorder.lock().keys.len() <= requests + 1, "pushing has stopped");
    uplink.stop().await;
}

#[tokio::test]
async fn a_refused_key_ends_the_session_with_the_origins_reason() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let (recorder, address) = Recorder::start().await;
        let error = "this stream key was revoked; create a new one in your studio";
        let refusal = Refusal { error: error.to_owned(), newer_session: None, held_bytes: None };
        recorder.lock().refuse = Some((status, refusal));
        let appliance = Appliance::new();
        let ended = ingest(&appliance);
        let uplink = appliance.start(&origin(address)).await;
        let session = session_id(1);
        appliance.credential("nodi", session, "nodi_secret");
        let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
        worker.play(Duration::from_millis(200)).await;
        until("ingest is told", || !ended.lock().unwrap().is_empty()).await;
        let (who, reason) = ended.lock().unwrap()[0].clone();
        assert_eq!(who, session.to_string());
        assert!(reason.contains(error) && !reason.contains("secret"), "{reason}");
        worker.play(Duration::from_millis(500)).await;
        assert_eq!(recorder.lock().keys.len(), 1, "asked once");
        uplink.stop().await;
    }
}

#[tokio::test]
async fn a_number_that_was_used_meanwhile_is_not_fought_over() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    // The journal knows the session, from an attempt that never reached the origin; another box was quicker.
    let session = session_id(5);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
    worker.segments(1);
    let uplink = appliance.start(&origin(address)).await;
    until("it has claimed", || recorder.lock().session.is_some()).await;
    uplink.stop().await;
    {
        let mut inner = recorder.lock();
        inner.session = Some(session_id(3));
        inner.next_msn = 90;
        inner.segments.clear();
        inner.described.clear();
        inner.inits.clear();
    }
    let uplink = appliance.start(&origin(address)).await;
    worker.segments(1);
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert_eq!(recorder.lock().base_msn, 90);
    assert!(recorder.holds(&written));
    let claims: Vec<u64> = recorder
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Claim { base_msn, .. } => Some(*base_msn),
            _ => None,
        })
        .collect();
    assert_eq!(claims, [0, 0, 90]);
    uplink.stop().await;
}
