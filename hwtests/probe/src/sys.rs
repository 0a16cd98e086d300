//! System calls that the standard library has no words for.

#![allow(unsafe_code, reason = "asking the kernel for what it should refuse is the point of this program")]

use std::io;

/// Numbers only: no memory of ours is handed over unless it is `bytes` or null.
fn call(number: libc::c_long, arguments: [libc::c_long; 5]) -> io::Result<libc::c_long> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: callers pass numbers and pointers that are null or to buffers that outlive the call.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn address(text: &std::ffi::CStr) -> libc::c_long {
    text.as_ptr() as libc::c_long
}

pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    call(libc::SYS_unshare, [flags.into(), 0, 0, 0, 0]).map(drop)
}

pub(crate) fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<()> {
    call(libc::SYS_socket, [family.into(), kind.into(), protocol.into(), 0, 0]).map(drop)
}

/// A file system that the kernel does not know: who may mount is told that, and nothing is mounted.
pub(crate) fn mount() -> io::Result<()> {
    let arguments = [address(c"none"), address(c"/"), address(c"nodi-no-such-file-system"), 0, 0];
    entitled(call(libc::SYS_mount, arguments), libc::ENODEV)
}

/// Signal 0: asks for the permission alone.
pub(crate) fn kill(pid: i32) -> io::Result<()> {
    call(libc::SYS_kill, [pid.into(), 0, 0, 0, 0]).map(drop)
}

pub(crate) fn seize(pid: i32) -> io::Result<()> {
    const PTRACE_SEIZE: libc::c_long = 0x4206;
    call(libc::SYS_ptrace, [PTRACE_SEIZE, pid.into(), 0, 0, 0]).map(drop)
}

/// Memory that can be written and executed.
pub(crate) fn writable_code() -> io::Result<()> {
    const BYTES: libc::c_long = 4096;
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, of which nothing is used.
    let place = unsafe { libc::syscall(libc::SYS_mmap, 0, BYTES, protection, flags, -1, 0) };
    if place < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A module without a byte: who may load one is told that it is none.
pub(crate) fn load_module() -> io::Result<()> {
    entitled(call(libc::SYS_init_module, [0, 0, address(c""), 0, 0]), libc::ENOEXEC)
}

/// With a magic number that the kernel does not know.
pub(crate) fn reboot() -> io::Result<()> {
    entitled(call(libc::SYS_reboot, [1, 2, 3, 0, 0]), libc::EINVAL)
}

/// To what it is: the kernel looks at the time before it looks at who asks, so that an impossible one tells nothing.
pub(crate) fn set_clock() -> io::Result<()> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let place = std::ptr::from_mut(&mut now) as libc::c_long;
    call(libc::SYS_clock_gettime, [libc::CLOCK_REALTIME.into(), place, 0, 0, 0])?;
    call(libc::SYS_clock_settime, [libc::CLOCK_REALTIME.into(), place, 0, 0, 0]).map(drop)
}

pub(crate) fn become_user(id: libc::uid_t) -> io::Result<()> {
    call(libc::SYS_setuid, [id.into(), 0, 0, 0, 0]).map(drop)
}

/// A BPF map with nothing said about it.
pub(crate) fn bpf() -> io::Result<()> {
    entitled(call(libc::SYS_bpf, [0, 0, 0, 0, 0]), libc::EINVAL)
}

pub(crate) fn keyring() -> io::Result<()> {
    // KEYCTL_JOIN_SESSION_KEYRING, an anonymous one.
    call(libc::SYS_keyctl, [1, 0, 0, 0, 0]).map(drop)
}

/// Another execution domain, such as one that makes addresses predictable.
pub(crate) fn personality() -> io::Result<()> {
    const ADDR_NO_RANDOMIZE: libc::c_long = 0x004_0000;
    call(libc::SYS_personality, [ADDR_NO_RANDOMIZE, 0, 0, 0, 0]).map(drop)
}

pub(crate) fn real_time() -> io::Result<()> {
    let highest = libc::sched_param { sched_priority: 1 };
    let place = std::ptr::from_ref(&highest) as libc::c_long;
    call(libc::SYS_sched_setscheduler, [0, libc::SCHED_FIFO.into(), place, 0, 0]).map(drop)
}

/// An error that only who is entitled is told counts as done.
fn entitled(answer: io::Result<libc::c_long>, told: i32) -> io::Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(told) => Ok(()),
        Err(error) => Err(error),
    }
}
