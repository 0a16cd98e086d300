//! `nvbootctrl`: running it, and reading what it prints.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::command::Slot;

/// More than it ever prints. What is behind it is not read.
const LONGEST: u64 = 16 << 10;
const FIRST_POLL: Duration = Duration::from_millis(1);
const LONGEST_POLL: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start {program:?}: {source}")]
    Start { program: OsString, source: io::Error },
    #[error("{program:?} {arguments}: {status}{said}")]
    Failed { program: OsString, arguments: String, status: ExitStatus, said: String },
    #[error("{program:?} {arguments}: no answer within {} s", .deadline.as_secs())]
    Deadline { program: OsString, arguments: String, deadline: Duration },
    #[error("nvbootctrl {arguments}: cannot make sense of {line:?}")]
    Output { arguments: &'static str, line: String },
}

/// Runs `program` and returns its standard output.
///
/// # Errors
/// When it cannot be started, does not end with 0, or not before the deadline.
pub fn run(program: &OsStr, arguments: &[&str], deadline: Duration) -> Result<String, Error> {
    let failed = |source| Error::Start { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let Some(status) = wait(&mut child, deadline).map_err(failed)? else {
        // It may be stuck in the kernel, where not even this ends it.
        let _ = child.kill();
        return Err(Error::Deadline {
            program: program.to_owned(),
            arguments: arguments.join(" "),
            deadline,
        });
    };
    let out = text(child.stdout.take());
    if status.success() {
        return Ok(out);
    }
    let err = text(child.stderr.take());
    let last_of = |text: &str| text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
    let last = last_of(&err).or_else(|| last_of(&out));
    Err(Error::Failed {
        program: program.to_owned(),
        arguments: arguments.join(" "),
        status,
        said: last.map(|line| format!(": {line}")).unwrap_or_default(),
    })
}

fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + deadline;
    let mut poll = FIRST_POLL;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(poll);
        poll = (poll * 2).min(LONGEST_POLL);
    }
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before an error is still the best there is to show, or to fail on.
        let _ = pipe.take(LONGEST).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Of `dump-slots-info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// The slot of the next boot.
    pub active: Slot,
    pub slots: u32,
}

pub(crate) const DUMP: &str = "dump-slots-info";

impl Info {
    /// # Errors
    /// Names the line that is missing or says something else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self {
            active: field(text, "Active bootloader slot:", Slot::from_name)?,
            slots: field(text, "num_slots:", |value| value.parse().ok())?,
        })
    }
}

/// Of `get-current-slot`.
///
/// # Errors
/// When it is neither 0 nor 1.
pub fn parse_current(text: &str) -> Result<Slot, Error> {
    Slot::from_number(text.trim())
        .ok_or_else(|| Error::Output { arguments: "get-current-slot", line: text.trim().to_owned() })
}

/// Attempts that the launcher's counter has for `slot`, of `-t rootfs dump-slots-info`; `None`: it does not say.
#[must_use]
pub fn attempts(text: &str, slot: Slot) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(',').map(str::trim));
    lines.find_map(|mut fields| {
        let of = fields.next()?.strip_prefix("slot:")?.trim();
        if of != slot.number() {
            return None;
        }
        fields.find_map(|field| field.strip_prefix("retry_count:")?.trim().parse().ok())
    })
}

fn field<T>(text: &str, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let Some(value) = text.lines().find_map(|line| line.trim().strip_prefix(name)) else {
        return Err(Error::Output { arguments: DUMP, line: format!("no line {name}") });
    };
    parse(value.trim())
        .ok_or_else(|| Error::Output { arguments: DUMP, line: format!("{name} {}", value.trim()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "Current version: 39.2.0\nCapsule update status: 0\nCurrent bootloader slot: A\n\
        Active bootloader slot: B\nnum_slots: 2\nslot: 0,             status: normal\nslot: 1,             status: unbootable\n";
    const ROOTFS: &str = "Current rootfs slot: B\nActive rootfs slot: B\nnum_slots: 2\n\
        slot: 0,             retry_count: 0,             status: unbootable\n\
        slot: 1,             retry_count: 3,             status: normal\n";

    #[test]
    fn the_tools_words_are_understood() {
        assert_eq!(Info::parse(BOTH).unwrap(), Info { active: Slot::B, slots: 2 });
        assert_eq!(parse_current("1\n").unwrap(), Slot::B);
        assert_eq!(attempts(ROOTFS, Slot::A), Some(0));
        assert_eq!(attempts(ROOTFS, Slot::B), Some(3));
        assert_eq!(attempts(BOTH, Slot::B), None);
    }

    #[test]
    fn anything_else_is_an_error_that_shows_it() {
        for (text, shown) in [
            ("", "Active bootloader slot:"),
            ("Active bootloader slot: C\nnum_slots: 2", "Active bootloader slot: C"),
            ("Active bootloader slot: A\nnum_slots: two", "num_slots: two"),
        ] {
            let error = Info::parse(text).unwrap_err().to_string();
            assert!(error.contains(shown), "{error}");
        }
        assert!(parse_current("Error: no such thing").unwrap_err().to_string().contains("no such thing"));
    }

    #[test]
    fn a_tool_that_fails_or_hangs_is_told_with_what_it_said() {
        let sh = |script: &str, ms| run(OsStr::new("sh"), &["-c", script], Duration::from_millis(ms));
        assert_eq!(sh("echo 0", 10_000).unwrap(), "0\n");
        let error =
            sh("echo half; echo 'Error: can not open /dev/mem' >&2; exit 1", 10_000).unwrap_err().to_string();
        assert!(error.contains("exit status: 1: Error: can not open /dev/mem"), "{error}");
        assert!(sh("echo only here; exit 3", 10_000).unwrap_err().to_string().contains("only here"));
        assert!(sh("exec sleep 60", 50).unwrap_err().to_string().contains("no answer"));
        assert!(matches!(
            run(OsStr::new("/nowhere/nvbootctrl"), &[], Duration::ZERO),
            Err(Error::Start { .. })
        ));
    }
}
