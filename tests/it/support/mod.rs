//! What every story needs: a daemon, a watcher that checks what it sees, and direct tooling.

mod crowd;
mod daemon;
mod foreign;
mod history;
mod home;
mod journal;
mod process;
mod raw;
mod recorder;
mod requests;
mod seed;

use std::future::Future;
use std::time::Duration;

pub(crate) use crowd::Crowd;
pub(crate) use daemon::TestDaemon;
pub(crate) use foreign::Foreign;
pub(crate) use home::Home;
pub(crate) use process::Process;
pub(crate) use raw::{Raw, code_and_reason};
pub(crate) use recorder::Recorder;
pub(crate) use requests::{
    answer, by_id, every, from, info, move_to, number, only, question, titles, uuid,
};
pub(crate) use seed::{Seed, is_long};

/// How long anything may take before a test counts as hung. No test passes or fails by how fast something is.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// Waits for `future`, which hangs if it takes longer than [`HANG`].
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("nothing happened within {HANG:?}"),
    }
}

/// Runs `work`, which blocks, beside the test's own tasks.
pub(crate) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    soon(tokio::task::spawn_blocking(work))
        .await
        .expect("the work does not panic")
}
