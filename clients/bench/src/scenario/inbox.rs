//! A page of a small and of a large inbox: one caller, one page after the other.

use std::time::Instant;

use anyhow::ensure;
use barista_client::Client;
use barista_client::pb::notification::v1::{
    ListNotificationsRequest, ListOrder, NotificationFilter, NotificationState,
};

use super::dataset::prepared;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::report::Round;
use crate::stats::Latencies;

/// How many notifications a page has.
const PAGE: i32 = 100;
/// The first pages warm up.
const UNCOUNTED: usize = 10;

/// Measures the first page in both orders, for each size of inbox.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    let orders = [
        ("urgent", ListOrder::MostUrgentFirst),
        ("newest", ListOrder::NewestFirst),
    ];
    let mut medians = vec![Vec::new(); orders.len()];
    for rows in &lab.inboxes {
        let directory = prepared(lab, *rows).await?;
        let daemon = Daemon::start(&lab.baristad(), &directory, &lab.log_level).await?;
        let client = daemon.client().await?;
        for ((name, order), medians) in orders.iter().zip(&mut medians) {
            let pages = pages(&client, *order, lab.count).await?;
            round.latencies(&format!("inbox/{name}/{rows}"), &pages);
            medians.push(pages.p50());
        }
        drop(client);
        daemon.stop().await?;
    }
    for ((name, _), medians) in orders.iter().zip(medians) {
        if let [Some(small), .., Some(large)] = medians.as_slice() {
            round.times(format!("inbox/{name}/ratio"), Some(*large), Some(*small));
        }
    }
    Ok(())
}

async fn pages(client: &Client, order: ListOrder, count: usize) -> anyhow::Result<Latencies> {
    let open = [NotificationState::Pending, NotificationState::Read];
    let request = ListNotificationsRequest {
        filter: Some(NotificationFilter {
            states: open.map(i32::from).to_vec(),
            ..NotificationFilter::default()
        }),
        order: order.into(),
        page_size: PAGE,
        ..ListNotificationsRequest::default()
    };
    let mut samples = Vec::with_capacity(count);
    for number in 0..UNCOUNTED + count {
        let began = Instant::now();
        let page = client.list_notifications(request.clone()).await?;
        let took = began.elapsed();
        let length = page.notifications.len();
        ensure!(
            length == PAGE as usize,
            "a page has {length} notifications instead of {PAGE}"
        );
        if number >= UNCOUNTED {
            samples.push(took);
        }
    }
    Ok(Latencies::new(samples))
}
