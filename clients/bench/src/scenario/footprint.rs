//! Memory and processor time of the daemon.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::create::creates;
use super::watch::{event, started};
use crate::lab::Lab;
use crate::report::{Metric, Round};

/// How many watchers do nothing.
const WATCHERS: usize = 1000;
/// How many callers make the daemon busy.
const CALLERS: usize = 64;
/// How long idleness is measured: every watcher hears of the daemon's progress once in that time.
const IDLE: Duration = Duration::from_secs(10);

/// Measures a daemon that is idle, then busy, and one that is watched.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    round.record(
        "memory/idle",
        Metric::Mebibytes,
        experiment.daemon.memory_mib("VmRSS")?,
    );
    creates(vec![experiment.client.clone(); CALLERS], lab).await?;
    round.record(
        "memory/loaded",
        Metric::Mebibytes,
        experiment.daemon.memory_mib("VmHWM")?,
    );
    experiment.end().await?;
    watched(lab, round).await
}

async fn watched(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    let mut watchers = JoinSet::new();
    for number in 0..WATCHERS {
        let mut watch = started(&experiment.client).await.with_context(|| {
            format!("watcher {number} cannot start; is the limit of open files too low?")
        })?;
        watchers.spawn(async move { event(&mut watch).await.map(drop) });
    }
    // Past what setting up a thousand connections leaves to do.
    sleep(Duration::from_secs(1)).await;
    round.record(
        "memory/watchers",
        Metric::Mebibytes,
        experiment.daemon.memory_mib("VmRSS")?,
    );
    let (began, used) = (Instant::now(), experiment.daemon.processor_time()?);
    sleep(IDLE).await;
    let used = experiment.daemon.processor_time()?.saturating_sub(used);
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    round.record("cpu/watchers", Metric::PercentOfCore, share * 100.0);
    watchers.shutdown().await;
    experiment.end().await
}
