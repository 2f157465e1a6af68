//! Durable creates, many per call.

use crate::lab::Lab;
use crate::load::{closed_loop, notice};
use crate::report::{Metric, Round};

/// How many notifications one call creates.
const ROWS: u64 = 100;

/// Measures rows per second for one caller, and for 16 on one connection.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    for callers in [1, 16] {
        let experiment = lab.daemon().await?;
        let clients = vec![experiment.client.clone(); callers];
        let before = experiment.daemon.processor_time()?;
        let load = closed_loop(clients, lab.window, |client, number| async move {
            let rows = (0..ROWS).map(|row| notice(number * ROWS + row)).collect();
            client.batch_create_notifications(rows).await?;
            Ok(())
        })
        .await?;
        let used = experiment.daemon.processor_time()?.saturating_sub(before);
        experiment.end().await?;
        let row = format!("batch/{callers}");
        round.record(
            row.as_str(),
            Metric::PerSecond,
            load.per_second * ROWS as f64,
        );
        round.processor_time(&row, used, load.operations * ROWS);
    }
    Ok(())
}
