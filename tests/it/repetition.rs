//! Request ids: a repetition is safe, a mistake is noticed.

use barista_client::pb::notification::v1::{CreateNotificationRequest, StartAt};
use barista_client::{Code, ErrorReason};

use crate::support::{TestDaemon, every, from, question, soon, uuid};

#[tokio::test]
async fn a_repeated_creation_returns_what_the_first_one_made() {
    let mut daemon = TestDaemon::start().await;
    let request = CreateNotificationRequest {
        request_id: uuid(),
        ..question("Once?")
    };
    let first = soon(daemon.client().create_notification(request.clone()))
        .await
        .expect("created");
    let again = soon(daemon.client().create_notification(request.clone()))
        .await
        .expect("the same");
    assert_eq!(again, first);
    daemon.kill().await;
    daemon.restart().await;
    let answered = daemon.respond(first.id, "yes").await.expect("answered");
    let later = soon(daemon.client().create_notification(request))
        .await
        .expect("still known");
    assert_eq!(later, answered, "as it is now");
    assert_eq!(every(daemon.client()).await.len(), 1);
}

#[tokio::test]
async fn a_request_id_with_other_content_is_refused() {
    let daemon = TestDaemon::start().await;
    let first = CreateNotificationRequest {
        request_id: uuid(),
        ..question("One")
    };
    let other = CreateNotificationRequest {
        title: "Another".into(),
        ..first.clone()
    };
    let id = soon(daemon.client().create_notification(first.clone()))
        .await
        .expect("created")
        .id;
    let error = soon(daemon.client().create_notification(other))
        .await
        .expect_err("reused");
    assert_eq!(error.reason(), ErrorReason::RequestIdReused);
    let rpc = error.rpc().expect("from the daemon");
    assert_eq!(rpc.code, Code::AlreadyExists);
    assert_eq!(rpc.metadata.get("id"), Some(&id.to_string()));
    assert_eq!(rpc.metadata.get("request_id"), Some(&first.request_id));
}

#[tokio::test]
async fn repetitions_at_the_same_time_create_one() {
    let daemon = TestDaemon::start().await;
    let request = CreateNotificationRequest {
        request_id: uuid(),
        ..question("Once?")
    };
    let calls = (0..16).map(|_| daemon.client().create_notification(request.clone()));
    let outcomes = soon(futures_util::future::join_all(calls)).await;
    let ids: Vec<i64> = outcomes
        .into_iter()
        .map(|outcome| outcome.expect("created").id)
        .collect();
    assert_eq!(ids, [1; 16]);
    let after = daemon.ask("Two").await;
    let events = daemon.follow(from(StartAt::Oldest)).await.events(2).await;
    assert_eq!(after.sequence, 2);
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_repeated_batch_creates_only_what_is_missing() {
    let daemon = TestDaemon::start().await;
    let named = |title: &str| CreateNotificationRequest {
        request_id: uuid(),
        ..question(title)
    };
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let client = daemon.client();
    let first = soon(client.batch_create_notifications(vec![a.clone(), b.clone()]))
        .await
        .expect("created");
    let second = soon(client.batch_create_notifications(vec![b, c, a]))
        .await
        .expect("created");
    let ids: Vec<i64> = second.iter().map(|created| created.id).collect();
    assert_eq!(ids, [first[1].id, 3, first[0].id]);
}
