//! A D-Bus of our own: a `dbus-daemon` that listens in a directory and lets everybody do everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::binaries::system;
use crate::error::{Error, io};
use crate::process::{Process, Spec};

/// It listens within milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running bus, which ends with its handle.
#[derive(Debug)]
pub struct Bus {
    socket: PathBuf,
    process: Process,
}

impl Bus {
    /// Listens at `directory/bus`. A socket's path is at most 107 bytes long.
    ///
    /// # Errors
    /// When `dbus-daemon` is not installed, or does not start.
    pub async fn start(directory: &Path) -> Result<Self, Error> {
        Self::listen(directory.join("bus")).await
    }

    /// Listens at `socket`.
    ///
    /// # Errors
    /// When `dbus-daemon` is not installed, or does not start.
    pub async fn listen(socket: PathBuf) -> Result<Self, Error> {
        let directory = socket.parent().unwrap_or(Path::new(".")).to_owned();
        let configuration = socket.with_extension("conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             <allow own=\"*\"/><allow user=\"*\"/></policy>\
             <limit name=\"max_connections_per_user\">4096</limit></busconfig>\n",
            socket.display()
        );
        std::fs::write(&configuration, text).map_err(io("the bus's configuration"))?;
        let spec = Spec::new("dbus-daemon", system("dbus-daemon")?, &directory).args([
            "--nofork".to_owned(),
            "--nopidfile".to_owned(),
            "--nosyslog".to_owned(),
            format!("--config-file={}", configuration.display()),
        ]);
        // One that was killed leaves it behind.
        let _ = std::fs::remove_file(&socket);
        let mut process = Process::start(spec)?;
        let begun = std::time::Instant::now();
        while !socket.exists() {
            process.check_running()?;
            if begun.elapsed() > DEADLINE {
                return Err(Error::Deadline { what: "the bus".to_owned(), deadline: DEADLINE });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { socket, process })
    }

    /// As D-Bus writes it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// Kills it and starts another one at the same address.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(self) -> Result<Self, Error> {
        let socket = self.socket.clone();
        drop(self);
        Self::listen(socket).await
    }

    /// The process, for a test that freezes it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}
