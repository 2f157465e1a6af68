//! What every store must answer: the same as adding up each observation by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::telemetry::{self, record};
use crate::domain::analytics::bucket::position;
use crate::domain::analytics::store::{
    AnalyticsStore, Dimension, ExpensiveQuery, Selection, Sum, SumsQuery,
};
use crate::domain::error::Error;
use crate::domain::hourly::{Totals, failed};
use crate::domain::observation::testing::{NOW, at, log_of_a_call, span, span_of_a_call, trace};
use crate::domain::observation::usage::{Amount, NanoDollars};
use crate::domain::observation::{Observation, ObservationKind};
use crate::domain::sketch::Sketch;
use crate::domain::word::Vocabulary;

/// A store under test: what is recorded in the one is asked of the other.
pub(crate) type Stores = (telemetry::Store, Arc<dyn AnalyticsStore>);

type Key = (usize, Vec<String>, &'static str, bool);

/// Enough for every test.
const ROWS: usize = 10_000;

/// Runs every case, each on a store of its own that `fresh` makes.
pub(crate) async fn run(fresh: impl Fn() -> Stores) {
    nothing_adds_up_to_nothing(&fresh()).await;
    a_cut_hour_is_read_row_by_row(&fresh()).await;
    a_question_that_is_too_broad_is_refused(&fresh()).await;
    the_dearest_come_first(&fresh()).await;
}

/// Checks that the answer to `query` is that of a naive computation.
pub(crate) async fn check_answer((store, analytics): &Stores, query: &SumsQuery) {
    let mut expected: BTreeMap<Key, Totals> = BTreeMap::new();
    for Observation { facts, .. } in telemetry::all(store).await {
        let Some(bucket) = position(&query.bounds, facts.times.start.as_micros()) else {
            continue;
        };
        if !query.selection.matches(&facts) {
            continue;
        }
        let names = query.group_by.iter().map(|by| by.of(&facts).to_owned());
        let key = (bucket, names.collect(), facts.kind.as_str(), failed(&facts));
        let mut totals = Totals::of(&facts);
        if !query.distributions {
            (totals.latency, totals.first_token) = (Sketch::default(), Sketch::default());
        }
        expected.entry(key).or_default().add(&totals);
    }
    let found = analytics.sums(query.clone()).await.expect("an answer");
    assert_eq!(by_key(found), expected, "{query:?}");
}

fn by_key(sums: Vec<Sum>) -> BTreeMap<Key, Totals> {
    let count = sums.len();
    let key = |sum: Sum| {
        (
            (sum.bucket, sum.names, sum.kind.as_str(), sum.failed),
            sum.totals,
        )
    };
    let by_key: BTreeMap<_, _> = sums.into_iter().map(key).collect();
    assert_eq!(by_key.len(), count, "each group once");
    by_key
}

/// Checks that the most expensive are those of a naive computation.
pub(crate) async fn check_expensive((store, analytics): &Stores, query: &ExpensiveQuery) {
    let mut expected: Vec<(i64, i64, i64)> = Vec::new();
    for Observation { id, facts, .. } in telemetry::all(store).await {
        let cost = facts.cost().total().map_or(0, |NanoDollars(nanos)| nanos);
        let start = facts.times.start;
        let in_time = query.start <= start && start < query.end;
        if facts.counts && cost > 0 && in_time && query.selection.matches(&facts) {
            expected.push((cost, start.as_micros(), id));
        }
    }
    expected.sort_unstable();
    expected.reverse();
    expected.truncate(query.limit);
    let found = analytics.expensive(query.clone()).await.expect("an answer");
    let found: Vec<i64> = found
        .into_iter()
        .map(|observation| observation.id)
        .collect();
    let expected: Vec<i64> = expected.into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(found, expected, "{query:?}");
}

/// A question about everything from `first` to `last` seconds after [`NOW`].
fn about(first: i64, last: i64, group_by: Vec<Dimension>) -> SumsQuery {
    SumsQuery {
        bounds: vec![at(first), at(last)],
        group_by,
        selection: Selection::default(),
        distributions: true,
        most_rows: ROWS,
    }
}

async fn nothing_adds_up_to_nothing(stores: &Stores) {
    let (store, analytics) = stores;
    let query = about(-10_000, 10_000, vec![Dimension::Model]);
    assert_eq!(analytics.sums(query.clone()).await.expect("an answer"), []);
    let empty = analytics.ingestion().await.expect("an answer");
    assert_eq!((empty.newest, empty.oldest, empty.head), (None, None, 0));
    record(store, vec![span_of_a_call("r")]).await;
    let mut nobody = query;
    nobody.selection.agent = "nobody".to_owned();
    assert_eq!(analytics.sums(nobody).await.expect("an answer"), []);
    let some = analytics.ingestion().await.expect("an answer");
    assert_eq!(
        (some.newest, some.oldest, some.head),
        (Some(at(0)), Some(at(0)), 1)
    );
}

/// The sums by the hour say that something was within the hour, and not on which side of the bound.
async fn a_cut_hour_is_read_row_by_row(stores: &Stores) {
    let (store, analytics) = stores;
    let call = |seconds: i64| {
        let mut draft = log_of_a_call(&format!("r {seconds}"));
        draft.start_time = at(seconds);
        draft.end_time = Some(at(seconds + 2));
        draft
    };
    record(store, vec![call(-2), call(-1), call(0), call(1), call(2)]).await;
    assert_ne!(NOW % 3_600_000_000, 0, "now is within an hour");
    let mut query = about(-1, 2, Vec::new());
    query.bounds = vec![at(-1), at(0), at(2)];
    let found = by_key(analytics.sums(query.clone()).await.expect("an answer"));
    let counts: Vec<i64> = found.values().map(|totals| totals.observations).collect();
    assert_eq!(counts, [1, 2]);
    assert!(
        found
            .values()
            .all(|totals| totals.cost == 43_400_000 * totals.observations)
    );
    check_answer(stores, &query).await;
}

async fn a_question_that_is_too_broad_is_refused(stores: &Stores) {
    let (store, analytics) = stores;
    let call = |number: i64| {
        let mut draft = log_of_a_call(&format!("r {number}"));
        draft.start_time = at(number * 1_800);
        draft.end_time = None;
        draft
    };
    record(store, (0..10).map(call).collect()).await;
    let mut query = about(-7_200, 36_000, vec![Dimension::Session]);
    for (most_rows, is_answered) in [(10, true), (9, false), (1, false)] {
        query.most_rows = most_rows;
        match analytics.sums(query.clone()).await {
            Ok(sums) => assert!(is_answered && sums.len() == 1),
            Err(Error::QuestionTooBroad { limit }) => {
                assert!(!is_answered && limit == most_rows);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    // What the sums by the hour know takes no row but those of the cut hours.
    query.group_by = vec![Dimension::Model];
    assert_eq!(analytics.sums(query).await.expect("an answer").len(), 1);
}

async fn the_dearest_come_first(stores: &Stores) {
    let (store, analytics) = stores;
    let day = 86_400;
    let call = |number: i64, cost: i64| {
        let mut draft = span_of_a_call(&format!("r {number}"));
        draft.trace_id = Some(trace(&format!("t {number}")));
        draft.span_id = Some(span(&format!("s {number}")));
        draft.start_time = at(number * day / 2 - 9 * day);
        draft.end_time = None;
        draft.labels.agent = if number % 2 == 0 { "even" } else { "odd" }.to_owned();
        draft.counts = number != 3;
        draft.provided_cost = Some(Amount {
            total: NanoDollars(cost),
            ..Amount::default()
        });
        draft
    };
    let costs = [5, 90, 7, 1_000, 0, 90, 8, 6, 7, 7, 400, 1];
    record(
        store,
        (0..).zip(costs).map(|(n, cost)| call(n, cost)).collect(),
    )
    .await;
    let mut query = ExpensiveQuery {
        start: at(-30 * day),
        end: at(0),
        selection: Selection::default(),
        limit: 4,
        most_rows: ROWS,
    };
    let found = analytics.expensive(query.clone()).await.expect("an answer");
    let cost = |observation: &Observation| observation.facts.cost().total();
    let told: Vec<_> = found.iter().filter_map(cost).map(|nanos| nanos.0).collect();
    assert_eq!(told, [400, 90, 90, 8], "an aggregate does not count");
    check_expensive(stores, &query).await;
    query.selection.kinds = vec![ObservationKind::Generation];
    query.selection.agent = "odd".to_owned();
    check_expensive(stores, &query).await;
    (query.start, query.end) = (at(-8 * day), at(-5 * day));
    check_expensive(stores, &query).await;
    query.selection = Selection::default();
    check_expensive(stores, &query).await;
    (query.selection.agent, query.most_rows) = ("odd".to_owned(), 1);
    let refused = analytics.expensive(query).await;
    assert!(
        matches!(refused, Err(Error::QuestionTooBroad { limit: 1 })),
        "{refused:?}"
    );
}
