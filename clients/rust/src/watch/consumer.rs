//! A watch that keeps its place in the daemon.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::consumer::stub;
use crate::error::Error;
use crate::pb::consumer::v1::{AcknowledgeConsumerRequest, SetAsideEvent, SetEventAsideRequest};
use crate::pb::error::v1::ErrorReason;
use crate::pb::notification::v1::{Cursor, WatchNotificationsRequest};
use crate::watch::{Watch, WatchItem};

/// How many changes may be done and not acknowledged while more are at hand.
const COALESCED: usize = 500;
/// How long a change may be done and not acknowledged while more are at hand.
const COALESCED_FOR: Duration = Duration::from_millis(500);
/// How many items are taken in while an acknowledgement is on its way.
const MAX_HELD: usize = 256;

impl Client {
    /// Watches as the consumer that `request.consumer` names: from what it acknowledged on, and in the place of whoever watched as it before.
    ///
    /// Nothing is acknowledged but what is said to be [done](ConsumerWatch::done) or [acknowledged](ConsumerWatch::acknowledge).
    #[must_use]
    pub fn watch_consumer(&self, request: WatchNotificationsRequest) -> ConsumerWatch {
        ConsumerWatch {
            watch: self.watch(request.clone()),
            client: self.clone(),
            request,
            held: VecDeque::new(),
            failure: None,
            is_adrift: false,
            place: Place::default(),
        }
    }
}

/// A stream of changes for a durable consumer: each at least once, in the order of their sequence, across restarts of either side.
///
/// It reconnects and resumes as [`Watch`] does. When the consumer is reset it begins anew at the new place, with another
/// [`WatchItem::Started`]. Changes that a filter hides are acknowledged with what surrounds them, or when the stream reports progress.
#[derive(Debug)]
pub struct ConsumerWatch {
    watch: Watch,
    client: Client,
    request: WatchNotificationsRequest,
    /// What has come while an acknowledgement was on its way.
    held: VecDeque<WatchItem>,
    /// How the watch ended meanwhile.
    failure: Option<Error>,
    /// Whether the daemon seems to be gone. The watch must go on then, whatever is held: nobody else gets the daemon back. What still comes
    /// before it notices is what the connection had room for.
    is_adrift: bool,
    place: Place,
}

/// What was handed out, what is done, and what the daemon knows of it.
#[derive(Debug, Default)]
struct Place {
    epoch: String,
    generation: i64,
    watch: i64,
    /// The last change that was handed out.
    handed_out: i64,
    /// Everything up to here is done.
    done: i64,
    /// Everything up to here is known to the daemon.
    acknowledged: i64,
    /// How many changes are done and not acknowledged, and since when.
    waiting: usize,
    since: Option<Instant>,
}

impl Place {
    fn hand_out(&mut self, item: &WatchItem) {
        match item {
            WatchItem::Started(started) => {
                let cursor = started.cursor.clone().unwrap_or_default();
                *self = Self {
                    epoch: cursor.epoch,
                    generation: started.consumer_generation,
                    watch: started.consumer_watch,
                    handed_out: cursor.sequence,
                    done: cursor.sequence,
                    acknowledged: cursor.sequence,
                    ..Self::default()
                };
            }
            WatchItem::Event(event) => self.handed_out = event.sequence,
            // What lies between was hidden: it is done as soon as everything is that was handed out.
            WatchItem::Progress(cursor) if self.done >= self.handed_out => {
                self.handed_out = self.handed_out.max(cursor.sequence);
                self.done(cursor.sequence);
            }
            _ => {}
        }
    }

    /// What was not handed out since the start cannot be done: it was seen before a reset, which it must not undo.
    fn done(&mut self, sequence: i64) {
        if sequence > self.done && sequence <= self.handed_out {
            self.done = sequence;
            self.waiting += 1;
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Whether the daemon should be told, when there is more `at_hand` or not.
    fn is_due(&self, at_hand: bool) -> bool {
        let waited = || self.since.is_some_and(|at| at.elapsed() >= COALESCED_FOR);
        self.done > self.acknowledged && (!at_hand || self.waiting >= COALESCED || waited())
    }

    fn acknowledged(&mut self, through: i64) {
        self.done = self.done.max(through);
        self.acknowledged = self.acknowledged.max(through);
        if self.acknowledged >= self.done {
            (self.waiting, self.since) = (0, None);
        }
    }

    fn cursor(&self, sequence: i64) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            sequence,
        }
    }
}

impl ConsumerWatch {
    /// Waits for the next item. Acknowledges what is done first, where nothing more is at hand.
    ///
    /// May be dropped and called again without losing anything.
    ///
    /// # Errors
    ///
    /// Those of [`Watch::next`]. `CONSUMER_NOT_FOUND`. `CONSUMER_TAKEN_OVER`: a newer watch of this consumer has begun. `SEQUENCE_COMPACTED`,
    /// `UNKNOWN_CURSOR`: the consumer must be reset.
    pub async fn next(&mut self) -> Result<Option<WatchItem>, Error> {
        loop {
            if self
                .place
                .is_due(!self.held.is_empty() || self.watch.has_ready())
            {
                self.flush().await?;
            }
            let item = match (self.held.pop_front(), self.failure.take()) {
                (Some(item), failure) => {
                    self.failure = failure;
                    Ok(Some(item))
                }
                (None, Some(error)) => Err(error),
                (None, None) => self.watch.next().await,
            };
            match item {
                Ok(Some(item)) => {
                    self.place.hand_out(&item);
                    return Ok(Some(item));
                }
                Err(error) if error.reason() == ErrorReason::ConsumerReset => self.restart(),
                other => return other,
            }
        }
    }

    /// Notes that everything up to the change `sequence` is dealt with. The daemon is told soon: with the changes that follow where more are
    /// at hand, or by the next call of [`ConsumerWatch::next`]. What it was not told comes again after a crash.
    pub fn done(&mut self, sequence: i64) {
        self.place.done(sequence);
    }

    /// Acknowledges everything up to the change `sequence`, and returns when that is durable, however long the daemon is away meanwhile.
    ///
    /// When the consumer was reset meanwhile, the reset wins: this returns, and the watch begins anew.
    ///
    /// # Errors
    ///
    /// What waiting cannot help: `CONSUMER_NOT_FOUND`, `UNKNOWN_CURSOR`.
    pub async fn acknowledge(&mut self, sequence: i64) -> Result<(), Error> {
        self.place.done(sequence);
        self.flush().await
    }

    /// Acknowledges what is [done](ConsumerWatch::done), as [`ConsumerWatch::acknowledge`] does.
    ///
    /// # Errors
    ///
    /// As of [`ConsumerWatch::acknowledge`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        if self.place.done <= self.place.acknowledged {
            return Ok(());
        }
        self.tell().await
    }

    /// Whether what was handed out is still this watch's business, as the daemon says when it is back, should it be away. Whoever tries
    /// one thing for long asks before each attempt. `false`: the consumer was reset, and the watch begins anew. Acknowledges what is done, too.
    ///
    /// # Errors
    ///
    /// As of [`ConsumerWatch::acknowledge`]; `CONSUMER_TAKEN_OVER`.
    pub async fn is_current(&mut self) -> Result<bool, Error> {
        self.tell().await?;
        // A watch that begins anew does not know its place yet.
        Ok(!self.place.epoch.is_empty())
    }

    /// Tells the daemon up to where everything is done, whether it knows that already or not.
    async fn tell(&mut self) -> Result<(), Error> {
        let through = self.place.done;
        let request = AcknowledgeConsumerRequest {
            name: self.request.consumer.clone(),
            through: Some(self.place.cursor(through)),
            generation: self.place.generation,
            watch: self.place.watch,
        };
        let send =
            |channel, request| async move { stub(channel).acknowledge_consumer(request).await };
        self.persist(through, request, send).await
    }

    /// Sets a change aside that could not be dealt with after `attempts`, because of `error`, and acknowledges up to it: both or neither.
    ///
    /// # Errors
    ///
    /// As of [`ConsumerWatch::acknowledge`]; `SET_ASIDE_FULL`.
    pub async fn set_aside(&mut self, event: SetAsideEvent) -> Result<(), Error> {
        let through = event.sequence;
        if through > self.place.handed_out {
            // It was handed out before a reset, and comes again.
            return Ok(());
        }
        let request = SetEventAsideRequest {
            name: self.request.consumer.clone(),
            event: Some(event),
            epoch: self.place.epoch.clone(),
            generation: self.place.generation,
            watch: self.place.watch,
        };
        let send = |channel, request| async move { stub(channel).set_event_aside(request).await };
        self.persist(through, request, send).await
    }

    /// Makes a call that acknowledges up to `through`, until it has an answer. When the consumer was reset meanwhile, the watch begins anew.
    async fn persist<Q, A, F, R>(&mut self, through: i64, request: Q, send: F) -> Result<(), Error>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let client = self.client.clone();
        let mut backoff = Backoff::reconnecting();
        loop {
            let call = client.call_running(request.clone(), &send);
            let Err(error) = self.beside(call).await else {
                self.is_adrift = false;
                self.place.acknowledged(through);
                return Ok(());
            };
            if error.reason() == ErrorReason::ConsumerReset {
                self.restart();
                return Ok(());
            }
            let is_passing = error.is_passing() || error.retry_after().is_some();
            // Once the watch has ended nobody looks for the daemon any more.
            if !is_passing || self.failure.is_some() {
                return Err(error);
            }
            self.is_adrift |= error.is_unreachable();
            let pause = backoff.pause().max(error.retry_after().unwrap_or_default());
            self.beside(sleep(pause)).await;
        }
    }

    /// Does `work` while the watch goes on: the watch is what finds the daemon again, or starts it, by its own rules.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let has_room = self.held.len() < MAX_HELD || self.is_adrift;
            let goes_on = self.failure.is_none() && has_room;
            tokio::select! {
                biased;
                done = &mut work => return done,
                item = self.watch.next(), if goes_on => match item {
                    Ok(Some(item)) => self.hold(item),
                    Ok(None) => return work.await,
                    Err(error) => self.failure = Some(error),
                },
            }
        }
    }

    /// Keeps an item until it is asked for.
    fn hold(&mut self, item: WatchItem) {
        match item {
            WatchItem::Interrupted(_) => self.is_adrift = true,
            WatchItem::Started(_) | WatchItem::Resumed(_) => self.is_adrift = false,
            _ => {}
        }
        self.held.push_back(item);
    }

    /// Begins anew at the place that the daemon has; still as the same watch, so that it does not end a newer one.
    fn restart(&mut self) {
        if self.place.watch != 0 {
            self.request.consumer_watch = self.place.watch;
        }
        self.watch = self.client.watch(self.request.clone());
        self.held.clear();
        self.failure = None;
        self.is_adrift = false;
        // Until the new start nothing that was seen before may be acknowledged.
        self.place = Place::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::notification::v1::{NotificationEvent, WatchStarted};

    fn cursor(sequence: i64) -> Cursor {
        Cursor {
            epoch: "e".to_owned(),
            sequence,
        }
    }

    fn started(sequence: i64) -> Place {
        let mut place = Place::default();
        place.hand_out(&WatchItem::Started(WatchStarted {
            cursor: Some(cursor(sequence)),
            consumer_generation: 3,
            ..WatchStarted::default()
        }));
        place
    }

    fn event(sequence: i64) -> WatchItem {
        WatchItem::Event(NotificationEvent {
            sequence,
            ..NotificationEvent::default()
        })
    }

    #[test]
    fn what_is_done_waits_for_company_only_while_there_is_more() {
        let mut place = started(5);
        assert_eq!((place.generation, place.is_due(false)), (3, false));
        place.hand_out(&event(6));
        assert!(!place.is_due(false), "handed out, and not done");
        place.done(6);
        assert!(place.is_due(false));
        assert!(!place.is_due(true));
        for sequence in 7..7 + COALESCED as i64 {
            place.hand_out(&event(sequence));
            place.done(sequence);
        }
        assert!(place.is_due(true), "too many wait");
        place.acknowledged(place.done);
        assert!(!place.is_due(false));
    }

    #[test]
    fn hidden_changes_are_done_once_everything_before_them_is() {
        let mut place = started(5);
        place.hand_out(&event(6));
        place.hand_out(&WatchItem::Progress(cursor(9)));
        assert_eq!(place.done, 5, "6 is still being dealt with");
        place.done(6);
        place.hand_out(&WatchItem::Progress(cursor(9)));
        assert_eq!(place.done, 9);
    }

    #[test]
    fn what_was_seen_before_a_reset_is_not_done() {
        let mut place = started(5);
        place.hand_out(&event(6));
        place = Place::default();
        place.done(6);
        assert!(!place.is_due(false));
        place = started(0);
        place.done(6);
        assert!(!place.is_due(false));
    }

    #[test]
    fn an_acknowledgement_never_moves_back() {
        let mut place = started(5);
        place.hand_out(&event(8));
        place.done(8);
        place.done(6);
        assert_eq!(place.done, 8);
        place.acknowledged(7);
        assert!(place.is_due(false), "8 is not acknowledged");
    }
}
