//! What agents have used and what it cost: asked in many ways, and always the same sum.

use barista_client::ErrorReason;
use barista_client::pb::analytics::v1::{
    BucketSize, CompareModelsRequest, Dimension, Figures, GetErrorsRequest, GetHeatmapRequest,
    GetLatencyRequest, GetUsageRequest, GetUsageResponse, ListExpensiveObservationsRequest, Scope,
};
use barista_client::pb::trace::v1::{
    Cost, Labels, Level, ObservationKind, ObservationRecord, Tokens,
};
use prost_types::Timestamp;

use crate::support::{TestDaemon, soon};

/// Midnight of Sunday, 25 October 2026, in Berlin: on that day the clocks there are put back.
const MIDNIGHT: i64 = 1_792_879_200;
const HOUR: i64 = 3_600;
const CENT: i64 = 10_000_000;

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: MIDNIGHT + seconds,
        nanos: 0,
    })
}

/// A call of `model` that began `seconds` after [`MIDNIGHT`], took two seconds and cost a cent.
fn call(number: usize, seconds: i64, model: &str) -> ObservationRecord {
    ObservationRecord {
        request_id: format!("req_{number}"),
        kind: ObservationKind::Generation.into(),
        labels: Some(Labels {
            model_responded: model.to_owned(),
            session: format!("s-{}", number % 2),
            ..Labels::default()
        }),
        start_time: at(seconds),
        end_time: at(seconds + 2),
        tokens: Some(Tokens {
            input: 100,
            cache_read: 300,
            output: 50,
            ..Tokens::default()
        }),
        cost: Some(Cost {
            total_nanodollars: CENT,
            ..Cost::default()
        }),
        ..ObservationRecord::default()
    }
}

async fn record(daemon: &TestDaemon, records: Vec<ObservationRecord>) {
    soon(daemon.client().record_observations(records))
        .await
        .expect("recorded");
}

/// Three days around [`MIDNIGHT`].
fn scope() -> Option<Scope> {
    Some(Scope {
        start_time: at(-24 * HOUR),
        end_time: at(49 * HOUR),
        ..Scope::default()
    })
}

async fn usage(daemon: &TestDaemon, request: GetUsageRequest) -> GetUsageResponse {
    let answer = soon(daemon.client().get_usage(request)).await;
    answer.expect("an answer")
}

fn costs(usage: &GetUsageResponse) -> Vec<i64> {
    let totals = usage.buckets.iter().filter_map(|bucket| bucket.total);
    totals
        .map(|total: Figures| total.cost_nanodollars / CENT)
        .collect()
}

#[tokio::test]
async fn a_day_is_that_of_the_callers_clock() {
    let daemon = TestDaemon::start().await;
    // The last hour of Saturday, the first of Sunday, and the 25th of Sunday, which is no hour of Monday yet.
    let hours = [-1, 0, 0, 24, 25];
    let calls = (0..).zip(hours).map(|(n, hour)| call(n, hour * HOUR, "m"));
    record(&daemon, calls.collect()).await;
    for (zone, expected) in [
        ("Europe/Berlin", vec![1, 3, 1]),
        // The range begins and ends within a day there.
        ("UTC", vec![0, 3, 2, 0]),
        ("Asia/Kolkata", vec![0, 3, 2, 0]),
    ] {
        let by_day = usage(
            &daemon,
            GetUsageRequest {
                scope: scope(),
                bucket_size: BucketSize::Day.into(),
                time_zone: zone.to_owned(),
                ..GetUsageRequest::default()
            },
        )
        .await;
        assert_eq!(costs(&by_day), expected, "{zone}");
        let total = by_day.total.expect("a total");
        assert_eq!((total.call_count, total.cost_nanodollars), (5, 5 * CENT));
        assert_eq!(total.tokens.expect("tokens").cache_read, 1_500);
    }
    let request = GetHeatmapRequest {
        scope: scope(),
        time_zone: "Europe/Berlin".to_owned(),
    };
    let heatmap = soon(daemon.client().get_heatmap(request)).await;
    let cells = heatmap.expect("an answer").cells.into_iter();
    let cells: Vec<_> = cells
        .map(|cell| {
            (
                cell.weekday,
                cell.hour,
                cell.figures.unwrap_or_default().call_count,
            )
        })
        .collect();
    assert_eq!(cells, [(1, 0, 1), (6, 23, 1), (7, 0, 2), (7, 23, 1)]);
}

#[tokio::test]
async fn an_unknown_cost_is_counted_and_not_taken_for_nothing() {
    let daemon = TestDaemon::start().await;
    let mut unpriced = call(1, 0, "brand-new");
    unpriced.cost = None;
    record(&daemon, vec![call(0, 0, "m"), unpriced]).await;
    let by_model = usage(
        &daemon,
        GetUsageRequest {
            scope: scope(),
            group_by: vec![Dimension::Model.into()],
            ..GetUsageRequest::default()
        },
    )
    .await;
    let total = by_model.total.expect("a total");
    assert_eq!(
        (total.cost_nanodollars, total.unknown_cost_count),
        (CENT, 1)
    );
    let names: Vec<_> = by_model
        .groups
        .iter()
        .map(|group| &group.names[0])
        .collect();
    assert_eq!(names, ["m", "brand-new"]);
    let request = CompareModelsRequest {
        scope: scope(),
        ..CompareModelsRequest::default()
    };
    let models = soon(daemon.client().compare_models(request)).await;
    let models = models.expect("an answer").groups;
    assert_eq!(models[0].cost_per_call_nanodollars, Some(CENT));
    assert_eq!(
        models[0].cost_per_thousand_output_tokens_nanodollars,
        Some(20 * CENT)
    );
    assert_eq!(models[0].cache_hit_rate, Some(0.75));
    assert_eq!(models[1].cost_per_call_nanodollars, None);
    let request = barista_client::pb::analytics::v1::ListUnknownModelsRequest {
        scope: scope(),
        ..Default::default()
    };
    let unknown = soon(daemon.client().list_unknown_models(request)).await;
    let unknown = unknown.expect("an answer").models;
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].model, "brand-new");
}

#[tokio::test]
async fn latency_errors_and_the_dearest_are_told_by_group() {
    let daemon = TestDaemon::start().await;
    let mut calls: Vec<_> = (0..9).map(|n| call(n, 60, "m")).collect();
    calls[8].end_time = at(160);
    calls[8].level = Level::Error.into();
    calls[8].cost = Some(Cost {
        total_nanodollars: 5 * CENT,
        ..Cost::default()
    });
    record(&daemon, calls).await;
    let request = GetLatencyRequest {
        scope: scope(),
        ..GetLatencyRequest::default()
    };
    let latency = soon(daemon.client().get_latency(request)).await;
    let latency = latency.expect("an answer").total.expect("a total");
    let latency = latency.latency.expect("a distribution");
    assert_eq!(latency.count, 9);
    let millis = |time: Option<prost_types::Duration>| {
        let time = time.expect("a time");
        time.seconds * 1_000 + i64::from(time.nanos / 1_000_000)
    };
    assert!((1_984..=2_016).contains(&millis(latency.p50)));
    assert!((99_200..=100_800).contains(&millis(latency.p99)));
    let request = GetErrorsRequest {
        scope: scope(),
        ..GetErrorsRequest::default()
    };
    let errors = soon(daemon.client().get_errors(request)).await;
    let errors = errors.expect("an answer");
    assert_eq!((errors.error_count, errors.observation_count), (1, 9));
    assert_eq!(errors.groups[0].names, ["m"]);
    let request = ListExpensiveObservationsRequest {
        scope: scope(),
        max_count: 1,
    };
    let dearest = soon(daemon.client().list_expensive_observations(request)).await;
    let dearest = dearest.expect("an answer").observations;
    assert_eq!(dearest.len(), 1);
    assert_eq!(dearest[0].request_id, "req_8");
    // What the sums by the hour do not know comes from the rows.
    let by_session = usage(
        &daemon,
        GetUsageRequest {
            scope: scope(),
            group_by: vec![Dimension::Session.into()],
            bucket_size: BucketSize::Hour.into(),
            ..GetUsageRequest::default()
        },
    )
    .await;
    let sessions: Vec<_> = by_session
        .groups
        .iter()
        .map(|group| {
            (
                group.names[0].as_str(),
                group.figures.expect("figures").cost_nanodollars / CENT,
            )
        })
        .collect();
    assert_eq!(sessions, [("s-0", 9), ("s-1", 4)]);
    let ingestion = soon(daemon.client().get_ingestion())
        .await
        .expect("an answer");
    assert_eq!(ingestion.newest_start_time, at(60));
    assert_eq!(ingestion.head_sequence, 9);
}

#[tokio::test]
async fn who_asks_first_gets_zeros_and_makes_no_file() {
    let daemon = TestDaemon::start().await;
    let request = GetUsageRequest {
        scope: scope(),
        bucket_size: BucketSize::Day.into(),
        ..GetUsageRequest::default()
    };
    let empty = usage(&daemon, request).await;
    assert_eq!(costs(&empty), [0, 0, 0, 0]);
    let ingestion = soon(daemon.client().get_ingestion())
        .await
        .expect("an answer");
    assert_eq!(ingestion.newest_start_time, None);
    let file = daemon
        .home()
        .database()
        .with_file_name("langfuse_export.db");
    assert!(!file.exists());
}

/// Asks for usage with what `change` does to a good request, which must be refused for `field`.
async fn refused(daemon: &TestDaemon, field: &str, change: impl FnOnce(&mut GetUsageRequest)) {
    let mut request = GetUsageRequest {
        scope: scope(),
        ..GetUsageRequest::default()
    };
    change(&mut request);
    let refused = soon(daemon.client().get_usage(request)).await;
    let refused = refused.expect_err(field);
    assert_eq!(refused.reason(), ErrorReason::InvalidField, "{field}");
    let text = refused.to_string();
    assert!(text.contains(&format!("{field}:")), "{text}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let daemon = &TestDaemon::start().await;
    for zone in ["Mars/Olympus", "../../etc/passwd"] {
        refused(daemon, "time_zone", |request| {
            request.time_zone = zone.to_owned();
        })
        .await;
    }
    let model = i32::from(Dimension::Model);
    for (field, dimensions) in [
        ("group_by", vec![model, model]),
        ("group_by[0]", vec![0]),
        ("group_by[0]", vec![99]),
    ] {
        refused(daemon, field, |request| request.group_by = dimensions).await;
    }
    for (groups, bucket) in [
        (-1, BucketSize::Unspecified),
        (1_001, BucketSize::Unspecified),
        (1_000, BucketSize::Hour),
    ] {
        refused(daemon, "max_groups", |request| {
            request.max_groups = groups;
            request.bucket_size = bucket.into();
        })
        .await;
    }
    refused(daemon, "bucket_size", |request| request.bucket_size = 99).await;
    refused(daemon, "bucket_size", |request| {
        request.bucket_size = BucketSize::Day.into();
        request.scope = Some(Scope {
            start_time: at(-100 * 365 * 24 * HOUR),
            ..Scope::default()
        });
    })
    .await;
    refused(daemon, "scope.start_time", |request| {
        request.scope = Some(Scope {
            start_time: at(0),
            end_time: at(0),
            ..Scope::default()
        });
    })
    .await;
    refused(daemon, "scope.kinds[0]", |request| {
        request.scope = Some(Scope {
            kinds: vec![0],
            ..Scope::default()
        });
    })
    .await;
}
