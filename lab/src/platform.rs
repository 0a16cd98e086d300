//! The whole platform on one machine: real processes, real sockets, a CDN edge in front.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodi_protocol::ChannelId;
use nodi_protocol::stream_key::StreamKey;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::appliance::{Appliance, Membership, Surroundings};
use crate::certs::{Authority, Identity};
use crate::chat::{self, Chat, Tokens};
use crate::config::{self, KeyFiles, OriginPorts, Overrides, Rung};
use crate::control::Control;
use crate::error::{Error, io};
use crate::fleet::{self, Fleet, Wishes};
use crate::keys::Keys;
use crate::process::{Process, Spec};
use crate::site::people;

/// Everything answers within a second on an idle machine; one that also compiles takes its time.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);

/// What the viewers' requests go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edge {
    /// nginx with the configuration that we recommend.
    #[default]
    Nginx,
    /// The origin itself.
    None,
}

/// Ports that are given; all others are free ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    pub rtmp: Option<u16>,
    pub rtmps: Option<u16>,
    /// Where viewers go.
    pub watch: Option<u16>,
    /// Where operators go.
    pub dashboard: Option<u16>,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kept after the end; without it a temporary directory is used and removed.
    pub dir: Option<PathBuf>,
    pub channel: ChannelId,
    pub boxes: usize,
    /// The last so many of the boxes have no claim code and wait for a person. Only with `fleet`.
    pub unclaimed: usize,
    /// Runs broker, fleet server and agents. Without them keys are minted here.
    pub fleet: bool,
    /// Runs the chat service. With `fleet` and an edge the site then has people: a streamer who owns the channel, a
    /// moderator and two viewers. Without `fleet` tokens are minted here.
    pub chat: bool,
    /// Gives each box a network of its own where the machine can. Only with `fleet`.
    pub namespaces: bool,
    /// One, or two for an origin and its stand-by.
    pub origins: usize,
    pub edge: Edge,
    /// `None`: the default ladder.
    pub ladder: Option<Vec<Rung>>,
    pub segment_ms: u32,
    pub part_ms: u32,
    pub ports: Ports,
    /// Puts breakable networks between publisher and ingest, and between uplink and origin.
    pub faults: bool,
    /// The built watch page.
    pub web_root: Option<PathBuf>,
    pub overrides: Overrides,
}

impl Options {
    /// One box, one origin, an edge, the default ladder.
    #[must_use]
    pub fn new(channel: ChannelId) -> Self {
        Self {
            dir: None,
            channel,
            boxes: 1,
            unclaimed: 0,
            fleet: false,
            chat: false,
            namespaces: true,
            origins: 1,
            edge: Edge::default(),
            ladder: None,
            segment_ms: 2_000,
            part_ms: 333,
            ports: Ports::default(),
            faults: false,
            web_root: default_web_root(),
            overrides: Overrides::default(),
        }
    }
}

/// One origin. Dropping it kills the process.
pub struct Origin {
    pub process: Process,
    pub ports: OriginPorts,
}

/// The running platform. Dropping it stops everything in order and reaps it.
pub struct Lab {
    dir: Dir,
    options: Options,
    /// Only with [`Options::fleet`].
    pub fleet: Option<Fleet>,
    /// Of a lab without a fleet.
    pub keys: Keys,
    stream_key: StreamKey,
    pub authority: Authority,
    pub boxes: Vec<Appliance>,
    pub origins: Vec<Origin>,
    /// Only with [`Options::chat`].
    pub chat: Option<Chat>,
    /// Only with [`Options::chat`], [`Options::fleet`] and an edge.
    pub logins: Option<people::Logins>,
    pub edge: Option<Process>,
    /// Publishers and other clients that stop with the lab.
    pub clients: Vec<Process>,
    watch_port: u16,
    /// Faults on request, once somebody may ask for them.
    control: Option<Control>,
}

/// What `nodi-lab up --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Links {
    pub dir: PathBuf,
    pub rtmp_url: String,
    pub rtmps_url: String,
    pub stream_key: String,
    pub channel: String,
    pub multivariant_url: String,
    pub watch_url: String,
    /// Where viewers begin: the directory of live channels.
    pub site_url: String,
    /// Where pages connect to chat, through the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_ws_url: Option<String>,
    /// The chat service past the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<people::Logins>,
    /// The socket that takes orders of `nodi-lab fault`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<PathBuf>,
    #[serde(flatten)]
    pub fleet: Option<fleet::Links>,
    /// Prometheus text, by process name.
    pub metrics: BTreeMap<String, String>,
    pub pids: BTreeMap<String, Vec<u32>>,
}

enum Dir {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Dir {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

impl Lab {
    /// Starts everything and waits until it is ready.
    ///
    /// Call it from a thread that lives as long as the lab: the processes end with it.
    ///
    /// # Errors
    /// When something is not built, not installed, or ends or hangs at its start.
    pub async fn start(options: Options) -> Result<Self, Error> {
        crate::install_tls();
        let dir = match &options.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
                Dir::Kept(dir.canonicalize().map_err(io(format!("resolving {}", dir.display())))?)
            }
            // Short, because Unix socket paths end at 107 bytes.
            None => Dir::Temporary(
                tempfile::Builder::new().prefix("nodi-").tempdir().map_err(io("temporary directory"))?,
            ),
        };
        let root = dir.path().to_owned();
        let logs = root.join("log");
        std::fs::create_dir_all(&logs).map_err(io(format!("creating {}", logs.display())))?;
        let keys = Keys::open(&root.join("keys"))?;
        let authority = Authority::create(&root.join("tls"), "Nodi lab")?;
        let key_files = KeyFiles { public: keys.public(), revocations: keys.revocations() };
        let edge_port = match options.edge {
            Edge::None => None,
            Edge::Nginx => Some(options.ports.watch.map_or_else(crate::ports::free, Ok)?),
        };
        let chat_port = if options.chat { Some(crate::ports::free()?) } else { None };
        let fleet = if options.fleet {
            let (http, overrides) = (options.ports.dashboard, &options.overrides.fleet);
            let wishes =
                Wishes { http, viewers: edge_port.or(options.ports.watch), chat: chat_port, overrides };
            Some(Fleet::start(&root.join("fleet"), &logs, wishes).await?)
        } else {
            None
        };
        let chat = match chat_port {
            None => None,
            Some(port) => Some(start_chat(port, &root, &logs, fleet.as_ref(), &options)?),
        };
        let stream_key = match &fleet {
            None => keys.mint(&options.channel),
            Some(fleet) => {
                fleet.channel(&options.channel).await?;
                StreamKey::from_text(fleet.mint(&options.channel, "lab").await?.key)
            }
        };

        let origins = (0..options.origins)
            .map(|index| {
                let trust = match &fleet {
                    Some(fleet) => OriginTrust::of_fleet(fleet, index, &root)?,
                    None => OriginTrust::of_lab(&authority, index, &key_files)?,
                };
                start_origin(index, &root, &logs, &trust, &options)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let origin_ports: Vec<u16> = origins.iter().map(|origin| origin.ports.push).collect();
        let calibration = match &options.dir {
            Some(_) => root.join("calibration"),
            // What this machine carries does not change from one temporary lab to the next.
            None => std::env::temp_dir().join("nodi-lab-calibration"),
        };
        std::fs::create_dir_all(&calibration).map_err(io(format!("creating {}", calibration.display())))?;
        let around = Surroundings {
            dir: &root,
            logs: &logs,
            calibration: &calibration,
            authority: &authority,
            keys: &key_files,
            origin_ports: &origin_ports,
            options: &options,
            fleet: match &fleet {
                Some(fleet) => Some(membership(fleet, &options).await?),
                None => None,
            },
        };
        let mut boxes = Vec::new();
        for index in 0..options.boxes {
            boxes.push(Appliance::start(index, &around).await?);
        }
        let public: Vec<u16> = origins.iter().map(|origin| origin.ports.public).collect();
        let (edge, watch_port) = match edge_port {
            None => (None, public.first().copied().unwrap_or_default()),
            Some(port) => {
                let site = fleet.as_ref().map(|fleet| fleet.ports.site);
                let behind = crate::edge::Behind { origins: &public, site, chat: chat_port };
                (Some(crate::edge::start(&root.join("edge"), &logs, port, behind)?), port)
            }
        };
        let mut lab = Self {
            dir,
            options,
            fleet,
            keys,
            stream_key,
            authority,
            boxes,
            origins,
            chat,
            logins: None,
            edge,
            clients: Vec::new(),
            watch_port,
            control: None,
        };
        lab.wait_ready().await?;
        if let (Some(fleet), Some(_), Some(url)) = (&lab.fleet, &lab.edge, lab.chat_ws_url()) {
            let channel = lab.channel();
            lab.logins = Some(people::settle(lab.dir(), &lab.site_url(), &url, fleet, channel).await?);
        }
        Ok(lab)
    }

    /// Everything the lab wrote.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the processes' output goes, one file each.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir().join("log")
    }

    #[must_use]
    pub fn channel(&self) -> &ChannelId {
        &self.options.channel
    }

    /// A key for the lab's channel.
    #[must_use]
    pub fn stream_key(&self) -> StreamKey {
        self.stream_key.clone()
    }

    /// The fleet.
    ///
    /// # Errors
    /// When the lab runs without one.
    pub fn fleet(&self) -> Result<&Fleet, Error> {
        self.fleet.as_ref().ok_or_else(|| Error::NoSuchProcess("fleet".to_owned()))
    }

    /// The chat service.
    ///
    /// # Errors
    /// When the lab runs without one.
    pub fn chat(&self) -> Result<&Chat, Error> {
        self.chat.as_ref().ok_or_else(|| Error::NoSuchProcess("chat".to_owned()))
    }

    /// Takes orders of `nodi-lab fault` from now on; returns the socket.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn open_control(&mut self) -> Result<PathBuf, Error> {
        let socket = self.dir().join("control.sock");
        let processes: Vec<Process> = self.processes().map(|process| process.clone()).collect();
        self.control = Some(Control::listen(socket.clone(), processes)?);
        Ok(socket)
    }

    /// The address to publish to, without the key.
    #[must_use]
    pub fn rtmp_url(&self, index: usize) -> String {
        let port = self.boxes.get(index).map_or(0, Appliance::rtmp_port);
        format!("rtmp://127.0.0.1:{port}/live")
    }

    #[must_use]
    pub fn rtmps_url(&self, index: usize) -> String {
        let port = self.boxes.get(index).map_or(0, |appliance| appliance.ports.rtmps);
        format!("rtmps://localhost:{port}/live")
    }

    /// The multivariant playlist, through the edge.
    #[must_use]
    pub fn multivariant_url(&self) -> String {
        format!("http://127.0.0.1:{}/live/{}/index.m3u8", self.watch_port, self.options.channel)
    }

    /// Where viewers begin, without a slash at its end.
    #[must_use]
    pub fn site_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.watch_port)
    }

    /// Where pages connect to chat, through the edge.
    #[must_use]
    pub fn chat_ws_url(&self) -> Option<String> {
        let through = self.chat.is_some() && self.edge.is_some();
        through.then(|| format!("ws://127.0.0.1:{}/chat/ws", self.watch_port))
    }

    #[must_use]
    pub fn watch_url(&self) -> String {
        format!("http://127.0.0.1:{}/watch/{}", self.watch_port, self.options.channel)
    }

    #[must_use]
    pub fn links(&self) -> Links {
        let mut metrics = BTreeMap::new();
        let mut pids = BTreeMap::new();
        for (index, appliance) in self.boxes.iter().enumerate() {
            for (process, port) in
                [("ingest", appliance.ports.ingest_metrics), ("uplink", appliance.ports.uplink)]
            {
                metrics.insert(numbered(process, index), format!("http://127.0.0.1:{port}/metrics"));
            }
            pids.insert(numbered("transcode", index), appliance.workers.pids());
            for process in [Some(&appliance.ingest), Some(&appliance.uplink), appliance.agent.as_ref()] {
                pids.extend(process.map(|process| (process.name().to_owned(), vec![process.pid()])));
            }
        }
        for origin in &self.origins {
            let url = format!("http://127.0.0.1:{}/metrics", origin.ports.metrics);
            metrics.insert(origin.process.name().to_owned(), url);
        }
        if let Some(fleet) = &self.fleet {
            metrics.insert("fleet".to_owned(), fleet.metrics_url());
        }
        if let Some(chat) = &self.chat {
            metrics.insert("chat".to_owned(), format!("{}/metrics", chat.url()));
        }
        let centre = self.fleet.iter().flat_map(|fleet| [&fleet.broker, &fleet.server]);
        let chat = self.chat.iter().map(|chat| &chat.process);
        let origins = self.origins.iter().map(|origin| &origin.process);
        let others = centre.chain(chat).chain(origins).chain(&self.edge).chain(&self.clients);
        for process in others {
            pids.entry(process.name().to_owned()).or_default().push(process.pid());
        }
        Links {
            dir: self.dir().to_owned(),
            rtmp_url: self.rtmp_url(0),
            rtmps_url: self.rtmps_url(0),
            stream_key: self.stream_key().reveal().to_owned(),
            channel: self.options.channel.to_string(),
            multivariant_url: self.multivariant_url(),
            watch_url: self.watch_url(),
            site_url: self.site_url(),
            chat_ws_url: self.chat_ws_url(),
            chat_url: self.chat.as_ref().map(Chat::url),
            logins: self.logins.clone(),
            control: self.control.as_ref().map(|control| control.socket().to_owned()),
            fleet: self.fleet.as_ref().map(Fleet::links),
            metrics,
            pids,
        }
    }

    /// A process by its name: `ingest`, `uplink`, `agent`, `origin`, `edge`, `mosquitto`, `fleet`, `chat`; the second one of
    /// its kind has `-2` behind it.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn process(&mut self, name: &str) -> Result<&mut Process, Error> {
        self.processes()
            .find(|process| process.name() == name)
            .ok_or_else(|| Error::NoSuchProcess(name.to_owned()))
    }

    /// That every server still runs, but those that somebody asked to be stopped.
    ///
    /// # Errors
    /// Shows the end of the log of the first one that does not.
    pub fn check_running(&mut self) -> Result<(), Error> {
        let control = self.control.take();
        let checked = self
            .servers()
            .filter(|process| control.as_ref().is_none_or(|control| !control.is_down(process.name())))
            .try_for_each(Process::check_running);
        self.control = control;
        checked?;
        self.boxes.iter().try_for_each(|appliance| appliance.workers.check_usable())
    }

    fn servers(&mut self) -> impl Iterator<Item = &mut Process> {
        let centre = self.fleet.iter_mut().flat_map(Fleet::processes);
        let boxes = self.boxes.iter_mut().flat_map(Appliance::processes);
        let chat = self.chat.iter_mut().map(|chat| &mut chat.process);
        let origins = self.origins.iter_mut().map(|origin| &mut origin.process);
        centre.chain(chat).chain(boxes).chain(origins).chain(&mut self.edge)
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let centre = self.fleet.iter_mut().flat_map(Fleet::processes);
        let chat = self.chat.iter_mut().map(|chat| &mut chat.process);
        let boxes = self.boxes.iter_mut().flat_map(Appliance::processes);
        let origins = self.origins.iter_mut().map(|origin| &mut origin.process);
        centre.chain(chat).chain(boxes).chain(origins).chain(&mut self.edge).chain(&mut self.clients)
    }

    /// Every server answers on its port.
    async fn wait_ready(&mut self) -> Result<(), Error> {
        let mut ports: Vec<(String, u16)> = vec![("edge".to_owned(), self.watch_port)];
        for origin in &self.origins {
            let name = origin.process.name();
            for port in [origin.ports.public, origin.ports.push, origin.ports.metrics] {
                ports.push((name.to_owned(), port));
            }
        }
        ports.extend(self.chat.iter().map(|chat| (chat.process.name().to_owned(), chat.port)));
        for appliance in &self.boxes {
            let ports_of = appliance.ports;
            ports.push((appliance.ingest.name().to_owned(), ports_of.rtmp));
            ports.push((appliance.ingest.name().to_owned(), ports_of.rtmps));
            ports.push((appliance.uplink.name().to_owned(), ports_of.uplink));
        }
        let end = Instant::now() + READY_DEADLINE;
        for (name, port) in ports {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                self.check_running()?;
                if Instant::now() > end {
                    let log = crate::process::tail(&self.logs().join(format!("{name}.log")));
                    let what = format!("{name} listening on port {port}; its log:\n{log}\n");
                    return Err(Error::Deadline { what, deadline: READY_DEADLINE });
                }
                tokio::time::sleep(POLL).await;
            }
        }
        self.wait_claimed(end).await?;
        self.check_running()
    }

    /// Every box with a claim code is the fleet's, and is as it shall be.
    async fn wait_claimed(&mut self, end: Instant) -> Result<(), Error> {
        let claimed = self.options.boxes.saturating_sub(self.options.unclaimed);
        for index in 0..if self.options.fleet { claimed } else { 0 } {
            loop {
                self.check_running()?;
                let found = self.boxes.get(index).and_then(Appliance::id);
                if let (Some(id), Some(fleet)) = (found, &self.fleet)
                    && fleet.has_settled(&id).await?
                {
                    fleet.place(&id, index).await?;
                    break;
                }
                if Instant::now() > end {
                    let name = numbered("agent", index);
                    let log = crate::process::tail(&self.logs().join(format!("{name}.log")));
                    let what = format!("{name} in the fleet; its log:\n{log}\n");
                    return Err(Error::Deadline { what, deadline: READY_DEADLINE });
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// A test failed: its files stay, and what the processes said last is shown.
    fn leave_for_inspection(&mut self) {
        if let Dir::Temporary(dir) = &mut self.dir {
            dir.disable_cleanup(true);
        }
        log::error!("the lab's files are kept in {}", self.dir().display());
        for file in std::fs::read_dir(self.logs()).into_iter().flatten().flatten() {
            log::error!("{}:\n{}", file.path().display(), crate::process::tail(&file.path()));
        }
    }

    /// Stops everything in the order in which media flows, so that each process can hand on what it has.
    pub fn stop(&mut self) {
        self.clients.iter_mut().for_each(Process::terminate);
        self.clients.clear();
        std::mem::take(&mut self.boxes).into_iter().for_each(Appliance::stop);
        for origin in &mut self.origins {
            origin.process.stop();
        }
        self.origins.clear();
        if let Some(mut edge) = self.edge.take() {
            edge.stop();
        }
        if let Some(mut chat) = self.chat.take() {
            chat.process.stop();
        }
        if let Some(mut fleet) = self.fleet.take() {
            fleet.stop();
        }
        self.control = None;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            self.leave_for_inspection();
        }
    }
}

/// `origin`, `origin-2`, …
#[must_use]
pub(crate) fn numbered(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}-{}", index + 1) }
}

/// The page as `make web` builds it, if it did.
fn default_web_root() -> Option<PathBuf> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet-manager/web/dist");
    dist.canonicalize().ok().filter(|dist| dist.join("index.html").is_file())
}

/// What an origin goes by.
struct OriginTrust {
    server: Identity,
    authority: PathBuf,
    keys: KeyFiles,
    /// The way to the fleet's revocations.
    fleet: Option<(u16, Identity)>,
}

impl OriginTrust {
    fn of_lab(authority: &Authority, index: usize, keys: &KeyFiles) -> Result<Self, Error> {
        let server = authority.server(&numbered("origin", index))?;
        Ok(Self { server, authority: authority.certificate(), keys: keys.clone(), fleet: None })
    }

    fn of_fleet(fleet: &Fleet, index: usize, root: &Path) -> Result<Self, Error> {
        let name = numbered("origin", index);
        let revocations = root.join(&name).join("revocations.json");
        let identity = fleet.origin_identity(&name)?;
        Ok(Self {
            server: identity.clone(),
            authority: fleet.authority(),
            keys: KeyFiles { public: fleet.public_keys(), revocations },
            fleet: Some((fleet.ports.broker, identity)),
        })
    }
}

/// The provisioning files of all boxes, those without a claim code last.
async fn membership(fleet: &Fleet, options: &Options) -> Result<Membership, Error> {
    let claimed = options.boxes.saturating_sub(options.unclaimed);
    let code = if claimed > 0 { Some(fleet.claim_code(claimed).await?) } else { None };
    let provisioning = (0..options.boxes)
        .map(|index| fleet.provisioning(code.clone().filter(|_| index < claimed)))
        .collect::<Result<_, _>>()?;
    Ok(Membership { provisioning, ports: [fleet.ports.https, fleet.ports.broker] })
}

/// With the fleet's key for tokens, or one that is made here.
fn start_chat(
    port: u16,
    root: &Path,
    logs: &Path,
    fleet: Option<&Fleet>,
    options: &Options,
) -> Result<Chat, Error> {
    let tokens = match fleet {
        Some(fleet) => Tokens::open(&fleet.data_dir())?,
        None => Tokens::create(&root.join("keys"))?,
    };
    let overrides = &options.overrides.chat;
    let wishes = chat::Wishes { port, tokens, fleet_url: fleet.map(Fleet::site_url), overrides };
    Chat::start(&root.join("chat"), logs, wishes)
}

fn start_origin(
    index: usize,
    root: &Path,
    logs: &Path,
    trust: &OriginTrust,
    options: &Options,
) -> Result<Origin, Error> {
    let name = numbered("origin", index);
    // Without an edge viewers go to the origin itself.
    let given = options.ports.watch.filter(|_| options.edge == Edge::None && index == 0);
    let ports = OriginPorts {
        push: crate::ports::free()?,
        public: given.map_or_else(crate::ports::free, Ok)?,
        metrics: crate::ports::free()?,
    };
    let dir = root.join(&name);
    std::fs::create_dir_all(&dir).map_err(io(format!("creating {}", dir.display())))?;
    let file = dir.join("origin.toml");
    let OriginTrust { server, authority, keys, fleet } = trust;
    let mut base = config::origin(ports, server, authority, keys, options.web_root.as_deref());
    if let (Some((port, identity)), Some(base)) = (fleet, base.as_object_mut()) {
        base.insert("fleet".to_owned(), config::origin_fleet(*port, authority, identity));
    }
    config::write(&file, base, &options.overrides.origin)?;
    let program = crate::binaries::ours("nodi-origin")?;
    let process =
        Process::start(Spec::new(name, program, logs).args(["--config".as_ref(), file.as_os_str()]))?;
    Ok(Origin { process, ports })
}
