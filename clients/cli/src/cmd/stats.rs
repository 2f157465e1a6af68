//! `barista stats`: usage, cost, latency and errors.

use barista_client::pb::analytics::v1::{
    BucketSize, CompareModelsRequest, Dimension, GetErrorsRequest, GetHeatmapRequest,
    GetLatencyRequest, GetUsageRequest, ListExpensiveObservationsRequest, ListUnknownModelsRequest,
    Scope,
};
use barista_client::{Client, Error, ErrorReason};
use clap::{Args, ValueEnum};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::json::Named;
use crate::render::sheet::Sheet;
use crate::render::stats as render;
use crate::time::{Clock, convert};
use crate::{span, words};

const WHAT: &str = "cannot get the statistics";
const SECONDS_PER_HOUR: i64 = 3_600;

/// Say what agents have used and what it cost, how long it took and what failed.
///
/// Costs that nobody knows are shown as ?, never as nothing. Percentiles are within 0.8 %. Buckets and times are those of the local clock, or of
/// the one that --tz names; where that is half an hour off UTC, or a group is a session, a user or a prompt, the daemon reads the observations one
/// by one, and at most 500,000 of them.
#[derive(Debug, Args)]
#[command(after_help = "Example: barista stats usage --since 30d --by model --bucket day")]
pub(crate) struct Stats {
    /// What to tell
    #[arg(value_enum, default_value_t = View::Usage, hide_default_value = true)]
    view: View,
    /// From when on: a span back from now (rounded down to a full bucket), a date, a time, or all
    #[arg(long, default_value = "7d", value_name = "SPAN|TIME", value_parser = moment)]
    since: Moment,
    /// Until when: as --since [default: now]
    #[arg(long, value_name = "SPAN|TIME", value_parser = moment)]
    until: Option<Moment>,
    /// What to group by; may be repeated, up to three times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = words::parser(words::DIMENSIONS))]
    by: Vec<Dimension>,
    /// How long a bucket of usage is [default: day]
    #[arg(long, value_name = "SIZE", value_parser = words::parser(words::BUCKETS))]
    bucket: Option<BucketSize>,
    /// Whose clock and calendar, as in Europe/Berlin [default: the local ones]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// How many groups or rows at most
    #[arg(long, short = 'n', default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    limit: i32,
    /// Print comma-separated values: costs in billionths of a dollar, latencies in seconds
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum View {
    /// Calls, tokens and cost over time
    Usage,
    /// How long calls took, and how long the first token
    Latency,
    /// What failed, by model and kind
    Errors,
    /// Models beside each other: cost, speed, errors, use of the cache
    Models,
    /// Agents beside each other
    Agents,
    /// Calls by the hour of the week
    Heatmap,
    /// The calls that cost most
    Expensive,
    /// Models whose price is unknown
    Unknown,
    /// What comes in
    Health,
}

/// What is counted.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Only this model's
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only this provider's
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only this agent's
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only this project's
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

/// A moment, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// So long ago.
    Ago(SignedDuration),
    /// On the clock.
    Local(DateTime),
    /// With its offset.
    Exact(Timestamp),
    /// When the oldest observation began.
    Ever,
}

fn moment(typed: &str) -> Result<Moment, String> {
    if typed == "all" {
        return Ok(Moment::Ever);
    }
    // A number alone could be a year.
    if typed.parse::<u64>().is_err()
        && let Ok(ago) = span::parse(typed)
    {
        let ago = SignedDuration::try_from(ago);
        return ago
            .map(Moment::Ago)
            .map_err(|_| format!("{typed:?} is too long"));
    }
    if let Ok(exact) = typed.parse() {
        return Ok(Moment::Exact(exact));
    }
    typed.parse().map(Moment::Local).map_err(|_| {
        format!("{typed:?} is no time; write it as 7d, 2026-03-01, 2026-03-01T12:00 or all")
    })
}

/// What was typed, with times and a zone that are settled.
#[derive(Debug)]
struct Question {
    stats: Stats,
    scope: Scope,
    clock: Clock,
    /// The zone's name.
    zone: String,
}

impl Stats {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        self.check()?;
        let clock = Clock::system();
        let client = app.client().await?;
        let oldest = match self.since {
            Moment::Ever => {
                let ingestion = client.get_ingestion().await.map_err(failed)?;
                ingestion.oldest_start_time.as_ref().and_then(convert)
            }
            _ => None,
        };
        let question = self.settle(clock, oldest)?;
        question.answer(app, &client).await?;
        Ok(Exit::Done)
    }

    /// Refuses what would have no effect.
    fn check(&self) -> Result<()> {
        let groups = [View::Usage, View::Latency, View::Errors, View::Models];
        let refuse = |option: &str, why: &str| {
            let what = format!("{option} has no effect here");
            Err(Failure::usage(what, why).next("barista stats --help".to_owned()))
        };
        if self.bucket.is_some() && self.view != View::Usage {
            return refuse("--bucket", "only usage is told over time");
        }
        if !self.by.is_empty() && !groups.contains(&self.view) {
            return refuse("--by", "only usage, latency, errors and models have groups");
        }
        Ok(())
    }

    fn bucket(&self) -> BucketSize {
        match self.view {
            View::Usage => self.bucket.unwrap_or(BucketSize::Day),
            _ => BucketSize::Unspecified,
        }
    }

    /// Settles times and zone; `oldest` is when the oldest observation began, where that is asked for.
    fn settle(self, mut clock: Clock, oldest: Option<Timestamp>) -> Result<Question> {
        let zone = match &self.tz {
            Some(name) => {
                clock.zone = TimeZone::get(name).map_err(|_| {
                    let why = format!("{name:?} is no time zone that this machine knows");
                    Failure::usage("cannot tell whose clock is meant", why)
                        .next("--tz Europe/Berlin, or another name of the IANA database".to_owned())
                })?;
                name.clone()
            }
            None => clock.zone.iana_name().unwrap_or("UTC").to_owned(),
        };
        if self.tz.is_none() && clock.zone.iana_name().is_none() {
            // The daemon could not count in a zone without a name.
            clock.zone = TimeZone::UTC;
        }
        let since = match self.since {
            Moment::Ever => Moment::Ago(clock.now.duration_since(oldest.unwrap_or(clock.now))),
            since => since,
        };
        let start = settled(since, &clock, Some(self.bucket()))?;
        let end = match self.until {
            Some(until) => Some(settled(until, &clock, None)?),
            None => None,
        };
        if end.is_some_and(|end| end <= start) {
            let why = "--until must be later than --since";
            return Err(Failure::usage("there is no such time", why)
                .next("barista stats --since 14d --until 7d".to_owned()));
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let scope = Scope {
            start_time: Some(to_wire(start)),
            end_time: end.map(to_wire),
            kinds: Vec::new(),
            model: text(&self.filter.model),
            provider: text(&self.filter.provider),
            agent: text(&self.filter.agent),
            project: text(&self.filter.project),
        };
        Ok(Question {
            stats: self,
            scope,
            clock,
            zone,
        })
    }
}

/// The point in time that is meant. A span back from now ends at the start of a bucket, or of an hour of UTC.
fn settled(moment: Moment, clock: &Clock, bucket: Option<BucketSize>) -> Result<Timestamp> {
    let out_of_range = || Failure::usage(WHAT, "the time is out of range");
    let full_hour = |time: Timestamp| {
        let hour = time.as_second().div_euclid(SECONDS_PER_HOUR) * SECONDS_PER_HOUR;
        Timestamp::from_second(hour).map_err(|_| out_of_range())
    };
    let zone = &clock.zone;
    match moment {
        Moment::Ever => full_hour(clock.now),
        Moment::Exact(time) => Ok(time),
        Moment::Local(time) => {
            let zoned = time.to_zoned(zone.clone()).map_err(|_| out_of_range())?;
            Ok(zoned.timestamp())
        }
        Moment::Ago(ago) => {
            let time = clock.now.checked_sub(ago).map_err(|_| out_of_range())?;
            if bucket.is_none() {
                return Ok(time);
            }
            let zoned = time.to_zoned(zone.clone());
            let midnight = match bucket {
                Some(BucketSize::Day) => zoned.start_of_day(),
                Some(BucketSize::Week) => {
                    let since = zoned.weekday().since(jiff::civil::Weekday::Monday);
                    let monday = zoned.date().checked_sub(jiff::Span::new().days(since));
                    monday.and_then(|date| date.to_zoned(zone.clone()))
                }
                Some(BucketSize::Month) => zoned.date().first_of_month().to_zoned(zone.clone()),
                _ => return full_hour(time),
            };
            midnight
                .map(|midnight| midnight.timestamp())
                .map_err(|_| out_of_range())
        }
    }
}

fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

impl Question {
    async fn answer(self, app: &App, client: &Client) -> Result<()> {
        let limit = self.stats.limit;
        let scope = Some(self.scope.clone());
        match self.stats.view {
            View::Usage => self.usage(app, client).await,
            View::Latency => self.latency(app, client).await,
            View::Errors => self.errors(app, client).await,
            View::Models | View::Agents => self.models(app, client).await,
            View::Heatmap => {
                let request = GetHeatmapRequest {
                    scope,
                    time_zone: self.zone.clone(),
                };
                let answer = client.get_heatmap(request).await.map_err(failed)?;
                let sheet = || render::heatmap_sheet(&answer);
                self.tell(app, &answer, sheet, || match answer.cells[..] {
                    [] => String::new(),
                    _ => render::heatmap(&answer),
                })
            }
            View::Expensive => {
                let request = ListExpensiveObservationsRequest {
                    scope,
                    max_count: limit,
                };
                let answer = client.list_expensive_observations(request).await;
                let answer = answer.map_err(failed)?;
                let sheet = || render::expensive_sheet(&answer, &self.clock);
                self.tell(app, &answer, sheet, || sheet().table())
            }
            View::Unknown => {
                let request = ListUnknownModelsRequest {
                    scope,
                    max_count: limit,
                };
                let answer = client.list_unknown_models(request).await.map_err(failed)?;
                let sheet = || render::unknown_sheet(&answer);
                self.tell(app, &answer, sheet, || sheet().table())
            }
            View::Health => {
                let answer = client.get_ingestion().await.map_err(failed)?;
                let sheet = || render::health_sheet(&answer, &self.clock);
                let page = || render::health(&answer, &self.clock);
                self.tell(app, &answer, sheet, page)
            }
        }
    }

    async fn usage(&self, app: &App, client: &Client) -> Result<()> {
        let by = &self.stats.by;
        let request = GetUsageRequest {
            scope: Some(self.scope.clone()),
            group_by: numbers(by),
            max_groups: self.stats.limit,
            bucket_size: self.stats.bucket().into(),
            time_zone: self.zone.clone(),
        };
        let answer = client.get_usage(request).await.map_err(failed)?;
        let sheet = || render::usage_sheet(&answer, by, &self.clock);
        let is_empty = answer.total.unwrap_or_default().observation_count == 0;
        self.left_out(app, answer.other_group_count);
        self.tell(app, &answer, sheet, || match is_empty {
            true => String::new(),
            false => render::usage(&answer, by, &self.clock),
        })
    }

    async fn latency(&self, app: &App, client: &Client) -> Result<()> {
        let by = &self.stats.by;
        let request = GetLatencyRequest {
            scope: Some(self.scope.clone()),
            group_by: numbers(by),
            max_groups: self.stats.limit,
        };
        let answer = client.get_latency(request).await.map_err(failed)?;
        let sheet = || render::latency_sheet(&answer, by);
        self.left_out(app, answer.other_group_count);
        let count = answer.total.as_ref().and_then(|total| total.latency);
        let is_empty = count.unwrap_or_default().count == 0;
        self.tell(app, &answer, sheet, || match is_empty {
            true => String::new(),
            false => render::latency(&answer, by),
        })
    }

    async fn models(&self, app: &App, client: &Client) -> Result<()> {
        let by = match (&self.stats.by[..], self.stats.view) {
            ([], View::Agents) => vec![Dimension::Agent],
            ([], _) => vec![Dimension::Model, Dimension::Provider],
            (by, _) => by.to_vec(),
        };
        let request = CompareModelsRequest {
            scope: Some(self.scope.clone()),
            group_by: numbers(&by),
            max_groups: self.stats.limit,
        };
        let answer = client.compare_models(request).await.map_err(failed)?;
        self.left_out(app, answer.other_group_count);
        let sheet = || render::models_sheet(&answer, &by);
        self.tell(app, &answer, sheet, || match answer.groups[..] {
            [] => String::new(),
            _ => render::models(&answer, &by),
        })
    }

    async fn errors(&self, app: &App, client: &Client) -> Result<()> {
        let by = match &self.stats.by[..] {
            [] => vec![Dimension::Model],
            by => by.to_vec(),
        };
        let request = GetErrorsRequest {
            scope: Some(self.scope.clone()),
            group_by: numbers(&by),
            max_groups: self.stats.limit,
        };
        let answer = client.get_errors(request).await.map_err(failed)?;
        let sheet = || render::errors_sheet(&answer, &by);
        self.tell(app, &answer, sheet, || sheet().table())
    }

    /// Says how many groups are missing in what is printed.
    fn left_out(&self, app: &App, groups: i64) {
        if groups > 0 && !app.output.json {
            let remark = format!("{groups} more groups are not listed: ask for them with -n.");
            app.output.note(&remark);
        }
    }

    /// Prints an answer in the form that was asked for. An empty page means that there is nothing.
    fn tell<M: Named>(
        &self,
        app: &App,
        answer: &M,
        sheet: impl Fn() -> Sheet,
        page: impl Fn() -> String,
    ) -> Result<()> {
        if app.output.json {
            return app.output.message(answer);
        }
        if self.stats.csv {
            return app.output.csv(&sheet().csv());
        }
        let page = page();
        if page.is_empty() {
            app.output.note("Nothing in that time.");
        }
        app.output.print(&page)
    }
}

fn numbers(by: &[Dimension]) -> Vec<i32> {
    by.iter().map(|dimension| i32::from(*dimension)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn failed(error: Error) -> Failure {
    let failure = Failure::call(WHAT, &error);
    match error.reason() {
        ErrorReason::QuestionTooBroad => {
            failure.next("a shorter time, such as --since 1d".to_owned())
        }
        ErrorReason::InvalidField => failure.next(
            "larger buckets (--bucket month), a shorter time, or fewer groups (-n)".to_owned(),
        ),
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
