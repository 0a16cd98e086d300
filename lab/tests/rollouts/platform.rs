//! The fleet of these journeys.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodi_lab::fleet::{Api, Fleet, Wishes};
use nodi_lab::process::Spec;
use nodi_lab::rauc::{Agent, Bus, Rig, Served, serve};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// What the stand-in says that its boxes are.
const BOARD: &str = "nodi-qemux86-64";
const FIRST: &str = "1.0.0";

pub(crate) struct Box {
    pub(crate) id: String,
    pub(crate) rig: Rig,
    pub(crate) agent: Agent,
}

pub(crate) struct Platform {
    // Agents end before what they talk to.
    pub(crate) boxes: Vec<Box>,
    served: Vec<Served>,
    bus: Bus,
    pub(crate) fleet: Fleet,
    pub(crate) kills: u32,
    dir: TempDir,
}

pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

impl Platform {
    pub(crate) async fn start(boxes: usize) -> Self {
        nodi_daemon::logging::init("rollouts", log::LevelFilter::Info);
        // Short, because a socket's path is.
        let dir = tempfile::Builder::new().prefix("nr-").tempdir().unwrap();
        let overrides = json!({ "updates": { "grace_s": 2, "offline_s": 5 }, "log_level": "info" });
        let wishes = Wishes { http: None, viewers: None, chat: None, overrides: &overrides };
        let logs = dir.path().join("log");
        std::fs::create_dir(&logs).unwrap();
        let fleet = Fleet::start(&dir.path().join("fleet"), &logs, wishes).await.unwrap();
        let bus = Bus::start(dir.path()).await.unwrap();
        let mut platform = Self { boxes: Vec::new(), served: Vec::new(), bus, fleet, kills: 0, dir };
        platform.add(boxes).await;
        platform
    }

    pub(crate) fn api(&self) -> &Api {
        &self.fleet.api
    }

    /// One more box.
    pub(crate) async fn join(&mut self, index: usize) {
        assert_eq!(index, self.boxes.len());
        self.add(1).await;
    }

    async fn add(&mut self, count: usize) {
        let code = self.fleet.claim_code(count).await.unwrap();
        let provisioning = self.fleet.provisioning(Some(code)).unwrap();
        let address = self.bus.address();
        let first = self.boxes.len();
        let rigs: Vec<(Rig, String)> = (first..first + count)
            .map(|index| {
                let rig = Rig::new(self.dir.path().join(format!("box-{index}")), FIRST).unwrap();
                (rig, format!("de.pengutronix.rauc.b{index}"))
            })
            .collect();
        let names: Vec<(PathBuf, String)> =
            rigs.iter().map(|(rig, name)| (rig.directory().to_owned(), name.clone())).collect();
        self.served.push(serve(&address, &names).await.unwrap());
        for (index, (rig, name)) in (first..).zip(rigs) {
            let here = rig.directory().to_owned();
            let file = here.join("provisioning.json");
            std::fs::write(&file, serde_json::to_vec(&provisioning).unwrap()).unwrap();
            let toml = rig.agent_toml(&address, &name).unwrap();
            let config = here.join("agent.toml");
            std::fs::write(&config, agent_toml(&here, &file, &toml.top, &toml.actions, &toml.update))
                .unwrap();
            let logs = self.dir.path().join("log");
            let spec = Spec::new(format!("agent-{index}"), program("nodi-agent"), &logs)
                .args(["--config".as_ref(), config.as_os_str()]);
            let agent = rig.run_agent(spec).unwrap();
            self.boxes.push(Box { id: String::new(), rig, agent });
        }
        for place in first..first + count {
            let enrolled = self.boxes[place].rig.directory().join("agent/identity/enrolled.json");
            self.boxes[place].id = eventually(&format!("box {place} enrolled"), async || {
                let text = std::fs::read(&enrolled).ok()?;
                let value: Value = serde_json::from_slice(&text).ok()?;
                Some(value["box_id"].as_str()?.to_owned())
            })
            .await;
        }
        for place in first..first + count {
            let path = format!("/boxes/{}", self.boxes[place].id);
            eventually(&format!("box {place} says what it is"), async || {
                let view = self.api().get(&path).await.ok()?;
                (view["state"] == "online" && view["hardware"]["compatible"] == BOARD).then_some(())
            })
            .await;
        }
    }

    /// The version that a box's slot has.
    pub(crate) fn version(&self, index: usize) -> String {
        let path = self.boxes[index].rig.directory().join("version");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// How often a box was told to install something.
    pub(crate) fn orders(&self, index: usize) -> usize {
        self.boxes[index].rig.journal().iter().filter(|line| line.starts_with("install ")).count()
    }

    /// Uploads a bundle; its id.
    pub(crate) async fn bundle(&self, version: &str) -> String {
        let url = format!("{}/api/v1/bundles", self.fleet.url());
        let request = reqwest::Client::new().post(url).bearer_auth(self.api().token());
        let answer = request.body(bundle(version)).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let view: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((&view["version"], &view["compatible"]), (&json!(version), &json!(BOARD)));
        view["sha256"].as_str().unwrap().to_owned()
    }

    /// Plans a rollout and starts it.
    pub(crate) async fn rollout(&self, plan: Value) -> String {
        let draft = self.api().post("/rollouts", plan).await.unwrap();
        let id = draft["id"].as_str().unwrap().to_owned();
        self.steer(&id, "start", json!({})).await;
        id
    }

    pub(crate) async fn steer(&self, id: &str, what: &str, body: Value) -> Value {
        self.api().post(&format!("/rollouts/{id}/{what}"), body).await.unwrap()
    }

    pub(crate) async fn view(&self, id: &str) -> Value {
        self.api().get(&format!("/rollouts/{id}")).await.unwrap()
    }

    /// A box's row of a rollout.
    pub(crate) async fn row(&self, id: &str, index: usize) -> Value {
        let page = self.api().get(&format!("/rollouts/{id}/boxes?per_page=500")).await.unwrap();
        let rows = page["items"].as_array().unwrap();
        rows.iter().find(|row| row["box"] == self.boxes[index].id).cloned().unwrap_or_default()
    }

    pub(crate) async fn until(&self, id: &str, state: &str) -> Value {
        eventually(&format!("the rollout is {state}"), async || {
            let view = self.view(id).await;
            let over = ["halted", "done", "aborted"].contains(&view["state"].as_str()?);
            assert!(!over || view["state"] == state, "{view:#}");
            (view["state"] == state).then_some(view)
        })
        .await
    }

    /// The same, and the server is killed whenever something else can be seen.
    pub(crate) async fn until_with_kills(&mut self, id: &str, state: &str) -> Value {
        let (end, mut before) = (Instant::now() + PATIENCE, Value::Null);
        loop {
            let view = self.view(id).await;
            let now = json!([view["state"], view["stage"], view["soak_until_ms"], view["totals"]]);
            if now != before {
                before = now;
                self.kills += 1;
                self.fleet.server.kill();
                self.fleet.server.restart().unwrap();
                self.server_answers().await;
                continue;
            }
            if view["state"] == state {
                return view;
            }
            assert!(!["halted", "done"].contains(&view["state"].as_str().unwrap()), "{view:#}");
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {state}: {view:#}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn server_answers(&self) {
        eventually("the server answers", async || self.api().get("/software").await.ok()).await;
    }

    /// What `nodi-fleet check` says of what is left.
    pub(crate) fn check(&self) {
        let config = self.dir.path().join("fleet/fleet.toml");
        let output = std::process::Command::new(program("nodi-fleet"))
            .args(["--config".as_ref(), config.as_os_str(), "check".as_ref()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// As much of a box as its agent needs: there is no video here.
fn agent_toml(here: &Path, provisioning: &Path, top: &str, actions: &str, update: &str) -> String {
    let at = |name: &str| here.join(name).display().to_string();
    let process =
        |name: &str| format!("[settings.{name}]\nprogram = \"/bin/true\"\nconfig = {:?}\n", at(name));
    let ingest = format!("{}listen = {:?}\n", process("ingest"), format!("unix:{}", at("none.sock")));
    format!(
        "provisioning = {provisioning:?}\nstate = {:?}\npairing_file = {:?}\n{top}\n\
         [broker]\nbackoff_max_ms = 1000\n[outbox]\nmin_free_bytes = 1048576\n\
         [settings]\ndirectory = {:?}\nstream_keys = {:?}\nrevocations = {:?}\n{ingest}{}{}\
         [sessions]\nspool = {:?}\n[telemetry]\ndisks = [{:?}]\n[actions]\n{actions}\n{update}",
        at("agent"),
        at("pairing-code"),
        at("settings"),
        at("stream-keys.pub"),
        at("revocations.json"),
        process("transcode"),
        process("uplink"),
        at("spool"),
        here.display().to_string(),
    )
}

fn program(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let built = me.parent().unwrap().parent().unwrap().join(name);
    assert!(built.is_file(), "{} is not built: cargo build", built.display());
    built
}

/// A bundle as far as server and stand-in look into it: a squashfs's first bytes, and the manifest in signed-data.
fn bundle(version: &str) -> Vec<u8> {
    let manifest = format!(
        "[update]\ncompatible={BOARD}\nversion={version}\n\n[bundle]\nformat=verity\n\n[image.rootfs]\nfilename=rootfs.img\n"
    );
    let signed_data = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    let data = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    let content = der(0xa0, &der(0x04, manifest.as_bytes()));
    let encapsulated = der(0x30, &[der(0x06, &data), content].concat());
    let signed = der(0x30, &[der(0x02, &[1]), der(0x31, &[]), encapsulated, der(0x31, &[])].concat());
    let cms = der(0x30, &[der(0x06, &signed_data), der(0xa0, &signed)].concat());
    let mut bytes = b"hsqs".to_vec();
    // Something to download.
    bytes.resize(64 << 10, 0x5a);
    let length = u64::try_from(cms.len()).unwrap();
    bytes.extend(cms);
    bytes.extend(length.to_be_bytes());
    bytes
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}
