//! The connection behind a watch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::Request;
use tonic::Streaming;

use crate::backoff::Patience;
use crate::error::Error;
use crate::notification::stub;
use crate::pb::error::v1::ErrorReason;
use crate::pb::notification::v1::{WatchNotificationsRequest, WatchNotificationsResponse};
use crate::session::Session;
use crate::target::Target;
use crate::watch::WatchItem;
use crate::watch::place::Track;

/// How long a stream may be silent. The daemon reports its progress every 10 s, so a longer silence is a daemon that hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// What a step of a follower leads to: the follower again, with at least one item.
pub(crate) type Advance = Result<(Box<Follower>, VecDeque<WatchItem>), Error>;

/// Keeps a watch's stream alive.
pub(crate) struct Follower {
    target: Arc<Target>,
    track: Track,
    stream: Option<Streaming<WatchNotificationsResponse>>,
    patience: Patience,
    /// What to wait before the next attempt to connect.
    pause: Option<Duration>,
    /// Whether the daemon went away on purpose, so that starting another one would be against somebody's will.
    stopped: bool,
}

impl Follower {
    pub(crate) fn new(target: Arc<Target>, request: WatchNotificationsRequest) -> Self {
        Self {
            target,
            track: Track::new(request),
            stream: None,
            patience: Patience::new(None),
            pause: None,
            stopped: false,
        }
    }

    pub(crate) fn set_patience(&mut self, limit: Option<Duration>) {
        self.patience = Patience::new(limit);
    }

    /// Waits until there is something to hand out.
    pub(crate) async fn advance(mut self: Box<Self>) -> Advance {
        let mut items = VecDeque::new();
        while items.is_empty() {
            if let Err(error) = self.step(&mut items).await {
                self.fail(error, &mut items)?;
            }
        }
        Ok((self, items))
    }

    /// Connects where there is no stream, else takes its next message.
    async fn step(&mut self, items: &mut VecDeque<WatchItem>) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else {
            return Box::pin(self.connect(items)).await;
        };
        let reply = match timeout(SILENCE_LIMIT, stream.message()).await {
            Ok(Ok(reply)) => reply.ok_or_else(|| {
                self.target
                    .disconnected("the stream ended without a reason")
            })?,
            Ok(Err(status)) => {
                return Err(Error::from_status(
                    &status,
                    &self.target.socket(),
                    SILENCE_LIMIT,
                ));
            }
            Err(_) => {
                return Err(self
                    .target
                    .disconnected(format!("silence for {SILENCE_LIMIT:?}")));
            }
        };
        // A message of a kind that this library does not know adds nothing that it could hand out.
        if let Some(message) = reply.message {
            self.track.accept(message, items)?;
        }
        if !items
            .iter()
            .all(|item| matches!(item, WatchItem::Started(_) | WatchItem::Resumed(_)))
        {
            self.patience.worked();
        }
        Ok(())
    }

    async fn connect(&mut self, items: &mut VecDeque<WatchItem>) -> Result<(), Error> {
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        let session = Session::establish(&self.target, !self.stopped).await?;
        self.stopped = false;
        let (request, again) = self.track.reconnect();
        if again {
            items.push_back(WatchItem::SnapshotRestarted);
        }
        let limit = self.target.call_timeout;
        let request = session.sign(Request::new(request));
        let mut stub = stub(session.channel);
        let reply = timeout(limit, stub.watch_notifications(request))
            .await
            .map_err(|_| Error::TimedOut { after: limit })?
            .map_err(|status| Error::from_status(&status, &self.target.socket(), limit))?;
        self.stream = Some(reply.into_inner());
        Ok(())
    }

    /// Prepares for another attempt, or passes on an error that none can help.
    fn fail(&mut self, error: Error, items: &mut VecDeque<WatchItem>) -> Result<(), Error> {
        if !error.is_passing() {
            return Err(error);
        }
        let first = !self.patience.is_failing();
        let Some(pause) = self.patience.failed(Instant::now()) else {
            return Err(error);
        };
        self.stream = None;
        self.stopped |= error.reason() == ErrorReason::ShuttingDown;
        self.pause = Some(
            error
                .retry_after()
                .map_or(pause, |wanted| wanted.max(pause)),
        );
        if first {
            items.push_back(WatchItem::Interrupted(Box::new(error)));
        }
        Ok(())
    }
}
