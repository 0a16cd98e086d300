//! Giving a command.

use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::command::{Action, Command, Process, Upload};
use nodi_protocol::{BoxId, CommandId, SessionId};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::store::{self, CommandView};
use crate::audit::{self, Actor};
use crate::boxes;
use crate::db::Tx;
use crate::error::Error;
use crate::ids;
use crate::state::App;

/// A box that is away for longer than this does not begin any more, in seconds.
const DEFAULT_EXPIRES_S: u32 = 300;
const EXPIRES_S: std::ops::RangeInclusive<u32> = 10..=7 * 24 * 3_600;
const TIMEOUT_S: std::ops::RangeInclusive<u32> = 5..=3_600;
const MAX_REASON: usize = 200;
/// A journal range that one file can hold.
const MAX_LOGS_MS: u64 = 31 * 24 * 3_600 * 1_000;
/// What is sent to measure an uplink: enough for a second of the slowest line, at most ten of a gigabit one.
const MEASURE_BYTES: std::ops::RangeInclusive<u64> = 100_000..=1_250_000_000;

/// What a box is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NewAction {
    RestartProcess {
        process: Process,
    },
    Reboot {},
    /// Makes itself known to a person in front of it.
    Identify {
        #[schema(minimum = 1, maximum = 600)]
        seconds: u32,
    },
    EndSession {
        session: SessionId,
        #[schema(max_length = 200)]
        reason: String,
    },
    /// A range of the journal as one compressed file.
    CollectLogs {
        since_ms: u64,
        until_ms: u64,
    },
    /// A synthetic stream through encoder and segmenter.
    SelfTest {},
    /// Sends so many bytes and measures the rate.
    MeasureUplink {
        #[schema(minimum = 100_000, maximum = 1_250_000_000)]
        bytes: u64,
    },
}

/// Body of `POST /boxes/{id}/commands`.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCommand {
    pub action: NewAction,
    /// A box that has not begun after so many seconds never begins; by default 300.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 604_800)]
    pub expires_s: Option<u32>,
    /// Once it runs: seconds until it has failed. The default depends on the action.
    #[serde(default)]
    #[schema(minimum = 5, maximum = 3_600)]
    pub timeout_s: Option<u32>,
}

impl NewAction {
    /// As it is stored and filtered by.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RestartProcess { .. } => "restart_process",
            Self::Reboot {} => "reboot",
            Self::Identify { .. } => "identify",
            Self::EndSession { .. } => "end_session",
            Self::CollectLogs { .. } => "collect_logs",
            Self::SelfTest {} => "self_test",
            Self::MeasureUplink { .. } => "measure_uplink",
        }
    }

    /// Seconds that it takes at most on a box that is well.
    fn usual_timeout_s(&self) -> u32 {
        match self {
            Self::RestartProcess { .. } => 60,
            Self::Reboot {} | Self::CollectLogs { .. } => 600,
            Self::Identify { seconds } => seconds + 30,
            Self::EndSession { .. } => 30,
            Self::SelfTest {} => 180,
            Self::MeasureUplink { .. } => 120,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let invalid = |field: &str, reason: String| Err(Error::invalid(format!("action.{field}"), reason));
        match self {
            Self::Identify { seconds } if !(1..=600).contains(seconds) => {
                invalid("seconds", format!("{seconds} is not between 1 and 600"))
            }
            Self::EndSession { reason, .. } if reason.chars().count() > MAX_REASON => {
                invalid("reason", format!("is longer than {MAX_REASON} characters"))
            }
            Self::CollectLogs { since_ms, until_ms } if until_ms <= since_ms => {
                invalid("until_ms", "is not after since_ms".to_owned())
            }
            Self::CollectLogs { since_ms, until_ms } if until_ms - since_ms > MAX_LOGS_MS => {
                invalid("since_ms", "is more than 31 days before until_ms".to_owned())
            }
            Self::CollectLogs { until_ms, .. } if i64::try_from(*until_ms).is_err() => {
                invalid("until_ms", "is no time".to_owned())
            }
            Self::MeasureUplink { bytes } if !MEASURE_BYTES.contains(bytes) => invalid(
                "bytes",
                format!("{bytes} is not between {} and {}", MEASURE_BYTES.start(), MEASURE_BYTES.end()),
            ),
            _ => Ok(()),
        }
    }

    /// Longest body that it uploads.
    fn upload_max(&self, config: &super::Config) -> Option<u64> {
        match self {
            Self::CollectLogs { .. } => Some(config.max_upload),
            Self::MeasureUplink { bytes } => Some(*bytes),
            _ => None,
        }
    }

    /// As the box gets it. `upload` is there when [`Self::upload_max`] says so.
    fn message(&self, upload: Option<Upload>) -> Option<Action> {
        Some(match self.clone() {
            Self::RestartProcess { process } => Action::RestartProcess { process },
            Self::Reboot {} => Action::Reboot,
            Self::Identify { seconds } => Action::Identify { seconds },
            Self::EndSession { session, reason } => Action::EndSession { session, reason },
            Self::CollectLogs { since_ms, until_ms } => {
                Action::CollectLogs { since_ms, until_ms, upload: upload? }
            }
            Self::SelfTest {} => Action::SelfTest,
            Self::MeasureUplink { bytes } => Action::MeasureUplink { bytes, upload: upload? },
        })
    }
}

/// Gives a box a command. It is on its way once the transaction is committed.
///
/// # Errors
/// What of it is not possible; or the box is revoked or has too many open ones.
pub fn create(
    app: &App,
    tx: &Tx<'_>,
    box_id: &BoxId,
    new: &NewCommand,
    actor: &Actor,
) -> Result<CommandView, Error> {
    let now_ms = app.now_ms();
    new.action.validate()?;
    let expires_s = new.expires_s.unwrap_or(DEFAULT_EXPIRES_S);
    if !EXPIRES_S.contains(&expires_s) {
        let reason = format!("{expires_s} is not between {} and {}", EXPIRES_S.start(), EXPIRES_S.end());
        return Err(Error::invalid("expires_s", reason));
    }
    let timeout_s = new.timeout_s.unwrap_or_else(|| new.action.usual_timeout_s());
    if !TIMEOUT_S.contains(&timeout_s) {
        let reason = format!("{timeout_s} is not between {} and {}", TIMEOUT_S.start(), TIMEOUT_S.end());
        return Err(Error::invalid("timeout_s", reason));
    }
    let record = boxes::store::one(tx, box_id, now_ms)?.ok_or_else(|| Error::not_found("box", box_id))?;
    if record.revoked.is_some() {
        return Err(Error::conflict(format!("{box_id} is revoked")));
    }
    let open: u32 = tx
        .prepare_cached("SELECT count(*) FROM command WHERE box_id = ?1 AND over_ms IS NULL")?
        .query_row([box_id.as_str()], |row| row.get(0))?;
    if open >= app.config.commands.max_open_per_box {
        return Err(Error::conflict(format!("{box_id} has {open} commands that are not over yet")));
    }

    let unsigned = |ms: i64| u64::try_from(ms).unwrap_or(0);
    let id = CommandId::new(unsigned(now_ms), u128::from_be_bytes(ids::random()?));
    let upload_max = new.action.upload_max(&app.config.commands);
    let upload = match upload_max {
        None => None,
        Some(max_bytes) => Some(Upload {
            url: format!("{}/api/v1/uploads/{id}", app.config.public_url),
            token: ids::secret("nodi_up_")?,
            max_bytes,
        }),
    };
    let digest = upload.as_ref().map(|upload| ids::digest(&upload.token));
    let expires_ms = now_ms + i64::from(expires_s) * 1_000;
    let action = new
        .action
        .message(upload)
        .ok_or_else(|| Error::Internal(format!("{} without its upload", new.action.kind())))?;
    let message =
        Command { id, issued_ms: unsigned(now_ms), expires_ms: unsigned(expires_ms), timeout_s, action };
    let message = message.to_json().map_err(|error| Error::Internal(error.to_string()))?;
    let message = String::from_utf8(message).map_err(|error| Error::Internal(error.to_string()))?;
    tx.prepare_cached(
        "INSERT INTO command (id, box_id, action, kind, message, state, issued_ms, issued_by, expires_ms, timeout_s, \
         updated_ms, upload_digest, upload_max) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7, ?8, ?9, ?6, ?10, ?11)",
    )?
    .execute(params![
        id.to_string(),
        box_id.as_str(),
        serde_json::to_string(&new.action)?,
        new.action.kind(),
        message,
        now_ms,
        actor.name,
        expires_ms,
        timeout_s,
        digest,
        upload_max.map(|max| i64::try_from(max).unwrap_or(i64::MAX)),
    ])?;
    store::step(tx, &id, super::states::State::Queued, "", now_ms)?;
    store::forget_old(tx, box_id, app.config.commands.keep_per_box)?;
    let view = store::one(tx, &id)?.ok_or_else(|| Error::not_found("command", id))?;
    let target = format!("box/{box_id}/command/{id}");
    audit::record(
        tx,
        now_ms,
        actor,
        &format!("command.{}", new.action.kind()),
        &target,
        audit::NONE,
        Some(&new.action),
    )?;
    store::tell(app, tx, &view);
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_possible_is_named() {
        let logs = |since_ms, until_ms| NewAction::CollectLogs { since_ms, until_ms };
        for (action, field) in [
            (NewAction::Identify { seconds: 0 }, "action.seconds"),
            (logs(5, 5), "action.until_ms"),
            (logs(0, MAX_LOGS_MS + 1), "action.since_ms"),
            (logs(u64::MAX - 1, u64::MAX), "action.until_ms"),
            (NewAction::MeasureUplink { bytes: 1 }, "action.bytes"),
        ] {
            match action.validate() {
                Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        logs(0, 5).validate().unwrap();
    }

    #[test]
    fn an_action_is_stored_without_its_token() {
        let action = NewAction::CollectLogs { since_ms: 1, until_ms: 2 };
        let json = serde_json::to_string(&action).unwrap();
        assert_eq!(json, r#"{"kind":"collect_logs","since_ms":1,"until_ms":2}"#);
        let back: NewAction = serde_json::from_str(&json).unwrap();
        assert_eq!(back, action);
        assert!(action.message(None).is_none(), "it cannot go out without its upload");
        assert!(serde_json::from_str::<NewAction>(r#"{"kind":"reboot","now":1}"#).is_err());
    }
}
