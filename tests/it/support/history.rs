//! The promises of a watch, checked over all that a watcher was told.
//!
//! While the watcher listens, what can be told from its own history is checked at once. At the end of the test the whole history is checked
//! against the journal as it lies in the database, whatever interruptions there were.

use std::collections::{BTreeMap, BTreeSet};

use barista_client::WatchItem;
use barista_client::pb::notification::v1::{
    Cursor, NotificationEvent, NotificationFilter, WatchNotificationsRequest, WatchStarted,
};

use super::journal::Journal;

/// What a watch promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Property {
    /// Sequences grow.
    Ordered,
    /// No change comes twice.
    Unique,
    /// Every change that matches comes, as it was, and nothing else.
    Reliable,
    /// Going on after a place is going on exactly there.
    Resumable,
    /// Progress says that everything up to it has come.
    Bookmarkable,
    /// A snapshot has every notification that matches at its head.
    Whole,
}

/// A promise that was broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) property: Property,
    pub(crate) what: String,
}

type Verdict = Result<(), Fault>;

fn fault(property: Property, what: String) -> Verdict {
    Err(Fault { property, what })
}

/// What is remembered of an item.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Started(Cursor),
    Resumed(Cursor),
    SnapshotRestarted,
    /// The id and the last change of each notification.
    Snapshot {
        rows: Vec<(i64, i64)>,
        last: bool,
    },
    Event {
        sequence: i64,
        id: i64,
        kind: i32,
        /// `None` for a deletion, which has only its id.
        state: Option<i32>,
    },
    Progress(Cursor),
}

impl Entry {
    /// `None` for what promises nothing.
    fn of(item: &WatchItem) -> Option<Self> {
        let place = |started: &WatchStarted| started.cursor.clone().unwrap_or_default();
        Some(match item {
            WatchItem::Started(started) => Self::Started(place(started)),
            WatchItem::Resumed(started) => Self::Resumed(place(started)),
            WatchItem::SnapshotRestarted => Self::SnapshotRestarted,
            WatchItem::Snapshot {
                notifications,
                last,
            } => Self::Snapshot {
                rows: notifications.iter().map(|n| (n.id, n.sequence)).collect(),
                last: *last,
            },
            WatchItem::Event(event) => Self::event(event),
            WatchItem::Progress(cursor) => Self::Progress(cursor.clone()),
            _ => return None,
        })
    }

    fn event(event: &NotificationEvent) -> Self {
        let notification = event.notification.as_ref();
        let kind = event.kind;
        let is_deletion = event.kind() == barista_client::pb::notification::v1::ChangeKind::Deleted;
        Self::Event {
            sequence: event.sequence,
            id: notification.map_or(0, |n| n.id),
            kind,
            state: notification.filter(|_| !is_deletion).map(|n| n.state),
        }
    }
}

/// Everything that one watcher was told.
#[derive(Debug)]
pub(crate) struct History {
    entries: Vec<Entry>,
    checker: Checker,
}

impl History {
    /// The history of a watch that asked for `request`.
    pub(crate) fn new(request: WatchNotificationsRequest) -> Self {
        Self {
            entries: Vec::new(),
            checker: Checker::new(request),
        }
    }

    /// Adds an item, and checks what can be told without the journal.
    pub(crate) fn record(&mut self, item: &WatchItem) -> Verdict {
        let Some(entry) = Entry::of(item) else {
            return Ok(());
        };
        self.entries.push(entry.clone());
        self.checker.accept(&entry, None)
    }

    /// The sequence up to which the watcher has been told everything.
    pub(crate) fn place(&self) -> Option<i64> {
        self.checker.place.as_ref().map(|place| place.sequence)
    }

    /// Checks the whole history against the journal.
    pub(crate) fn check(&self, journal: &Journal) -> Verdict {
        let mut checker = Checker::new(self.checker.request.clone());
        self.entries
            .iter()
            .try_for_each(|entry| checker.accept(entry, Some(journal)))
    }
}

/// Goes through a history. The client library checks some of this too; this one knows nothing of it.
#[derive(Debug)]
struct Checker {
    request: WatchNotificationsRequest,
    place: Option<Cursor>,
    /// Whether the place was reached by progress, and not by an event.
    bookmarked: bool,
    seen: BTreeSet<i64>,
    snapshot: BTreeMap<i64, i64>,
}

impl Checker {
    fn new(request: WatchNotificationsRequest) -> Self {
        Self {
            request,
            place: None,
            bookmarked: false,
            seen: BTreeSet::new(),
            snapshot: BTreeMap::new(),
        }
    }

    fn accept(&mut self, entry: &Entry, journal: Option<&Journal>) -> Verdict {
        match entry {
            Entry::Started(cursor) => self.start(cursor, journal),
            Entry::Resumed(cursor) => match &self.place {
                Some(place) if place == cursor => Ok(()),
                place => fault(
                    Property::Resumable,
                    format!("resumed at {cursor:?} after {place:?}"),
                ),
            },
            Entry::SnapshotRestarted => {
                self.place = None;
                self.snapshot.clear();
                Ok(())
            }
            Entry::Snapshot { rows, last } => self.snapshot(rows, *last, journal),
            Entry::Event { sequence, .. } => {
                self.event(*sequence, journal)?;
                match journal {
                    Some(journal) => self.compare(entry, *sequence, journal),
                    None => Ok(()),
                }
            }
            Entry::Progress(cursor) => self.progress(cursor, journal),
        }
    }

    fn start(&mut self, cursor: &Cursor, journal: Option<&Journal>) -> Verdict {
        if let Some(after) = &self.request.after
            && after.sequence != cursor.sequence
        {
            let what = format!("started at {cursor:?} instead of {after:?}");
            return fault(Property::Resumable, what);
        }
        if let Some(journal) = journal
            && journal.epoch != cursor.epoch
        {
            let what = format!("{cursor:?} in a database of epoch {}", journal.epoch);
            return fault(Property::Resumable, what);
        }
        self.place = Some(cursor.clone());
        Ok(())
    }

    fn snapshot(&mut self, rows: &[(i64, i64)], last: bool, journal: Option<&Journal>) -> Verdict {
        for (id, sequence) in rows {
            if self.snapshot.insert(*id, *sequence).is_some() {
                return fault(
                    Property::Unique,
                    format!("notification {id} twice in a snapshot"),
                );
            }
        }
        let (true, Some(journal), Some(place)) = (last, journal, &self.place) else {
            return Ok(());
        };
        // What an older release wrote has no change, and what retention removed is no longer known.
        let oldest = journal.oldest().unwrap_or(i64::MAX);
        let known = |rows: &BTreeMap<i64, i64>| -> BTreeMap<i64, i64> {
            let mut rows = rows.clone();
            rows.retain(|_, sequence| *sequence >= oldest);
            rows
        };
        let expected = known(&journal.snapshot(&self.request, place.sequence));
        let found = known(&self.snapshot);
        if found == expected {
            return Ok(());
        }
        let what = format!("a snapshot of {found:?} where {expected:?} was");
        fault(Property::Whole, what)
    }

    fn event(&mut self, sequence: i64, journal: Option<&Journal>) -> Verdict {
        let Some(place) = self.place.clone() else {
            let what = format!("event {sequence} before the start");
            return fault(Property::Ordered, what);
        };
        if !self.seen.insert(sequence) {
            return fault(Property::Unique, format!("event {sequence} twice"));
        }
        if sequence <= place.sequence {
            let property = if self.bookmarked {
                Property::Bookmarkable
            } else {
                Property::Ordered
            };
            return fault(property, format!("event {sequence} after {place:?}"));
        }
        let missing = self.missing(place.sequence, sequence, journal);
        if !missing.is_empty() {
            let what = format!("event {sequence} after {place:?}, without {missing:?}");
            return fault(Property::Reliable, what);
        }
        self.bookmarked = false;
        self.place = Some(Cursor { sequence, ..place });
        Ok(())
    }

    fn progress(&mut self, to: &Cursor, journal: Option<&Journal>) -> Verdict {
        let Some(place) = &self.place else {
            let what = format!("progress to {to:?} before the start");
            return fault(Property::Bookmarkable, what);
        };
        if to.epoch != place.epoch || to.sequence < place.sequence {
            let what = format!("progress to {to:?} after {place:?}");
            return fault(Property::Bookmarkable, what);
        }
        let missing = self.missing(place.sequence, to.sequence + 1, journal);
        let head = journal.and_then(|journal| journal.facts.keys().next_back().copied());
        let ahead = to.sequence > place.sequence && head.is_some_and(|head| to.sequence > head);
        if !missing.is_empty() || ahead {
            let what =
                format!("progress to {to:?} after {place:?}, without {missing:?}, head {head:?}");
            return fault(Property::Bookmarkable, what);
        }
        self.bookmarked = true;
        self.place = Some(to.clone());
        Ok(())
    }

    /// What should have come after `after` and before `before`. Without a journal only a watch that hides nothing can tell.
    fn missing(&self, after: i64, before: i64, journal: Option<&Journal>) -> Vec<i64> {
        let hides_nothing = self.request.kinds.is_empty()
            && self.request.filter.clone().unwrap_or_default() == NotificationFilter::default();
        if hides_nothing {
            return (after + 1..before).collect();
        }
        journal.map_or(Vec::new(), |journal| {
            journal.between(&self.request, after, before)
        })
    }

    /// Compares an event with what the journal says of it.
    fn compare(&self, entry: &Entry, sequence: i64, journal: &Journal) -> Verdict {
        if journal.oldest().is_none_or(|oldest| sequence < oldest) {
            return Ok(());
        }
        let wanted = !journal
            .between(&self.request, sequence - 1, sequence + 1)
            .is_empty();
        let told = journal.facts.get(&sequence).map(|fact| Entry::Event {
            sequence,
            id: fact.id,
            kind: fact.kind,
            state: (!fact.is_deletion()).then_some(fact.state),
        });
        match told {
            Some(told) if wanted && told == *entry => Ok(()),
            told => fault(
                Property::Reliable,
                format!("told {entry:?} of {told:?}, which was asked for: {wanted}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
