//! What is made of boxes that say nothing.

use std::time::Duration;

use nodi_protocol::UpdateId;
use rusqlite::Connection;

use super::states::State;
use super::{Config, store};
use crate::error::Error;
use crate::state::App;

/// Deadlines have a grace of a minute: a second more is nothing.
const INTERVAL: Duration = Duration::from_secs(1);

/// An update that is not over, as far as silence is concerned.
struct Open {
    id: UpdateId,
    state: State,
    deadline_ms: i64,
    /// Since when the box is away, if it is.
    away_ms: Option<i64>,
}

pub(super) async fn watch(app: App) {
    // While nothing can be heard, silence means nothing; then what was retained meanwhile has to come first.
    let mut heard_ms: Option<i64> = None;
    loop {
        let now_ms = app.now_ms();
        heard_ms = app.link.is_listening().then(|| heard_ms.unwrap_or(now_ms));
        if let Err(error) = look(&app, heard_ms, now_ms).await {
            log::warn!("updates: {error}");
        }
        app.clock.sleep(INTERVAL).await;
    }
}

async fn look(app: &App, heard_ms: Option<i64>, now_ms: i64) -> Result<(), Error> {
    let shared = app.clone();
    let open = app.db.read(move |connection| open(&shared, connection)).await?;
    for state in State::ALL.into_iter().filter(|state| !state.is_over()) {
        let count = open.iter().filter(|update| update.state == state).count();
        let gauge = app.updates.open.get_or_create(&[("state", state.name())]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    let Some(heard_ms) = heard_ms else { return Ok(()) };
    let config = app.config.updates.clone();
    let silent: Vec<(UpdateId, String)> = open
        .iter()
        .filter_map(|update| Some((update.id, verdict(update, &config, heard_ms, now_ms)?)))
        .collect();
    if silent.is_empty() {
        return Ok(());
    }
    let shared = app.clone();
    app.db
        .write(move |tx| {
            for (id, why) in &silent {
                // It may have ended since.
                if store::one(tx, id)?.is_some_and(|view| !view.state.is_over()) {
                    store::set_over(&shared, tx, id, State::Silent, why, now_ms)?;
                }
            }
            Ok(())
        })
        .await
}

fn open(app: &App, connection: &Connection) -> Result<Vec<Open>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, box_id, state, issued_ms, deadline_ms FROM box_update WHERE over_ms IS NULL",
    )?;
    let mut rows = statement.query([])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        let broken = |what: &dyn std::fmt::Display| Error::Internal(format!("database: {what}"));
        let box_id: String = row.get(1)?;
        let issued_ms: i64 = row.get(3)?;
        let record = app.boxes.registry.get(&box_id.parse().map_err(|error| broken(&error))?);
        let away_ms = record
            .filter(|record| !record.is_online())
            .map(|record| record.last_seen_ms.unwrap_or(0).max(issued_ms));
        let state: String = row.get(2)?;
        open.push(Open {
            id: row.get::<_, String>(0)?.parse().map_err(|error| broken(&error))?,
            state: State::from_name(&state).ok_or_else(|| broken(&state))?,
            deadline_ms: row.get::<_, Option<i64>>(4)?.unwrap_or(i64::MAX),
            away_ms,
        });
    }
    Ok(open)
}

/// Why the box's silence has lasted too long, if it has. `heard_ms`: since when boxes can be heard.
fn verdict(update: &Open, config: &Config, heard_ms: i64, now_ms: i64) -> Option<String> {
    let ms = |seconds: u32| i64::from(seconds) * 1_000;
    if now_ms >= update.deadline_ms.max(heard_ms).saturating_add(ms(config.grace_s)) {
        return Some(match update.state {
            State::Ordered => "the box said nothing to its order before it expired".to_owned(),
            state => format!("the box was {} for too long and said nothing more", state.name()),
        });
    }
    let away_ms = update.away_ms.filter(|_| update.state.is_before_installing())?;
    (now_ms >= away_ms.max(heard_ms).saturating_add(ms(config.offline_s)))
        .then(|| format!("the box is offline for {} minutes or more", config.offline_s.div_ceil(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { grace_s: 60, offline_s: 600, ..Config::default() }
    }

    fn update(state: State, deadline_ms: i64, away_ms: Option<i64>) -> Open {
        Open { id: UpdateId::new(0, 0), state, deadline_ms, away_ms }
    }

    #[test]
    fn silence_counts_after_the_deadline_and_its_grace() {
        let trial = update(State::Trial, 100_000, None);
        assert_eq!(verdict(&trial, &config(), 0, 159_999), None);
        assert!(verdict(&trial, &config(), 0, 160_000).unwrap().contains("trial"));
        assert_eq!(verdict(&trial, &config(), 500_000, 559_999), None, "it can be heard only since then");
        assert!(verdict(&trial, &config(), 500_000, 560_000).is_some());
    }

    #[test]
    fn a_box_that_is_away_is_waited_for_only_while_it_installs() {
        let away = |state| update(state, 10_000_000, Some(1_000));
        for state in [State::Ordered, State::Waiting, State::Downloading] {
            assert_eq!(verdict(&away(state), &config(), 0, 600_999), None);
            assert!(verdict(&away(state), &config(), 0, 601_000).unwrap().contains("offline"));
        }
        assert_eq!(verdict(&away(State::Rebooting), &config(), 0, 601_000), None);
    }
}
