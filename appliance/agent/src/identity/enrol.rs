//! Asking to be part of the fleet, for as long as it takes.

use std::path::Path;
use std::time::Duration;

use nodi_daemon::shutdown::Shutdown;
use nodi_protocol::enrol::{Enrolled, Provisioning, Request};
use nodi_protocol::fleet::presence::Hardware;

use super::Identity;
use crate::clock::Clock;
use crate::files;
use crate::fleet::{Answer, Error, Fleet};
use crate::time;

/// Pause after a failure that may pass, doubled up to the longest.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The fleet said no. An operator may change their mind, or correct the claim code on the disk.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// Shortest and longest pause that the fleet server may ask for.
const RETRY_S: std::ops::RangeInclusive<u32> = 1..=300;

/// Asks until the answer is a certificate; `None` when the process is to stop. The pairing code of a box that waits is
/// in the log and in `pairing_file`, for a console to show.
pub(crate) async fn enrol(
    identity: &Identity,
    fleet: &Fleet,
    clock: &Clock,
    hardware: &Hardware,
    provisioning: &Path,
    pairing_file: &Path,
    shutdown: &Shutdown,
) -> Option<Enrolled> {
    let mut pause = PAUSE;
    let mut said = None;
    loop {
        if shutdown.is_asked() {
            return None;
        }
        let wait = match attempt(identity, fleet, clock, hardware, provisioning).await {
            Ok(Answer::Enrolled(enrolled)) => {
                // Not there when there was no need for one.
                let _ = std::fs::remove_file(pairing_file);
                log::info!(box_id:% = enrolled.box_id, broker = enrolled.broker.host; "enrolled");
                return Some(*enrolled);
            }
            Ok(Answer::Waiting(waiting)) => {
                pause = PAUSE;
                if said.as_ref() != Some(&waiting.code) {
                    log::warn!(box_id:% = waiting.box_id, code = waiting.code;
                        "waiting for a person to let this box in: its pairing code is {}", waiting.code);
                    let text = format!("{}\n", waiting.code);
                    if let Err(error) = files::replace(pairing_file, text.as_bytes(), 0o644) {
                        log::warn!("pairing code {}: {error}", pairing_file.display());
                    }
                    said = Some(waiting.code);
                }
                Duration::from_secs(u64::from(waiting.retry_s.clamp(*RETRY_S.start(), *RETRY_S.end())))
            }
            Err(error) => {
                log::warn!(box_id:% = identity.box_id; "enrolment: {error}");
                if error.is_final() {
                    REFUSED_PAUSE
                } else {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    pause / 2
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => return None,
        }
    }
}

async fn attempt(
    identity: &Identity,
    fleet: &Fleet,
    clock: &Clock,
    hardware: &Hardware,
    provisioning: &Path,
) -> Result<Answer, Error> {
    if !clock.is_told() {
        // The fleet server's certificate is judged by it in a moment.
        time::ask(fleet, clock).await?;
    }
    // Read each time: a wrong claim code can be corrected without a restart.
    let claim_code = match load(provisioning) {
        Ok(provisioning) => provisioning.claim_code,
        Err(error) => {
            log::warn!("{}: {error}", provisioning.display());
            None
        }
    };
    let request = Request {
        csr_pem: identity.request().map_err(|error| Error::Unusable(error.to_string()))?,
        claim_code,
        hardware: hardware.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let answer = fleet.enrol(&request).await?;
    if let Answer::Enrolled(enrolled) = &answer {
        identity.keep(enrolled).map_err(|error| Error::Unusable(error.to_string()))?;
    }
    Ok(answer)
}

/// Reads the provisioning file.
///
/// # Errors
/// When it cannot be read or is not one.
pub(crate) fn load(path: &Path) -> std::io::Result<Provisioning> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}
