//! Faults on request, while a lab runs: who holds its socket kills, freezes and restarts processes by their names, as a test
//! does with a lab of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, io};
use crate::process::Process;

const POLL: Duration = Duration::from_millis(20);
/// An order is one short line, and whoever gives it does so at once.
const ORDER_DEADLINE: Duration = Duration::from_secs(2);
const MAX_ORDER: u64 = 128;

/// `kill chat`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub fault: Fault,
    /// As [`crate::Lab::process`] knows it.
    pub process: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and until it has ended.
    Stop,
    /// Starts it again, after SIGKILL if it runs.
    Restart,
    /// SIGSTOP: it hangs, its connections stay open.
    Freeze,
    /// SIGCONT.
    Thaw,
}

impl Fault {
    const ALL: [(&'static str, Self); 5] = [
        ("kill", Self::Kill),
        ("stop", Self::Stop),
        ("restart", Self::Restart),
        ("freeze", Self::Freeze),
        ("thaw", Self::Thaw),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, fault)| *fault == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [fault, process] = *words.as_slice()
            && let Some((_, fault)) = Fault::ALL.iter().find(|(name, _)| *name == fault)
        {
            return Ok(Self { fault: *fault, process: process.to_owned() });
        }
        Err(format!(
            "{text:?} is not `kill`, `stop`, `restart`, `freeze` or `thaw` and the name of a process"
        ))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fault.name(), self.process)
    }
}

/// The listening end. Dropping it ends its thread, and with it the processes that it restarted.
pub struct Control {
    shared: Arc<Shared>,
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    down: Mutex<BTreeSet<String>>,
}

impl Shared {
    fn down(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Whole after every statement that changes it.
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    pub(crate) fn listen(socket: PathBuf, mut processes: Vec<Process>) -> Result<Self, Error> {
        // A directory that is used again may hold the socket of a lab that was killed.
        let _ = std::fs::remove_file(&socket);
        let what = || format!("listening on {}", socket.display());
        let listener = UnixListener::bind(&socket).map_err(io(what()))?;
        listener.set_nonblocking(true).map_err(io(what()))?;
        let shared = Arc::new(Shared::default());
        let serve = {
            let shared = Arc::clone(&shared);
            // One thread for as long as the lab runs: processes end with the thread that started them.
            move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            if let Err(error) = answer(&stream, &mut processes, &shared) {
                                log::debug!("control: {error}");
                            }
                        }
                        Err(_) => std::thread::sleep(POLL),
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(serve)
            .map_err(io("starting the control thread"))?;
        Ok(Self { shared, socket, thread: Some(thread) })
    }

    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the process does not run because somebody asked for that.
    pub(crate) fn is_down(&self, process: &str) -> bool {
        self.shared.down().contains(process)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: &UnixStream, processes: &mut [Process], shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ORDER_DEADLINE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_ORDER)).read_line(&mut line)?;
    match line.parse::<Order>().and_then(|order| obey(&order, processes, shared)) {
        Ok(()) => writeln!(stream, "ok"),
        Err(error) => writeln!(stream, "error: {error}"),
    }
}

fn obey(order: &Order, processes: &mut [Process], shared: &Shared) -> Result<(), String> {
    let process = processes
        .iter_mut()
        .find(|process| process.name() == order.process)
        .ok_or_else(|| Error::NoSuchProcess(order.process.clone()).to_string())?;
    log::info!("control: {order}");
    if matches!(order.fault, Fault::Kill | Fault::Stop) {
        // Before it is: nobody shall see it ended and not know why.
        shared.down().insert(order.process.clone());
    }
    match order.fault {
        Fault::Kill => process.kill(),
        Fault::Stop => drop(process.stop()),
        Fault::Freeze => process.freeze(),
        Fault::Thaw => process.thaw(),
        Fault::Restart => {
            process.restart().map_err(|error| error.to_string())?;
            shared.down().remove(&order.process);
        }
    }
    Ok(())
}

/// What `nodi-lab fault` does: passes an order on, and says what came of it.
///
/// # Errors
/// When nobody listens, or it could not be done.
pub fn ask(socket: &Path, order: &Order) -> Result<(), Error> {
    crate::host::say(socket, &order.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_read_as_they_are_written() {
        for text in ["kill chat", "stop fleet", "restart chat", "freeze origin-2", "thaw origin-2"] {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), text);
        }
        for text in ["", "kill", "harm chat", "kill chat now"] {
            assert!(text.parse::<Order>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_was_killed_on_request_is_known_to_be_down() {
        let dir = tempfile::tempdir().unwrap();
        let spec = crate::process::Spec::new("sleeper", "sleep", dir.path()).args(["60"]);
        let mut process = Process::start(spec).unwrap();
        let control = Control::listen(dir.path().join("control.sock"), vec![process.clone()]).unwrap();
        let order = |text: &str| ask(control.socket(), &text.parse().unwrap());
        order("kill sleeper").unwrap();
        assert!(control.is_down("sleeper") && process.ended().is_some());
        order("restart sleeper").unwrap();
        assert!(!control.is_down("sleeper") && process.ended().is_none());
        assert!(order("kill nobody").unwrap_err().to_string().contains("nobody"));
    }
}
