//! What every store must do about forgetting.

use std::sync::Arc;
use std::time::Duration;

use super::{Store, answer, at, call, change, create, question, valid};
use crate::domain::change::{ChangeKind, Cursor};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::consumer::store::{Acknowledge, ConsumerStore, NewConsumer};
use crate::domain::consumer::{LagLimits, Origin, Place};
use crate::domain::error::Error;
use crate::domain::notification::store::{NotificationStore, Transition};
use crate::domain::retention::{Hold, Policy, Report, Retention, RetentionStore};

/// A store under test, all sides of it.
pub(crate) struct Stores {
    pub(crate) notifications: Arc<dyn NotificationStore>,
    pub(crate) consumers: Arc<dyn ConsumerStore>,
    pub(crate) retention: Arc<dyn RetentionStore>,
}

const HOUR: i64 = 3_600;
/// Keeps everything.
const POLICY: Policy = Policy {
    journal_max_age: Duration::from_secs(1_000 * HOUR as u64),
    journal_max_events: 1_000_000,
    closed_max_age: None,
    limits: LagLimits {
        max_events: 1_000,
        max_age: Duration::from_secs(100 * HOUR as u64),
    },
};

/// A clock that stands still so many seconds after everything here was made.
struct Later(i64);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        at(self.0)
    }
}

impl Stores {
    fn retention(&self, policy: Policy, seconds: i64) -> Retention {
        let store = Arc::clone(&self.retention);
        Retention::new(
            store,
            Arc::new(Later(seconds)),
            policy,
            Duration::from_secs(1),
        )
    }

    /// Applies `policy`, after checking that the survey changes nothing and says the same.
    async fn apply(&self, policy: Policy, seconds: i64) -> Report {
        let retention = self.retention(policy, seconds);
        let before = self.notifications.bounds().await.expect("bounds");
        let survey = retention.survey().await.expect("a survey");
        assert_eq!(self.notifications.bounds().await.expect("bounds"), before);
        let report = retention.apply().await.expect("applied");
        assert_eq!(survey.amounts, report.amounts);
        assert_eq!(survey.cut, report.cut);
        assert_eq!(survey.oldest, report.oldest);
        report
    }

    async fn questions(&self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(
                create(&self.notifications, question(&number.to_string()))
                    .await
                    .id,
            );
        }
        ids
    }

    async fn consumer(&self, name: &str, acknowledged: i64) {
        let new = NewConsumer {
            name: name.to_owned(),
            place: Place::Oldest,
            request_id: None,
        };
        self.consumers
            .create_consumer(new, call(0))
            .await
            .expect("created");
        let through = Cursor {
            epoch: None,
            sequence: acknowledged,
        };
        let acknowledge = Acknowledge {
            name: name.to_owned(),
            through,
            origin: Origin::default(),
        };
        self.consumers
            .acknowledge(acknowledge, call(0))
            .await
            .expect("moved");
    }
}

fn keep(events: u64) -> Policy {
    Policy {
        journal_max_events: events,
        ..POLICY
    }
}

fn rows(report: &Report) -> [u64; 3] {
    report.amounts.map(|amount| amount.rows)
}

pub(crate) async fn nothing_goes_that_the_policy_keeps(stores: Stores) {
    stores.questions(3).await;
    let report = stores.apply(POLICY, 10).await;
    assert_eq!((rows(&report), report.oldest), ([0; 3], 1));
}

pub(crate) async fn the_journal_keeps_so_many_changes_and_always_the_last(stores: Stores) {
    stores.questions(5).await;
    let report = stores.apply(keep(2), 10).await;
    assert_eq!((rows(&report), report.oldest), ([3, 0, 0], 4));
    assert!(report.amounts[0].bytes > 0);
    let bounds = stores.notifications.bounds().await.expect("bounds");
    assert_eq!((bounds.oldest, bounds.head), (4, 5));
    let kept = stores
        .notifications
        .changes_after(3, 10)
        .await
        .expect("kept");
    assert_eq!(kept.len(), 2);
    let refused = stores.notifications.changes_after(2, 10).await;
    assert!(matches!(
        refused,
        Err(Error::SequenceCompacted { after: 2, .. })
    ));
    let aged = Policy {
        journal_max_age: Duration::from_secs(1),
        ..POLICY
    };
    let report = stores.apply(aged, 10).await;
    assert_eq!((rows(&report), report.oldest), ([1, 0, 0], 5));
    stores.questions(1).await;
    assert_eq!(stores.notifications.bounds().await.expect("bounds").head, 6);
    assert_eq!(stores.notifications.get(1).await.expect("untouched").id, 1);
}

pub(crate) async fn changes_go_by_their_age(stores: Stores) {
    stores.questions(2).await;
    let late = question("late").validate(at(50 * HOUR)).expect("valid");
    stores
        .notifications
        .create(vec![late], call(50 * HOUR))
        .await
        .expect("created");
    let aged = Policy {
        journal_max_age: Duration::from_secs(24 * HOUR as u64),
        ..POLICY
    };
    let early = stores.apply(aged, 23 * HOUR).await;
    assert_eq!(rows(&early), [0; 3]);
    let report = stores.apply(aged, 51 * HOUR).await;
    assert_eq!((rows(&report), report.oldest), ([2, 0, 0], 3));
}

/// A clock that was ahead is set right: what it dated is not old because its time is still to come. It goes with the first change after it that
/// is old, however far ahead the clock was.
///
/// Fails when `old_changes` of the store lets a change in the future count as old, or stops at it.
pub(crate) async fn what_a_clock_ahead_has_dated_is_as_old_as_what_came_after_it(stores: Stores) {
    for hours in [5_000, 5_000, 0, 1] {
        let new = question("dated").validate(at(hours * HOUR)).expect("valid");
        let created = stores.notifications.create(vec![new], call(hours * HOUR));
        created.await.expect("created");
    }
    let aged = Policy {
        journal_max_age: Duration::from_secs(24 * HOUR as u64),
        ..POLICY
    };
    let early = stores.apply(aged, 2 * HOUR).await;
    assert_eq!((rows(&early), early.oldest), ([0; 3], 1));
    let report = stores.apply(aged, 24 * HOUR + 1).await;
    assert_eq!((rows(&report), report.oldest), ([3, 0, 0], 4));
}

pub(crate) async fn changes_in_the_future_go_when_there_are_too_many(stores: Stores) {
    for _ in 0..3 {
        let new = question("ahead").validate(at(50 * HOUR)).expect("valid");
        let created = stores.notifications.create(vec![new], call(50 * HOUR));
        created.await.expect("created");
    }
    let report = stores.apply(keep(2), 10).await;
    assert_eq!((rows(&report), report.oldest), ([1, 0, 0], 2));
}

pub(crate) async fn a_consumer_holds_back_what_it_has_not_acknowledged(stores: Stores) {
    stores.questions(8).await;
    stores.consumer("slow", 3).await;
    stores.consumer("quick", 7).await;
    let report = stores.apply(keep(2), 10).await;
    assert_eq!((rows(&report), report.oldest), ([3, 0, 0], 4));
    let hold = Hold {
        consumer: "slow".to_owned(),
        acknowledged: 3,
        changes: 3,
    };
    assert_eq!(report.cut.holds, [hold]);
    assert_eq!(report.cut.left_behind, [""; 0]);
    assert!(stores.notifications.changes_after(3, 10).await.is_ok());
}

pub(crate) async fn a_consumer_beyond_its_limits_holds_nothing_back(stores: Stores) {
    stores.questions(8).await;
    stores.consumer("slow", 3).await;
    let mut policy = keep(2);
    policy.limits.max_events = 4;
    let report = stores.apply(policy, 10).await;
    assert_eq!((rows(&report), report.oldest), ([6, 0, 0], 7));
    assert_eq!(report.cut.left_behind, ["slow"]);
    assert_eq!(report.cut.holds, []);
    // It is told once.
    stores.questions(2).await;
    let again = stores.apply(policy, 10).await;
    assert_eq!(rows(&again), [2, 0, 0]);
    assert_eq!(again.cut.left_behind, [""; 0]);
}

pub(crate) async fn only_what_was_closed_long_ago_goes_and_watchers_hear_of_it(stores: Stores) {
    let ids = stores.questions(4).await;
    let store = &stores.notifications;
    store
        .respond(answer(ids[0], "yes", "ann"), call(HOUR))
        .await
        .expect("answered");
    let dismiss = change(ids[1], Transition::Dismiss);
    store
        .transition(dismiss, call(90 * HOUR))
        .await
        .expect("dismissed");
    let read = change(ids[2], Transition::Read);
    store.transition(read, call(HOUR)).await.expect("read");
    let policy = Policy {
        closed_max_age: Some(Duration::from_secs(48 * HOUR as u64)),
        ..POLICY
    };
    let head = *store.head().borrow();
    let report = stores.apply(policy, 100 * HOUR).await;
    assert_eq!(rows(&report), [0, 0, 1]);
    let gone = store.get(ids[0]).await;
    assert!(matches!(gone, Err(Error::NotificationNotFound { .. })));
    for id in &ids[1..] {
        assert!(store.get(*id).await.is_ok(), "{id}");
    }
    let events = store.changes_after(0, 100).await.expect("changes");
    let told = events.last().expect("a deletion");
    assert_eq!(
        (
            told.sequence,
            told.kind,
            told.notification.id,
            told.surface.as_str()
        ),
        (head + 1, ChangeKind::Deleted, ids[0], "retention")
    );
    // The journal still tells the whole story.
    assert_eq!(events[0].notification.title, "0");
    assert!(!events[0].notification.message.is_empty());
}

pub(crate) async fn content_goes_with_the_last_change_that_needs_it(stores: Stores) {
    let ids = stores.questions(3).await;
    let store = &stores.notifications;
    store
        .respond(answer(ids[0], "yes", "ann"), call(HOUR))
        .await
        .expect("answered");
    let closed = Policy {
        closed_max_age: Some(Duration::from_secs(48 * HOUR as u64)),
        ..POLICY
    };
    assert_eq!(rows(&stores.apply(closed, 100 * HOUR).await), [0, 0, 1]);
    // Changes 1 to 5: three creations, an answer, the deletion. The deletion itself still needs it.
    assert_eq!(rows(&stores.apply(keep(1), 100 * HOUR).await), [4, 0, 0]);
    let told = store.changes_after(4, 10).await.expect("the deletion");
    assert!(told[0].has_content);
    stores.questions(1).await;
    assert_eq!(rows(&stores.apply(keep(1), 100 * HOUR).await), [1, 1, 0]);
}

pub(crate) async fn a_deletion_whose_story_is_gone_tells_only_what_filters_need(stores: Stores) {
    let ids = stores.questions(2).await;
    let store = &stores.notifications;
    store
        .respond(answer(ids[0], "yes", "ann"), call(HOUR))
        .await
        .expect("answered");
    stores.questions(1).await;
    assert_eq!(rows(&stores.apply(keep(1), 10).await), [3, 0, 0]);
    let closed = Policy {
        closed_max_age: Some(Duration::from_secs(48 * HOUR as u64)),
        ..POLICY
    };
    assert_eq!(rows(&stores.apply(closed, 100 * HOUR).await), [0, 0, 1]);
    let told = store.changes_after(4, 10).await.expect("the deletion");
    let tombstone = &told[0].notification;
    assert!(told[0].has_content && tombstone.message.is_empty());
    assert_eq!(
        (tombstone.agent.as_str(), tombstone.project.as_str()),
        ("agent", "project")
    );
}

pub(crate) async fn many_rows_go_in_steps(stores: Stores) {
    let store: &Store = &stores.notifications;
    for _ in 0..3 {
        let drafts = (0..400)
            .map(|number| valid(question(&number.to_string())))
            .collect();
        store.create(drafts, call(0)).await.expect("created");
    }
    let report = stores.apply(keep(10), 10).await;
    assert_eq!((rows(&report), report.oldest), ([1_190, 0, 0], 1_191));
}

macro_rules! retention_conformance_tests {
    ($fresh:expr) => {
        $crate::store::conformance::retention::retention_conformance_tests!(@each $fresh;
            nothing_goes_that_the_policy_keeps
            the_journal_keeps_so_many_changes_and_always_the_last
            changes_go_by_their_age
            what_a_clock_ahead_has_dated_is_as_old_as_what_came_after_it
            changes_in_the_future_go_when_there_are_too_many
            a_consumer_holds_back_what_it_has_not_acknowledged
            a_consumer_beyond_its_limits_holds_nothing_back
            only_what_was_closed_long_ago_goes_and_watchers_hear_of_it
            content_goes_with_the_last_change_that_needs_it
            a_deletion_whose_story_is_gone_tells_only_what_filters_need
            many_rows_go_in_steps
        );
    };
    (@each $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (stores, _bench) = $fresh;
                $crate::store::conformance::retention::$case(stores).await;
            }
        )*
    };
}
pub(crate) use retention_conformance_tests;
