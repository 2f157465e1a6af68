//! What every store must do about consumers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use super::{at, call, create, question};
use crate::domain::change::Cursor;
use crate::domain::consumer::store::{Acknowledge, ConsumerStore, NewConsumer, Reset};
use crate::domain::consumer::{LagLimits, Origin, Place, SetAside, Standing};
use crate::domain::error::{Error, Result};
use crate::domain::notification::store::NotificationStore;

/// A store under test, both sides of it.
pub(crate) struct Stores {
    pub(crate) notifications: Arc<dyn NotificationStore>,
    pub(crate) consumers: Arc<dyn ConsumerStore>,
}

impl Stores {
    /// Writes `count` changes.
    async fn changes(&self, count: usize) {
        for number in 0..count {
            create(&self.notifications, question(&number.to_string())).await;
        }
    }

    async fn add(&self, name: &str, place: Place) -> Result<Standing> {
        let new = NewConsumer {
            name: name.to_owned(),
            place,
            request_id: None,
        };
        self.consumers.create_consumer(new, call(0)).await
    }

    async fn acknowledge(&self, name: &str, sequence: i64) -> Result<Standing> {
        self.consumers
            .acknowledge(through(name, sequence), call(1))
            .await
    }

    async fn reset(&self, name: &str, place: Place, request: Option<u128>) -> (Standing, bool) {
        let reset = Reset {
            name: name.to_owned(),
            place,
            request_id: request.map(Uuid::from_u128),
        };
        let moved = self.consumers.reset_consumer(reset, call(2)).await;
        moved.expect("moved")
    }
}

fn through(name: &str, sequence: i64) -> Acknowledge {
    Acknowledge {
        name: name.to_owned(),
        through: Cursor {
            epoch: None,
            sequence,
        },
        origin: Origin::default(),
    }
}

fn after(sequence: i64) -> Place {
    Place::After(Cursor {
        epoch: None,
        sequence,
    })
}

fn event(sequence: i64, attempts: u32) -> SetAside {
    SetAside {
        sequence,
        notification_id: sequence,
        attempts,
        error: "exit status: 3".to_owned(),
        time: None,
    }
}

pub(crate) async fn a_consumer_starts_where_it_is_told(stores: Stores) {
    let empty = stores.add("empty", Place::Oldest).await.expect("created");
    assert_eq!((empty.consumer.acknowledged, empty.lag()), (0, 0));
    stores.changes(3).await;
    for (name, place, acknowledged) in [
        ("now", Place::Now, 3),
        ("oldest", Place::Oldest, 0),
        ("after", after(2), 2),
    ] {
        let made = stores.add(name, place).await.expect("created");
        assert_eq!(made.consumer.acknowledged, acknowledged, "{name}");
        assert_eq!(made.lag(), 3 - u64::try_from(acknowledged).expect("small"));
        assert_eq!(made.consumer.epoch, stores.notifications.epoch());
        assert_eq!(made.consumer.create_time, Some(at(0)));
        assert_eq!(made.consumer.behind_since.is_some(), acknowledged < 3);
        let read = stores.consumers.consumer(name).await.expect("there");
        assert_eq!(read, made);
    }
    let refused = stores.add("ahead", after(4)).await;
    assert!(matches!(refused, Err(Error::UnknownCursor { .. })));
    let elsewhere = Place::After(Cursor {
        epoch: Some("elsewhere".to_owned()),
        sequence: 1,
    });
    let refused = stores.add("elsewhere", elsewhere).await;
    assert!(matches!(refused, Err(Error::UnknownCursor { .. })));
}

pub(crate) async fn a_name_is_taken_once_and_a_request_id_creates_once(stores: Stores) {
    let new = |request: Option<u128>| NewConsumer {
        name: "bell".to_owned(),
        place: Place::Now,
        request_id: request.map(Uuid::from_u128),
    };
    let create = |request| stores.consumers.create_consumer(new(request), call(0));
    let made = create(Some(7)).await.expect("created");
    stores.changes(2).await;
    let again = create(Some(7)).await.expect("the same again");
    assert_eq!(again.consumer.acknowledged, made.consumer.acknowledged);
    assert_eq!(again.consumer.generation, made.consumer.generation);
    for request in [None, Some(8)] {
        let refused = create(request).await;
        assert!(matches!(refused, Err(Error::ConsumerExists { name }) if name == "bell"));
    }
    let other_place = NewConsumer {
        place: Place::Oldest,
        ..new(Some(7))
    };
    let other_name = NewConsumer {
        name: "other".to_owned(),
        ..new(Some(7))
    };
    for other in [other_place, other_name] {
        let refused = stores.consumers.create_consumer(other, call(0)).await;
        assert!(
            matches!(&refused, Err(Error::ConsumerRequestReused { name, .. }) if name == "bell"),
            "{refused:?}"
        );
    }
}

pub(crate) async fn a_newer_watch_ends_what_an_older_one_may_do(stores: Stores) {
    stores.changes(2).await;
    let made = stores.add("bell", Place::Oldest).await.expect("created");
    assert_eq!(made.consumer.watch, 0);
    let origin = |generation: i64, watch: i64| Origin {
        generation: (generation != 0).then_some(generation),
        watch: (watch != 0).then_some(watch),
    };
    let begin = |origin| stores.consumers.begin_watch("bell", origin, call(1));
    let acknowledge = |sequence, origin| {
        let acknowledge = Acknowledge {
            origin,
            ..through("bell", sequence)
        };
        stores.consumers.acknowledge(acknowledge, call(1))
    };
    let older = begin(origin(0, 0)).await.expect("begun").consumer;
    let again = begin(origin(older.generation, older.watch)).await;
    assert_eq!(again.expect("the same").consumer.watch, older.watch);
    let of_older = origin(older.generation, older.watch);
    acknowledge(1, of_older).await.expect("moved");
    let newer = begin(origin(0, 0)).await.expect("begun").consumer;
    assert!(newer.watch > older.watch);
    let read = stores.consumers.consumer("bell").await.expect("there");
    assert_eq!(read.consumer.watch, newer.watch, "what is told is kept");
    let taken = |result: Result<Standing>| matches!(result, Err(Error::ConsumerTakenOver { name }) if name == "bell");
    assert!(taken(begin(of_older).await));
    assert!(taken(acknowledge(2, of_older).await));
    // Nor when it is to begin anew, as after a reset.
    stores.reset("bell", Place::Oldest, None).await;
    assert!(taken(begin(of_older).await));
    assert!(taken(begin(origin(0, older.watch)).await));
    let stale = begin(origin(newer.generation, newer.watch)).await;
    assert!(matches!(stale, Err(Error::ConsumerReset { .. })));
    let anew = begin(origin(0, newer.watch)).await.expect("goes on");
    assert_eq!(anew.consumer.watch, newer.watch);
    // A consumer that was made again has had no newer watch.
    let deleted = stores.consumers.delete_consumer("bell", call(1)).await;
    assert!(deleted.expect("deleted"));
    stores.add("bell", Place::Oldest).await.expect("created");
    let stale = begin(origin(newer.generation, newer.watch)).await;
    assert!(matches!(stale, Err(Error::ConsumerReset { .. })));
    let fresh = begin(origin(0, newer.watch)).await.expect("begun");
    assert!(fresh.consumer.watch > newer.watch);
}

pub(crate) async fn an_unknown_consumer_is_not_found(stores: Stores) {
    fn is_not_found<T>(result: &Result<T>) -> bool {
        matches!(result, Err(Error::ConsumerNotFound { name }) if name == "nobody")
    }
    let consumers = &stores.consumers;
    assert!(is_not_found(&consumers.consumer("nobody").await));
    assert!(is_not_found(&stores.acknowledge("nobody", 0).await));
    let aside = consumers.set_aside(through("nobody", 1), event(1, 1), call(0));
    assert!(is_not_found(&aside.await));
    assert!(is_not_found(
        &consumers.list_set_aside("nobody", 0, 5).await
    ));
    let discarded = consumers.discard_set_aside("nobody", 1, call(0));
    assert!(is_not_found(&discarded.await));
    let deleted = consumers.delete_consumer("nobody", call(0)).await;
    assert!(!deleted.expect("nothing to delete"));
}

pub(crate) async fn acknowledgements_are_cumulative_and_never_go_back(stores: Stores) {
    stores.changes(5).await;
    stores.add("bell", Place::Oldest).await.expect("created");
    for (sequence, acknowledged) in [(0, 0), (2, 2), (5, 5), (3, 5), (5, 5), (0, 5)] {
        let moved = stores.acknowledge("bell", sequence).await.expect("moved");
        assert_eq!(moved.consumer.acknowledged, acknowledged);
        assert_eq!(moved.lag(), 5 - u64::try_from(acknowledged).expect("small"));
        let read = stores.consumers.consumer("bell").await.expect("there");
        assert_eq!(read, moved, "what is told is what is kept");
    }
    let bell = stores.consumers.consumer("bell").await.expect("there");
    assert_eq!(bell.consumer.update_time, Some(at(1)));
}

pub(crate) async fn an_acknowledgement_of_an_unknown_place_is_refused(stores: Stores) {
    stores.changes(2).await;
    stores.add("bell", Place::Oldest).await.expect("created");
    for sequence in [3, i64::MAX] {
        let refused = stores.acknowledge("bell", sequence).await;
        assert!(
            matches!(&refused, Err(Error::ConsumerElsewhere { bounds, .. }) if bounds.head == 2),
            "{refused:?}"
        );
    }
    let mut elsewhere = through("bell", 1);
    elsewhere.through.epoch = Some("elsewhere".to_owned());
    let refused = stores.consumers.acknowledge(elsewhere, call(1)).await;
    assert!(matches!(refused, Err(Error::ConsumerElsewhere { .. })));
    let bell = stores.consumers.consumer("bell").await.expect("there");
    assert_eq!(bell.consumer.acknowledged, 0);
}

pub(crate) async fn a_reset_moves_anywhere_and_ends_a_generation(stores: Stores) {
    stores.changes(4).await;
    let made = stores.add("bell", Place::Now).await.expect("created");
    let mut known = made.consumer.generation;
    for (place, acknowledged) in [(Place::Oldest, 0), (after(3), 3), (Place::Now, 4)] {
        let (moved, was_moved) = stores.reset("bell", place, None).await;
        assert!(was_moved);
        assert_eq!(moved.consumer.acknowledged, acknowledged);
        assert!(moved.consumer.generation > known);
        let late = Acknowledge {
            origin: Origin {
                generation: Some(known),
                watch: None,
            },
            ..through("bell", 4)
        };
        let refused = stores.consumers.acknowledge(late, call(3)).await;
        assert!(matches!(refused, Err(Error::ConsumerReset { .. })));
        known = moved.consumer.generation;
    }
    let (moved, _) = stores.reset("bell", Place::Oldest, Some(7)).await;
    stores.acknowledge("bell", 2).await.expect("moved");
    let (again, was_moved) = stores.reset("bell", Place::Oldest, Some(7)).await;
    assert!(!was_moved, "the same request");
    assert_eq!(again.consumer.generation, moved.consumer.generation);
    assert_eq!(again.consumer.acknowledged, 2);
    let other = Reset {
        name: "bell".to_owned(),
        place: Place::Now,
        request_id: Some(Uuid::from_u128(7)),
    };
    let refused = stores.consumers.reset_consumer(other, call(2)).await;
    assert!(matches!(refused, Err(Error::ConsumerRequestReused { .. })));
}

pub(crate) async fn a_consumer_that_is_made_again_is_another_one(stores: Stores) {
    let first = stores.add("bell", Place::Now).await.expect("created");
    stores.changes(1).await;
    let aside = stores
        .consumers
        .set_aside(through("bell", 1), event(1, 1), call(0));
    aside.await.expect("set aside");
    let deleted = stores.consumers.delete_consumer("bell", call(1)).await;
    assert!(deleted.expect("deleted"));
    let refused = stores.consumers.consumer("bell").await;
    assert!(matches!(refused, Err(Error::ConsumerNotFound { .. })));
    let second = stores.add("bell", Place::Oldest).await.expect("created");
    assert!(second.consumer.generation > first.consumer.generation);
    assert_eq!(second.consumer.set_aside, 0);
    let listed = stores.consumers.list_set_aside("bell", 0, 10).await;
    assert_eq!(listed.expect("a list"), []);
}

pub(crate) async fn what_is_set_aside_is_kept_and_acknowledged_at_once(stores: Stores) {
    stores.changes(5).await;
    stores.add("bell", Place::Oldest).await.expect("created");
    stores.add("other", Place::Oldest).await.expect("created");
    let aside = |sequence, attempts| {
        let event = event(sequence, attempts);
        stores
            .consumers
            .set_aside(through("bell", sequence), event, call(4))
    };
    for (sequence, attempts, count, acknowledged) in [(2, 1, 1, 2), (4, 1, 2, 4), (2, 3, 2, 4)] {
        let bell = aside(sequence, attempts).await.expect("set aside").consumer;
        assert_eq!((bell.set_aside, bell.acknowledged), (count, acknowledged));
    }
    let refused = aside(6, 1).await;
    assert!(matches!(refused, Err(Error::ConsumerElsewhere { .. })));
    let list = |after, limit| stores.consumers.list_set_aside("bell", after, limit);
    let time = Some(at(4));
    let two = SetAside {
        time,
        ..event(2, 3)
    };
    let four = SetAside {
        time,
        ..event(4, 1)
    };
    assert_eq!(
        list(0, 10).await.expect("a list"),
        [two.clone(), four.clone()]
    );
    assert_eq!(list(0, 1).await.expect("a page"), [two]);
    assert_eq!(
        list(2, 1).await.expect("a page"),
        std::slice::from_ref(&four)
    );
    for is_there in [true, false] {
        let discarded = stores.consumers.discard_set_aside("bell", 2, call(5)).await;
        match discarded {
            Ok(()) => assert!(is_there),
            Err(Error::SetAsideEventNotFound { sequence: 2, .. }) => assert!(!is_there),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            list(0, 10).await.expect("a list"),
            std::slice::from_ref(&four)
        );
    }
    let bell = stores.consumers.consumer("bell").await.expect("there");
    assert_eq!(bell.consumer.set_aside, 1);
    let other = stores.consumers.consumer("other").await.expect("there");
    assert_eq!(
        (other.consumer.set_aside, other.consumer.acknowledged),
        (0, 0)
    );
}

pub(crate) async fn another_attempt_is_recorded_and_moves_nothing(stores: Stores) {
    stores.changes(3).await;
    stores.add("bell", Place::Oldest).await.expect("created");
    let set = stores
        .consumers
        .set_aside(through("bell", 3), event(3, 1), call(4));
    set.await.expect("set aside");
    let (before, _) = stores.reset("bell", Place::Oldest, None).await;
    let attempt = SetAside {
        attempts: 2,
        error: "exit status: 4".to_owned(),
        notification_id: 99,
        ..event(3, 1)
    };
    let update = |event| stores.consumers.update_set_aside("bell", event, call(5));
    let updated = update(attempt.clone()).await.expect("updated");
    let expected = SetAside {
        notification_id: 3,
        time: Some(at(5)),
        ..attempt
    };
    assert_eq!(updated, expected);
    let listed = stores.consumers.list_set_aside("bell", 0, 10).await;
    assert_eq!(listed.expect("a list"), [expected]);
    let read = stores.consumers.consumer("bell").await.expect("there");
    assert_eq!(read, before, "it stays where it was put");
    let missing = update(event(2, 1)).await;
    assert!(
        matches!(
            missing,
            Err(Error::SetAsideEventNotFound { sequence: 2, .. })
        ),
        "{missing:?}"
    );
}

pub(crate) async fn consumers_are_listed_in_the_order_of_their_creation(stores: Stores) {
    let names = ["zoe", "ann", "bob"];
    for name in names {
        stores.add(name, Place::Now).await.expect("created");
    }
    let list = |after, limit| stores.consumers.consumers(after, limit);
    let all = list(0, 10).await.expect("a list");
    let found: Vec<&str> = all.iter().map(|each| each.consumer.name.as_str()).collect();
    assert_eq!(found, names);
    let rest = list(all[0].consumer.id, 1).await.expect("a page");
    assert_eq!(rest, all[1..2]);
    assert_eq!(list(all[2].consumer.id, 10).await.expect("a page"), []);
}

pub(crate) async fn the_slowest_consumer_claims_the_journal(stores: Stores) {
    let limits = LagLimits {
        max_events: 3,
        max_age: Duration::from_secs(u64::MAX / 2),
    };
    let claim = || stores.consumers.claim(limits, call(0));
    assert_eq!(claim().await.expect("a claim").acknowledged, None);
    stores.changes(6).await;
    for (name, sequence) in [("fast", 6), ("slow", 3), ("stuck", 2)] {
        stores.add(name, after(sequence)).await.expect("created");
    }
    let claimed = claim().await.expect("a claim");
    assert_eq!(claimed.acknowledged, Some(3));
    let [left] = &claimed.left_behind[..] else {
        panic!("{claimed:?}");
    };
    assert_eq!((left.name.as_str(), left.lag), ("stuck", 4));
}

pub(crate) async fn racing_acknowledgements_end_at_the_highest(stores: Stores) {
    stores.changes(50).await;
    stores.add("bell", Place::Oldest).await.expect("created");
    let mut racers = JoinSet::new();
    for sequence in 1..=50 {
        let consumers = Arc::clone(&stores.consumers);
        racers.spawn(async move {
            let moved = consumers.acknowledge(through("bell", sequence), call(1));
            let reached = moved.await.expect("moved").consumer.acknowledged;
            assert!(reached >= sequence);
        });
    }
    racers.join_all().await;
    let bell = stores.consumers.consumer("bell").await.expect("there");
    assert_eq!((bell.consumer.acknowledged, bell.lag()), (50, 0));
}

/// Makes a test of each case, for the stores that `$open` returns, with what must be kept alive beside them.
macro_rules! consumer_conformance_tests {
    ($open:expr; $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (stores, _keep) = $open;
                $crate::store::conformance::consumer::$case(stores).await;
            }
        )+
    };
    ($open:expr) => {
        $crate::store::conformance::consumer::consumer_conformance_tests!($open;
            a_consumer_starts_where_it_is_told,
            a_name_is_taken_once_and_a_request_id_creates_once,
            an_unknown_consumer_is_not_found,
            acknowledgements_are_cumulative_and_never_go_back,
            an_acknowledgement_of_an_unknown_place_is_refused,
            a_reset_moves_anywhere_and_ends_a_generation,
            a_newer_watch_ends_what_an_older_one_may_do,
            a_consumer_that_is_made_again_is_another_one,
            what_is_set_aside_is_kept_and_acknowledged_at_once,
            another_attempt_is_recorded_and_moves_nothing,
            consumers_are_listed_in_the_order_of_their_creation,
            the_slowest_consumer_claims_the_journal,
            racing_acknowledgements_end_at_the_highest,
        );
    };
}
pub(crate) use consumer_conformance_tests;
