//! From another program's write to a watcher.
//!
//! A Python process inserts rows into the daemon's database, one connection per row, at a steady pace. Each row says when, on the clock that
//! both processes share; the time runs from right before the insert to the arrival of the event, Python's commit included.

use std::time::Duration;

use anyhow::Context;
use barista_client::Watch;

use super::watch::{event, started};
use crate::lab::Lab;
use crate::report::{Metric, Round};
use crate::stats::Latencies;

/// How many rows are written per second.
const PER_SECOND: f64 = 50.0;

/// Measures one watcher.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    let count = (lab.window.as_secs_f64() * PER_SECOND).ceil() as usize;
    let watch = started(&experiment.client).await?;
    let database = experiment.daemon.database();
    let (samples, inserts) = tokio::join!(
        follow(watch, count),
        lab.legacy.foreign(&database, count, PER_SECOND)
    );
    round.latencies("foreign", &Latencies::new(samples?));
    if let Some(p50) = inserts?.p50() {
        round.record("foreign/itself", Metric::P50Ms, p50);
    }
    experiment.end().await
}

async fn follow(mut watch: Watch, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let event = event(&mut watch).await?;
        let arrived = monotonic();
        let title = event
            .notification
            .map(|notification| notification.title)
            .unwrap_or_default();
        let began: u64 = title
            .parse()
            .with_context(|| format!("a foreign row says {title:?}"))?;
        samples.push(arrived.saturating_sub(Duration::from_nanos(began)));
    }
    Ok(samples)
}

/// The clock that Python's `time.monotonic_ns` reads.
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
