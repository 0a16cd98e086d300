//! What can be tried.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::sys;

/// Nothing on the cable between two namespaces is as slow as this.
const CONNECT: Duration = Duration::from_secs(3);
const MARK: &[u8] = b"nodi-probe";

/// None: there is no such attempt.
pub(crate) fn make(name: &str, argument: &str) -> Option<io::Result<()>> {
    let tried = match name {
        "read" => read(argument),
        "list" => fs::read_dir(argument).map(drop),
        "see" => fs::symlink_metadata(argument).map(drop),
        "write" => write(argument),
        "create" => create(argument),
        "append" => OpenOptions::new().append(true).open(argument).map(drop),
        "set-user-id" => set_user_id(argument),
        "link" => symlink("/etc/passwd", argument).and_then(|()| fs::remove_file(argument)),
        "open" => OpenOptions::new().read(true).write(true).open(argument).map(drop),
        "run" => Command::new(argument).arg("--version").output().map(drop),
        "connect" => connect(argument),
        "listen" => TcpListener::bind(argument).map(drop),
        "send" => datagram(argument),
        "local" => UnixStream::connect(argument).map(drop),
        "raw-socket" => sys::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        "packet-socket" => sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0),
        "netlink-socket" => sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0),
        "inet-socket" => sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0),
        "vsock-socket" => sys::socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        "user-namespace" => sys::unshare(libc::CLONE_NEWUSER),
        "net-namespace" => sys::unshare(libc::CLONE_NEWNET),
        "mount-namespace" => sys::unshare(libc::CLONE_NEWNS),
        "mount" => sys::mount(),
        "trace" => number(argument).and_then(sys::seize),
        "memory" => File::open(format!("/proc/{argument}/mem")).map(drop),
        "environment" => read(&format!("/proc/{argument}/environ")),
        "process" => fs::metadata(format!("/proc/{argument}")).map(drop),
        "kill" => number(argument).and_then(sys::kill),
        "writable-code" => sys::writable_code(),
        "module" => sys::load_module(),
        "reboot" => sys::reboot(),
        "clock" => sys::set_clock(),
        "root" => sys::become_user(0),
        "bpf" => sys::bpf(),
        "keyring" => sys::keyring(),
        "personality" => sys::personality(),
        "real-time" => sys::real_time(),
        _ => return None,
    };
    Some(tried)
}

fn number(text: &str) -> io::Result<i32> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not a process id")))
}

/// A byte of it: opening alone succeeds for some files of `/proc`.
fn read(path: &str) -> io::Result<()> {
    let mut byte = [0];
    File::open(path)?.read(&mut byte).map(drop)
}

fn create(path: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    fs::remove_file(path)
}

/// A file in this directory, written and taken away again.
fn write(directory: &str) -> io::Result<()> {
    let path = format!("{directory}/.nodi-probe-{}", std::process::id());
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all(MARK)?;
    drop(file);
    fs::remove_file(path)
}

/// A program in this directory that runs as its owner.
fn set_user_id(directory: &str) -> io::Result<()> {
    const SET_USER_ID: u32 = 0o4755;
    let path = format!("{directory}/.nodi-probe-suid-{}", std::process::id());
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    let done = fs::set_permissions(&path, fs::Permissions::from_mode(SET_USER_ID));
    fs::remove_file(path)?;
    done
}

/// A refusal comes from a peer that was reached.
fn connect(address: &str) -> io::Result<()> {
    let target: SocketAddr =
        address.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
    match TcpStream::connect_timeout(&target, CONNECT) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => other.map(drop),
    }
}

fn datagram(address: &str) -> io::Result<()> {
    UdpSocket::bind("0.0.0.0:0")?.send_to(MARK, address).map(drop)
}
