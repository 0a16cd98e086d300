//! Cutting off revoked boxes: the broker gets a new list of revoked certificates, so that they do not come back, and
//! their connections are taken over, so that they go.
//!
//! Neither alone is enough: a broker checks the list when a connection is made and never again, and whose connection
//! was taken over just makes the next. That the list counts is not believed but tried, with a certificate that is on it.

use std::collections::BTreeSet;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nodi_mqtt::{Always, Attempt, Backoff, Event, Options, Why};
use nodi_protocol::BoxId;
use tokio::process::Command;
use tokio::sync::Notify;

use super::session::tls;
use crate::ca::{Identity, Revoked};
use crate::enrolment::revoked_certificates;
use crate::error::Error;
use crate::state::App;

/// For the certificates that the server makes for itself here.
const VALIDITY: Duration = Duration::from_secs(600);
/// A broker that does not answer within this is asked again.
const CONNECT: Duration = Duration::from_secs(5);
/// After a reload command a broker may take so long to do as told before it is told again.
const AGAIN: Duration = Duration::from_secs(2);
const TRY: Duration = Duration::from_millis(250);
/// The command that makes the broker read its list.
const RELOAD: Duration = Duration::from_secs(30);
/// Common name of the certificate that is tried. No box has such a name.
const PROBE: &str = "nodi-revoked-probe";

/// Boxes that have to go.
#[derive(Default)]
pub(super) struct Cuts {
    waiting: Mutex<BTreeSet<BoxId>>,
    news: Notify,
}

impl Cuts {
    pub(super) fn add(&self, id: BoxId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.news.notify_one();
    }

    fn take(&self) -> BTreeSet<BoxId> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The list of revoked certificates as of now, PEM.
///
/// # Errors
/// When the database or signing fails.
pub async fn revocation_list(app: &App) -> Result<String, Error> {
    list(app, None).await
}

async fn list(app: &App, probe: Option<Revoked>) -> Result<String, Error> {
    let (mut revoked, number) = app
        .db
        .write(|tx| {
            let revoked = revoked_certificates(tx)?;
            let number: i64 =
                tx.query_row("UPDATE revocation_list SET number = number + 1 RETURNING number", [], |row| {
                    row.get(0)
                })?;
            Ok((revoked, number))
        })
        .await?;
    revoked.extend(probe);
    let number = u64::try_from(number).unwrap_or(0);
    Ok(app.enrolment.authority.revocation_list(&revoked, number, app.now_ms())?)
}

/// Cuts off whoever was revoked, for ever.
pub(super) async fn run(app: App) {
    // Whoever was revoked while this process was down, or whose cut it did not live to finish: all of them at once.
    let mut boxes: BTreeSet<BoxId> = app
        .boxes
        .registry
        .records()
        .iter()
        .filter(|record| record.revoked.is_some())
        .map(|record| record.id.clone())
        .collect();
    let mut first = true;
    loop {
        if !std::mem::take(&mut first) || boxes.is_empty() {
            app.link.cuts.news.notified().await;
            boxes.extend(app.link.cuts.take());
        }
        if boxes.is_empty() {
            continue;
        }
        // An error is tried again: a box that is still there is worse than a busy log.
        while let Err(error) = cut(&app, &boxes).await {
            log::error!("revoked boxes: {error}");
            tokio::time::sleep(AGAIN).await;
            boxes.extend(app.link.cuts.take());
        }
        boxes.clear();
    }
}

async fn cut(app: &App, boxes: &BTreeSet<BoxId>) -> Result<(), Error> {
    let probe = app.enrolment.authority.issue_client(PROBE, VALIDITY, app.now_ms())?;
    publish(app, &probe).await?;
    // Gone at once, even if the broker takes its time with the list.
    take_over(app, boxes).await;
    if app.config.broker.revocation_lists.is_empty() {
        log::warn!(
            "broker.revocation_lists is empty: revoked boxes can connect again until their certificates end"
        );
        return Ok(());
    }
    reload(app).await?;
    let mut told = tokio::time::Instant::now();
    loop {
        match connects(app, PROBE, &probe).await? {
            Verdict::Refused => break,
            Verdict::Accepted if told.elapsed() >= AGAIN => {
                log::warn!("the broker does not go by the new revocation list yet: telling it again");
                reload(app).await?;
                told = tokio::time::Instant::now();
            }
            Verdict::Accepted | Verdict::Away => {}
        }
        tokio::time::sleep(TRY).await;
    }
    // Whoever came back before the list counted goes now, and does not come back.
    take_over(app, boxes).await;
    for id in boxes {
        log::info!(box_id:% = id; "box is cut off from the broker");
    }
    Ok(())
}

/// Writes the list to wherever the broker reads it.
async fn publish(app: &App, probe: &Identity) -> Result<(), Error> {
    let probe = Revoked { serial: probe.certificate.serial.clone(), at_ms: app.now_ms() };
    let pem = list(app, Some(probe)).await?;
    for path in &app.config.broker.revocation_lists {
        let (path, pem) = (path.clone(), pem.clone());
        let shown = path.clone();
        tokio::task::spawn_blocking(move || replace(&path, pem.as_bytes()))
            .await
            .map_err(|error| Error::Internal(error.to_string()))?
            .map_err(|error| Error::Internal(format!("{}: {error}", shown.display())))?;
    }
    Ok(())
}

/// Replaces a file as a whole. A broker that reads it in this moment reads the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    file.write_all(bytes)?;
    // The broker runs as another user.
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Makes the broker read its list.
async fn reload(app: &App) -> Result<(), Error> {
    let Some((program, arguments)) = app.config.broker.reload.split_first() else {
        log::warn!("broker.reload is empty: nobody tells the broker that its revocation list is new");
        return Ok(());
    };
    let failed = |reason: String| Error::Internal(format!("broker.reload: {reason}"));
    let output = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(RELOAD, output)
        .await
        .map_err(|_| failed(format!("not done after {} s", RELOAD.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}: {}", output.status, words.trim().chars().take(200).collect::<String>())))
}

/// Takes the place of each box at the broker, which ends the box's connection and its session.
async fn take_over(app: &App, boxes: &BTreeSet<BoxId>) {
    for id in boxes {
        let taken = async {
            let identity = app.enrolment.authority.issue_client(id.as_str(), VALIDITY, app.now_ms())?;
            connects(app, id.as_str(), &identity).await
        };
        match taken.await {
            Ok(Verdict::Accepted) => {}
            Ok(Verdict::Refused) => {
                log::error!(box_id:% = id; "the broker refuses to end the box's connection")
            }
            Ok(Verdict::Away) => {
                log::warn!(box_id:% = id; "the broker is away, and with it the box's connection")
            }
            Err(error) => log::error!(box_id:% = id; "cannot end the box's connection: {error}"),
        }
    }
}

enum Verdict {
    Accepted,
    /// The broker does not take this certificate.
    Refused,
    /// There is no broker to ask.
    Away,
}

/// Connects once, leaves nothing behind, and says how it went.
async fn connects(app: &App, name: &str, identity: &Identity) -> Result<Verdict, Error> {
    let broker = &app.config.broker;
    let mut options = Options::new(name);
    options.session_expiry = Duration::ZERO;
    options.connect_timeout = CONNECT;
    options.backoff = Backoff { min: AGAIN, max: AGAIN };
    let attempt = Attempt::new(broker.host.clone(), broker.port, tls(&app.enrolment.authority, identity)?);
    let (link, mut events, driver) = nodi_mqtt::open(options, Always(attempt));
    let ask = async {
        loop {
            match events.recv().await {
                Some(Event::Connected { .. }) => {
                    link.close(Vec::new(), CONNECT).await;
                    break Verdict::Accepted;
                }
                Some(Event::Disconnected(why)) => {
                    break match why {
                        Why::Unreachable(_) | Why::Silent | Why::Preparation(_) => Verdict::Away,
                        _ => Verdict::Refused,
                    };
                }
                Some(_) => {}
                None => break Verdict::Away,
            }
        }
    };
    // The driver lives as long as the question.
    tokio::select! {
        verdict = ask => Ok(verdict),
        () = driver.run() => Ok(Verdict::Away),
    }
}
