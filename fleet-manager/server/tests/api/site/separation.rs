//! Accounts of the site and rights in the fleet have nothing to do with each other.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Visitor, member, ok};
use crate::roles::{operations, with_ids};
use crate::support::{ADMIN, As, Fleet, PASSWORD, User, problem};

#[tokio::test]
async fn a_member_has_no_right_in_the_fleets_api() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let ada = member(&fleet, "Ada").await;
    let login = json!({ "name": "Ada", "password": PASSWORD });
    let told = problem(fleet.nobody().post("/login", &login).await, 403).await;
    assert!(told["detail"].as_str().unwrap().contains("watch site"), "{told}");
    // One who had rights and a login and a token, and is a member since.
    let (former, id) = fleet.person(&admin, "Former", "administrator").await;
    let made = former.post_ok("/tokens", &json!({ "name": "t", "scopes": ["administer"] })).await;
    let program = fleet.nobody().program(made["token"].as_str().unwrap());
    admin.patch_ok(&format!("/people/{id}"), &json!({ "role": "member" })).await;
    let site_cookie = User {
        as_whom: As::Browser { cookie: ada.cookie.clone().unwrap(), csrf: ada.csrf.clone().unwrap() },
        ..fleet.nobody()
    };
    // The site's secret in the dashboard's cookie.
    let secret = ada.cookie.unwrap().replacen("nodi_site", "nodi_session", 1);
    let swapped = User { as_whom: As::Browser { cookie: secret, csrf: ada.csrf.unwrap() }, ..fleet.nobody() };
    let mut walked = 0;
    for operation in operations() {
        if operation.access == "public" {
            continue;
        }
        walked += 1;
        for (who, user, status) in [
            ("former", &former, 403),
            ("program", &program, 403),
            ("site cookie", &site_cookie, 401),
            ("swapped", &swapped, 401),
        ] {
            let request = user.request(operation.method.clone(), &with_ids(&operation.path));
            let request = if operation.has_body { request.json(&json!({})) } else { request };
            let found = request.send().await.unwrap().status().as_u16();
            assert_eq!(found, status, "{} {} as {who}", operation.method, operation.path);
        }
    }
    assert!(walked > 40, "{walked}");
    fleet.stop().await;
}

#[tokio::test]
async fn a_login_to_the_dashboard_is_none_to_the_site() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let As::Browser { cookie, csrf } = admin.as_whom.clone() else { panic!("a browser") };
    for cookie in [cookie.clone(), cookie.replacen("nodi_session", "nodi_site", 1)] {
        let visitor = Visitor { cookie: Some(cookie), csrf: Some(csrf.clone()), ..Visitor::new(&fleet) };
        assert_eq!(visitor.get_ok("/session").await["account"], Value::Null);
        problem(visitor.get("/following").await, 401).await;
    }
    let made = admin.post_ok("/tokens", &json!({ "name": "t", "scopes": ["administer"] })).await;
    let with_token = Visitor::new(&fleet)
        .request(Method::GET, "/following")
        .bearer_auth(made["token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    problem(with_token, 401).await;
    // An operator signs in here like everybody, and that ends by itself.
    let mut staff = Visitor::new(&fleet);
    assert_eq!(staff.sign_in(ADMIN).await["role"], "administrator");
    fleet.stop().await;
}

#[tokio::test]
async fn members_are_listed_when_they_are_asked_for() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    for name in ["Ada", "Bert"] {
        member(&fleet, name).await;
    }
    let names = async |query: &str| -> Vec<String> {
        let page = admin.get_ok(&format!("/people?sort=name{query}")).await;
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|person| person["name"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(names("").await, ["admin"]);
    assert_eq!(names("&role=member").await, ["Ada", "Bert"]);
    assert_eq!(names("&role=member&q=ber").await, ["Bert"]);
    fleet.stop().await;
}

#[tokio::test]
async fn the_public_listener_serves_the_site_and_nothing_else() {
    let fleet = Fleet::with(|config| config.site.listen = Some(([127, 0, 0, 1], 0).into())).await;
    let url = format!("http://{}", fleet.site.unwrap());
    let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap();
    assert_eq!(ok(get("/site/v1/live").await).await, json!({ "channels": [], "total": 0 }));
    for path in ["/healthz", "/site/v1/openapi.json"] {
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
    for path in
        ["/", "/api/v1/time", "/api/v1/people", "/api/docs", "/login", "/metrics", "/site", "/site/v2/live"]
    {
        problem(get(path).await, 404).await;
    }
    fleet.stop().await;
}
