//! Lists, page by page.

use barista_client::pb::notification::v1::{
    CreateNotificationRequest, Cursor, ListNotificationsRequest, ListOrder, Notification,
    NotificationFilter, NotificationState, NotificationType, Priority, WatchNotificationsRequest,
};

use crate::support::{TestDaemon, every, info, question, soon, titles};

fn urgent(title: &str, priority: Priority) -> CreateNotificationRequest {
    CreateNotificationRequest {
        priority: priority.into(),
        ..question(title)
    }
}

async fn list(daemon: &TestDaemon, request: ListNotificationsRequest) -> Vec<Notification> {
    let mut request = request;
    let mut all = Vec::new();
    loop {
        let page = soon(daemon.client().list_notifications(request.clone()))
            .await
            .expect("a page");
        all.extend(page.notifications);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

async fn three(daemon: &TestDaemon) {
    let batch = vec![
        urgent("low", Priority::Low),
        urgent("critical", Priority::Critical),
        CreateNotificationRequest {
            agent: "other".into(),
            ..info("notice")
        },
    ];
    soon(daemon.client().batch_create_notifications(batch))
        .await
        .expect("created");
}

#[tokio::test]
async fn a_list_comes_in_the_order_asked_for_whatever_the_pages_size() {
    let daemon = TestDaemon::start().await;
    three(&daemon).await;
    let expected = [
        (ListOrder::Unspecified, ["notice", "critical", "low"]),
        (ListOrder::NewestFirst, ["notice", "critical", "low"]),
        (ListOrder::OldestFirst, ["low", "critical", "notice"]),
        (ListOrder::MostUrgentFirst, ["critical", "notice", "low"]),
    ];
    for (order, expected) in expected {
        for page_size in [0, 1, 2, 1000, i32::MAX] {
            let request = ListNotificationsRequest {
                order: order.into(),
                page_size,
                ..ListNotificationsRequest::default()
            };
            let listed = list(&daemon, request).await;
            assert_eq!(titles(&listed), expected, "{order:?} by {page_size}");
        }
    }
}

#[tokio::test]
async fn a_filter_lets_through_what_matches_all_of_it() {
    let daemon = TestDaemon::start().await;
    three(&daemon).await;
    daemon.respond(1, "yes").await.expect("answered");
    let filtered = |filter| ListNotificationsRequest {
        filter: Some(filter),
        ..ListNotificationsRequest::default()
    };
    let cases: [(NotificationFilter, &[&str]); 5] = [
        (
            NotificationFilter {
                types: vec![NotificationType::Question.into()],
                ..NotificationFilter::default()
            },
            &["critical", "low"],
        ),
        (
            NotificationFilter {
                priorities: vec![Priority::Normal.into(), Priority::Low.into()],
                ..NotificationFilter::default()
            },
            &["notice", "low"],
        ),
        (
            NotificationFilter {
                states: vec![NotificationState::Pending.into()],
                agent: "tester".into(),
                ..NotificationFilter::default()
            },
            &["critical"],
        ),
        (
            NotificationFilter {
                agent: "other".into(),
                ..NotificationFilter::default()
            },
            &["notice"],
        ),
        (
            NotificationFilter {
                project: "none".into(),
                ..NotificationFilter::default()
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        let listed = list(&daemon, filtered(filter.clone())).await;
        assert_eq!(titles(&listed), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_list_of_large_notifications_is_cut_into_short_pages_and_is_complete() {
    let daemon = TestDaemon::start().await;
    let large = |number: usize| CreateNotificationRequest {
        message: "m".repeat(60 * 1024),
        ..question(&format!("{number}"))
    };
    for batch in 0..4 {
        let requests = (batch * 30..(batch + 1) * 30).map(large).collect();
        soon(daemon.client().batch_create_notifications(requests))
            .await
            .expect("created");
    }
    let request = ListNotificationsRequest {
        page_size: 1000,
        ..ListNotificationsRequest::default()
    };
    let page = soon(daemon.client().list_notifications(request))
        .await
        .expect("a page");
    assert!(page.notifications.len() < 120 && !page.next_page_token.is_empty());
    assert_eq!(every(daemon.client()).await.len(), 120);
}

#[tokio::test]
async fn a_watch_from_a_lists_cursor_misses_nothing_that_is_newer() {
    let daemon = TestDaemon::start().await;
    three(&daemon).await;
    let page = soon(
        daemon
            .client()
            .list_notifications(ListNotificationsRequest::default()),
    )
    .await
    .expect("a page");
    let cursor: Cursor = page.cursor.expect("a cursor");
    let next = daemon.ask("newer").await;
    let request = WatchNotificationsRequest {
        after: Some(cursor),
        ..WatchNotificationsRequest::default()
    };
    let event = daemon.follow(request).await.event().await;
    assert_eq!(event.notification, Some(next));
}
