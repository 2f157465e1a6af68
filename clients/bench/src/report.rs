//! What was measured, as it is kept in a file and shown in a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue::{ROWS, Row};
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
    fn values(&self, row: &str, metric: Metric) -> BTreeMap<u32, f64> {
        self.records
            .iter()
            .filter(|record| record.row == row && record.metric == metric)
            .map(|record| (record.round, record.value))
            .collect()
    }

    /// Renders everything as Markdown, aligned so that it can be read as it is.
    pub(crate) fn markdown(&self) -> String {
        let mut text = table(&self.cells());
        let _infallible = write!(
            text,
            "\nMedian of {} rounds, smallest to largest in brackets; closed loops of {} s. A ratio compares the two in the same round, and \
             above 1 Barista is ahead.\n\n{}",
            self.settings.rounds, self.settings.seconds, self.machine
        );
        for note in &self.notes {
            let _infallible = writeln!(text, "* {note}");
        }
        text
    }

    fn cells(&self) -> Vec<[String; 5]> {
        let heading = ["what", "Barista", "the legacy way", "ratio", "target"].map(str::to_owned);
        let listed = ROWS.iter().filter_map(|row| self.line(row));
        [heading]
            .into_iter()
            .chain(listed)
            .chain(self.unlisted())
            .collect()
    }

    /// The line of a row, where it was measured.
    fn line(&self, row: &Row) -> Option<[String; 5]> {
        let ours = self.values(row.key, row.metric);
        let summary = Summary::of(ours.values().copied())?;
        let legacy = row
            .against
            .map(|key| self.values(key, row.metric))
            .unwrap_or_default();
        let ratios = ours.iter().filter_map(|(round, ours)| {
            let legacy = legacy.get(round)?;
            Some(if row.metric == Metric::PerSecond {
                ours / legacy
            } else {
                legacy / ours
            })
        });
        let show = |summary: Option<Summary>, metric| {
            summary
                .map(|summary| show(summary, metric))
                .unwrap_or_default()
        };
        Some([
            format!("{}, {}", row.what, name(row.metric)),
            show(Some(summary), row.metric),
            show(Summary::of(legacy.values().copied()), row.metric),
            show(Summary::of(ratios), Metric::Times),
            row.target.to_owned(),
        ])
    }

    /// What the catalogue does not know, as another number of rows, so that nothing measured is lost.
    fn unlisted(&self) -> Vec<[String; 5]> {
        let mut keys: Vec<_> = self
            .records
            .iter()
            .map(|record| (record.row.as_str(), record.metric))
            .filter(|(key, metric)| {
                !ROWS.iter().any(|row| {
                    row.metric == *metric && (row.key == *key || row.against == Some(*key))
                })
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|(key, metric)| {
                let summary = Summary::of(self.values(key, metric).into_values())?;
                let what = format!("{key}, {}", name(metric));
                Some([
                    what,
                    show(summary, metric),
                    String::new(),
                    String::new(),
                    String::new(),
                ])
            })
            .collect()
    }
}

/// What the table calls a metric.
fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::PerSecond => "rate",
        Metric::P50Ms => "p50",
        Metric::P99Ms => "p99",
        Metric::ProcessorUs => "daemon's processor time",
        Metric::Mebibytes => "memory",
        Metric::PercentOfCore => "of a core",
        Metric::Times => "ratio",
    }
}

fn show(summary: Summary, metric: Metric) -> String {
    let Summary {
        median,
        least,
        most,
    } = summary;
    let median = amount(median, metric);
    if least == most {
        return median;
    }
    format!(
        "{median} ({} to {})",
        amount(least, metric),
        amount(most, metric)
    )
}

/// A number with its unit, with three digits that count.
fn amount(value: f64, metric: Metric) -> String {
    match metric {
        Metric::PerSecond if value >= 10_000.0 => format!("{} k/s", digits(value / 1e3)),
        Metric::PerSecond => format!("{}/s", digits(value)),
        Metric::P50Ms | Metric::P99Ms if value < 1.0 => format!("{} µs", digits(value * 1e3)),
        Metric::P50Ms | Metric::P99Ms => format!("{} ms", digits(value)),
        Metric::ProcessorUs => format!("{} µs", digits(value)),
        Metric::Mebibytes => format!("{} MiB", digits(value)),
        Metric::PercentOfCore => format!("{} %", digits(value)),
        Metric::Times => format!("{} ×", digits(value)),
    }
}

fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn table(lines: &[[String; 5]]) -> String {
    let mut widths = [3; 5];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        push_line(&mut text, line, widths);
        if number == 0 {
            push_line(&mut text, &widths.map(|width| "-".repeat(width)), widths);
        }
    }
    text
}

fn push_line(text: &mut String, cells: &[String; 5], widths: [usize; 5]) {
    for (cell, width) in cells.iter().zip(widths) {
        let _infallible = write!(text, "| {cell:width$} ");
    }
    text.push_str("|\n");
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

    #[test]
    fn a_ratio_compares_within_a_round_and_is_above_one_where_barista_is_ahead() {
        let report = report(&[
            (1, "create/one/16", Metric::PerSecond, 30_000.0),
            (1, "create/legacy/16", Metric::PerSecond, 2_000.0),
            (2, "create/one/16", Metric::PerSecond, 10_000.0),
            (2, "create/legacy/16", Metric::PerSecond, 1_000.0),
            (1, "create/one/16", Metric::P99Ms, 2.0),
            (1, "create/legacy/16", Metric::P99Ms, 200.0),
        ]);
        let text = report.markdown();
        assert!(text.contains("12.5 × (10.0 × to 15.0 ×)"), "{text}");
        assert!(text.contains("100 ×"), "{text}");
        assert!(text.contains("20.0 k/s (10.0 k/s to 30.0 k/s)"), "{text}");
    }

    #[test]
    fn what_the_catalogue_does_not_know_is_shown_too() {
        let text = report(&[(1, "inbox/urgent/77", Metric::P50Ms, 0.25)]).markdown();
        assert!(text.contains("| inbox/urgent/77, p50"), "{text}");
        assert!(text.contains("250 µs"), "{text}");
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

    #[test]
    fn every_line_of_a_table_is_as_wide() {
        let text = table(&[
            ["a", "bb", "", "×", "e"].map(str::to_owned),
            ["aaaaaa", "b", "c", "d", "long"].map(str::to_owned),
        ]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
