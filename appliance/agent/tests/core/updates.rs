//! Updates of a box whose agent is killed and whose power is cut anywhere: the real agent, broker and D-Bus, with a
//! stand-in for RAUC, boot loader and health gate.

use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::fleet::update::{Bundle, Deadlines, Order, Report, State};
use nodi_protocol::{BoxId, UpdateId};
use sha2::{Digest as _, Sha256};

use crate::support::{Fleet, World, lines, now_ms, until};

/// A whole update with everything that may be done to it.
const DEADLINE: Duration = Duration::from_secs(90);

fn fake_rauc() -> Process {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_nodi-agent")).with_file_name("nodi-fake-rauc");
    assert!(program.exists(), "build it first: cargo build -p nodi-lab --bin nodi-fake-rauc");
    Process::new(program)
}

/// A box that can be updated.
struct Device {
    world: World,
    fleet: Fleet,
    id: BoxId,
    rauc: Child,
    orders: u128,
}

impl Device {
    async fn new() -> Self {
        let mut world = World::new().await;
        let dir = world.directory.path().display().to_string();
        let done = fake_rauc().args(["init", &format!("{dir}/box"), "--version", "1.0.0"]).status().unwrap();
        assert!(done.success());
        std::fs::remove_file(world.path("boot_id")).unwrap();
        std::os::unix::fs::symlink(world.path("box/boot_id"), world.path("boot_id")).unwrap();
        let program = fake_rauc().get_program().to_string_lossy().into_owned();
        world.script("reboot", &format!("exec {program} reboot {dir}/box"));
        world.extra = format!(
            "[update]\ndirectory = \"{dir}/box/update\"\nlink_file = \"{dir}/link.json\"\nversion_file = \"{dir}/box/version\"\n\
             bus = \"unix:path={dir}/bus\"\narmed = [\"{program}\", \"armed\", \"{dir}/box\"]\nmargin_bytes = 1048576\n\
             look_ms = 50\nreport_ms = 50\n"
        );
        let rauc = serve(&world);
        until("the bus", || std::os::unix::net::UnixStream::connect(world.path("bus")).ok()).await;
        let mut fleet = world.fleet();
        world.agent_up();
        let (id, presence) = fleet.presence(|presence| presence.online).await;
        assert_eq!(presence.version, "1.0.0");
        Self { world, fleet, id, rauc, orders: 0 }
    }

    fn control(&self, control: &str) {
        let directory = self.world.path("box");
        let done = fake_rauc().arg("control").arg(directory).arg(control).status().unwrap();
        assert!(done.success());
    }

    fn journal(&self) -> Vec<String> {
        lines(&self.world.path("box/journal"))
    }

    async fn order(&mut self, version: &str) -> UpdateId {
        let mut bundle = vec![0x5a; 1 << 20];
        bundle.extend(format!("[update]\ncompatible=nodi-qemux86-64\nversion={version}\n").into_bytes());
        let sha256 = Sha256::digest(&bundle).iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = bundle.len() as u64;
        self.world.desk.answers.lock().unwrap().bundle = bundle;
        self.orders += 1;
        let order = Order {
            id: UpdateId::new(now_ms(), self.orders),
            issued_ms: now_ms(),
            expires_ms: now_ms() + 600_000,
            bundle: Bundle {
                version: version.to_owned(),
                compatible: "nodi-qemux86-64".to_owned(),
                url: format!("{}/bundle", self.world.fleet_url),
                token: Some("secret".to_owned()),
                bytes,
                sha256,
            },
            force: false,
            deadlines: Deadlines { download_s: 60, install_s: 60, reboot_s: 60, trial_s: 60 },
        };
        let topic = Topic::Box(self.id.clone(), BoxTopic::Update).to_string();
        self.fleet.publish(nodi_mqtt::Message::retained(topic, order.to_json().unwrap())).await;
        order.id
    }

    fn report(&self) -> Option<Report> {
        self.fleet.last(&self.id, BoxTopic::UpdateStatus)
    }

    /// Kills the agent, lets the boot loader choose a slot, and starts the agent: a reboot, or a power cut.
    fn cut_power(&mut self) {
        self.world.agent_killed();
        let done = fake_rauc().arg("boot").arg(self.world.path("box")).status().unwrap();
        assert!(done.success(), "one of the slots boots");
        self.world.agent_up();
    }

    /// Reboots the box when somebody asks for it, until `done`.
    async fn until<T>(&mut self, what: &str, mut done: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(done) = done(self) {
                return done;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "never: {what}; {:?}; {:?}\n{}",
                self.report(),
                self.journal(),
                self.world.agent_log()
            );
            if self.world.path("box/reboot").exists() {
                self.cut_power();
            }
            let listening = self.fleet.until("anything", |_| None::<()>);
            let _ = tokio::time::timeout(Duration::from_millis(20), listening).await;
        }
    }

    async fn end(&mut self, id: UpdateId) -> Report {
        self.until("the end", |device| {
            device.report().filter(|report| report.id == id && report.state.is_final())
        })
        .await
    }

    /// What the journal of events says of it.
    async fn told(&mut self, id: UpdateId) -> Vec<State> {
        let ends = |device: &Self| -> Vec<State> {
            let mut events: Vec<_> = device
                .fleet
                .events_seen
                .iter()
                .filter_map(|event| match &event.what {
                    What::UpdateEnded { update, state, .. } if *update == id => Some((event.seq, *state)),
                    _ => None,
                })
                .collect();
            events.sort();
            events.dedup();
            events.into_iter().map(|(_, state)| state).collect()
        };
        self.until("the event", |device| Some(ends(device)).filter(|ends| !ends.is_empty())).await
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.rauc.kill();
        let _ = self.rauc.wait();
    }
}

fn serve(world: &World) -> Child {
    let log = std::fs::File::create(world.path("rauc.log")).unwrap();
    fake_rauc()
        .arg("serve")
        .arg("--own-bus")
        .arg(world.path("bus"))
        .arg(world.path("box"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_box_becomes_the_new_version_says_so_and_goes_back_when_it_has_to() {
    let mut device = Device::new().await;
    let asked = device.world.desk.answers.lock().unwrap().hardware.clone();
    assert_eq!(
        asked.unwrap().compatible.as_deref(),
        Some("nodi-qemux86-64"),
        "who asks to be let in says so"
    );
    let update = device.order("2.0.0").await;
    let report = device.end(update).await;
    assert_eq!((report.state, report.slot.as_deref()), (State::Confirmed, Some("B")), "{report:?}");
    assert_eq!((report.from.as_str(), report.to.as_str()), ("1.0.0", "2.0.0"));
    assert_eq!(device.told(update).await, [State::Confirmed]);
    let presence = device.fleet.presence(|presence| presence.version == "2.0.0").await.1;
    assert_eq!(presence.hardware.unwrap().compatible.as_deref(), Some("nodi-qemux86-64"));
    let link = std::fs::read_to_string(device.world.path("link.json")).unwrap();
    assert!(link.starts_with("{\"connected\":true,\"since_ms\":"), "{link}");

    device.control("{\"gate\": \"fails\", \"gate_message\": \"no segment of 720p\"}");
    let update = device.order("3.0.0").await;
    let report = device.end(update).await;
    assert_eq!(
        (report.state, report.message.as_str()),
        (State::RolledBack, "slot A did not pass its health gate: stream: no segment of 720p; B runs again")
    );
    device.control("{\"boot\": \"never\"}");
    let update = device.order("4.0.0").await;
    let report = device.end(update).await;
    assert_eq!(
        (report.state, report.message.as_str()),
        (State::RolledBack, "slot A did not come up in 3 attempts; B runs again")
    );
    device.control("{\"compatible\": \"nodi-qemux86-64-l4t-r39.2\"}");
    let update = device.order("5.0.0").await;
    let report = device.end(update).await;
    assert_eq!(report.state, State::Failed);
    assert!(report.message.contains("this box is nodi-qemux86-64-l4t-r39.2"), "{report:?}");
    device.control("{\"armed\": false}");
    let update = device.order("5.0.0").await;
    assert!(device.end(update).await.message.contains("RootfsRedundancyLevel is 0"));
    // After all that.
    device.control("{}");
    let update = device.order("5.0.0").await;
    let report = device.end(update).await;
    assert_eq!((report.state, report.slot.as_deref()), (State::Confirmed, Some("A")), "{report:?}");
    assert!(!device.world.path("box/update/trial.json").exists());
}

#[tokio::test]
async fn rauc_that_dies_in_the_middle_is_a_failure_and_the_next_order_works() {
    let mut device = Device::new().await;
    device.control("{\"rauc_dies_at\": 40, \"install_ms\": 1000}");
    let update = device.order("2.0.0").await;
    let report = device.end(update).await;
    assert_eq!(report.state, State::Failed, "{report:?}");
    assert_eq!(report.message, "RAUC ended in the middle of the installation");
    device.control("{\"install_fails_at\": 60, \"install_error\": \"failed to write\"}");
    let update = device.order("2.0.0").await;
    assert_eq!(device.end(update).await.message, "failed to write");
    // Bus and RAUC are other ones now.
    device.control("{}");
    device.rauc.kill().unwrap();
    device.rauc.wait().unwrap();
    let bus = device.world.path("bus");
    until("the old bus is gone", || (!bus.exists()).then_some(())).await;
    device.rauc = serve(&device.world);
    until("the bus", || std::os::unix::net::UnixStream::connect(&bus).ok()).await;
    let update = device.order("2.0.0").await;
    let report = device.end(update).await;
    assert_eq!(report.state, State::Confirmed, "{report:?}");
}

#[tokio::test]
async fn no_moment_of_death_and_no_power_cut_keeps_a_box_from_the_truth() {
    let mut device = Device::new().await;
    device.control("{\"install_ms\": 400, \"gate_ms\": 300}");
    // All of an update takes some three seconds: each round begins one and is cut elsewhere.
    for round in 0..8_u64 {
        let version = format!("2.0.{round}");
        let update = device.order(&version).await;
        for cut in 0..3_u64 {
            let after = Duration::from_millis(100 + (round * 410 + cut * 370) % 1_900);
            let begun = Instant::now();
            device.until("the moment", |_| (begun.elapsed() >= after).then_some(())).await;
            if (round + cut) % 2 == 0 {
                device.world.agent_killed();
                device.world.agent_up();
            } else if cut < 2 {
                device.cut_power();
            }
        }
        let report = device.end(update).await;
        let runs = std::fs::read_to_string(device.world.path("box/version")).unwrap();
        // Two power cuts at most: a slot has three attempts.
        assert_eq!(report.state, State::Confirmed, "round {round}: {report:?} {:?}", device.journal());
        assert_eq!(runs.trim(), version, "round {round}: {report:?} {:?}", device.journal());
        assert_eq!(device.told(update).await, [State::Confirmed], "round {round}");
        assert!(!device.world.path("box/update/trial.json").exists());
    }
}
