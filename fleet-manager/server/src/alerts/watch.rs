//! Looks at everything, again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use nodi_protocol::{BoxId, SessionId};

use super::engine::{About, Engine, Reading};
use super::kind::Kind;
use super::{rules, store};
use crate::boxes::Record;
use crate::error::Error;
use crate::state::App;
use crate::{rollouts, updates};

/// The shortest thing that is waited for lasts ten times as long.
const LOOK: Duration = Duration::from_secs(2);
/// How often old alerts are forgotten: once in so many looks, which is an hour.
const PRUNE_EVERY: u64 = 1_800;
/// How long the server waits for a command that its box did not answer, in milliseconds.
const SILENT_MS: i64 = 24 * 3_600 * 1_000;
/// Decisions in one transaction: when a whole site goes dark nobody else waits long for the database.
const CHUNK: usize = 200;
/// Commands without an answer that are looked at: a fleet that has more has another problem.
const MAX_SILENT: u32 = 1_000;

/// Runs until the process stops.
pub(super) async fn watch(app: App) {
    let mut engine = loop {
        let now_ms = app.now_ms();
        match app.db.read(move |connection| store::load(connection, now_ms)).await {
            Ok(engine) => break engine,
            Err(error) => log::warn!("alerts: {error}"),
        }
        app.clock.sleep(LOOK).await;
    };
    if let Err(error) = count(&app, app.now_ms()).await {
        log::warn!("alerts: {error}");
    }
    let mut looks = 0_u64;
    loop {
        if let Err(error) = look(&app, &mut engine).await {
            log::warn!("alerts: {error}");
        }
        if looks.is_multiple_of(PRUNE_EVERY) {
            let before_ms = app.now_ms() - i64::from(app.config.alerts.keep_days) * 24 * 3_600 * 1_000;
            let most = app.config.alerts.keep;
            if let Err(error) = app.db.write(move |tx| store::prune(tx, before_ms, most)).await {
                log::warn!("alerts: {error}");
            }
        }
        looks += 1;
        app.clock.sleep(LOOK).await;
    }
}

async fn look(app: &App, engine: &mut Engine) -> Result<(), Error> {
    let now_ms = app.now_ms();
    let since_ms = now_ms - SILENT_MS;
    let (silent, halted, installing) = app
        .db
        .read(move |connection| {
            let silent = store::silent_commands(connection, since_ms, MAX_SILENT)?;
            Ok((silent, rollouts::halted(connection)?, updates::installing_boxes(connection)?))
        })
        .await?;
    engine.begin();
    for record in app.boxes.registry.records() {
        if record.revoked.is_none() {
            of_box(app, engine, &record, &installing, now_ms);
        }
    }
    let timing = app.config.alerts.rules.timing(Kind::CommandSilent);
    for (id, box_id, action) in silent {
        engine.observe(Kind::CommandSilent, &id, timing, rules::of_command(&action), now_ms, || {
            let box_name = app.boxes.registry.get(&box_id).map(|record| record.name.clone());
            About { box_name, box_id: Some(box_id), ..About::default() }
        });
    }
    let timing = app.config.alerts.rules.timing(Kind::RolloutHalted);
    for (id, rollout) in halted {
        let reading = rules::of_rollout(&rollout);
        engine.observe(Kind::RolloutHalted, &id, timing, reading, now_ms, About::default);
    }
    let decisions = engine.finish(now_ms);
    if decisions.is_empty() {
        return Ok(());
    }
    // A crash leaves what is not on the disk to the next process, which decides it again.
    for chunk in decisions.chunks(CHUNK) {
        let shared = app.clone();
        let chunk = chunk.to_vec();
        let (chunk, ids) = app
            .db
            .write(move |tx| {
                let ids = chunk
                    .iter()
                    .map(|decision| store::apply(&shared, tx, decision, now_ms))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok((chunk, ids))
            })
            .await?;
        for (decision, id) in chunk.iter().zip(&ids) {
            engine.confirm(decision, id, now_ms);
        }
    }
    count(app, now_ms).await
}

/// Says in each box's row how many alerts it has.
async fn count(app: &App, now_ms: i64) -> Result<(), Error> {
    let counts = app.db.read(store::active_by_box).await?;
    app.boxes.registry.set_alerts(&counts, now_ms);
    Ok(())
}

fn of_box(app: &App, engine: &mut Engine, record: &Record, installing: &BTreeSet<BoxId>, now_ms: i64) {
    let rules = &app.config.alerts.rules;
    let about = |session: Option<SessionId>, channel| About {
        box_id: Some(record.id.clone()),
        box_name: Some(record.name.clone()),
        session,
        channel,
    };
    rules.of_box(record, now_ms, |kind, reading| {
        // It reboots. Whether it is away for too long is judged with its update.
        let expected = kind == Kind::BoxOffline && installing.contains(&record.id);
        let reading = match reading {
            Reading::Bad { .. } if expected => Reading::Between,
            reading => reading,
        };
        engine.observe(kind, record.id.as_str(), rules.timing(kind), reading, now_ms, || about(None, None));
    });
    let timing = rules.timing(Kind::InputUnhealthy);
    for (id, session) in record.sessions.iter() {
        let reading = rules::of_session(session, record.is_online());
        engine.observe(Kind::InputUnhealthy, &id.to_string(), timing, reading, now_ms, || {
            about(Some(*id), Some(session.channel.clone()))
        });
    }
}
