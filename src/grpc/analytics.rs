//! `AnalyticsService`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tonic::{Request, Response, Status};

use super::field::{WireEnum, timestamp, to_timestamp, unknown};
use super::observation::{count, to_observation, to_tokens};
use super::pb::analytics::v1 as pb;
use super::pb::analytics::v1::analytics_service_server::AnalyticsService;
use crate::domain::analytics::answer::{Bucket, Compared, Figures, Group, Usage};
use crate::domain::analytics::bucket::{BucketSize, offset_seconds};
use crate::domain::analytics::store::{Dimension, Selection};
use crate::domain::analytics::{
    Analytics, Calendar, Grouping, MAX_EXPENSIVE, MAX_GROUPS, Scope, Timed,
};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::observation::ObservationKind;
use crate::domain::observation::usage::Tokens;
use crate::domain::sketch::Sketch;

/// How many groups, and expensive observations, an answer has when nobody says.
const DEFAULT_GROUPS: usize = 10;
/// How many unknown models.
const DEFAULT_UNKNOWN: usize = 50;

/// Serves `AnalyticsService` from the domain.
pub(super) struct Handler {
    pub(super) analytics: Arc<Analytics>,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AnalyticsService for Handler {
    async fn get_usage(
        &self,
        request: Request<pb::GetUsageRequest>,
    ) -> Reply<pb::GetUsageResponse> {
        let request = request.into_inner();
        let calendar = Calendar {
            size: bucket_size(request.bucket_size)?,
            zone: zone(&request.time_zone)?,
        };
        let grouping = grouping(&request.group_by, request.max_groups, &[])?;
        let scope = scope(request.scope)?;
        let usage = self.analytics.usage(scope, &grouping, &calendar).await?;
        Ok(Response::new(to_usage(usage, &calendar.zone)))
    }

    async fn get_latency(
        &self,
        request: Request<pb::GetLatencyRequest>,
    ) -> Reply<pb::GetLatencyResponse> {
        let request = request.into_inner();
        let grouping = grouping(&request.group_by, request.max_groups, &[])?;
        let compared = self
            .analytics
            .comparison(scope(request.scope)?, &grouping)
            .await?;
        let range = to_range(compared.range());
        let answer = compared.answer;
        Ok(Response::new(pb::GetLatencyResponse {
            range,
            total: Some(to_latency(answer.total)),
            groups: answer.groups.into_iter().map(to_latency).collect(),
            other_group_count: number(answer.other_groups),
        }))
    }

    async fn compare_models(
        &self,
        request: Request<pb::CompareModelsRequest>,
    ) -> Reply<pb::CompareModelsResponse> {
        let request = request.into_inner();
        let models = [Dimension::Model, Dimension::Provider];
        let grouping = grouping(&request.group_by, request.max_groups, &models)?;
        let compared = self
            .analytics
            .comparison(scope(request.scope)?, &grouping)
            .await?;
        let range = to_range(compared.range());
        let answer = compared.answer;
        Ok(Response::new(pb::CompareModelsResponse {
            range,
            total: Some(to_model(answer.total)),
            groups: answer.groups.into_iter().map(to_model).collect(),
            other_group_count: number(answer.other_groups),
        }))
    }

    async fn get_errors(
        &self,
        request: Request<pb::GetErrorsRequest>,
    ) -> Reply<pb::GetErrorsResponse> {
        let request = request.into_inner();
        let grouping = grouping(&request.group_by, request.max_groups, &[Dimension::Model])?;
        let failures = self
            .analytics
            .failures(scope(request.scope)?, &grouping)
            .await?;
        let range = to_range(failures.range());
        let (total, groups) = failures.answer;
        let to_group = |failures: crate::domain::analytics::answer::Failures| pb::GroupErrors {
            kind: failures.kind.number(),
            observation_count: failures.figures.observations,
            error_count: failures.figures.errors,
            error_rate: failures.figures.error_rate().unwrap_or(0.0),
            names: failures.names,
        };
        Ok(Response::new(pb::GetErrorsResponse {
            range,
            observation_count: total.observations,
            error_count: total.errors,
            groups: groups.into_iter().map(to_group).collect(),
        }))
    }

    async fn list_expensive_observations(
        &self,
        request: Request<pb::ListExpensiveObservationsRequest>,
    ) -> Reply<pb::ListExpensiveObservationsResponse> {
        let request = request.into_inner();
        let limit = max_count(request.max_count, DEFAULT_GROUPS, MAX_EXPENSIVE)?;
        let found = self
            .analytics
            .expensive(scope(request.scope)?, limit)
            .await?;
        Ok(Response::new(pb::ListExpensiveObservationsResponse {
            range: to_range(found.range()),
            observations: found.answer.into_iter().map(to_observation).collect(),
        }))
    }

    async fn get_heatmap(
        &self,
        request: Request<pb::GetHeatmapRequest>,
    ) -> Reply<pb::GetHeatmapResponse> {
        let request = request.into_inner();
        let zone = zone(&request.time_zone)?;
        let cells = self.analytics.heatmap(scope(request.scope)?, &zone).await?;
        let range = to_range(cells.range());
        let cells = cells.answer.into_iter();
        let cells = cells.map(|(cell, figures)| pb::HeatmapCell {
            weekday: i32::from(cell.weekday) + 1,
            hour: i32::from(cell.hour),
            figures: to_figures(&figures),
        });
        Ok(Response::new(pb::GetHeatmapResponse {
            range,
            cells: cells.collect(),
        }))
    }

    async fn list_unknown_models(
        &self,
        request: Request<pb::ListUnknownModelsRequest>,
    ) -> Reply<pb::ListUnknownModelsResponse> {
        let request = request.into_inner();
        let limit = max_count(request.max_count, DEFAULT_UNKNOWN, MAX_GROUPS)?;
        let found = self.analytics.unknown(scope(request.scope)?, limit).await?;
        let range = to_range(found.range());
        let to_model = |group: Group| {
            let mut names = group.names.into_iter();
            pb::UnknownModel {
                model: names.next().unwrap_or_default(),
                provider: names.next().unwrap_or_default(),
                figures: to_figures(&group.figures),
            }
        };
        Ok(Response::new(pb::ListUnknownModelsResponse {
            range,
            models: found.answer.into_iter().map(to_model).collect(),
        }))
    }

    async fn get_ingestion(
        &self,
        _request: Request<pb::GetIngestionRequest>,
    ) -> Reply<pb::GetIngestionResponse> {
        let health = self.analytics.health().await?;
        let ingestion = health.ingestion;
        Ok(Response::new(pb::GetIngestionResponse {
            newest_start_time: ingestion.newest.map(to_timestamp),
            oldest_start_time: ingestion.oldest.map(to_timestamp),
            lag: health.lag.and_then(to_duration),
            head_sequence: ingestion.head,
            last_day: to_figures(&health.last_day),
            last_hour: to_figures(&health.last_hour),
        }))
    }
}

macro_rules! wire_enum {
    ($domain:ident => $wire:ident: $($value:ident),+) => {
        impl WireEnum for $domain {
            fn number(self) -> i32 {
                match self {
                    $(Self::$value => pb::$wire::$value as i32,)+
                }
            }
        }
    };
}

wire_enum!(Dimension => Dimension: Model, Provider, Agent, Project, Session, User, Prompt);

fn bucket_size(number: i32) -> Result<BucketSize> {
    use pb::BucketSize as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Unspecified) => Ok(BucketSize::Whole),
        Ok(Wire::Hour) => Ok(BucketSize::Hour),
        Ok(Wire::Day) => Ok(BucketSize::Day),
        Ok(Wire::Week) => Ok(BucketSize::Week),
        Ok(Wire::Month) => Ok(BucketSize::Month),
        Err(_) => Err(unknown("bucket_size", number)),
    }
}

fn zone(name: &str) -> Result<TimeZone> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    let rule = "is no time zone that this machine knows; give an IANA name such as Europe/Berlin";
    TimeZone::get(name).map_err(|_| Error::invalid("time_zone", rule))
}

/// Parses what to group by; nothing stands for `default`.
fn grouping(dimensions: &[i32], max_groups: i32, default: &[Dimension]) -> Result<Grouping> {
    let mut by = Vec::new();
    for (index, number) in dimensions.iter().enumerate() {
        let dimension = Dimension::from_number(*number);
        by.push(dimension.ok_or_else(|| unknown(&format!("group_by[{index}]"), *number))?);
    }
    if by.is_empty() {
        by.extend(default);
    }
    let limit = match usize::try_from(max_groups) {
        Ok(0) => DEFAULT_GROUPS,
        Ok(limit) => limit,
        Err(_) => return Err(Error::invalid("max_groups", "must not be negative")),
    };
    Ok(Grouping { by, limit })
}

fn max_count(count: i32, default: usize, most: usize) -> Result<usize> {
    match usize::try_from(count) {
        Ok(0) => Ok(default),
        Ok(count) => Ok(count.min(most)),
        Err(_) => Err(Error::invalid("max_count", "must not be negative")),
    }
}

fn scope(scope: Option<pb::Scope>) -> Result<Scope> {
    let scope = scope.unwrap_or_default();
    let time = |field: &str, time: Option<prost_types::Timestamp>| {
        time.map(|time| timestamp(field, time)).transpose()
    };
    let mut kinds = Vec::new();
    for (index, number) in scope.kinds.iter().enumerate() {
        let kind = ObservationKind::from_number(*number);
        kinds.push(kind.ok_or_else(|| unknown(&format!("scope.kinds[{index}]"), *number))?);
    }
    Ok(Scope {
        start: time("scope.start_time", scope.start_time)?,
        end: time("scope.end_time", scope.end_time)?,
        selection: Selection {
            kinds,
            model: scope.model,
            provider: scope.provider,
            agent: scope.agent,
            project: scope.project,
        },
    })
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "fields that are messages are optional on the wire"
)]
fn to_range(range: Range<Timestamp>) -> Option<pb::TimeRange> {
    Some(pb::TimeRange {
        start_time: Some(to_timestamp(range.start)),
        end_time: Some(to_timestamp(range.end)),
    })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "fields that are messages are optional on the wire"
)]
fn to_figures(figures: &Figures) -> Option<pb::Figures> {
    let tokens = figures
        .tokens
        .map(|tokens| u64::try_from(tokens).unwrap_or(0));
    Some(pb::Figures {
        observation_count: figures.observations,
        error_count: figures.errors,
        call_count: figures.calls,
        failed_call_count: figures.failed_calls,
        tokens: Some(to_tokens(&Tokens::from_buckets(tokens))),
        cost_nanodollars: figures.cost,
        unknown_cost_count: figures.unknown_costs,
    })
}

fn to_duration(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}

fn to_distribution(sketch: &Sketch) -> Option<pb::Distribution> {
    let at = |per_mille| to_duration(Duration::from_micros(sketch.quantile(per_mille)?));
    Some(pb::Distribution {
        count: count(sketch.count()),
        p50: at(500),
        p75: at(750),
        p90: at(900),
        p95: at(950),
        p99: at(990),
    })
}

fn to_latency(compared: Compared) -> pb::GroupLatency {
    pb::GroupLatency {
        latency: to_distribution(&compared.latency),
        time_to_first_token: to_distribution(&compared.first_token),
        names: compared.names,
    }
}

fn to_model(compared: Compared) -> pb::ModelFigures {
    let figures = &compared.figures;
    pb::ModelFigures {
        figures: to_figures(figures),
        cost_per_call_nanodollars: figures.cost_per_call(),
        cost_per_thousand_output_tokens_nanodollars: figures.cost_per_1000_output_tokens(),
        error_rate: figures.error_rate(),
        cache_hit_rate: figures.cache_hit_rate(),
        latency: to_distribution(&compared.latency),
        time_to_first_token: to_distribution(&compared.first_token),
        names: compared.names,
    }
}

fn to_usage(usage: Timed<Usage>, zone: &TimeZone) -> pb::GetUsageResponse {
    let range = to_range(usage.range());
    let Timed { bounds, answer } = usage;
    let to_bucket = |(bounds, bucket): (&[Timestamp], Bucket)| {
        let start = bounds.first().copied().unwrap_or(Timestamp::MIN);
        let groups = bucket.groups.iter();
        pb::UsageBucket {
            start_time: Some(to_timestamp(start)),
            end_time: bounds.last().copied().map(to_timestamp),
            utc_offset_seconds: offset_seconds(start, zone),
            total: to_figures(&bucket.total),
            groups: groups
                .map(|(index, figures)| pb::BucketGroup {
                    index: i32::try_from(*index).unwrap_or(i32::MAX),
                    figures: to_figures(figures),
                })
                .collect(),
            others: to_figures(&bucket.others),
        }
    };
    let to_group = |group: Group| pb::Group {
        figures: to_figures(&group.figures),
        names: group.names,
    };
    pb::GetUsageResponse {
        range,
        total: to_figures(&answer.total),
        groups: answer.groups.into_iter().map(to_group).collect(),
        other_group_count: number(answer.other_groups),
        others: to_figures(&answer.others),
        buckets: bounds
            .windows(2)
            .zip(answer.buckets)
            .map(to_bucket)
            .collect(),
    }
}
