//! Sends what live jumped over: behind live, one segment at a time, at a bounded rate.

use std::collections::HashSet;
use std::sync::Arc;

use nodi_protocol::RenditionName;
use tokio::sync::watch;
use tokio::time::interval;

use super::governor::BACKFILL;
use super::lane::{LOOK_EVERY, Lane};
use super::plan::{self, Upload};
use super::push::Error;

/// Runs until `closing` and nothing is missing, or the process stops.
///
/// # Errors
/// When the session has to be claimed again, or to be stopped.
pub(super) async fn fill(lanes: Vec<Arc<Lane>>, mut closing: watch::Receiver<bool>) -> Result<(), Error> {
    let mut given_up: HashSet<RenditionName> = HashSet::new();
    let mut changes: Vec<_> = lanes.iter().map(|lane| (lane.subscribe(), lane.feed.subscribe())).collect();
    loop {
        for (holdings, feed) in &mut changes {
            holdings.mark_unchanged();
            feed.mark_unchanged();
        }
        let is_closing = *closing.borrow_and_update();
        let Some((lane, seq)) = next(lanes.iter().filter(|lane| !given_up.contains(&lane.feed.name))) else {
            if is_closing || lanes.is_empty() {
                return Ok(());
            }
            let any = changes.iter_mut().map(|(holdings, feed)| {
                Box::pin(async move {
                    tokio::select! { _ = holdings.changed() => {}, _ = feed.changed() => {} }
                })
            });
            tokio::select! {
                _ = futures_util::future::select_all(any) => {}
                _ = closing.changed() => {}
            }
            continue;
        };
        match send(lane, seq).await {
            Err(error) if lane.is_given_up(&error) => {
                given_up.insert(lane.feed.name.clone());
            }
            result => result?,
        }
        if lane.shared.shutdown.is_asked() {
            return Ok(());
        }
    }
}

/// The newest missed segment of all renditions; of equals the one of the most important rendition, so that a
/// stretch of time becomes playable before the next one is begun.
fn next<'a>(lanes: impl Iterator<Item = &'a Arc<Lane>>) -> Option<(&'a Arc<Lane>, u64)> {
    lanes
        .filter_map(|lane| {
            let live_at = lane.live_at()?;
            let first = lane.window_start();
            let seq = lane.feed.read(|index| {
                lane.with_holdings(|holdings| plan::next_missed(index, holdings, first, live_at))
            })?;
            Some((lane, seq))
        })
        .max_by_key(|(lane, seq)| (*seq, std::cmp::Reverse(lane.priority)))
}

async fn send(lane: &Arc<Lane>, seq: u64) -> Result<(), Error> {
    let shared = &lane.shared;
    let (mut put, mut answer) = lane.start(seq, BACKFILL, Some(shared.backfill.clone())).await?;
    let mut look = interval(LOOK_EVERY);
    let (_, result) = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            _ = look.tick() => {
                lane.check(seq, &mut put)?;
                if shared.shutdown.is_asked() {
                    put.control.stop();
                }
            }
        }
    };
    lane.settle(seq, &put.control, result).await?;
    if lane.with_holdings(|holdings| holdings.segments.get(&seq) == Some(&Upload::Whole)) {
        shared.metrics.backfilled.inc();
    }
    Ok(())
}
