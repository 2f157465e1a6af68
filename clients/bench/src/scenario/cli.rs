//! Whole processes: `barista notify` against a Python script that does the same. The time runs from before the process is created to its
//! end.

use std::process::Stdio;
use std::time::Instant;

use anyhow::ensure;
use tokio::process::Command;

use crate::lab::{Experiment, Lab};
use crate::load::MESSAGE;
use crate::report::Round;
use crate::stats::Latencies;

/// How many of our processes there are for one of Python's.
const OURS_PER_LEGACY: usize = 8;

/// Measures both in turn.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    let scratch = lab.scratch()?;
    let database = scratch.0.join("notifications.db");
    let (mut ours, mut legacy) = (Vec::new(), Vec::new());
    for number in 0..lab.count {
        let began = Instant::now();
        notify(lab, &experiment).await?;
        ours.push(began.elapsed());
        if number % OURS_PER_LEGACY == 0 {
            let began = Instant::now();
            lab.legacy.once(&database).await?;
            legacy.push(began.elapsed());
        }
    }
    experiment.end().await?;
    round.latencies("cli", &Latencies::new(ours));
    round.latencies("cli/legacy", &Latencies::new(legacy));
    Ok(())
}

async fn notify(lab: &Lab, experiment: &Experiment) -> anyhow::Result<()> {
    let status = Command::new(lab.barista())
        .arg("--data-dir")
        .arg(experiment.daemon.directory())
        .args(["--no-autostart", "notify", "x", MESSAGE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    ensure!(status.success(), "barista notify failed: {status}");
    Ok(())
}
