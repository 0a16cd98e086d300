//! `nodi-lab fleet-sim`.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nodi_daemon::shutdown;
use nodi_lab::fleet::{Broker, Fleet, Wishes};
use nodi_lab::process::Process;
use nodi_lab::sim::{Behaviour, Sim};
use nodi_protocol::BoxId;
use nodi_protocol::enrol::Provisioning;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const STOP_DEADLINE: Duration = Duration::from_secs(60);
const SAY_EVERY: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct FleetSim {
    #[arg(long, default_value_t = 2_000)]
    boxes: usize,
    /// A fleet that is there already: its provisioning file, with a claim code for as many boxes
    #[arg(long, value_name = "FILE")]
    provisioning: Option<PathBuf>,
    /// Mosquitto and a subscriber that throws everything away, in place of a fleet server
    #[arg(long, conflicts_with = "provisioning")]
    broker_alone: bool,
    /// Where broker and server keep what they write; a temporary directory otherwise
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Port for the dashboard; a free one otherwise
    #[arg(long)]
    dashboard_port: Option<u16>,
    /// Seconds between two measurements of a box
    #[arg(long, default_value_t = 10)]
    telemetry_s: u64,
    /// Share of boxes with a live session
    #[arg(long, default_value_t = 0.05)]
    live: f32,
    /// Share of updates that do not come through their trial
    #[arg(long, default_value_t = 0.02)]
    update_failures: f32,
    /// No box loses its connection
    #[arg(long)]
    steady: bool,
    /// The same seed makes the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object on one line when the boxes run, and one for each line on standard input: `figures`, `any`,
    /// `hang BOX`, `cut BOX SECONDS`
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: FleetSim) -> anyhow::Result<ExitCode> {
    let asked_to_stop = shutdown::on_signals(STOP_DEADLINE)?;
    let temporary = tempfile::Builder::new().prefix("nodi-sim-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let logs = dir.join("log");
    std::fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
    let behaviour = Behaviour {
        telemetry: Duration::from_secs(args.telemetry_s.max(1)),
        live: args.live,
        flapping: !args.steady,
        update_failures: args.update_failures,
    };
    let starting = async {
        // Before anything is started that has to hold as many connections.
        nodi_lab::sim::raise_file_limit(args.boxes)?;
        if args.broker_alone {
            let broker = Broker::start(&dir.join("fleet"), &logs).await?;
            let sim = Sim::alone(&broker.authority(), broker.port, args.boxes, behaviour, args.seed).await?;
            return anyhow::Ok((Centre::Broker(broker), sim));
        }
        let (centre, provisioning) = match &args.provisioning {
            Some(file) => {
                let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
                let provisioning: Provisioning =
                    serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
                (Centre::Elsewhere, provisioning)
            }
            None => {
                let none = json!({});
                let wishes =
                    Wishes { http: args.dashboard_port, viewers: None, chat: None, overrides: &none };
                let fleet = Fleet::start(&dir.join("fleet"), &logs, wishes).await?;
                let code = fleet.claim_code(args.boxes).await?;
                let provisioning = fleet.provisioning(Some(code))?;
                (Centre::Fleet(Box::new(fleet)), provisioning)
            }
        };
        let sim = Sim::enrol(&provisioning, args.boxes, behaviour, args.seed).await?;
        anyhow::Ok((centre, sim))
    };
    let (mut centre, mut sim) = tokio::select! {
        started = starting => started?,
        () = asked_to_stop.wait() => return Ok(ExitCode::SUCCESS),
    };
    if args.json {
        println!("{}", centre.links());
    } else {
        centre.print();
    }
    let mut orders = lines();
    let mut say = tokio::time::interval(SAY_EVERY);
    loop {
        tokio::select! {
            () = asked_to_stop.wait() => break,
            Some(order) = orders.recv() => println!("{}", obey(&mut sim, &order).await),
            _ = say.tick() => {
                centre.check_running()?;
                if !args.json {
                    let figures = sim.figures();
                    println!(
                        "{} of {} boxes are online; {} messages, {} measurements, {} commands, {} refused",
                        figures.online, figures.boxes, figures.published, figures.telemetry, figures.commands,
                        figures.refused,
                    );
                }
            }
        }
    }
    sim.stop().await;
    if let Centre::Fleet(fleet) = &mut centre {
        fleet.stop();
    }
    Ok(ExitCode::SUCCESS)
}

/// What stands behind the boxes.
enum Centre {
    Fleet(Box<Fleet>),
    Broker(Broker),
    Elsewhere,
}

impl Centre {
    fn links(&self) -> Value {
        match self {
            Self::Fleet(fleet) => {
                let mut links = serde_json::to_value(fleet.links()).unwrap_or_default();
                let pids = json!({ "fleet": fleet.server.pid(), "mosquitto": fleet.broker.pid() });
                if let Some(links) = links.as_object_mut() {
                    links.insert("pids".to_owned(), pids);
                }
                links
            }
            Self::Broker(broker) => json!({ "pids": { "mosquitto": broker.process.pid() } }),
            Self::Elsewhere => json!({}),
        }
    }

    fn print(&self) {
        if let Self::Fleet(fleet) = self {
            let who = &fleet.administrator;
            println!("  dashboard {}   log in as {} with {}", fleet.url(), who.name, who.password);
        }
    }

    fn check_running(&mut self) -> Result<(), nodi_lab::Error> {
        match self {
            Self::Fleet(fleet) => fleet.processes().into_iter().try_for_each(Process::check_running),
            Self::Broker(broker) => broker.process.check_running(),
            Self::Elsewhere => Ok(()),
        }
    }
}

/// Does what a line asks for; always answers with one object.
async fn obey(sim: &mut Sim, order: &str) -> Value {
    let words: Vec<&str> = order.split_whitespace().collect();
    let done = match *words.as_slice() {
        ["figures"] => return serde_json::to_value(sim.figures()).unwrap_or_default(),
        ["any"] => return json!({ "box": sim.any() }),
        ["hang", id] => match id.parse::<BoxId>() {
            Ok(id) => sim.hang(&id).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
        ["cut", id, seconds] => match (id.parse::<BoxId>(), seconds.parse()) {
            (Ok(id), Ok(seconds)) => {
                sim.cut(&id, Duration::from_secs(seconds)).await.map_err(|error| error.to_string())
            }
            _ => Err(format!("{order:?} is not `cut BOX SECONDS`")),
        },
        _ => Err(format!("{order:?} is not `figures`, `any`, `hang BOX` or `cut BOX SECONDS`")),
    };
    match done {
        Ok(()) => json!({ "ok": true }),
        Err(error) => json!({ "error": error }),
    }
}

/// Standard input, line by line. On a thread of its own, which nothing waits for at the end.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
