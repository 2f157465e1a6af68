//! What the log costs: creates by 64 callers on one connection, with the default level and with fewer lines.

use super::create::creates;
use crate::lab::Lab;
use crate::report::{Metric, Round};

/// How many callers there are.
const CALLERS: usize = 64;

/// Measures both levels in turn. The log goes to a file on the same disk.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let mut rates = Vec::new();
    for level in ["info", "warn"] {
        let experiment = lab.daemon_logging(level).await?;
        let load = creates(vec![experiment.client.clone(); CALLERS], lab).await?;
        experiment.end().await?;
        round.record(
            format!("logging/{level}"),
            Metric::PerSecond,
            load.per_second,
        );
        rates.push(load.per_second);
    }
    if let [info, warn] = rates.as_slice() {
        round.times("logging/ratio", Some(*warn), Some(*info));
    }
    Ok(())
}
