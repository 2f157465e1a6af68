//! Writes that nobody can interrupt.

use std::any::Any;
use std::future::Future;

use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::domain::error::{Error, Result};

/// Runs `write` as a task of its own, and returns what became of it.
///
/// tonic drops a handler when its client goes away. A write that is dropped half-way would leave the daemon in doubt about what it has
/// done; one that runs on is done or refused, and its request id tells a client that comes back. `tasks` lets a shutdown wait for it.
///
/// # Errors
///
/// Those of `write`; `Internal` when it panics, `CommitUnknown` when the runtime stops under it.
pub(super) async fn detached<T: Send + 'static>(
    tasks: &TaskTracker,
    write: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let error = match tasks.spawn(write.in_current_span()).await {
        Ok(result) => return result,
        Err(error) => error,
    };
    match error.try_into_panic() {
        Ok(panic) => Err(Error::Internal(format!(
            "a write panicked: {}",
            panic_text(panic.as_ref())
        ))),
        Err(_) => Err(Error::CommitUnknown),
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_write_goes_on_when_its_caller_goes_away() {
        let tasks = TaskTracker::new();
        let (go, gone) = oneshot::channel::<()>();
        let (done, committed) = oneshot::channel();
        let write = async move {
            gone.await.expect("the signal");
            done.send("committed").expect("a listener");
            Ok(())
        };
        {
            let mut caller = Box::pin(detached(&tasks, write));
            assert!(futures_util::poll!(&mut caller).is_pending());
        }
        go.send(()).expect("the write still runs");
        assert_eq!(committed.await, Ok("committed"));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_write_that_panics_is_an_internal_error() {
        let write = async { panic!("out of cups") };
        let result = detached::<()>(&TaskTracker::new(), write).await;
        assert!(matches!(result, Err(Error::Internal(text)) if text.contains("out of cups")),);
    }
}
