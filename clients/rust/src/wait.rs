//! Waiting for the end of a notification, across restarts of the daemon.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Patience;
use crate::client::Client;
use crate::error::Error;
use crate::notification::{present, stub};
use crate::pb::notification::v1::{Notification, WaitNotificationRequest};

/// How long one call waits. Tools between an agent and this library tend to end calls after 60 s.
const STEP: Duration = Duration::from_secs(50);
/// How much later than its wait a call's own limit is: the daemon's answer to the wait must come first.
const MARGIN: Duration = Duration::from_secs(5);
/// How long the daemon may be away before a wait gives up.
const ABSENCE_LIMIT: Duration = Duration::from_secs(30);
/// A call that waited this long before it failed did work.
const STEADY: Duration = Duration::from_secs(1);

/// How a wait ended.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitOutcome {
    /// The notification has reached an end state; look which.
    Ended(Notification),
    /// The time was up; the notification is as last seen, still open.
    TimedOut(Notification),
}

impl WaitOutcome {
    /// The notification, however the wait ended.
    #[must_use]
    pub fn into_notification(self) -> Notification {
        match self {
            Self::Ended(notification) | Self::TimedOut(notification) => notification,
        }
    }
}

impl Client {
    /// Waits until the notification is in an end state or `timeout` has passed; `None` waits for as long as it takes.
    ///
    /// The wait is a chain of calls of at most 50 s that goes on across restarts of the daemon, which it starts itself where
    /// [`Autostart`](crate::Autostart) allows that. The question is in the database, so nothing is lost in between. Dropping the future
    /// ends the wait and changes nothing. A daemon that has stopped answering may delay the end of the wait by up to 5 s.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_NOT_FOUND`: there is none with this id, or it was deleted meanwhile. The last connection error when the daemon has
    /// been away for 30 s, or when the time was up before any daemon said how the notification is.
    pub async fn wait(&self, id: i64, timeout: Option<Duration>) -> Result<WaitOutcome, Error> {
        // A time so long that the clock cannot express its end is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let left = || {
            deadline.map_or(STEP, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            })
        };
        let mut patience = Patience::new(Some(ABSENCE_LIMIT));
        let mut last = None;
        loop {
            let began = Instant::now();
            let error = match self.wait_once(id, left().min(STEP), deadline).await {
                Ok(notification) if notification.state().is_end() => {
                    return Ok(WaitOutcome::Ended(notification));
                }
                Ok(notification) if left().is_zero() => {
                    return Ok(WaitOutcome::TimedOut(notification));
                }
                Ok(notification) => {
                    patience.worked();
                    last = Some(notification);
                    continue;
                }
                Err(error) => error,
            };
            if began.elapsed() >= STEADY && error.is_absence() {
                patience.worked();
            }
            match pause_after(&error, &mut patience) {
                Some(pause) if left() > pause => sleep(pause).await,
                Some(_) => return last.map(WaitOutcome::TimedOut).ok_or(error),
                None => return Err(error),
            }
        }
    }

    /// One bounded call, on a session that is renewed first where the last call found it broken.
    async fn wait_once(
        &self,
        id: i64,
        step: Duration,
        deadline: Option<Instant>,
    ) -> Result<Notification, Error> {
        let session = self.session();
        let request = WaitNotificationRequest {
            id,
            timeout: prost_types::Duration::try_from(step).ok(),
        };
        let limit = step + MARGIN;
        let send = |channel, request| async move { stub(channel).wait_notification(request).await };
        match self
            .send_once(&session, request, Instant::now() + limit, limit, &send)
            .await
        {
            Ok(reply) => present(reply.notification, "WaitNotification"),
            Err(error) if error.needs_connection() => {
                let renewal = Box::pin(self.renew(&session));
                match deadline {
                    Some(deadline) => timeout_at(deadline, renewal).await.unwrap_or(Ok(()))?,
                    None => renewal.await?,
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// How long to pause before the wait goes on, or `None` where it cannot.
fn pause_after(error: &Error, patience: &mut Patience) -> Option<Duration> {
    if !error.is_passing() {
        return None;
    }
    let pause = patience.failed(Instant::now())?;
    Some(
        error
            .retry_after()
            .map_or(pause, |wanted| wanted.max(pause)),
    )
}
