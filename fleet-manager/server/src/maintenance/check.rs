//! `nodi-fleet check`: whether database, keys and certificates are sound. Changes nothing, also while the server runs.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bundles;
use crate::ca::Authority;
use crate::channels;
use crate::clock::{Clock, millis};
use crate::config::Config;
use crate::db;
use crate::db::migrate;
use crate::http::tls;
use crate::site;

/// A certificate that ends within so long is worth a warning.
const SOON: Duration = Duration::from_secs(21 * 86_400);
/// Findings of one kind that are told; the rest is the same.
const MOST: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub text: String,
}

impl Finding {
    fn ok(text: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into() }
    }

    fn warning(text: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into() }
    }

    fn error(text: impl Into<String>) -> Self {
        Self { level: Level::Error, text: text.into() }
    }
}

/// Rows that no foreign key can tell to be wrong: what is wrong, and a query for where.
const ORPHANS: [(&str, &str); 8] = [
    (
        "a channel counts other followers than it has",
        "SELECT id FROM channel WHERE followers <> (SELECT count(*) FROM follow WHERE channel_id = channel.id)",
    ),
    (
        "a stream key has a version that its channel has not given out",
        "SELECT channel_id || ' ' || version FROM stream_key JOIN channel ON channel.id = channel_id
         WHERE version >= next_version",
    ),
    (
        "a stream key counts as valid although its channel refuses its version",
        "SELECT channel_id || ' ' || version FROM stream_key JOIN channel ON channel.id = channel_id
         WHERE version < min_version AND revoked_ms IS NULL",
    ),
    (
        "an update that is not over has no order for its box",
        "SELECT id FROM box_update WHERE over_ms IS NULL AND assumed = 0 AND message IS NULL
         AND state IN ('ordered', 'waiting', 'downloading')",
    ),
    (
        "an update that is over has still a token for its bundle",
        "SELECT id FROM box_update WHERE over_ms IS NOT NULL AND (token_digest IS NOT NULL OR message IS NOT NULL)",
    ),
    (
        "a rollout that is not over needs a bundle that is not there",
        "SELECT id FROM rollout WHERE ended_ms IS NULL AND bundle NOT IN (SELECT sha256 FROM bundle)",
    ),
    (
        "a rollout that is over does not say when",
        "SELECT id FROM rollout WHERE (state IN ('done', 'aborted')) <> (ended_ms IS NOT NULL)",
    ),
    (
        "there is no administrator who can log in",
        "SELECT 'people' WHERE NOT EXISTS
         (SELECT 1 FROM person WHERE role = 'administrator' AND disabled_ms IS NULL)",
    ),
];

/// Looks at everything.
#[must_use]
pub fn check(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = config.database();
    if path.exists() {
        let found = db::connect(&path, false).and_then(|connection| {
            connection.pragma_update(None, "query_only", true)?;
            let mut found = database_findings(&connection)?;
            found.extend(bundle_findings(&connection, config)?);
            Ok(found)
        });
        match found {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(Finding::error(format!("database {}: {error}", path.display()))),
        }
    } else {
        findings.push(Finding::error(format!("database {}: there is none", path.display())));
    }
    match channels::SigningKey::load(config) {
        Ok(_) => findings.push(Finding::ok("signing key")),
        Err(error) => findings.push(Finding::error(format!("signing key: {error}"))),
    }
    match site::chat_key::load(config) {
        Ok(_) => findings.push(Finding::ok("key of chat tokens")),
        Err(error) => findings.push(Finding::error(format!("key of chat tokens: {error}"))),
    }
    let now_ms = clock.unix_ms();
    match Authority::load(&config.ca_dir()) {
        Ok(authority) => {
            findings.push(expiry("certificate authority", authority.not_after_ms(), now_ms));
        }
        Err(error) => findings.push(Finding::error(format!("certificate authority: {error}"))),
    }
    if let Some(path) = config.http.tls.as_ref().and_then(|tls| tls.certificate.as_deref()) {
        findings.push(match not_after_ms(path) {
            Ok(not_after_ms) => expiry("server certificate", not_after_ms, now_ms),
            Err(error) => Finding::error(format!("server certificate: {error}")),
        });
    }
    findings
}

fn expiry(what: &str, not_after_ms: i64, now_ms: i64) -> Finding {
    let days = (not_after_ms - now_ms) / 86_400_000;
    if not_after_ms <= now_ms {
        Finding::error(format!("{what}: ended {} days ago", -days))
    } else if not_after_ms - now_ms <= millis(SOON) {
        Finding::warning(format!("{what}: ends in {days} days"))
    } else {
        Finding::ok(format!("{what}: good for {days} days"))
    }
}

fn not_after_ms(path: &Path) -> Result<i64, String> {
    let chain = tls::certificates(path).map_err(|error| error.to_string())?;
    let mut ends = Vec::new();
    for certificate in &chain {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        ends.push(certificate.validity().not_after.timestamp().saturating_mul(1_000));
    }
    ends.into_iter().min().ok_or_else(|| "no certificate in it".to_owned())
}

/// The files of bundles, which are no part of a backup of the database.
fn bundle_findings(connection: &Connection, config: &Config) -> rusqlite::Result<Vec<Finding>> {
    if migrate::version(connection)? != migrate::VERSION {
        return Ok(Vec::new());
    }
    let missing = bundles::missing_files(connection, &bundles::directory(config))?;
    if missing.is_empty() {
        return Ok(vec![Finding::ok("files of bundles")]);
    }
    let told = missing.into_iter().take(MOST).map(|(bundle, needed)| {
        let text = format!("bundle {bundle}: its file is missing or cut: upload it again");
        if needed { Finding::error(text) } else { Finding::warning(text) }
    });
    Ok(told.collect())
}

/// The database alone.
pub(super) fn database_findings(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let version = migrate::version(connection)?;
    findings.push(if migrate::application_id(connection)? != migrate::APPLICATION_ID {
        Finding::error("database: it is not one of nodi-fleet")
    } else if version > migrate::VERSION {
        Finding::error(format!("database: schema {version}, this build reads {}", migrate::VERSION))
    } else if version < migrate::VERSION {
        Finding::warning(format!(
            "database: schema {version}; the server's next start makes it {}",
            migrate::VERSION
        ))
    } else {
        Finding::ok(format!("database: schema {version}"))
    });
    let told = texts(connection, &format!("PRAGMA integrity_check({MOST})"))?;
    if told == ["ok"] {
        findings.push(Finding::ok("database: pages and indexes"));
    } else {
        findings.extend(told.into_iter().map(|text| Finding::error(format!("database: {text}"))));
    }
    let mut broken = 0;
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        broken += 1;
        if broken <= MOST {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            findings
                .push(Finding::error(format!("database: a row of {table} refers to nothing in {parent}")));
        }
    }
    if broken == 0 {
        findings.push(Finding::ok("database: references"));
    }
    if version == migrate::VERSION {
        let before = findings.len();
        for (what, query) in ORPHANS {
            let found = texts(connection, &format!("{query} LIMIT {MOST}"))?;
            findings.extend(found.iter().map(|place| Finding::error(format!("database: {what}: {place}"))));
        }
        if findings.len() == before {
            findings.push(Finding::ok("database: rows that belong together"));
        }
    }
    Ok(findings)
}

fn texts(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}
