use tonic::Code;

use super::super::testing::{Shelf, reason};
use super::*;

fn handler(shelf: &Shelf) -> Handler {
    let limits = Limits {
        watchers: 1,
        waiters: 1,
        ..Limits::default()
    };
    let services = shelf.services();
    Handler::new(&services, &limits, TaskTracker::new(), shelf.stop.clone())
}

/// A request on behalf of a person, as the border lets it through.
fn by_person<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Authority::Person);
    request
}

fn question(title: &str) -> pb::CreateNotificationRequest {
    pb::CreateNotificationRequest {
        r#type: pb::NotificationType::Question.into(),
        title: title.to_owned(),
        agent: "a".to_owned(),
        ..Default::default()
    }
}

async fn create(handler: &Handler, title: &str) -> i64 {
    let reply = handler.create_notification(by_person(question(title)));
    let notification = reply.await.expect("created").into_inner().notification;
    notification.expect("a notification").id
}

fn field_of(status: &Status) -> String {
    use tonic_types::StatusExt;
    let request = status.get_details_bad_request().expect("a BadRequest");
    request.field_violations[0].field.clone()
}

#[tokio::test]
async fn a_question_is_created_answered_and_tells_its_history() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    let id = create(&handler, "Deploy?").await;
    let respond = |text: &str| pb::RespondNotificationRequest {
        id,
        text: text.to_owned(),
        responder: "ada".to_owned(),
        surface: "cli".to_owned(),
        ..Default::default()
    };
    let answered = handler.respond_notification(by_person(respond("yes")));
    let answered = answered.await.expect("answered").into_inner().notification;
    let answered = answered.expect("a notification");
    assert_eq!(answered.state(), pb::NotificationState::Responded);
    assert_eq!(answered.response.expect("a response").text, "yes");
    let late = handler.respond_notification(by_person(respond("no")));
    let refusal = late.await.expect_err("closed");
    assert_eq!(reason(&refusal), "NOTIFICATION_CLOSED");
    let history = handler.list_notification_events(by_person(pb::ListNotificationEventsRequest {
        id,
        ..Default::default()
    }));
    let history = history.await.expect("a history").into_inner();
    let kinds: Vec<_> = history
        .events
        .iter()
        .map(pb::NotificationEvent::kind)
        .collect();
    assert_eq!(kinds, [pb::ChangeKind::Created, pb::ChangeKind::Responded]);
    assert_eq!(history.next_page_token, "");
}

#[tokio::test]
async fn a_history_comes_in_pages_without_a_gap() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    let id = create(&handler, "Deploy?").await;
    for transition in [Transition::Read, Transition::Cancel] {
        let change = Move {
            id,
            transition,
            actor: field::actor(String::new(), String::new()),
            authority: Authority::Person,
        };
        handler.move_to(change, None).await.expect("moved");
    }
    let mut token = String::new();
    let mut sequences = Vec::new();
    for last in [false, false, true] {
        let request = pb::ListNotificationEventsRequest {
            id,
            page_size: 1,
            page_token: token,
        };
        let page = handler.list_notification_events(by_person(request));
        let page = page.await.expect("a page").into_inner();
        sequences.extend(page.events.iter().map(|event| event.sequence));
        token = page.next_page_token;
        assert_eq!(token.is_empty(), last);
    }
    assert_eq!(sequences, [1, 2, 3]);
}

#[tokio::test]
async fn a_list_comes_in_pages_whose_tokens_fit_the_same_filter_only() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    for title in ["one", "two", "three"] {
        create(&handler, title).await;
    }
    let request = |agent: &str, page_token: &str| {
        let filter = pb::NotificationFilter {
            agent: agent.to_owned(),
            ..Default::default()
        };
        by_person(pb::ListNotificationsRequest {
            filter: Some(filter),
            page_size: 2,
            page_token: page_token.to_owned(),
            ..Default::default()
        })
    };
    let first = handler.list_notifications(request("a", "")).await;
    let first = first.expect("a page").into_inner();
    let ids = |page: &pb::ListNotificationsResponse| {
        page.notifications.iter().map(|n| n.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), [3, 2]);
    assert_eq!(first.cursor.as_ref().map(|cursor| cursor.sequence), Some(3));
    let token = first.next_page_token;
    let second = handler.list_notifications(request("a", &token)).await;
    let second = second.expect("a page").into_inner();
    assert_eq!(ids(&second), [1]);
    let other = handler.list_notifications(request("b", &token)).await;
    assert_eq!(field_of(&other.expect_err("another filter")), "page_token");
}

#[tokio::test]
async fn a_bad_notification_in_a_batch_is_named_and_nothing_is_created() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    for (bad, field) in [
        (pb::CreateNotificationRequest::default(), "requests[1].type"),
        (question(""), "requests[1].title"),
    ] {
        let request = pb::BatchCreateNotificationsRequest {
            requests: vec![question("fine"), bad],
        };
        let refusal = handler.batch_create_notifications(by_person(request));
        assert_eq!(field_of(&refusal.await.expect_err("refused")), field);
    }
    assert_eq!(
        shelf.notifications.count_open(10).await.expect("a count"),
        0
    );
}

#[tokio::test]
async fn a_wait_ends_with_the_answer() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    let id = create(&handler, "Deploy?").await;
    let request = pb::WaitNotificationRequest { id, timeout: None };
    let mut wait = Box::pin(handler.wait_notification(by_person(request)));
    // Until the wait is registered.
    while shelf.notifications.feed().waiters() == 0 {
        assert!(futures_util::poll!(&mut wait).is_pending());
    }
    let refusal = handler.wait_notification(by_person(request)).await;
    assert_eq!(reason(&refusal.expect_err("one slot")), "TOO_MANY_STREAMS");
    let dismiss = pb::DismissNotificationRequest {
        id,
        ..Default::default()
    };
    let dismissed = handler.dismiss_notification(by_person(dismiss)).await;
    dismissed.expect("dismissed");
    let waited = wait.await.expect("ended").into_inner().notification;
    let state = waited.expect("a notification").state();
    assert_eq!(state, pb::NotificationState::Dismissed);
}

#[tokio::test]
async fn a_wait_of_zero_answers_at_once_and_a_negative_one_is_refused() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    let id = create(&handler, "Deploy?").await;
    let wait = |seconds| {
        let timeout = Some(prost_types::Duration { seconds, nanos: 0 });
        handler.wait_notification(by_person(pb::WaitNotificationRequest { id, timeout }))
    };
    let open = wait(0).await.expect("at once").into_inner().notification;
    let state = open.expect("a notification").state();
    assert_eq!(state, pb::NotificationState::Pending);
    assert_eq!(field_of(&wait(-1).await.expect_err("negative")), "timeout");
}

#[tokio::test]
async fn a_wait_has_a_default_and_a_limit() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    let id = create(&handler, "Deploy?").await;
    for (timeout, expected) in [(None, 50), (Some(100_000), 600)] {
        let timeout = timeout.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        let request = pb::WaitNotificationRequest { id, timeout };
        let reply = handler.wait_notification(by_person(request)).await;
        assert!(reply.is_ok());
        assert_eq!(start.elapsed().as_secs(), expected);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_shutdown_ends_a_wait() {
    let shelf = Shelf::new();
    let handler = handler(&shelf);
    let id = create(&handler, "Deploy?").await;
    shelf.stop.cancel();
    let request = pb::WaitNotificationRequest { id, timeout: None };
    let status = handler.wait_notification(by_person(request)).await;
    let status = status.expect_err("stopping");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "SHUTTING_DOWN");
}

#[test]
fn a_cursor_excludes_another_start() {
    let after = || Some(pb::Cursor::default());
    assert!(matches!(watch_start(None, 0), Ok(None)));
    assert!(matches!(
        watch_start(None, 3),
        Ok(Some(WatchStart::Snapshot))
    ));
    assert!(matches!(
        watch_start(after(), 0),
        Ok(Some(WatchStart::After(_)))
    ));
    for (after, start_at) in [(after(), 1), (None, 4), (after(), -1)] {
        let refusal = watch_start(after, start_at);
        assert!(matches!(refusal, Err(Error::InvalidField { field, .. }) if field == "start_at"),);
    }
}
