//! A report as Markdown: for the terminal, RESULTS.md and the README.

use std::fmt::Write as _;

use crate::catalogue::{Row, Target};
use crate::report::{Metric, Outcome, Report};
use crate::stats::Summary;

/// What stands above the columns.
const HEADING: [&str; 6] = ["what", "Barista", "opponent", "ratio", "target", "met"];

/// Which rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Every number.
    All,
    /// Those with a target, reached or not.
    WithTargets,
}

/// Renders `report` as Markdown, aligned so that it can be read as it is.
pub(crate) fn markdown(report: &Report, which: Rows) -> String {
    let mut lines = vec![HEADING.map(str::to_owned)];
    let rows = report.rows();
    lines.extend(
        rows.iter()
            .filter(|row| which == Rows::All || row.target.is_some())
            .filter_map(|row| Some(line(row, &report.result(row)?))),
    );
    if which == Rows::All {
        lines.extend(unlisted(report, &rows));
    }
    let mut text = table(&lines);
    let _infallible = write!(
        text,
        "\nMedian of {} rounds, smallest to largest in brackets; closed loops of {} s. A ratio compares the two in the same round, and \
         above 1 Barista is ahead.\n\n{}",
        report.settings.rounds, report.settings.seconds, report.machine
    );
    for note in &report.notes {
        let _infallible = writeln!(text, "* {note}");
    }
    text
}

fn line(row: &Row, outcome: &Outcome) -> [String; 6] {
    let shown = |summary: Option<Summary>, metric| {
        summary
            .map(|summary| show(summary, metric))
            .unwrap_or_default()
    };
    [
        format!("{}, {}", row.what, name(row.metric)),
        show(outcome.ours, row.metric),
        shown(outcome.theirs, row.metric),
        shown(outcome.ratio, Metric::Times),
        row.target
            .map(|target| aim(target, row.metric))
            .unwrap_or_default(),
        match outcome.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        }
        .to_owned(),
    ]
}

/// What the catalogue does not know, as another kind of row, so that nothing measured is lost.
fn unlisted(report: &Report, rows: &[Row]) -> Vec<[String; 6]> {
    let mut keys: Vec<_> = report
        .records
        .iter()
        .map(|record| (record.row.as_str(), record.metric))
        .filter(|(key, metric)| {
            !rows.iter().any(|row| {
                row.metric == *metric && (row.key == *key || row.against.as_deref() == Some(*key))
            })
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter_map(|(key, metric)| {
            let summary = Summary::of(report.values(key, metric).into_values())?;
            let mut cells = [const { String::new() }; 6];
            cells[0] = format!("{key}, {}", name(metric));
            cells[1] = show(summary, metric);
            Some(cells)
        })
        .collect()
}

/// What people call a metric.
pub(crate) fn name(metric: Metric) -> &'static str {
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

/// A target, with the unit of what it is about.
pub(crate) fn aim(target: Target, metric: Metric) -> String {
    match target {
        Target::Ratio(bound) => format!("≥ {bound} ×"),
        Target::AtLeast(bound) => format!("≥ {}", rounded(bound, metric)),
        Target::AtMost(bound) => format!("≤ {}", rounded(bound, metric)),
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
pub(crate) fn amount(value: f64, metric: Metric) -> String {
    let (value, unit) = scaled(value, metric);
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}{unit}")
}

/// A number that somebody chose, with its unit, as short as it can be.
pub(crate) fn rounded(value: f64, metric: Metric) -> String {
    let (value, unit) = scaled(value, metric);
    format!("{value}{unit}")
}

fn scaled(value: f64, metric: Metric) -> (f64, &'static str) {
    match metric {
        Metric::PerSecond if value >= 10_000.0 => (value / 1e3, " k/s"),
        Metric::PerSecond => (value, "/s"),
        Metric::P50Ms | Metric::P99Ms if value < 1.0 => (value * 1e3, " µs"),
        Metric::P50Ms | Metric::P99Ms => (value, " ms"),
        Metric::ProcessorUs => (value, " µs"),
        Metric::Mebibytes => (value, " MiB"),
        Metric::PercentOfCore => (value, " %"),
        Metric::Times => (value, " ×"),
    }
}

fn table(lines: &[[String; 6]]) -> String {
    let mut widths = [3; 6];
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

fn push_line(text: &mut String, cells: &[String; 6], widths: [usize; 6]) {
    for (cell, width) in cells.iter().zip(widths) {
        let _infallible = write!(text, "| {cell:width$} ");
    }
    text.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Report {
        serde_json::from_str(include_str!("../testdata/report.json")).expect("a report")
    }

    /// The cells of the only row that begins with `what`.
    fn cells<'a>(text: &'a str, what: &str) -> Vec<&'a str> {
        let mut found = text
            .lines()
            .filter(|line| line.trim_start_matches("| ").starts_with(what));
        let line = found
            .next()
            .unwrap_or_else(|| panic!("no {what} in {text}"));
        assert_eq!(found.next(), None);
        line.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn a_row_has_median_range_ratio_target_and_whether_it_is_met() {
        let text = markdown(&fixture(), Rows::All);
        let behind = "durable create, 1 caller with a connection each, against PostgreSQL, rate";
        assert_eq!(
            cells(&text, behind)[1..],
            [
                "3000/s (2900/s to 3200/s)",
                "4000/s (3900/s to 4200/s)",
                "0.75 × (0.74 × to 0.76 ×)",
                "≥ 1 ×",
                "**no**"
            ]
        );
        let ahead = "durable create, 16 callers with a connection each, against PostgreSQL, rate";
        assert_eq!(cells(&text, ahead)[3..], ["2.00 ×", "≥ 1.5 ×", "yes"]);
        let watch = "created → each of 1 watcher has it, 200 creates per second, p50";
        assert_eq!(
            cells(&text, watch)[1..],
            ["500 µs", "", "", "≤ 600 µs", "yes"]
        );
        let resume = cells(&text, "events on resuming");
        assert_eq!(resume[1..], ["150 k/s", "", "", "≥ 200 k/s", "**no**"]);
    }

    #[test]
    fn the_machine_and_every_note_are_there() {
        for which in [Rows::All, Rows::WithTargets] {
            let text = markdown(&fixture(), which);
            for part in [
                "Model 7 (2 cores, 8 GiB of memory)",
                "* PROVISIONAL: ",
                "* NATS JetStream was not measured",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn what_the_catalogue_does_not_know_is_shown_too() {
        let text = markdown(&fixture(), Rows::All);
        assert_eq!(cells(&text, "something/new, p50")[1], "250 µs");
    }

    #[test]
    fn rows_with_a_target_stay_whether_it_is_met_or_not() {
        let text = markdown(&fixture(), Rows::WithTargets);
        assert!(text.contains("**no**") && text.contains("| yes"), "{text}");
        assert!(
            !text.contains("growth:") && !text.contains("something/new"),
            "{text}"
        );
    }

    #[test]
    fn every_line_of_a_table_is_as_wide() {
        let text = markdown(&fixture(), Rows::All);
        let table = text.lines().take_while(|line| line.starts_with('|'));
        let widths: Vec<usize> = table.map(|line| line.chars().count()).collect();
        assert!(
            widths.len() > 5 && widths.windows(2).all(|pair| pair[0] == pair[1]),
            "{text}"
        );
    }
}
