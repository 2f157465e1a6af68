//! Telemetry in SQLite: the conformance suite, random reports, and files of earlier tooling.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use barista_locate::{Located, Source as Found};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;

use super::record::{self, Memory, Prepared};
use super::{SqliteTelemetry, TELEMETRY, TELEMETRY_FILE, row};
use crate::data_dir::{self, DataDir};
use crate::domain::analytics::MAX_DIMENSIONS;
use crate::domain::analytics::bucket::{BucketSize, bounds};
use crate::domain::analytics::store::{Dimension, ExpensiveQuery, Selection, SumsQuery};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::notification::store::Call;
use crate::domain::observation::ObservationKind;
use crate::domain::observation::store::{Forget, TelemetryStore};
use crate::domain::observation::testing::{
    any_report, at, log_of_a_call, report, span, span_of_a_call, trace,
};
use crate::domain::word::Vocabulary;
use crate::store::conformance::analytics;
use crate::store::conformance::telemetry::{self as conformance, Store};
use crate::store::sqlite::schema;
use crate::store::sqlite::{Options, Surroundings};

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        at(0)
    }
}

/// Telemetry in `directory`.
fn open(directory: &Path) -> SqliteTelemetry {
    let located = Located {
        path: directory.to_owned(),
        source: Found::Flag,
    };
    let data_dir = DataDir::open(&located, data_dir::Options::default()).expect("a directory");
    SqliteTelemetry::new(Options {
        path: data_dir.database(TELEMETRY_FILE).expect("a path"),
        data_dir,
        clock: Arc::new(Still),
        surroundings: Arc::new(Surroundings {
            disk_available: Box::new(|| Ok(u64::MAX)),
            wal_locks: Box::new(Vec::new),
        }),
        queue_capacity: 256,
        batch_writes: 64,
        batch_bytes: 1024 * 1024,
        readers: 2,
        cache_kib: 1024,
        busy_timeout: Duration::from_secs(30),
        busy_attempts: 3,
        followed_poll: Duration::from_millis(2),
        idle_poll: Duration::from_millis(50),
        look_interval: Duration::from_millis(5),
        checkpoint_frames: 500,
        truncate_frames: 10_000,
        min_free_disk: 1_000,
    })
}

/// A store in a directory that is removed with it.
struct Temporary {
    store: SqliteTelemetry,
    directory: tempfile::TempDir,
}

fn temporary() -> Temporary {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    Temporary { store, directory }
}

#[tokio::test]
async fn conformance() {
    let directory = tempfile::tempdir().expect("a directory");
    let number = AtomicUsize::new(0);
    let fresh = || -> Store {
        let name = number.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(open(&directory.path().join(name)))
    };
    conformance::run(fresh).await;
}

#[tokio::test]
async fn answers_conform() {
    let directory = tempfile::tempdir().expect("a directory");
    let number = AtomicUsize::new(0);
    let fresh = || -> analytics::Stores {
        let name = number.fetch_add(1, Ordering::Relaxed).to_string();
        let store = Arc::new(open(&directory.path().join(name)));
        (Arc::clone(&store) as _, store)
    };
    analytics::run(fresh).await;
}

/// Any question about the time of [`any_report`], in buckets of any zone.
fn any_question() -> impl Strategy<Value = SumsQuery> {
    let zone = prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu"]);
    let size = prop::sample::select(&[BucketSize::Whole, BucketSize::Hour, BucketSize::Day]);
    let range = (-4_000_i64..8_000, 1_i64..9_000);
    let by = prop::sample::subsequence(Dimension::ALL, 0..=MAX_DIMENSIONS);
    let names = || prop::sample::select(&["", "", "opus", "robin", "anthropic", "nobody"]);
    let kinds = prop::sample::subsequence(ObservationKind::ALL, 0..=ObservationKind::ALL.len());
    let selection = (kinds, names(), names(), any::<bool>());
    (zone, size, range, by, selection, any::<bool>()).prop_map(
        |(zone, size, (start, length), group_by, (kinds, model, agent, all), distributions)| {
            let zone = jiff::tz::TimeZone::get(zone).expect("a zone");
            let range = at(start)..at(start + length);
            let selection = Selection {
                kinds,
                model: model.to_owned(),
                agent: agent.to_owned(),
                ..Selection::default()
            };
            SumsQuery {
                bounds: bounds(&range, size, &zone, 100).expect("few"),
                group_by,
                selection: if all { Selection::default() } else { selection },
                distributions,
                most_rows: 1_000,
            }
        },
    )
}

#[test]
fn answers_are_those_of_a_naive_computation() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let reports = prop::collection::vec(any_report(), 1..60);
    let questions = prop::collection::vec(any_question(), 12);
    let check = |(reports, questions): (Vec<_>, Vec<SumsQuery>)| {
        runtime.block_on(async {
            let Temporary {
                store,
                directory: _directory,
            } = temporary();
            let store = Arc::new(store);
            let stores: analytics::Stores = (Arc::clone(&store) as _, store);
            conformance::record_reports(&stores.0, reports).await;
            for query in questions {
                analytics::check_answer(&stores, &query).await;
                let expensive = ExpensiveQuery {
                    start: query.bounds[0],
                    end: query.bounds[query.bounds.len() - 1],
                    selection: query.selection,
                    limit: 3,
                    most_rows: 1_000,
                };
                analytics::check_expensive(&stores, &expensive).await;
            }
        });
        Ok(())
    };
    runner(24)
        .run(&(reports, questions), check)
        .expect("every question");
}

/// What one step of a random history does.
#[derive(Debug, Clone)]
enum Step {
    Record(Vec<crate::domain::observation::draft::Report>),
    Forget(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => prop::collection::vec(any_report(), 1..6).prop_map(Step::Record),
        1 => (0_i64..8_000).prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 1..8)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn sums_are_those_of_the_rows_after_any_history() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let check = |steps: Vec<Step>| {
        runtime.block_on(async {
            let Temporary {
                store,
                directory: _directory,
            } = temporary();
            let store: Store = Arc::new(store);
            for step in steps {
                match step {
                    Step::Record(reports) => {
                        conformance::record_reports(&store, reports).await;
                    }
                    Step::Forget(seconds) => {
                        let call = Call {
                            now: at(0),
                            deadline: None,
                        };
                        let what = Forget::Observations {
                            before: at(seconds),
                        };
                        store.forget(what, 3, call).await.expect("forgotten");
                    }
                }
            }
            conformance::check_sums(&store).await;
        });
        Ok(())
    };
    runner(24).run(&steps(), check).expect("every history");
}

#[test]
fn any_order_of_delivery_gives_the_same_rows() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let reports = prop::collection::vec(any_report(), 1..10).prop_shuffle();
    let check = |reports: Vec<_>| {
        runtime.block_on(async {
            let (one, other) = (temporary(), temporary());
            let kept = (one.directory, other.directory);
            let (one, other): (Store, Store) = (Arc::new(one.store), Arc::new(other.store));
            conformance::record_reports(&one, reports.clone()).await;
            for report in reports.into_iter().rev() {
                // Twice, and each in a transaction of its own.
                conformance::record_reports(&other, vec![report.clone()]).await;
                conformance::record_reports(&other, vec![report]).await;
            }
            assert_eq!(
                conformance::facts(&one).await,
                conformance::facts(&other).await
            );
            drop(kept);
        });
        Ok(())
    };
    runner(24).run(&reports, check).expect("every order");
}

#[tokio::test]
async fn nothing_is_opened_before_it_is_needed() {
    let Temporary { store, directory } = temporary();
    let path = directory.path().join(TELEMETRY_FILE);
    assert!(!store.exists() && !path.exists());
    store.prepare().await.expect("open");
    assert!(store.exists() && path.exists());
}

/// What a reader of earlier tooling sees.
fn rows(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open(path).expect("open");
    let mut statement = connection.prepare(sql).expect("sql");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

#[tokio::test]
async fn the_database_of_earlier_tooling_is_taken_over_without_loss() {
    let Temporary { store, directory } = temporary();
    let path = directory.path().join(TELEMETRY_FILE);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/legacy");
    let bytes = std::fs::read(fixture.join(TELEMETRY_FILE)).expect("the fixture");
    std::fs::write(&path, bytes).expect("a copy");
    let everything = [
        "SELECT json_array(id, name, user_id, session_id, trace_metadata, input, output, created_at, updated_at, release, tags)
           FROM traces ORDER BY id",
        "SELECT json_array(id, trace_id, name, model, input, output, input_tokens, total_cost, latency_ms, created_at, level,
                           completion_start_time, completion_end_time) FROM generations ORDER BY id",
        "SELECT json_array(id, trace_id, name, start_time, end_time, level) FROM spans ORDER BY id",
    ];
    let before = everything.map(|sql| rows(&path, sql));
    assert_eq!(before.each_ref().map(Vec::len), [120, 229, 60]);
    store.prepare().await.expect("open");
    assert_eq!(everything.map(|sql| rows(&path, sql)), before);
    let store: Store = Arc::new(store);
    conformance::record(&store, vec![span_of_a_call("r"), log_of_a_call("r")]).await;
    let generation = "SELECT json_array(id, trace_id, name, model, input_tokens, total_tokens, total_cost, latency_ms, created_at,
                                        completion_end_time, level) FROM generations WHERE name = 'llm_request'";
    let ours = r#"["00f067aa0ba902b7","4bf92f3577b34da6a3ce929d0e0e4736","llm_request","claude-sonnet-4-5",130213,130213,0.0434,1000.0,"2025-10-09T08:53:20","2025-10-09T08:53:21","DEFAULT"]"#;
    assert_eq!(rows(&path, generation), [ours]);
    assert_eq!(
        rows(&path, "SELECT CAST(count(*) AS TEXT) FROM generations"),
        ["230"]
    );
    assert_eq!(
        rows(&path, "SELECT CAST(count(*) AS TEXT) FROM traces"),
        ["121"]
    );
}

#[tokio::test]
async fn views_that_somebody_dropped_come_back() {
    let Temporary { store, directory } = temporary();
    store.prepare().await.expect("open");
    store.close();
    drop(store);
    let path = directory.path().join(TELEMETRY_FILE);
    let foreign = Connection::open(&path).expect("open");
    foreign
        .execute_batch("DROP VIEW generations; DROP INDEX telemetry_observations_start")
        .expect("dropped");
    drop(foreign);
    let store = open(directory.path());
    store.prepare().await.expect("open");
    assert_eq!(
        rows(&path, "SELECT CAST(count(*) AS TEXT) FROM generations"),
        ["0"]
    );
}

/// Rows per second in batches of a thousand, four of them under way, with `attributes` in each report.
async fn rate(attributes: &str) -> f64 {
    const BATCHES: i64 = 200;
    const BATCH: i64 = 1_000;
    let Temporary {
        store,
        directory: _directory,
    } = temporary();
    store.prepare().await.expect("open");
    let store = Arc::new(store);
    let draft = |number: i64| {
        let mut draft = span_of_a_call("");
        // Twenty spans to a trace, with ids as random as they are.
        let spread = |number: i64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
        draft.trace_id = Some(trace(&format!("{:016x}{:016x}", spread(number / 20), 1)));
        draft.span_id = Some(span(&format!("{:016x}", spread(number + 1))));
        draft.start_time = at(number / 100 - 3_000);
        draft.end_time = Some(at(number / 100 - 3_000 + number % 7));
        draft.labels.agent = format!("agent {}", number % 5);
        draft.labels.session = format!("session {}", number / 100);
        draft.tokens = log_of_a_call("").tokens;
        draft.attributes = attributes.to_owned();
        report(draft)
    };
    let batches: Vec<Vec<_>> = (0..BATCHES)
        .map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(draft).collect())
        .collect();
    let started = std::time::Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    let call = Call {
        now: at(0),
        deadline: None,
    };
    for batch in batches {
        if under_way.len() == 4 {
            under_way.join_next().await;
        }
        let store = Arc::clone(&store);
        under_way.spawn(async move { store.record(batch, call).await.expect("recorded") });
    }
    under_way.join_all().await;
    let rate = (BATCHES * BATCH) as f64 / started.elapsed().as_secs_f64();
    store.close();
    rate
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release -p barista --lib -- --ignored --nocapture rows_per_second"]
async fn rows_per_second() {
    let half_a_kib = format!(
        r#"{{"gen_ai.system":"anthropic","text":"{}"}}"#,
        "lorem ipsum ".repeat(38)
    );
    for round in 0..3 {
        let plain = rate("").await;
        let packed = rate(&half_a_kib).await;
        println!("round {round}: {plain:.0} rows/s, {packed:.0} with 0.5 KiB of attributes each");
    }
}

/// Fails when `with_memory` keeps what it remembers without looking where the journal ends.
#[test]
fn what_was_learned_in_an_undone_transaction_is_forgotten() {
    let mut connection = Connection::open_in_memory().expect("a database");
    schema::migrate(&mut connection, Path::new("test"), &TELEMETRY).expect("a schema");
    let mut memory = Memory::default();
    let prepared = |name: &str, id: &str| {
        let mut draft = span_of_a_call("");
        draft.span_id = Some(span(id));
        draft.trace_id = Some(trace(&format!("trace of {name}")));
        draft.labels.name = name.to_owned();
        [Prepared::new(report(draft))]
    };
    for (name, end) in [
        ("undone", "ROLLBACK"),
        ("other", "COMMIT"),
        ("undone", "COMMIT"),
    ] {
        connection.execute_batch("BEGIN").expect("begun");
        let recorded = record::record(&connection, &mut memory, &prepared(name, name));
        let id = recorded.expect("recorded")[0].id;
        let found = row::load(&connection, id).expect("read").expect("there");
        assert_eq!(found.facts.labels.name, name);
        let told = found.facts.place.trace.map(|trace| trace.to_string());
        assert_eq!(told, Some(format!("trace of {name}")));
        connection.execute_batch(end).expect("ended");
    }
}
