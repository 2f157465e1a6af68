//! How the questions are answered: from indexes, and without sorting.

use rusqlite::Connection;

use super::super::super::schema::migrate;
use super::super::TELEMETRY;
use super::{COUNT, HOURS, NEWEST, OLDEST, ROWS, expensive};

/// What the planner says about `sql`.
fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .expect("a plan");
    let parameters = vec![1; statement.parameter_count()];
    let rows = statement
        .query_map(rusqlite::params_from_iter(parameters), |row| {
            row.get::<_, String>(3)
        })
        .expect("a plan");
    rows.collect::<Result<Vec<_>, _>>()
        .expect("a plan")
        .join("; ")
}

#[test]
fn every_question_is_answered_from_an_index_without_sorting() {
    let mut connection = Connection::open_in_memory().expect("a database");
    migrate(&mut connection, std::path::Path::new("test"), &TELEMETRY).expect("a schema");
    let [next_day, day] = expensive::STATEMENTS;
    let expected = [
        (
            HOURS,
            "SEARCH analytics_hourly USING INDEX analytics_hourly_group (hour>? AND hour<?)",
        ),
        (
            COUNT,
            "SEARCH analytics_hourly USING INDEX analytics_hourly_group (hour>? AND hour<?)",
        ),
        (
            ROWS,
            "SEARCH telemetry_observations USING INDEX telemetry_observations_start (start_us>? AND start_us<?)",
        ),
        (NEWEST, "COVERING INDEX telemetry_observations_start"),
        (OLDEST, "COVERING INDEX telemetry_observations_start"),
        (next_day, "INDEX telemetry_observations_cost (<expr>>?)"),
        (
            day,
            "INDEX telemetry_observations_cost (<expr>=? AND <expr>>?)",
        ),
    ];
    for (sql, index) in expected {
        let plan = plan(&connection, sql);
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
