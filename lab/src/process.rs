//! A real process of the platform: started with a log file, killed and restarted by a test, and
//! gone when its handle is dropped or when the lab itself dies.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

use crate::error::{Error, io};
use crate::network::Namespace;

/// A process that has not drained by then is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(10);
/// How much of a log is shown when its process ends unexpectedly.
const TAIL_BYTES: u64 = 4096;

/// What to start, and again after a kill.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    /// Output is appended here.
    pub log: PathBuf,
    /// The network that it sees; the lab's own where there is none.
    pub network: Option<Namespace>,
}

impl Spec {
    /// Runs `program`; its output goes to `<logs>/<name>.log`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, logs: &Path) -> Self {
        let name = name.into();
        let log = logs.join(format!("{name}.log"));
        Self { name, program: program.into(), args: Vec::new(), env: Vec::new(), log, network: None }
    }

    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn within(mut self, network: Option<Namespace>) -> Self {
        self.network = network;
        self
    }
}

/// A running (or killed) process. A clone is another hand on the same one, which is killed with its process group
/// and reaped when the last hand lets go.
#[derive(Debug, Clone)]
pub struct Process {
    spec: Arc<Spec>,
    life: Arc<Mutex<Life>>,
}

/// From one start to its end.
#[derive(Debug)]
struct Life {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts the process with an empty standard input.
    ///
    /// The process is told to end when the *thread* that started it ends, so that nothing outlives a
    /// lab that is killed: start processes from a thread that lives as long as they should.
    ///
    /// # Errors
    /// When the program or the log file cannot be opened.
    pub fn start(spec: Spec) -> Result<Self, Error> {
        Self::start_with(spec, Stdio::null())
    }

    /// The same with a standard input of the caller's; a restart gives it an empty one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(spec: Spec, stdin: Stdio) -> Result<Self, Error> {
        let child = spawn(&spec, stdin)?;
        log::debug!(pid = child.id(); "started {}", spec.name);
        Ok(Self { spec: Arc::new(spec), life: Arc::new(Mutex::new(Life { child, ended: None })) })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.life().child.id()
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// The exit status, once the process has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.life().poll()
    }

    /// An error that shows the end of the log if the process is not running any more.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_running(&mut self) -> Result<(), Error> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Error::Ended {
                name: self.spec.name.clone(),
                status,
                log: self.spec.log.clone(),
                tail: tail(&self.spec.log),
            }),
        }
    }

    /// SIGKILL to the process and whatever it started, then reaped.
    pub fn kill(&mut self) {
        self.life().kill();
    }

    /// SIGTERM, and SIGKILL for what has not drained at the deadline.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.terminate();
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        if self.ended().is_none() {
            log::warn!("{} did not stop within {} s: killed", self.spec.name, STOP_DEADLINE.as_secs());
        }
        self.kill();
        self.ended()
    }

    /// SIGSTOP: the process hangs, its connections stay open.
    pub fn freeze(&mut self) {
        self.life().signal(Signal::STOP);
    }

    /// SIGCONT after [`Self::freeze`].
    pub fn thaw(&mut self) {
        self.life().signal(Signal::CONT);
    }

    /// Asks it to stop without waiting for it.
    pub fn terminate(&mut self) {
        self.life().signal(Signal::TERM);
    }

    /// Starts it again as it was started first, after killing it if it runs.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        let mut life = self.life();
        life.kill();
        life.child = spawn(&self.spec, Stdio::null())?;
        life.ended = None;
        Ok(())
    }

    /// User and system time used so far, its threads included, children not.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_time(&self) -> Result<Duration, Error> {
        let path = format!("/proc/{}/task", self.pid());
        let mut total = Duration::ZERO;
        for task in std::fs::read_dir(&path).map_err(io(path.clone()))? {
            let task = task.map_err(io(path.clone()))?.path().join("schedstat");
            // A thread may end between listing and reading.
            let Ok(text) = std::fs::read_to_string(&task) else { continue };
            let ran = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
            total += Duration::from_nanos(ran);
        }
        Ok(total)
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // Whole after every statement that changes it.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    /// To the whole process group: a server's workers end with their master.
    fn signal(&mut self, signal: Signal) {
        // Once it is reaped, its id may be given to a stranger.
        if self.ended.is_some() {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Fails only when the whole group has ended already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How an ended process reads in a message.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn spawn(spec: &Spec, stdin: Stdio) -> Result<Child, Error> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&spec.log)
        .map_err(io(format!("opening {}", spec.log.display())))?;
    let errors = log.try_clone().map_err(io("duplicating a log file"))?;
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.args)
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .stdin(stdin)
        .stdout(log)
        .stderr(errors)
        // A group of its own: Ctrl-C reaches the lab alone, which then stops everything in order.
        .process_group(0);
    let network = spec.network.clone();
    #[allow(unsafe_code, reason = "death signal and network can only be set between fork and exec")]
    // SAFETY: one prctl(2) and one setns(2), which are async-signal-safe; nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::TERM))?;
            network.as_ref().map_or(Ok(()), Namespace::enter)
        });
    }
    command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotInstalled { program: spec.program.display().to_string() },
        _ => Error::Start { name: spec.name.clone(), source },
    })
}

/// The last lines of a log file.
#[must_use]
pub fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
