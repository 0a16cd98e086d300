//! Asks what is to be done, and does it, for ever.

use std::time::Duration;

use super::decide::decide;
use super::store::{self, State};
use crate::error::Error;
use crate::live::{Audience, Kind};
use crate::state::App;

/// Boxes come and go without a word to us, and time passes.
const TICK: Duration = Duration::from_secs(1);
/// What many boxes say at once is looked at once.
const GATHER: Duration = Duration::from_millis(100);
/// Steps that follow one another without a look at anything else: stages without boxes, and orders of a large stage.
const ROUNDS: usize = 64;

pub(super) async fn run(app: App) {
    loop {
        for id in app.rollouts.take() {
            app.live.send(Kind::Rollouts, Audience::Staff, &serde_json::json!({ "id": id }));
        }
        if let Err(error) = look(&app).await {
            log::warn!("rollouts: {error}");
        }
        tokio::select! {
            () = app.rollouts.news.notified() => tokio::time::sleep(GATHER).await,
            () = app.clock.sleep(TICK) => {}
        }
    }
}

async fn look(app: &App) -> Result<(), Error> {
    let (ids, counts) =
        app.db.read(|connection| Ok((store::under_way(connection)?, store::counts(connection)?))).await?;
    for state in State::ALL {
        let count = counts.get(state.name()).copied().unwrap_or(0);
        app.rollouts.counts.get_or_create(&[("state", state.name())]).set(count);
    }
    for id in ids {
        // One that fails does not keep the others waiting.
        if let Err(error) = turns(app, &id).await {
            log::warn!(rollout = id.as_str(); "rollouts: {error}");
        }
    }
    Ok(())
}

async fn turns(app: &App, id: &str) -> Result<(), Error> {
    for _ in 0..ROUNDS {
        if !turn(app, id).await? {
            break;
        }
    }
    Ok(())
}

/// One decision. Whether there was anything to do.
async fn turn(app: &App, id: &str) -> Result<bool, Error> {
    let now_ms = app.now_ms();
    let (shared, wanted) = (app.clone(), id.to_owned());
    let quiet = app
        .db
        .read(move |connection| {
            let (_, snapshot) = store::snapshot(&shared, connection, &wanted)?;
            Ok(decide(&snapshot, now_ms).is_empty())
        })
        .await?;
    if quiet {
        return Ok(false);
    }
    let (shared, wanted) = (app.clone(), id.to_owned());
    app.db
        .write(move |tx| {
            // As it is now: a person may have steered it since.
            let (mut rollout, snapshot) = store::snapshot(&shared, tx, &wanted)?;
            let steps = decide(&snapshot, now_ms);
            store::apply(&shared, tx, &mut rollout, &steps, now_ms)?;
            Ok(!steps.is_empty())
        })
        .await
}
