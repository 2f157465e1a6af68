//! Where a watch is: what has come, what has been handed out, and where to resume.

use std::collections::VecDeque;

use crate::error::Error;
use crate::pb::notification::v1::watch_notifications_response::Message;
use crate::pb::notification::v1::{
    Cursor, NotificationEvent, StartAt, WatchNotificationsRequest, WatchSnapshot, WatchStarted,
};
use crate::watch::WatchItem;

/// Whether this request asks for a snapshot first.
fn wants_snapshot(request: &WatchNotificationsRequest) -> bool {
    request.after.is_none() && request.start_at() == StartAt::Snapshot
}

/// What the caller has seen.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where the stream stands, once it has started.
    cursor: Option<Cursor>,
    /// Whether a snapshot has been asked for and not handed out completely.
    in_snapshot: bool,
}

impl Place {
    pub(crate) fn new(request: &WatchNotificationsRequest) -> Self {
        Self {
            cursor: None,
            in_snapshot: wants_snapshot(request),
        }
    }

    pub(crate) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref().filter(|_| !self.in_snapshot)
    }

    /// Takes note that the caller gets `item`.
    pub(crate) fn hand_out(&mut self, item: &WatchItem) {
        match item {
            WatchItem::Started(started) => self.cursor.clone_from(&started.cursor),
            WatchItem::Snapshot { last, .. } => self.in_snapshot = !last,
            WatchItem::Event(event) => {
                if let Some(cursor) = &mut self.cursor {
                    cursor.sequence = event.sequence;
                }
            }
            WatchItem::Progress(cursor) => self.cursor = Some(cursor.clone()),
            WatchItem::Interrupted(_) | WatchItem::Resumed(_) | WatchItem::SnapshotRestarted => {}
        }
    }
}

/// What the daemon has sent, over all connections of one watch; refuses whatever would be a gap, a duplicate or out of order.
#[derive(Debug)]
pub(crate) struct Track {
    request: WatchNotificationsRequest,
    phase: Phase,
    /// Whether the current connection has sent its first message.
    started: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing has come.
    Fresh,
    /// The snapshot is coming; the changes start behind the cursor.
    Snapshot(Cursor),
    /// Everything up to the cursor has come.
    Following(Cursor),
}

impl Track {
    pub(crate) fn new(request: WatchNotificationsRequest) -> Self {
        Self {
            request,
            phase: Phase::Fresh,
            started: false,
        }
    }

    /// The request for a new connection. `true`: a snapshot that was begun is begun again.
    pub(crate) fn reconnect(&mut self) -> (WatchNotificationsRequest, bool) {
        self.started = false;
        let mut request = self.request.clone();
        match std::mem::replace(&mut self.phase, Phase::Fresh) {
            Phase::Fresh => (request, false),
            Phase::Snapshot(_) => (request, true),
            Phase::Following(cursor) => {
                request.after = Some(cursor.clone());
                request.start_at = StartAt::Unspecified.into();
                self.phase = Phase::Following(cursor);
                (request, false)
            }
        }
    }

    /// Checks a message and turns it into items.
    pub(crate) fn accept(
        &mut self,
        message: Message,
        items: &mut VecDeque<WatchItem>,
    ) -> Result<(), Error> {
        match message {
            Message::Started(started) if !self.started => {
                items.push_back(self.start(started)?);
                self.started = true;
            }
            Message::Started(_) => return Err(broken("a watch started twice")),
            _ if !self.started => return Err(broken("a watch did not begin with its start")),
            Message::Snapshot(part) => items.push_back(self.snapshot(part)?),
            Message::Events(batch) => {
                for event in batch.events {
                    items.push_back(self.event(event)?);
                }
            }
            Message::Progress(progress) => {
                let cursor = progress
                    .cursor
                    .ok_or_else(|| broken("progress came without its cursor"))?;
                items.push_back(self.progress(cursor)?);
            }
        }
        Ok(())
    }

    fn start(&mut self, started: WatchStarted) -> Result<WatchItem, Error> {
        let cursor = started
            .cursor
            .clone()
            .ok_or_else(|| broken("a watch started without its cursor"))?;
        if let Phase::Following(expected) = &self.phase {
            if *expected != cursor {
                return Err(elsewhere(expected, &cursor));
            }
            return Ok(WatchItem::Resumed(started));
        }
        if let Some(after) = &self.request.after
            && (after.sequence != cursor.sequence
                || !(after.epoch.is_empty() || after.epoch == cursor.epoch))
        {
            return Err(elsewhere(after, &cursor));
        }
        // So that a later connection of this watch hears of a reset instead of undoing it, and of a newer watch instead of ending that.
        self.request.consumer_generation = started.consumer_generation;
        self.request.consumer_watch = started.consumer_watch;
        self.phase = if wants_snapshot(&self.request) {
            Phase::Snapshot(cursor)
        } else {
            Phase::Following(cursor)
        };
        Ok(WatchItem::Started(started))
    }

    fn snapshot(&mut self, part: WatchSnapshot) -> Result<WatchItem, Error> {
        let Phase::Snapshot(cursor) = &self.phase else {
            return Err(broken("a part of a snapshot came where none was due"));
        };
        if part.last {
            self.phase = Phase::Following(cursor.clone());
        }
        Ok(WatchItem::Snapshot {
            notifications: part.notifications,
            last: part.last,
        })
    }

    fn event(&mut self, event: NotificationEvent) -> Result<WatchItem, Error> {
        let cursor = self.following()?;
        if event.sequence <= cursor.sequence {
            return Err(broken(&format!(
                "event {} came after {}",
                event.sequence, cursor.sequence
            )));
        }
        cursor.sequence = event.sequence;
        Ok(WatchItem::Event(event))
    }

    fn progress(&mut self, to: Cursor) -> Result<WatchItem, Error> {
        let cursor = self.following()?;
        if to.epoch != cursor.epoch || to.sequence < cursor.sequence {
            return Err(elsewhere(cursor, &to));
        }
        cursor.sequence = to.sequence;
        Ok(WatchItem::Progress(to))
    }

    fn following(&mut self) -> Result<&mut Cursor, Error> {
        match &mut self.phase {
            Phase::Following(cursor) => Ok(cursor),
            Phase::Fresh | Phase::Snapshot(_) => {
                Err(broken("a change came before the snapshot was complete"))
            }
        }
    }
}

fn broken(what: &str) -> Error {
    Error::InvalidReply(what.to_owned())
}

fn elsewhere(expected: &Cursor, found: &Cursor) -> Error {
    let place = |cursor: &Cursor| format!("{} of epoch \"{}\"", cursor.sequence, cursor.epoch);
    broken(&format!(
        "a watch that was at {} went on at {}",
        place(expected),
        place(found)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::notification::v1::{WatchEvents, WatchProgress};

    fn cursor(sequence: i64) -> Cursor {
        Cursor {
            epoch: "e".to_owned(),
            sequence,
        }
    }

    fn started(sequence: i64) -> Message {
        Message::Started(WatchStarted {
            cursor: Some(cursor(sequence)),
            ..WatchStarted::default()
        })
    }

    fn events(sequences: &[i64]) -> Message {
        let event = |&sequence| NotificationEvent {
            sequence,
            ..NotificationEvent::default()
        };
        Message::Events(WatchEvents {
            events: sequences.iter().map(event).collect(),
        })
    }

    fn progress(sequence: i64) -> Message {
        Message::Progress(WatchProgress {
            cursor: Some(cursor(sequence)),
        })
    }

    fn part(last: bool) -> Message {
        Message::Snapshot(WatchSnapshot {
            notifications: Vec::new(),
            last,
        })
    }

    fn from(start_at: StartAt) -> WatchNotificationsRequest {
        WatchNotificationsRequest {
            start_at: start_at.into(),
            ..WatchNotificationsRequest::default()
        }
    }

    fn after(cursor: Cursor) -> WatchNotificationsRequest {
        WatchNotificationsRequest {
            after: Some(cursor),
            ..WatchNotificationsRequest::default()
        }
    }

    /// Feeds `messages`; the items, or the first error.
    fn feed(
        track: &mut Track,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<WatchItem>, Error> {
        let mut items = VecDeque::new();
        messages
            .into_iter()
            .try_for_each(|message| track.accept(message, &mut items))?;
        Ok(items.into())
    }

    #[test]
    fn a_new_connection_asks_for_what_follows_the_last_event() {
        let mut track = Track::new(from(StartAt::Now));
        feed(&mut track, [started(5), events(&[7, 9])]).expect("in order");
        assert_eq!(track.reconnect(), (after(cursor(9)), false));
        let items = feed(&mut track, [started(9), events(&[10])]).expect("in order");
        assert!(matches!(
            items[..],
            [WatchItem::Resumed(_), WatchItem::Event(_)]
        ));
    }

    #[test]
    fn progress_moves_the_place_to_resume_from() {
        let mut track = Track::new(from(StartAt::Now));
        feed(&mut track, [started(5), progress(50)]).expect("in order");
        assert_eq!(track.reconnect().0, after(cursor(50)));
    }

    #[test]
    fn a_watch_that_never_started_asks_again_as_at_first() {
        let mut track = Track::new(from(StartAt::Oldest));
        assert_eq!(track.reconnect(), (from(StartAt::Oldest), false));
    }

    #[test]
    fn a_snapshot_that_broke_off_begins_again() {
        let mut track = Track::new(from(StartAt::Snapshot));
        feed(&mut track, [started(5), part(false)]).expect("in order");
        assert_eq!(track.reconnect(), (from(StartAt::Snapshot), true));
        let items = feed(&mut track, [started(8), part(true), events(&[9])]).expect("in order");
        assert!(matches!(items[0], WatchItem::Started(_)));
        assert_eq!(track.reconnect(), (after(cursor(9)), false));
    }

    #[test]
    fn duplicates_and_steps_back_are_errors() {
        for wrong in [
            events(&[6]),
            events(&[5]),
            events(&[8, 7]),
            events(&[7, 7]),
            progress(5),
        ] {
            let mut track = Track::new(from(StartAt::Now));
            feed(&mut track, [started(5), events(&[6])]).expect("in order");
            assert!(matches!(
                feed(&mut track, [wrong]),
                Err(Error::InvalidReply(_))
            ));
        }
    }

    #[test]
    fn a_stream_that_resumes_elsewhere_is_an_error() {
        let other_epoch = WatchStarted {
            cursor: Some(Cursor {
                epoch: "f".to_owned(),
                sequence: 6,
            }),
            ..WatchStarted::default()
        };
        for wrong in [started(5), started(7), Message::Started(other_epoch)] {
            let mut track = Track::new(from(StartAt::Now));
            feed(&mut track, [started(5), events(&[6])]).expect("in order");
            track.reconnect();
            assert!(matches!(
                feed(&mut track, [wrong]),
                Err(Error::InvalidReply(_))
            ));
        }
    }

    #[test]
    fn a_cursor_of_the_caller_is_held_to_but_for_an_unknown_epoch() {
        let unknown_epoch = Cursor {
            epoch: String::new(),
            sequence: 3,
        };
        assert!(feed(&mut Track::new(after(unknown_epoch.clone())), [started(3)]).is_ok());
        assert!(feed(&mut Track::new(after(unknown_epoch)), [started(4)]).is_err());
        let other_epoch = Cursor {
            epoch: "f".to_owned(),
            sequence: 3,
        };
        assert!(feed(&mut Track::new(after(other_epoch)), [started(3)]).is_err());
    }

    #[test]
    fn messages_in_the_wrong_phase_are_errors() {
        let refused = |start_at, messages: Vec<Message>| {
            feed(&mut Track::new(from(start_at)), messages).is_err()
        };
        assert!(
            refused(StartAt::Now, vec![events(&[1])]),
            "events before the start"
        );
        assert!(
            refused(StartAt::Now, vec![started(1), started(1)]),
            "two starts"
        );
        assert!(
            refused(StartAt::Now, vec![started(1), part(true)]),
            "a snapshot that nobody asked for"
        );
        assert!(
            refused(
                StartAt::Snapshot,
                vec![started(1), part(false), events(&[2])]
            ),
            "half a snapshot"
        );
    }

    #[test]
    fn the_cursor_follows_what_is_handed_out_and_not_what_has_come() {
        let mut place = Place::new(&from(StartAt::Snapshot));
        let mut track = Track::new(from(StartAt::Snapshot));
        let items = feed(
            &mut track,
            [
                started(5),
                part(false),
                part(true),
                events(&[6, 9]),
                progress(12),
            ],
        )
        .expect("in order");
        let mut cursors = Vec::new();
        for item in &items {
            place.hand_out(item);
            cursors.push(place.cursor().map(|cursor| cursor.sequence));
        }
        assert_eq!(cursors, [None, None, Some(5), Some(6), Some(9), Some(12)]);
    }
}
