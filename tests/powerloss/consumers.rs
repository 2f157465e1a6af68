//! Consumers and retention: what somebody was told of either holds after a power cut.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barista::domain::change::Cursor;
use barista::domain::clock::{Clock, Timestamp};
use barista::domain::consumer::store::{Acknowledge, ConsumerStore, NewConsumer, Reset};
use barista::domain::consumer::{LagLimits, Origin, Place, SetAside, Standing};
use barista::domain::notification::store::NotificationStore;
use barista::domain::retention::{Policy, Retention};
use barista::store::sqlite::SqliteStore;
use rusqlite::Connection;

use crate::chance::Chance;
use crate::disk::Luck;
use crate::ledger::Promise;
use crate::recording::{Recording, Step, Syncs};
use crate::{Bench, all, is_long, losses, moments, one, real};

/// Dealt with everything so far, whenever something has happened.
const QUICK: &str = "quick";
/// Sets aside whatever it gets, and holds the journal.
const SLOW: &str = "slow";
/// Is moved to and fro.
const MOVED: &str = "moved";

/// What the journal keeps at least.
const KEPT: u64 = 6;
/// How far behind the slow one is: more than that.
const LAG: i64 = 9;
const HOUR: Duration = Duration::from_secs(3_600);

/// A clock by which everything closed was closed an hour ago.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        let micros = real::Still.now().as_micros() + 3_600_000_000;
        Timestamp::from_micros(micros).expect("in range")
    }
}

/// The store, and what it was heard to say.
struct Story {
    store: Arc<SqliteStore>,
    recording: Arc<Recording>,
}

impl Story {
    fn told(&self, standing: Standing) {
        let promise = Promise::Consumer(Box::new(standing.consumer));
        self.recording.promised(promise);
    }

    fn head(&self) -> i64 {
        *NotificationStore::head(&*self.store).borrow()
    }

    fn through(&self, name: &str, sequence: i64) -> Acknowledge {
        Acknowledge {
            name: name.to_owned(),
            through: Cursor {
                epoch: None,
                sequence,
            },
            origin: Origin::default(),
        }
    }

    async fn make(&self, name: &str) {
        let new = NewConsumer {
            name: name.to_owned(),
            place: Place::Oldest,
            request_id: None,
        };
        let made = self.store.create_consumer(new, real::call()).await;
        self.told(made.expect("created"));
    }

    async fn acknowledge(&self, name: &str, sequence: i64) {
        let acknowledge = self.through(name, sequence);
        let moved = self.store.acknowledge(acknowledge, real::call()).await;
        self.told(moved.expect("acknowledged"));
    }

    async fn reset(&self, name: &str, sequence: i64) {
        let place = Place::After(self.through(name, sequence).through);
        let reset = Reset {
            name: name.to_owned(),
            place,
            request_id: None,
        };
        let (moved, _) = self
            .store
            .reset_consumer(reset, real::call())
            .await
            .expect("moved");
        self.told(moved);
    }

    async fn set_aside(&self, name: &str, sequence: i64) -> SetAside {
        let event = SetAside {
            sequence,
            notification_id: 1,
            attempts: 3,
            error: format!("no luck with {sequence}"),
            time: Some(real::Still.now()),
        };
        let acknowledge = self.through(name, sequence);
        let kept = self
            .store
            .set_aside(acknowledge, event.clone(), real::call());
        self.told(kept.await.expect("set aside"));
        event
    }

    /// Sets `sequence` aside, and takes it off the list again in every second call.
    async fn give_up(&self, name: &str, sequence: i64) {
        let event = self.set_aside(name, sequence).await;
        let name = name.to_owned();
        if sequence % 2 == 0 {
            return self.recording.promised(Promise::SetAside { name, event });
        }
        let discarded = self
            .store
            .discard_set_aside(&name, sequence, real::call())
            .await;
        discarded.expect("discarded");
        let promise = Promise::Discarded { name, sequence };
        self.recording.promised(promise);
    }

    /// Shortens the journal, and removes what was closed.
    async fn forget(&self) {
        let policy = Policy {
            journal_max_age: 1_000 * HOUR,
            journal_max_events: KEPT,
            closed_max_age: Some(HOUR / 2),
            limits: LagLimits {
                max_events: 1_000,
                max_age: 1_000 * HOUR,
            },
        };
        let slow = self.store.consumer(SLOW).await.expect("it is there");
        // From now on, and before anybody is told, so much may be gone.
        self.recording.promised(Promise::MayForget {
            through: slow.consumer.acknowledged,
        });
        let store = Arc::clone(&self.store) as _;
        let retention = Retention::new(store, Arc::new(Later), policy, HOUR);
        let report = retention.apply().await.expect("applied");
        let oldest = report.oldest;
        self.recording.promised(Promise::Forgotten { oldest });
    }

    async fn round(&self, number: usize) {
        let created = async {
            let title = format!("beside an acknowledgement {number}");
            let created = real::create(&*self.store, &title, number % 3 * 1500).await;
            created.expect("created")
        };
        // The two share a commit.
        let (created, ()) = tokio::join!(created, self.acknowledge(QUICK, self.head()));
        let id = created.id;
        real::stored(&self.recording, created);
        if number.is_multiple_of(2) {
            real::stored(
                &self.recording,
                real::respond(&*self.store, id, "yes").await,
            );
        }
        let behind = self.head() - LAG;
        if behind > 0 {
            self.give_up(SLOW, behind).await;
        }
        self.acknowledge(MOVED, self.head()).await;
        if number % 3 == 1 {
            self.reset(MOVED, self.head() - 2).await;
        }
        if number % 3 == 2 {
            self.forget().await;
        }
    }
}

/// Opens the store, lets consumers work while the journal is shortened, and closes it.
async fn work(directory: &Path, recording: &Arc<Recording>, life: usize, rounds: usize) {
    let story = Story {
        store: Arc::new(real::open(directory).expect("a store")),
        recording: Arc::clone(recording),
    };
    for name in [QUICK, SLOW, MOVED] {
        if life == 0 {
            story.make(name).await;
        }
    }
    for round in 0..rounds {
        story.round(life * rounds + round).await;
    }
    tokio::task::spawn_blocking(move || story.store.close())
        .await
        .expect("no panic");
}

/// Fails when `store/sqlite/connection.rs` asks for `synchronous = NORMAL`, when `store/sqlite/thread.rs` answers before the commit, when
/// `store/sqlite/consumer.rs` sets a change aside without acknowledging it, and when retention does not ask for the consumers' claim.
#[tokio::test]
async fn what_consumers_were_told_and_what_was_forgotten_survives_a_power_cut() {
    let (rounds, random) = if is_long() { (24, 600) } else { (6, 40) };
    let seed = Chance::seed();
    let bench = Bench::new(Syncs::Honest);
    for life in 0..2 {
        work(&bench.directory, &bench.recording, life, rounds).await;
    }
    let steps = bench.recording.steps();
    let moments = moments(&steps, random, &mut Chance::of(seed));
    let lucks = if is_long() { all } else { one };
    let (count, first) = losses(&steps, &moments, seed, lucks).await;
    assert_eq!(first, None, "{count} losses; BARISTA_TEST_SEED={seed}");
    let shortened =
        |step: &Step| matches!(step, Step::Promised(Promise::Forgotten { oldest }) if *oldest > 1);
    assert!(steps.iter().any(shortened), "nothing was forgotten");
}

/// A control: on a disk that only says that it syncs, consumers must be found to have gone back.
#[tokio::test]
async fn skipped_syncs_are_found_to_move_consumers_back() {
    let bench = Bench::new(Syncs::Skipped);
    work(&bench.directory, &bench.recording, 0, 3).await;
    let steps = bench.recording.steps();
    let end = BTreeSet::from([steps.len()]);
    for (luck, lossy) in [(Luck::None, true), (Luck::All, false)] {
        let (count, first) = losses(&steps, &end, 1, |_| vec![luck]).await;
        assert_eq!(count > 0, lossy, "{luck:?}: {first:?}");
    }
}

/// A control: an acknowledgement by a writer with `synchronous = NORMAL` must be found to be undone; with FULL it must not. Nothing else happens
/// meanwhile, so that nothing else can be what is found.
#[tokio::test]
async fn an_acknowledgement_without_a_sync_is_found_to_be_undone() {
    for (level, lossy) in [("NORMAL", true), ("FULL", false)] {
        let bench = Bench::new(Syncs::Honest);
        work(&bench.directory, &bench.recording, 0, 3).await;
        let store = real::open(&bench.directory).expect("a store");
        let mut consumer = store.consumer(SLOW).await.expect("it is there").consumer;
        store.close();
        drop(store);
        let direct = Connection::open(bench.directory.join(real::DATABASE)).expect("open");
        direct
            .execute_batch(&format!("PRAGMA synchronous = {level}"))
            .expect("a setting");
        let started = bench.recording.position();
        consumer.acknowledged += 1;
        let update = "UPDATE consumers SET acknowledged = ?1 WHERE id = ?2";
        direct
            .execute(update, (consumer.acknowledged, consumer.id))
            .expect("moved");
        bench
            .recording
            .promised(Promise::Consumer(Box::new(consumer)));
        let steps = bench.recording.steps();
        let moments: BTreeSet<usize> = (started..=steps.len()).collect();
        let (count, first) = losses(&steps, &moments, 1, |_| vec![Luck::None]).await;
        assert_eq!(count > 0, lossy, "{level}: {first:?}");
        let is_told = first.is_none_or(|loss| loss.contains("lost: Consumer"));
        assert!(is_told, "something else was lost");
    }
}
