use std::pin::pin;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::super::testing::{Shelf, draft, metadata, reason};
use super::*;
use crate::domain::change::Cursor;
use crate::domain::notification::filter::{ChangeFilter, Filter};
use crate::domain::notifications::WatchStart;

type Sent = Part<pb::Notification, pb::NotificationEvent>;

fn of(agent: &str) -> ChangeFilter {
    ChangeFilter {
        notifications: Filter {
            agent: agent.to_owned(),
            ..Filter::default()
        },
        kinds: Vec::new(),
    }
}

async fn watch(
    shelf: &Shelf,
    start: WatchStart,
    filter: ChangeFilter,
) -> impl Stream<Item = Result<Sent, Status>> + use<> {
    let watch = shelf.notifications.watch(start, filter).await;
    let slot = Slots::new(1).take().expect("a slot");
    feed(watch.expect("a watch"), None, shelf.stop.clone(), slot)
}

async fn next(stream: &mut (impl Stream<Item = Result<Sent, Status>> + Unpin)) -> Sent {
    let message = stream.next().await.expect("a message");
    message.unwrap_or_else(|status| panic!("the stream ended: {status:?}"))
}

/// A part in one line: what a watcher tells apart.
fn line(part: &Sent) -> String {
    match part {
        Part::Started {
            sequence,
            head,
            oldest,
        } => format!("started after {sequence}, {oldest} to {head}"),
        Part::Snapshot { items, last } => {
            let ids: Vec<i64> = items.iter().map(|item| item.id).collect();
            format!("snapshot {ids:?}{}", if *last { ", last" } else { "" })
        }
        Part::Events(events) => {
            let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
            format!("events {sequences:?}")
        }
        Part::Progress(sequence) => format!("progress {sequence}"),
    }
}

#[tokio::test]
async fn an_empty_snapshot_is_one_part_and_changes_follow_it() {
    let shelf = Shelf::new();
    let mut stream = pin!(watch(&shelf, WatchStart::Snapshot, of("")).await);
    assert_eq!(line(&next(&mut stream).await), "started after 0, 1 to 0");
    assert_eq!(line(&next(&mut stream).await), "snapshot [], last");
    shelf.create("a", "first").await;
    assert_eq!(line(&next(&mut stream).await), "events [1]");
}

#[tokio::test]
async fn a_snapshot_comes_in_parts_and_the_changes_after_it_follow() {
    let shelf = Shelf::new();
    let drafts = (0..300).map(|number| draft("a", &format!("number {number}")));
    let created = shelf.notifications.create_batch(drafts.collect(), None);
    created.await.expect("created");
    let mut stream = pin!(watch(&shelf, WatchStart::Snapshot, of("")).await);
    shelf.create("a", "later").await;
    assert_eq!(
        line(&next(&mut stream).await),
        "started after 300, 1 to 300"
    );
    let mut ids = Vec::new();
    for expected in [false, true] {
        let Part::Snapshot { items, last } = next(&mut stream).await else {
            panic!("expected a part of the snapshot");
        };
        assert!(items.len() <= PART_ITEMS);
        assert_eq!(last, expected);
        ids.extend(items.into_iter().map(|item| item.id));
    }
    assert_eq!(ids, (1..=300).collect::<Vec<_>>());
    assert_eq!(line(&next(&mut stream).await), "events [301]");
}

#[test]
fn a_part_is_cut_at_its_size_and_is_never_empty() {
    let large = |id| pb::Notification {
        id,
        message: "m".repeat(PART_BYTES * 2 / 3),
        ..Default::default()
    };
    let mut items: VecDeque<i64> = (1..=5).collect();
    let sizes = [2, 2, 1, 0].map(|_| take_part(&mut items, large).len());
    assert_eq!(sizes, [2, 2, 1, 0]);
    let mut items: VecDeque<i64> = [1].into();
    let huge = |id| pb::Notification {
        id,
        message: "m".repeat(PART_BYTES * 3),
        ..Default::default()
    };
    assert_eq!(take_part(&mut items, huge).len(), 1);
}

#[tokio::test]
async fn a_watch_resumes_right_after_its_cursor() {
    let shelf = Shelf::new();
    for title in ["one", "two", "three"] {
        shelf.create("a", title).await;
    }
    let cursor = Cursor {
        epoch: None,
        sequence: 1,
    };
    let mut stream = pin!(watch(&shelf, WatchStart::After(cursor), of("")).await);
    assert_eq!(line(&next(&mut stream).await), "started after 1, 1 to 3");
    assert_eq!(line(&next(&mut stream).await), "events [2, 3]");
}

#[tokio::test]
async fn an_idle_watcher_hears_how_far_it_is_every_ten_seconds() {
    let shelf = Shelf::new();
    shelf.create("a", "old").await;
    let mut stream = pin!(watch(&shelf, WatchStart::Now, of("")).await);
    next(&mut stream).await;
    tokio::time::pause();
    let start = Instant::now();
    for round in 1..=3 {
        assert_eq!(line(&next(&mut stream).await), "progress 1");
        assert_eq!(start.elapsed().as_secs(), round * 10);
    }
}

#[tokio::test]
async fn a_watcher_whose_filter_hides_everything_hears_of_it_after_a_second() {
    let shelf = Shelf::new();
    let mut stream = pin!(watch(&shelf, WatchStart::Oldest, of("a")).await);
    next(&mut stream).await;
    for title in ["one", "two", "three"] {
        shelf.create("b", title).await;
    }
    // Another watcher tells that the changes are published.
    let mut all = pin!(watch(&shelf, WatchStart::Oldest, of("b")).await);
    next(&mut all).await;
    let mut seen = 0;
    while seen < 3 {
        if let Part::Events(events) = next(&mut all).await {
            seen = events.last().map_or(0, |event| event.sequence);
        }
    }
    tokio::time::pause();
    let start = Instant::now();
    assert_eq!(line(&next(&mut stream).await), "progress 3");
    assert!(start.elapsed() <= HIDDEN_PROGRESS);
    assert_eq!(line(&next(&mut stream).await), "progress 3");
    assert!(start.elapsed() >= IDLE_PROGRESS);
}

#[tokio::test]
async fn a_stop_ends_the_stream_after_what_is_published_and_says_where() {
    let shelf = Shelf::new();
    let mut stream = pin!(watch(&shelf, WatchStart::Now, of("")).await);
    next(&mut stream).await;
    shelf.create("a", "published").await;
    let mut other = pin!(watch(&shelf, WatchStart::Oldest, of("")).await);
    next(&mut other).await;
    next(&mut other).await;
    shelf.stop.cancel();
    assert_eq!(line(&next(&mut stream).await), "events [1]");
    let Some(Err(status)) = stream.next().await else {
        panic!("expected the end");
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "SHUTTING_DOWN");
    assert_eq!(metadata(&status, "last_sequence").as_deref(), Some("1"));
    assert!(metadata(&status, "epoch").is_some_and(|epoch| !epoch.is_empty()));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_ends_gives_up_its_slot_and_its_place() {
    let shelf = Shelf::new();
    let slots = Slots::new(1);
    let stop = CancellationToken::new();
    let watch = shelf.notifications.watch(WatchStart::Now, of("")).await;
    let stream = feed(
        watch.expect("a watch"),
        None,
        stop,
        slots.take().expect("a slot"),
    );
    assert_eq!(shelf.notifications.feed().followers(), 1);
    assert!(matches!(
        slots.take(),
        Err(Error::TooManyStreams { limit: 1 })
    ));
    drop(stream);
    assert_eq!(shelf.notifications.feed().followers(), 0);
    assert!(slots.take().is_ok());
}
