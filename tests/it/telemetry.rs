//! What agents do and what it costs: recorded, joined, listed, followed, and never lost.

use barista_client::ErrorReason;
use barista_client::pb::admin::v1::{CheckIntegrityRequest, CreateBackupRequest};
use barista_client::pb::trace::v1::{
    Cost, CostSource, Labels, ListObservationsRequest, ListTracesRequest, Observation,
    ObservationChangeKind, ObservationFilter, ObservationKind, ObservationRecord, RecordOutcome,
    RecordResult, RecordSource, Tokens, WatchObservationsRequest, WatchStart,
};
use prost_types::Timestamp;
use rusqlite::Connection;

use crate::support::{TestDaemon, soon};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: 1_760_000_000 + seconds,
        nanos: 0,
    })
}

/// A generation of two seconds as a span describes it.
pub(crate) fn span(id: &str) -> ObservationRecord {
    ObservationRecord {
        trace_id: TRACE.to_owned(),
        span_id: id.to_owned(),
        kind: ObservationKind::Generation.into(),
        labels: Some(Labels {
            name: "llm_request".to_owned(),
            model_responded: "claude-sonnet-4-5".to_owned(),
            ..Labels::default()
        }),
        start_time: at(0),
        end_time: at(2),
        ..ObservationRecord::default()
    }
}

/// The same call as a log describes it, with tokens and cost.
fn log(request_id: &str) -> ObservationRecord {
    ObservationRecord {
        source: RecordSource::Log.into(),
        request_id: request_id.to_owned(),
        kind: ObservationKind::Generation.into(),
        start_time: at(1),
        end_time: at(3),
        tokens: Some(Tokens {
            input: 5,
            cache_read: 128_955,
            cache_write_5m: 1_253,
            ..Tokens::default()
        }),
        cost: Some(Cost {
            total_nanodollars: 43_400_000,
            ..Cost::default()
        }),
        ..ObservationRecord::default()
    }
}

async fn record(daemon: &TestDaemon, records: Vec<ObservationRecord>) -> Vec<RecordResult> {
    soon(daemon.client().record_observations(records))
        .await
        .expect("recorded")
}

fn outcomes(results: &[RecordResult]) -> Vec<RecordOutcome> {
    results.iter().map(RecordResult::outcome).collect()
}

async fn list(daemon: &TestDaemon, filter: ObservationFilter) -> Vec<Observation> {
    let request = ListObservationsRequest {
        filter: Some(filter),
        ..ListObservationsRequest::default()
    };
    let page = soon(daemon.client().list_observations(request)).await;
    page.expect("a page").observations
}

#[tokio::test]
async fn a_trace_is_a_tree_with_sums() {
    let daemon = TestDaemon::start().await;
    let root = ObservationRecord {
        kind: ObservationKind::Agent.into(),
        labels: Some(Labels {
            name: "fix the bug".to_owned(),
            agent: "robin".to_owned(),
            ..Labels::default()
        }),
        start_time: at(-1),
        end_time: at(60),
        ..span("00000000000000aa")
    };
    let call = ObservationRecord {
        parent_id: "00000000000000aa".to_owned(),
        request_id: "req_1".to_owned(),
        ..span("00000000000000bb")
    };
    let results = record(&daemon, vec![call, root, log("req_1")]).await;
    let expected = [
        RecordOutcome::Stored,
        RecordOutcome::Stored,
        RecordOutcome::Merged,
    ];
    assert_eq!(outcomes(&results), expected);
    let tree = soon(daemon.client().get_trace(TRACE)).await.expect("there");
    let trace = tree.trace.expect("a trace");
    assert_eq!(
        (trace.name.as_str(), trace.observation_count),
        ("fix the bug", 2)
    );
    assert_eq!(
        (trace.cost_nanodollars, trace.start_time, trace.end_time),
        (43_400_000, at(-1), at(60))
    );
    let [root, call] = &tree.observations[..] else {
        panic!("{:?}", tree.observations);
    };
    assert_eq!(
        (root.parent_id.as_str(), call.parent_id.as_str()),
        ("", root.span_id.as_str())
    );
    assert_eq!(
        (call.start_time, call.end_time),
        (at(0), at(2)),
        "by the span"
    );
    assert_eq!(
        call.tokens.map(|tokens| tokens.cache_read),
        Some(128_955),
        "by the log"
    );
    assert_eq!(call.cost_source(), CostSource::Provided);
    let missing = soon(daemon.client().get_trace("none"))
        .await
        .expect_err("none");
    assert_eq!(missing.reason(), ErrorReason::TraceNotFound);
}

#[tokio::test]
async fn span_and_log_are_one_in_either_order_and_twice_is_once() {
    let both = || {
        let span = ObservationRecord {
            request_id: "req_1".to_owned(),
            ..span("00000000000000bb")
        };
        [span, log("req_1")]
    };
    let mut seen = Vec::new();
    for reverse in [false, true] {
        let daemon = TestDaemon::start().await;
        let mut records = both();
        if reverse {
            records.reverse();
        }
        for one in records.clone() {
            record(&daemon, vec![one]).await;
        }
        let again = record(&daemon, records.to_vec()).await;
        assert_eq!(outcomes(&again), [RecordOutcome::Duplicate; 2]);
        let mut all = list(&daemon, ObservationFilter::default()).await;
        assert_eq!(all.len(), 1);
        all[0].sequence = 0;
        seen.push(all.remove(0));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_record_that_breaks_a_rule_is_rejected_alone() {
    let daemon = TestDaemon::start().await;
    let backwards = ObservationRecord {
        end_time: at(-1),
        ..span("00000000000000b2")
    };
    let kindless = ObservationRecord {
        kind: 0,
        ..span("00000000000000b3")
    };
    let homeless = ObservationRecord {
        trace_id: String::new(),
        ..span("00000000000000b4")
    };
    let records = vec![kindless, span("00000000000000b1"), backwards, homeless];
    let results = record(&daemon, records).await;
    let rejected = RecordOutcome::Rejected;
    let expected = [rejected, RecordOutcome::Stored, rejected, rejected];
    assert_eq!(outcomes(&results), expected);
    let fields: Vec<&str> = results.iter().map(|result| result.field.as_str()).collect();
    assert_eq!(fields, ["kind", "", "end_time", "trace_id"]);
    assert_eq!(list(&daemon, ObservationFilter::default()).await.len(), 1);
    for count in [0, 1_001] {
        let records = vec![span("00000000000000b1"); count];
        let refused = soon(daemon.client().record_observations(records)).await;
        assert_eq!(
            refused.expect_err("refused").reason(),
            ErrorReason::InvalidField
        );
    }
}

#[tokio::test]
async fn lists_come_in_pages_and_filtered() {
    let daemon = TestDaemon::start().await;
    let records = (1..=9).map(|number| ObservationRecord {
        trace_id: format!("session {}", number / 3),
        start_time: at(number),
        end_time: None,
        kind: if number % 2 == 0 {
            ObservationKind::Tool.into()
        } else {
            ObservationKind::Generation.into()
        },
        ..span(&format!("span {number}"))
    });
    record(&daemon, records.collect()).await;
    let mut ids = Vec::new();
    let mut request = ListObservationsRequest {
        page_size: 4,
        ..ListObservationsRequest::default()
    };
    loop {
        let page = soon(daemon.client().list_observations(request.clone())).await;
        let page = page.expect("a page");
        ids.extend(page.observations.into_iter().map(|found| found.span_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<String> = (1..=9)
        .rev()
        .map(|number| format!("span {number}"))
        .collect();
    assert_eq!(ids, expected);
    let tools = ObservationFilter {
        kinds: vec![ObservationKind::Tool.into()],
        trace_id: "session 2".to_owned(),
        ..ObservationFilter::default()
    };
    assert_eq!(list(&daemon, tools).await.len(), 2);
    let traces = soon(daemon.client().list_traces(ListTracesRequest::default())).await;
    assert_eq!(traces.expect("a page").traces.len(), 4);
    request.filter = Some(ObservationFilter {
        model: "another".to_owned(),
        ..ObservationFilter::default()
    });
    let foreign = soon(daemon.client().list_observations(request)).await;
    assert_eq!(
        foreign.expect_err("another filter").reason(),
        ErrorReason::InvalidField
    );
}

#[tokio::test]
async fn a_watch_goes_on_after_a_crash_and_nothing_acknowledged_is_lost() {
    let mut daemon = TestDaemon::start().await;
    let mut watch = daemon
        .client()
        .watch_observations(WatchObservationsRequest {
            start: WatchStart::Oldest.into(),
            ..WatchObservationsRequest::default()
        });
    let mut told = Vec::new();
    for round in 0..3 {
        let first = span(&format!("span {round}"));
        let second = ObservationRecord {
            status_message: "done".to_owned(),
            ..first.clone()
        };
        record(&daemon, vec![first]).await;
        record(&daemon, vec![second]).await;
        daemon.kill().await;
        daemon.restart().await;
        for _ in 0..2 {
            let event = soon(watch.next()).await.expect("an event");
            told.push((event.sequence, event.kind()));
        }
    }
    let kinds = [ObservationChangeKind::Stored, ObservationChangeKind::Merged];
    let expected: Vec<_> = (1..).zip(kinds.into_iter().cycle()).take(6).collect();
    assert_eq!(told, expected);
    let all = list(&daemon, ObservationFilter::default()).await;
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|found| found.status_message == "done"));
    let cursor = watch.cursor().expect("a place").clone();
    let ahead = WatchObservationsRequest {
        after: Some(barista_client::pb::trace::v1::Cursor {
            sequence: 99,
            ..cursor
        }),
        ..WatchObservationsRequest::default()
    };
    let refused = soon(daemon.client().watch_observations(ahead).next()).await;
    assert_eq!(
        refused.expect_err("ahead").reason(),
        ErrorReason::UnknownCursor
    );
}

#[tokio::test]
async fn without_telemetry_there_is_no_file_and_with_it_operators_see_one_more() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let names = async || {
        let status = soon(client.get_status()).await.expect("a status");
        let names = status.databases.into_iter().map(|database| database.name);
        names.collect::<Vec<_>>()
    };
    let path = daemon.home().data_dir().join("langfuse_export.db");
    assert!(!path.exists());
    assert_eq!(names().await, ["notifications.db"]);
    record(&daemon, vec![span("00000000000000b1")]).await;
    assert_eq!(names().await, ["notifications.db", "langfuse_export.db"]);
    let all = CheckIntegrityRequest::default();
    let report = soon(client.check_integrity(all)).await.expect("checked");
    assert_eq!((report.databases.len(), report.findings.len()), (2, 0));
    let request = CreateBackupRequest {
        database: "langfuse_export.db".to_owned(),
        ..CreateBackupRequest::default()
    };
    let backup = soon(client.create_backup(request, |_| {}))
        .await
        .expect("a backup");
    let copy = Connection::open(&backup.path).expect("open");
    let count = "SELECT count(*) FROM generations";
    let count: i64 = copy
        .query_row(count, [], |row| row.get(0))
        .expect("a count");
    assert_eq!((count, backup.sequence), (1, 1));
}

/// Fails when `go_on_after` of the telemetry does nothing: ids would be given out twice.
#[tokio::test]
async fn a_restored_backup_of_the_telemetry_gives_out_no_id_twice() {
    let mut daemon = TestDaemon::start().await;
    record(&daemon, vec![span("00000000000000b1")]).await;
    let request = CreateBackupRequest {
        database: "langfuse_export.db".to_owned(),
        ..CreateBackupRequest::default()
    };
    let making = daemon.client().create_backup(request, |_| {});
    let backup = soon(making).await.expect("a backup");
    let lost = record(&daemon, vec![span("00000000000000b2")]).await[0].id;
    daemon.terminate().await;
    let told = |argument: &str| {
        let mut command = daemon.home().command();
        let output = command.args(["--json", argument, &backup.path]).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect(&said)
    };
    let verified = told("--verify");
    assert_eq!(
        (&verified["sound"], &verified["observations"]),
        (&true.into(), &1.into()),
        "{verified}"
    );
    let restored = told("--restore");
    assert_eq!(restored["database"], "langfuse_export.db", "{restored}");
    daemon.restart().await;
    let left = list(&daemon, ObservationFilter::default()).await;
    let left: Vec<&str> = left.iter().map(|found| found.span_id.as_str()).collect();
    assert_eq!(left, ["00000000000000b1"]);
    let new = record(&daemon, vec![span("00000000000000b3")]).await[0].id;
    assert!(new > lost, "{new} after {lost}");
}

#[tokio::test]
async fn content_is_kept_only_where_it_is_wanted_and_secrets_never() {
    let secret = format!("sk-ant-{}", "a1B2c3D4e5F6g7H8i9J0");
    let told = || ObservationRecord {
        input: Some(format!("use {secret}")),
        attributes: format!(r#"{{"note":"{secret}","gen_ai.prompt":"hello"}}"#),
        ..span("00000000000000b1")
    };
    for (config, input, attributes) in [
        ("", None, r#"{"note":"[redacted]"}"#),
        (
            "[telemetry]\ncontent = \"full\"",
            Some("use [redacted]"),
            r#"{"gen_ai.prompt":"hello","note":"[redacted]"}"#,
        ),
    ] {
        let daemon = TestDaemon::configured(config).await;
        let id = record(&daemon, vec![told()]).await[0].id;
        let found = soon(daemon.client().get_observation(id))
            .await
            .expect("there");
        assert_eq!(found.input.as_deref(), input);
        assert_eq!(found.attributes, attributes);
    }
}

#[tokio::test]
async fn an_agent_may_record_and_not_read() {
    let daemon = TestDaemon::start().await;
    let agent = daemon.agent(&"k".repeat(32)).await;
    let results = soon(agent.record_observations(vec![span("00000000000000b1")])).await;
    assert_eq!(
        outcomes(&results.expect("recorded")),
        [RecordOutcome::Stored]
    );
    let refused = soon(agent.get_trace(TRACE)).await.expect_err("refused");
    assert_eq!(refused.reason(), ErrorReason::AgentNotAllowed);
    let all = ListObservationsRequest::default();
    let refused = soon(agent.list_observations(all))
        .await
        .expect_err("refused");
    assert_eq!(refused.reason(), ErrorReason::AgentNotAllowed);
}
