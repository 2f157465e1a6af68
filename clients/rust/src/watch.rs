//! Following changes: a stream that reconnects and resumes.

mod consumer;
mod follower;
mod place;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio_stream::Stream;

pub use self::consumer::ConsumerWatch;
use self::follower::{Advance, Follower};
use self::place::Place;
use crate::client::Client;
use crate::error::Error;
use crate::pb::notification::v1::{
    Cursor, Notification, NotificationEvent, WatchNotificationsRequest, WatchStarted,
};

/// What a watch has to say.
#[derive(Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every item is an event, and a box for each would only cost"
)]
pub enum WatchItem {
    /// The stream is on, from this place. The first item, and again after each [`WatchItem::SnapshotRestarted`].
    Started(WatchStarted),
    /// A part of the snapshot that was asked for, oldest first.
    Snapshot {
        /// Matching notifications as they are.
        notifications: Vec<Notification>,
        /// Whether this is the last part; the changes after it follow.
        last: bool,
    },
    /// A change.
    Event(NotificationEvent),
    /// Everything up to here that matches has been handed out.
    Progress(Cursor),
    /// The connection is lost. The watch tries to get it back when it is asked for the next item; this item comes once per loss.
    Interrupted(Box<Error>),
    /// The stream goes on after an interruption, exactly where it was.
    Resumed(WatchStarted),
    /// The connection was lost in the middle of the snapshot, which comes again from its beginning: forget the parts of it so far. A
    /// snapshot is one moment of the database, so its second half cannot be had later.
    SnapshotRestarted,
}

impl Client {
    /// Follows changes as `request` says, on a connection of its own: a watch that is read slowly delays no other call.
    ///
    /// Nothing is sent before the first call of [`Watch::next`].
    #[must_use]
    pub fn watch(&self, request: WatchNotificationsRequest) -> Watch {
        let place = Place::new(&request);
        let follower = Follower::new(self.target().clone(), request);
        Watch {
            state: State::Idle(Box::new(follower)),
            ready: VecDeque::new(),
            place,
        }
    }
}

/// A stream of changes, each exactly once, in the order of their sequence.
///
/// When the connection breaks or the daemon restarts, the watch connects again, with growing pauses, and resumes behind the last item that
/// came: no gap, no duplicate. It keeps trying for as long as it is asked for items, or as [`Watch::patience`] says. It starts a daemon
/// that died (where [`Autostart`](crate::Autostart) allows that), and not one that somebody stopped: that one it waits for.
///
/// A watch is also a [`Stream`].
pub struct Watch {
    state: State,
    /// What has come and not been handed out.
    ready: VecDeque<WatchItem>,
    place: Place,
}

enum State {
    Idle(Box<Follower>),
    Busy(Pin<Box<dyn Future<Output = Advance> + Send>>),
    Ended,
}

impl Watch {
    /// Gives up once the daemon has been away for `limit`, with the error that says why. By default, and with `None`, a watch never does.
    /// Has no effect once the watch has begun.
    #[must_use]
    pub fn patience(mut self, limit: impl Into<Option<Duration>>) -> Self {
        if let State::Idle(follower) = &mut self.state {
            follower.set_patience(limit.into());
        }
        self
    }

    /// Waits for the next item. `None` after an error: the watch is over.
    ///
    /// May be dropped and called again, as `tokio::select!` does, without losing anything.
    ///
    /// # Errors
    ///
    /// `SEQUENCE_COMPACTED`, `UNKNOWN_CURSOR`: the stream cannot go on from its place; start a new one with a snapshot.
    /// `SNAPSHOT_TOO_LARGE`, `INVALID_FIELD`. [`Error::InvalidReply`]: an event came out of order, or the stream resumed elsewhere. What
    /// a retry cannot help, as [`Error::ProtocolMismatch`].
    pub async fn next(&mut self) -> Result<Option<WatchItem>, Error> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    /// The place behind the last item that [`Watch::next`] handed out: a later watch with this as `after` misses nothing and repeats
    /// nothing. `None` before the start and until a snapshot is complete, as no such place exists then.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        self.place.cursor()
    }

    /// Whether the next item has come already.
    fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<WatchItem, Error>>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.place.hand_out(&item);
                return Poll::Ready(Some(Ok(item)));
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Idle(follower) => self.state = State::Busy(Box::pin(follower.advance())),
                State::Busy(mut advance) => {
                    let Poll::Ready(outcome) = advance.as_mut().poll(context) else {
                        self.state = State::Busy(advance);
                        return Poll::Pending;
                    };
                    match outcome {
                        Ok((follower, items)) => {
                            self.ready = items;
                            self.state = State::Idle(follower);
                        }
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Watch {
    type Item = Result<WatchItem, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.poll(context)))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_can_move_to_another_task() {
        fn check<T: Send + Unpin>() {}
        check::<Watch>();
    }
}
