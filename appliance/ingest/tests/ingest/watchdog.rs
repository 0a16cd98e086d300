//! What systemd hears of a process that accepts encoders, and of one that does not.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::{eventually, key, media};

/// Eight times the pause between two messages of a process that is well.
const SILENCE: Duration = Duration::from_secs(2);

/// In place of systemd.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        Self { socket, directory }
    }

    /// What comes next; `None`: silence.
    fn hears(&self) -> Option<String> {
        let mut message = [0; 512];
        match self.socket.recv(&mut message) {
            Ok(length) => Some(String::from_utf8_lossy(&message[..length]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn hears_that(&self, what: &str) {
        eventually(what, || self.hears().filter(|message| message.contains(what)));
    }
}

#[test]
fn systemd_hears_nothing_of_a_process_that_cannot_accept() {
    let manager = Manager::new();
    let path = manager.directory.path().join("notify").display().to_string();
    let process = Process::start_with(None, &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "2000000")]);
    let mut publisher = Client::publishing(process.address(), &key("nodi"));
    publisher.second(0, 100);
    manager.hears_that("READY=1");
    manager.hears_that("WATCHDOG=1");

    // No descriptor is left for another connection: the loop turns, and lets nobody in.
    let pid = Pid::from_child(&process.child);
    let before = getrlimit(Resource::Nofile);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(3), maximum: before.maximum }).unwrap();
    let mut timestamps_ms = (1_000..).step_by(40);
    eventually("silence", || {
        publisher.tag(&media::delta_frame(timestamps_ms.next()?, 100));
        manager.hears().is_none().then_some(())
    });
    eventually("the reason in the log", || {
        process.log().contains("nothing moves for 1 s: accepting encoders").then_some(())
    });

    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    manager.hears_that("WATCHDOG=1");
    // All that time the stream went on.
    assert_eq!(process.get("/sessions").as_array().unwrap().len(), 1);
}
