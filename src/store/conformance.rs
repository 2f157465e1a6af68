//! What every store must do, whatever keeps its data. Each back end runs all of this on a fresh store.

pub(crate) mod analytics;
pub(crate) mod consumer;
mod journal;
mod list;
pub(crate) mod retention;
pub(crate) mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::domain::authority::{Authority, Owner};
use crate::domain::change::ChangeKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::Error;
use crate::domain::notification::draft::{Draft, Expiration, NewNotification};
use crate::domain::notification::filter::{Filter, Order, PageKey, Selection};
use crate::domain::notification::response::Actor;
use crate::domain::notification::store::{
    Call, ListQuery, Move, NotificationStore, Respond, Transition,
};
use crate::domain::notification::{Choice, Notification, NotificationType, Priority, State};
use crate::domain::word::Word;

pub(crate) use self::journal::{
    a_cursor_ahead_of_the_head_is_unknown, a_replay_shows_each_notification_as_it_was,
    a_snapshot_continues_without_gap_or_repetition, concurrent_writers_leave_no_gap_for_a_reader,
    the_journal_tells_each_change_once_in_order,
};
pub(crate) use self::list::{
    a_page_key_beyond_the_end_is_an_empty_page, filters_choose_by_every_field,
    lists_have_every_order_and_no_duplicates_across_pages,
    open_notifications_are_counted_up_to_a_limit,
};

/// A store under test.
type Store = Arc<dyn NotificationStore>;

/// The time at which everything here happens, unless it happens later.
const NOW: i64 = 1_760_000_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW + seconds * 1_000_000).expect("in range")
}

fn call(seconds: i64) -> Call {
    Call {
        now: at(seconds),
        deadline: None,
    }
}

/// A question with the options yes and no.
fn question(title: &str) -> Draft {
    let option = |name: &str| Choice {
        name: name.to_owned(),
        description: format!("say {name}"),
    };
    Draft {
        request_id: None,
        kind: NotificationType::Question,
        priority: Priority::Normal,
        title: title.to_owned(),
        message: "with \"quotes\"\nand 'lines' — ünïcode".to_owned(),
        context: r#"{"a": [1, {"b": null}]}"#.to_owned(),
        agent: "agent".to_owned(),
        session: "session".to_owned(),
        project: "project".to_owned(),
        tags: vec!["one".to_owned(), "two".to_owned()],
        options: vec![option("yes"), option("no")],
        allow_multiple: false,
        allow_text: false,
        expiration: None,
        default_response: String::new(),
        surface: "test".to_owned(),
        owner: None,
    }
}

fn valid(draft: Draft) -> NewNotification {
    draft.validate(at(0)).expect("a valid draft")
}

async fn create(store: &Store, draft: Draft) -> Notification {
    store
        .create(vec![valid(draft)], call(0))
        .await
        .expect("created")
        .remove(0)
}

fn answer(id: i64, text: &str, responder: &str) -> Respond {
    Respond {
        id,
        text: text.to_owned(),
        options: Vec::new(),
        actor: Actor {
            name: responder.to_owned(),
            surface: "test".to_owned(),
        },
        request_id: None,
    }
}

fn change(id: i64, transition: Transition) -> Move {
    Move {
        id,
        transition,
        actor: Actor {
            name: "ann".to_owned(),
            surface: "cli".to_owned(),
        },
        authority: Authority::Person,
    }
}

fn everything(size: usize) -> ListQuery {
    ListQuery {
        filter: Filter::default(),
        order: Order::OldestFirst,
        size,
        after: None,
    }
}

/// Follows the pages of `query` and returns the ids.
async fn ids(store: &Store, mut query: ListQuery) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let page = store.list(query.clone()).await.expect("a page");
        assert!(page.notifications.len() <= query.size);
        ids.extend(
            page.notifications
                .iter()
                .map(|notification| notification.id),
        );
        match page.next {
            Some(next) => query.after = Some(next),
            None => return ids,
        }
    }
}

async fn kinds(store: &Store, after: i64) -> Vec<(i64, ChangeKind)> {
    let changes = store.changes_after(after, 1_000).await.expect("changes");
    changes
        .iter()
        .map(|change| (change.notification.id, change.kind))
        .collect()
}

pub(crate) async fn what_is_created_is_read_back_whole(store: Store) {
    let mut draft = question("Deploy?");
    draft.expiration = Some(Expiration::After(Duration::from_secs(60)));
    draft.default_response = "no".to_owned();
    draft.allow_text = true;
    let created = create(&store, draft).await;
    assert_eq!(created.expire_time, Some(at(60)));
    assert_eq!(created.sequence, 1);
    assert_eq!(store.get(created.id).await.expect("there"), created);
}

pub(crate) async fn an_unknown_id_is_not_found(store: Store) {
    for id in [1, i64::MAX] {
        assert!(
            matches!(store.get(id).await, Err(Error::NotificationNotFound { id: i }) if i == id)
        );
        let refused = store.respond(answer(id, "yes", "ann"), call(0)).await;
        assert!(matches!(refused, Err(Error::NotificationNotFound { .. })));
        let refused = store
            .transition(change(id, Transition::Read), call(0))
            .await;
        assert!(matches!(refused, Err(Error::NotificationNotFound { .. })));
    }
}

pub(crate) async fn a_batch_is_all_or_nothing(store: Store) {
    let first = Uuid::from_u128(1);
    create(
        &store,
        Draft {
            request_id: Some(first),
            ..question("first")
        },
    )
    .await;
    let batch = vec![
        valid(question("a")),
        valid(Draft {
            request_id: Some(first),
            ..question("other")
        }),
    ];
    let refused = store.create(batch, call(0)).await;
    assert!(matches!(refused, Err(Error::RequestIdReused { .. })));
    assert_eq!(ids(&store, everything(10)).await.len(), 1);
    assert_eq!(*store.head().borrow(), 1);
}

pub(crate) async fn owners_are_kept_and_keep_each_other_out(store: Store) {
    let owner = |byte| Some(Owner::new([byte; Owner::BYTES]));
    let of = |owner| Draft {
        request_id: Some(Uuid::from_u128(9)),
        owner,
        ..question("Deploy?")
    };
    let nobodys = create(&store, of(None)).await;
    let first = create(&store, of(owner(1))).await;
    let second = create(&store, of(owner(2))).await;
    assert_eq!(
        create(&store, of(owner(2))).await,
        second,
        "one id for each"
    );
    assert_ne!(first.id, nobodys.id);
    assert_eq!(store.get(first.id).await.expect("there").owner, owner(1));
    let cancel = |id, authority| Move {
        authority,
        ..change(id, Transition::Cancel)
    };
    let agent = Authority::Agent(Owner::new([1; Owner::BYTES]));
    for other in [nobodys.id, second.id] {
        let refused = store.transition(cancel(other, agent), call(1)).await;
        assert!(matches!(refused, Err(Error::NotificationNotFound { id }) if id == other));
    }
    let cancelled = store.transition(cancel(first.id, agent), call(1)).await;
    assert_eq!(cancelled.expect("its own").owner, owner(1));
    let query = ListQuery {
        filter: Filter {
            owner: owner(1),
            ..Filter::default()
        },
        ..everything(10)
    };
    let page = store.list(query).await.expect("a page");
    assert_eq!(page.notifications.len(), 1);
    let changes = store.changes_after(0, 10).await.expect("changes");
    let owners: Vec<_> = changes
        .iter()
        .map(|change| change.notification.owner)
        .collect();
    assert_eq!(owners, [None, owner(1), owner(2), owner(1)]);
}

pub(crate) async fn a_request_id_creates_once(store: Store) {
    let request_id = Some(Uuid::from_u128(7));
    let draft = Draft {
        request_id,
        ..question("once")
    };
    let first = create(&store, draft.clone()).await;
    assert_eq!(create(&store, draft.clone()).await, first);
    let other = Draft {
        message: "other".to_owned(),
        ..draft.clone()
    };
    let refused = store.create(vec![valid(other.clone())], call(0)).await;
    assert!(matches!(refused, Err(Error::RequestIdReused { id, .. }) if id == first.id));
    // A repetition may come after the time at which it should expire.
    let brief = Draft {
        request_id: Some(Uuid::from_u128(8)),
        expiration: Some(Expiration::At(at(60))),
        ..question("brief")
    };
    let made = create(&store, brief.clone()).await;
    let again = brief
        .clone()
        .validate(at(120))
        .expect("valid, as it may be a repetition");
    let again = store
        .create(vec![again], call(120))
        .await
        .expect("the same");
    assert_eq!(again[0].id, made.id);
    let late = Draft {
        request_id: Some(Uuid::from_u128(9)),
        ..brief
    };
    let late = late
        .validate(at(120))
        .expect("valid, as it may be a repetition");
    let refused = store.create(vec![late], call(120)).await;
    assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "expire_time"));
    let tomorrow = other.validate(at(24 * 60 * 60)).expect("valid");
    let created = store
        .create(vec![tomorrow], call(24 * 60 * 60))
        .await
        .expect("forgotten");
    assert_ne!(created[0].id, first.id);
}

pub(crate) async fn the_first_response_wins(store: Store) {
    let id = create(&store, question("Deploy?")).await.id;
    let answered = store
        .respond(answer(id, "yes", "ann"), call(1))
        .await
        .expect("answered");
    assert_eq!(answered.state, Word::Known(State::Responded));
    assert_eq!(store.get(id).await.expect("there"), answered);
    let response = answered.response.as_ref().expect("a response");
    assert_eq!(
        (response.text.as_str(), response.responder.as_str()),
        ("yes", "ann")
    );
    assert_eq!((response.time, response.is_default), (Some(at(1)), false));
    for late in [answer(id, "no", "ann"), answer(id, "yes", "bob")] {
        let refused = store.respond(late, call(2)).await;
        let Err(Error::NotificationClosed(closed)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (closed.by.as_str(), closed.response.as_deref()),
            ("ann", Some("yes"))
        );
    }
    assert_eq!(store.get(id).await.expect("there"), answered);
}

pub(crate) async fn the_same_response_again_changes_nothing(store: Store) {
    let id = create(&store, question("Deploy?")).await.id;
    let with_id = Respond {
        request_id: Some(Uuid::from_u128(3)),
        ..answer(id, "yes", "ann")
    };
    let answered = store
        .respond(with_id.clone(), call(1))
        .await
        .expect("answered");
    assert_eq!(
        store.respond(with_id, call(2)).await.expect("again"),
        answered
    );
    assert_eq!(
        store
            .respond(answer(id, "yes", "ann"), call(3))
            .await
            .expect("again"),
        answered
    );
    assert_eq!(*store.head().borrow(), answered.sequence);
}

pub(crate) async fn a_response_outside_the_options_is_refused(store: Store) {
    let id = create(&store, question("Deploy?")).await.id;
    let refused = store.respond(answer(id, "maybe", "ann"), call(1)).await;
    assert!(
        matches!(refused, Err(Error::ResponseNotAllowed { options, .. }) if options == ["yes", "no"])
    );
    assert!(store.get(id).await.expect("there").is_open());
}

pub(crate) async fn states_move_forward_only(store: Store) {
    let id = create(&store, question("one")).await.id;
    let read = store
        .transition(change(id, Transition::Read), call(1))
        .await
        .expect("read");
    assert_eq!(
        (&read.state, read.read_time),
        (&Word::Known(State::Read), Some(at(1)))
    );
    let again = store
        .transition(change(id, Transition::Read), call(2))
        .await
        .expect("read again");
    assert_eq!(again, read);
    let gone = store
        .transition(change(id, Transition::Dismiss), call(3))
        .await
        .expect("dismissed");
    assert_eq!(
        (&gone.state, gone.close_time),
        (&Word::Known(State::Dismissed), Some(at(3)))
    );
    assert_eq!(gone.closed_by, "ann");
    for transition in [Transition::Read, Transition::Dismiss] {
        let same = store
            .transition(change(id, transition), call(4))
            .await
            .expect("unchanged");
        assert_eq!(same, gone);
    }
    let refused = store
        .transition(change(id, Transition::Cancel), call(4))
        .await;
    assert!(matches!(refused, Err(Error::NotificationClosed(_))));
    let other = create(&store, question("two")).await.id;
    let cancelled = store
        .transition(change(other, Transition::Cancel), call(5))
        .await;
    assert_eq!(
        cancelled.expect("cancelled").state,
        Word::Known(State::Cancelled)
    );
}

pub(crate) async fn expiry_takes_the_default_or_leaves_silence(store: Store) {
    let soon = Some(Expiration::After(Duration::from_secs(10)));
    let silent = create(
        &store,
        Draft {
            expiration: soon,
            ..question("silent")
        },
    )
    .await
    .id;
    let with_default = Draft {
        expiration: soon,
        default_response: "no".to_owned(),
        ..question("default")
    };
    let with_default = create(&store, with_default).await.id;
    let later = Some(Expiration::After(Duration::from_secs(20)));
    let open = create(
        &store,
        Draft {
            expiration: later,
            ..question("later")
        },
    )
    .await
    .id;
    let early = store.expire_due(10, call(9)).await.expect("nothing yet");
    assert_eq!((early.count, early.next), (0, Some(at(10))));
    let due = store.expire_due(10, call(10)).await.expect("two");
    assert_eq!((due.count, due.next), (2, Some(at(20))));
    let silent = store.get(silent).await.expect("there");
    assert_eq!(
        (silent.state, silent.response),
        (Word::Known(State::Expired), None)
    );
    let response = store
        .get(with_default)
        .await
        .expect("there")
        .response
        .expect("the default");
    assert!(response.is_default && response.text == "no");
    assert!(store.get(open).await.expect("there").is_open());
    let refused = store
        .respond(answer(with_default, "yes", "ann"), call(11))
        .await;
    assert!(matches!(refused, Err(Error::NotificationClosed(_))));
}

pub(crate) async fn racing_responders_have_one_winner(store: Store) {
    let id = create(&store, question("race")).await.id;
    let mut racers = JoinSet::new();
    for racer in 0..10 {
        let store = Arc::clone(&store);
        let text = if racer % 2 == 0 { "yes" } else { "no" };
        racers.spawn(async move {
            store
                .respond(answer(id, text, &format!("r{racer}")), call(1))
                .await
        });
    }
    let outcomes = racers.join_all().await;
    let won: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    assert_eq!(won.len(), 1);
    for outcome in &outcomes {
        if let Err(error) = outcome {
            let Error::NotificationClosed(closed) = error else {
                panic!("{error:?}")
            };
            assert_eq!(closed.by, won[0].closed_by);
        }
    }
}

/// Makes a test of each case, for the store that `$open` returns, with what must be kept alive beside it.
macro_rules! conformance_tests {
    ($open:expr; $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (store, _keep) = $open.await;
                $crate::store::conformance::$case(store).await;
            }
        )+
    };
    ($open:expr) => {
        $crate::store::conformance::conformance_tests!($open;
            what_is_created_is_read_back_whole,
            an_unknown_id_is_not_found,
            a_batch_is_all_or_nothing,
            a_request_id_creates_once,
            owners_are_kept_and_keep_each_other_out,
            the_first_response_wins,
            the_same_response_again_changes_nothing,
            a_response_outside_the_options_is_refused,
            states_move_forward_only,
            expiry_takes_the_default_or_leaves_silence,
            the_journal_tells_each_change_once_in_order,
            a_replay_shows_each_notification_as_it_was,
            a_cursor_ahead_of_the_head_is_unknown,
            lists_have_every_order_and_no_duplicates_across_pages,
            filters_choose_by_every_field,
            a_page_key_beyond_the_end_is_an_empty_page,
            a_snapshot_continues_without_gap_or_repetition,
            concurrent_writers_leave_no_gap_for_a_reader,
            racing_responders_have_one_winner,
            open_notifications_are_counted_up_to_a_limit,
        );
    };
}
pub(crate) use conformance_tests;
