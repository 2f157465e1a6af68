//! Load: what is written, and who writes it when.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use barista_client::pb::notification::v1::{CreateNotificationRequest, NotificationType, Priority};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::lab::WARM_UP;
use crate::stats::Latencies;

/// The text of every notification, of an ordinary length.
pub(crate) const MESSAGE: &str = "The migration touches 14 files and rewrites two tables. Tests pass; the dry run took 3.2 s. \
    Shall I go on with it on the staging database, or wait for a review?";

/// The title of the number'th notification.
pub(crate) fn title(number: u64) -> String {
    format!("Benchmark {number}")
}

/// What the number'th notification has for programs.
pub(crate) fn context(number: u64) -> String {
    format!(r#"{{"source":"barista-bench","sequence":{number}}}"#)
}

/// A notification of an ordinary size. The legacy way stores the same.
pub(crate) fn notice(number: u64) -> CreateNotificationRequest {
    CreateNotificationRequest {
        r#type: NotificationType::Info.into(),
        priority: Priority::Normal.into(),
        title: title(number),
        message: MESSAGE.to_owned(),
        context: context(number),
        ..CreateNotificationRequest::default()
    }
}

/// What callers came to that each begin the next operation when the last one has ended.
///
/// Such callers wait while the other side is slow, so their latencies are those under this number of callers, not those under a given
/// rate of arrivals.
#[derive(Debug)]
pub(crate) struct Load {
    /// Operations per second within the window. An operation counts with the share of its time that lies in there: long ones would
    /// make the rate jump in steps otherwise.
    pub(crate) per_second: f64,
    /// How long each took that began within the window, however late it ended.
    pub(crate) latencies: Latencies,
    /// How many operations there were, those of the warm-up included.
    pub(crate) operations: u64,
}

struct Operation {
    began: Instant,
    ended: Instant,
}

impl Operation {
    /// How much of its time lies between `start` and `end`, from 0 to 1.
    fn share_within(&self, start: Instant, end: Instant) -> f64 {
        let within = self
            .ended
            .min(end)
            .saturating_duration_since(self.began.max(start));
        let whole = self.ended - self.began;
        if whole.is_zero() {
            return f64::from(u8::from((start..=end).contains(&self.began)));
        }
        within.as_secs_f64() / whole.as_secs_f64()
    }
}

/// Lets each of `callers` repeat `operation`, which gets a new number each time, for a warm-up and then for `window`.
///
/// # Errors
///
/// The first error of any operation.
pub(crate) async fn closed_loop<C, F, O>(
    callers: Vec<C>,
    window: Duration,
    operation: F,
) -> anyhow::Result<Load>
where
    C: Clone + Send + 'static,
    F: Fn(C, u64) -> O + Clone + Send + 'static,
    O: Future<Output = anyhow::Result<()>> + Send,
{
    let start = Instant::now() + WARM_UP;
    let end = start + window;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for caller in callers {
        let (operation, numbers) = (operation.clone(), Arc::clone(&numbers));
        tasks.spawn(async move {
            let mut operations = Vec::new();
            loop {
                let began = Instant::now();
                if began >= end {
                    return anyhow::Ok(operations);
                }
                operation(caller.clone(), numbers.fetch_add(1, Ordering::Relaxed)).await?;
                operations.push(Operation {
                    began,
                    ended: Instant::now(),
                });
            }
        });
    }
    let mut operations = Vec::new();
    while let Some(done) = tasks.join_next().await {
        operations.extend(done??);
    }
    let done: f64 = operations
        .iter()
        .map(|each| each.share_within(start, end))
        .sum();
    let latencies = operations
        .iter()
        .filter(|each| each.began >= start)
        .map(|each| each.ended - each.began);
    Ok(Load {
        per_second: done / window.as_secs_f64(),
        latencies: Latencies::new(latencies),
        operations: operations.len() as u64,
    })
}

/// Starts `operation` `count` times at a steady rate, each in a task of its own, so that a slow one delays none of the following. Returns
/// how late each began, once all have ended.
///
/// # Errors
///
/// The first error of any operation.
pub(crate) async fn paced<F, O>(
    count: usize,
    period: Duration,
    operation: F,
) -> anyhow::Result<Latencies>
where
    F: Fn(usize) -> O,
    O: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut ticks = interval(period);
    // A tick that was missed is made up for: leaving it out would leave out the worst moments.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = JoinSet::new();
    let mut lags = Vec::with_capacity(count);
    for number in 0..count {
        let due = ticks.tick().await;
        lags.push(due.elapsed());
        tasks.spawn(operation(number));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(Latencies::new(lags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_counts_with_its_share_of_the_window() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let share = |began, ended| {
            let operation = Operation {
                began: at(began),
                ended: at(ended),
            };
            operation.share_within(at(100), at(200))
        };
        let cases = [
            (110, 120, 1.0),
            (50, 150, 0.5),
            (150, 250, 0.5),
            (0, 400, 0.25),
            (0, 90, 0.0),
            (210, 220, 0.0),
            (120, 120, 1.0),
            (90, 90, 0.0),
        ];
        for (began, ended, expected) in cases {
            assert!(
                (share(began, ended) - expected).abs() < 1e-9,
                "{began} to {ended}"
            );
        }
    }
}
