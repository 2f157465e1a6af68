//! A database that the older Python tooling wrote: opens in place, is served without loss, and still works with that tooling.

use std::path::Path;

use barista_client::pb::notification::v1::{Notification, NotificationState, StartAt};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::support::{Foreign, Home, TestDaemon, by_id, every};

const ROWS: usize = 240;

/// What that tooling runs every time it starts.
const START: &str = "
    CREATE TABLE IF NOT EXISTS notifications (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        type TEXT NOT NULL,
        priority TEXT NOT NULL DEFAULT 'normal',
        title TEXT NOT NULL,
        message TEXT NOT NULL,
        context TEXT,
        status TEXT NOT NULL DEFAULT 'pending',
        user_response TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS idx_notifications_status ON notifications(status);
    CREATE INDEX IF NOT EXISTS idx_notifications_type ON notifications(type);
    CREATE INDEX IF NOT EXISTS idx_notifications_priority ON notifications(priority);
    CREATE INDEX IF NOT EXISTS idx_notifications_created_at ON notifications(created_at);";

/// A row as direct tooling reads it.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: i64,
    kind: String,
    priority: String,
    title: String,
    message: String,
    context: Option<String>,
    status: String,
    user_response: Option<String>,
    created_at: String,
    updated_at: String,
}

fn rows(foreign: &Foreign, condition: &str) -> Vec<Row> {
    let sql = format!(
        "SELECT id, type, priority, title, message, context, status, user_response, created_at, updated_at
           FROM notifications {condition}"
    );
    let mut statement = foreign.prepare(&sql).expect("a statement");
    let rows = statement
        .query_map([], |row| {
            Ok(Row {
                id: row.get(0)?,
                kind: row.get(1)?,
                priority: row.get(2)?,
                title: row.get(3)?,
                message: row.get(4)?,
                context: row.get(5)?,
                status: row.get(6)?,
                user_response: row.get(7)?,
                created_at: row.get(8)?,
                updated_at: row.get(9)?,
            })
        })
        .expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn legacy() -> Home {
    let fixture = "tests/fixtures/legacy/notifications.db";
    Home::with_database(&Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture))
}

/// A word of the vocabulary as the database has it, or the word outside it.
fn word(number: i32, name: &str, prefix: &str, custom: &str) -> String {
    if number == 0 {
        return custom.to_owned();
    }
    assert_eq!(custom, "");
    name.strip_prefix(prefix)
        .expect("the prefix")
        .to_lowercase()
}

fn time(text: &str) -> prost_types::Timestamp {
    let civil: DateTime = text.parse().expect("a time");
    let instant = civil.to_zoned(TimeZone::UTC).expect("UTC").timestamp();
    prost_types::Timestamp {
        seconds: instant.as_second(),
        nanos: instant.subsec_nanosecond(),
    }
}

/// Checks that everything in `row` is in `served`.
fn assert_served(served: &Notification, row: &Row) {
    let kind = word(
        served.r#type,
        served.r#type().as_str_name(),
        "NOTIFICATION_TYPE_",
        &served.custom_type,
    );
    let priority = word(
        served.priority,
        served.priority().as_str_name(),
        "PRIORITY_",
        &served.custom_priority,
    );
    let state = word(
        served.state,
        served.state().as_str_name(),
        "NOTIFICATION_STATE_",
        &served.custom_state,
    );
    assert_eq!(
        (kind, priority, state),
        (row.kind.clone(), row.priority.clone(), row.status.clone())
    );
    assert_eq!((&served.title, &served.message), (&row.title, &row.message));
    assert_eq!(served.context, row.context.clone().unwrap_or_default());
    let response = served.response.as_ref().map(|response| &response.text);
    assert_eq!(response, row.user_response.as_ref());
    assert_eq!(served.create_time, Some(time(&row.created_at)));
    assert_eq!(served.update_time, Some(time(&row.updated_at)));
}

#[tokio::test]
async fn a_legacy_database_is_served_without_loss() {
    let home = legacy();
    let before = rows(&home.foreign(), "ORDER BY id");
    assert_eq!(before.len(), ROWS);
    assert!(before.iter().any(|row| row.kind == "approval_request"));
    // Python escapes what is not ASCII in a context; the escapes must come back as they are.
    let escaped = |row: &Row| {
        row.context
            .as_ref()
            .is_some_and(|text| text.contains("\\u"))
    };
    assert!(before.iter().any(escaped), "contexts beyond ASCII");
    let daemon = TestDaemon::start_in(home).await;
    let served = by_id(every(daemon.client()).await);
    assert_eq!(served.len(), ROWS);
    for row in &before {
        assert_served(&served[&row.id], row);
    }
    let mut watch = daemon.watch(StartAt::Snapshot).await;
    assert!(served.into_values().eq(watch.snapshot().await));
    assert_eq!(rows(&daemon.foreign(), "ORDER BY id"), before, "unchanged");
}

#[tokio::test]
async fn an_open_legacy_question_can_be_answered() {
    let daemon = TestDaemon::start_in(legacy()).await;
    let pending = rows(&daemon.foreign(), "WHERE status = 'pending' LIMIT 1");
    let answered = daemon
        .respond(pending[0].id, "yes")
        .await
        .expect("answered");
    assert_eq!(answered.state(), NotificationState::Responded);
    let now = rows(&daemon.foreign(), &format!("WHERE id = {}", pending[0].id));
    assert_eq!(now[0].status, "responded");
    assert_eq!(now[0].user_response.as_deref(), Some("yes"));
}

/// With the daemon running, and after it.
#[tokio::test]
async fn the_older_tooling_still_works() {
    let daemon = TestDaemon::start_in(legacy()).await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let work = |foreign: &Foreign| {
        foreign.run(START);
        let id = foreign.insert("Asked by the older tooling");
        let open = rows(foreign, "WHERE status = 'pending' ORDER BY created_at DESC");
        assert!(open.iter().any(|row| row.id == id));
        let urgent = "WHERE status = 'pending' AND priority = 'critical' ORDER BY created_at";
        assert!(
            rows(foreign, urgent)
                .iter()
                .all(|row| row.priority == "critical")
        );
        foreign.run(&format!("UPDATE notifications SET status = 'read', updated_at = '2025-10-09T13:00:00' WHERE id = {id}"));
        foreign.respond(id, "yes");
        let row = &rows(foreign, &format!("WHERE id = {id}"))[0];
        assert_eq!(row.user_response.as_deref(), Some("yes"));
        row.clone()
    };
    let during = work(&daemon.foreign());
    let seen = watch.events(3).await;
    let last = seen[2].notification.as_ref().expect("a notification");
    assert_served(last, &during);
    assert_served(&daemon.get(during.id).await, &during);
    assert!(daemon.terminate().await.success());
    let after = work(&daemon.foreign());
    assert_eq!(after.id, during.id + 1);
}
