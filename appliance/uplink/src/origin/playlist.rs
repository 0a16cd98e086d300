//! Tells an origin what a rendition's segments and parts are, at the moment when they are on their way.
//!
//! One update at a time and rendition, each with all that changed since the last one that was answered: two in
//! flight could overtake each other and take back what was said. On a slow answer updates fold into one.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodi_protocol::push::PlaylistUpdate;
use tokio::sync::watch;

use super::lane::Lane;
use super::plan;
use super::push::{Error, Remedy};

/// Runs until `closing` and everything was told.
///
/// # Errors
/// When the session has to be claimed again, or to be stopped.
pub(super) async fn tell(lane: Arc<Lane>, mut closing: watch::Receiver<bool>) -> Result<(), Error> {
    let mut feed = lane.feed.subscribe();
    let mut holdings = lane.subscribe();
    let mut told = BTreeMap::new();
    loop {
        feed.mark_unchanged();
        holdings.mark_unchanged();
        let is_closing = *closing.borrow_and_update();
        let mut segments = Vec::new();
        if let Some(live_at) = lane.live_at() {
            let first = lane.window_start();
            told = told.split_off(&lane.numbering.base_msn.saturating_add(first));
            let now = lane.feed.read(|index| {
                lane.with_holdings(|holdings| plan::entries(index, holdings, lane.numbering, first, live_at))
            });
            segments = plan::changed(&told, now);
        }
        if segments.is_empty() {
            if is_closing {
                return Ok(());
            }
            tokio::select! {
                _ = feed.changed() => {}
                _ = holdings.changed() => {}
                _ = closing.changed() => {}
            }
            continue;
        }
        let update = PlaylistUpdate { segments };
        lane.shared.governor.asked(lane.priority);
        let result = lane.shared.push.playlist(&lane.feed.name, &update).await;
        lane.shared.governor.answered(lane.priority);
        match result {
            Ok(()) => {}
            // Said once: the same entries would be refused again.
            Err(error) if error.remedy() == Remedy::Skip => {
                lane.shared.metrics.refused.inc();
                log::error!(target_name:% = lane.shared.target, session:% = lane.shared.session.id,
                    rendition:% = lane.feed.name; "playlist refused: {error}");
            }
            Err(error) if lane.is_given_up(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        told.extend(update.segments.into_iter().map(|segment| (segment.msn, segment)));
    }
}
