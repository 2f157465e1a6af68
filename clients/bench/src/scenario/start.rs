//! Starting the daemon on a data directory that exists, until it answers an RPC.
//!
//! The time runs from before the process is created to the answer to GetServerInfo, on a machine that has the files in memory.

use super::dataset::prepared;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::report::Round;
use crate::stats::Latencies;

/// How many notifications the directory holds.
const ROWS: usize = 10_000;
/// How often the daemon is started in a round.
const STARTS: usize = 20;

/// Measures a series of starts.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let directory = prepared(lab, ROWS).await?;
    let mut samples = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let daemon = Daemon::start(&lab.baristad(), &directory, &lab.log_level).await?;
        samples.push(daemon.started_in);
        daemon.stop().await?;
    }
    round.latencies("start", &Latencies::new(samples));
    Ok(())
}
