//! A clock that is set back, or forward: order and expiry keep to what they promised.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::domain::authority::Authority;
use crate::domain::notification::draft::Expiration;

use crate::domain::notifications::Notifications;

const START: i64 = 1_760_000_000_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A clock that a test sets.
struct Settable(AtomicI64);

impl Settable {
    fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Clock for Settable {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).expect("in range")
    }
}

fn asked(title: &str, ttl: Option<Duration>) -> Draft {
    Draft {
        request_id: None,
        owner: None,
        kind: NotificationType::Question,
        priority: Priority::Normal,
        title: title.to_owned(),
        message: String::new(),
        context: String::new(),
        agent: String::new(),
        session: String::new(),
        project: String::new(),
        tags: Vec::new(),
        options: Vec::new(),
        allow_multiple: false,
        allow_text: false,
        expiration: ttl.map(Expiration::After),
        default_response: String::new(),
        surface: String::new(),
    }
}

/// Lets expire what is due by the clock; returns how many.
async fn expire(bench: &Bench, clock: &Settable) -> usize {
    let call = Call {
        now: clock.now(),
        deadline: None,
    };
    bench
        .store
        .expire_due(10, call)
        .await
        .expect("an expiry")
        .count
}

/// Fails when `ALL_UP` in `list.rs` orders by `created_at`, or `DUE` in `notification.rs` does not compare with the present.
#[tokio::test]
async fn a_clock_that_is_set_back_changes_no_order_and_lets_nothing_expire_early_or_twice() {
    let bench = Bench::open();
    let clock = Arc::new(Settable(AtomicI64::new(START)));
    let store = Arc::clone(&bench.store) as Arc<dyn NotificationStore>;
    let notifications = Notifications::new(store, Arc::clone(&clock) as Arc<dyn Clock>);
    let minute = Some(Duration::from_secs(60));
    let create = |title: &'static str, ttl| notifications.create(asked(title, ttl), None);
    let first = create("before", minute).await.expect("created");
    clock.set(START - DAY);
    let second = create("a day earlier", minute).await.expect("created");
    assert!(second.id > first.id && second.sequence > first.sequence);
    assert_eq!(expire(&bench, &clock).await, 0, "both are still to come");
    // The second one's time has come, the first one's has not.
    clock.set(START - DAY + 61 * SECOND);
    assert_eq!(expire(&bench, &clock).await, 1);
    clock.set(START - 2 * DAY);
    assert_eq!(expire(&bench, &clock).await, 0);
    let state = |found: Notification| found.state.known();
    let second = notifications
        .get(second.id, Authority::Person)
        .await
        .expect("it exists");
    assert_eq!(state(second), Some(State::Expired), "it stays what it is");
    clock.set(START + 61 * SECOND);
    assert_eq!(expire(&bench, &clock).await, 1);
    let first = notifications
        .get(first.id, Authority::Person)
        .await
        .expect("it exists");
    assert_eq!(state(first), Some(State::Expired));
    let query = ListQuery {
        filter: Filter::default(),
        order: Order::OldestFirst,
        size: 10,
        after: None,
    };
    let page = notifications.list(query).await.expect("a page");
    let titles: Vec<&str> = page
        .notifications
        .iter()
        .map(|n| n.title.as_str())
        .collect();
    assert_eq!(titles, ["before", "a day earlier"]);
    let changes = bench.store.changes_after(0, 10).await.expect("changes");
    let kinds: Vec<ChangeKind> = changes.iter().map(|change| change.kind).collect();
    use ChangeKind::{Created, Expired};
    assert_eq!(kinds, [Created, Created, Expired, Expired]);
}
