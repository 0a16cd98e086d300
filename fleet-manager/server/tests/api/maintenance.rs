//! `init`, `check`, `backup`, and the schema.

use std::os::unix::fs::PermissionsExt as _;

use nodi_fleet::clock::Clock;
use nodi_fleet::db::migrate;
use nodi_fleet::maintenance::{self, Finding, Level};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{ADMIN, Fleet, PASSWORD, config};

fn errors(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .map(|finding| finding.text.as_str())
        .collect()
}

#[tokio::test]
async fn init_makes_what_is_needed_once() {
    crate::support::provider();
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let run =
        |password: &str| maintenance::init(config.clone(), Clock::System, ADMIN.into(), password.to_owned());
    assert!(run("short").await.is_err());
    assert!(!config.data_dir.exists(), "nothing is made when it will not do");
    run(PASSWORD).await.unwrap();
    for (path, mode) in [(config.data_dir.clone(), 0o700), (config.signing_key(), 0o600)] {
        let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
    assert!(errors(&maintenance::check(&config, &Clock::System)).is_empty());
    let key = std::fs::read(config.signing_key()).unwrap();
    let again = run(PASSWORD).await.unwrap_err().to_string();
    assert!(again.contains("people already"), "{again}");
    assert_eq!(std::fs::read(config.signing_key()).unwrap(), key);
}

#[tokio::test]
async fn a_check_names_what_is_wrong() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    admin.post_ok("/channels", &json!({"id": "nodi", "display_name": "Nodi"})).await;
    admin.post_ok("/channels/nodi/keys", &json!({})).await;
    let clock = Clock::Manual(fleet.clock.clone());
    let config = fleet.app.config.clone();
    assert_eq!(errors(&maintenance::check(&config, &clock)), Vec::<&str>::new());

    let outside = Connection::open(config.database()).unwrap();
    outside
        .execute_batch("PRAGMA foreign_keys = off; UPDATE channel SET next_version = 1, owner_id = 'nobody';")
        .unwrap();
    std::fs::set_permissions(config.signing_key(), std::fs::Permissions::from_mode(0o644)).unwrap();
    fleet.clock.advance(std::time::Duration::from_secs(86_400 * 365 * 40));
    let findings = maintenance::check(&config, &clock);
    let errors = errors(&findings).join("\n");
    for wanted in
        ["a row of channel refers to nothing in person", "nodi 1", "others can read it", "authority: ended"]
    {
        assert!(errors.contains(wanted), "{wanted}: {errors}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment_while_others_write() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let app = fleet.app.clone();
    let writing = tokio::spawn(async move {
        for n in 0.. {
            // Two rows that belong together, in one transaction.
            let done = app.db.write(move |tx| {
                for side in ["a", "b"] {
                    tx.execute(
                        "INSERT INTO channel (id, display_name, created_ms) VALUES (?1, ?1, 0)",
                        [format!("{side}{n}")],
                    )?;
                }
                Ok(())
            });
            if done.await.is_err() {
                break;
            }
        }
    });
    let (config, path) = (fleet.app.config.clone(), fleet.dir.path().join("copy.sqlite"));
    let to = path.clone();
    let copying = tokio::task::spawn_blocking(move || maintenance::backup(&config, &Clock::System, &to));
    copying.await.unwrap().unwrap();
    writing.abort();
    let copy = Connection::open(&path).unwrap();
    let count = |side: &str| -> i64 {
        copy.query_row("SELECT count(*) FROM channel WHERE id LIKE ?1 || '%'", [side], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(count("a"), count("b"));
    let people: i64 = copy.query_row("SELECT count(*) FROM person", [], |row| row.get(0)).unwrap();
    assert_eq!(people, 1);
    let epoch = |connection: &Connection| -> String {
        connection.query_row("SELECT epoch FROM meta", [], |row| row.get(0)).unwrap()
    };
    let original = Connection::open(fleet.app.config.database()).unwrap();
    assert_ne!(epoch(&copy), epoch(&original), "boxes can tell that the counting began anew");
    let again = maintenance::backup(&fleet.app.config, &Clock::System, &path).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    admin.get_ok("/me").await;
    fleet.stop().await;
}

#[test]
fn a_database_of_somebody_else_is_left_alone() {
    let mut theirs = Connection::open_in_memory().unwrap();
    theirs.execute_batch("CREATE TABLE precious (x)").unwrap();
    assert!(matches!(migrate::up_to_date(&mut theirs), Err(migrate::Error::Foreign)));
    let mut newer = Connection::open_in_memory().unwrap();
    migrate::up_to_date(&mut newer).unwrap();
    newer.pragma_update(None, "user_version", migrate::VERSION + 1).unwrap();
    assert!(matches!(migrate::up_to_date(&mut newer), Err(migrate::Error::Newer(_))));
}
