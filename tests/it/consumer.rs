//! Durable watchers.

mod takeover;

use barista_client::pb::consumer::v1::create_consumer_request::Start;
use barista_client::pb::consumer::v1::reset_consumer_request::To;
use barista_client::pb::consumer::v1::{
    AcknowledgeConsumerRequest, Consumer, ConsumerPosition, CreateConsumerRequest,
    ResetConsumerRequest, SetAsideEvent, SetEventAsideRequest,
};
use barista_client::pb::notification::v1::{
    Cursor, NotificationEvent, NotificationFilter, NotificationType, StartAt,
    WatchNotificationsRequest,
};
use barista_client::{Client, Code, ConsumerWatch, Error, ErrorReason, WatchItem};

use crate::support::{TestDaemon, info, number, soon};

/// A watch of the consumer `name`.
fn of(name: &str) -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        consumer: name.to_owned(),
        ..WatchNotificationsRequest::default()
    }
}

fn at(sequence: i64) -> Cursor {
    Cursor {
        epoch: String::new(),
        sequence,
    }
}

async fn add(daemon: &TestDaemon, name: &str, position: ConsumerPosition) -> Consumer {
    let request = CreateConsumerRequest {
        name: name.to_owned(),
        start: Some(Start::Position(position.into())),
        ..CreateConsumerRequest::default()
    };
    soon(daemon.client().create_consumer(request))
        .await
        .expect("created")
}

async fn get(daemon: &TestDaemon, name: &str) -> Consumer {
    soon(daemon.client().get_consumer(name))
        .await
        .expect("there")
}

async fn acknowledge(client: &Client, name: &str, sequence: i64) -> Result<Consumer, Error> {
    soon(client.acknowledge_consumer(AcknowledgeConsumerRequest {
        name: name.to_owned(),
        through: Some(at(sequence)),
        ..AcknowledgeConsumerRequest::default()
    }))
    .await
}

async fn reset(daemon: &TestDaemon, name: &str, to: To) -> Consumer {
    let request = ResetConsumerRequest {
        name: name.to_owned(),
        to: Some(to),
        ..ResetConsumerRequest::default()
    };
    soon(daemon.client().reset_consumer(request))
        .await
        .expect("moved")
}

/// Writes `count` changes.
async fn changes(daemon: &TestDaemon, count: usize) {
    let batch = (0..count).map(|number| info(&number.to_string())).collect();
    soon(daemon.client().batch_create_notifications(batch))
        .await
        .expect("created");
}

fn acknowledged(consumer: &Consumer) -> i64 {
    consumer.acknowledged.as_ref().expect("a place").sequence
}

/// The next change, or how the watch ends.
async fn next(watch: &mut ConsumerWatch) -> Result<NotificationEvent, Error> {
    loop {
        match soon(watch.next()).await? {
            Some(WatchItem::Event(event)) => return Ok(event),
            Some(_) => {}
            None => panic!("a watch ends with an error"),
        }
    }
}

/// Waits until the watch has begun, and returns the place.
async fn started(watch: &mut ConsumerWatch) -> i64 {
    loop {
        if let Some(WatchItem::Started(started)) = soon(watch.next()).await.expect("an item") {
            return started.cursor.expect("a cursor").sequence;
        }
    }
}

async fn refused(daemon: &TestDaemon, request: WatchNotificationsRequest) -> Error {
    daemon.follow_refused(request).await
}

fn metadata<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.rpc()?.metadata.get(name).map(String::as_str)
}

#[tokio::test]
async fn a_consumer_goes_on_after_what_it_acknowledged() {
    let mut daemon = TestDaemon::start().await;
    changes(&daemon, 2).await;
    let bell = add(&daemon, "bell", ConsumerPosition::Now).await;
    assert_eq!((acknowledged(&bell), bell.lag), (2, 0));
    assert!(bell.holds_journal && bell.connect_time.is_none());
    changes(&daemon, 5).await;
    let mut watch = daemon.client().watch_consumer(of("bell"));
    for sequence in 3..=5 {
        assert_eq!(next(&mut watch).await.expect("a change").sequence, sequence);
        soon(watch.acknowledge(sequence)).await.expect("durable");
    }
    // This one is handed out, and its effect may have been done; it is not acknowledged.
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 6);
    assert!(get(&daemon, "bell").await.connect_time.is_some());
    drop(watch);
    daemon.kill().await;
    daemon.restart().await;
    let bell = get(&daemon, "bell").await;
    assert_eq!((acknowledged(&bell), bell.lag), (5, 2));
    let mut watch = daemon.client().watch_consumer(of("bell"));
    assert_eq!(started(&mut watch).await, 5);
    assert_eq!(next(&mut watch).await.expect("again").sequence, 6);
}

/// The effects of a consumer, kept outside both programs.
#[derive(Default)]
struct Ledger {
    effects: Vec<i64>,
    acknowledged: i64,
}

impl Ledger {
    /// Takes note of an effect. Nothing may be skipped, and nothing that was acknowledged may come again.
    fn record(&mut self, sequence: i64) {
        let newest = self.effects.iter().max().copied().unwrap_or(0);
        assert!(sequence <= newest + 1, "{sequence} after {newest}: skipped");
        assert!(
            sequence > self.acknowledged,
            "{sequence} was acknowledged, and came again"
        );
        self.effects.push(sequence);
    }
}

#[tokio::test]
async fn each_change_has_its_effect_in_order_whoever_is_killed_when() {
    const CHANGES: i64 = 300;
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, usize::try_from(CHANGES).expect("small")).await;
    let mut ledger = Ledger::default();
    let (mut lives, mut kills) = (0, 0);
    while ledger.acknowledged < CHANGES {
        lives += 1;
        let client = daemon.connect().await;
        let mut watch = client.watch_consumer(of("bell"));
        let mut last = 0;
        // Some lives end between an effect and its acknowledgement, some after it, and in some the daemon dies.
        for _ in 0..=number(40) {
            if last == CHANGES {
                break;
            }
            let event = next(&mut watch).await.expect("a change");
            assert!(event.sequence > last, "in order within a life");
            last = event.sequence;
            ledger.record(event.sequence);
            if number(30) == 0 && kills < 8 {
                kills += 1;
                daemon.kill().await;
                let restarting = daemon.restart();
                let (durable, ()) = tokio::join!(soon(watch.acknowledge(last)), restarting);
                durable.expect("it outlasts the restart");
                ledger.acknowledged = last;
            } else if number(4) > 0 {
                soon(watch.acknowledge(last)).await.expect("durable");
                ledger.acknowledged = last;
            }
        }
    }
    let mut distinct = ledger.effects.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct, (1..=CHANGES).collect::<Vec<_>>());
    assert!(lives > 2, "{lives} lives");
    let bell = get(&daemon, "bell").await;
    assert_eq!((acknowledged(&bell), bell.lag), (CHANGES, 0));
}

#[tokio::test]
async fn what_is_done_is_acknowledged_once_nothing_more_is_at_hand() {
    let daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 100).await;
    let mut watch = daemon.client().watch_consumer(of("bell"));
    for _ in 0..100 {
        let sequence = next(&mut watch).await.expect("a change").sequence;
        watch.done(sequence);
    }
    let idle = watch.next();
    let told = async { while acknowledged(&get(&daemon, "bell").await) < 100 {} };
    tokio::select! {
        item = idle => panic!("{item:?}"),
        () = soon(told) => {}
    }
}

#[tokio::test]
async fn changes_that_a_filter_hides_do_not_stay_behind() {
    let daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    let warnings = NotificationFilter {
        types: vec![NotificationType::Warning.into()],
        ..NotificationFilter::default()
    };
    let mut watch = daemon.client().watch_consumer(WatchNotificationsRequest {
        filter: Some(warnings),
        ..of("bell")
    });
    changes(&daemon, 10).await;
    let told = async { while get(&daemon, "bell").await.lag > 0 {} };
    let following = async {
        loop {
            watch.next().await.expect("an item");
        }
    };
    tokio::select! {
        () = following => {}
        () = soon(told) => {}
    }
}

#[tokio::test]
async fn a_reset_lets_a_watch_begin_anew_and_wins_over_its_acknowledgements() {
    let daemon = TestDaemon::start().await;
    let made = add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 4).await;
    let mut watch = daemon.client().watch_consumer(of("bell"));
    for sequence in 1..=3 {
        assert_eq!(next(&mut watch).await.expect("a change").sequence, sequence);
    }
    soon(watch.acknowledge(2)).await.expect("durable");
    let oldest = To::Position(ConsumerPosition::Oldest.into());
    let moved = reset(&daemon, "bell", oldest).await;
    assert_eq!((acknowledged(&moved), moved.lag), (0, 4));
    assert!(moved.generation > made.generation);
    // The effect of 3 is done, but the reset asks for it once more.
    soon(watch.acknowledge(3)).await.expect("the reset wins");
    assert_eq!(acknowledged(&get(&daemon, "bell").await), 0);
    assert_eq!(started(&mut watch).await, 0);
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 1);
    // A watch that waits hears of it as well.
    let after = reset(&daemon, "bell", To::After(at(3))).await;
    assert_eq!(acknowledged(&after), 3);
    assert_eq!(started(&mut watch).await, 3);
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 4);
    let stale = WatchNotificationsRequest {
        after: Some(at(4)),
        consumer_generation: moved.generation,
        ..of("bell")
    };
    let error = refused(&daemon, stale).await;
    assert_eq!(error.reason(), ErrorReason::ConsumerReset);
}

#[tokio::test]
async fn an_unknown_consumer_cannot_watch_and_a_deleted_one_no_longer() {
    let daemon = TestDaemon::start().await;
    let error = refused(&daemon, of("nobody")).await;
    assert_eq!(error.reason(), ErrorReason::ConsumerNotFound);
    assert_eq!(error.rpc().map(|rpc| rpc.code), Some(Code::NotFound));
    assert_eq!(metadata(&error, "consumer"), Some("nobody"));
    let bell = add(&daemon, "bell", ConsumerPosition::Now).await;
    let taken = soon(daemon.client().create_consumer(CreateConsumerRequest {
        name: "bell".to_owned(),
        ..CreateConsumerRequest::default()
    }));
    let taken = taken.await.expect_err("taken");
    assert_eq!(taken.reason(), ErrorReason::ConsumerExists);
    let mut watch = daemon.client().watch_consumer(of("bell"));
    started(&mut watch).await;
    soon(daemon.client().delete_consumer("bell"))
        .await
        .expect("deleted");
    let ended = next(&mut watch).await.expect_err("deleted");
    assert_eq!(ended.reason(), ErrorReason::ConsumerNotFound);
    let missing = soon(daemon.client().delete_consumer("bell")).await;
    let missing = missing.expect_err("there is none");
    assert_eq!(missing.reason(), ErrorReason::ConsumerNotFound);
    // The next one of that name is not the one that was deleted.
    let again = add(&daemon, "bell", ConsumerPosition::Now).await;
    assert!(again.generation > bell.generation);
}

#[tokio::test]
async fn acknowledgements_never_go_back_and_none_is_taken_ahead() {
    let daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 3).await;
    let client = daemon.client();
    for (sequence, expected) in [(2, 2), (1, 2), (2, 2), (3, 3)] {
        let moved = acknowledge(client, "bell", sequence).await.expect("taken");
        assert_eq!(acknowledged(&moved), expected);
    }
    let ahead = acknowledge(client, "bell", 4).await.expect_err("ahead");
    assert_eq!(ahead.reason(), ErrorReason::UnknownCursor);
    assert_eq!(
        ahead.rpc().map(|rpc| rpc.code),
        Some(Code::FailedPrecondition)
    );
    assert_eq!(metadata(&ahead, "head_sequence"), Some("3"));
    let negative = acknowledge(client, "bell", -1).await.expect_err("negative");
    assert_eq!(negative.reason(), ErrorReason::InvalidField);
}

#[tokio::test]
async fn a_consumer_from_before_a_restored_backup_must_be_reset() {
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 3).await;
    acknowledge(daemon.client(), "bell", 2)
        .await
        .expect("taken");
    assert!(daemon.terminate().await.success());
    daemon
        .foreign()
        .run("UPDATE barista_meta SET value = lower(hex(randomblob(16))) WHERE key = 'epoch'");
    daemon.restart().await;
    let error = refused(&daemon, of("bell")).await;
    assert_eq!(error.reason(), ErrorReason::UnknownCursor);
    assert_eq!(metadata(&error, "consumer"), Some("bell"));
    assert!(error.to_string().contains("barista consumer reset bell"));
    let late = acknowledge(daemon.client(), "bell", 3).await;
    let late = late.expect_err("another history");
    assert_eq!(late.reason(), ErrorReason::UnknownCursor);
    let bell = get(&daemon, "bell").await;
    assert!(!bell.holds_journal);
    reset(&daemon, "bell", To::After(at(2))).await;
    let mut watch = daemon.client().watch_consumer(of("bell"));
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 3);
}

#[tokio::test]
async fn a_consumer_whose_changes_are_gone_is_told_how_far_behind_it_is() {
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 10).await;
    acknowledge(daemon.client(), "bell", 2)
        .await
        .expect("taken");
    daemon.foreign().run("DELETE FROM changes WHERE seq <= 6");
    daemon.expect_journal_from(7);
    let error = refused(&daemon, of("bell")).await;
    assert_eq!(error.reason(), ErrorReason::SequenceCompacted);
    assert_eq!(error.rpc().map(|rpc| rpc.code), Some(Code::OutOfRange));
    for (name, value) in [
        ("consumer", "bell"),
        ("acknowledged_sequence", "2"),
        ("oldest_sequence", "7"),
        ("head_sequence", "10"),
    ] {
        assert_eq!(metadata(&error, name), Some(value), "{name}");
    }
    let text = error.to_string();
    assert!(
        text.contains("bell") && text.contains("4 changes"),
        "{text}"
    );
    assert!(text.contains("barista consumer reset bell"), "{text}");
    reset(
        &daemon,
        "bell",
        To::Position(ConsumerPosition::Oldest.into()),
    )
    .await;
    let mut watch = daemon.client().watch_consumer(of("bell"));
    assert_eq!(next(&mut watch).await.expect("a change").sequence, 7);
}

#[tokio::test]
async fn a_consumer_that_is_too_far_behind_no_longer_holds_the_journal() {
    let daemon = TestDaemon::configured("[consumers]\nmax_lag_events = 3\n").await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 3).await;
    assert!(get(&daemon, "bell").await.holds_journal);
    changes(&daemon, 1).await;
    assert!(!get(&daemon, "bell").await.holds_journal);
    acknowledge(daemon.client(), "bell", 1)
        .await
        .expect("taken");
    assert!(get(&daemon, "bell").await.holds_journal);
}

#[tokio::test]
async fn what_is_set_aside_outlives_the_daemon_until_it_is_discarded() {
    let mut daemon = TestDaemon::start().await;
    add(&daemon, "bell", ConsumerPosition::Oldest).await;
    changes(&daemon, 3).await;
    let aside = |sequence, attempts, error: &str| SetEventAsideRequest {
        name: "bell".to_owned(),
        event: Some(SetAsideEvent {
            sequence,
            notification_id: sequence,
            attempts,
            error: error.to_owned(),
            ..SetAsideEvent::default()
        }),
        ..SetEventAsideRequest::default()
    };
    let moved = soon(
        daemon
            .client()
            .set_event_aside(aside(2, 5, "exit status: 1")),
    )
    .await
    .expect("set aside");
    assert_eq!((acknowledged(&moved), moved.set_aside_count), (2, 1));
    daemon.kill().await;
    daemon.restart().await;
    let client = daemon.client();
    let list = soon(client.list_set_aside_events("bell")).await;
    let [event] = &list.expect("a list")[..] else {
        panic!("expected one");
    };
    assert_eq!((event.sequence, event.attempts), (2, 5));
    assert_eq!(event.error, "exit status: 1");
    assert!(event.time.is_some());
    // Trying again changes the entry, and moves nothing back.
    let again = soon(client.set_event_aside(aside(1, 9, "still"))).await;
    let again = again.expect("set aside");
    assert_eq!((acknowledged(&again), again.set_aside_count), (2, 2));
    soon(client.discard_set_aside_event("bell", 2))
        .await
        .expect("discarded");
    let again = soon(client.discard_set_aside_event("bell", 2)).await;
    let error = again.expect_err("no longer set aside");
    assert_eq!(error.reason(), ErrorReason::SetAsideEventNotFound);
    assert_eq!(get(&daemon, "bell").await.set_aside_count, 1);
    let unreadable = aside(3, 1, &"e".repeat(5_000));
    for bad in [aside(0, 1, ""), aside(1, -1, ""), unreadable] {
        let error = soon(client.set_event_aside(bad)).await.expect_err("bad");
        assert_eq!(error.reason(), ErrorReason::InvalidField);
    }
}

#[tokio::test]
async fn names_places_and_pages_have_their_rules() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    for name in ["", "two words", "-dash", &"n".repeat(65)] {
        let request = CreateConsumerRequest {
            name: name.to_owned(),
            ..CreateConsumerRequest::default()
        };
        let error = soon(client.create_consumer(request)).await;
        let error = error.expect_err("refused");
        assert_eq!(error.reason(), ErrorReason::InvalidField);
        assert_eq!(error.rpc().expect("told").field_violations[0].field, "name");
    }
    let contradiction = WatchNotificationsRequest {
        start_at: StartAt::Now.into(),
        ..of("bell")
    };
    let error = refused(&daemon, contradiction).await;
    assert_eq!(
        error.rpc().expect("told").field_violations[0].field,
        "start_at"
    );
    let ahead = CreateConsumerRequest {
        name: "ahead".to_owned(),
        start: Some(Start::After(at(1))),
        ..CreateConsumerRequest::default()
    };
    let error = soon(client.create_consumer(ahead)).await;
    let error = error.expect_err("ahead");
    assert_eq!(error.reason(), ErrorReason::UnknownCursor);
    for name in ["c", "a", "b"] {
        add(&daemon, name, ConsumerPosition::Now).await;
    }
    let listed = soon(client.list_consumers()).await.expect("a list");
    let names: Vec<&str> = listed.iter().map(|each| each.name.as_str()).collect();
    assert_eq!(names, ["c", "a", "b"]);
}
