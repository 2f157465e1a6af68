//! A report as pictures: how many times as good as the opponents, and how the rate grows with the callers.

use std::collections::BTreeMap;

use crate::catalogue::{Row, Target};
use crate::report::{Metric, Outcome, Report};
use crate::stats::Summary;
use crate::svg::{Anchor, Svg};
use crate::table::{aim, amount, name, rounded};

const AHEAD: &str = "#2da44e";
const BEHIND: &str = "#cf222e";
const MARK: &str = "#24292f";
const GRID: &str = "#d8dee4";

/// Where a number is on a logarithmic axis that goes from `least` at `from` to `most` at `to`.
#[derive(Debug, Clone, Copy)]
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(self, value: f64) -> f64 {
        let share = (value.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }

    /// The powers of `base` on the axis, its ends included where they are such powers.
    fn powers(self, base: f64) -> impl Iterator<Item = f64> {
        // Logarithms of exact powers may come out a little beside the integer.
        let first = (self.least.ln() / base.ln() - 1e-9).ceil() as i32;
        let last = (self.most.ln() / base.ln() + 1e-9).floor() as i32;
        (first..=last).map(move |exponent| base.powi(exponent))
    }
}

/// The next power of ten at or below `value`, which is above 0.
fn decade_below(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

/// The next power of ten at or above `value`, which is above 0.
fn decade_above(value: f64) -> f64 {
    10_f64.powf(value.log10().ceil())
}

/// What a bar shows.
struct Comparison {
    row: Row,
    outcome: Outcome,
    ratio: Summary,
}

/// Every comparison of rates, and every other one that has a target, won or lost.
fn comparisons(report: &Report) -> Vec<Comparison> {
    report
        .rows()
        .into_iter()
        .filter(|row| row.metric == Metric::PerSecond || target_of(row).is_some())
        .filter_map(|row| {
            let outcome = report.result(&row)?;
            let ratio = outcome.ratio.filter(|ratio| ratio.least > 0.0)?;
            Some(Comparison {
                row,
                outcome,
                ratio,
            })
        })
        .collect()
}

/// A bar per comparison with an opponent, from 1 to the ratio, on a logarithmic scale, and a mark where the target is. `None` where nothing
/// was compared.
pub(crate) fn ratios(report: &Report) -> Option<String> {
    const BARS_FROM: f64 = 560.0;
    const BARS_TO: f64 = 960.0;
    const FIRST_BAR: f64 = 56.0;
    const STEP: f64 = 22.0;
    let compared = comparisons(report);
    let least = compared
        .iter()
        .map(|each| each.ratio.least)
        .reduce(f64::min)?;
    let most = compared
        .iter()
        .map(|each| each.ratio.most.max(target_of(&each.row).unwrap_or(1.0)))
        .fold(10.0, f64::max);
    let axis = Axis {
        least: decade_below(least.min(0.5)),
        most: decade_above(most),
        from: BARS_FROM,
        to: BARS_TO,
    };
    let bottom = FIRST_BAR + STEP * compared.len() as f64;
    let title = "How many times as good as its opponents Barista is";
    let mut svg = Svg::new(BARS_TO + 200.0, bottom + 56.0, title);
    let heading = format!("{title}: medians, whiskers from worst to best round");
    svg.label((16.0, 22.0), Anchor::Start, &heading);
    for power in axis.powers(10.0) {
        let x = axis.at(power);
        svg.line((x, FIRST_BAR - 6.0), (x, bottom), GRID, 1.0);
        let text = format!("{power} ×");
        svg.label((x, FIRST_BAR - 12.0), Anchor::Middle, &text);
    }
    for (number, comparison) in compared.iter().enumerate() {
        bar(&mut svg, axis, FIRST_BAR + STEP * number as f64, comparison);
    }
    let one = axis.at(1.0);
    svg.line((one, FIRST_BAR - 6.0), (one, bottom), MARK, 1.0);
    let legend = "green: ahead; red: behind; black mark: target";
    footer(&mut svg, report, bottom, legend);
    Some(svg.finish())
}

fn target_of(row: &Row) -> Option<f64> {
    match row.target {
        Some(Target::Ratio(bound)) => Some(bound),
        _ => None,
    }
}

fn bar(svg: &mut Svg, axis: Axis, y: f64, comparison: &Comparison) {
    let Comparison {
        row,
        outcome,
        ratio,
    } = comparison;
    let what = format!("{}, {}", row.what, name(row.metric));
    svg.label((axis.from - 8.0, y + 14.0), Anchor::End, &what);
    let (one, end) = (axis.at(1.0), axis.at(ratio.median));
    let fill = if ratio.median >= 1.0 { AHEAD } else { BEHIND };
    let median = amount(ratio.median, Metric::Times);
    let tip = format!(
        "{what}: {median}, Barista {}",
        amount(outcome.ours.median, row.metric)
    );
    svg.bar(
        (one.min(end), y + 4.0),
        ((end - one).abs(), 13.0),
        fill,
        &tip,
    );
    let middle = y + 10.5;
    svg.line(
        (axis.at(ratio.least), middle),
        (axis.at(ratio.most), middle),
        MARK,
        1.0,
    );
    let mut text = median;
    if let Some(bound) = target_of(row) {
        svg.line(
            (axis.at(bound), y + 1.0),
            (axis.at(bound), y + 20.0),
            MARK,
            3.0,
        );
        let verdict = if outcome.met == Some(true) {
            ""
        } else {
            ", missed"
        };
        text = format!(
            "{text} ({}{verdict})",
            aim(Target::Ratio(bound), row.metric)
        );
    }
    let beside = target_of(row).map_or(end, |bound| end.max(axis.at(bound)));
    svg.label(
        (beside.max(axis.at(ratio.most)).max(one) + 6.0, y + 14.0),
        Anchor::Start,
        &text,
    );
}

/// A line of the chart of rates: under which prefix its numbers are, what it is called, and its colour.
const SERIES: &[(&str, &str, &str)] = &[
    ("callers/one/", "Barista, one connection", "#0969da"),
    ("callers/each/", "Barista, a connection each", "#54aeff"),
    (
        "postgres/theirs/",
        "PostgreSQL, a connection each",
        "#8250df",
    ),
    ("nats/theirs/", "NATS JetStream, one connection", "#bf8700"),
    ("redis/theirs/", "Redis Streams, one connection", "#cf222e"),
    (
        "create/legacy/",
        "the legacy way, a process each",
        "#6e7781",
    ),
];

/// Where the lines are drawn.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 400.0;

/// A line per system: durable creates per second over the number of callers, both logarithmic. `None` where none was measured.
pub(crate) fn callers(report: &Report) -> Option<String> {
    let series: Vec<_> = SERIES
        .iter()
        .map(|(prefix, name, colour)| (*name, *colour, rates(report, prefix)))
        .filter(|(.., rates)| !rates.is_empty())
        .collect();
    let all = || series.iter().flat_map(|(.., rates)| rates.iter());
    let least = all().map(|(_, rate)| *rate).reduce(f64::min)?;
    let most = all().map(|(_, rate)| *rate).fold(least, f64::max);
    let most_callers = all().map(|(callers, _)| *callers).max()?;
    let across = Axis {
        least: 1.0,
        most: (most_callers as f64).max(2.0),
        from: LEFT,
        to: RIGHT,
    };
    let up = Axis {
        least: decade_below(least),
        most: decade_above(most).max(decade_below(least) * 10.0),
        from: BOTTOM,
        to: TOP,
    };
    let title = "Durable creates per second over the number of callers";
    let mut svg = Svg::new(RIGHT + 260.0, BOTTOM + 76.0, title);
    let heading = format!("{title}: medians, both scales logarithmic");
    svg.label((16.0, 22.0), Anchor::Start, &heading);
    grid(&mut svg, across, up);
    for (number, (name, colour, rates)) in series.iter().enumerate() {
        let points: Vec<_> = rates
            .iter()
            .map(|(callers, rate)| (across.at(*callers as f64), up.at(*rate)))
            .collect();
        svg.polyline(&points, colour);
        for (point, (callers, rate)) in points.iter().zip(rates) {
            let rate = amount(*rate, Metric::PerSecond);
            svg.dot(
                *point,
                colour,
                &format!("{name}, {callers} callers: {rate}"),
            );
        }
        let y = TOP + 12.0 + 22.0 * number as f64;
        svg.line(
            (RIGHT + 16.0, y - 4.0),
            (RIGHT + 40.0, y - 4.0),
            colour,
            2.0,
        );
        svg.label((RIGHT + 48.0, y), Anchor::Start, name);
    }
    let legend = "callers, each of whom waits for an answer before the next call";
    footer(&mut svg, report, BOTTOM + 18.0, legend);
    Some(svg.finish())
}

fn grid(svg: &mut Svg, across: Axis, up: Axis) {
    for rate in up.powers(10.0) {
        let y = up.at(rate);
        svg.line((LEFT, y), (RIGHT, y), GRID, 1.0);
        let text = rounded(rate, Metric::PerSecond);
        svg.label((LEFT - 8.0, y + 4.0), Anchor::End, &text);
    }
    for callers in across.powers(4.0) {
        let x = across.at(callers);
        svg.line((x, TOP), (x, BOTTOM), GRID, 1.0);
        svg.label((x, BOTTOM + 18.0), Anchor::Middle, &callers.to_string());
    }
}

/// The median rate for each number of callers that was recorded under `prefix`.
fn rates(report: &Report, prefix: &str) -> BTreeMap<u64, f64> {
    report
        .records
        .iter()
        .filter(|record| record.metric == Metric::PerSecond)
        .filter_map(|record| Some((record.row.strip_prefix(prefix)?.parse().ok()?, &record.row)))
        .filter_map(|(callers, row)| {
            let rates = report.values(row, Metric::PerSecond).into_values();
            let rate = Summary::of(rates)?.median;
            (callers > 0 && rate > 0.0).then_some((callers, rate))
        })
        .collect()
}

/// What the picture shows, and on which machine it was measured: a picture travels without its page.
fn footer(svg: &mut Svg, report: &Report, above: f64, legend: &str) {
    let machine = &report.machine;
    let is_provisional = report
        .notes
        .iter()
        .any(|note| note.starts_with("PROVISIONAL"));
    let provisional = if is_provisional {
        "; PROVISIONAL: see the notes of the table"
    } else {
        ""
    };
    svg.label((16.0, above + 22.0), Anchor::Start, legend);
    svg.label(
        (16.0, above + 40.0),
        Anchor::Start,
        &format!(
            "{} ({} cores), {}, {}; a sync takes {:.2} ms{provisional}",
            machine.processor,
            machine.cores,
            machine.kernel,
            machine.file_system,
            machine.sync_p50_ms
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Report {
        serde_json::from_str(include_str!("../testdata/report.json")).expect("a report")
    }

    /// The value of an attribute of the first element that contains `part`.
    fn attribute(svg: &str, part: &str, name: &str) -> f64 {
        let line = svg.lines().find(|line| line.contains(part)).expect(part);
        let value = line.split(&format!("{name}=\"")).nth(1).expect(name);
        let value = value.split('"').next().expect(name);
        value.parse().expect(name)
    }

    #[test]
    fn lost_comparisons_are_drawn_as_such() {
        let svg = ratios(&fixture()).expect("a chart");
        let bars: Vec<_> = svg
            .lines()
            .filter(|line| line.contains("<rect x="))
            .collect();
        let of = |colour| bars.iter().filter(|bar| bar.contains(colour)).count();
        // Ahead: the legacy way (rate, p99), PostgreSQL with 16. Behind: PostgreSQL with 1, Redis with 64.
        assert_eq!((of(AHEAD), of(BEHIND)), (3, 2), "{svg}");
        assert!(svg.contains("0.75 × (≥ 1 ×, missed)"), "{svg}");
        assert!(svg.contains(">0.50 ×<"), "one without a target: {svg}");
    }

    #[test]
    fn a_bar_reaches_from_one_to_its_ratio_and_the_target_stands_on_the_same_scale() {
        let svg = ratios(&fixture()).expect("a chart");
        // From 0.1 to 100 in 400 pixels: a decade is a third of them.
        let doubled = attribute(&svg, "PostgreSQL, rate: 2.00 ×", "width");
        assert!(
            (doubled - 400.0 / 3.0 * 2_f64.log10()).abs() < 0.1,
            "{doubled}"
        );
        let one = attribute(&svg, "PostgreSQL, rate: 2.00 ×", "x");
        let halved = attribute(&svg, "Redis Streams, rate: 0.50 ×", "x");
        assert!((one - halved - doubled).abs() < 0.2, "{one} {halved}");
        let mark = one + 400.0 / 3.0 * 1.5_f64.log10();
        assert!(svg.contains(&format!("<line x1=\"{mark:.1}\"")), "{svg}");
    }

    #[test]
    fn a_line_has_a_point_for_each_number_of_callers() {
        let svg = callers(&fixture()).expect("a chart");
        let ours = svg
            .lines()
            .find(|line| line.contains("<polyline") && line.contains("#0969da"));
        let points = ours
            .and_then(|line| line.split('"').nth(1))
            .expect("our line");
        assert_eq!(points.split(' ').count(), 3, "{points}");
        assert!(
            points.starts_with("72.0,") && points.contains(" 640.0,"),
            "{points}"
        );
        assert!(
            svg.contains("Barista, one connection, 1024 callers: 50.0 k/s"),
            "{svg}"
        );
        assert!(svg.contains(">Redis Streams, one connection<"), "{svg}");
        assert!(svg.contains(">10 k/s<"), "the scale: {svg}");
        assert!(!svg.contains("NATS"), "it was not measured: {svg}");
    }

    #[test]
    fn a_picture_says_where_it_was_measured_and_whether_it_counts() {
        for svg in [ratios(&fixture()), callers(&fixture())] {
            let svg = svg.expect("a chart");
            assert!(
                svg.contains("Model 7 (2 cores)") && svg.contains("PROVISIONAL"),
                "{svg}"
            );
            assert!(
                svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
                "{svg}"
            );
        }
    }

    #[test]
    fn nothing_measured_makes_no_picture() {
        let mut report = fixture();
        report.records.clear();
        assert_eq!(ratios(&report), None);
        assert_eq!(callers(&report), None);
    }
}
