//! Agent, broker and fleet server are killed with SIGKILL while commands and changes are under way: nothing is lost, and
//! nothing runs twice.

use std::time::Duration;

use nodi_lab::Lab;
use nodi_lab::host::{Host, Request};
use serde_json::json;

use crate::operator::{LONG, Steering, start};
use crate::support::{PATIENCE, eventually};

/// How often the broker dies.
const DEATHS: u32 = 20;

fn host(lab: &Lab) -> &Host {
    lab.boxes[0].host.as_ref().unwrap()
}

fn times(lab: &Lab, request: &Request) -> usize {
    host(lab).requests().iter().filter(|one| *one == request).count()
}

async fn until_begun(lab: &Lab, request: &Request) {
    eventually(&format!("the host to begin {request}"), PATIENCE, async || {
        (times(lab, request) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_at_any_step_runs_nothing_twice() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    let identify = |seconds: u32| json!({ "kind": "identify", "seconds": seconds });

    // Before it heard of the command: it does it when it is back.
    lab.boxes[0].agent().unwrap().kill();
    let id = steering.give(identify(1)).await;
    lab.boxes[0].agent().unwrap().restart().unwrap();
    steering.until_command(&id, "succeeded").await;

    // In the middle: nobody knows how far it came, so it is not begun again.
    host(&lab).hold();
    let id = steering.give(identify(2)).await;
    steering.until_command(&id, "running").await;
    until_begun(&lab, &Request::Identify(2)).await;
    lab.boxes[0].agent().unwrap().kill();
    host(&lab).release();
    lab.boxes[0].agent().unwrap().restart().unwrap();
    let failed = steering.until_command(&id, "failed").await;
    assert!(!failed["message"].as_str().unwrap().is_empty(), "{failed:#}");

    // After its end and before anybody knows of it: the end is on the box's disk.
    host(&lab).hold();
    let id = steering.give(identify(3)).await;
    steering.until_command(&id, "running").await;
    until_begun(&lab, &Request::Identify(3)).await;
    lab.process("mosquitto").unwrap().kill();
    host(&lab).release();
    let log = lab.logs().join("agent.log");
    eventually("the command's end on the box", PATIENCE, async || {
        // The agent says it after it has written it to its disk.
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().any(|line| line.contains(&id) && line.contains("Succeeded")).then_some(())
    })
    .await;
    lab.boxes[0].agent().unwrap().kill();
    lab.process("mosquitto").unwrap().restart().unwrap();
    lab.boxes[0].agent().unwrap().restart().unwrap();
    steering.until_command(&id, "succeeded").await;

    // While the box reboots at its request: the next boot answers for it.
    host(&lab).hold();
    let id = steering.give(json!({ "kind": "reboot" })).await;
    until_begun(&lab, &Request::Reboot).await;
    lab.boxes[0].agent().unwrap().kill();
    host(&lab).release();
    steering.until_command(&id, "succeeded").await;

    for seconds in 1..=3 {
        assert_eq!(times(&lab, &Request::Identify(seconds)), 1, "{:?}", host(&lab).requests());
    }
    assert_eq!(times(&lab, &Request::Reboot), 1, "{:?}", host(&lab).requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_server_that_is_killed_finds_its_commands_again() {
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    host(&lab).hold();
    let running = steering.give(json!({ "kind": "identify", "seconds": 1 })).await;
    steering.until_command(&running, "running").await;
    let waiting = steering.give(json!({ "kind": "identify", "seconds": 2 })).await;
    let version = steering.set(json!({ "telemetry_s": 3 })).await;
    lab.process("fleet").unwrap().kill();
    // They end while nobody listens.
    host(&lab).release();
    eventually("the box to go on by itself", PATIENCE, async || {
        (times(&lab, &Request::Identify(2)) == 1).then_some(())
    })
    .await;
    lab.process("fleet").unwrap().restart().unwrap();
    steering.until_state("online").await;
    steering.until_command(&running, "succeeded").await;
    steering.until_command(&waiting, "succeeded").await;
    steering.until_applied(version).await;
    assert_eq!(times(&lab, &Request::Identify(1)), 1);
    assert_eq!(times(&lab, &Request::Identify(2)), 1);
}

/// Small and good enough (Marsaglia 2003), so that a seed that was printed shows the same again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_at_twenty_random_points_loses_nothing() {
    let seed = match std::env::var("NODI_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => u64::from(std::process::id()) + 1,
    };
    log::info!("NODI_SEED={seed} repeats this run");
    let mut random = Random(seed);
    let mut lab = start().await;
    let steering = Steering::of(&lab, 0);
    let (mut commands, mut version) = (Vec::new(), 0);
    for death in 1..=DEATHS {
        commands.push(steering.give(json!({ "kind": "identify", "seconds": death })).await);
        version = steering.set(json!({ "telemetry_s": 2 + death % 7 })).await;
        // Anywhere between the order and the acknowledgement of its end, which takes a few hundredths of a second.
        tokio::time::sleep(Duration::from_millis(random.below(150))).await;
        lab.process("mosquitto").unwrap().kill();
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        lab.process("mosquitto").unwrap().restart().unwrap();
        if random.below(2) == 0 {
            // Every other time both sides are back before it goes on.
            steering.until_state("online").await;
        }
        // The server takes so many commands of a box at a time.
        if commands.len() > 8 {
            steering.until_command(&commands.remove(0), "succeeded").await;
        }
    }
    for id in &commands {
        steering.until_command(id, "succeeded").await;
    }
    let desired = steering.until_applied(version).await;
    assert_eq!(desired["reported"]["settings"]["telemetry_s"], 2 + DEATHS % 7, "{desired:#}");
    for death in 1..=DEATHS {
        assert_eq!(times(&lab, &Request::Identify(death)), 1, "{:?}", host(&lab).requests());
    }
    eventually("no command left that runs", LONG, async || {
        let open =
            steering.api.get(&format!("/commands?box={}&state=running", &steering.path[7..])).await.ok()?;
        (open["total"] == 0).then_some(())
    })
    .await;
}
