//! A watcher that checks the promise of every watch: each change once, in order, and without a gap where nothing is filtered.

use barista_client::pb::notification::v1::{
    Notification, NotificationEvent, NotificationFilter, WatchNotificationsRequest, WatchStarted,
};
use barista_client::{Client, Watch, WatchItem};

use super::soon;

/// A watch of the client library with a checker of its own.
pub(crate) struct Recorder {
    watch: Watch,
    checker: Checker,
    started: WatchStarted,
}

impl Recorder {
    /// Starts a watch; it has begun when this returns.
    pub(crate) async fn start(client: &Client, request: WatchNotificationsRequest) -> Self {
        let hides_nothing = request.kinds.is_empty()
            && request.filter.clone().unwrap_or_default() == NotificationFilter::default();
        let mut watch = client.watch(request);
        let mut checker = Checker::new(hides_nothing);
        let started = loop {
            let item = take(&mut watch, &mut checker).await;
            // A daemon that is being restarted interrupts even the beginning.
            if let WatchItem::Started(started) = item {
                break started;
            }
        };
        Self {
            watch,
            checker,
            started,
        }
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
        take(&mut self.watch, &mut self.checker).await
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
        while self.checker.last.unwrap_or(0) < sequence {
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

async fn take(watch: &mut Watch, checker: &mut Checker) -> WatchItem {
    let item = soon(watch.next())
        .await
        .unwrap_or_else(|error| panic!("the watch failed: {error}"))
        .expect("a watch does not end");
    checker
        .accept(&item)
        .unwrap_or_else(|fault| panic!("the watch broke its promise: {fault}"));
    item
}

/// Checks a stream of items. The client library checks too; this one knows nothing of it.
#[derive(Debug)]
struct Checker {
    hides_nothing: bool,
    epoch: String,
    /// The sequence of the last event or progress.
    last: Option<i64>,
}

impl Checker {
    fn new(hides_nothing: bool) -> Self {
        Self {
            hides_nothing,
            epoch: String::new(),
            last: None,
        }
    }

    fn accept(&mut self, item: &WatchItem) -> Result<(), String> {
        match item {
            WatchItem::Started(started) | WatchItem::Resumed(started) => {
                let cursor = started.cursor.clone().ok_or("a start without its cursor")?;
                if matches!(item, WatchItem::Resumed(_)) && self.last != Some(cursor.sequence) {
                    return Err(format!(
                        "resumed at {} after {:?}",
                        cursor.sequence, self.last
                    ));
                }
                self.last = Some(cursor.sequence);
                self.epoch = cursor.epoch;
            }
            WatchItem::Event(event) => {
                let last = self.last.ok_or("an event before the start")?;
                let expected = event.sequence == last + 1;
                if !(expected || (!self.hides_nothing && event.sequence > last)) {
                    return Err(format!("event {} after {last}", event.sequence));
                }
                self.last = Some(event.sequence);
            }
            WatchItem::Progress(cursor) => {
                let last = self.last.ok_or("progress before the start")?;
                let expected = cursor.sequence == last;
                if !(expected || (!self.hides_nothing && cursor.sequence > last)) {
                    return Err(format!("progress {} after {last}", cursor.sequence));
                }
                if cursor.epoch != self.epoch {
                    return Err("progress in another epoch".to_owned());
                }
                self.last = Some(cursor.sequence);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use barista_client::pb::notification::v1::Cursor;

    use super::*;

    fn cursor(sequence: i64) -> Cursor {
        Cursor {
            epoch: "e".into(),
            sequence,
        }
    }

    fn started(sequence: i64) -> WatchStarted {
        WatchStarted {
            cursor: Some(cursor(sequence)),
            ..WatchStarted::default()
        }
    }

    fn event(sequence: i64) -> WatchItem {
        WatchItem::Event(NotificationEvent {
            sequence,
            ..NotificationEvent::default()
        })
    }

    fn check(hides_nothing: bool, items: &[WatchItem]) -> Result<(), String> {
        let mut checker = Checker::new(hides_nothing);
        items.iter().try_for_each(|item| checker.accept(item))
    }

    #[test]
    fn the_checker_finds_gaps_duplicates_and_steps_back() {
        let start = || WatchItem::Started(started(5));
        let good = [start(), event(6), WatchItem::Resumed(started(6)), event(7)];
        assert_eq!(check(true, &good), Ok(()));
        assert!(check(true, &[start(), event(7)]).is_err(), "a gap");
        assert_eq!(check(false, &[start(), event(7)]), Ok(()));
        for hides_nothing in [true, false] {
            let check = |items: &[WatchItem]| check(hides_nothing, items);
            assert!(check(&[event(1)]).is_err(), "no start");
            assert!(check(&[start(), event(5)]).is_err(), "a duplicate");
            assert!(check(&[start(), event(6), event(6)]).is_err(), "twice");
            let elsewhere = [start(), event(6), WatchItem::Resumed(started(7))];
            assert!(check(&elsewhere).is_err(), "resumed elsewhere");
            let back = [start(), event(6), WatchItem::Progress(cursor(5))];
            assert!(check(&back).is_err(), "back");
        }
    }
}
