//! Many at once.

use barista_client::pb::notification::v1::StartAt;

use crate::support::{TestDaemon, by_id, every, question, soon};

/// 16 callers create while three watchers follow, one of which reads nothing before all is done: all see everything, once, in one order.
#[tokio::test]
async fn many_writers_and_watchers_see_the_same_story() {
    const CALLERS: usize = 16;
    const EACH: usize = 25;
    let daemon = TestDaemon::start().await;
    let mut eager = daemon.watch(StartAt::Now).await;
    let mut second = daemon.watch(StartAt::Oldest).await;
    let mut slow = daemon.watch(StartAt::Snapshot).await;
    let callers = (0..CALLERS).map(|caller| {
        let client = daemon.client().clone();
        tokio::spawn(async move {
            for round in 0..EACH {
                let title = format!("caller {caller} round {round}");
                client
                    .create_notification(question(&title))
                    .await
                    .expect("created");
            }
        })
    });
    let callers = futures_util::future::join_all(callers);
    let (ends, seen, same) = tokio::join!(
        soon(callers),
        eager.events(CALLERS * EACH),
        second.events(CALLERS * EACH)
    );
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    assert!(seen == same);
    assert_eq!(slow.snapshot().await, []);
    assert!(seen == slow.events(CALLERS * EACH).await);
    let told = seen
        .into_iter()
        .map(|event| event.notification.expect("a notification"));
    assert!(by_id(told) == by_id(every(daemon.client()).await));
}

#[tokio::test]
async fn a_watch_that_is_not_read_does_not_block_the_calls_of_its_client() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let mut unread = daemon.watch(StartAt::Now).await;
    let large = barista_client::pb::notification::v1::CreateNotificationRequest {
        message: "m".repeat(60_000),
        ..question("Large")
    };
    // More than a connection's window takes.
    for _ in 0..5 {
        let batch = vec![large.clone(); 40];
        soon(client.batch_create_notifications(batch))
            .await
            .expect("created");
    }
    assert_eq!(unread.events(200).await.len(), 200);
}
