//! How long to pause between attempts, and when to stop trying.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// Pauses that double from a first one to a longest one.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The pauses between looks at a daemon that is starting: short, because it takes about 10 ms.
    pub(crate) const fn polling() -> Self {
        Self::new(Duration::from_millis(1), Duration::from_millis(50))
    }

    /// The pauses between attempts to reach a daemon that went away.
    pub(crate) const fn reconnecting() -> Self {
        Self::new(Duration::from_millis(20), Duration::from_secs(2))
    }

    /// The next pause: between half of it and all of it at random, so that a thousand clients do not return in step.
    pub(crate) fn pause(&mut self) -> Duration {
        // RandomState is seeded per instance; enough randomness for spreading, without another dependency.
        let random = RandomState::new().build_hasher().finish();
        self.pause_with(random)
    }

    fn pause_with(&mut self, random: u64) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        let share =
            f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        whole.mul_f64(0.5 + share / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Decides how often something that should go on for long is tried again after failures.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    limit: Option<Duration>,
    failing_since: Option<Instant>,
    backoff: Backoff,
}

impl Patience {
    /// Gives up once nothing has worked for `limit`; `None`: never.
    pub(crate) const fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            failing_since: None,
            backoff: Backoff::reconnecting(),
        }
    }

    /// Takes note of a failure at `now`. The pause before the next attempt, or `None` to give up.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.failing_since.get_or_insert(now);
        if self
            .limit
            .is_some_and(|limit| now.duration_since(since) >= limit)
        {
            return None;
        }
        Some(self.backoff.pause())
    }

    /// Takes note that an attempt worked.
    pub(crate) fn worked(&mut self) {
        self.failing_since = None;
        self.backoff.reset();
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(10 * MS, 50 * MS);
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause_with(u64::MAX)).collect();
        assert_eq!(pauses, [10 * MS, 20 * MS, 40 * MS, 50 * MS, 50 * MS]);
        backoff.reset();
        assert_eq!(backoff.pause_with(u64::MAX), 10 * MS);
    }

    #[test]
    fn chance_takes_at_most_half_of_a_pause() {
        let mut backoff = Backoff::new(10 * MS, 10 * MS);
        assert_eq!(backoff.pause_with(0), 5 * MS);
        for _ in 0..100 {
            let pause = backoff.pause();
            assert!((5 * MS..=10 * MS).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn patience_ends_when_nothing_worked_for_its_limit() {
        let start = Instant::now();
        let mut patience = Patience::new(Some(1000 * MS));
        assert!(patience.failed(start).is_some());
        assert!(patience.failed(start + 999 * MS).is_some());
        assert!(patience.failed(start + 1000 * MS).is_none());
    }

    #[test]
    fn patience_begins_anew_after_a_success() {
        let start = Instant::now();
        let mut patience = Patience::new(Some(1000 * MS));
        assert!(patience.failed(start).is_some() && patience.is_failing());
        patience.worked();
        assert!(!patience.is_failing());
        assert!(patience.failed(start + 5000 * MS).is_some());
    }

    #[test]
    fn patience_without_a_limit_never_ends() {
        let start = Instant::now();
        let mut patience = Patience::new(None);
        assert!(patience.failed(start).is_some());
        assert!(patience.failed(start + 3_600_000 * MS).is_some());
    }
}
