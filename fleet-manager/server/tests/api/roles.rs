//! Who may call what, for every operation of the description: one that is forgotten here cannot be.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Fleet, User};

/// Every operation of the API.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) access: String,
    pub(crate) has_body: bool,
    /// Statuses that it says it answers with.
    pub(crate) statuses: Vec<String>,
}

pub(crate) fn operations() -> Vec<Operation> {
    let description = serde_json::to_value(nodi_fleet::http::description()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                access: operation["x-nodi-access"].as_str().expect("who may call it").to_owned(),
                has_body: operation.get("requestBody").is_some(),
                statuses: operation["responses"].as_object().unwrap().keys().cloned().collect(),
            });
        }
    }
    operations
}

/// Ids that are well formed and nobody's.
pub(crate) fn with_ids(path: &str) -> String {
    let mut path = path.to_owned();
    for (name, value) in [
        ("{version}", "1"),
        ("{sha256}", "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"),
        ("{box_id}", "box-aaaaaaaaaaaaaaaa"),
        ("{command_id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ] {
        path = path.replace(name, value);
    }
    let id = if path.contains("/boxes/") {
        "box-aaaaaaaaaaaaaaaa"
    } else if path.contains("/channels/") {
        "nobodys"
    } else {
        "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    };
    path.replace("{id}", id)
}

async fn status(user: &User, operation: &Operation) -> u16 {
    let request = user.request(operation.method.clone(), &with_ids(&operation.path));
    let request = if operation.has_body { request.json(&json!({})) } else { request };
    request.send().await.unwrap().status().as_u16()
}

fn rank(role: &str) -> u8 {
    match role {
        "streamer" => 0,
        "viewer" => 1,
        "operator" => 2,
        "administrator" => 3,
        other => panic!("role {other}"),
    }
}

#[tokio::test]
async fn every_operation_is_for_those_whom_it_says() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let mut users = BTreeMap::new();
    for role in ["streamer", "viewer", "operator", "administrator"] {
        users.insert(role, fleet.person(&admin, role, role).await.0);
    }
    let nobody = fleet.nobody();
    let bad_token = nobody.program("nodi_pat_wrong");
    let operations = operations();
    assert!(operations.len() > 25, "{}", operations.len());
    let (last, rest): (Vec<_>, Vec<_>) =
        operations.iter().partition(|operation| operation.path.ends_with("/logout"));
    for operation in rest.into_iter().chain(last) {
        let name = format!("{} {}", operation.method, operation.path);
        let without = status(&nobody, operation).await;
        if operation.access == "public" {
            assert!(operation.statuses.contains(&without.to_string()), "{name}: {without} is not described");
        } else {
            assert_eq!(without, 401, "{name} without a login");
            assert_eq!(status(&bad_token, operation).await, 401, "{name} with a wrong token");
        }
        for (role, user) in &users {
            let found = status(user, operation).await;
            assert!(
                operation.statuses.contains(&found.to_string()),
                "{name} as {role}: {found} is not described"
            );
            assert_ne!(found, 500, "{name} as {role}");
            let may = match operation.access.as_str() {
                "public" => continue,
                "login" | "person" => true,
                least => rank(role) >= rank(least),
            };
            if may {
                assert!(![401, 403].contains(&found), "{name} as {role}: {found}");
            } else {
                assert_eq!(found, 403, "{name} as {role}");
            }
        }
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_tokens_scope_bounds_what_its_person_may() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let mut tokens = BTreeMap::new();
    for scope in ["read", "operate", "administer"] {
        let made = admin.post_ok("/tokens", &json!({"name": scope, "scopes": [scope]})).await;
        tokens.insert(scope, admin.program(made["token"].as_str().unwrap()));
    }
    for operation in operations() {
        let name = format!("{} {}", operation.method, operation.path);
        for (scope, program) in &tokens {
            let reaches = match (operation.access.as_str(), *scope) {
                ("public", _) => continue,
                ("login", _) => false,
                ("person", "read") => operation.method == Method::GET,
                ("person", _) | (_, "administer") | ("viewer", _) | ("operator", "operate") => true,
                _ => false,
            };
            let found = status(program, &operation).await;
            if reaches {
                assert!(![401, 403].contains(&found), "{name} with {scope}: {found}");
            } else {
                assert_eq!(found, 403, "{name} with {scope}");
            }
        }
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_streamer_sees_and_steers_their_own_channels_only() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let (streamer, id) = fleet.person(&admin, "stella", "streamer").await;
    admin.post_ok("/channels", &json!({"id": "hers", "display_name": "Hers", "owner": id})).await;
    admin.post_ok("/channels", &json!({"id": "other", "display_name": "Other"})).await;
    let seen = streamer.get_ok("/channels").await;
    assert_eq!(seen["total"], 1);
    assert_eq!(seen["items"][0]["id"], "hers");
    assert_eq!(streamer.get("/channels/other").await.status(), 404);
    assert_eq!(streamer.post("/channels/other/keys", &json!({})).await.status(), 404);
    assert_eq!(streamer.patch("/channels/other", &json!({"display_name": "Mine"})).await.status(), 404);
    streamer.post_ok("/channels/hers/keys", &json!({"label": "OBS"})).await;
    streamer.patch_ok("/channels/hers", &json!({"display_name": "Hers now"})).await;
    // What is an operator's stays an operator's.
    assert_eq!(streamer.patch("/channels/hers", &json!({"owner": Value::Null})).await.status(), 403);
    assert_eq!(streamer.post("/channels/hers/suspend", &json!({"reason": "x"})).await.status(), 403);
    // A viewer sees all of them and steers none.
    let (viewer, _) = fleet.person(&admin, "viola", "viewer").await;
    assert_eq!(viewer.get_ok("/channels").await["total"], 2);
    assert_eq!(viewer.post("/channels/hers/keys", &json!({})).await.status(), 403);
    fleet.stop().await;
}
