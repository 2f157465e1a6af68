//! Durable creates in turn with another system's, each time on an empty database of its own.
//!
//! Both sides have as many connections, and the callers of both are in this process.

use barista_client::Client;

use crate::lab::Lab;
use crate::load::{closed_loop, notice};
use crate::opponent::Opponent;
use crate::report::Round;

/// How many callers there are at a time.
const CALLERS: [usize; 3] = [1, 16, 64];
/// How many callers there are with batches.
const BATCH_CALLERS: usize = 64;
/// How many rows a batch has.
const ROWS: u64 = 100;

/// Measures both in turn, or says why it could not.
pub(super) async fn measure<O: Opponent>(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let opponent = match O::find().await {
        Ok(opponent) => opponent,
        Err(missing) => {
            let note = format!("{} was not measured: {missing:#}", O::NAME);
            eprintln!("{note}");
            round.note(note);
            return Ok(());
        }
    };
    round.note(opponent.describe());
    for callers in CALLERS {
        ours::<O>(lab, round, callers, 1).await?;
        theirs(&opponent, lab, round, callers, 1).await?;
    }
    ours::<O>(lab, round, BATCH_CALLERS, ROWS).await?;
    theirs(&opponent, lab, round, BATCH_CALLERS, ROWS).await
}

fn row<O: Opponent>(side: &str, callers: usize, rows: u64) -> String {
    let batch = if rows > 1 { "-batch" } else { "" };
    format!("{}/{side}{batch}/{callers}", O::KEY)
}

async fn ours<O: Opponent>(
    lab: &Lab,
    round: &mut Round,
    callers: usize,
    rows: u64,
) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    let clients = if O::SHARES_A_CONNECTION {
        vec![experiment.client.clone(); callers]
    } else {
        experiment.daemon.clients(callers).await?
    };
    let operation = move |client: Client, number: u64| async move {
        if rows == 1 {
            client.create_notification(notice(number)).await?;
        } else {
            let batch = (0..rows).map(|row| notice(number * rows + row)).collect();
            client.batch_create_notifications(batch).await?;
        }
        Ok(())
    };
    let load = closed_loop(clients, lab.window, operation).await?;
    experiment.end().await?;
    round.load(&row::<O>("ours", callers, rows), &load, rows);
    Ok(())
}

async fn theirs<O: Opponent>(
    opponent: &O,
    lab: &Lab,
    round: &mut Round,
    callers: usize,
    rows: u64,
) -> anyhow::Result<()> {
    let scratch = lab.scratch()?;
    let server = opponent.start(&scratch.0).await?;
    let clients = opponent.callers(&server, callers).await?;
    let load = closed_loop(clients, lab.window, move |caller, number| {
        O::create(caller, number * rows, rows)
    })
    .await?;
    server.stop().await?;
    round.load(&row::<O>("theirs", callers, rows), &load, rows);
    Ok(())
}
