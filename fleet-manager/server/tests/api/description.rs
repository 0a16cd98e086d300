//! The description of the API.

use reqwest::Method;
use serde_json::Value;

use crate::roles::operations;
use crate::support::Fleet;

#[tokio::test]
async fn it_is_served_and_complete() {
    let fleet = Fleet::start().await;
    let description = fleet.nobody().get_ok("/openapi.json").await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(names.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.starts_with(['4', '5']) {
                    assert!(
                        response["content"].get("application/problem+json").is_some(),
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }
    references_resolve(&description, &description);
    let page = fleet.nobody().plain(Method::GET, "/api/docs").send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let page = page.text().await.unwrap();
    for operation in operations() {
        assert!(page.contains(&operation.path), "{}", operation.path);
    }
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
