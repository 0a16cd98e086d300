//! Broker and fleet server are killed while commands and changes are under way: nothing is lost, and nothing
//! is done twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nodi_protocol::CommandId;
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::command::{Command, State};
use nodi_protocol::fleet::desired::{Desired, Reported};
use nodi_protocol::fleet::event::{Ack, Event, What};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::commands::status;
use crate::support::{Fleet, Robot, wait};

/// What a box keeps on its disk.
#[derive(Default)]
struct Memory {
    /// How often each command was done, and how it stands.
    commands: BTreeMap<CommandId, (u32, State)>,
    /// Commands that the fleet server has cleared.
    cleared: Vec<CommandId>,
    applied: u64,
    epoch: String,
    events: u64,
    acknowledged: u64,
}

/// A box that does what it is told, as an agent would: state first, then the act, and everything again after each
/// connection.
struct Worker {
    robot: Arc<Robot>,
    memory: Arc<Mutex<Memory>>,
    working: JoinHandle<()>,
}

impl Worker {
    fn start(robot: Robot) -> Self {
        let robot = Arc::new(robot);
        let memory = Arc::new(Mutex::new(Memory::default()));
        let working = tokio::spawn(work(robot.clone(), memory.clone()));
        Self { robot, memory, working }
    }

    fn happen(&self) {
        self.memory.lock().unwrap().events += 1;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.working.abort();
    }
}

async fn work(robot: Arc<Robot>, memory: Arc<Mutex<Memory>>) {
    let mut connections = 0;
    let mut told = (0, 0);
    loop {
        let now = *robot.connections.borrow();
        let fresh = now != connections;
        connections = now;
        let newest = robot.newest.lock().unwrap().clone();
        let mut statuses = Vec::new();
        {
            let mut memory = memory.lock().unwrap();
            for (topic, payload) in &newest {
                match topic.parse::<Topic>() {
                    Ok(Topic::Box(_, BoxTopic::Command(id))) if payload.is_empty() => {
                        let known = memory.commands.get(&id).is_some_and(|(_, state)| state.is_final());
                        if known && !memory.cleared.contains(&id) {
                            memory.cleared.push(id);
                        }
                    }
                    Ok(Topic::Box(_, BoxTopic::Command(id))) => {
                        Command::from_json(payload).unwrap();
                        memory.commands.entry(id).or_insert((0, State::Accepted));
                    }
                    Ok(Topic::Box(_, BoxTopic::Desired)) if !payload.is_empty() => {
                        let desired = Desired::from_json(payload).unwrap();
                        if desired.epoch != memory.epoch || desired.version > memory.applied {
                            memory.applied = desired.version;
                            memory.epoch = desired.epoch;
                        }
                    }
                    Ok(Topic::Box(_, BoxTopic::EventAck)) => {
                        let ack = Ack::from_json(payload).unwrap();
                        memory.acknowledged = memory.acknowledged.max(ack.through);
                    }
                    _ => {}
                }
            }
            let cleared = memory.cleared.clone();
            for (id, (runs, state)) in &mut memory.commands {
                // One step at a time, so that the kills fall between any two of them.
                let before = *state;
                *state = match *state {
                    State::Accepted => State::Running,
                    State::Running => {
                        *runs += 1;
                        State::Succeeded
                    }
                    over => over,
                };
                if (before != *state || fresh) && !cleared.contains(id) {
                    statuses.push(status(*id, before, ""));
                    statuses.push(status(*id, *state, ""));
                }
            }
        }
        for status in statuses {
            // What is lost with the connection is said again with the next.
            let topic = robot.topic(BoxTopic::CommandStatus(status.id));
            let _ = robot.link.publish(nodi_mqtt::Message::retained(topic, status.to_json().unwrap())).await;
        }
        let (applied, epoch, events, acknowledged) = {
            let memory = memory.lock().unwrap();
            (memory.applied, memory.epoch.clone(), memory.events, memory.acknowledged)
        };
        if told != (connections, applied) {
            let reported = Reported {
                applied,
                epoch,
                settings: Default::default(),
                rejected: None,
                pending: vec![],
                at_ms: 1,
            };
            let topic = robot.topic(BoxTopic::Reported);
            let message = nodi_mqtt::Message::retained(topic, reported.to_json().unwrap());
            if robot.link.publish(message).await.is_ok() {
                told = (connections, applied);
            }
        }
        for seq in acknowledged + 1..=events {
            let what = What::ProcessRestarted { process: "ingest".into(), count: seq };
            let event = Event { seq, journal: "j".into(), at_ms: seq, what };
            let message = nodi_mqtt::Message::new(robot.topic(BoxTopic::Event), event.to_json().unwrap());
            if robot.link.publish(message).await.is_err() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// All is told, done once, and known.
async fn all_is_well(fleet: &Fleet, worker: &Worker, commands: &[String], version: u64) {
    for id in commands {
        fleet.command_is(id, "succeeded").await;
    }
    wait("every command is cleared at the box", async || {
        (worker.memory.lock().unwrap().cleared.len() == commands.len()).then_some(())
    })
    .await;
    wait("the newest settings are applied and reported", async || {
        let applied = worker.memory.lock().unwrap().applied;
        let summary = fleet.get(&format!("/boxes/{}", worker.robot.id())).await;
        (applied == version && summary["applied_version"] == json!(version)).then_some(())
    })
    .await;
    wait("every event is acknowledged", async || {
        let memory = worker.memory.lock().unwrap();
        (memory.acknowledged == memory.events).then_some(())
    })
    .await;
    let done = worker.memory.lock().unwrap().commands.clone();
    assert_eq!(done.len(), commands.len());
    assert!(done.values().all(|(runs, _)| *runs == 1), "{done:?}");
    let happened = worker.memory.lock().unwrap().events;
    let events = fleet.get(&format!("/boxes/{}/events?per_page=1", worker.robot.id())).await;
    assert_eq!(events["total"], json!(happened), "each event once");
}

async fn give(fleet: &Fleet, worker: &Worker) -> String {
    let path = format!("/boxes/{}/commands", worker.robot.id());
    let view = fleet.post(&path, json!({ "action": { "kind": "self_test" } })).await;
    view["id"].as_str().unwrap().to_owned()
}

async fn change(fleet: &Fleet, worker: &Worker, n: u64) -> u64 {
    let path = format!("/boxes/{}/desired", worker.robot.id());
    let version = fleet.get(&path).await["version"].as_u64().unwrap();
    let body = json!({ "expected_version": version, "settings": { "telemetry_s": 1 + n % 300 } });
    let (status, view) = fleet.ask("PUT", &path, Some(body)).await;
    assert_eq!(status, 200, "{view}");
    view["version"].as_u64().unwrap()
}

/// Pauses of the test, different each time it runs: whatever they are, the outcome is the same.
fn pause() -> Duration {
    let mut byte = [0];
    getrandom::fill(&mut byte).unwrap();
    Duration::from_millis(u64::from(byte[0]) / 2)
}

#[tokio::test]
async fn a_broker_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let mut fleet = Fleet::with("[commands]\nmax_open_per_box = 100").await;
    let worker = Worker::start(fleet.robot().await);
    let (mut commands, mut version) = (Vec::new(), 0);
    for n in 0..20 {
        commands.push(give(&fleet, &worker).await);
        version = change(&fleet, &worker, n).await;
        worker.happen();
        tokio::time::sleep(pause()).await;
        fleet.kill_broker();
        // What is done while there is none is not lost either.
        commands.push(give(&fleet, &worker).await);
        worker.happen();
        tokio::time::sleep(pause()).await;
        fleet.start_broker();
        tokio::time::sleep(pause()).await;
    }
    all_is_well(&fleet, &worker, &commands, version).await;
}

#[tokio::test]
async fn a_fleet_server_that_is_killed_with_commands_in_flight_goes_on_with_them() {
    let mut fleet = Fleet::with("[commands]\nmax_open_per_box = 100").await;
    let worker = Worker::start(fleet.robot().await);
    let (mut commands, mut version) = (Vec::new(), 0);
    for n in 0..6 {
        for _ in 0..3 {
            commands.push(give(&fleet, &worker).await);
            worker.happen();
        }
        version = change(&fleet, &worker, n).await;
        tokio::time::sleep(pause()).await;
        fleet.kill_server();
        worker.happen();
        tokio::time::sleep(pause()).await;
        fleet.start_server();
        fleet.server_is_up().await;
    }
    all_is_well(&fleet, &worker, &commands, version).await;
}
