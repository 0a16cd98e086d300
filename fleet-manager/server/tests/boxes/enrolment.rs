//! How boxes become ours.

use serde_json::{Value, json};

use crate::support::{Fleet, Identity};

#[tokio::test]
async fn a_claim_code_lets_one_box_in_and_no_second() {
    let fleet = Fleet::start().await;
    let code = fleet.post("/claim-codes", json!({ "note": "for the roof" })).await;
    let code = code["code"].as_str().unwrap().to_owned();
    let first = Identity::new();
    let (status, answer) = fleet.ask_as_stranger("POST", "/enrolments", first.request(Some(&code))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["ca_pem"], fleet.ca_pem());
    assert_eq!(answer["broker"], json!({ "host": "localhost", "port": fleet.broker_port }));

    // The answer was lost: the same request, with and without the code, gets the same certificate.
    for request in [first.request(Some(&code)), first.request(None)] {
        let (status, again) = fleet.ask_as_stranger("POST", "/enrolments", request).await;
        assert_eq!((status, &again["certificate_pem"]), (200, &answer["certificate_pem"]));
    }
    let (status, refused) =
        fleet.ask_as_stranger("POST", "/enrolments", Identity::new().request(Some(&code))).await;
    assert_eq!(status, 403, "{refused}");
    let (status, _) =
        fleet.ask_as_stranger("POST", "/enrolments", Identity::new().request(Some("nonsense"))).await;
    assert_eq!(status, 403);

    let codes = fleet.get("/claim-codes").await;
    assert_eq!((&codes["items"][0]["used"], &codes["items"][0]["code"]), (&json!(1), &Value::Null));
    let boxes = fleet.get("/boxes").await;
    assert_eq!(boxes["total"], 1);
    assert_eq!(boxes["items"][0]["state"], "never_seen");
    let audit = fleet.get("/audit?action=box.enrol").await;
    assert_eq!(audit["items"][0]["actor"]["kind"], "box", "{audit}");
}

#[tokio::test]
async fn guessing_codes_is_slowed_down() {
    let fleet = Fleet::start().await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let request = Identity::new().request(Some("ABCD-EFGH-JKMN-PQRS"));
        statuses.push(fleet.ask_as_stranger("POST", "/enrolments", request).await.0);
    }
    assert_eq!(&statuses[..10], [403; 10]);
    assert!(statuses[10..].contains(&429), "{statuses:?}");
    // A box without a code is no guess.
    let (status, _) = fleet.ask_as_stranger("POST", "/enrolments", Identity::new().request(None)).await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_person_approves_or_turns_away() {
    let fleet = Fleet::start().await;
    let (button, typed, unwanted) = (Identity::new(), Identity::new(), Identity::new());
    let mut waiting = Vec::new();
    for identity in [&button, &typed, &unwanted] {
        let (status, answer) = fleet.ask_as_stranger("POST", "/enrolments", identity.request(None)).await;
        assert_eq!(status, 202, "{answer}");
        let (_, again) = fleet.ask_as_stranger("POST", "/enrolments", identity.request(None)).await;
        assert_eq!(again["code"], answer["code"], "the code stays");
        waiting.push(answer);
    }
    let list = fleet.get("/enrolments?sort=first_seen_ms").await;
    assert_eq!(list["total"], 3);
    assert_eq!(list["items"][0]["code"], waiting[0]["code"]);
    assert_eq!(list["items"][0]["hardware"]["model"], "Test box");

    let id = |n: usize| waiting[n]["box_id"].as_str().unwrap().to_owned();
    let place = json!({ "name": "Roof", "latitude": 48.1, "longitude": 11.6 });
    let body = json!({ "name": "North", "location": place });
    let summary = fleet.post(&format!("/enrolments/{}/approve", id(0)), body).await;
    assert_eq!((&summary["name"], &summary["location"]), (&json!("North"), &place));
    let code = waiting[1]["code"].as_str().unwrap().to_lowercase().replace('-', " ");
    let summary = fleet.post("/enrolments/approve-code", json!({ "code": code })).await;
    assert_eq!(summary["id"], waiting[1]["box_id"]);
    let (status, _) = fleet.ask("POST", "/enrolments/approve-code", Some(json!({ "code": code }))).await;
    assert_eq!(status, 404, "it does not wait any more");
    let (status, _) = fleet.ask("POST", &format!("/enrolments/{}/reject", id(2)), None).await;
    assert_eq!(status, 204);

    for (identity, expected) in [(&button, 200), (&typed, 200), (&unwanted, 403)] {
        let (status, answer) = fleet.ask_as_stranger("POST", "/enrolments", identity.request(None)).await;
        assert_eq!(status, expected, "{answer}");
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_with_the_key_of_the_box_and_no_other() {
    let fleet = Fleet::start().await;
    let box_ = fleet.enrolled().await;
    let path = format!("/boxes/{}/certificate", box_.box_id);
    let (status, renewed) = fleet.ask_as_stranger("POST", &path, json!({ "csr_pem": box_.csr() })).await;
    assert_eq!(status, 200, "{renewed}");
    // So soon after the first one it is the first one.
    assert_eq!(renewed["certificate_pem"], box_.certificate_pem);
    let (status, refused) =
        fleet.ask_as_stranger("POST", &path, json!({ "csr_pem": Identity::new().csr() })).await;
    assert_eq!(status, 403, "{refused}");
    let detail = fleet.get(&format!("/boxes/{}", box_.box_id)).await;
    assert!(detail["certificate"]["not_after_ms"].as_i64().unwrap() > 0, "{detail}");
}

#[tokio::test]
async fn requests_that_are_none_are_named() {
    let fleet = Fleet::start().await;
    let mut request = Identity::new().request(None);
    request["csr_pem"] =
        json!("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n");
    let (status, answer) = fleet.ask_as_stranger("POST", "/enrolments", request).await;
    assert_eq!((status, &answer["field"]), (422, &json!("csr_pem")));
    let (status, _) = fleet.ask_as_stranger("POST", "/enrolments", json!({})).await;
    assert_eq!(status, 422);
    let (status, time) = fleet.ask("GET", "/time", None).await;
    assert_eq!(status, 200);
    assert!(time["unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn only_so_many_wait() {
    let fleet = Fleet::with("[enrolment]\nmax_waiting = 2").await;
    for _ in 0..2 {
        assert_eq!(fleet.ask_as_stranger("POST", "/enrolments", Identity::new().request(None)).await.0, 202);
    }
    assert_eq!(fleet.ask_as_stranger("POST", "/enrolments", Identity::new().request(None)).await.0, 429);
}
