//! How cost grows with the watchers, and what one of them that reads nothing does to the others.
//!
//! The stalled watcher is a `barista watch` that is stopped (SIGSTOP), with more events waiting for it than all buffers between the two
//! hold.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::watch::{Watched, watched_creates};
use crate::lab::{Experiment, Lab};
use crate::load::notice;
use crate::report::{Metric, Round};

/// The time between two creates: 20 per second. A thousand watchers get 20 thousand events per second then, which two cores that the daemon
/// shares with all of them can do; with more, this would measure an overload.
const PERIOD: Duration = Duration::from_millis(50);
/// What waits for the stalled watcher before the measurement: some 700 bytes each, while a stream's window has 64 KiB.
const UNREAD: u64 = 1000;

/// Measures each number of watchers, without and with a stalled one beside them.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    for watchers in lab.watchers.iter().copied() {
        let experiment = lab.daemon().await?;
        fill(&experiment).await?;
        let alone = watched_creates(&experiment.client, watchers, PERIOD, lab.window).await?;
        experiment.end().await?;
        record(round, "watchers", watchers, &alone);
        if let Some(lag) = alone.lags.p99() {
            round.record(format!("watchers/lag/{watchers}"), Metric::P99Ms, lag);
        }

        let experiment = lab.daemon().await?;
        let stalled = Stalled::start(lab, &experiment).await?;
        let beside = watched_creates(&experiment.client, watchers, PERIOD, lab.window).await?;
        stalled.end().await?;
        experiment.end().await?;
        record(round, "watchers/stalled", watchers, &beside);
        for (what, beside, alone) in [
            ("create", &beside.creates, &alone.creates),
            ("event", &beside.events, &alone.events),
        ] {
            let row = format!("watchers/stalled/{what}-ratio/{watchers}");
            round.times(row, beside.p99(), alone.p99());
        }
    }
    Ok(())
}

fn record(round: &mut Round, row: &str, watchers: usize, watched: &Watched) {
    round.latencies(&format!("{row}/create/{watchers}"), &watched.creates);
    round.latencies(&format!("{row}/event/{watchers}"), &watched.events);
}

/// Creates what a stalled watcher leaves unread. Without one it is done too, so that both begin with the same database.
async fn fill(experiment: &Experiment) -> anyhow::Result<()> {
    let rows = (0..UNREAD).map(notice).collect();
    experiment.client.batch_create_notifications(rows).await?;
    Ok(())
}

/// A watcher that reads nothing more.
struct Stalled {
    process: Child,
}

impl Stalled {
    /// Starts `barista watch`, stops it when it has shown the first event, and then creates what it leaves unread.
    async fn start(lab: &Lab, experiment: &Experiment) -> anyhow::Result<Self> {
        let mut process = Command::new(lab.barista())
            .arg("--data-dir")
            .arg(experiment.daemon.directory())
            .args(["--no-autostart", "watch", "--since", "all"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start barista watch")?;
        let out = process
            .stdout
            .take()
            .context("barista watch has no output")?;
        experiment.client.create_notification(notice(0)).await?;
        let shown = BufReader::new(out).lines().next_line().await?;
        ensure!(
            shown.is_some(),
            "barista watch ended before it showed an event"
        );
        let pid = process
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .context("barista watch has ended")?;
        kill_process(pid, Signal::STOP).context("cannot stop barista watch")?;
        fill(experiment).await?;
        Ok(Self { process })
    }

    async fn end(mut self) -> anyhow::Result<()> {
        // Its end of the pipe is gone already; a stopped process can only be killed.
        self.process
            .kill()
            .await
            .context("cannot end barista watch")
    }
}
