//! What systemd does on a box: each connection to the transcode socket starts one worker with the
//! connection as its standard input (`Accept=yes`), up to a cap (`MaxConnections=`).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, io};
use crate::process::{Process, Spec, describe};

const POLL: Duration = Duration::from_millis(20);

type Running = Arc<Mutex<State>>;

#[derive(Default)]
struct State {
    workers: Vec<Process>,
    /// Set when a worker could not use its configuration: none ever will.
    unusable: Option<(ExitStatus, PathBuf)>,
}

/// The accept loop and the workers it started.
pub struct Workers {
    running: Running,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Listens on `socket`; at most `max` workers run at a time, further connections are closed.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen(socket: &Path, spec: Spec, max: usize) -> Result<Self, Error> {
        let what = || format!("listening on {}", socket.display());
        let listener = UnixListener::bind(socket).map_err(io(what()))?;
        listener.set_nonblocking(true).map_err(io(what()))?;
        let running = Running::default();
        let stop = Arc::new(AtomicBool::new(false));
        let accept = {
            let (running, stop) = (Arc::clone(&running), Arc::clone(&stop));
            // One thread starts all workers, because they end with the thread that started them.
            move || {
                while !stop.load(Ordering::Relaxed) {
                    accept(&listener, &spec, max, &running);
                    reap(&running);
                    std::thread::sleep(POLL);
                }
                stop_all(&running);
            }
        };
        let thread = std::thread::Builder::new()
            .name("workers".to_owned())
            .spawn(accept)
            .map_err(io("starting the accept loop"))?;
        Ok(Self { running, stop, thread: Some(thread) })
    }

    /// Process ids of the workers that run now, the oldest first.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        lock(&self.running).workers.iter().map(Process::pid).collect()
    }

    /// Kills every worker that runs now; returns how many that were.
    #[must_use]
    pub fn kill(&self) -> usize {
        // Dropping a process kills and reaps it.
        std::mem::take(&mut lock(&self.running).workers).len()
    }

    /// That workers can be started at all. One that ends for any other reason is a matter of its session.
    ///
    /// # Errors
    /// Shows the end of the log of a worker that refused its configuration.
    pub fn check_usable(&self) -> Result<(), Error> {
        match &lock(&self.running).unusable {
            None => Ok(()),
            Some((status, log)) => Err(Error::Ended {
                name: "transcode".to_owned(),
                status: *status,
                log: log.clone(),
                tail: crate::process::tail(log),
            }),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &UnixListener, spec: &Spec, max: usize, running: &Running) {
    while let Ok((stream, _)) = listener.accept() {
        if lock(running).workers.len() >= max {
            log::warn!("{max} workers run already: connection closed");
            continue;
        }
        if let Err(error) = stream.set_nonblocking(false) {
            log::error!("worker's connection: {error}");
            continue;
        }
        match Process::start_with(spec.clone(), Stdio::from(OwnedFd::from(stream))) {
            Ok(worker) => lock(running).workers.push(worker),
            Err(error) => log::error!("{error}"),
        }
    }
}

fn reap(running: &Running) {
    let State { workers, unusable } = &mut *lock(running);
    workers.retain_mut(|worker| match worker.ended() {
        None => true,
        Some(status) => {
            log::debug!(pid = worker.pid(); "worker ended: {}", describe(status));
            if status.code() == Some(i32::from(nodi_daemon::exit::CONFIG)) {
                *unusable = Some((status, worker.log().to_owned()));
            }
            false
        }
    });
}

/// All are asked first, so that they finish their files at the same time.
fn stop_all(running: &Running) {
    let mut workers = std::mem::take(&mut lock(running).workers);
    workers.iter_mut().for_each(Process::terminate);
    for worker in &mut workers {
        worker.stop();
    }
}

fn lock(running: &Running) -> std::sync::MutexGuard<'_, State> {
    // The list is whole after every statement that changes it.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
