//! The rows of the table: their order, their words, what each is compared with, and what it should be.

use crate::report::Metric::{
    self, Mebibytes, P50Ms, P99Ms, PerSecond, PercentOfCore, ProcessorUs, Times,
};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The name under which scenarios record it.
    pub(crate) key: &'static str,
    /// The name under which its opponent is recorded.
    pub(crate) against: Option<&'static str>,
    /// Which of its numbers the row shows.
    pub(crate) metric: Metric,
    /// What is measured.
    pub(crate) what: &'static str,
    /// What the project aims at, in words. Nothing fails because of it.
    pub(crate) target: &'static str,
}

const fn row(key: &'static str, metric: Metric, what: &'static str, target: &'static str) -> Row {
    Row {
        key,
        against: None,
        metric,
        what,
        target,
    }
}

const fn versus(
    key: &'static str,
    against: &'static str,
    metric: Metric,
    what: &'static str,
    target: &'static str,
) -> Row {
    Row {
        key,
        against: Some(against),
        metric,
        what,
        target,
    }
}

const ONE_1: &str = "durable create, 1 caller";
const ONE_16: &str = "durable create, 16 callers on one connection";
const ONE_64: &str = "durable create, 64 callers on one connection";
const ONE_256: &str = "durable create, 256 callers on one connection";
const EACH_16: &str = "durable create, 16 callers, a connection each";
const EACH_64: &str = "durable create, 64 callers, a connection each";
const EACH_256: &str = "durable create, 256 callers, a connection each";
const WATCH_1: &str = "created → one watcher has it";
const WATCH_100: &str = "created → each of 100 watchers has it";
const LAG: &str = "how late the load generator began its paced calls";
const FOREIGN: &str = "a row by Python's sqlite3 → watcher has it, from before the insert";
const FOREIGN_ITSELF: &str = "of which Python's own insert and commit";
const RESPOND: &str = "response given → waiting agent has it";
const URGENT_SMALL: &str = "100 most urgent of 5 thousand open, 10 thousand rows";
const URGENT_LARGE: &str = "100 most urgent of 500 thousand open, 1 million rows";
const NEWEST_SMALL: &str = "100 newest of 5 thousand open, 10 thousand rows";
const NEWEST_LARGE: &str = "100 newest of 500 thousand open, 1 million rows";
const CLI: &str = "a whole process that creates one, against a Python script";

/// All rows, in the order in which they are shown.
pub(crate) const ROWS: &[Row] = &[
    versus("create/one/1", "create/legacy/1", PerSecond, ONE_1, "5 ×"),
    versus("create/one/1", "create/legacy/1", P50Ms, ONE_1, ""),
    versus("create/one/1", "create/legacy/1", P99Ms, ONE_1, ""),
    row("create/one/1", ProcessorUs, ONE_1, ""),
    versus(
        "create/one/16",
        "create/legacy/16",
        PerSecond,
        ONE_16,
        "15 ×",
    ),
    versus("create/one/16", "create/legacy/16", P50Ms, ONE_16, ""),
    versus("create/one/16", "create/legacy/16", P99Ms, ONE_16, "100 ×"),
    row("create/one/16", ProcessorUs, ONE_16, ""),
    versus(
        "create/each/16",
        "create/legacy/16",
        PerSecond,
        EACH_16,
        "15 ×",
    ),
    versus("create/each/16", "create/legacy/16", P50Ms, EACH_16, ""),
    versus(
        "create/each/16",
        "create/legacy/16",
        P99Ms,
        EACH_16,
        "100 ×",
    ),
    row("create/each/16", ProcessorUs, EACH_16, ""),
    versus(
        "create/one/64",
        "create/legacy/64",
        PerSecond,
        ONE_64,
        "25 ×",
    ),
    versus("create/one/64", "create/legacy/64", P50Ms, ONE_64, ""),
    versus("create/one/64", "create/legacy/64", P99Ms, ONE_64, ""),
    row("create/one/64", ProcessorUs, ONE_64, ""),
    versus(
        "create/each/64",
        "create/legacy/64",
        PerSecond,
        EACH_64,
        "25 ×",
    ),
    versus("create/each/64", "create/legacy/64", P50Ms, EACH_64, ""),
    versus("create/each/64", "create/legacy/64", P99Ms, EACH_64, ""),
    row("create/each/64", ProcessorUs, EACH_64, ""),
    row("create/one/256", PerSecond, ONE_256, ""),
    row("create/one/256", P50Ms, ONE_256, ""),
    row("create/one/256", P99Ms, ONE_256, ""),
    row("create/one/256", ProcessorUs, ONE_256, ""),
    row("create/each/256", PerSecond, EACH_256, ""),
    row("create/each/256", P50Ms, EACH_256, ""),
    row("create/each/256", P99Ms, EACH_256, ""),
    row("create/each/256", ProcessorUs, EACH_256, ""),
    row(
        "batch/1",
        PerSecond,
        "durable rows, 100 per call, 1 caller",
        "",
    ),
    row(
        "batch/1",
        ProcessorUs,
        "durable rows, 100 per call, 1 caller",
        "",
    ),
    row(
        "batch/16",
        PerSecond,
        "durable rows, 100 per call, 16 callers",
        "",
    ),
    row(
        "batch/16",
        ProcessorUs,
        "durable rows, 100 per call, 16 callers",
        "",
    ),
    row("watch/1", P50Ms, WATCH_1, "≤ 600 µs"),
    row("watch/1", P99Ms, WATCH_1, ""),
    row("watch/100", P50Ms, WATCH_100, "≤ 1.2 ms"),
    row("watch/100", P99Ms, WATCH_100, ""),
    row("watch/lag", P99Ms, LAG, ""),
    row("foreign", P50Ms, FOREIGN, "≤ 10 ms"),
    row("foreign", P99Ms, FOREIGN, "≤ 10 ms"),
    row("foreign/itself", P50Ms, FOREIGN_ITSELF, ""),
    row("respond", P50Ms, RESPOND, ""),
    row("respond", P99Ms, RESPOND, "≤ 5 ms"),
    row(
        "respond/create",
        P50Ms,
        "durable create at the same pace",
        "",
    ),
    row("respond/ratio", Times, "the former to the latter", "≤ 2 ×"),
    row("inbox/urgent/10000", P50Ms, URGENT_SMALL, ""),
    row("inbox/urgent/10000", P99Ms, URGENT_SMALL, ""),
    row("inbox/urgent/1000000", P50Ms, URGENT_LARGE, ""),
    row("inbox/urgent/1000000", P99Ms, URGENT_LARGE, ""),
    row(
        "inbox/urgent/ratio",
        Times,
        "the larger inbox to the smaller, most urgent",
        "≤ 1.5 ×",
    ),
    row("inbox/newest/10000", P50Ms, NEWEST_SMALL, ""),
    row("inbox/newest/10000", P99Ms, NEWEST_SMALL, ""),
    row("inbox/newest/1000000", P50Ms, NEWEST_LARGE, ""),
    row("inbox/newest/1000000", P99Ms, NEWEST_LARGE, ""),
    row(
        "inbox/newest/ratio",
        Times,
        "the larger inbox to the smaller, newest",
        "≤ 1.5 ×",
    ),
    row(
        "resume",
        PerSecond,
        "events on resuming 100 thousand events back",
        "≥ 200 k/s",
    ),
    row(
        "start",
        P50Ms,
        "start of the daemon to its first reply",
        "≤ 10 ms",
    ),
    row("start", P99Ms, "start of the daemon to its first reply", ""),
    versus("cli", "cli/legacy", P50Ms, CLI, "≤ 3 ms"),
    versus("cli", "cli/legacy", P99Ms, CLI, ""),
    row("memory/idle", Mebibytes, "daemon, idle", "≤ 15 MiB"),
    row(
        "memory/loaded",
        Mebibytes,
        "daemon, peak under 64 callers",
        "≤ 32 MiB",
    ),
    row(
        "memory/watchers",
        Mebibytes,
        "daemon, 1,000 idle watchers",
        "≤ 64 MiB",
    ),
    row(
        "cpu/watchers",
        PercentOfCore,
        "daemon, 1,000 idle watchers",
        "< 1 %",
    ),
    row(
        "logging/info",
        PerSecond,
        "durable create, 64 callers, logging at info (the default)",
        "",
    ),
    row("logging/warn", PerSecond, "the same, logging at warn", ""),
    row(
        "logging/ratio",
        Times,
        "logging at warn to logging at info",
        "",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_shown_twice() {
        let mut seen: Vec<_> = ROWS.iter().map(|row| (row.key, row.metric)).collect();
        seen.sort_unstable();
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
