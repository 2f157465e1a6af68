//! Histories that break one promise each: the checker must find every one of them, and nothing in a good one.

use barista_client::pb::notification::v1::{ChangeKind, Notification, NotificationState};

use super::super::journal::Fact;
use super::*;

const AGENT: &str = "mine";

fn cursor(sequence: i64) -> Cursor {
    Cursor {
        epoch: "e".into(),
        sequence,
    }
}

fn place(sequence: i64) -> WatchStarted {
    WatchStarted {
        cursor: Some(cursor(sequence)),
        ..WatchStarted::default()
    }
}

fn started(sequence: i64) -> WatchItem {
    WatchItem::Started(place(sequence))
}

fn resumed(sequence: i64) -> WatchItem {
    WatchItem::Resumed(place(sequence))
}

fn progress(sequence: i64) -> WatchItem {
    WatchItem::Progress(cursor(sequence))
}

/// The creation of the notification with the number of its sequence.
fn event(sequence: i64) -> WatchItem {
    WatchItem::Event(NotificationEvent {
        sequence,
        kind: ChangeKind::Created.into(),
        notification: Some(Notification {
            id: sequence,
            state: NotificationState::Pending.into(),
            ..Notification::default()
        }),
        ..NotificationEvent::default()
    })
}

fn snapshot(rows: &[i64], last: bool) -> WatchItem {
    let row = |sequence: &i64| Notification {
        id: *sequence,
        sequence: *sequence,
        ..Notification::default()
    };
    WatchItem::Snapshot {
        notifications: rows.iter().map(row).collect(),
        last,
    }
}

/// Twelve creations, of which the even ones are by [`AGENT`].
fn journal() -> Journal {
    let fact = |sequence| Fact {
        sequence,
        id: sequence,
        kind: ChangeKind::Created.into(),
        state: NotificationState::Pending.into(),
        agent: if sequence % 2 == 0 { AGENT } else { "other" }.to_owned(),
        has_content: true,
        ..Fact::default()
    };
    Journal {
        epoch: "e".into(),
        facts: (1..=12)
            .map(|sequence| (sequence, fact(sequence)))
            .collect(),
    }
}

fn everything() -> WatchNotificationsRequest {
    WatchNotificationsRequest::default()
}

fn filtered() -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        filter: Some(NotificationFilter {
            agent: AGENT.to_owned(),
            ..NotificationFilter::default()
        }),
        ..everything()
    }
}

/// Which promise is broken: at once, else against the journal in the end.
fn broken(request: WatchNotificationsRequest, items: &[WatchItem]) -> Option<Property> {
    let mut history = History::new(request);
    let at_once = items.iter().try_for_each(|item| history.record(item));
    let verdict = at_once.and_then(|()| history.check(&journal()));
    verdict.err().map(|fault| fault.property)
}

#[test]
fn good_histories_pass() {
    let whole = [started(5), event(6), resumed(6), event(7), progress(7)];
    assert_eq!(broken(everything(), &whole), None);
    let hidden = [
        started(5),
        event(6),
        progress(7),
        resumed(7),
        event(8),
        event(10),
        progress(11),
    ];
    assert_eq!(broken(filtered(), &hidden), None);
    let with_snapshot = [
        started(4),
        snapshot(&[2], false),
        WatchItem::SnapshotRestarted,
        started(6),
        snapshot(&[2, 4], false),
        snapshot(&[6], true),
        event(8),
    ];
    assert_eq!(broken(filtered(), &with_snapshot), None);
    let after = WatchNotificationsRequest {
        after: Some(cursor(7)),
        ..everything()
    };
    assert_eq!(broken(after, &[started(7), event(8)]), None);
}

#[test]
fn ordered_a_step_back_is_found() {
    for request in [everything(), filtered()] {
        let back = [started(4), event(6), event(4)];
        let first = if request == everything() {
            // The step forward is a gap already.
            Property::Reliable
        } else {
            Property::Ordered
        };
        assert_eq!(broken(request.clone(), &back), Some(first));
        let early = [event(2)];
        assert_eq!(broken(request, &early), Some(Property::Ordered));
    }
    let back = [started(4), event(5), event(4)];
    assert_eq!(broken(everything(), &back), Some(Property::Ordered));
}

#[test]
fn unique_a_repetition_is_found() {
    let twice = [started(5), event(6), event(6)];
    let after_resumption = [started(5), event(6), resumed(6), event(6)];
    for request in [everything(), filtered()] {
        for items in [&twice[..], &after_resumption[..]] {
            assert_eq!(broken(request.clone(), items), Some(Property::Unique));
        }
    }
    let snapshot_twice = [started(4), snapshot(&[2, 4, 2], true)];
    assert_eq!(broken(filtered(), &snapshot_twice), Some(Property::Unique));
}

#[test]
fn reliable_a_gap_or_an_invention_is_found() {
    let gap = [started(5), event(7)];
    assert_eq!(broken(everything(), &gap), Some(Property::Reliable));
    let hidden_gap = [started(5), event(8)];
    assert_eq!(broken(filtered(), &hidden_gap), Some(Property::Reliable));
    let not_asked_for = [started(6), event(7)];
    let reliable = Some(Property::Reliable);
    assert_eq!(broken(filtered(), &not_asked_for), reliable);
    let unknown = [started(12), event(13)];
    assert_eq!(broken(everything(), &unknown), Some(Property::Reliable));
    let mut otherwise = event(6);
    if let WatchItem::Event(event) = &mut otherwise {
        event.kind = ChangeKind::Responded.into();
    }
    let otherwise = [started(5), otherwise];
    assert_eq!(broken(everything(), &otherwise), Some(Property::Reliable));
}

#[test]
fn resumable_going_on_elsewhere_is_found() {
    for request in [everything(), filtered()] {
        for elsewhere in [5, 7] {
            let items = [started(5), event(6), resumed(elsewhere)];
            assert_eq!(broken(request.clone(), &items), Some(Property::Resumable));
        }
    }
    let after = WatchNotificationsRequest {
        after: Some(cursor(7)),
        ..everything()
    };
    assert_eq!(broken(after, &[started(8)]), Some(Property::Resumable));
    let mut other_epoch = started(5);
    if let WatchItem::Started(started) = &mut other_epoch {
        started.cursor.as_mut().expect("a cursor").epoch = "another".into();
    }
    assert_eq!(
        broken(everything(), &[other_epoch]),
        Some(Property::Resumable)
    );
}

#[test]
fn bookmarkable_progress_past_what_has_not_come_is_found() {
    let bookmarkable = Some(Property::Bookmarkable);
    let too_far = [started(5), progress(6)];
    assert_eq!(broken(everything(), &too_far), bookmarkable);
    assert_eq!(broken(filtered(), &too_far), bookmarkable);
    let late = [started(6), progress(7), event(8), progress(9), event(7)];
    assert_eq!(broken(filtered(), &late), bookmarkable);
    let back = [started(5), event(6), progress(5)];
    assert_eq!(broken(filtered(), &back), bookmarkable);
    let beyond = [started(12), progress(13)];
    assert_eq!(broken(filtered(), &beyond), bookmarkable);
}

#[test]
fn whole_a_snapshot_that_lacks_or_adds_something_is_found() {
    for rows in [&[2][..], &[2, 3, 4], &[2, 4, 6]] {
        let items = [started(5), snapshot(rows, true)];
        assert_eq!(
            broken(filtered(), &items),
            Some(Property::Whole),
            "{rows:?}"
        );
    }
}
