//! Paging, sorting, searching.

use serde_json::{Value, json};

use crate::support::{Fleet, problem};

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_cut_into_pages_without_gaps() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    for n in 0..7 {
        let name = format!("Name {}", n % 2);
        admin.post_ok("/channels", &json!({"id": format!("c{n}"), "display_name": name})).await;
    }
    let mut all = Vec::new();
    for page in 1..=3 {
        let page = admin.get_ok(&format!("/channels?page={page}&per_page=3&sort=-name")).await;
        assert_eq!(page["total"], 7);
        all.extend(ids(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(all, ["c5", "c3", "c1", "c6", "c4", "c2", "c0"]);
    assert_eq!(ids(&admin.get_ok("/channels?q=name%201&sort=id").await), ["c1", "c3", "c5"]);
    assert_eq!(ids(&admin.get_ok("/channels?q=C4").await), ["c4"]);
    assert!(ids(&admin.get_ok("/channels?page=9").await).is_empty());
    for bad in ["page=0", "per_page=501", "per_page=x", "sort=secret", "page=-1"] {
        problem(admin.get(&format!("/channels?{bad}")).await, 400).await;
    }
    fleet.stop().await;
}
