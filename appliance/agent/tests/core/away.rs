//! The broker is away, and nothing that must not be lost is.

use nodi_protocol::fleet::event::What;

use crate::support::{World, until};

#[tokio::test]
async fn events_and_telemetry_of_an_outage_arrive_and_events_until_they_are_acknowledged() {
    let mut world = World::new().await;
    let mut fleet = world.fleet();
    world.agent_up();
    let (id, _) = fleet.presence(|presence| presence.online).await;
    fleet.until("first event", |fleet| (!fleet.events_seen.is_empty()).then_some(())).await;
    fleet.until("telemetry", |fleet| (!fleet.telemetry.is_empty()).then_some(())).await;
    let online = fleet.telemetry.len();

    world.broker_down();
    for boot in 2..7 {
        world.agent_killed();
        world.boot(&format!("boot-{boot}"));
        let before = world.agent_log().len();
        world.agent_up();
        // Once measured, a measurement is kept: the first of each process.
        until("a connection that fails", || {
            world
                .agent_log()
                .get(before..)
                .filter(|log| log.contains("no connection to the broker"))
                .map(drop)
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    world.broker_up().await;
    let booted = |fleet: &crate::support::Fleet| {
        let mut boots: Vec<_> = fleet
            .events_seen
            .iter()
            .filter_map(|event| match &event.what {
                What::Booted { boot_id, .. } => Some((event.seq, boot_id.clone())),
                _ => None,
            })
            .collect();
        boots.sort();
        boots.dedup();
        boots.into_iter().map(|(_, boot)| boot).collect::<Vec<_>>()
    };
    let all: Vec<String> = (1..7).map(|boot| format!("boot-{boot}")).collect();
    fleet.until("all boots", |fleet| (booted(fleet) == all).then_some(())).await;
    fleet
        .until("measurements of the outage", |fleet| (fleet.telemetry.len() >= online + 4).then_some(()))
        .await;

    // Sent again to a server that has not said that it has them.
    fleet.events_seen.clear();
    assert!(world.agent_stopped());
    world.agent_up();
    fleet.until("all boots once more", |fleet| (booted(fleet) == all).then_some(())).await;
    let (journal, last) =
        fleet.events_seen.iter().map(|event| (event.journal.clone(), event.seq)).max().unwrap();
    fleet.acknowledge(&id, "another journal", 1_000).await;
    fleet.acknowledge(&id, &journal, last).await;
    // Behind the acknowledgement.
    until("the journal is empty", || {
        let database = rusqlite::Connection::open(world.path("state/agent.sqlite")).unwrap();
        let left: i64 = database
            .query_row("SELECT COUNT(*) FROM event WHERE seq <= ?", [last.cast_signed()], |row| row.get(0))
            .unwrap();
        (left == 0).then_some(())
    })
    .await;
    fleet.events_seen.clear();
    assert!(world.agent_stopped());
    world.boot("boot-7");
    world.agent_up();
    fleet.until("the next boot", |fleet| booted(fleet).contains(&"boot-7".to_owned()).then_some(())).await;
    assert_eq!(booted(&fleet), ["boot-7"]);
    assert!(fleet.events_seen.iter().all(|event| event.seq > last));
}
