//! One box: ingest, the workers it starts, and uplink, with a network on either side that can be broken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::certs::Authority;
use crate::config::{self, BoxPaths, BoxPorts, KeyFiles};
use crate::error::{Error, io};
use crate::fault::Proxy;
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
    pub ingest: Process,
    pub workers: Workers,
    pub uplink: Process,
    /// Between the publisher and ingest: the streamer's cable. Only with [`Options::faults`].
    pub cable: Option<Proxy>,
    /// Between uplink and each origin. Only with [`Options::faults`].
    pub push: Vec<Proxy>,
    pub ports: BoxPorts,
    pub paths: BoxPaths,
}

/// What all boxes of a lab share.
pub(crate) struct Surroundings<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) logs: &'a Path,
    pub(crate) calibration: &'a Path,
    pub(crate) authority: &'a Authority,
    pub(crate) keys: &'a KeyFiles,
    pub(crate) origin_ports: &'a [u16],
    pub(crate) options: &'a Options,
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
        let mut push = Vec::new();
        let mut origin_ports = around.origin_ports.to_vec();
        let mut cable = None;
        if options.faults {
            for port in &mut origin_ports {
                let proxy = Proxy::start(*port)?;
                *port = proxy.port();
                push.push(proxy);
            }
            cable = Some(Proxy::start(ports.rtmp)?);
        }

        let overrides = &options.overrides;
        let file = |process: &str| paths.config.join(format!("{process}.toml"));
        let authority = around.authority.certificate();
        let server = around.authority.server(&format!("{name}-rtmps"))?;
        let client = around.authority.client(&name)?;
        config::write(
            &file("ingest"),
            config::ingest(&paths, ports, &server, around.keys),
            &overrides.ingest,
        )?;
        config::write(
            &file("transcode"),
            config::transcode(
                &paths,
                around.calibration,
                options.ladder.as_deref(),
                (options.segment_ms, options.part_ms),
            ),
            &overrides.transcode,
        )?;
        config::write(
            &file("uplink"),
            config::uplink(&paths, ports, &origin_ports, &authority, &client),
            &overrides.uplink,
        )?;

        let spec = |process: &str| -> Result<Spec, Error> {
            let program = crate::binaries::ours(&format!("nodi-{process}"))?;
            let config: PathBuf = file(process);
            Ok(Spec::new(numbered(process, index), program, around.logs)
                .args(["--config".as_ref(), config.as_os_str()]))
        };
        let socket = paths.transcode_socket();
        // A directory that is used again may hold the socket of a lab that was killed.
        let _ = std::fs::remove_file(&socket);
        measure(spec("transcode")?).await?;
        let workers = Workers::listen(&socket, spec("transcode")?, MOST_WORKERS)?;
        let uplink = Process::start(spec("uplink")?)?;
        let ingest = Process::start(spec("ingest")?)?;
        Ok(Self { ingest, workers, uplink, cable, push, ports, paths })
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
