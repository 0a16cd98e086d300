//! One box: ingest, the workers it starts, uplink, and with a fleet its agent and what stands for its operating
//! system, with a network on either side that can be broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::BoxId;
use nodi_protocol::enrol::Provisioning;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::certs::Authority;
use crate::config::{self, AgentPrograms, BoxPaths, BoxPorts, KeyFiles};
use crate::error::{Error, io};
use crate::fault::{Mode, Proxy};
use crate::host::{self, Host, Machine};
use crate::network::{Namespace, Side};
use crate::platform::{Options, numbered};
use crate::process::{Process, Spec};
use crate::workers::Workers;

/// `MaxConnections=` of the lab: more sessions than two cores can encode.
const MOST_WORKERS: usize = 8;
/// Measuring takes two seconds of processor time, and the cores may be busy.
const MEASURE_DEADLINE: Duration = Duration::from_secs(60);
const MEASURE_POLL: Duration = Duration::from_millis(20);

/// Dropping it stops its processes.
pub struct Appliance {
    /// Only with [`Options::fleet`].
    pub host: Option<Host>,
    /// Only with [`Options::fleet`].
    pub agent: Option<Process>,
    pub ingest: Process,
    pub workers: Arc<Workers>,
    pub uplink: Process,
    /// Between the publisher and ingest: the streamer's cable. Only with [`Options::faults`] or in a network of its own.
    pub cable: Option<Proxy>,
    /// Between uplink and each origin. Only with [`Options::faults`] or in a network of its own.
    pub push: Vec<Proxy>,
    /// Between the agent and the fleet server, and the broker. Only in a network of its own.
    pub control: Vec<Proxy>,
    /// To what listens on the box, from outside its network.
    _inward: Vec<Proxy>,
    pub ports: BoxPorts,
    pub paths: BoxPaths,
    /// Whether the box has a network of its own.
    pub isolated: bool,
}

/// What all boxes of a lab share.
pub(crate) struct Surroundings<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) logs: &'a Path,
    pub(crate) calibration: &'a Path,
    pub(crate) authority: &'a Authority,
    /// Of a lab without a fleet.
    pub(crate) keys: &'a KeyFiles,
    pub(crate) origin_ports: &'a [u16],
    pub(crate) options: &'a Options,
    pub(crate) fleet: Option<Membership>,
}

/// What makes a box a fleet's.
pub(crate) struct Membership {
    /// What its image would be made with; each box gets its own claim code, or none.
    pub(crate) provisioning: Vec<Provisioning>,
    /// Where it goes: the fleet server's HTTPS and the broker.
    pub(crate) ports: [u16; 2],
}

/// The ways in and out of one box.
struct Wiring {
    network: Option<Namespace>,
    cable: Option<Proxy>,
    push: Vec<Proxy>,
    control: Vec<Proxy>,
    inward: Vec<Proxy>,
    /// As uplink sees them.
    origin_ports: Vec<u16>,
}

impl Wiring {
    fn new(around: &Surroundings<'_>, ports: BoxPorts) -> Result<Self, Error> {
        let options = around.options;
        let network =
            if options.namespaces && around.fleet.is_some() { Namespace::if_available() } else { None };
        let mut wiring = Self {
            network: network.clone(),
            cable: None,
            push: Vec::new(),
            control: Vec::new(),
            inward: Vec::new(),
            origin_ports: around.origin_ports.to_vec(),
        };
        if let Some(network) = network {
            // The same port numbers inside and outside, so that no configuration says which it is for.
            let (inside, outside) = (Side(Some(network)), Side::default());
            let out = |port: u16| Proxy::between((inside.clone(), port), (outside.clone(), port));
            let inward = |port: u16| Proxy::between((outside.clone(), port), (inside.clone(), port));
            wiring.push = around.origin_ports.iter().copied().map(out).collect::<Result<_, _>>()?;
            let control = around.fleet.iter().flat_map(|fleet| fleet.ports);
            wiring.control = control.map(out).collect::<Result<_, _>>()?;
            wiring.cable = Some(inward(ports.rtmp)?);
            wiring.inward = [ports.rtmps, ports.ingest_metrics, ports.uplink]
                .into_iter()
                .map(inward)
                .collect::<Result<_, _>>()?;
        } else if options.faults {
            for port in &mut wiring.origin_ports {
                let proxy = Proxy::start(*port)?;
                *port = proxy.port();
                wiring.push.push(proxy);
            }
            wiring.cable = Some(Proxy::start(ports.rtmp)?);
        }
        Ok(wiring)
    }
}

impl Appliance {
    pub(crate) async fn start(index: usize, around: &Surroundings<'_>) -> Result<Self, Error> {
        let options = around.options;
        let name = format!("box-{}", index + 1);
        let paths = BoxPaths::create(&around.dir.join(&name))?;
        // Given ports are the first box's.
        let given = |port: Option<u16>| match port.filter(|_| index == 0) {
            Some(port) => Ok(port),
            None => crate::ports::free(),
        };
        let ports = BoxPorts {
            rtmp: given(options.ports.rtmp)?,
            rtmps: given(options.ports.rtmps)?,
            ingest_metrics: crate::ports::free()?,
            uplink: crate::ports::free()?,
        };
        let wiring = Wiring::new(around, ports)?;
        write_configs(&name, &paths, ports, &wiring.origin_ports, around)?;
        let spec = |process: &str| -> Result<Spec, Error> {
            let program = crate::binaries::ours(&format!("nodi-{process}"))?;
            let config: PathBuf = paths.config_of(process);
            let mut spec = Spec::new(numbered(process, index), program, around.logs)
                .args(["--config".as_ref(), config.as_os_str()])
                .within(wiring.network.clone());
            if around.fleet.is_some() && process != "agent" {
                spec = spec.args(["--settings".as_ref(), paths.settings_of(process).as_os_str()]);
            }
            Ok(spec)
        };
        let socket = paths.transcode_socket();
        // A directory that is used again may hold the socket of a lab that was killed.
        let _ = std::fs::remove_file(&socket);
        measure(spec("transcode")?).await?;
        let workers = Arc::new(Workers::listen(&socket, spec("transcode")?, MOST_WORKERS)?);
        let uplink = Process::start(spec("uplink")?)?;
        let ingest = Process::start(spec("ingest")?)?;
        let (mut host, mut agent) = (None, None);
        if around.fleet.is_some() {
            host::new_boot_id(&paths.boot_id())?;
            let process = Process::start(spec("agent")?)?;
            let machine = Machine {
                // In the order in which they stop.
                processes: vec![
                    ("ingest".to_owned(), ingest.clone()),
                    ("uplink".to_owned(), uplink.clone()),
                    ("agent".to_owned(), process.clone()),
                ],
                workers: Arc::downgrade(&workers),
                boot_id: paths.boot_id(),
                sessions: paths.sessions(),
            };
            host = Some(Host::listen(&paths.host_socket(), machine)?);
            agent = Some(process);
        }
        Ok(Self {
            host,
            agent,
            ingest,
            workers,
            uplink,
            cable: wiring.cable,
            push: wiring.push,
            control: wiring.control,
            _inward: wiring.inward,
            ports,
            paths,
            isolated: wiring.network.is_some(),
        })
    }

    /// The box's whole network, outwards: a cut line, or one that was mended. Only in a network of its own, or for
    /// what is there with [`Options::faults`].
    pub fn set_network(&self, mode: Mode) {
        self.control.iter().chain(&self.push).for_each(|proxy| proxy.set(mode));
    }

    /// Who it is to the fleet, once that let it in.
    #[must_use]
    pub fn id(&self) -> Option<BoxId> {
        let text = std::fs::read(self.paths.identity().enrolled).ok()?;
        let enrolled: Value = serde_json::from_slice(&text).ok()?;
        enrolled.get("box_id")?.as_str()?.parse().ok()
    }

    /// Its agent, in a lab with a fleet.
    ///
    /// # Errors
    /// When there is none.
    pub fn agent(&mut self) -> Result<&mut Process, Error> {
        self.agent.as_mut().ok_or_else(|| Error::NoSuchProcess("agent".to_owned()))
    }

    /// Its processes, in the order in which they stop.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        [&mut self.ingest, &mut self.uplink].into_iter().chain(&mut self.agent)
    }

    /// Stops everything in the order in which media flows, so that each process can hand on what it has.
    pub(crate) fn stop(self) {
        let Self { host, agent, mut ingest, workers, mut uplink, .. } = self;
        // First, so that nothing is started again behind our back.
        if let Some(mut agent) = agent {
            agent.stop();
        }
        ingest.stop();
        drop(workers);
        uplink.stop();
        drop(host);
    }

    /// Where a publisher connects to: through the cable that can be cut, if there is one.
    #[must_use]
    pub fn rtmp_port(&self) -> u16 {
        self.cable.as_ref().map_or(self.ports.rtmp, Proxy::port)
    }

    /// What ingest says about its live sessions.
    ///
    /// # Errors
    /// When its socket does not answer with JSON.
    pub async fn sessions(&self) -> Result<Vec<serde_json::Value>, Error> {
        let text = self.ingest_request("GET", "/sessions").await?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Media(format!("ingest's sessions are {text:?}: {error}")))
    }

    /// One request to ingest's local socket; the body of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ingest_request(&self, method: &str, path: &str) -> Result<String, Error> {
        let socket = self.paths.ingest_socket();
        let exchange = async {
            let mut stream = UnixStream::connect(&socket).await?;
            let request = format!("{method} {path} HTTP/1.0\r\nhost: ingest\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        let answer = exchange.await.map_err(io(format!("{method} {path} on {}", socket.display())))?;
        Ok(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
    }
}

/// Everything that the processes of a box read at their start.
fn write_configs(
    name: &str,
    paths: &BoxPaths,
    ports: BoxPorts,
    origin_ports: &[u16],
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let options = around.options;
    let overrides = &options.overrides;
    let server = around.authority.server(&format!("{name}-rtmps"))?;
    let (keys, authority, client) = if around.fleet.is_some() {
        (paths.key_files(), paths.identity().authority, paths.identity().client)
    } else {
        (around.keys.clone(), around.authority.certificate(), around.authority.client(name)?)
    };
    let write =
        |process: &str, base: Value, more: &Value| config::write(&paths.config_of(process), base, more);
    write("ingest", config::ingest(paths, ports, &server, &keys), &overrides.ingest)?;
    let lengths = (options.segment_ms, options.part_ms);
    let transcode = config::transcode(paths, around.calibration, options.ladder.as_deref(), lengths);
    write("transcode", transcode, &overrides.transcode)?;
    write("uplink", config::uplink(paths, ports, origin_ports, &authority, &client), &overrides.uplink)?;
    let index = name.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(1) - 1;
    if let Some(provisioning) = around.fleet.as_ref().and_then(|fleet| fleet.provisioning.get(index)) {
        let file = paths.provisioning();
        let json =
            serde_json::to_vec_pretty(provisioning).map_err(|error| io("provisioning")(error.into()))?;
        std::fs::write(&file, json).map_err(io(format!("writing {}", file.display())))?;
        let logs = ["ingest", "transcode", "uplink", "agent"]
            .map(|process| around.logs.join(numbered(process, index)).with_extension("log"));
        let base = config::agent(paths, ports, &AgentPrograms::find()?, &logs);
        write("agent", base, &overrides.agent)?;
    }
    Ok(())
}

/// Has the machine measured before the first stream, whose worker would otherwise start with it. Takes no time when
/// the result of an earlier run is there.
async fn measure(spec: Spec) -> Result<(), Error> {
    let mut process = Process::start(spec.args(["calibrate"]))?;
    let ended = async {
        loop {
            if let Some(status) = process.ended() {
                return status;
            }
            tokio::time::sleep(MEASURE_POLL).await;
        }
    };
    match tokio::time::timeout(MEASURE_DEADLINE, ended).await {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => process.check_running(),
        Err(_) => {
            Err(Error::Deadline { what: "measuring the machine".to_owned(), deadline: MEASURE_DEADLINE })
        }
    }
}
