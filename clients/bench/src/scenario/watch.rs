//! From a create to watchers.
//!
//! Both ends are in this process: the time is from right before the create call to the arrival of the event in a watcher's task. The creates
//! begin at a steady rate whatever happens to earlier ones. The time that this process needs to read the events of all its watchers, one
//! after the other, is part of the result.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use barista_client::pb::notification::v1::{NotificationEvent, StartAt, WatchNotificationsRequest};
use barista_client::{Client, Watch, WatchItem};
use tokio::task::JoinSet;

use crate::lab::Lab;
use crate::load::{notice, paced};
use crate::report::{Metric, Round};
use crate::stats::Latencies;

/// The time between two creates: 200 per second.
const PERIOD: Duration = Duration::from_millis(5);
/// The first events warm up.
const UNCOUNTED: usize = 40;

/// Measures with one and with a hundred watchers.
pub(super) async fn measure(lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
    for watchers in [1, 100] {
        with_watchers(lab, round, watchers).await?;
    }
    Ok(())
}

async fn with_watchers(lab: &Lab, round: &mut Round, watchers: usize) -> anyhow::Result<()> {
    let experiment = lab.daemon().await?;
    let watched = watched_creates(&experiment.client, watchers, PERIOD, lab.window).await?;
    experiment.end().await?;
    round.latencies(&format!("watch/{watchers}"), &watched.events);
    if let (100, Some(lag)) = (watchers, watched.lags.p99()) {
        round.record("watch/lag", Metric::P99Ms, lag);
    }
    Ok(())
}

/// What paced creates and their watchers came to.
#[derive(Debug)]
pub(super) struct Watched {
    /// How long the creates took.
    pub(super) creates: Latencies,
    /// From before each create to each watcher.
    pub(super) events: Latencies,
    /// How late each create began.
    pub(super) lags: Latencies,
}

/// Starts `watchers` watchers, and then creates one notification per `period` for `window`, after some that warm up.
pub(super) async fn watched_creates(
    client: &Client,
    watchers: usize,
    period: Duration,
    window: Duration,
) -> anyhow::Result<Watched> {
    let count = UNCOUNTED + (window.as_secs_f64() / period.as_secs_f64()).ceil() as usize;
    let begun: Arc<Vec<OnceLock<Instant>>> =
        Arc::new((0..count).map(|_| OnceLock::new()).collect());
    let took: Arc<Vec<OnceLock<Duration>>> =
        Arc::new((0..count).map(|_| OnceLock::new()).collect());
    let mut tasks = JoinSet::new();
    for number in 0..watchers {
        let watch = started(client).await.with_context(|| {
            format!("watcher {number} cannot start; is the limit of open files too low?")
        })?;
        tasks.spawn(follow(watch, Arc::clone(&begun)));
    }
    let lags = paced(count, period, |number| {
        let (client, begun, took) = (client.clone(), Arc::clone(&begun), Arc::clone(&took));
        async move {
            let now = Instant::now();
            if let Some(place) = begun.get(number) {
                place.get_or_init(|| now);
            }
            client.create_notification(notice(number as u64)).await?;
            if let Some(place) = took.get(number) {
                place.get_or_init(|| now.elapsed());
            }
            Ok(())
        }
    })
    .await?;
    let mut events = Vec::with_capacity(count * watchers);
    while let Some(done) = tasks.join_next().await {
        events.extend(done??);
    }
    Ok(Watched {
        creates: Latencies::new(
            took.iter()
                .skip(UNCOUNTED)
                .filter_map(OnceLock::get)
                .copied(),
        ),
        events: Latencies::new(events),
        lags,
    })
}

/// Starts a watch for new notifications, and waits until it is on.
pub(crate) async fn started(client: &Client) -> anyhow::Result<Watch> {
    let mut watch = client.watch(WatchNotificationsRequest {
        start_at: StartAt::Now.into(),
        ..WatchNotificationsRequest::default()
    });
    match watch.next().await? {
        Some(WatchItem::Started(_)) => Ok(watch),
        other => bail!("a watch began with {other:?}"),
    }
}

/// Waits for the next event.
pub(crate) async fn event(watch: &mut Watch) -> anyhow::Result<NotificationEvent> {
    loop {
        match watch.next().await? {
            Some(WatchItem::Event(event)) => return Ok(event),
            Some(WatchItem::Interrupted(error)) => bail!("a watch was interrupted: {error}"),
            Some(_) => {}
            None => bail!("a watch ended"),
        }
    }
}

/// Takes an event for each place of `begun`, and returns how long each was under way.
async fn follow(
    mut watch: Watch,
    begun: Arc<Vec<OnceLock<Instant>>>,
) -> anyhow::Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(begun.len());
    for _ in 0..begun.len() {
        let event = event(&mut watch).await?;
        let arrived = Instant::now();
        let title = event
            .notification
            .map(|notification| notification.title)
            .unwrap_or_default();
        let number: Option<usize> = title.rsplit(' ').next().and_then(|word| word.parse().ok());
        let Some(number) = number.filter(|number| *number >= UNCOUNTED) else {
            continue;
        };
        if let Some(began) = begun.get(number).and_then(OnceLock::get) {
            samples.push(arrived - *began);
        }
    }
    Ok(samples)
}
