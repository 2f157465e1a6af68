//! The rows of the table: their order, their words, what each is compared with, and what it should be.

use std::collections::BTreeSet;

use crate::report::Metric::{
    self, Mebibytes, P50Ms, P99Ms, PerSecond, PercentOfCore, ProcessorUs, Times,
};
use Target::{AtLeast, AtMost, Ratio};

/// What the project aims at. Nothing fails because of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// This many times as good as the opponent, or better.
    Ratio(f64),
    /// Our own number, in the unit of its metric, is this or more.
    AtLeast(f64),
    /// Our own number, in the unit of its metric, is this or less.
    AtMost(f64),
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The name under which scenarios record it.
    pub(crate) key: String,
    /// The name under which its opponent is recorded.
    pub(crate) against: Option<String>,
    /// Which of its numbers the row shows.
    pub(crate) metric: Metric,
    /// What is measured.
    pub(crate) what: String,
    /// What it should be.
    pub(crate) target: Option<Target>,
}

/// Rows that differ in a number alone: of callers, watchers or table rows. It stands for `*` in the keys.
struct Family {
    key: &'static str,
    against: Option<&'static str>,
    metrics: &'static [Metric],
    /// The words, with the number as `{callers}`, `{watchers}`, `{rows}` or `{open}`: the half of the rows.
    what: &'static str,
    /// For which number and which metric.
    targets: &'static [(u64, Metric, Target)],
}

impl Family {
    const fn new(key: &'static str, metrics: &'static [Metric], what: &'static str) -> Self {
        Self {
            key,
            against: None,
            metrics,
            what,
            targets: &[],
        }
    }

    const fn against(mut self, key: &'static str) -> Self {
        self.against = Some(key);
        self
    }

    const fn targets(mut self, targets: &'static [(u64, Metric, Target)]) -> Self {
        self.targets = targets;
        self
    }

    /// The numbers of the keys that belong to this family; 0 where its key has no number.
    fn numbers(&self, keys: &BTreeSet<&str>) -> BTreeSet<u64> {
        match self.key.split_once('*') {
            Some((before, after)) => keys
                .iter()
                .filter_map(|key| key.strip_prefix(before)?.strip_suffix(after)?.parse().ok())
                .collect(),
            None => keys.get(self.key).map(|_| 0).into_iter().collect(),
        }
    }

    fn row(&self, number: u64, metric: Metric) -> Row {
        let with_number = |key: &str| key.replace('*', &number.to_string());
        let target = self
            .targets
            .iter()
            .find(|(of, which, _)| *of == number && *which == metric);
        Row {
            key: with_number(self.key),
            against: self.against.map(with_number),
            metric,
            what: words(self.what, number),
            target: target.map(|(.., target)| *target),
        }
    }
}

const LOAD: &[Metric] = &[PerSecond, P50Ms, P99Ms];
const LOAD_AND_COST: &[Metric] = &[PerSecond, P50Ms, P99Ms, ProcessorUs];
const TIMES: &[Metric] = &[P50Ms, P99Ms];

const LEGACY: &[(u64, Metric, Target)] = &[
    (1, PerSecond, Ratio(5.0)),
    (16, PerSecond, Ratio(15.0)),
    (16, P99Ms, Ratio(100.0)),
    (64, PerSecond, Ratio(25.0)),
];
const POSTGRES: &[(u64, Metric, Target)] = &[
    (1, PerSecond, Ratio(1.0)),
    (16, PerSecond, Ratio(1.5)),
    (64, PerSecond, Ratio(2.0)),
];
const NATS: &[(u64, Metric, Target)] = &[
    (1, PerSecond, Ratio(1.0)),
    (16, PerSecond, Ratio(4.0)),
    (64, PerSecond, Ratio(7.0)),
];
const REDIS: &[(u64, Metric, Target)] = &[(1, PerSecond, Ratio(1.0)), (16, PerSecond, Ratio(1.0))];
const REDIS_BATCH: &[(u64, Metric, Target)] = &[(64, PerSecond, Ratio(1.0))];

/// All families, in the order in which they are shown.
const FAMILIES: &[Family] = &[
    Family::new(
        "create/one/*",
        LOAD_AND_COST,
        "durable create, {callers} on one connection, against the legacy way",
    )
    .against("create/legacy/*")
    .targets(LEGACY),
    Family::new(
        "create/each/*",
        LOAD_AND_COST,
        "durable create, {callers} with a connection each, against the legacy way",
    )
    .against("create/legacy/*")
    .targets(LEGACY),
    Family::new(
        "postgres/ours/*",
        LOAD,
        "durable create, {callers} with a connection each, against PostgreSQL",
    )
    .against("postgres/theirs/*")
    .targets(POSTGRES),
    Family::new(
        "postgres/ours-batch/*",
        LOAD,
        "durable rows, 100 per call, {callers} with a connection each, against PostgreSQL",
    )
    .against("postgres/theirs-batch/*"),
    Family::new(
        "nats/ours/*",
        LOAD,
        "durable create, {callers} on one connection, against NATS JetStream",
    )
    .against("nats/theirs/*")
    .targets(NATS),
    Family::new(
        "nats/ours-batch/*",
        LOAD,
        "durable rows, 100 per call, {callers} on one connection, against NATS JetStream",
    )
    .against("nats/theirs-batch/*"),
    Family::new(
        "redis/ours/*",
        LOAD,
        "durable create, {callers} on one connection, against Redis Streams",
    )
    .against("redis/theirs/*")
    .targets(REDIS),
    Family::new(
        "redis/ours-batch/*",
        LOAD,
        "durable rows, 100 per call, {callers} on one connection, against Redis Streams",
    )
    .against("redis/theirs-batch/*")
    .targets(REDIS_BATCH),
    Family::new(
        "batch/*",
        &[PerSecond, ProcessorUs],
        "durable rows, 100 per call, {callers} on one connection",
    ),
    Family::new(
        "limits/call/*",
        LOAD_AND_COST,
        "limit: a call that asks for nothing, {callers} on one connection",
    ),
    Family::new(
        "limits/sync",
        TIMES,
        "limit: writing and syncing the pages of one create",
    ),
    Family::new(
        "callers/one/*",
        LOAD,
        "growth: durable create, {callers} on one connection",
    ),
    Family::new(
        "callers/each/*",
        LOAD,
        "growth: durable create, {callers} with a connection each",
    ),
    Family::new(
        "watch/*",
        TIMES,
        "created → each of {watchers} has it, 200 creates per second",
    )
    .targets(&[(1, P50Ms, AtMost(0.6)), (100, P50Ms, AtMost(1.2))]),
    Family::new(
        "watch/lag",
        &[P99Ms],
        "how late the load generator began these creates",
    ),
    Family::new(
        "watchers/create/*",
        TIMES,
        "growth: durable create with {watchers}, 20 per second",
    ),
    Family::new(
        "watchers/stalled/create/*",
        TIMES,
        "growth: durable create with {watchers}, beside one that is stopped",
    ),
    Family::new(
        "watchers/event/*",
        TIMES,
        "growth: created → each of {watchers} has it, 20 creates per second",
    ),
    Family::new(
        "watchers/stalled/event/*",
        TIMES,
        "growth: created → each of {watchers} has it, beside one that is stopped",
    ),
    // "Changes nobody's p99", with an allowance for what two measurements of a p99 differ by anyway.
    Family::new(
        "watchers/stalled/create-ratio/*",
        &[Times],
        "growth: p99 of a create with {watchers}, beside a stopped one to without",
    )
    .targets(&[(1000, Times, AtMost(1.2))]),
    Family::new(
        "watchers/stalled/event-ratio/*",
        &[Times],
        "growth: p99 of {watchers}, beside a stopped one to without",
    )
    .targets(&[(1000, Times, AtMost(1.2))]),
    Family::new(
        "watchers/lag/*",
        &[P99Ms],
        "how late the load generator began its creates, {watchers}",
    ),
    Family::new(
        "foreign",
        TIMES,
        "a row by Python's sqlite3 → watcher has it, from before the insert",
    )
    .targets(&[(0, P50Ms, AtMost(10.0)), (0, P99Ms, AtMost(10.0))]),
    Family::new(
        "foreign/itself",
        &[P50Ms],
        "of which Python's own insert and commit",
    ),
    Family::new("respond", TIMES, "response given → waiting agent has it").targets(&[(
        0,
        P99Ms,
        AtMost(5.0),
    )]),
    Family::new(
        "respond/create",
        &[P50Ms],
        "durable create at the same pace",
    ),
    Family::new("respond/ratio", &[Times], "the former to the latter").targets(&[(
        0,
        Times,
        AtMost(2.0),
    )]),
    Family::new(
        "inbox/urgent/*",
        TIMES,
        "100 most urgent of {open} open, {rows}",
    ),
    Family::new(
        "inbox/urgent/ratio",
        &[Times],
        "the largest inbox to the smallest, most urgent",
    )
    .targets(&[(0, Times, AtMost(1.5))]),
    Family::new("inbox/newest/*", TIMES, "100 newest of {open} open, {rows}"),
    Family::new(
        "inbox/newest/ratio",
        &[Times],
        "the largest inbox to the smallest, newest",
    )
    .targets(&[(0, Times, AtMost(1.5))]),
    Family::new(
        "resume",
        &[PerSecond],
        "events on resuming 100 thousand events back",
    )
    .targets(&[(0, PerSecond, AtLeast(200_000.0))]),
    Family::new("start", TIMES, "start of the daemon to its first reply").targets(&[(
        0,
        P50Ms,
        AtMost(10.0),
    )]),
    Family::new(
        "cli",
        TIMES,
        "a whole process that creates one, against a Python script",
    )
    .against("cli/legacy")
    .targets(&[(0, P50Ms, AtMost(3.0))]),
    Family::new("memory/idle", &[Mebibytes], "daemon, idle").targets(&[(
        0,
        Mebibytes,
        AtMost(15.0),
    )]),
    Family::new(
        "memory/loaded",
        &[Mebibytes],
        "daemon, peak under 64 callers",
    )
    .targets(&[(0, Mebibytes, AtMost(32.0))]),
    Family::new(
        "memory/watchers",
        &[Mebibytes],
        "daemon, 1,000 idle watchers",
    )
    .targets(&[(0, Mebibytes, AtMost(64.0))]),
    Family::new(
        "cpu/watchers",
        &[PercentOfCore],
        "daemon, 1,000 idle watchers",
    )
    .targets(&[(0, PercentOfCore, AtMost(1.0))]),
    Family::new(
        "logging/info",
        &[PerSecond],
        "durable create, 64 callers, logging at info (the default)",
    ),
    Family::new("logging/warn", &[PerSecond], "the same, logging at warn"),
    Family::new(
        "logging/ratio",
        &[Times],
        "logging at warn to logging at info",
    ),
];

/// The rows for what was recorded under `keys`.
pub(crate) fn rows(keys: &BTreeSet<&str>) -> Vec<Row> {
    FAMILIES
        .iter()
        .flat_map(|family| {
            family
                .numbers(keys)
                .into_iter()
                .flat_map(|number| family.metrics.iter().map(move |metric| (number, *metric)))
                .map(|(number, metric)| family.row(number, metric))
        })
        .collect()
}

fn words(what: &str, number: u64) -> String {
    let counted = |one: &str| match number {
        0 => format!("no {one}s"),
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", amount(number)),
    };
    what.replace("{callers}", &counted("caller"))
        .replace("{watchers}", &counted("watcher"))
        .replace("{rows}", &counted("row"))
        .replace("{open}", &amount(number / 2))
}

/// A count in words where it is a round one.
fn amount(number: u64) -> String {
    match number {
        _ if number >= 1_000_000 && number.is_multiple_of(100_000) => {
            format!("{} million", number as f64 / 1e6)
        }
        _ if number >= 5_000 && number.is_multiple_of(1_000) => {
            format!("{} thousand", number / 1_000)
        }
        _ if number >= 1_000 => format!("{},{:03}", number / 1_000, number % 1_000),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_shown_twice() {
        let mut seen: Vec<_> = FAMILIES
            .iter()
            .flat_map(|family| family.metrics.iter().map(|metric| (family.key, *metric)))
            .collect();
        seen.sort_unstable();
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    /// A target for a metric that its family does not show would never be seen.
    #[test]
    fn every_target_is_shown() {
        for family in FAMILIES {
            for (number, metric, target) in family.targets {
                assert!(family.metrics.contains(metric), "{}", family.key);
                assert_eq!(*number > 0, family.key.contains('*'), "{}", family.key);
                let is_ratio = matches!(target, Ratio(_));
                assert!(!is_ratio || family.against.is_some(), "{}", family.key);
            }
        }
    }

    #[test]
    fn a_family_has_a_row_for_each_number_that_was_measured() {
        let keys = BTreeSet::from(["watch/100", "watch/lag", "watch/1", "resume"]);
        let rows = rows(&keys);
        let of = |key: &str| rows.iter().filter(|row| row.key == key).count();
        assert_eq!((of("watch/1"), of("watch/100"), of("watch/lag")), (2, 2, 1));
        assert!(
            rows[0].what.contains("each of 1 watcher has it"),
            "{:?}",
            rows[0]
        );
        assert_eq!(rows[0].target, Some(AtMost(0.6)));
        assert_eq!(rows[1].target, None);
    }

    #[test]
    fn round_counts_are_words() {
        let expected = [
            (999, "999"),
            (1024, "1,024"),
            (5_000, "5 thousand"),
            (500_000, "500 thousand"),
            (10_000_000, "10 million"),
            (1_500_000, "1.5 million"),
        ];
        for (number, text) in expected {
            assert_eq!(amount(number), text);
        }
    }
}
