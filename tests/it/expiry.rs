//! Questions whose time passes: never in silence, and never as consent that nobody gave.

use barista_client::pb::notification::v1::create_notification_request::Expiration;
use barista_client::pb::notification::v1::{
    ChangeKind, CreateNotificationRequest, Notification, NotificationState, StartAt,
};
use barista_client::{ErrorReason, WaitOutcome};

use crate::support::{TestDaemon, from, question, soon};

fn expiring(title: &str, ttl_millis: i32, default_response: &str) -> CreateNotificationRequest {
    let ttl = prost_types::Duration {
        seconds: i64::from(ttl_millis / 1000),
        nanos: ttl_millis % 1000 * 1_000_000,
    };
    CreateNotificationRequest {
        expiration: Some(Expiration::Ttl(ttl)),
        default_response: default_response.to_owned(),
        ..question(title)
    }
}

#[tokio::test]
async fn an_expired_question_has_no_answer_unless_its_asker_set_a_default() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let mut watch = daemon.watch(StartAt::Now).await;
    let silent = soon(client.create_notification(expiring("Silent", 50, "")))
        .await
        .expect("created");
    let cautious = soon(client.create_notification(expiring("Cautious", 50, "deny")))
        .await
        .expect("created");
    let WaitOutcome::Ended(ended) = soon(client.wait(silent.id, None)).await.expect("waited")
    else {
        panic!("it does not end");
    };
    assert_eq!(ended.state(), NotificationState::Expired);
    assert_eq!(ended.response, None, "silence is not consent");
    let ended = soon(client.wait(cautious.id, None)).await.expect("waited");
    let response = ended.into_notification().response.expect("the default");
    assert_eq!(response.text, "deny");
    assert!(response.is_default);
    let events = watch.events(4).await;
    let expired = events
        .iter()
        .filter(|event| event.kind() == ChangeKind::Expired);
    assert_eq!(expired.count(), 2);
    let error = daemon.respond(silent.id, "yes").await.expect_err("late");
    assert_eq!(error.reason(), ErrorReason::NotificationClosed);
}

#[tokio::test]
async fn an_answer_in_time_keeps_a_question_from_expiring() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let answered = soon(client.create_notification(expiring("Quick", 60_000, "no")))
        .await
        .expect("created");
    daemon.respond(answered.id, "yes").await.expect("in time");
    let response = daemon.get(answered.id).await.response.expect("a response");
    assert_eq!(response.text, "yes");
    assert!(!response.is_default);
}

#[tokio::test]
async fn a_time_that_passes_while_no_daemon_runs_is_caught_up_with() {
    let mut daemon = TestDaemon::start().await;
    let asked = soon(daemon.client().create_notification(expiring(
        "Overnight",
        60_000,
        "postpone",
    )))
    .await
    .expect("created");
    assert!(daemon.terminate().await.success());
    // The night passes: the time that the daemon stored moves into the past.
    daemon.foreign().run(&format!(
        "UPDATE notifications SET expires_at = '2001-01-01T00:00:00' WHERE id = {}",
        asked.id
    ));
    daemon.restart().await;
    let ended = soon(daemon.client().wait(asked.id, None))
        .await
        .expect("waited");
    let ended = ended.into_notification();
    assert_eq!(ended.state(), NotificationState::Expired);
    assert_eq!(ended.response.expect("the default").text, "postpone");
    let events = daemon.follow(from(StartAt::Oldest)).await.events(3).await;
    let kinds: Vec<ChangeKind> = events.iter().map(|event| event.kind()).collect();
    assert_eq!(
        kinds,
        [
            ChangeKind::Created,
            ChangeKind::Updated,
            ChangeKind::Expired
        ]
    );
}

/// Fails when a time is stored or read as local time.
#[tokio::test]
async fn a_daemon_in_another_time_zone_tells_the_same_times_and_lets_nothing_expire_early() {
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let hour = soon(
        daemon
            .client()
            .create_notification(expiring("An hour", 3_600_000, "")),
    );
    let created = hour.await.expect("created");
    watch.event().await;
    for zone in [
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "UTC+11",
        "nonsense",
    ] {
        assert!(daemon.terminate().await.success());
        daemon.restart_in_zone(zone).await;
        assert_eq!(daemon.get(created.id).await, created, "{zone}");
        let title = format!("In {zone}");
        let short = soon(
            daemon
                .client()
                .create_notification(expiring(&title, 50, "")),
        );
        let short = short.await.expect("created");
        let seen = watch.events(2).await;
        assert_eq!(seen[1].kind(), ChangeKind::Expired, "{zone}");
        let time = |created: &Notification| created.create_time.map(|time| time.seconds);
        assert!(time(&short) >= time(&created), "{zone}");
    }
}
