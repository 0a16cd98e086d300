//! The centre as it is shipped: Mosquitto with exactly the configuration that `nodi-fleet broker-config` writes, the fleet
//! server, and its first administrator.

pub mod api;
mod setup;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodi_protocol::enrol::Provisioning;
use nodi_protocol::{BoxId, ChannelId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::certs::Identity;
use crate::error::{Error, io};
use crate::process::{Process, Spec};
pub use api::Api;
use setup::Setup;

/// Everything answers within a second on an idle machine.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// Where the boxes of a demo stand.
const PLACES: &[(&str, f64, f64)] = &[
    ("Torino", 45.07, 7.69),
    ("Dhaka", 23.81, 90.41),
    ("Lisboa", 38.72, -9.14),
    ("Kolkata", 22.57, 88.36),
    ("Montevideo", -34.90, -56.19),
    ("Tromsø", 69.65, 18.96),
];
const POLL: Duration = Duration::from_millis(25);

/// Where the centre listens, all on loopback.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Plain HTTP, for browsers and programs of this machine.
    pub http: u16,
    /// HTTPS with a certificate of the fleet's authority, for boxes.
    pub https: u16,
    /// The site's API, for the edge.
    pub site: u16,
    pub broker: u16,
    pub metrics: u16,
}

impl Ports {
    fn free(http: Option<u16>) -> Result<Self, Error> {
        Ok(Self {
            http: http.map_or_else(crate::ports::free, Ok)?,
            https: crate::ports::free()?,
            site: crate::ports::free()?,
            broker: crate::ports::free()?,
            metrics: crate::ports::free()?,
        })
    }
}

/// Where the server keeps what it has to keep, in the directory of a lab's fleet.
pub(crate) fn data_dir(fleet: &Path) -> PathBuf {
    fleet.join("data")
}

/// What a program needs to know of a fleet.
#[derive(Debug, Clone, Serialize)]
pub struct Links {
    pub fleet_url: String,
    pub dashboard_url: String,
    pub administrator: Administrator,
    pub api_token: String,
    /// HTTPS, as boxes see it, and the authority that it has to be judged by.
    pub box_url: String,
    pub authority: PathBuf,
}

/// How the centre shall be.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// The dashboard's port; a free one otherwise.
    pub http: Option<u16>,
    /// Where viewers go, if there is any video.
    pub viewers: Option<u16>,
    /// Where the chat service listens, if there is one.
    pub chat: Option<u16>,
    /// For the server's configuration.
    pub overrides: &'a Value,
}

/// Who may do everything.
#[derive(Debug, Clone, Serialize)]
pub struct Administrator {
    pub name: String,
    pub password: String,
}

/// The running centre. Dropping it kills its processes.
pub struct Fleet {
    pub broker: Process,
    pub server: Process,
    pub ports: Ports,
    pub administrator: Administrator,
    pub api: Api,
    setup: Setup,
}

/// Mosquitto as it is shipped, without a fleet server.
pub struct Broker {
    pub process: Process,
    pub port: u16,
    setup: Setup,
}

impl Broker {
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn start(dir: &Path, logs: &Path) -> Result<Self, Error> {
        let ports = Ports::free(None)?;
        let none = json!({});
        let wishes = Wishes { http: None, viewers: None, chat: None, overrides: &none };
        let setup = Setup::create(dir, ports, wishes)?;
        setup.init()?;
        let mut process = start_broker(&setup, ports.broker, logs)?;
        let end = Instant::now() + READY_DEADLINE;
        while tokio::net::TcpStream::connect(("127.0.0.1", ports.broker)).await.is_err() {
            process.check_running()?;
            if Instant::now() > end {
                return Err(Error::Deadline {
                    what: "mosquitto listening".to_owned(),
                    deadline: READY_DEADLINE,
                });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { process, port: ports.broker, setup })
    }

    /// The directory of the authority that it believes.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.setup.authority_dir()
    }
}

/// A stream key as the server showed it once.
#[derive(Debug, Clone)]
pub struct Minted {
    pub key: String,
    pub version: u64,
}

impl Fleet {
    /// A new fleet below `dir`, or the one that is there already.
    ///
    /// # Errors
    /// When something is not built, not installed, or ends or hangs at its start.
    pub async fn start(dir: &Path, logs: &Path, wishes: Wishes<'_>) -> Result<Self, Error> {
        crate::install_tls();
        let ports = Ports::free(wishes.http)?;
        let setup = Setup::create(dir, ports, wishes)?;
        let administrator = setup.init()?;
        let broker = start_broker(&setup, ports.broker, logs)?;
        let server = Spec::new("fleet", setup.program()?, logs).args(setup.words(&["serve"]));
        let server = Process::start(server)?;
        let mut started = Starting { broker, server };
        let base = format!("http://127.0.0.1:{}", ports.http);
        started.wait_ready(&base, ports, logs).await?;
        let api = Api::log_in(&base, &administrator.name, &administrator.password).await?;
        let Starting { broker, server } = started;
        Ok(Self { broker, server, ports, administrator, api, setup })
    }

    /// Where browsers and programs go.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// The site's API past the edge, without its path.
    #[must_use]
    pub fn site_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.site)
    }

    /// Where the keys are with which the server signs.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.setup.data()
    }

    /// Where boxes go.
    #[must_use]
    pub fn box_url(&self) -> String {
        setup::box_url(self.ports)
    }

    #[must_use]
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports.metrics)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.setup.authority()
    }

    /// The public half of what stream keys are signed with.
    #[must_use]
    pub fn public_keys(&self) -> PathBuf {
        self.setup.public_keys()
    }

    /// A certificate with which an origin serves and reads the revocations.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn origin_identity(&self, name: &str) -> Result<Identity, Error> {
        self.setup.origin_identity(name)
    }

    /// A code that lets so many boxes in.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn claim_code(&self, uses: usize) -> Result<String, Error> {
        let made = self.api.post("/claim-codes", json!({ "note": "lab", "uses": uses })).await?;
        api::text(&made, "code")
    }

    /// What a box's image would be made with.
    ///
    /// # Errors
    /// When the authority's certificate cannot be read.
    pub fn provisioning(&self, claim_code: Option<String>) -> Result<Provisioning, Error> {
        let path = self.authority();
        let ca_pem = std::fs::read_to_string(&path).map_err(io(format!("reading {}", path.display())))?;
        Ok(Provisioning { fleet_url: self.box_url(), ca_pem: Some(ca_pem), claim_code })
    }

    /// Whether the box is connected and everything that was set for it is in force.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn has_settled(&self, id: &BoxId) -> Result<bool, Error> {
        let summary = match self.api.get(&format!("/boxes/{id}")).await {
            Err(Error::Refused { status: 404, .. }) => return Ok(false),
            other => other?,
        };
        let online = summary.get("state").is_some_and(|state| state == "online");
        Ok(online && summary.get("applied_version") == summary.get("desired_version"))
    }

    /// Gives the box a name, and a place on the map.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn place(&self, id: &BoxId, index: usize) -> Result<(), Error> {
        let location = PLACES.get(index % PLACES.len()).map(
            |(name, latitude, longitude)| json!({ "name": name, "latitude": latitude, "longitude": longitude }),
        );
        let about = json!({ "name": format!("Box {}", index + 1), "location": location });
        self.api.patch(&format!("/boxes/{id}"), about).await.map(drop)
    }

    /// Makes the channel if it is not there.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn channel(&self, id: &ChannelId) -> Result<(), Error> {
        let body = json!({ "id": id, "display_name": format!("Channel {id}") });
        match self.api.post("/channels", body).await {
            Err(Error::Refused { status: 409, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes somebody the channel's streamer.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn give(&self, id: &ChannelId, person: &str) -> Result<(), Error> {
        self.api.patch(&format!("/channels/{id}"), json!({ "owner": person })).await.map(drop)
    }

    /// A stream key, through the API as everybody gets one.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn mint(&self, channel: &ChannelId, label: &str) -> Result<Minted, Error> {
        let path = format!("/channels/{channel}/keys");
        let made = self.api.post(&path, json!({ "label": label })).await?;
        Ok(Minted {
            key: api::text(&made, "key")?,
            version: made.get("version").and_then(Value::as_u64).unwrap_or_default(),
        })
    }

    #[must_use]
    pub fn links(&self) -> Links {
        Links {
            fleet_url: self.url(),
            dashboard_url: self.url(),
            administrator: self.administrator.clone(),
            api_token: self.api.token().to_owned(),
            box_url: self.box_url(),
            authority: self.authority(),
        }
    }

    /// Both processes, in the order in which they stop.
    pub fn processes(&mut self) -> [&mut Process; 2] {
        [&mut self.server, &mut self.broker]
    }

    /// The server first: the broker then knows that it went in peace.
    pub fn stop(&mut self) {
        for process in self.processes() {
            process.stop();
        }
    }
}

/// Until everything answers.
struct Starting {
    broker: Process,
    server: Process,
}

impl Starting {
    async fn wait_ready(&mut self, base: &str, ports: Ports, logs: &Path) -> Result<(), Error> {
        let health = format!("{base}/healthz");
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|source| Error::Http { url: health.clone(), source })?;
        let end = Instant::now() + READY_DEADLINE;
        let ready = async || {
            let healthy = http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success());
            healthy && tokio::net::TcpStream::connect(("127.0.0.1", ports.broker)).await.is_ok()
        };
        while !ready().await {
            self.broker.check_running()?;
            self.server.check_running()?;
            if Instant::now() > end {
                let log = crate::process::tail(&logs.join("fleet.log"));
                let what = format!("{health}; the fleet server's log:\n{log}\n");
                return Err(Error::Deadline { what, deadline: READY_DEADLINE });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

fn start_broker(setup: &Setup, port: u16, logs: &Path) -> Result<Process, Error> {
    let config = setup.broker_config(port)?;
    let mosquitto = crate::binaries::system("mosquitto")?;
    Process::start(Spec::new("mosquitto", mosquitto, logs).args(["-c".as_ref(), config.as_os_str()]))
}
