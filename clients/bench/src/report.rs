//! What was measured, as it is kept in a file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Row, Target, rows};
use crate::load::Load;
use crate::machine::Machine;
use crate::stats::{Latencies, Summary};

/// What a number says, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Rows or events per second.
    PerSecond,
    /// The median time, in milliseconds.
    P50Ms,
    /// The time that one of a hundred exceeds, in milliseconds.
    P99Ms,
    /// Memory, in MiB.
    Mebibytes,
    /// The daemon's processor time for each row or call, in microseconds. Unlike a rate it hardly depends on what else the machine does.
    ProcessorUs,
    /// Processor time, as a percentage of one core.
    PercentOfCore,
    /// How many times one number is the other.
    Times,
}

/// One number from one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The round, from 1.
    pub(crate) round: u32,
    /// What was measured: a key of the catalogue.
    pub(crate) row: String,
    /// What the number says.
    pub(crate) metric: Metric,
    /// The number.
    pub(crate) value: f64,
}

/// How the measurements were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// How often each scenario ran, in turn.
    pub(crate) rounds: u32,
    /// How long each closed loop was measured, in seconds.
    pub(crate) seconds: f64,
    /// The daemon's log level.
    pub(crate) log_level: String,
}

/// Everything that a run found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Where it ran.
    pub(crate) machine: Machine,
    /// How it ran.
    pub(crate) settings: Settings,
    /// Every number of every round.
    pub(crate) records: Vec<Record>,
    /// What a reader must know.
    pub(crate) notes: Vec<String>,
}

/// Takes the numbers of one round.
#[derive(Debug)]
pub(crate) struct Round {
    /// The round, from 1.
    pub(crate) number: u32,
    /// What was recorded so far.
    pub(crate) records: Vec<Record>,
    /// What a reader must know.
    pub(crate) notes: Vec<String>,
}

impl Round {
    /// Begins the round with this number.
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            records: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Records one number.
    pub(crate) fn record(&mut self, row: impl Into<String>, metric: Metric, value: f64) {
        self.records.push(Record {
            round: self.number,
            row: row.into(),
            metric,
            value,
        });
    }

    /// Says what a reader must know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Records the percentiles of `latencies`, of which there may be none.
    pub(crate) fn latencies(&mut self, row: &str, latencies: &Latencies) {
        for (metric, value) in [
            (Metric::P50Ms, latencies.p50()),
            (Metric::P99Ms, latencies.p99()),
        ] {
            if let Some(value) = value {
                self.record(row, metric, value);
            }
        }
    }

    /// Records what callers came to, of whom each operation made `rows` rows.
    pub(crate) fn load(&mut self, row: &str, load: &Load, rows: u64) {
        self.record(row, Metric::PerSecond, load.per_second * rows as f64);
        self.latencies(row, &load.latencies);
        if load.latencies.p50().is_none() {
            self.note(format!(
                "{row}: no operation began within the window, so there are no percentiles; measure longer with --seconds."
            ));
        }
    }

    /// Records the processor time that each of `count` rows or calls took the daemon.
    pub(crate) fn processor_time(&mut self, row: &str, used: Duration, count: u64) {
        if count > 0 {
            let value = used.as_secs_f64() * 1e6 / count as f64;
            self.record(row, Metric::ProcessorUs, value);
        }
    }

    /// Records how many times `value` is `reference`, where both are known.
    pub(crate) fn times(
        &mut self,
        row: impl Into<String>,
        value: Option<f64>,
        reference: Option<f64>,
    ) {
        if let (Some(value), Some(reference)) = (value, reference)
            && reference > 0.0
        {
            self.record(row, Metric::Times, value / reference);
        }
    }
}

impl Report {
    /// Takes what a round recorded. A note is kept once.
    pub(crate) fn add(&mut self, round: Round) {
        self.records.extend(round.records);
        for note in round.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// The values of a row, by round.
    pub(crate) fn values(&self, row: &str, metric: Metric) -> BTreeMap<u32, f64> {
        self.records
            .iter()
            .filter(|record| record.row == row && record.metric == metric)
            .map(|record| (record.round, record.value))
            .collect()
    }

    /// The rows of the catalogue that were measured, in its order.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let keys = self.records.iter().map(|record| record.row.as_str());
        rows(&keys.collect())
    }

    /// What one row comes to over all rounds. `None` where it was not measured.
    pub(crate) fn result(&self, row: &Row) -> Option<Outcome> {
        let ours = self.values(&row.key, row.metric);
        let theirs = row
            .against
            .as_deref()
            .map(|key| self.values(key, row.metric))
            .unwrap_or_default();
        let ratios = ours.iter().filter_map(|(round, ours)| {
            // Where nothing was done there is nothing to compare.
            let theirs = theirs.get(round).filter(|theirs| **theirs > 0.0)?;
            (*ours > 0.0).then_some(if row.metric == Metric::PerSecond {
                ours / theirs
            } else {
                theirs / ours
            })
        });
        let ratio = Summary::of(ratios);
        let ours = Summary::of(ours.values().copied())?;
        let met = row.target.and_then(|target| match target {
            Target::Ratio(bound) => ratio.map(|ratio| ratio.median >= bound),
            Target::AtLeast(bound) => Some(ours.median >= bound),
            Target::AtMost(bound) => Some(ours.median <= bound),
        });
        Some(Outcome {
            ours,
            theirs: Summary::of(theirs.values().copied()),
            ratio,
            met,
        })
    }
}

/// What the rounds of one row come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Barista's numbers.
    pub(crate) ours: Summary,
    /// The opponent's.
    pub(crate) theirs: Option<Summary>,
    /// The two compared within each round: above 1 Barista is ahead.
    pub(crate) ratio: Option<Summary>,
    /// Whether the median is what it should be. `None` where there is no target, or nothing to tell by.
    pub(crate) met: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(records: &[(u32, &str, Metric, f64)]) -> Report {
        Report {
            machine: Machine::default(),
            settings: Settings {
                rounds: 3,
                seconds: 1.0,
                log_level: "warn".to_owned(),
            },
            records: records
                .iter()
                .map(|(round, row, metric, value)| Record {
                    round: *round,
                    row: (*row).to_owned(),
                    metric: *metric,
                    value: *value,
                })
                .collect(),
            notes: Vec::new(),
        }
    }

    fn outcome(report: &Report, key: &str, metric: Metric) -> Outcome {
        let row = report
            .rows()
            .into_iter()
            .find(|row| row.key == key && row.metric == metric)
            .expect("a row");
        report.result(&row).expect("a result")
    }

    #[test]
    fn a_ratio_compares_within_a_round_and_is_above_one_where_barista_is_ahead() {
        let report = report(&[
            (1, "create/one/16", Metric::PerSecond, 30_000.0),
            (1, "create/legacy/16", Metric::PerSecond, 2_000.0),
            (2, "create/one/16", Metric::PerSecond, 10_000.0),
            (2, "create/legacy/16", Metric::PerSecond, 1_000.0),
            (1, "create/one/16", Metric::P99Ms, 4.0),
            (1, "create/legacy/16", Metric::P99Ms, 200.0),
        ]);
        let rate = outcome(&report, "create/one/16", Metric::PerSecond);
        let expected = Summary {
            median: 12.5,
            least: 10.0,
            most: 15.0,
        };
        assert_eq!(rate.ratio, Some(expected));
        assert_eq!(rate.met, Some(false), "15 times is the target");
        let p99 = outcome(&report, "create/one/16", Metric::P99Ms);
        assert_eq!(p99.ratio.map(|ratio| ratio.median), Some(50.0));
    }

    #[test]
    fn a_target_may_be_about_the_number_itself() {
        let report = report(&[
            (1, "cli", Metric::P50Ms, 2.5),
            (1, "cli/legacy", Metric::P50Ms, 1.0),
            (1, "resume", Metric::PerSecond, 199_000.0),
            (1, "redis/ours/16", Metric::PerSecond, 5.0),
            (1, "nats/ours/16", Metric::PerSecond, 5.0),
            (1, "nats/theirs/16", Metric::PerSecond, 0.0),
        ]);
        assert_eq!(outcome(&report, "cli", Metric::P50Ms).met, Some(true));
        assert_eq!(
            outcome(&report, "resume", Metric::PerSecond).met,
            Some(false)
        );
        let alone = outcome(&report, "redis/ours/16", Metric::PerSecond);
        assert_eq!(
            (alone.ratio, alone.met),
            (None, None),
            "there is no opponent to tell by"
        );
        let nothing = outcome(&report, "nats/ours/16", Metric::PerSecond);
        assert_eq!((nothing.ratio, nothing.met), (None, None));
    }

    #[test]
    fn a_report_survives_its_file() {
        let report = report(&[(1, "create/one/1", Metric::P50Ms, 0.5)]);
        let text = serde_json::to_string(&report).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Report>(&text).expect("a report"),
            report
        );
    }
}
