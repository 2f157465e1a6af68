//! Consumers: the conformance suite, and what only SQLite and its other users can do.

use super::*;
use crate::domain::change::Cursor;
use crate::domain::consumer::store::{Acknowledge, ConsumerStore, NewConsumer};
use crate::domain::consumer::{MAX_SET_ASIDE, Origin, Place, SetAside};
use crate::store::conformance::consumer::Stores;

fn fresh() -> (Stores, Bench) {
    let bench = Bench::open();
    let stores = Stores {
        notifications: Arc::clone(&bench.store) as _,
        consumers: Arc::clone(&bench.store) as _,
    };
    (stores, bench)
}

crate::store::conformance::consumer::consumer_conformance_tests!(fresh());

const CALL: Call = Call {
    now: Timestamp::MIN,
    deadline: None,
};

async fn consumer(bench: &Bench, place: Place) {
    let new = NewConsumer {
        name: "bell".to_owned(),
        place,
        request_id: None,
    };
    let created = bench.store.create_consumer(new, CALL).await;
    created.expect("created");
}

fn through(sequence: i64) -> Acknowledge {
    Acknowledge {
        name: "bell".to_owned(),
        through: Cursor {
            epoch: None,
            sequence,
        },
        origin: Origin::default(),
    }
}

#[tokio::test]
async fn a_place_survives_a_restart() {
    let bench = Bench::open();
    consumer(&bench, Place::Now).await;
    bench.create("one").await.expect("created");
    let moved = bench.store.acknowledge(through(1), CALL).await;
    let bench = Bench::open_in(bench.close());
    let read = bench.store.consumer("bell").await.expect("there");
    assert_eq!(read, moved.expect("moved"));
}

#[tokio::test]
async fn a_place_of_another_epoch_can_only_be_reset() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    consumer(&bench, Place::Oldest).await;
    let foreign = bench.foreign();
    foreign
        .execute_batch("UPDATE consumers SET epoch = 'before the restore'")
        .expect("an update");
    let standing = bench.store.consumer("bell").await.expect("there");
    assert!(standing.is_elsewhere());
    let refused = bench.store.acknowledge(through(1), CALL).await;
    assert!(matches!(refused, Err(Error::ConsumerElsewhere { .. })));
    let reset = crate::domain::consumer::store::Reset {
        name: "bell".to_owned(),
        place: Place::Oldest,
        request_id: None,
    };
    bench
        .store
        .reset_consumer(reset, CALL)
        .await
        .expect("moved");
    bench
        .store
        .acknowledge(through(1), CALL)
        .await
        .expect("moved");
}

#[tokio::test]
async fn a_full_list_takes_no_more_and_moves_nothing() {
    let bench = Bench::open();
    bench.create("one").await.expect("created");
    consumer(&bench, Place::Oldest).await;
    bench
        .foreign()
        .execute_batch(&format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= {MAX_SET_ASIDE})
             INSERT INTO set_aside SELECT 1, i, 1, 1, '', '' FROM n;
             UPDATE consumers SET set_aside = {MAX_SET_ASIDE};
             COMMIT"
        ))
        .expect("many rows");
    let event = |sequence| SetAside {
        sequence,
        notification_id: 1,
        attempts: 1,
        error: String::new(),
        time: None,
    };
    let refused = bench.store.set_aside(through(1), event(1), CALL).await;
    assert!(matches!(refused, Err(Error::SetAsideFull { .. })));
    let standing = bench.store.consumer("bell").await.expect("there");
    assert_eq!(standing.consumer.acknowledged, 0);
    let again = bench.store.set_aside(through(1), event(2), CALL).await;
    again.expect("one that is on the list already");
}

/// A row of the journal that is gone must not make a consumer's place unreadable.
#[tokio::test]
async fn a_consumer_whose_changes_were_removed_is_lost_and_claims_nothing() {
    let bench = Bench::open();
    consumer(&bench, Place::Oldest).await;
    for title in ["one", "two", "three"] {
        bench.create(title).await.expect("created");
    }
    bench
        .foreign()
        .execute_batch("DELETE FROM changes WHERE seq <= 2")
        .expect("a deletion");
    let limits = crate::domain::consumer::LagLimits {
        max_events: 100,
        max_age: Duration::from_secs(100),
    };
    let claim = bench.store.claim(limits, CALL).await.expect("a claim");
    assert_eq!(claim.acknowledged, None);
    assert_eq!(claim.left_behind.len(), 1);
}
