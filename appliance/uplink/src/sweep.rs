//! Runs the spool's janitor and reports what it takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nodi_daemon::shutdown::Shutdown;
use nodi_spool::janitor::{Policy, Report, sweep};

use crate::config::Config;
use crate::metrics::JanitorMetrics;
use crate::self_test::Leftovers;
use crate::watch::Facts;

/// Sweeps until the process stops.
pub(crate) async fn run(config: Arc<Config>, facts: Facts, metrics: JanitorMetrics, shutdown: Shutdown) {
    let facts = Arc::new(facts);
    let policy = Policy {
        max_bytes: config.janitor.max_bytes,
        max_age: Duration::from_secs(config.janitor.max_age_s),
        min_free_bytes: config.janitor.min_free_bytes,
    };
    let leftovers = Arc::new(Mutex::new(Leftovers::default()));
    let mut over_bounds = false;
    loop {
        let (root, facts, leftovers) = (config.spool.clone(), facts.clone(), leftovers.clone());
        let pass = move || {
            if let Err(error) =
                leftovers.lock().unwrap_or_else(PoisonError::into_inner).clean(&root, Instant::now())
            {
                log::warn!(error:%; "cannot remove what the health gate's stream left");
            }
            let free = nodi_spool::free_space(&root).unwrap_or(0);
            sweep(&root, &policy, &*facts, SystemTime::now(), nodi_spool::free_space)
                .map(|report| (report, free))
        };
        match tokio::task::spawn_blocking(pass).await {
            Ok(Ok((report, free))) => {
                note(&metrics, report, free);
                if report.over_bounds && !over_bounds {
                    log::error!(held_bytes = report.held_bytes, free_bytes = free;
                        "the spool is over its bounds and all that is left is still written");
                }
                over_bounds = report.over_bounds;
            }
            Ok(Err(error)) => {
                metrics.failures.inc();
                log::error!("spool janitor: {error}");
            }
            Err(error) => {
                metrics.failures.inc();
                log::error!("spool janitor: {error}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(config.janitor.every_s.max(1))) => {}
            () = shutdown.wait() => return,
        }
    }
}

fn note(metrics: &JanitorMetrics, report: Report, free: u64) {
    metrics.pushed_segments.inc_by(report.pushed_segments);
    metrics.pushed_bytes.inc_by(report.pushed_bytes);
    metrics.lost_segments.inc_by(report.lost_segments);
    metrics.lost_bytes.inc_by(report.lost_bytes);
    metrics.sessions.inc_by(report.sessions);
    metrics.held_bytes.set(i64::try_from(report.held_bytes).unwrap_or(i64::MAX));
    metrics.free_bytes.set(i64::try_from(free).unwrap_or(i64::MAX));
    if report.lost_segments > 0 {
        log::error!(segments = report.lost_segments, bytes = report.lost_bytes;
            "the spool is full: segments that a target still wanted are lost");
    }
}
