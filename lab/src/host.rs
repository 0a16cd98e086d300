//! What a box's operating system does for its agent: it restarts processes, reboots, and makes the box known to who
//! stands in front of it. Requests come over a Unix socket from `nodi-lab host`, which is what the agent's
//! configuration names in place of `systemctl`.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nodi_protocol::CommandId;

use crate::error::{Error, io};
use crate::process::Process;
use crate::workers::Workers;

const POLL: Duration = Duration::from_millis(20);
/// A request is one short line, and whoever sends it does so at once.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
const MAX_REQUEST: u64 = 256;
/// Ingest hands over what it has when it stops, and its workers then end by themselves.
const WORKERS_DEADLINE: Duration = Duration::from_secs(3);

/// One thing that the agent asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `restart PROCESS`
    Restart(String),
    /// `reboot`
    Reboot,
    /// `identify SECONDS`
    Identify(u32),
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match *words.as_slice() {
            ["restart", process] => Ok(Self::Restart(process.to_owned())),
            ["reboot"] => Ok(Self::Reboot),
            ["identify", seconds] => seconds
                .parse()
                .map(Self::Identify)
                .map_err(|error| format!("identify for {seconds:?} seconds: {error}")),
            _ => Err(format!("{text:?} is not `restart PROCESS`, `reboot` or `identify SECONDS`")),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart(process) => write!(f, "restart {process}"),
            Self::Reboot => f.write_str("reboot"),
            Self::Identify(seconds) => write!(f, "identify {seconds}"),
        }
    }
}

/// What the requests act on.
pub(crate) struct Machine {
    /// By the name that the agent knows: `ingest`, `uplink`, `agent`.
    pub(crate) processes: Vec<(String, Process)>,
    pub(crate) workers: Weak<Workers>,
    /// Stands for `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot_id: PathBuf,
    /// Stands for `/run/nodi/sessions`, which a reboot empties.
    pub(crate) sessions: PathBuf,
}

/// The listening end. Dropping it ends its thread, and with it the processes that it restarted.
pub struct Host {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    hold: AtomicBool,
    began: Mutex<Vec<Request>>,
}

impl Host {
    pub(crate) fn listen(socket: &Path, machine: Machine) -> Result<Self, Error> {
        // A directory that is used again may hold the socket of a lab that was killed.
        let _ = std::fs::remove_file(socket);
        let what = || format!("listening on {}", socket.display());
        let listener = UnixListener::bind(socket).map_err(io(what()))?;
        listener.set_nonblocking(true).map_err(io(what()))?;
        let shared = Arc::new(Shared::default());
        let serve = {
            let shared = Arc::clone(&shared);
            // One thread for as long as the box lives: processes end with the thread that started them.
            move || serve(&listener, machine, &shared)
        };
        let thread = std::thread::Builder::new()
            .name("host".to_owned())
            .spawn(serve)
            .map_err(io("starting the host's thread"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Every request that was begun, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.began().clone()
    }

    /// What is asked for from now on is begun and not finished until [`Self::release`].
    pub fn hold(&self) {
        self.shared.hold.store(true, Ordering::Relaxed);
    }

    pub fn release(&self) {
        self.shared.hold.store(false, Ordering::Relaxed);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn began(&self) -> MutexGuard<'_, Vec<Request>> {
        // The list is whole after every statement that changes it.
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn serve(listener: &UnixListener, mut machine: Machine, shared: &Shared) {
    while !shared.stopped() {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = answer(&stream, &mut machine, shared) {
                    // The agent that asked may be the one that was restarted.
                    log::debug!("host: {error}");
                }
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn answer(mut stream: &UnixStream, machine: &mut Machine, shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(REQUEST_DEADLINE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_line(&mut line)?;
    let request: Request = match line.parse() {
        Ok(request) => request,
        Err(error) => return writeln!(stream, "error: {error}"),
    };
    log::info!("host: {request}");
    shared.began().push(request.clone());
    while shared.hold.load(Ordering::Relaxed) && !shared.stopped() {
        std::thread::sleep(POLL);
    }
    if request == Request::Reboot {
        // As with systemd the order is taken first and obeyed afterwards, also when who gave it is gone.
        let _ = writeln!(stream, "ok");
    }
    match machine.obey(&request) {
        Ok(()) => writeln!(stream, "ok"),
        Err(error) => writeln!(stream, "error: {error}"),
    }
}

impl Machine {
    fn obey(&mut self, request: &Request) -> Result<(), Error> {
        match request {
            Request::Restart(name) => {
                let (_, process) = self
                    .processes
                    .iter_mut()
                    .find(|(known, _)| known == name)
                    .ok_or_else(|| Error::NoSuchProcess(name.clone()))?;
                process.stop();
                process.restart()
            }
            Request::Reboot => self.reboot(),
            Request::Identify(seconds) => {
                log::info!("a lamp would blink for {seconds} s");
                Ok(())
            }
        }
    }

    fn reboot(&mut self) -> Result<(), Error> {
        for (name, process) in &mut self.processes {
            process.stop();
            if name == "ingest"
                && let Some(workers) = self.workers.upgrade()
            {
                let end = Instant::now() + WORKERS_DEADLINE;
                while !workers.pids().is_empty() && Instant::now() < end {
                    std::thread::sleep(POLL);
                }
                let _ = workers.kill();
            }
        }
        for file in std::fs::read_dir(&self.sessions).into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(file.path());
        }
        new_boot_id(&self.boot_id)?;
        self.processes.iter_mut().try_for_each(|(_, process)| process.restart())
    }
}

/// Replaces the boot id, as the kernel does at each start.
pub(crate) fn new_boot_id(path: &Path) -> Result<(), Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io("reading random bytes")(std::io::Error::other(error)))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = CommandId::new(u64::try_from(since.as_millis()).unwrap_or(0), u128::from_le_bytes(random));
    std::fs::write(path, format!("{id}\n")).map_err(io(format!("writing {}", path.display())))
}

/// What `nodi-lab host` does: passes a request on, and says what came of it.
///
/// # Errors
/// When nobody listens, or the host could not do it.
pub fn ask(socket: &Path, request: &Request) -> Result<(), Error> {
    say(socket, &request.to_string())
}

/// One line to whoever listens on `socket`, and one back: `ok`, or `error: ` and why.
pub(crate) fn say(socket: &Path, line: &str) -> Result<(), Error> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        writeln!(stream, "{line}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(io(format!("asking {}", socket.display())))?;
    match answer.trim() {
        "ok" => Ok(()),
        "" => Err(Error::Host("no answer".to_owned())),
        said => Err(Error::Host(said.trim_start_matches("error: ").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_they_are_written() {
        for text in ["restart ingest", "reboot", "identify 30"] {
            assert_eq!(text.parse::<Request>().unwrap().to_string(), text);
        }
        for text in ["", "restart", "identify soon", "halt"] {
            assert!(text.parse::<Request>().is_err(), "{text:?}");
        }
    }
}
