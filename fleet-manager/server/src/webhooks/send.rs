//! Delivers what waits: several at a time, again and again until each is delivered or too old.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Client, redirect};
use tokio::task::JoinSet;

use super::guard::Guard;
use super::queue::{self, Due, Outcome};
use super::sign;
use crate::error::Error;
use crate::ids;
use crate::state::App;

/// Attempts under way at a time, of all webhooks.
const MOST: usize = 16;
/// And of one: a receiver that hangs holds up nobody else.
const PER_WEBHOOK: usize = 4;
/// The pause after the first attempt, in milliseconds; it doubles with each.
const FIRST_PAUSE_MS: i64 = 5_000;
const LONGEST_PAUSE_MS: i64 = 1_800_000;
/// Looks at the queue at least so often: a clock that was set back must not stop it.
const LOOK: Duration = Duration::from_secs(30);
/// Between two attempts to read the queue when the database fails.
const TROUBLE: Duration = Duration::from_secs(5);
const PRUNE: Duration = Duration::from_secs(600);
/// Longest reason that is kept, in characters.
const MAX_ERROR: usize = 300;

/// The client for all deliveries.
///
/// # Errors
/// When there is no TLS to be had.
pub(super) fn client(config: &super::Config) -> Result<Client, Error> {
    let timeout = Duration::from_secs(u64::from(config.timeout_s));
    let mut builder = Client::builder()
        .user_agent(concat!("nodi-fleet/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(timeout)
        .connect_timeout(timeout)
        // One from the environment would be connected to instead of what was judged.
        .no_proxy()
        .pool_max_idle_per_host(1)
        .dns_resolver(config.guard());
    if let Some(path) = &config.ca {
        let unusable = |error: String| Error::Internal(format!("webhooks.ca {}: {error}", path.display()));
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let more =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
        builder = builder.tls_certs_merge(more);
    }
    builder.build().map_err(|error| Error::Internal(format!("webhooks: {error}")))
}

/// Runs until the process stops.
pub(super) async fn run(app: App) {
    let mut flying: JoinSet<Flown> = JoinSet::new();
    let mut under_way: HashMap<String, Vec<String>> = HashMap::new();
    loop {
        let (due, next_ms) = match next(&app, MOST - flying.len().min(MOST), under_way.clone()).await {
            Ok(found) => found,
            Err(error) => {
                log::warn!("webhooks: {error}");
                app.clock.sleep(TROUBLE).await;
                continue;
            }
        };
        for due in due {
            let of_webhook = under_way.entry(due.webhook.clone()).or_default();
            if of_webhook.len() < PER_WEBHOOK {
                of_webhook.push(due.id.clone());
                flying.spawn(deliver(app.clone(), due));
            }
        }
        let now_ms = app.now_ms();
        let wait = next_ms.map_or(LOOK, |next_ms| {
            Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or(0)).min(LOOK)
        });
        tokio::select! {
            Some(flown) = flying.join_next() => match flown {
                Ok(Flown { id, webhook }) => {
                    if let Some(of_webhook) = under_way.get_mut(&webhook) {
                        of_webhook.retain(|other| *other != id);
                        if of_webhook.is_empty() {
                            under_way.remove(&webhook);
                        }
                    }
                }
                Err(error) => log::error!("webhooks: a delivery failed: {error}"),
            },
            () = app.webhooks.woken() => {}
            () = app.clock.sleep(wait) => {}
        }
    }
}

struct Flown {
    id: String,
    webhook: String,
}

async fn next(
    app: &App,
    most: usize,
    under_way: HashMap<String, Vec<String>>,
) -> Result<(Vec<Due>, Option<i64>), Error> {
    let now_ms = app.now_ms();
    app.db
        .read(move |connection| {
            queue::due(connection, now_ms, most, |id, webhook| {
                under_way
                    .get(webhook)
                    .is_none_or(|ids| ids.len() < PER_WEBHOOK && !ids.iter().any(|other| other == id))
            })
        })
        .await
}

/// One attempt.
async fn deliver(app: App, due: Due) -> Flown {
    let flown = Flown { id: due.id.clone(), webhook: due.webhook.clone() };
    let pause_ms = pause_ms(due.attempts + 1);
    let again_ms = app.now_ms() + pause_ms;
    let id = due.id.clone();
    match app.db.write(move |tx| queue::begin(tx, &id, again_ms)).await {
        Ok(true) => {}
        // It was given up meanwhile.
        Ok(false) => return flown,
        Err(error) => {
            log::warn!(delivery = due.id.as_str(); "webhook: {error}");
            app.clock.sleep(TROUBLE).await;
            return flown;
        }
    }
    let outcome = attempt(&app, &due).await;
    app.webhooks.attempted(outcome.error.is_none());
    let now_ms = app.now_ms();
    let old = now_ms - due.created_ms >= i64::from(app.config.webhooks.max_age_s) * 1_000;
    let again_ms = (outcome.error.is_some() && !old).then_some(now_ms + pause_ms);
    match &outcome.error {
        None => {
            log::info!(webhook = due.webhook.as_str(), delivery = due.id.as_str(); "{} delivered", due.event)
        }
        Some(error) => {
            let attempts = due.attempts + 1;
            let last = if again_ms.is_none() { ", given up" } else { "" };
            log::warn!(webhook = due.webhook.as_str(), delivery = due.id.as_str(), attempts;
                "{} not delivered{last}: {error}", due.event);
        }
    }
    let noted = app.db.write(move |tx| queue::end(tx, &due.id, &outcome, again_ms, now_ms)).await;
    if let Err(error) = noted {
        // It will be sent again, with the same id.
        log::warn!(delivery = flown.id.as_str(); "webhook: {error}");
    }
    flown
}

async fn attempt(app: &App, due: &Due) -> Outcome {
    let failed =
        |error: String| Outcome { status: None, error: Some(error.chars().take(MAX_ERROR).collect()) };
    // What is allowed may have changed since the address was taken.
    let url = match app.config.webhooks.guard().check(&due.url) {
        Ok(url) => url,
        Err(refusal) => return failed(format!("the address {refusal}")),
    };
    let secrets: Vec<&str> = due.secrets.iter().map(String::as_str).collect();
    let signature = sign::header(&secrets, app.now_ms() / 1_000, due.body.as_bytes());
    let request = app
        .webhooks
        .client()
        .post(url)
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .header(sign::HEADER, signature)
        .header("nodi-delivery", &due.id)
        .header("nodi-event", &due.event)
        .body(due.body.clone());
    match request.send().await {
        Ok(response) if response.status().is_success() => {
            Outcome { status: Some(response.status().as_u16()), error: None }
        }
        // Its body is not read: nothing is done with it, and it may be of any length.
        Ok(response) => Outcome {
            status: Some(response.status().as_u16()),
            error: Some(format!("answered {}", response.status())),
        },
        Err(error) => failed(describe(&error.without_url())),
    }
}

/// With what lies below: reqwest's own words say only that it failed.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The pause after so many attempts: half of it is drawn, so that what failed together does not come back together.
fn pause_ms(attempts: u32) -> i64 {
    let full = FIRST_PAUSE_MS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(LONGEST_PAUSE_MS);
    // Without random numbers it is the whole of it, which is safe.
    let drawn = ids::random::<2>().map_or(u16::MAX, u16::from_le_bytes);
    full / 2 + full / 2 * i64::from(drawn) / i64::from(u16::MAX)
}

/// Gives up and forgets, now and then.
pub(super) async fn prune(app: App) {
    loop {
        let shared = app.clone();
        let now_ms = app.now_ms();
        if let Err(error) = app.db.write(move |tx| queue::prune(tx, &shared.config.webhooks, now_ms)).await {
            log::warn!("webhooks: {error}");
        }
        app.clock.sleep(PRUNE).await;
    }
}

impl super::Config {
    pub(super) fn guard(&self) -> Guard {
        Guard { networks: self.allow_networks.clone(), plain: self.allow_http }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_drawn_from_their_upper_half() {
        for (attempts, full) in [(1, 5_000), (2, 10_000), (5, 80_000), (10, 1_800_000), (u32::MAX, 1_800_000)]
        {
            for _ in 0..50 {
                let pause = pause_ms(attempts);
                assert!((full / 2..=full).contains(&pause), "{attempts}: {pause}");
            }
        }
    }
}
