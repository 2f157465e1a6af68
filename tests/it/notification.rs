//! The life of a notification, from its creation to an end state.

use barista_client::pb::notification::v1::{
    CancelNotificationRequest, ChangeKind, CreateNotificationRequest, DismissNotificationRequest,
    NotificationState, NotificationType, Option as Choice, Priority,
};
use barista_client::{Client, Error, ErrorReason};

use crate::support::{TestDaemon, info, move_to, question, soon};

fn dismissal(id: i64) -> DismissNotificationRequest {
    DismissNotificationRequest {
        id,
        actor: "ann".into(),
        surface: "test".into(),
        request_id: String::new(),
    }
}

fn cancellation(id: i64) -> CancelNotificationRequest {
    CancelNotificationRequest {
        id,
        actor: "tester".into(),
        surface: "test".into(),
        request_id: String::new(),
    }
}

async fn dismiss(client: &Client, id: i64) -> Result<NotificationState, Error> {
    let dismissed = soon(client.dismiss_notification(dismissal(id))).await?;
    Ok(dismissed.state())
}

async fn cancel(client: &Client, id: i64) -> Result<NotificationState, Error> {
    let cancelled = soon(client.cancel_notification(cancellation(id))).await?;
    Ok(cancelled.state())
}

#[tokio::test]
async fn everything_that_is_said_comes_back() {
    let daemon = TestDaemon::start().await;
    let said = CreateNotificationRequest {
        r#type: NotificationType::Question.into(),
        priority: Priority::Critical.into(),
        title: "Deploy “v2” — 🚀?".into(),
        message: "Line one\nLine 'two'\n\tЛиния три".into(),
        context: r#"{"ünïcode": ["日本", null, 1.5e3], "a": {"b": {}}}"#.into(),
        agent: "deployer".into(),
        session: "session-7".into(),
        project: "/srv/app".into(),
        tags: vec!["prod".into(), "été".into()],
        options: vec![
            Choice {
                name: "yes".into(),
                description: "Go ahead".into(),
            },
            Choice {
                name: "nein".into(),
                description: String::new(),
            },
        ],
        allow_multiple: true,
        allow_text: true,
        surface: "test".into(),
        ..CreateNotificationRequest::default()
    };
    let created = soon(daemon.client().create_notification(said.clone()))
        .await
        .expect("created");
    assert_eq!(created, daemon.get(created.id).await);
    assert_eq!(created.r#type(), NotificationType::Question);
    assert_eq!(created.priority(), Priority::Critical);
    assert_eq!(created.state(), NotificationState::Pending);
    assert_eq!(
        (created.title, created.message, created.context),
        (said.title, said.message, said.context)
    );
    assert_eq!(
        (created.agent, created.session, created.project),
        (said.agent, said.session, said.project)
    );
    assert_eq!((created.tags, created.options), (said.tags, said.options));
    assert!(created.allow_multiple && created.allow_text);
    assert!(created.create_time.is_some() && created.response.is_none());
}

#[tokio::test]
async fn a_notification_may_be_read_and_reading_it_again_changes_nothing() {
    let daemon = TestDaemon::start().await;
    let notice = soon(daemon.client().create_notification(info("Built")))
        .await
        .expect("created");
    let read = soon(daemon.client().mark_notification_read(move_to(notice.id)))
        .await
        .expect("read");
    assert_eq!(read.state(), NotificationState::Read);
    assert!(read.read_time.is_some());
    let again = soon(daemon.client().mark_notification_read(move_to(notice.id)))
        .await
        .expect("read again");
    assert_eq!(again, read);
}

#[tokio::test]
async fn an_end_state_never_changes_again() {
    let daemon = TestDaemon::start().await;
    let (dismissed, cancelled) = (daemon.ask("a").await.id, daemon.ask("b").await.id);
    let client = daemon.client();
    assert!(matches!(
        dismiss(client, dismissed).await,
        Ok(NotificationState::Dismissed)
    ));
    assert!(matches!(
        cancel(client, cancelled).await,
        Ok(NotificationState::Cancelled)
    ));
    for (id, state) in [(dismissed, "dismissed"), (cancelled, "cancelled")] {
        let before = daemon.get(id).await;
        let error = daemon.respond(id, "yes").await.expect_err("closed");
        assert_eq!(error.reason(), ErrorReason::NotificationClosed);
        let metadata = &error.rpc().expect("from the daemon").metadata;
        assert_eq!(metadata.get("state").map(String::as_str), Some(state));
        // Reading what is closed is no mistake, and no change either.
        soon(client.mark_notification_read(move_to(id)))
            .await
            .expect("no error");
        assert_eq!(daemon.get(id).await, before);
    }
    let wrong = [
        cancel(client, dismissed).await,
        dismiss(client, cancelled).await,
    ];
    for outcome in wrong {
        let error = outcome.expect_err("closed");
        assert_eq!(error.reason(), ErrorReason::NotificationClosed);
    }
    assert!(dismiss(client, dismissed).await.is_ok(), "the same again");
    assert!(cancel(client, cancelled).await.is_ok(), "the same again");
}

#[tokio::test]
async fn the_history_tells_who_did_what_and_how_it_was_then() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Ship it?").await.id;
    soon(daemon.client().mark_notification_read(move_to(id)))
        .await
        .expect("read");
    daemon.respond(id, "yes").await.expect("answered");
    let history = soon(daemon.client().list_notification_events(id))
        .await
        .expect("a history");
    let kinds: Vec<ChangeKind> = history.iter().map(|event| event.kind()).collect();
    assert_eq!(
        kinds,
        [ChangeKind::Created, ChangeKind::Read, ChangeKind::Responded]
    );
    let actors: Vec<&str> = history.iter().map(|event| event.actor.as_str()).collect();
    assert_eq!(actors, ["tester", "ann", "ann"]);
    let states: Vec<NotificationState> = history
        .iter()
        .map(|event| event.notification.as_ref().expect("its state").state())
        .collect();
    assert_eq!(
        states,
        [
            NotificationState::Pending,
            NotificationState::Read,
            NotificationState::Responded
        ]
    );
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_by_any_call() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let outcomes = [
        soon(client.get_notification(99)).await.map(drop),
        soon(client.list_notification_events(99)).await.map(drop),
        soon(client.mark_notification_read(move_to(99)))
            .await
            .map(drop),
        soon(client.wait(99, None)).await.map(drop),
        daemon.respond(99, "yes").await.map(drop),
        dismiss(client, 99).await.map(drop),
        cancel(client, 99).await.map(drop),
    ];
    for outcome in outcomes {
        let error = outcome.expect_err("there is none");
        assert_eq!(error.reason(), ErrorReason::NotificationNotFound);
        let metadata = &error.rpc().expect("from the daemon").metadata;
        assert_eq!(metadata.get("id").map(String::as_str), Some("99"));
    }
}

#[tokio::test]
async fn a_batch_is_created_as_a_whole_or_not_at_all() {
    let daemon = TestDaemon::start().await;
    let good = vec![question("a"), question("b"), question("c")];
    let created = soon(daemon.client().batch_create_notifications(good))
        .await
        .expect("created");
    let ids: Vec<i64> = created.iter().map(|created| created.id).collect();
    assert_eq!(ids, [1, 2, 3]);
    let bad = vec![question("d"), question(""), question("f")];
    let error = soon(daemon.client().batch_create_notifications(bad))
        .await
        .expect_err("an empty title");
    let violations = &error.rpc().expect("from the daemon").field_violations;
    assert_eq!(violations[0].field, "requests[1].title");
    assert_eq!(daemon.ask("g").await.id, 4, "nothing of the batch was kept");
}
