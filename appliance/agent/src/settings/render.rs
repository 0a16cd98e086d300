//! From desired settings to the files of the processes. Pure: text in, text out.

use std::path::PathBuf;

use nodi_protocol::fleet::desired::{Limits, LogLevel, Origin, Rung, Settings};
use nodi_protocol::stream_key::Verifier;
use serde::Serialize;

/// Seconds between two measurements.
const TELEMETRY_S: std::ops::RangeInclusive<u32> = 1..=300;
/// More origins than these are a mistake: each gets all of the stream.
const MOST_ORIGINS: usize = 8;

/// What every settings file begins with.
const HEAD: &str = "# Written by nodi-agent from the fleet's desired state; changes made by hand are lost.\n";

/// Paths of the box's identity, as the uplink reads them.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The text of every file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub ingest: String,
    pub transcode: String,
    pub uplink: String,
    /// `None`: the box's own stays.
    pub stream_keys: Option<String>,
}

/// Why settings cannot be put into files, naming the setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(String);

#[derive(Serialize)]
struct IngestFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<LogLevel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a Limits>,
}

#[derive(Serialize)]
struct TranscodeFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<LogLevel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ladder: Option<&'a [Rung]>,
}

#[derive(Serialize)]
struct UplinkFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<LogLevel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Vec<UplinkOrigin>>,
}

#[derive(Serialize)]
struct UplinkOrigin {
    name: String,
    url: String,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

/// # Errors
/// When a setting is none that any box could follow. What the processes themselves judge is left to them.
pub(super) fn files(settings: &Settings, identity: &Identity) -> Result<Files, Unusable> {
    if let Some(seconds) = settings.telemetry_s
        && !TELEMETRY_S.contains(&seconds)
    {
        return Err(Unusable(format!("telemetry_s: {seconds} is not between 1 and 300")));
    }
    crate::update::window::check(settings.maintenance.as_deref().unwrap_or_default())
        .map_err(|bad| Unusable(bad.to_string()))?;
    let stream_keys = settings.stream_keys.as_deref().map(stream_keys).transpose()?;
    let origin = settings.origins.as_deref().map(|origins| uplink_origins(origins, identity)).transpose()?;
    let log_level = settings.log_level;
    Ok(Files {
        ingest: text(&IngestFile { log_level, drain: settings.drain, limits: settings.limits.as_ref() })?,
        transcode: text(&TranscodeFile {
            log_level,
            part_ms: settings.part_ms,
            ladder: settings.ladder.as_deref(),
        })?,
        uplink: text(&UplinkFile { log_level, origin })?,
        stream_keys,
    })
}

fn stream_keys(keys: &[String]) -> Result<String, Unusable> {
    let text = keys.iter().fold(String::new(), |text, key| text + key + "\n");
    match Verifier::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Unusable(format!("stream_keys: {error}"))),
    }
}

fn uplink_origins(origins: &[Origin], identity: &Identity) -> Result<Vec<UplinkOrigin>, Unusable> {
    if origins.is_empty() || origins.len() > MOST_ORIGINS {
        return Err(Unusable(format!("origins: {} of them, not 1 to {MOST_ORIGINS}", origins.len())));
    }
    let origin = |origin: &Origin| UplinkOrigin {
        name: origin.name.clone(),
        url: origin.url.clone(),
        ca: identity.ca.clone(),
        cert: identity.cert.clone(),
        key: identity.key.clone(),
    };
    Ok(origins.iter().map(origin).collect())
}

fn text(file: &impl Serialize) -> Result<String, Unusable> {
    let body = toml::to_string(file).map_err(|error| Unusable(format!("settings: {error}")))?;
    Ok(format!("{HEAD}{body}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { ca: "/id/ca.pem".into(), cert: "/id/certificate.pem".into(), key: "/id/key.pem".into() }
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        let files = files(&Settings::default(), &identity()).unwrap();
        assert_eq!([&files.ingest, &files.transcode, &files.uplink], [HEAD; 3]);
        assert_eq!(files.stream_keys, None);
    }

    #[test]
    fn each_setting_goes_where_it_counts() {
        let settings: Settings = serde_json::from_value(serde_json::json!({
            "log_level": "debug",
            "ladder": [{"name": "720p", "height": 720, "bitrate": 3_000_000}],
            "part_ms": 250,
            "limits": {"bitrate_bps": 8_000_000},
            "origins": [{"name": "a", "url": "https://a.example:8443"}],
            "drain": true,
        }))
        .unwrap();
        let files = files(&settings, &identity()).unwrap();
        let body = |text: &str| text.strip_prefix(HEAD).unwrap().to_owned();
        assert_eq!(
            body(&files.ingest),
            "log_level = \"debug\"\ndrain = true\n\n[limits]\nbitrate_bps = 8000000\n"
        );
        assert_eq!(
            body(&files.transcode),
            "log_level = \"debug\"\npart_ms = 250\n\n[[ladder]]\nname = \"720p\"\nheight = 720\nbitrate = 3000000\n"
        );
        assert_eq!(
            body(&files.uplink),
            "log_level = \"debug\"\n\n[[origin]]\nname = \"a\"\nurl = \"https://a.example:8443\"\nca = \"/id/ca.pem\"\n\
             cert = \"/id/certificate.pem\"\nkey = \"/id/key.pem\"\n"
        );
    }

    #[test]
    fn what_no_box_could_follow_is_named() {
        for (settings, reason) in [
            (serde_json::json!({"telemetry_s": 0}), "telemetry_s: 0 is not between 1 and 300"),
            (serde_json::json!({"stream_keys": ["x"]}), "stream_keys: line 1: not the base64"),
            (serde_json::json!({"stream_keys": []}), "stream_keys: no key in it"),
            (serde_json::json!({"origins": []}), "origins: 0 of them"),
            (
                serde_json::json!({"maintenance": [{"days": ["mon"], "start_minute": 1440, "minutes": 60}]}),
                "maintenance: start_minute 1440",
            ),
        ] {
            let settings: Settings = serde_json::from_value(settings).unwrap();
            let error = files(&settings, &identity()).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
