//! The configuration files that the lab writes for the processes. They say only what differs from the
//! defaults on a box, so that the lab runs what is shipped.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::certs::Identity;
use crate::error::{Error, io};

/// One rung of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    pub name: String,
    pub height: u32,
    /// In bit/s.
    pub bitrate: u32,
}

/// `NAME:HEIGHT:KBITS`, as on the command line.
impl std::str::FromStr for Rung {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("{text:?} is not NAME:HEIGHT:KBITS, such as 720p:720:3000");
        let [name, height, kbits] = text.split(':').collect::<Vec<_>>().try_into().map_err(|_| usage())?;
        let kbits: u32 = kbits.parse().map_err(|_| usage())?;
        Ok(Self {
            name: name.to_owned(),
            height: height.parse().map_err(|_| usage())?,
            bitrate: kbits.checked_mul(1_000).ok_or_else(usage)?,
        })
    }
}

/// What a test or an operator wants otherwise, merged into the written files.
#[derive(Debug, Clone)]
pub struct Overrides {
    pub ingest: Value,
    pub transcode: Value,
    pub uplink: Value,
    pub origin: Value,
    pub agent: Value,
    pub fleet: Value,
    pub chat: Value,
}

impl Default for Overrides {
    fn default() -> Self {
        let none = || json!({});
        Self {
            ingest: none(),
            transcode: none(),
            uplink: none(),
            origin: none(),
            agent: none(),
            fleet: none(),
            chat: none(),
        }
    }
}

/// Where a box keeps what: the directories that systemd makes on a real one.
#[derive(Debug, Clone)]
pub struct BoxPaths {
    /// `/run/nodi`.
    pub run: PathBuf,
    /// `/var/spool/nodi`.
    pub spool: PathBuf,
    /// `/var/lib/nodi`.
    pub state: PathBuf,
    /// `/etc/nodi`.
    pub config: PathBuf,
}

impl BoxPaths {
    /// # Errors
    /// When the directories cannot be made.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let paths = Self {
            run: dir.join("run"),
            spool: dir.join("spool"),
            state: dir.join("state"),
            config: dir.join("etc"),
        };
        for dir in [&paths.sessions(), &paths.spool, &paths.state, &paths.config, &paths.settings()] {
            std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
        }
        Ok(paths)
    }

    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.run.join("sessions")
    }

    #[must_use]
    pub fn transcode_socket(&self) -> PathBuf {
        self.run.join("transcode.sock")
    }

    #[must_use]
    pub fn ingest_socket(&self) -> PathBuf {
        self.run.join("ingest.sock")
    }

    /// Where the agent asks for what the operating system has to do.
    #[must_use]
    pub fn host_socket(&self) -> PathBuf {
        self.run.join("host.sock")
    }

    /// Stands for `/proc/sys/kernel/random/boot_id`.
    #[must_use]
    pub fn boot_id(&self) -> PathBuf {
        self.run.join("boot-id")
    }

    /// What a person types into the dashboard to let the box in.
    #[must_use]
    pub fn pairing_code(&self) -> PathBuf {
        self.run.join("pairing-code")
    }

    #[must_use]
    pub fn provisioning(&self) -> PathBuf {
        self.config.join("provisioning.json")
    }

    #[must_use]
    pub fn config_of(&self, process: &str) -> PathBuf {
        self.config.join(process).with_extension("toml")
    }

    /// What the agent writes for the other processes.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.state.join("settings")
    }

    #[must_use]
    pub fn settings_of(&self, process: &str) -> PathBuf {
        self.settings().join(process).with_extension("toml")
    }

    /// The agent's own.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.state.join("agent")
    }

    /// Where the agent keeps what the fleet gave it.
    #[must_use]
    pub fn identity(&self) -> BoxIdentity {
        let dir = self.agent().join("identity");
        BoxIdentity {
            enrolled: dir.join("enrolled.json"),
            authority: dir.join("ca.pem"),
            client: Identity { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") },
        }
    }

    /// As the agent keeps them up to date.
    #[must_use]
    pub fn key_files(&self) -> KeyFiles {
        KeyFiles {
            public: self.state.join("stream-keys.pub"),
            revocations: self.state.join("revocations.json"),
        }
    }
}

/// Files of a box that was let into a fleet.
#[derive(Debug, Clone)]
pub struct BoxIdentity {
    /// What the fleet server answered.
    pub enrolled: PathBuf,
    pub authority: PathBuf,
    pub client: Identity,
}

/// Ports of one box.
#[derive(Debug, Clone, Copy)]
pub struct BoxPorts {
    pub rtmp: u16,
    pub rtmps: u16,
    pub ingest_metrics: u16,
    pub uplink: u16,
}

/// Files of the stream-key side.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    pub public: PathBuf,
    pub revocations: PathBuf,
}

pub(crate) fn ingest(paths: &BoxPaths, ports: BoxPorts, tls: &Identity, keys: &KeyFiles) -> Value {
    json!({
        "rtmp": { "listen": loopback(ports.rtmp) },
        "rtmps": {
            "listen": loopback(ports.rtmps),
            "certificate": tls.certificate,
            "private_key": tls.key,
        },
        "keys": { "public_keys": keys.public, "revocations": keys.revocations },
        "sessions": { "credentials": paths.sessions(), "newest": paths.state.join("newest") },
        "worker": { "socket": paths.transcode_socket() },
        "status": {
            "socket": paths.ingest_socket(),
            "metrics_listen": loopback(ports.ingest_metrics),
        },
    })
}

pub(crate) fn transcode(
    paths: &BoxPaths,
    calibration: &Path,
    ladder: Option<&[Rung]>,
    (segment_ms, part_ms): (u32, u32),
) -> Value {
    let mut config = json!({
        "spool": paths.spool,
        "state": calibration,
        // Publisher, edge, browser and the centre run on the same cores here.
        "cpu_budget": 0.5,
        "segment_ms": segment_ms,
        "part_ms": part_ms,
    });
    if let (Some(ladder), Some(config)) = (ladder, config.as_object_mut()) {
        let rungs = ladder
            .iter()
            .map(|rung| json!({ "name": rung.name, "height": rung.height, "bitrate": rung.bitrate }));
        config.insert("ladder".to_owned(), rungs.collect());
    }
    config
}

pub(crate) fn uplink(
    paths: &BoxPaths,
    ports: BoxPorts,
    origin_ports: &[u16],
    authority: &Path,
    identity: &Identity,
) -> Value {
    let origins = origin_ports.iter().enumerate().map(|(index, port)| {
        json!({
            "name": crate::platform::numbered("origin", index),
            "url": format!("https://localhost:{port}"),
            "ca": authority,
            "cert": identity.certificate,
            "key": identity.key,
        })
    });
    json!({
        "spool": paths.spool,
        "sessions": paths.sessions(),
        "ingest_socket": paths.ingest_socket(),
        "journal": paths.state.join("journal.sqlite"),
        "listen": loopback(ports.uplink),
        // A developer's disk may be fuller than a box's.
        "janitor": { "min_free_bytes": 64 << 20 },
        "origin": origins.collect::<Value>(),
    })
}

/// The executables that the agent's configuration names.
#[derive(Debug, Clone)]
pub(crate) struct AgentPrograms {
    lab: PathBuf,
    ingest: PathBuf,
    transcode: PathBuf,
    uplink: PathBuf,
}

impl AgentPrograms {
    pub(crate) fn find() -> Result<Self, Error> {
        let ours = crate::binaries::ours;
        Ok(Self {
            lab: ours("nodi-lab")?,
            ingest: ours("nodi-ingest")?,
            transcode: ours("nodi-transcode")?,
            uplink: ours("nodi-uplink")?,
        })
    }
}

/// `logs` stand for the journal.
pub(crate) fn agent(paths: &BoxPaths, ports: BoxPorts, programs: &AgentPrograms, logs: &[PathBuf]) -> Value {
    let keys = paths.key_files();
    let host = |words: &[&str]| {
        let mut all = vec![programs.lab.display().to_string(), "host".to_owned(), "--socket".to_owned()];
        all.push(paths.host_socket().display().to_string());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    };
    json!({
        "provisioning": paths.provisioning(),
        "state": paths.agent(),
        "pairing_file": paths.pairing_code(),
        "boot_id": paths.boot_id(),
        // A developer's disk may be fuller than a box's.
        "outbox": { "min_free_bytes": 64 << 20 },
        "settings": {
            "directory": paths.settings(),
            "stream_keys": keys.public,
            "revocations": keys.revocations,
            "ingest": {
                "program": programs.ingest,
                "config": paths.config_of("ingest"),
                "listen": format!("unix:{}", paths.ingest_socket().display()),
                "rtmp_url": format!("rtmp://127.0.0.1:{}/live", ports.rtmp),
                "rtmps_url": format!("rtmps://localhost:{}/live", ports.rtmps),
            },
            "transcode": { "program": programs.transcode, "config": paths.config_of("transcode") },
            "uplink": {
                "program": programs.uplink,
                "config": paths.config_of("uplink"),
                "listen": loopback(ports.uplink),
            },
        },
        "sessions": { "spool": paths.spool },
        "telemetry": { "disks": [paths.state] },
        "actions": {
            "restart_ingest": host(&["restart", "ingest"]),
            "restart_uplink": host(&["restart", "uplink"]),
            "restart_agent": host(&["restart", "agent"]),
            "reboot": host(&["reboot"]),
            "identify": host(&["identify"]),
            "log_files": logs,
        },
    })
}

/// Ports of one origin.
#[derive(Debug, Clone, Copy)]
pub struct OriginPorts {
    pub push: u16,
    pub public: u16,
    pub metrics: u16,
}

pub(crate) fn origin(
    ports: OriginPorts,
    tls: &Identity,
    authority: &Path,
    keys: &KeyFiles,
    web_root: Option<&Path>,
) -> Value {
    let mut public = json!({ "listen": loopback(ports.public) });
    if let (Some(web_root), Some(public)) = (web_root, public.as_object_mut()) {
        public.insert("web_root".to_owned(), json!(web_root));
    }
    json!({
        "push": {
            "listen": loopback(ports.push),
            "certificate": tls.certificate,
            "private_key": tls.key,
            "client_ca": authority,
        },
        "keys": { "public": keys.public, "revocations": keys.revocations },
        "public": public,
        "metrics": { "listen": loopback(ports.metrics) },
    })
}

pub(crate) fn origin_fleet(port: u16, authority: &Path, identity: &Identity) -> Value {
    json!({
        "host": "localhost",
        "port": port,
        "ca": authority,
        "certificate": identity.certificate,
        "private_key": identity.key,
    })
}

/// Writes `base` with `more` merged into it, as TOML.
pub(crate) fn write(path: &Path, mut base: Value, more: &Value) -> Result<(), Error> {
    merge(&mut base, more);
    let text = toml::to_string(&base)
        .map_err(|error| io(format!("writing {}", path.display()))(std::io::Error::other(error)))?;
    std::fs::write(path, text).map_err(io(format!("writing {}", path.display())))
}

/// Objects are merged key by key; anything else is replaced. Arrays of objects are merged element by element
/// with a single object, which then holds for all of them.
pub(crate) fn merge(base: &mut Value, more: &Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), more @ Value::Object(_)) => base.iter_mut().for_each(|base| merge(base, more)),
        (base, more) => *base = more.clone(),
    }
}

pub(crate) fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_reach_every_element() {
        let mut base = json!({ "a": { "b": 1, "c": 2 }, "list": [{ "x": 1 }, { "x": 2 }] });
        merge(&mut base, &json!({ "a": { "c": 3 }, "list": { "y": 0 }, "new": true }));
        assert_eq!(
            base,
            json!({ "a": { "b": 1, "c": 3 }, "list": [{ "x": 1, "y": 0 }, { "x": 2, "y": 0 }], "new": true })
        );
    }

    #[test]
    fn rungs_on_the_command_line() {
        let rung: Rung = "360p:360:800".parse().unwrap();
        assert_eq!(rung, Rung { name: "360p".to_owned(), height: 360, bitrate: 800_000 });
        assert!("360p:360".parse::<Rung>().unwrap_err().contains("NAME:HEIGHT:KBITS"));
    }
}
