//! Data directories with many notifications, half of them closed.

use std::path::PathBuf;

use barista_client::Client;
use barista_client::pb::notification::v1::{CreateNotificationRequest, Priority};
use tokio::task::JoinSet;

use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::load::notice;

/// How many notifications one call creates.
const BATCH: usize = 1000;
/// How many calls create at the same time.
const CREATORS: usize = 4;

/// Returns a data directory with `rows` notifications, all made by the daemon; those with an even id are dismissed by direct tooling, which
/// may change many at a time.
///
/// # Errors
///
/// The daemon fails.
pub(super) async fn prepared(lab: &Lab, rows: usize) -> anyhow::Result<PathBuf> {
    let dataset = lab.dataset(&format!("rows-{rows}"));
    if !dataset.is_ready {
        eprintln!("preparing {rows} rows in {}", dataset.directory.display());
        if dataset.directory.exists() {
            // An earlier run was ended in the middle.
            std::fs::remove_dir_all(&dataset.directory)?;
        }
        let daemon = Daemon::start(&lab.baristad(), &dataset.directory, "warn").await?;
        let client = daemon.client().await?;
        create(&client, rows).await?;
        drop(client);
        let database = daemon.database();
        daemon.stop().await?;
        lab.legacy.dismiss_every_second(&database).await?;
        dataset.finish()?;
    }
    Ok(dataset.directory)
}

/// The number'th notification. Priorities are spread as people use them, and alike over odd and even numbers.
fn urgent(number: usize) -> CreateNotificationRequest {
    let priority = match number / 2 % 20 {
        0 => Priority::Critical,
        1..=3 => Priority::High,
        4..=15 => Priority::Normal,
        _ => Priority::Low,
    };
    CreateNotificationRequest {
        priority: priority.into(),
        ..notice(number as u64)
    }
}

async fn create(client: &Client, rows: usize) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for start in (0..rows).step_by(BATCH) {
        if tasks.len() >= CREATORS
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        let client = client.clone();
        let batch = (start..rows.min(start + BATCH)).map(urgent).collect();
        tasks.spawn(async move { client.batch_create_notifications(batch).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
