//! Taking the write lock, which other processes may hold.
//!
//! Only here another process's lock is met, and nothing has run yet, so trying again is safe.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::batch::execute;
use super::connection::BUSY_TIMEOUT;
use super::failure::{Severity, severity};
use super::job::Job;
use super::store::Options;
use super::writer::Shared;

/// How often a lock that another process holds is looked at for who still waits: callers give up, and the daemon may stop.
const SLICE: Duration = Duration::from_millis(100);
/// The pause before the second attempt; it doubles each time, and up to half of it is added at random.
const BACKOFF: Duration = Duration::from_millis(100);

/// Begins a transaction for `jobs`, with as many attempts and as much patience as `options` say. Returns whether it began.
pub(super) fn begin(
    connection: &Connection,
    options: &Options,
    shared: &Shared,
    jobs: &[Box<dyn Job>],
) -> rusqlite::Result<bool> {
    // Worth waiting for: somebody still wants the outcome, and the daemon goes on.
    // Asked in each slice: a writer that waits for somebody else's lock is not stuck.
    let is_wanted = || {
        shared.progress.sign();
        !shared.hurried.load(Ordering::Acquire) && jobs.iter().any(|job| !job.is_abandoned())
    };
    let mut backoff = BACKOFF;
    for attempt in 1..=options.busy_attempts {
        if try_for(connection, options.busy_timeout, is_wanted)? {
            return Ok(true);
        }
        shared.busy_retries.fetch_add(1, Ordering::Relaxed);
        let of = options.busy_attempts;
        tracing::warn!(attempt, of, "another process keeps the database locked");
        if !is_wanted() {
            break;
        }
        if attempt < of {
            pause(backoff + jitter(backoff / 2));
            backoff *= 2;
        }
    }
    Ok(false)
}

/// Begins a transaction if nobody holds the lock just now. Returns whether it began.
pub(super) fn begin_at_once(connection: &Connection) -> rusqlite::Result<bool> {
    try_for(connection, Duration::ZERO, || false)
}

/// Waits until nobody else holds the lock on a file that is being opened, for as long as `patience`; says whether nobody does. Somebody else may take
/// it right after.
pub(super) fn wait_until_free(
    connection: &Connection,
    patience: Duration,
) -> rusqlite::Result<bool> {
    let is_free = try_for(connection, patience, || true)?;
    if is_free {
        execute(connection, "ROLLBACK")?;
    }
    Ok(is_free)
}

/// Tries to begin until `patience` is over, or nobody wants it any more.
fn try_for(
    connection: &Connection,
    patience: Duration,
    is_wanted: impl Fn() -> bool,
) -> rusqlite::Result<bool> {
    let until = Instant::now() + patience;
    connection.busy_timeout(SLICE.min(patience))?;
    let begun = loop {
        match execute(connection, "BEGIN IMMEDIATE") {
            Ok(()) => break Ok(true),
            Err(error) if severity(&error) == Severity::Busy => {
                if Instant::now() >= until || !is_wanted() {
                    break Ok(false);
                }
            }
            Err(error) => break Err(error),
        }
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    begun
}

/// A number of microseconds up to `most`, different each time.
fn jitter(most: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(RandomState::new().hash_one(0_u8) % micros)
}

/// Leaves the lock to others for a while.
#[expect(
    clippy::disallowed_methods,
    reason = "the gap is the purpose: there is no event to wait for"
)]
pub(super) fn pause(span: Duration) {
    std::thread::sleep(span);
}
