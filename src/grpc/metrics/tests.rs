use std::collections::{BTreeMap, BTreeSet};

use super::super::pb::consumer::v1 as consumer_pb;
use super::super::server::Limits;
use super::super::testing::TestServer;
use super::*;
use crate::grpc::pb::admin::v1::{
    CheckpointRequest, CheckpointResponse, GetMetricsRequest, GetMetricsResponse,
};
use crate::grpc::pb::notification::v1 as pb;

/// The dashboard that is shipped.
const DASHBOARD: &str = include_str!("../../../clients/grafana/barista.json");

/// The name of a sample, its labels as they stand, and its value.
type Sample = (String, String, f64);

/// A page, read strictly: whatever Prometheus' own checker would complain about is a panic.
struct Read {
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

fn read(page: &str) -> Read {
    assert!(page.ends_with('\n'));
    let mut kinds = BTreeMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut family = String::new();
    let mut helped = String::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a help text");
            assert!(text.ends_with('.') && text.len() > 5, "{line}");
            helped = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(name, helped, "help comes first");
            check_name(name, kind);
            let before = kinds.insert(name.to_owned(), kind.to_owned());
            assert_eq!(before, None, "{name} twice");
            family = name.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let base = match kinds[&family].as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix))
                    .expect("a part of a histogram"),
                _ => &name,
            };
            assert_eq!(base, family, "samples of a family stand together");
            let is_new = !samples.iter().any(|(n, l, _)| *n == name && *l == labels);
            assert!(is_new, "{line} twice");
            samples.push((name, labels, value));
        }
    }
    Read { kinds, samples }
}

fn check_name(name: &str, kind: &str) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(name.chars().all(plain), "{name}");
    assert!(
        name.starts_with("barista_") || name.starts_with("process_"),
        "{name}"
    );
    assert_eq!(
        kind == "counter",
        name.ends_with("_total"),
        "{name} is a {kind}"
    );
    for reserved in ["_bucket", "_sum", "_count"] {
        assert!(!name.ends_with(reserved), "{name}");
    }
    for unit in ["milliseconds", "_ms", "micros", "kib", "_mb"] {
        assert!(!name.contains(unit), "{name} has no base unit");
    }
}

fn sample(line: &str) -> Sample {
    let (key, value) = line.rsplit_once(' ').expect("a value");
    let value: f64 = value.parse().expect("a number");
    assert!(value >= 0.0, "{line}");
    match key.split_once('{') {
        None => (key.to_owned(), String::new(), value),
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').expect("a closing brace");
            (name.to_owned(), labels.to_owned(), value)
        }
    }
}

impl Read {
    /// The sum of the samples of `name` that have all of `labels`.
    fn value(&self, name: &str, labels: &[&str]) -> f64 {
        let meant = |(n, l, _): &&Sample| n == name && labels.iter().all(|label| l.contains(label));
        self.samples
            .iter()
            .filter(meant)
            .map(|(_, _, value)| value)
            .sum()
    }

    /// Checks that each histogram's buckets grow and end with its count.
    fn check_histograms(&self) {
        let without_bound = |labels: &str| {
            let labels: Vec<&str> = labels
                .split(',')
                .filter(|l| !l.starts_with("le="))
                .collect();
            labels.join(",")
        };
        let mut last: BTreeMap<(String, String), f64> = BTreeMap::new();
        for (name, labels, value) in &self.samples {
            if let Some(base) = name.strip_suffix("_bucket") {
                let key = (base.to_owned(), without_bound(labels));
                assert!(
                    last.insert(key, *value).unwrap_or(0.0) <= *value,
                    "{name} {labels}"
                );
            }
        }
        assert!(!last.is_empty());
        for ((base, labels), value) in last {
            let count = format!("{base}_count");
            let found = self
                .samples
                .iter()
                .find(|(n, l, _)| *n == count && *l == labels);
            assert_eq!(found.expect("a count").2, value, "{base} {labels}");
        }
    }
}

async fn metrics(client: &super::super::testing::Client) -> Read {
    let method = "/barista.admin.v1.AdminService/GetMetrics";
    let reply: GetMetricsResponse = client
        .call(method, GetMetricsRequest {})
        .await
        .expect("a page");
    read(&reply.text)
}

/// A server that has done one of everything that is counted.
async fn busy() -> (TestServer, super::super::testing::Client) {
    let server = TestServer::start(Limits::default(), Duration::from_secs(1));
    let client = server.connect().await;
    let question = pb::CreateNotificationRequest {
        r#type: pb::NotificationType::Question.into(),
        title: "Deploy?".to_owned(),
        ..Default::default()
    };
    let service = "/barista.notification.v1.NotificationService";
    let create = "/barista.notification.v1.NotificationService/CreateNotification";
    let created: pb::CreateNotificationResponse =
        client.call(create, question).await.expect("created");
    let respond = "/barista.notification.v1.NotificationService/RespondNotification";
    let answer = pb::RespondNotificationRequest {
        id: created.notification.expect("a notification").id,
        text: "yes".to_owned(),
        ..Default::default()
    };
    let answered: Result<pb::RespondNotificationResponse, _> = client.call(respond, answer).await;
    answered.expect("answered");
    let get = "/barista.notification.v1.NotificationService/GetNotification";
    let missing: Result<pb::GetNotificationResponse, _> = client
        .call(get, pb::GetNotificationRequest { id: 99 })
        .await;
    missing.expect_err("there is none");
    let made_up: Result<(), _> = client.call("/a.B/C", ()).await;
    made_up.expect_err("there is no such method");
    let consumer = consumer_pb::CreateConsumerRequest {
        name: "bell".to_owned(),
        start: Some(consumer_pb::create_consumer_request::Start::Position(
            consumer_pb::ConsumerPosition::Oldest.into(),
        )),
        ..Default::default()
    };
    let path = "/barista.consumer.v1.ConsumerService/CreateConsumer";
    let created: Result<consumer_pb::CreateConsumerResponse, _> = client.call(path, consumer).await;
    created.expect("created");
    let path = "/barista.admin.v1.AdminService/Checkpoint";
    let moved: Result<CheckpointResponse, _> =
        client.call(path, CheckpointRequest::default()).await;
    moved.expect("moved");
    assert!(create.starts_with(service));
    (server, client)
}

#[tokio::test]
async fn a_busy_server_s_page_is_well_formed_and_tells_what_happened() {
    let (server, client) = busy().await;
    let page = metrics(&client).await;
    page.check_histograms();
    let calls = |method: &str, code: &str| {
        let (method, code) = (format!("{method}\""), format!("code=\"{code}\""));
        page.value("barista_rpcs_total", &[&method, &code])
    };
    assert_eq!(calls("CreateNotification", "OK"), 1.0);
    assert_eq!(calls("GetNotification", "NOT_FOUND"), 1.0);
    assert_eq!(
        calls("method=\"other", "UNIMPLEMENTED"),
        1.0,
        "no label that callers make up"
    );
    assert_eq!(
        page.value(
            "barista_rpc_duration_seconds_count",
            &["RespondNotification\""]
        ),
        1.0
    );
    assert_eq!(
        page.value("barista_rpcs_running", &[]),
        1.0,
        "the one that asks"
    );
    assert_eq!(page.value("barista_notifications_created_total", &[]), 1.0);
    assert_eq!(page.value("barista_response_delay_seconds_count", &[]), 1.0);
    assert_eq!(page.value("barista_consumer_lag_events", &["bell"]), 2.0);
    assert_eq!(page.value("barista_consumer_holds_journal", &["bell"]), 1.0);
    assert_eq!(page.value("barista_writer_writes_total", &[]), 3.0);
    assert_eq!(page.value("barista_writer_batch_writes_sum", &[]), 3.0);
    let commits = page.value("barista_writer_commits_total", &[]);
    assert_eq!(
        page.value("barista_writer_commit_duration_seconds_count", &[]),
        commits
    );
    assert_eq!(
        page.value("barista_writer_checkpoint_duration_seconds_count", &[]),
        1.0
    );
    assert!(page.value("barista_database_size_bytes", &["notifications.db"]) > 0.0);
    assert!(page.value("process_start_time_seconds", &[]) > 0.0);
    #[cfg(target_os = "linux")]
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(page.value(name, &[]) > 1.0, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_metric_of_the_dashboard_exists() {
    let (server, client) = busy().await;
    let page = metrics(&client).await;
    let mut known: BTreeSet<String> = page.kinds.keys().cloned().collect();
    known.extend(page.samples.iter().map(|(name, _, _)| name.clone()));
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut named = 0;
    for target in panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array())
        .flatten()
    {
        let query = target["expr"].as_str().expect("a query");
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("barista_") || w.starts_with("process_")) {
            assert!(known.contains(word), "{word} in {query}");
            named += 1;
        }
    }
    assert!(named > 10, "a dashboard that shows {named} metrics");
    server.stop().await;
}
