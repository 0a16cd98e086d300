//! The description of the site's API.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Visitor, member};
use crate::support::Fleet;

#[tokio::test]
async fn it_is_complete_and_every_operation_is_for_those_whom_it_says() {
    let fleet = Fleet::start().await;
    let visitor = Visitor::new(&fleet);
    let description = visitor.get_ok("/openapi.json").await;
    let ada = member(&fleet, "Ada").await;
    let mut names = BTreeSet::new();
    let mut walked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        assert!(path.starts_with("/site/v1/"), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            walked += 1;
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            let method: Method = method.to_uppercase().parse().unwrap();
            // The stream does not end, and signing out would end the walk.
            if path.ends_with("/events") || (method == Method::DELETE && path.ends_with("/session")) {
                continue;
            }
            let at = path
                .replace("{channel}", "nobodys")
                .replace("{version}", "1")
                .replace("{name}", "none")
                .replace("{file}", "0.png");
            let statuses = operation["responses"].as_object().unwrap();
            for who in [&visitor, &ada] {
                let request = who.request(method.clone(), &at);
                let request =
                    if operation.get("requestBody").is_some() { request.json(&json!({})) } else { request };
                let found = request.send().await.unwrap().status().as_u16();
                assert!(
                    statuses.contains_key(&found.to_string()),
                    "{method} {path}: {found} is not described"
                );
                let refused = operation["x-nodi-access"] == "member" && who.cookie.is_none();
                assert_eq!(found == 401, refused, "{method} {path}: {found}");
            }
        }
    }
    assert!(walked > 25, "{walked}");
    references_resolve(&description, &description);
    fleet.stop().await;
}

fn references_resolve(whole: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                assert!(whole.pointer(&reference[1..]).is_some(), "{reference}");
            }
            fields.values().for_each(|value| references_resolve(whole, value));
        }
        Value::Array(values) => values.iter().for_each(|value| references_resolve(whole, value)),
        _ => {}
    }
}
