//! Telemetry that is no longer kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::error::Result;
use super::notification::store::Call;
use super::observation::store::{Forget, TelemetryStore};
use super::retention::rest;

/// Rows that one step forgets: its transaction takes a few milliseconds, which is what a caller may have to wait longer.
const STEP_ROWS: usize = 200;
/// How long after the start of the daemon the first pass begins, unless passes are more frequent.
const FIRST_PASS: Duration = Duration::from_secs(90);

/// How long what is kept, by the start of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Observations, with all that is known of them; `None` for ever.
    pub observations_max_age: Option<Duration>,
    /// Attributes and content; `None` for as long as their observation.
    pub payloads_max_age: Option<Duration>,
    /// How many changes are kept.
    pub journal_max_events: u64,
}

/// What a pass forgot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Observations.
    pub observations: usize,
    /// Attributes and content of observations that stay.
    pub payloads: usize,
    /// Changes.
    pub changes: usize,
    /// By how many bytes the file became smaller.
    pub returned: u64,
}

/// Applies a policy to the telemetry, now and then.
pub struct Forgetting {
    store: Arc<dyn TelemetryStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    interval: Duration,
}

impl Forgetting {
    /// Applies `policy` to `store`, every `interval` once [`Forgetting::run`] runs.
    #[must_use]
    pub fn new(
        store: Arc<dyn TelemetryStore>,
        clock: Arc<dyn Clock>,
        policy: Policy,
        interval: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            policy,
            interval,
        }
    }

    /// Forgets what is no longer kept, in small steps between the writes of others, and gives the disk back. Dropping the call ends it between two
    /// steps.
    ///
    /// # Errors
    ///
    /// Those of a write; what the steps before have forgotten is gone.
    pub async fn apply(&self) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        if !self.store.is_used() {
            return Ok(forgotten);
        }
        let now = self.clock.now();
        if let Some(age) = self.policy.observations_max_age {
            let before = now.before(age);
            forgotten.observations = self.steps(Forget::Observations { before }).await?;
        }
        if let Some(age) = self.policy.payloads_max_age {
            let before = now.before(age);
            forgotten.payloads = self.steps(Forget::Payloads { before }).await?;
        }
        let most = i64::try_from(self.policy.journal_max_events).unwrap_or(i64::MAX);
        let through = self.store.bounds().await?.head.saturating_sub(most);
        forgotten.changes = self.steps(Forget::Journal { through }).await?;
        loop {
            let started = Instant::now();
            match self.store.return_space(self.call()).await? {
                0 => return Ok(forgotten),
                returned => forgotten.returned += returned,
            }
            rest(started).await;
        }
    }

    async fn steps(&self, what: Forget) -> Result<usize> {
        let mut total = 0;
        loop {
            let started = Instant::now();
            let count = self.store.forget(what, STEP_ROWS, self.call()).await?;
            total += count;
            if count < STEP_ROWS {
                return Ok(total);
            }
            rest(started).await;
        }
    }

    fn call(&self) -> Call {
        Call {
            now: self.clock.now(),
            deadline: None,
        }
    }

    /// Applies the policy every now and then, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut pause = FIRST_PASS.min(self.interval);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            let outcome = tokio::select! {
                outcome = self.apply() => outcome,
                () = stop.cancelled() => return,
            };
            match outcome {
                Ok(forgotten) if forgotten == Forgotten::default() => {}
                Ok(forgotten) => tracing::info!(
                    observations = forgotten.observations,
                    payloads = forgotten.payloads,
                    changes = forgotten.changes,
                    returned_bytes = forgotten.returned,
                    "forgot telemetry that is no longer kept"
                ),
                Err(error) => {
                    tracing::warn!(%error, "could not forget telemetry; trying again later");
                }
            }
            pause = self.interval;
        }
    }
}
