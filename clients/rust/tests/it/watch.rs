//! Watches that lose their daemon.

use barista_client::pb::notification::v1::watch_notifications_response::Message;
use barista_client::pb::notification::v1::{
    Cursor, NotificationEvent, StartAt, WatchEvents, WatchNotificationsRequest,
    WatchNotificationsResponse, WatchSnapshot, WatchStarted,
};
use barista_client::{Error, ErrorReason, Watch, WatchItem};
use tokio::sync::mpsc::Sender;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::daemon::{Daemon, Home, soon};

type Answers = Sender<Result<WatchNotificationsResponse, Status>>;

fn cursor(sequence: i64) -> Cursor {
    Cursor {
        epoch: "e".into(),
        sequence,
    }
}

async fn say(answers: &Answers, message: Message) {
    let response = WatchNotificationsResponse {
        message: Some(message),
    };
    answers
        .send(Ok(response))
        .await
        .expect("the watcher listens");
}

async fn start(answers: &Answers, sequence: i64) {
    say(
        answers,
        Message::Started(WatchStarted {
            cursor: Some(cursor(sequence)),
            ..WatchStarted::default()
        }),
    )
    .await;
}

async fn events(answers: &Answers, sequences: &[i64]) {
    let event = |&sequence| NotificationEvent {
        sequence,
        ..NotificationEvent::default()
    };
    say(
        answers,
        Message::Events(WatchEvents {
            events: sequences.iter().map(event).collect(),
        }),
    )
    .await;
}

async fn next(watch: &mut Watch) -> WatchItem {
    soon(watch.next())
        .await
        .expect("no error")
        .expect("not over")
}

async fn next_sequence(watch: &mut Watch) -> i64 {
    match next(watch).await {
        WatchItem::Event(event) => event.sequence,
        other => panic!("{other:?} instead of an event"),
    }
}

fn from(start_at: StartAt) -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        start_at: start_at.into(),
        ..WatchNotificationsRequest::default()
    }
}

/// The test plays both sides at once: what the daemon says is queued before the watcher asks for it.
async fn open(
    watch: &mut Watch,
    daemon: &mut Daemon,
    sequence: i64,
) -> (WatchNotificationsRequest, Answers) {
    let (item, (request, answers)) = tokio::join!(next(watch), async {
        let (request, answers) = daemon.watch().await;
        start(&answers, sequence).await;
        (request, answers)
    });
    assert!(
        matches!(item, WatchItem::Started(_) | WatchItem::Resumed(_)),
        "{item:?}"
    );
    (request, answers)
}

#[tokio::test]
async fn a_watch_resumes_behind_its_last_event() {
    let home = Home::new();
    let mut first = Daemon::start(&home.socket());
    let mut watch = home.connect().await.watch(from(StartAt::Now));
    assert_eq!(watch.cursor(), None);
    let (_, answers) = open(&mut watch, &mut first, 5).await;
    events(&answers, &[6, 8]).await;
    assert_eq!(next_sequence(&mut watch).await, 6);
    assert_eq!(watch.cursor(), Some(&cursor(6)));
    assert_eq!(next_sequence(&mut watch).await, 8);
    drop(first);
    assert!(matches!(next(&mut watch).await, WatchItem::Interrupted(_)));
    let mut second = Daemon::start(&home.socket());
    let (request, answers) = open(&mut watch, &mut second, 8).await;
    assert_eq!(request.after, Some(cursor(8)));
    events(&answers, &[9]).await;
    assert_eq!(next_sequence(&mut watch).await, 9);
    assert_eq!(watch.cursor(), Some(&cursor(9)));
}

#[tokio::test]
async fn an_orderly_stop_interrupts_a_watch_and_does_not_end_it() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let mut watch = home.connect().await.watch(from(StartAt::Now));
    let (_, answers) = open(&mut watch, &mut daemon, 5).await;
    let details = ErrorDetails::with_error_info("SHUTTING_DOWN", "barista", []);
    let stopping = Status::with_error_details(Code::Unavailable, "the daemon stops", details);
    answers
        .send(Err(stopping))
        .await
        .expect("the watcher listens");
    let WatchItem::Interrupted(error) = next(&mut watch).await else {
        panic!("no interruption")
    };
    assert_eq!(error.reason(), ErrorReason::ShuttingDown);
    let (request, _answers) = open(&mut watch, &mut daemon, 5).await;
    assert_eq!(request.after, Some(cursor(5)));
}

#[tokio::test]
async fn half_a_snapshot_comes_again_from_its_beginning() {
    let home = Home::new();
    let mut first = Daemon::start(&home.socket());
    let mut watch = home.connect().await.watch(from(StartAt::Snapshot));
    let (_, answers) = open(&mut watch, &mut first, 5).await;
    say(
        &answers,
        Message::Snapshot(WatchSnapshot {
            notifications: Vec::new(),
            last: false,
        }),
    )
    .await;
    assert!(matches!(
        next(&mut watch).await,
        WatchItem::Snapshot { last: false, .. }
    ));
    assert_eq!(watch.cursor(), None);
    drop(first);
    assert!(matches!(next(&mut watch).await, WatchItem::Interrupted(_)));
    let mut second = Daemon::start(&home.socket());
    assert!(matches!(
        next(&mut watch).await,
        WatchItem::SnapshotRestarted
    ));
    let (request, answers) = open(&mut watch, &mut second, 6).await;
    assert_eq!(request, from(StartAt::Snapshot));
    say(
        &answers,
        Message::Snapshot(WatchSnapshot {
            notifications: Vec::new(),
            last: true,
        }),
    )
    .await;
    assert!(matches!(
        next(&mut watch).await,
        WatchItem::Snapshot { last: true, .. }
    ));
    assert_eq!(watch.cursor(), Some(&cursor(6)));
}

#[tokio::test]
async fn a_place_that_is_gone_ends_a_watch() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let after = WatchNotificationsRequest {
        after: Some(cursor(3)),
        ..WatchNotificationsRequest::default()
    };
    let mut watch = home.connect().await.watch(after);
    let metadata = [("oldest_sequence".to_owned(), "90".to_owned())];
    let details = ErrorDetails::with_error_info("SEQUENCE_COMPACTED", "barista", metadata);
    let gone = Status::with_error_details(Code::OutOfRange, "events before 90 are gone", details);
    let (error, ()) = tokio::join!(soon(watch.next()), async {
        let (_, answers) = daemon.watch().await;
        answers.send(Err(gone)).await.expect("the watcher listens");
    });
    let error = error.expect_err("gone");
    assert_eq!(error.reason(), ErrorReason::SequenceCompacted);
    assert_eq!(
        error
            .rpc()
            .and_then(|rpc| rpc.metadata.get("oldest_sequence"))
            .map(String::as_str),
        Some("90")
    );
    assert!(soon(watch.next()).await.expect("no second error").is_none());
}

#[tokio::test]
async fn an_event_that_comes_twice_is_an_error() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home.socket());
    let mut watch = home.connect().await.watch(from(StartAt::Now));
    let (_, answers) = open(&mut watch, &mut daemon, 5).await;
    events(&answers, &[6]).await;
    events(&answers, &[6]).await;
    assert_eq!(next_sequence(&mut watch).await, 6);
    let error = soon(watch.next()).await.expect_err("a duplicate");
    assert!(matches!(error, Error::InvalidReply(_)), "{error}");
}

#[tokio::test]
async fn a_watch_gives_up_when_its_patience_is_over() {
    let home = Home::new();
    let daemon = Daemon::start(&home.socket());
    let client = home.connect().await;
    drop(daemon);
    let mut watch = client
        .watch(from(StartAt::Now))
        .patience(std::time::Duration::from_millis(30));
    assert!(matches!(next(&mut watch).await, WatchItem::Interrupted(_)));
    let error = soon(watch.next()).await.expect_err("nobody there");
    assert!(error.is_unreachable(), "{error}");
}
