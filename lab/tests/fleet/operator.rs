//! What an operator does and sees, through the API.

use std::time::{Duration, Instant};

use nodi_lab::fleet::Api;
use nodi_lab::process::Process;
use nodi_lab::{Lab, Options};
use serde_json::{Value, json};

use crate::support::{PATIENCE, eventually};

/// A command of a box that was killed in the middle of it waits for its agent's return, and for reconnections.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// One claimed box with the journeys' small ladder, at a fleet that reconnects quickly.
pub(crate) async fn start() -> Lab {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(adjust: impl FnOnce(&mut Options)) -> Lab {
    crate::support::start_with(|options| {
        options.fleet = true;
        // A broker that is killed twenty times in a minute would be waited for ever longer.
        options.overrides.agent = json!({ "broker": { "backoff_max_ms": 1_000 } });
        adjust(options);
    })
    .await
}

/// The fleet's API, and one of its boxes.
pub(crate) struct Steering {
    pub(crate) api: Api,
    /// `/boxes/<id>`.
    pub(crate) path: String,
}

impl Steering {
    pub(crate) fn of(lab: &Lab, index: usize) -> Self {
        let id = lab.boxes[index].id().unwrap();
        Self { api: lab.fleet().unwrap().api.clone(), path: format!("/boxes/{id}") }
    }

    pub(crate) async fn summary(&self) -> Value {
        self.api.get(&self.path).await.unwrap()
    }

    pub(crate) async fn until_state(&self, state: &str) {
        eventually(&format!("the box's state {state}"), LONG, async || {
            // A server that is away for the moment says nothing.
            let summary = self.api.get(&self.path).await.ok()?;
            (summary["state"] == state).then_some(())
        })
        .await;
    }

    /// Gives a command; returns its id.
    pub(crate) async fn give(&self, action: Value) -> String {
        let given = self.api.post(&format!("{}/commands", self.path), json!({ "action": action })).await;
        given.unwrap()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn command(&self, id: &str) -> Value {
        self.api.get(&format!("/commands/{id}")).await.unwrap_or_default()
    }

    pub(crate) async fn until_command(&self, id: &str, state: &str) -> Value {
        eventually(&format!("command {id} to be {state}"), LONG, async || {
            let command = self.command(id).await;
            let over = ["succeeded", "failed", "expired", "withdrawn"].contains(&command["state"].as_str()?);
            assert!(!over || command["state"] == state, "{command:#}");
            (command["state"] == state).then_some(command)
        })
        .await
    }

    /// Gives a command and waits for its success.
    pub(crate) async fn done(&self, action: Value) -> Value {
        let id = self.give(action).await;
        self.until_command(&id, "succeeded").await
    }

    pub(crate) async fn desired(&self) -> Value {
        self.api.get(&format!("{}/desired", self.path)).await.unwrap()
    }

    /// Replaces the box's own settings; returns the version that was made.
    pub(crate) async fn set(&self, settings: Value) -> u64 {
        let version = self.desired().await["version"].as_u64().unwrap();
        let change = json!({ "expected_version": version, "settings": settings });
        let set = self.api.put(&format!("{}/desired", self.path), change).await.unwrap();
        set["version"].as_u64().unwrap()
    }

    pub(crate) async fn until_applied(&self, version: u64) -> Value {
        eventually(&format!("version {version} in force"), LONG, async || {
            let desired = self.desired().await;
            (desired["reported"]["applied"].as_u64()? >= version).then_some(desired)
        })
        .await
    }

    /// Everything that the box told of one kind, the newest first.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        let page = self.api.get(&format!("{}/events?kind={kind}&per_page=500", self.path)).await.unwrap();
        page["items"].as_array().cloned().unwrap_or_default()
    }
}

/// The live sessions that the fleet knows of.
pub(crate) async fn live(api: &Api) -> Vec<Value> {
    // A server that is away for the moment says nothing.
    let page = api.get("/sessions").await.unwrap_or_default();
    page["items"].as_array().cloned().unwrap_or_default()
}

pub(crate) async fn until_live(api: &Api, channel: &str) -> Value {
    eventually(&format!("{channel} live in the fleet"), PATIENCE, async || {
        live(api).await.into_iter().find(|session| session["channel"] == channel)
    })
    .await
}

pub(crate) async fn until_over(api: &Api, channel: &str) {
    eventually(&format!("{channel} not live any more in the fleet"), PATIENCE, async || {
        let page = api.get("/sessions").await.ok()?;
        let items = page["items"].as_array()?;
        items.iter().all(|session| session["channel"] != channel).then_some(())
    })
    .await;
}

/// What an encoder said when it was sent away.
pub(crate) async fn sent_away(client: &mut Process) -> String {
    let begun = Instant::now();
    eventually("the encoder's end", PATIENCE, async || client.ended()).await;
    log::info!("the encoder ended after {:.1} s", begun.elapsed().as_secs_f64());
    nodi_lab::process::tail(client.log())
}
