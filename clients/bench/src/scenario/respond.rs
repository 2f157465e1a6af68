//! From a response to who waits for it.
//!
//! One question after the other: an agent waits on a connection of its own; once the daemon counts it among those that wait, a person
//! responds on another connection. The time runs from right before the respond call to the return of the agent's wait.

use std::time::Instant;

use anyhow::bail;
use barista_client::pb::notification::v1::RespondNotificationRequest;
use barista_client::{Client, WaitOutcome};

use crate::lab::Lab;
use crate::load::notice;
use crate::report::{Metric, Round};
use crate::stats::Latencies;

/// Measures responses, and creates at the same pace for comparison.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    let agent = experiment.daemon.client().await?;
    let person = &experiment.client;
    let (mut creates, mut responses) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while began.elapsed() < lab.window {
        let asked = Instant::now();
        let id = agent
            .create_notification(notice(creates.len() as u64))
            .await?
            .id;
        creates.push(asked.elapsed());
        let waiting = tokio::spawn(wait(agent.clone(), id));
        until_waiting(person).await?;
        let responded = Instant::now();
        let request = RespondNotificationRequest {
            id,
            text: "yes".to_owned(),
            responder: "bench".to_owned(),
            ..RespondNotificationRequest::default()
        };
        person.respond_notification(request).await?;
        responses.push(waiting.await?? - responded);
    }
    experiment.end().await?;
    let (creates, responses) = (Latencies::new(creates), Latencies::new(responses));
    round.latencies("respond", &responses);
    if let Some(p50) = creates.p50() {
        round.record("respond/create", Metric::P50Ms, p50);
    }
    round.times("respond/ratio", responses.p50(), creates.p50());
    Ok(())
}

/// Waits for the response, and says when it had it.
async fn wait(agent: Client, id: i64) -> anyhow::Result<Instant> {
    match agent.wait(id, None).await? {
        WaitOutcome::Ended(_) => Ok(Instant::now()),
        WaitOutcome::TimedOut(_) => bail!("a wait without a limit timed out"),
    }
}

/// Asks the daemon until it knows of somebody who waits.
async fn until_waiting(person: &Client) -> anyhow::Result<()> {
    while person.get_status().await?.waiters == 0 {
        tokio::task::yield_now().await;
    }
    Ok(())
}
