//! A box that says nothing: the clock is moved by hand, so that minutes pass at once.

use std::time::Duration;

use nodi_fleet::Config;
use nodi_fleet::audit::Actor;
use nodi_fleet::boxes::store;
use nodi_fleet::ca::PublicKey;
use nodi_fleet::clock::{Clock, Manual};
use nodi_fleet::commands::{self, NewAction, NewCommand};
use nodi_fleet::maintenance;
use nodi_fleet::server::Server;
use nodi_protocol::fleet::command::State;

use crate::commands::status;
use crate::support::wait;

const START_MS: i64 = 1_800_000_000_000;
const STEP: Duration = Duration::from_secs(5);

#[tokio::test]
async fn silence_counts_as_failure_until_the_box_says_otherwise() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let manual = Manual::new(START_MS);
    let clock = Clock::Manual(manual.clone());
    let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    config.http.listen = Some("127.0.0.1:0".parse().unwrap());
    // Nobody is there.
    config.broker.port = 1;
    let password = "a password for tests".to_owned();
    maintenance::init(config.clone(), clock.clone(), "admin".into(), password).await.unwrap();
    let (trigger, shutdown) = nodi_daemon::shutdown::manual();
    let server = Server::start(config, clock, shutdown).await.unwrap();
    let app = server.app.clone();

    let key = PublicKey::from_bytes(rcgen::KeyPair::generate().unwrap().public_key_raw()).unwrap();
    let id = key.box_id();
    let (shared, box_id) = (app.clone(), id.clone());
    let view = app
        .db
        .write(move |tx| {
            let (nothing, hardware) = (Default::default(), Default::default());
            store::insert(tx, &key, "one", None, &hardware, "1", "test", &nothing, START_MS)?;
            let new = NewCommand { action: NewAction::SelfTest {}, expires_s: Some(60), timeout_s: None };
            commands::create(&shared, tx, &box_id, &new, &Actor::system())
        })
        .await
        .unwrap();
    let becomes = async |expected: (&str, Option<&str>)| {
        let command = view.id.to_string();
        wait(expected.0, async || {
            // In small steps: a task that was busy when the clock moved sleeps from then on.
            manual.advance(STEP);
            let command = command.clone();
            let row: (String, Option<String>) = app
                .db
                .read(move |connection| {
                    let sql = "SELECT state, reason FROM command WHERE id = ?1";
                    Ok(connection.query_row(sql, [command], |row| Ok((row.get(0)?, row.get(1)?)))?)
                })
                .await
                .unwrap();
            ((row.0.as_str(), row.1.as_deref()) == expected).then_some(())
        })
        .await;
    };
    becomes(("queued", None)).await;
    becomes(("failed", Some("silent"))).await;
    let (shared, command) = (app.clone(), view.id);
    let now_ms = app.now_ms();
    app.db
        .write(move |tx| commands::said(&shared, tx, &id, &status(command, State::Succeeded, "late"), now_ms))
        .await
        .unwrap();
    becomes(("succeeded", None)).await;
    trigger.stop();
    server.run().await.unwrap();
}
