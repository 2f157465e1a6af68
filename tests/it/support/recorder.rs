//! A watcher that remembers what it is told, and checks the promises of a watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barista_client::pb::notification::v1::{
    Notification, NotificationEvent, WatchNotificationsRequest, WatchStarted,
};
use barista_client::{Client, Watch, WatchItem};

use super::history::History;
use super::soon;

/// A watch of the client library with a checker of its own.
pub(crate) struct Recorder {
    watch: Watch,
    history: SharedHistory,
    started: WatchStarted,
}

/// A history, for the watcher and for whoever checks it in the end.
#[derive(Debug, Clone)]
pub(crate) struct SharedHistory(Arc<Mutex<History>>);

impl SharedHistory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, History> {
        // A watcher that panicked has said why.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Starts a watch; it has begun when this returns.
    pub(crate) async fn start(client: &Client, request: WatchNotificationsRequest) -> Self {
        let history = SharedHistory(Arc::new(Mutex::new(History::new(request.clone()))));
        let mut watch = client.watch(request);
        let started = loop {
            let item = take(&mut watch, &history).await;
            // A daemon that is being restarted interrupts even the beginning.
            if let WatchItem::Started(started) = item {
                break started;
            }
        };
        Self {
            watch,
            history,
            started,
        }
    }

    /// What it is told, to be checked against the journal in the end.
    pub(crate) fn history(&self) -> SharedHistory {
        self.history.clone()
    }

    /// What the first message said.
    pub(crate) fn started(&self) -> &WatchStarted {
        &self.started
    }

    /// The place behind the last item.
    pub(crate) fn cursor(&self) -> barista_client::pb::notification::v1::Cursor {
        self.watch.cursor().expect("it has started").clone()
    }

    /// The next item, whatever it is.
    pub(crate) async fn next(&mut self) -> WatchItem {
        take(&mut self.watch, &self.history).await
    }

    /// The error that ends the watch.
    pub(crate) async fn error(&mut self) -> barista_client::Error {
        loop {
            match soon(self.watch.next()).await {
                Ok(Some(WatchItem::Event(event))) => {
                    panic!("an event instead of an error: {event:?}")
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("the watch ended without an error"),
                Err(error) => return error,
            }
        }
    }

    /// The next change.
    pub(crate) async fn event(&mut self) -> NotificationEvent {
        loop {
            if let WatchItem::Event(event) = self.next().await {
                return event;
            }
        }
    }

    /// The next `count` changes.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<NotificationEvent> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    /// All changes that are handed out until the watch has come to `sequence`.
    pub(crate) async fn through(&mut self, sequence: i64) -> Vec<NotificationEvent> {
        let mut events = Vec::new();
        while self.history.lock().place().unwrap_or(0) < sequence {
            if let WatchItem::Event(event) = self.next().await {
                events.push(event);
            }
        }
        events
    }

    /// The whole snapshot that was asked for.
    pub(crate) async fn snapshot(&mut self) -> Vec<Notification> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                WatchItem::Snapshot {
                    notifications,
                    last,
                } => {
                    all.extend(notifications);
                    if last {
                        return all;
                    }
                }
                other => panic!("{other:?} in the middle of a snapshot"),
            }
        }
    }
}

async fn take(watch: &mut Watch, history: &SharedHistory) -> WatchItem {
    let item = soon(watch.next())
        .await
        .unwrap_or_else(|error| panic!("the watch failed: {error}"))
        .expect("a watch does not end");
    let verdict = history.lock().record(&item);
    verdict.unwrap_or_else(|fault| panic!("the watch broke its promise: {fault:?}"));
    item
}
