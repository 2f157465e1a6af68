//! How cost grows with the callers: durable creates by few and by many, who share a connection or have one each.

use super::create::creates;
use crate::lab::Lab;
use crate::report::Round;

/// Measures each number of callers, each time on an empty database.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    for callers in lab.callers.iter().copied() {
        let experiment = lab.daemon().await?;
        let load = creates(vec![experiment.client.clone(); callers], lab).await?;
        experiment.end().await?;
        round.load(&format!("callers/one/{callers}"), &load, 1);

        let experiment = lab.daemon().await?;
        // The first caller takes the connection that is open: the daemon allows 1,024.
        let mut clients = experiment.daemon.clients(callers - 1).await?;
        clients.push(experiment.client.clone());
        let load = creates(clients, lab).await?;
        experiment.end().await?;
        round.load(&format!("callers/each/{callers}"), &load, 1);
    }
    Ok(())
}
