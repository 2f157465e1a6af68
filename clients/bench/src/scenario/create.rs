//! Durable creates, one per call, by callers that share a connection or have one each; and the legacy way in turn.

use barista_client::Client;

use crate::lab::{Experiment, Lab};
use crate::load::{Load, closed_loop, notice};
use crate::report::Round;

/// How many callers there are at a time.
const CALLERS: [usize; 3] = [1, 16, 64];

/// Measures the rate and the latency, each time on an empty database.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    for callers in CALLERS {
        let experiment = lab.daemon().await?;
        let clients = vec![experiment.client.clone(); callers];
        let row = format!("create/one/{callers}");
        barista(lab, round, &row, experiment, clients).await?;
        legacy(lab, round, callers).await?;
        if callers > 1 {
            let experiment = lab.daemon().await?;
            let clients = experiment.daemon.clients(callers).await?;
            let row = format!("create/each/{callers}");
            barista(lab, round, &row, experiment, clients).await?;
        }
    }
    Ok(())
}

async fn barista(
    lab: &Lab,
    round: &mut Round,
    row: &str,
    experiment: Experiment,
    clients: Vec<Client>,
) -> anyhow::Result<()> {
    let before = experiment.daemon.processor_time()?;
    let load = creates(clients, lab).await?;
    let used = experiment.daemon.processor_time()?.saturating_sub(before);
    experiment.end().await?;
    round.load(row, &load, 1);
    round.processor_time(row, used, load.operations);
    Ok(())
}

/// Lets callers create, each one notification after the other.
pub(super) async fn creates(callers: Vec<Client>, lab: &Lab) -> anyhow::Result<Load> {
    closed_loop(callers, lab.window, |client, number| async move {
        client.create_notification(notice(number)).await?;
        Ok(())
    })
    .await
}

async fn legacy(lab: &Lab, round: &mut Round, callers: usize) -> anyhow::Result<()> {
    let scratch = lab.scratch()?;
    let database = scratch.0.join("notifications.db");
    let (load, failed) = lab.legacy.create(&database, callers, lab.window).await?;
    round.load(&format!("create/legacy/{callers}"), &load, 1);
    let unfair = "Under load the legacy way is unfair: one process writes again and again while the others sleep, so its p50 flatters it; look at \
        its rate and its p99.";
    round.note(unfair);
    if failed > 0 {
        let number = round.number;
        round.note(format!(
            "The legacy way, {callers} callers, round {number}: {failed} operations failed, as after 30 s of \"database is locked\"."
        ));
    }
    Ok(())
}
