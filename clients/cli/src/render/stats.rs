//! Usage, cost, latency and errors.

use barista_client::pb::analytics::v1::{
    CompareModelsResponse, Dimension, Distribution, Figures, GetErrorsResponse, GetHeatmapResponse,
    GetIngestionResponse, GetLatencyResponse, GetUsageResponse, ListExpensiveObservationsResponse,
    ListUnknownModelsResponse, ModelFigures,
};
use barista_client::pb::trace::v1::Tokens;

use crate::render::amount::{compact, dollars, percent};
use crate::render::sheet::{Cell, Column, Sheet};
use crate::style::{self, paint};
use crate::time::Clock;
use crate::{span, words};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOURS: std::ops::Range<i32> = 0..24;
/// From nothing to the most.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];

/// The columns of [`figures`].
const FIGURES: [Column; 9] = [
    Column::number("calls", "CALLS"),
    Column::number("failed_calls", "FAILED"),
    Column::number("input_tokens", "INPUT"),
    Column::hidden("cache_read_tokens"),
    Column::number("output_tokens", "OUTPUT"),
    Column::number("cost_nanodollars", "COST"),
    Column::hidden("unknown_costs"),
    Column::hidden("observations"),
    Column::text("", ""),
];

fn input(tokens: &Tokens) -> i64 {
    tokens.input
        + tokens.cache_read
        + tokens.cache_write_5m
        + tokens.cache_write_1h
        + tokens.audio_input
}

fn output(tokens: &Tokens) -> i64 {
    tokens.output + tokens.reasoning + tokens.audio_output
}

/// What is known of a cost; a question mark stands for what is not.
fn cost(figures: &Figures) -> String {
    match (figures.cost_nanodollars, figures.unknown_cost_count) {
        (known, 0) => dollars(known),
        (0, _) => "?".to_owned(),
        (known, _) => format!("{} + ?", dollars(known)),
    }
}

/// The cells of [`FIGURES`], with a bar among those up to `most`.
fn figures(figures: &Figures, most: i64) -> Vec<Cell> {
    let tokens = figures.tokens.unwrap_or_default();
    let count = |count: i64| Cell::new(count.to_string(), count);
    let many = |count: i64| Cell::new(compact(count), count);
    vec![
        count(figures.call_count),
        count(figures.failed_call_count),
        many(input(&tokens)),
        many(tokens.cache_read),
        many(output(&tokens)),
        Cell::new(cost(figures), figures.cost_nanodollars),
        count(figures.unknown_cost_count),
        count(figures.observation_count),
        Cell::bar(figures.cost_nanodollars, most),
    ]
}

/// The columns for the names of groups.
fn name_columns(by: &[Dimension]) -> Vec<Column> {
    by.iter()
        .map(|dimension| {
            let head = match dimension {
                Dimension::Model => "MODEL",
                Dimension::Provider => "PROVIDER",
                Dimension::Agent => "AGENT",
                Dimension::Project => "PROJECT",
                Dimension::Session => "SESSION",
                Dimension::User => "USER",
                Dimension::Prompt => "PROMPT",
                Dimension::Unspecified => "GROUP",
            };
            Column::text(words::dimension(*dimension), head)
        })
        .collect()
}

fn names(names: &[String]) -> Vec<Cell> {
    names.iter().map(|name| Cell::name(name)).collect()
}

/// What a remark says where costs are missing.
fn missing(figures: &Figures) -> String {
    match figures.unknown_cost_count {
        0 => String::new(),
        1 => remark("?: the cost of 1 call is unknown. See: barista stats unknown"),
        count => remark(&format!(
            "?: the cost of {count} calls is unknown. See: barista stats unknown"
        )),
    }
}

fn remark(text: &str) -> String {
    format!("\n{}\n", paint(style::DIM, text))
}

/// Usage by group, and over time. The start of a bucket is as its local clock shows it.
pub(crate) fn usage(usage: &GetUsageResponse, by: &[Dimension], clock: &Clock) -> String {
    let mut page = String::new();
    let total = usage.total.unwrap_or_default();
    if !by.is_empty() {
        page.push_str(&groups(usage, by).table());
        page.push('\n');
    }
    let most = usage.buckets.iter().filter_map(|bucket| bucket.total);
    let most = most.map(|total| total.cost_nanodollars).max().unwrap_or(0);
    let mut sheet = Sheet::new([&[Column::text("", "FROM")], &FIGURES[..]].concat());
    for bucket in &usage.buckets {
        let start = clock.minute(bucket.start_time.as_ref());
        let mut row = vec![Cell::new(start, "")];
        row.extend(figures(&bucket.total.unwrap_or_default(), most));
        sheet.push(row);
    }
    if usage.buckets.len() > 1 {
        let mut row = vec![Cell::new("total", "")];
        row.extend(figures(&total, 0));
        sheet.push(row);
    }
    page.push_str(&sheet.table());
    page.push_str(&missing(&total));
    page
}

fn groups(usage: &GetUsageResponse, by: &[Dimension]) -> Sheet {
    let most = usage.groups.iter().filter_map(|group| group.figures);
    let most = most
        .map(|figures| figures.cost_nanodollars)
        .max()
        .unwrap_or(0);
    let mut sheet = Sheet::new([&name_columns(by), &FIGURES[..]].concat());
    for group in &usage.groups {
        let cells = figures(&group.figures.unwrap_or_default(), most);
        sheet.push([names(&group.names), cells].concat());
    }
    if usage.other_group_count > 0 {
        let mut row = vec![Cell::default(); by.len()];
        row[0] = Cell::new(format!("{} others", usage.other_group_count), "");
        row.extend(figures(&usage.others.unwrap_or_default(), most));
        sheet.push(row);
    }
    sheet
}

/// Usage as values: a row for each bucket and each group that has something in it, or one for each bucket where nothing is grouped by.
pub(crate) fn usage_sheet(usage: &GetUsageResponse, by: &[Dimension], clock: &Clock) -> Sheet {
    let times = [Column::text("start", "START"), Column::text("end", "END")];
    let names_of = name_columns(by);
    let mut sheet = Sheet::new([&times[..], &names_of, &FIGURES[..]].concat());
    for bucket in &usage.buckets {
        let times = [&bucket.start_time, &bucket.end_time];
        let times = times.map(|time| Cell::new("", clock.rfc3339(time.as_ref())));
        if by.is_empty() {
            let cells = figures(&bucket.total.unwrap_or_default(), 0);
            sheet.push([times.to_vec(), cells].concat());
            continue;
        }
        for group in &bucket.groups {
            let index = usize::try_from(group.index).unwrap_or(usize::MAX);
            let Some(listed) = usage.groups.get(index) else {
                continue;
            };
            let cells = figures(&group.figures.unwrap_or_default(), 0);
            sheet.push([times.to_vec(), names(&listed.names), cells].concat());
        }
    }
    sheet
}

/// The columns of [`distribution`].
const LATENCY: [Column; 6] = [
    Column::number("latency_count", "COUNT"),
    Column::number("latency_p50_seconds", "P50"),
    Column::number("latency_p75_seconds", "P75"),
    Column::number("latency_p90_seconds", "P90"),
    Column::number("latency_p95_seconds", "P95"),
    Column::number("latency_p99_seconds", "P99"),
];
const FIRST_TOKEN: [Column; 6] = [
    Column::number("first_token_count", "FIRST TOKEN"),
    Column::number("first_token_p50_seconds", "P50"),
    Column::number("first_token_p75_seconds", "P75"),
    Column::number("first_token_p90_seconds", "P90"),
    Column::number("first_token_p95_seconds", "P95"),
    Column::number("first_token_p99_seconds", "P99"),
];

fn time(duration: Option<prost_types::Duration>) -> Cell {
    let Some(duration) = duration.and_then(|d| std::time::Duration::try_from(d).ok()) else {
        return Cell::new("-", "");
    };
    Cell::new(span::long(duration), duration.as_secs_f64())
}

fn distribution(distribution: Option<Distribution>) -> Vec<Cell> {
    let Distribution {
        count,
        p50,
        p75,
        p90,
        p95,
        p99,
    } = distribution.unwrap_or_default();
    let mut cells = vec![Cell::new(count.to_string(), count)];
    cells.extend([p50, p75, p90, p95, p99].map(time));
    cells
}

/// How long things took.
pub(crate) fn latency_sheet(latency: &GetLatencyResponse, by: &[Dimension]) -> Sheet {
    let mut sheet = Sheet::new([&name_columns(by), &LATENCY[..], &FIRST_TOKEN].concat());
    let total = by.is_empty().then_some(&latency.total);
    for group in latency
        .groups
        .iter()
        .filter(|_| !by.is_empty())
        .chain(total.into_iter().flatten())
    {
        let mut row = names(&group.names);
        row.extend(distribution(group.latency));
        row.extend(distribution(group.time_to_first_token));
        sheet.push(row);
    }
    sheet
}

/// How long things took, with how exact that is.
pub(crate) fn latency(latency: &GetLatencyResponse, by: &[Dimension]) -> String {
    let table = latency_sheet(latency, by).table();
    table + &remark("Percentiles are by the nearest rank, within 0.8 %.")
}

/// Models, or other groups, beside each other.
pub(crate) fn models_sheet(models: &CompareModelsResponse, by: &[Dimension]) -> Sheet {
    let columns = [
        Column::number("calls", "CALLS"),
        Column::number("error_rate", "ERRORS"),
        Column::number("cost_nanodollars", "COST"),
        Column::hidden("unknown_costs"),
        Column::number("cost_per_call_nanodollars", "PER CALL"),
        Column::number("cost_per_1000_output_tokens_nanodollars", "PER 1K OUT"),
        Column::number("cache_hit_rate", "CACHED"),
        Column::number("latency_p50_seconds", "P50"),
        Column::number("latency_p95_seconds", "P95"),
        Column::number("first_token_p50_seconds", "FIRST TOKEN"),
    ];
    let mut sheet = Sheet::new([&name_columns(by), &columns[..]].concat());
    for group in &models.groups {
        sheet.push([names(&group.names), model(group)].concat());
    }
    sheet
}

fn model(group: &ModelFigures) -> Vec<Cell> {
    let money = |nanos: Option<i64>| match nanos {
        Some(nanos) => Cell::new(dollars(nanos), nanos),
        None => Cell::new("?", ""),
    };
    let part = |part: Option<f64>| match part {
        Some(part) => Cell::new(percent(part), part),
        None => Cell::new("-", ""),
    };
    let figures = group.figures.unwrap_or_default();
    let latency = group.latency.unwrap_or_default();
    let first_token = group.time_to_first_token.unwrap_or_default();
    vec![
        Cell::new(
            figures.observation_count.to_string(),
            figures.observation_count,
        ),
        part(group.error_rate),
        Cell::new(cost(&figures), figures.cost_nanodollars),
        Cell::new("", figures.unknown_cost_count),
        money(group.cost_per_call_nanodollars),
        money(group.cost_per_thousand_output_tokens_nanodollars),
        part(group.cache_hit_rate),
        time(latency.p50),
        time(latency.p95),
        time(first_token.p50),
    ]
}

/// Models, or other groups, with what is missing.
pub(crate) fn models(models: &CompareModelsResponse, by: &[Dimension]) -> String {
    let total = models.total.as_ref().and_then(|total| total.figures);
    models_sheet(models, by).table() + &missing(&total.unwrap_or_default())
}

/// What failed.
pub(crate) fn errors_sheet(errors: &GetErrorsResponse, by: &[Dimension]) -> Sheet {
    let columns = [
        Column::text("kind", "KIND"),
        Column::number("errors", "ERRORS"),
        Column::number("observations", "OF"),
        Column::number("error_rate", "RATE"),
        Column::text("", ""),
    ];
    let most = errors.groups.iter().map(|group| group.error_count).max();
    let mut sheet = Sheet::new([&name_columns(by), &columns[..]].concat());
    for group in &errors.groups {
        let mut row = names(&group.names);
        let kind = words::observation_kind(group.kind());
        row.extend([
            Cell::new(kind, kind),
            Cell::new(group.error_count.to_string(), group.error_count),
            Cell::new(group.observation_count.to_string(), group.observation_count),
            Cell::new(percent(group.error_rate), group.error_rate),
            Cell::bar(group.error_count, most.unwrap_or(0)),
        ]);
        sheet.push(row);
    }
    sheet
}

/// What cost most.
pub(crate) fn expensive_sheet(
    expensive: &ListExpensiveObservationsResponse,
    clock: &Clock,
) -> Sheet {
    let mut sheet = Sheet::new(vec![
        Column::number("cost_nanodollars", "COST"),
        Column::number("input_tokens", "INPUT"),
        Column::number("output_tokens", "OUTPUT"),
        Column::text("start", "BEGAN"),
        Column::text("model", "MODEL"),
        Column::text("agent", "AGENT"),
        Column::text("name", "NAME"),
        Column::text("prompt", "PROMPT"),
        Column::number("id", "ID"),
        Column::hidden("trace_id"),
    ]);
    for observation in &expensive.observations {
        let labels = observation.labels.clone().unwrap_or_default();
        let tokens = observation.tokens.unwrap_or_default();
        let cost = observation.cost.map_or(0, |cost| cost.total_nanodollars);
        let model = match labels.model_responded.as_str() {
            "" => &labels.model_requested,
            model => model,
        };
        let start = observation.start_time.as_ref();
        sheet.push(vec![
            Cell::new(dollars(cost), cost),
            Cell::new(compact(input(&tokens)), input(&tokens)),
            Cell::new(compact(output(&tokens)), output(&tokens)),
            Cell::new(clock.minute(start), clock.rfc3339(start)),
            Cell::name(model),
            Cell::name(&labels.agent),
            Cell::name(&labels.name),
            Cell::name(&labels.prompt_name),
            Cell::new(observation.id.to_string(), observation.id),
            Cell::new("", &observation.trace_id),
        ]);
    }
    sheet
}

/// Calls by the hour of the week: a line for each day, a shade for each hour.
pub(crate) fn heatmap(heatmap: &GetHeatmapResponse) -> String {
    let calls = |weekday: i32, hour: i32| {
        let cell = heatmap.cells.iter();
        let cell = cell.filter(|cell| (cell.weekday, cell.hour) == (weekday, hour));
        cell.filter_map(|cell| cell.figures)
            .map(|figures| figures.call_count)
            .sum::<i64>()
    };
    let all = (1..=7).flat_map(|weekday| HOURS.map(move |hour| (weekday, hour)));
    let most = all
        .map(|(weekday, hour)| calls(weekday, hour))
        .max()
        .unwrap_or(0);
    let heads: String = HOURS.step_by(3).map(|hour| format!("{hour:<9}")).collect();
    let head = format!("     {heads:<72}  CALLS");
    let mut page = paint(style::HEADING, &head) + "\n";
    for (weekday, day) in (1..).zip(DAYS) {
        let shades: String = HOURS
            .map(|hour| format!("{0}{0} ", shade(calls(weekday, hour), most)))
            .collect();
        let total: i64 = HOURS.map(|hour| calls(weekday, hour)).sum();
        page.push_str(&format!("{day}  {shades}  {total:>5}\n"));
    }
    page
}

fn shade(value: i64, most: i64) -> char {
    let darkest = SHADES.len() - 1;
    let (Ok(value), Ok(most)) = (u128::try_from(value), u128::try_from(most)) else {
        return SHADES[0];
    };
    if value == 0 || most == 0 {
        return SHADES[0];
    }
    let shade = usize::try_from((value * darkest as u128).div_ceil(most)).unwrap_or(darkest);
    SHADES[shade.min(darkest)]
}

/// Hours of the week as values.
pub(crate) fn heatmap_sheet(heatmap: &GetHeatmapResponse) -> Sheet {
    let columns = [
        Column::number("weekday", "WEEKDAY"),
        Column::number("hour", "HOUR"),
    ];
    let mut sheet = Sheet::new([&columns[..], &FIGURES].concat());
    for cell in &heatmap.cells {
        let mut row = vec![Cell::new("", cell.weekday), Cell::new("", cell.hour)];
        row.extend(figures(&cell.figures.unwrap_or_default(), 0));
        sheet.push(row);
    }
    sheet
}

/// Models whose cost is unknown.
pub(crate) fn unknown_sheet(unknown: &ListUnknownModelsResponse) -> Sheet {
    let mut sheet = Sheet::new(vec![
        Column::text("model", "MODEL"),
        Column::text("provider", "PROVIDER"),
        Column::number("unknown_costs", "UNKNOWN"),
        Column::number("calls", "CALLS"),
        Column::number("input_tokens", "INPUT"),
        Column::number("output_tokens", "OUTPUT"),
    ]);
    for model in &unknown.models {
        let figures = model.figures.unwrap_or_default();
        let tokens = figures.tokens.unwrap_or_default();
        let count = |count: i64| Cell::new(compact(count), count);
        sheet.push(vec![
            Cell::name(&model.model),
            Cell::name(&model.provider),
            count(figures.unknown_cost_count),
            count(figures.call_count),
            count(input(&tokens)),
            count(output(&tokens)),
        ]);
    }
    sheet
}

/// How the ingestion is doing.
pub(crate) fn health(health: &GetIngestionResponse, clock: &Clock) -> String {
    let Some(newest) = &health.newest_start_time else {
        return "Nothing has been recorded yet.\n".to_owned();
    };
    let field = |name: &str, value: String| {
        let name = paint(style::DIM, &crate::text::column(name, 9));
        format!("{name}  {value}\n")
    };
    let figures = |figures: Option<Figures>| {
        let figures = figures.unwrap_or_default();
        format!(
            "{} observations, {} calls, {} errors, {}",
            figures.observation_count,
            figures.call_count,
            figures.error_count,
            cost(&figures)
        )
    };
    let mut page = field("newest", clock.full(newest));
    if let Some(oldest) = &health.oldest_start_time {
        page.push_str(&field("oldest", clock.full(oldest)));
    }
    page.push_str(&field("changes", health.head_sequence.to_string()));
    page.push_str(&field("this hour", figures(health.last_hour)));
    page.push_str(&field("24 hours", figures(health.last_day)));
    page
}

/// The same as values.
pub(crate) fn health_sheet(health: &GetIngestionResponse, clock: &Clock) -> Sheet {
    let mut sheet = Sheet::new(vec![
        Column::text("newest_start", "NEWEST"),
        Column::text("oldest_start", "OLDEST"),
        Column::number("lag_seconds", "LAG"),
        Column::number("head_sequence", "CHANGES"),
        Column::number("observations_last_hour", "HOUR"),
        Column::number("observations_last_day", "DAY"),
        Column::number("errors_last_day", "ERRORS"),
    ]);
    let (hour, day) = (
        health.last_hour.unwrap_or_default(),
        health.last_day.unwrap_or_default(),
    );
    sheet.push(vec![
        Cell::new("", clock.rfc3339(health.newest_start_time.as_ref())),
        Cell::new("", clock.rfc3339(health.oldest_start_time.as_ref())),
        time(health.lag),
        Cell::new("", health.head_sequence),
        Cell::new("", hour.observation_count),
        Cell::new("", day.observation_count),
        Cell::new("", day.error_count),
    ]);
    sheet
}
