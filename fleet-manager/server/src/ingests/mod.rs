//! The list of ingests, nearest and fittest first (`docs/ingests-api.md`).

mod api;
pub mod place;
mod score;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;

use crate::boxes::Record;
use crate::enrolment::throttle::Throttle;
use crate::error::Error;
use crate::http::client::Client;
use crate::state::App;
use crate::tasks::Tasks;
use place::{Database, LastKnown, Place};
use score::Candidate;

pub use api::{Ingest, Where, nearest, routes};

/// Servers in an answer: nobody tries more, and it is 6 KiB.
const LISTED: usize = 25;
/// Servers named with a new key.
const NAMED: usize = 5;
/// For how long the boxes are taken as they were looked at, in milliseconds. With the seconds that an answer may be kept
/// a box that must not be used is gone from every answer within ten.
const FRESH_MS: i64 = 1_000;
/// How often restarting boxes, and the database of places, are looked at.
const RESTARTING: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_secs(60);
/// Stands for the key in templates.
const STREAM_KEY: &str = "{stream_key}";
/// Stands for the box's id in the configured templates.
const BOX: &str = "{box}";
/// Longest address that is taken from a box, in bytes.
const MAX_URL: usize = 200;

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where encoders reach a box, such as `rtmp://{box}.ingest.example:1935/live/{stream_key}`. Default: what each box
    /// says itself.
    pub url_template: Option<String>,
    /// The same over TLS.
    pub url_template_secure: Option<String>,
    /// A database of places of addresses in the MaxMind format, such as GeoLite2-City.mmdb. Read again when it changes.
    pub location_database: Option<PathBuf>,
    /// Requests without login that one address may make at once, and then each second.
    pub burst: u32,
    pub per_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { url_template: None, url_template_secure: None, location_database: None, burst: 30, per_s: 2 }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, template, scheme) in [
            ("ingests.url_template", &self.url_template, "rtmp://"),
            ("ingests.url_template_secure", &self.url_template_secure, "rtmps://"),
        ] {
            let Some(template) = template else { continue };
            if !template.starts_with(scheme) || !template.ends_with(&format!("/{STREAM_KEY}")) {
                return Err((key, format!("must begin with {scheme} and end with /{STREAM_KEY}")));
            }
        }
        if self.url_template_secure.is_some() && self.url_template.is_none() {
            return Err(("ingests.url_template", "is needed with url_template_secure".to_owned()));
        }
        if self.burst == 0 || self.per_s == 0 {
            return Err(("ingests.burst", "neither burst nor per_s may be 0".to_owned()));
        }
        Ok(())
    }

    /// The templates of a box; `None`: nobody knows how to reach it.
    fn templates(&self, record: &Record) -> Option<(String, Option<String>)> {
        if let Some(template) = &self.url_template {
            let of_box = |template: &str| template.replace(BOX, record.id.as_str());
            return Some((of_box(template), self.url_template_secure.as_deref().map(of_box)));
        }
        let plain = address(record.hardware.rtmp_url.as_deref(), "rtmp://");
        let secure = address(record.hardware.rtmps_url.as_deref(), "rtmps://");
        // A box that speaks TLS only is listed with that address in both places.
        Some((plain.or_else(|| secure.clone())?, secure))
    }
}

/// The template of an address that a box says: it is shown to people and pasted into encoders, so it is nothing but an
/// address.
fn address(said: Option<&str>, scheme: &str) -> Option<String> {
    let said = said?.trim_end_matches('/');
    let rest = said.strip_prefix(scheme)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]/".contains(&byte);
    let good = said.len() <= MAX_URL && !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(plain);
    good.then(|| format!("{said}/{STREAM_KEY}"))
}

/// This area's part of [`App`].
pub struct State {
    throttle: Throttle,
    places: Option<Arc<Database>>,
    last_known: LastKnown,
    candidates: Mutex<Option<(i64, Arc<Vec<Candidate>>)>>,
    /// Boxes that restart or update just now.
    restarting: RwLock<HashSet<String>>,
}

impl State {
    /// # Errors
    /// When the database of places cannot be read.
    pub fn new(config: &crate::Config) -> Result<Self, Error> {
        let config = &config.ingests;
        let places = config
            .location_database
            .as_ref()
            .map(|path| {
                Database::open(path).map(Arc::new).map_err(|error| {
                    Error::Internal(format!("ingests.location_database {}: {error}", path.display()))
                })
            })
            .transpose()?;
        Ok(Self {
            throttle: Throttle::new(f64::from(config.burst), f64::from(config.per_s)),
            places,
            last_known: LastKnown::default(),
            candidates: Mutex::default(),
            restarting: RwLock::default(),
        })
    }

    /// Boxes that take publishers, as they were a moment ago.
    fn candidates(&self, app: &App) -> Arc<Vec<Candidate>> {
        let now_ms = app.now_ms();
        let mut held = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at_ms, candidates)) = &*held
            && (0..FRESH_MS).contains(&(now_ms - at_ms))
        {
            return Arc::clone(candidates);
        }
        let restarting = self.restarting.read().unwrap_or_else(PoisonError::into_inner);
        let candidates: Vec<Candidate> = app
            .boxes
            .registry
            .records()
            .iter()
            .filter(|record| !restarting.contains(record.id.as_str()))
            .filter_map(|record| candidate(app, record))
            .collect();
        let candidates = Arc::new(candidates);
        *held = Some((now_ms, Arc::clone(&candidates)));
        candidates
    }
}

fn candidate(app: &App, record: &Record) -> Option<Candidate> {
    let summary = app.boxes.registry.summary(&record.id)?;
    let fitness = score::fitness(record, &summary)?;
    let (url_template, url_template_secure) = app.config.ingests.templates(record)?;
    Some(Candidate {
        id: record.id.to_string(),
        name: record.name.clone(),
        place: record.location.as_ref().and_then(|at| Place::new(at.latitude, at.longitude)),
        fitness,
        url_template,
        url_template_secure,
    })
}

/// Where somebody is: what they say, what the database says of their address, or where somebody at that address was
/// last; `None` when nobody knows.
///
/// # Errors
/// When they say half of it, or there is no such place.
pub fn place(app: &App, said: &Where, client: Client) -> Result<Option<Place>, Error> {
    let state = &app.ingests;
    match (said.lat, said.lon) {
        (Some(latitude), Some(longitude)) => {
            let place = Place::new(latitude, longitude).ok_or_else(|| {
                Error::Malformed(
                    "query: lat is not from -90 to 90, or lon is not from -180 to 180".to_owned(),
                )
            })?;
            state.last_known.remember(client.address, place, app.now_ms());
            Ok(Some(place))
        }
        (None, None) => {
            let found = state.places.as_ref().and_then(|places| places.find(client.address));
            Ok(found.or_else(|| state.last_known.find(client.address, app.now_ms())))
        }
        _ => Err(Error::Malformed("query: lat and lon belong together".to_owned())),
    }
}

/// Where this client publishes to, the best first: what encoders call the server, without the key.
///
/// # Errors
/// None.
pub async fn urls(app: &App, client: Client) -> Result<Vec<String>, Error> {
    let place = place(app, &Where::default(), client)?;
    let server = |template: String| template.trim_end_matches(STREAM_KEY).trim_end_matches('/').to_owned();
    let ingests = nearest(app, place, NAMED);
    Ok(ingests
        .into_iter()
        .map(|ingest| server(ingest.url_template_secure.unwrap_or(ingest.url_template)))
        .collect())
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("restarting boxes", follow_restarts(app.clone()));
    if let Some(places) = &app.ingests.places {
        tasks.spawn("places of addresses", follow_places(Arc::clone(places)));
    }
}

/// A box that is about to restart is not to be given a stream that it then drops.
async fn follow_restarts(app: App) {
    loop {
        let found = app
            .db
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT DISTINCT box_id FROM command INDEXED BY command_open
                     WHERE over_ms IS NULL AND kind IN ('reboot', 'restart_process')",
                )?;
                let ids = statement
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<HashSet<String>>>()?;
                Ok(ids)
            })
            .await;
        match found {
            Ok(found) => *app.ingests.restarting.write().unwrap_or_else(PoisonError::into_inner) = found,
            Err(error) => log::warn!("ingests: {error}"),
        }
        app.clock.sleep(RESTARTING).await;
    }
}

async fn follow_places(places: Arc<Database>) {
    loop {
        tokio::time::sleep(REFRESH).await;
        let places = Arc::clone(&places);
        match tokio::task::spawn_blocking(move || places.refresh()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("ingests: still using the previous database of places: {error}"),
            Err(error) => log::error!("ingests: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::testing::record;

    #[test]
    fn what_a_box_says_becomes_a_template_only_if_it_is_an_address() {
        let good = |said| address(Some(said), "rtmp://");
        assert_eq!(
            good("rtmp://box.example:1935/live").unwrap(),
            "rtmp://box.example:1935/live/{stream_key}"
        );
        assert_eq!(
            good("rtmp://[2001:db8::1]:1935/live/").unwrap(),
            "rtmp://[2001:db8::1]:1935/live/{stream_key}"
        );
        for bad in [
            "",
            "rtmp://",
            "rtmp:///live",
            "http://box.example/live",
            "rtmp://a b/live",
            "rtmp://a/{x}",
            "rtmp://a'/live",
            "rtmp://user@a/live",
            "rtmp://a/live?x=1",
            &format!("rtmp://{}", "a".repeat(MAX_URL)),
        ] {
            assert_eq!(good(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_configuration_decides_before_what_boxes_say() {
        let mut record = record("box-a");
        let hardware = Arc::make_mut(&mut record.hardware);
        hardware.rtmps_url = Some("rtmps://said.example/live".into());
        let only_secure = "rtmps://said.example/live/{stream_key}".to_owned();
        assert_eq!(Config::default().templates(&record).unwrap(), (only_secure.clone(), Some(only_secure)));
        let config = Config {
            url_template: Some("rtmp://{box}.example/live/{stream_key}".into()),
            ..Config::default()
        };
        config.validate().unwrap();
        let configured = "rtmp://box-a.example/live/{stream_key}".to_owned();
        assert_eq!(config.templates(&record).unwrap(), (configured, None));
        let bad = Config { url_template: Some("rtmp://x/live".into()), ..Config::default() };
        assert_eq!(bad.validate().unwrap_err().0, "ingests.url_template");
    }
}
