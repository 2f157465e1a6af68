//! Waiting for the end of a notification, across restarts of the daemon.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Patience;
use crate::client::Client;
use crate::error::Error;
use crate::notification::{present, stub};
use crate::pb::error::v1::ErrorReason;
use crate::pb::notification::v1::{Notification, WaitNotificationRequest};
use crate::session::Session;

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

/// What a wait tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitNotice {
    /// Somebody stopped the daemon. The wait goes on when it runs again, and does not start it.
    Stopped,
    /// The daemon runs again.
    Resumed,
}

impl Client {
    /// Waits until the notification is in an end state or `timeout` has passed; `None` waits for as long as it takes.
    ///
    /// The wait is a chain of calls of at most 50 s that goes on across restarts of the daemon. One that died is started again where
    /// [`Autostart`](crate::Autostart) allows that. One that somebody stopped is not, because a wait must not undo what a person just did:
    /// the wait then looks for it every 2 s, until it runs again or `timeout` has passed. The question is in the database, so nothing is
    /// lost in between. Dropping the future ends the wait and changes nothing. A daemon that has stopped answering may delay the end of
    /// the wait by up to 5 s.
    ///
    /// # Errors
    ///
    /// `NOTIFICATION_NOT_FOUND`: there is none with this id, or it was deleted meanwhile. The last connection error when a daemon that
    /// nobody stopped has been away for 30 s, or when the time was up before any daemon said how the notification is.
    pub async fn wait(&self, id: i64, timeout: Option<Duration>) -> Result<WaitOutcome, Error> {
        self.wait_telling(id, timeout, |_notice| {}).await
    }

    /// Waits as [`Client::wait`] does, and calls `tell` when the daemon is stopped meanwhile, and when it runs again: without that, a
    /// person in front of a wait cannot know why it takes so long.
    ///
    /// # Errors
    ///
    /// As [`Client::wait`].
    pub async fn wait_telling(
        &self,
        id: i64,
        timeout: Option<Duration>,
        tell: impl FnMut(WaitNotice) + Send,
    ) -> Result<WaitOutcome, Error> {
        // A time so long that the clock cannot express its end is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let left = || {
            deadline.map_or(STEP, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            })
        };
        let mut absence = Absence::new(tell);
        let mut last = None;
        loop {
            let step = left().min(STEP);
            let error = match self.wait_once(id, step, deadline, &mut absence).await {
                Ok(notification) if notification.state().is_end() => {
                    return Ok(WaitOutcome::Ended(notification));
                }
                Ok(notification) if left().is_zero() => {
                    return Ok(WaitOutcome::TimedOut(notification));
                }
                Ok(notification) => {
                    absence.over();
                    last = Some(notification);
                    continue;
                }
                Err(error) => error,
            };
            match absence.pause_after(&error) {
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
        absence: &mut Absence<impl FnMut(WaitNotice) + Send>,
    ) -> Result<Notification, Error> {
        let session = self.session();
        let request = WaitNotificationRequest {
            id,
            timeout: prost_types::Duration::try_from(step).ok(),
        };
        let (began, limit) = (Instant::now(), step + MARGIN);
        let send = |channel, request| async move { stub(channel).wait_notification(request).await };
        let error = match self
            .send_once(&session, request, began + limit, limit, &send)
            .await
        {
            Ok(reply) => return present(reply.notification, "WaitNotification"),
            Err(error) => error,
        };
        if error.is_absence() && began.elapsed() >= STEADY {
            absence.over();
        }
        if error.needs_connection() {
            absence.note(&error, &session);
            let renewal = Box::pin(self.renew(&session, absence.stopped.is_none()));
            match deadline {
                Some(deadline) => timeout_at(deadline, renewal).await.unwrap_or(Ok(()))?,
                None => renewal.await?,
            }
            absence.found(&self.session());
        }
        Err(error)
    }
}

/// What a wait knows about a daemon that is away.
struct Absence<F> {
    /// How long to bear that the daemon is away though nobody stopped it.
    patience: Patience,
    /// The daemon that somebody stopped, while no other one was seen.
    stopped: Option<Instance>,
    tell: F,
}

/// One run of a daemon: its process, and when that started, as processes in containers often have the same number.
type Instance = (i32, Option<prost_types::Timestamp>);

fn instance(session: &Session) -> Instance {
    (session.info.pid, session.info.start_time)
}

impl<F: FnMut(WaitNotice) + Send> Absence<F> {
    fn new(tell: F) -> Self {
        Self {
            patience: Patience::new(Some(ABSENCE_LIMIT)),
            stopped: None,
            tell,
        }
    }

    /// Takes note of why the call on `session` failed.
    fn note(&mut self, error: &Error, session: &Session) {
        if error.reason() == ErrorReason::ShuttingDown && self.stopped.is_none() {
            self.stopped = Some(instance(session));
            // Whoever stopped it decides how long it stays away.
            self.patience = Patience::new(None);
            (self.tell)(WaitNotice::Stopped);
        }
    }

    /// Takes note of the daemon behind `session`, which answers. The one that was stopped may do so for as long as it takes to end.
    fn found(&mut self, session: &Session) {
        if self
            .stopped
            .as_ref()
            .is_some_and(|stopped| *stopped != instance(session))
        {
            self.over();
        }
    }

    /// Takes note that the wait goes on as if nothing had been.
    fn over(&mut self) {
        if self.stopped.take().is_some() {
            self.patience = Patience::new(Some(ABSENCE_LIMIT));
            (self.tell)(WaitNotice::Resumed);
        }
        self.patience.worked();
    }

    /// How long to pause before the wait goes on, or `None` where it cannot.
    fn pause_after(&mut self, error: &Error) -> Option<Duration> {
        if !error.is_passing() {
            return None;
        }
        let pause = self.patience.failed(Instant::now())?;
        Some(
            error
                .retry_after()
                .map_or(pause, |wanted| wanted.max(pause)),
        )
    }
}
