//! The port with TLS of its own.

use std::sync::Arc;

use nodi_protocol::chat::Role;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Client, Join};
use super::service::Service;

const CHANNEL: &str = "tls";

async fn join(service: &Service, connector: &TlsConnector, join: &Join) -> Client<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(service.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let mut client = Client::over(stream, join).await.unwrap();
    let frame = serde_json::json!({ "t": "join", "channel": join.channel, "token": join.token });
    client.send(&frame).await;
    assert_eq!(client.frame().await["t"], "welcome");
    assert_eq!(client.frame().await["t"], "history");
    client
}

#[tokio::test]
async fn a_room_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tables = format!(
        "[http.tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n\
         [moderation.limits]\nmoderator = {{ burst = 10000, per_s = 1 }}\nattempts = {{ burst = 10000, per_s = 1 }}\n\
         [connections]\nframes_burst = 1000\nframes_per_s = 1000\n"
    );
    let mut service = Service::start(&tables).await;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));

    let token = service.token(CHANNEL, "Ada", Role::Moderator);
    let mut ada = join(&service, &connector, &Join::with(CHANNEL, token)).await;
    let mut reader = join(&service, &connector, &Join::reader(CHANNEL)).await;
    // Much more than one buffer holds, before anybody reads it.
    let text = |number: usize| format!("{number} {}", "text ".repeat(80));
    for number in 0..300 {
        ada.say(&number.to_string(), text(number).trim_end()).await;
    }
    for number in 0..300 {
        assert_eq!(reader.frame().await["text"], text(number).trim_end());
    }
    service.is_well();
}
