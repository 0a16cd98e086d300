use nodi_protocol::CommandId;
use nodi_protocol::fleet::command::{Action, Command, State, Status};
use nodi_protocol::fleet::event::What;

use super::*;

const DAY_MS: u64 = 86_400_000;
const TODAY: u64 = 1_790_000_000_000;

fn wide() -> Bounds {
    Bounds { bytes: u64::MAX / 2, count: u64::MAX / 2, age_ms: 30 * DAY_MS }
}

fn bench() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("agent.sqlite")).unwrap();
    (directory, store)
}

fn size(directory: &tempfile::TempDir) -> u64 {
    std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn telemetry_of_a_long_outage_stays_within_its_bounds_and_what_goes_is_counted() {
    let (directory, store) = bench();
    let bounds = Bounds { bytes: 256 << 10, count: 500, ..wide() };
    for number in 0..3_000_u64 {
        store.keep(TODAY + number, vec![b'x'; 1_000], bounds, true).await.unwrap();
    }
    let (waiting, bytes, dropped) = store.outbox().await.unwrap();
    assert!(waiting <= 263 && bytes <= 256 << 10, "{waiting} {bytes}");
    assert_eq!(waiting + dropped, 3_000);
    // File, log and what SQLite needs beside them.
    assert!(size(&directory) < 4 << 20, "{}", size(&directory));
    // Newest first.
    let mut last = u64::MAX;
    let mut sent = 0;
    while let Some(next) = store.newest_telemetry(TODAY, DAY_MS).await.unwrap() {
        let number = next.number.cast_unsigned();
        assert!(number < last);
        last = number;
        store.telemetry_sent(next.number).await.unwrap();
        sent += 1;
    }
    assert_eq!(sent, waiting);
}

#[tokio::test]
async fn old_telemetry_and_a_full_disk_are_drops_too_and_drops_are_told_once() {
    let (_directory, store) = bench();
    let events = EventBounds { count: 100 };
    store.keep(TODAY, b"old".to_vec(), wide(), true).await.unwrap();
    store
        .keep(TODAY + 8 * DAY_MS, b"new".to_vec(), Bounds { age_ms: 7 * DAY_MS, ..wide() }, true)
        .await
        .unwrap();
    store.keep(TODAY + 8 * DAY_MS, b"no room".to_vec(), wide(), false).await.unwrap();
    assert_eq!(store.outbox().await.unwrap(), (1, 3, 2));
    assert!(store.record_drops(TODAY, events).await.unwrap());
    assert!(!store.record_drops(TODAY, events).await.unwrap());
    let told = store.events_after(0, 10).await.unwrap().events;
    assert_eq!(told[0].what, What::Dropped { telemetry: 2, events: 0 });
}

#[tokio::test]
async fn events_have_numbers_that_never_come_again() {
    let (directory, store) = bench();
    let bounds = EventBounds { count: 100 };
    assert_eq!(store.journal("one".to_owned()).await.unwrap(), "one");
    for number in 1..=250 {
        let seq = store.record(TODAY, What::ClockStepped { by_ms: number }, bounds).await.unwrap();
        assert_eq!(seq, number.cast_unsigned());
    }
    let kept = store.events_after(0, 1_000).await.unwrap().events;
    assert_eq!(kept.iter().map(|event| event.seq).collect::<Vec<_>>(), (151..=250).collect::<Vec<_>>());
    assert!(kept.iter().all(|event| event.journal == "one"));
    assert_eq!(store.outbox().await.unwrap().2, 150);
    store.acknowledge(250).await.unwrap();
    drop(store);
    let store = Store::open(&directory.path().join("agent.sqlite")).unwrap();
    assert_eq!(store.journal("two".to_owned()).await.unwrap(), "one");
    assert_eq!(store.acknowledged().await.unwrap(), 250);
    let next = store.record(TODAY, What::ClockStepped { by_ms: 1 }, bounds).await.unwrap();
    assert_eq!(next, 251);
}

fn command(expires_ms: u64) -> (Command, Status) {
    let id = CommandId::new(TODAY, u128::from(expires_ms));
    let command = Command { id, issued_ms: TODAY, expires_ms, timeout_s: 1, action: Action::Reboot };
    let status = Status {
        id,
        state: State::Accepted,
        progress: None,
        message: String::new(),
        result: None,
        boot_id: "b".to_owned(),
        at_ms: TODAY,
    };
    (command, status)
}

#[tokio::test]
async fn a_command_is_accepted_once_begun_once_and_ends_once() {
    let (_directory, store) = bench();
    let (order, status) = command(TODAY + DAY_MS);
    let id = order.id;
    let accept = || store.accept(id, Some(order.clone()), status.clone(), Phase::Accepted, TODAY);
    assert!(accept().await.unwrap());
    assert!(!accept().await.unwrap());
    assert!(store.begin(id, status.clone()).await.unwrap());
    assert!(!store.begin(id, status.clone()).await.unwrap());
    assert!(store.finish(id, status.clone()).await.unwrap());
    assert!(!store.finish(id, status.clone()).await.unwrap());
    assert!(!store.begin(id, status.clone()).await.unwrap());
    let record = store.clear(id).await.unwrap().unwrap();
    assert!(record.phase == Phase::Over && record.cleared && record.command.is_none());
    store.emptied(id).await.unwrap();
    assert!(store.open_commands().await.unwrap().is_empty());
    assert!(!accept().await.unwrap());

    // Withdrawn before it began: never begins.
    let (order, status) = command(TODAY + 2 * DAY_MS);
    store.accept(order.id, Some(order.clone()), status.clone(), Phase::Accepted, TODAY).await.unwrap();
    assert_eq!(store.clear(order.id).await.unwrap().unwrap().phase, Phase::Withdrawn);
    assert!(!store.begin(order.id, status).await.unwrap());
}

#[tokio::test]
async fn ids_are_remembered_until_they_are_old_done_with_and_cannot_come_any_more() {
    let (_directory, store) = bench();
    let mut ids = Vec::new();
    for expires_ms in [TODAY + 1, TODAY + 2, TODAY + 60 * DAY_MS] {
        let (order, status) = command(expires_ms);
        store.accept(order.id, Some(order.clone()), status.clone(), Phase::Accepted, TODAY).await.unwrap();
        store.finish(order.id, status).await.unwrap();
        ids.push(order.id);
    }
    // The second is never cleared.
    for id in [ids[0], ids[2]] {
        store.clear(id).await.unwrap();
        store.emptied(id).await.unwrap();
    }
    let now = TODAY + 31 * DAY_MS;
    assert_eq!(store.forget_commands(TODAY - 1, now, 100).await.unwrap(), 0);
    assert_eq!(store.forget_commands(TODAY + DAY_MS, now, 100).await.unwrap(), 1);
    assert!(store.command(ids[0]).await.unwrap().is_none());
    assert!(store.command(ids[1]).await.unwrap().is_some());
    assert!(store.command(ids[2]).await.unwrap().is_some());
}

#[tokio::test]
async fn connections_count_on_from_the_time_when_the_disk_was_wiped() {
    let (_directory, store) = bench();
    let first = store.next_connection(TODAY).await.unwrap();
    assert_eq!(first, TODAY / 1000);
    // A clock that went back does not.
    assert_eq!(store.next_connection(0).await.unwrap(), first + 1);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_said_so_and_a_newer_one_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sqlite");
    std::fs::write(&path, vec![b'?'; 8192]).unwrap();
    let (store, lost) = Store::open_noting(&path).unwrap();
    assert!(lost && directory.path().join("agent.damaged").exists());
    store.set_value(names::LOST_MS, TODAY).await.unwrap();
    drop(store);
    let (store, lost) = Store::open_noting(&path).unwrap();
    assert!(!lost);
    assert_eq!(store.value::<u64>(names::LOST_MS).await.unwrap(), Some(TODAY));
    drop(store);
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Schema(_))));
}
