//! What is recorded for the transcript of `barista stats`.

use barista_client::pb::trace::v1::{
    Cost, Labels, Level, ObservationKind, ObservationRecord, Tokens,
};
use barista_client::{Client, ConnectOptions};
use prost_types::Timestamp;

use crate::home::Home;
use crate::program::Running;

/// Monday, 2 March 2026, 09:00 UTC.
const START: i64 = 1_772_442_000;

/// Starts the daemon, and records a week of calls, the same in every run.
pub(crate) fn record(home: &Home) {
    let mut start = home.command("barista");
    let started = Running::start(start.args(["daemon", "start"])).end();
    assert_eq!(started.code(), 0);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = ConnectOptions::new().data_dir(Some(home.data_dir()));
        let client = Client::connect(options).await.expect("a daemon");
        let records = (0..60).map(call).collect();
        let results = client.record_observations(records).await;
        results.expect("recorded");
    });
}

fn call(number: i64) -> ObservationRecord {
    let start = START + number * 2 * 3_600 + number * 60;
    let time = |millis: i64| {
        Some(Timestamp {
            seconds: start + millis / 1_000,
            nanos: i32::try_from(millis % 1_000 * 1_000_000).expect("small"),
        })
    };
    let (model, provider) = match number % 4 {
        0 | 1 => ("claude-sonnet-4-5", "anthropic"),
        2 => ("gpt-5", "openai"),
        _ => ("brand-new\u{1b}[2J", ""),
    };
    let cost = (number % 4 != 3).then(|| Cost {
        total_nanodollars: (number + 1) * 12_345_678,
        ..Cost::default()
    });
    let level = if number % 10 == 9 {
        Level::Error
    } else {
        Level::Default
    };
    ObservationRecord {
        request_id: format!("req_{number}"),
        kind: ObservationKind::Generation.into(),
        level: level.into(),
        labels: Some(Labels {
            name: "llm_request".to_owned(),
            model_responded: model.to_owned(),
            provider: provider.to_owned(),
            agent: if number % 3 == 0 { "robin" } else { "kim" }.to_owned(),
            session: format!("s-{}", number % 2),
            ..Labels::default()
        }),
        start_time: time(0),
        end_time: time(500 + number * 100),
        completion_start_time: time(200),
        tokens: Some(Tokens {
            input: 1_000 + number,
            cache_read: 20_000,
            output: 700,
            ..Tokens::default()
        }),
        cost,
        ..ObservationRecord::default()
    }
}
