//! The audit log.

use nodi_fleet::error::Error;
use serde_json::json;

use crate::support::{Fleet, START_MS};

#[tokio::test]
async fn rows_can_only_be_added() {
    let fleet = Fleet::start().await;
    for statement in ["UPDATE audit SET actor_name = 'somebody else'", "DELETE FROM audit"] {
        let result = fleet.app.db.write(move |tx| Ok(tx.execute(statement, [])?)).await;
        let Err(Error::Database(error)) = result else { panic!("{statement} went through") };
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn who_did_what_can_be_found() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let (otto, _) = fleet.person(&admin, "otto", "operator").await;
    otto.post_ok("/channels", &json!({"id": "one", "display_name": "One"})).await;
    otto.patch_ok("/channels/one", &json!({"display_name": "Two"})).await;
    let found = admin.get_ok("/audit?actor=OTTO&action=channel.update&target=one").await;
    assert_eq!(found["total"], 1);
    let entry = &found["items"][0];
    assert_eq!(entry["at_ms"], START_MS);
    assert_eq!(entry["address"], "127.0.0.1");
    assert_eq!(
        (&entry["before"]["display_name"], &entry["after"]["display_name"]),
        (&json!("One"), &json!("Two"))
    );
    assert_eq!(admin.get_ok(&format!("/audit?from_ms={}", START_MS + 1)).await["total"], 0);
    assert_eq!(admin.get_ok("/audit?actor=%25").await["total"], 0, "text, not a pattern");
    fleet.stop().await;
}
