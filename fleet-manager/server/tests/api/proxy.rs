//! TLS by the server itself, and behind a proxy.

use reqwest::{Certificate, Method};
use serde_json::json;

use crate::support::{ADMIN, Fleet, PASSWORD, problem};

#[tokio::test]
async fn https_with_a_certificate_of_the_fleets_own_authority() {
    // Whoever checks a certificate looks at the machine's clock.
    let fleet = Fleet::at(nodi_fleet::clock::Clock::System.unix_ms(), |config| {
        config.public_url = "https://localhost".into();
        config.http.tls = Some(nodi_fleet::config::Tls {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: None,
            private_key: None,
            names: vec!["127.0.0.1".into()],
        });
    })
    .await;
    let ca = std::fs::read(fleet.app.config.ca_dir().join("ca.pem")).unwrap();
    let client =
        reqwest::Client::builder().tls_certs_only([Certificate::from_pem(&ca).unwrap()]).build().unwrap();
    let url = format!("https://{}", fleet.https.unwrap());
    let body = json!({"name": ADMIN, "password": PASSWORD});
    let answer = client.post(format!("{url}/api/v1/login")).json(&body).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(answer.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    assert!(answer.headers().contains_key("strict-transport-security"));
    let stranger = reqwest::Client::new().get(format!("{url}/healthz")).send().await;
    assert!(stranger.is_err(), "nobody trusts it by accident");
    fleet.stop().await;
}

#[tokio::test]
async fn a_proxy_is_believed_only_when_it_is_trusted() {
    for trusted in [false, true] {
        let fleet = Fleet::with(|config| {
            if trusted {
                config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
            }
        })
        .await;
        let wrong = json!({"name": "nobody", "password": "wrong wrong"});
        // Many addresses, if the header is believed: one that fails too often.
        let mut refused = 0;
        for n in 0..30 {
            let request = fleet.nobody().request(Method::POST, "/login");
            let name = json!({"name": format!("n{n}"), "password": wrong["password"]});
            let request = request.header("x-forwarded-for", format!("198.51.100.{n}")).json(&name);
            if request.send().await.unwrap().status() == 429 {
                refused += 1;
            }
        }
        assert_eq!(refused == 0, trusted, "{refused} refused");
        let admin = fleet.login_from(ADMIN, PASSWORD, "203.0.113.9").await;
        if let Some(admin) = admin {
            let entry = &fleet.audit(&admin).await[0];
            assert_eq!(entry["address"], if trusted { "203.0.113.9" } else { "127.0.0.1" });
        } else {
            assert!(!trusted);
            let body = json!({"name": ADMIN, "password": PASSWORD});
            problem(fleet.nobody().post("/login", &body).await, 429).await;
        }
        fleet.stop().await;
    }
}
