//! Catching up: a watch from a cursor far behind the head, on a daemon that has just started and so has nothing in memory.
//!
//! The time runs from before the watch connects to the arrival of the last event.

use std::time::Instant;

use anyhow::Context;
use barista_client::pb::notification::v1::{
    Cursor, ListNotificationsRequest, WatchNotificationsRequest,
};

use super::dataset::prepared;
use super::watch::event;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::report::{Metric, Round};

/// How far behind the head the watch begins.
const EVENTS: i64 = 100_000;
/// A database with more changes than that.
const ROWS: usize = 100_000;

/// Measures events per second.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let directory = prepared(lab, ROWS).await?;
    let daemon = Daemon::start(&lab.baristad(), &directory, &lab.log_level).await?;
    let client = daemon.client().await?;
    let page = client
        .list_notifications(ListNotificationsRequest::default())
        .await?;
    let head = page.cursor.context("a list without a cursor")?;
    let began = Instant::now();
    let mut watch = client.watch(WatchNotificationsRequest {
        after: Some(Cursor {
            sequence: head.sequence - EVENTS,
            epoch: head.epoch,
        }),
        ..WatchNotificationsRequest::default()
    });
    for _ in 0..EVENTS {
        event(&mut watch).await?;
    }
    let took = began.elapsed();
    round.record(
        "resume",
        Metric::PerSecond,
        EVENTS as f64 / took.as_secs_f64(),
    );
    drop((watch, client));
    daemon.stop().await
}
