//! Tries to break out of the sandbox that it is started in, and says what the kernel let it do. Not shipped: the hardware
//! tests start it in place of a service's program, with everything else as in the service's unit.
//!
//! Every argument is one attempt, `NAME` or `NAME:ARGUMENT`; for each one line of JSON is printed: `attempt`, `done`, and `why`
//! not. Attempts that would do harm are made so that they fail behind the check that is asked about, with an error that only
//! comes once the caller is entitled.

mod attempts;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut unknown = false;
    for attempt in std::env::args().skip(1) {
        let (name, argument) = attempt.split_once(':').unwrap_or((&attempt, ""));
        let Some(tried) = attempts::make(name, argument) else {
            unknown = true;
            continue;
        };
        let line = serde_json::json!({
            "attempt": attempt,
            "done": tried.is_ok(),
            "why": tried.err().map(|error| error.to_string()),
        });
        #[allow(clippy::print_stdout, reason = "this is what it is for")]
        {
            println!("{line}");
        }
    }
    if unknown { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
