//! At most once per id, and an end for each, however the agent dies.

use std::time::Duration;

use nodi_protocol::BoxId;
use nodi_protocol::fleet::command::{Action, Process, State, Status};
use nodi_protocol::fleet::topic::BoxTopic;

use crate::support::{Fleet, World, command, lines, now_ms, until};

/// A box whose `identify` notes each run in `effect`, and then waits for the file `go` when it is told so by `hold`.
async fn box_with_effects() -> (World, Fleet, BoxId) {
    box_with("").await
}

/// The same, with more lines of configuration.
async fn box_with(extra: &str) -> (World, Fleet, BoxId) {
    let mut world = World::new().await;
    extra.clone_into(&mut world.extra);
    let dir = world.directory.path().display().to_string();
    world.script(
        "identify",
        &format!(
            "echo $1 >> {dir}/effect\nwhile [ -e {dir}/hold ] && [ ! -e {dir}/go ]; do sleep 0.02; done"
        ),
    );
    let mut fleet = world.fleet();
    world.agent_up();
    let (id, _) = fleet.presence(|presence| presence.online).await;
    (world, fleet, id)
}

fn identify(seconds: u32) -> Action {
    Action::Identify { seconds }
}

#[tokio::test]
async fn a_command_runs_once_is_acknowledged_and_forgotten_by_the_broker() {
    let (world, mut fleet, id) = box_with_effects().await;
    let order = command(identify(7));
    fleet.order(&id, &order).await;
    let status = fleet.end(&id, order.id).await;
    assert_eq!(status.state, State::Succeeded, "{status:?}");
    // Again, as a broker does that sends twice.
    fleet.order(&id, &order).await;
    fleet.clear(&id, order.id).await;
    fleet.emptied(&id, order.id).await;
    // Again, as a broker does that was restored: the box says how it ended, and does nothing.
    fleet.seen.clear();
    fleet.order(&id, &order).await;
    assert_eq!(fleet.end(&id, order.id).await, status);
    assert_eq!(lines(&world.path("effect")), ["7"]);
}

#[tokio::test]
async fn an_agent_that_is_killed_while_a_command_runs_never_begins_it_again() {
    let (mut world, mut fleet, id) = box_with_effects().await;
    std::fs::write(world.path("hold"), "").unwrap();
    let order = command(identify(1));
    fleet.order(&id, &order).await;
    let effect = world.path("effect");
    until("effect", || (lines(&effect).len() == 1).then_some(())).await;
    fleet
        .until("running", |fleet| {
            fleet
                .last::<Status>(&id, BoxTopic::CommandStatus(order.id))
                .filter(|status| status.state == State::Running)
        })
        .await;
    world.agent_killed();
    std::fs::write(world.path("go"), "").unwrap();
    for boot in ["boot-1", "boot-2"] {
        world.boot(boot);
        world.agent_up();
        let status = fleet.end(&id, order.id).await;
        assert!(status.state == State::Failed && status.message.contains("the agent ended"), "{status:?}");
        world.agent_killed();
    }
    assert_eq!(lines(&effect), ["1"]);
}

#[tokio::test]
async fn an_agent_that_is_killed_between_accepted_and_running_begins_it_afterwards_and_once() {
    // One place: what comes second is accepted, on disk and told, and cannot begin.
    let (mut world, mut fleet, id) = box_with("[commands]\nrunning = 1\n").await;
    std::fs::write(world.path("hold"), "").unwrap();
    let first = command(identify(1));
    fleet.order(&id, &first).await;
    let effect = world.path("effect");
    until("effect", || (lines(&effect).len() == 1).then_some(())).await;
    let second = command(identify(2));
    fleet.order(&id, &second).await;
    fleet
        .until("accepted", |fleet| {
            fleet
                .last::<Status>(&id, BoxTopic::CommandStatus(second.id))
                .filter(|status| status.state == State::Accepted)
        })
        .await;
    world.agent_killed();
    std::fs::write(world.path("go"), "").unwrap();
    world.agent_up();
    assert_eq!(fleet.end(&id, first.id).await.state, State::Failed);
    assert_eq!(fleet.end(&id, second.id).await.state, State::Succeeded);
    assert_eq!(lines(&effect), ["1", "2"]);
}

#[tokio::test]
async fn no_moment_of_death_runs_a_command_twice_or_leaves_it_without_an_end() {
    let (mut world, mut fleet, id) = box_with_effects().await;
    let mut orders = Vec::new();
    for round in 0..14_u32 {
        let order = command(identify(1_000 + round));
        fleet.order(&id, &order).await;
        // The box begins half a second after it has connected: from before that until all is done.
        tokio::time::sleep(Duration::from_millis(470 + u64::from(round) * 8)).await;
        world.agent_killed();
        fleet.presence(|presence| !presence.online).await;
        world.agent_up();
        fleet.presence(|presence| presence.online).await;
        orders.push(order.id);
    }
    for order in orders {
        let status = fleet.end(&id, order).await;
        assert!(matches!(status.state, State::Succeeded | State::Failed), "{status:?}");
        fleet.clear(&id, order).await;
        fleet.emptied(&id, order).await;
    }
    let mut runs = lines(&world.path("effect"));
    runs.sort();
    let all = runs.len();
    runs.dedup();
    assert_eq!(runs.len(), all, "{runs:?}");
}

#[tokio::test]
async fn a_broker_that_dies_at_any_moment_loses_no_order_and_no_end() {
    let (mut world, mut fleet, id) = box_with_effects().await;
    let mut orders = Vec::new();
    for round in 0..10_u32 {
        let order = command(identify(1_000 + round));
        fleet.order(&id, &order).await;
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 4)).await;
        world.broker_killed();
        let forgets = round % 3 == 2;
        if forgets {
            world.broker_forgets();
        }
        world.broker_up().await;
        orders.push(order.clone());
        // The fleet server says again what is not over, after each connection.
        for order in &orders {
            fleet.order(&id, order).await;
        }
    }
    for order in &orders {
        let status = fleet.end(&id, order.id).await;
        assert_eq!(status.state, State::Succeeded, "{status:?}");
    }
    let mut runs = lines(&world.path("effect"));
    runs.sort();
    assert_eq!(runs, (0..10).map(|round| (1_000 + round).to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_end_that_the_broker_did_not_hear_is_told_by_the_next_process() {
    let (mut world, mut fleet, id) = box_with_effects().await;
    std::fs::write(world.path("hold"), "").unwrap();
    let order = command(identify(1));
    fleet.order(&id, &order).await;
    let effect = world.path("effect");
    until("effect", || (lines(&effect).len() == 1).then_some(())).await;
    world.broker_down();
    std::fs::write(world.path("go"), "").unwrap();
    until("end in the log", || world.agent_log().contains("command over").then_some(())).await;
    world.agent_killed();
    world.broker_up().await;
    world.agent_up();
    assert_eq!(fleet.end(&id, order.id).await.state, State::Succeeded);
    assert_eq!(lines(&effect), ["1"]);
}

#[tokio::test]
async fn a_reboot_is_judged_by_the_boot_and_a_restart_by_the_process() {
    let (mut world, mut fleet, id) = box_with_effects().await;
    let dir = world.directory.path().display().to_string();
    world.script("reboot", &format!("echo reboot >> {dir}/asked"));
    world.script("restart_agent", &format!("echo restart >> {dir}/asked"));
    let asked = world.path("asked");

    let order = command(Action::Reboot);
    fleet.order(&id, &order).await;
    until("reboot", || (lines(&asked).len() == 1).then_some(())).await;
    assert!(world.agent_stopped(), "as systemd does on the way down");
    world.boot("boot-2");
    world.agent_up();
    let status = fleet.end(&id, order.id).await;
    assert!(status.state == State::Succeeded && status.boot_id == "boot-2", "{status:?}");

    let order = command(Action::RestartProcess { process: Process::Agent });
    fleet.order(&id, &order).await;
    until("restart", || (lines(&asked).len() == 2).then_some(())).await;
    assert!(world.agent_stopped());
    world.agent_up();
    assert_eq!(fleet.end(&id, order.id).await.state, State::Succeeded);

    // A reboot that did not come in time.
    let mut order = command(Action::Reboot);
    order.timeout_s = 1;
    fleet.order(&id, &order).await;
    until("reboot", || (lines(&asked).len() == 3).then_some(())).await;
    assert_eq!(fleet.end(&id, order.id).await.state, State::Failed);
    assert_eq!(lines(&asked), ["reboot", "restart", "reboot"]);
}

#[tokio::test]
async fn what_cannot_be_begun_in_time_and_what_cannot_be_read_has_an_end_too() {
    let (mut world, mut fleet, id) = box_with_effects().await;
    // Expired while the box was off.
    world.agent_killed();
    let mut order = command(identify(1));
    order.expires_ms = now_ms();
    fleet.order(&id, &order).await;
    // Withdrawn while the box was off.
    let withdrawn = command(identify(2));
    fleet.order(&id, &withdrawn).await;
    fleet.clear(&id, withdrawn.id).await;
    world.agent_up();
    let status = fleet.end(&id, order.id).await;
    assert!(status.state == State::Expired && status.message.contains("after its time"), "{status:?}");

    let unknown = command(identify(3)).id;
    let topic = nodi_protocol::fleet::topic::Topic::Box(id.clone(), BoxTopic::Command(unknown)).to_string();
    let text = format!("{{\"schema\": 1, \"id\": \"{unknown}\", \"action\": {{\"kind\": \"dance\"}}}}");
    fleet.publish(nodi_mqtt::Message::retained(topic, text)).await;
    assert_eq!(fleet.end(&id, unknown).await.state, State::Failed);

    let mut slow = command(identify(4));
    slow.timeout_s = 1;
    std::fs::write(world.path("hold"), "").unwrap();
    fleet.order(&id, &slow).await;
    let status = fleet.end(&id, slow.id).await;
    assert!(status.state == State::Failed && status.message.contains("not done within 1 s"), "{status:?}");
    assert_eq!(lines(&world.path("effect")), ["4"]);
}
