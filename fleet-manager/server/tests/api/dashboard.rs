//! The dashboard's files, and the headers of everything.

use reqwest::Method;

use crate::support::{Fleet, problem};

#[tokio::test]
async fn what_is_not_a_file_is_the_page() {
    let fleet = Fleet::start().await;
    let nobody = fleet.nobody();
    let get = |path: &'static str| nobody.plain(Method::GET, path).send();
    for path in ["/", "/boxes/box-1", "/login"] {
        let page = get(path).await.unwrap();
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    }
    for path in ["/assets/none.js", "/favicon.none", "/../../Cargo.toml", "/.env"] {
        problem(get(path).await.unwrap(), 404).await;
    }
    problem(nobody.plain(Method::POST, "/").send().await.unwrap(), 405).await;
    fleet.stop().await;
}

#[tokio::test]
async fn the_api_answers_in_its_own_way_everywhere() {
    let fleet = Fleet::start().await;
    let nobody = fleet.nobody();
    problem(nobody.get("/none").await, 404).await;
    problem(nobody.plain(Method::GET, "/api/v2/boxes").send().await.unwrap(), 404).await;
    let wrong = nobody.request(Method::DELETE, "/time").send().await.unwrap();
    assert!(wrong.headers()["allow"].to_str().unwrap().contains("GET"));
    problem(wrong, 405).await;
    let time = nobody.get("/time").await;
    assert_eq!(time.headers()["cache-control"], "no-store");
    let text = nobody.plain(Method::GET, "/healthz").send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "ok\n");
    fleet.stop().await;
}

#[tokio::test]
async fn a_body_is_bounded_and_has_to_be_json() {
    let fleet = Fleet::with(|config| config.http.max_body = 1_000).await;
    let nobody = fleet.nobody();
    let send = |body: String, kind: &'static str| {
        nobody.request(Method::POST, "/login").header("content-type", kind).body(body).send()
    };
    problem(send("x".repeat(1_001), "application/json").await.unwrap(), 413).await;
    problem(send("{".into(), "application/json").await.unwrap(), 400).await;
    problem(send("{}".into(), "application/json; charset=utf-8").await.unwrap(), 422).await;
    problem(send("{} {}".into(), "application/json").await.unwrap(), 422).await;
    problem(send("{}".into(), "text/plain").await.unwrap(), 415).await;
    fleet.stop().await;
}
