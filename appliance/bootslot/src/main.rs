//! RAUC's boot loader back end: parses its command line, acts, and maps the outcome to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use nodi_bootslot::command::USAGE;
use nodi_bootslot::{Command, Jetson, exit, slots};

#[allow(clippy::print_stderr, reason = "standard error is how RAUC's journal and the agent get the reason")]
fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if matches!(words.as_slice(), ["--help" | "-h"]) {
        return answer(USAGE);
    }
    if matches!(words.as_slice(), ["--version"]) {
        return answer(concat!("nodi-bootslot ", env!("CARGO_PKG_VERSION")));
    }
    let Some(command) = Command::parse(&words) else {
        eprintln!("{USAGE}");
        eprintln!("not a command: {}", words.join(" "));
        return ExitCode::from(exit::USAGE);
    };
    match slots::run(command, &mut Jetson::from_environment()) {
        Ok(Some(text)) => answer(text),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Who cannot be told has no answer.
fn answer(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit::FAILURE),
    }
}
