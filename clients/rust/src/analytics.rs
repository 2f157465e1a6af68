//! The calls of `AnalyticsService`: questions about usage, cost, latency and errors.

use tonic::transport::Channel;

use crate::client::Client;
use crate::error::Error;
use crate::pb::analytics::v1::analytics_service_client::AnalyticsServiceClient;
use crate::pb::analytics::v1::{
    CompareModelsRequest, CompareModelsResponse, GetErrorsRequest, GetErrorsResponse,
    GetHeatmapRequest, GetHeatmapResponse, GetIngestionRequest, GetIngestionResponse,
    GetLatencyRequest, GetLatencyResponse, GetUsageRequest, GetUsageResponse,
    ListExpensiveObservationsRequest, ListExpensiveObservationsResponse, ListUnknownModelsRequest,
    ListUnknownModelsResponse,
};
use crate::session::MAX_REPLY_BYTES;

fn stub(channel: Channel) -> AnalyticsServiceClient<Channel> {
    AnalyticsServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

/// Usage, cost, latency and errors. Any question may fail with `INVALID_FIELD`, and with `QUESTION_TOO_BROAD` where too many observations would
/// have to be read one by one.
impl Client {
    /// Returns usage and cost over time.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`, also for an unknown time zone.
    pub async fn get_usage(&self, request: GetUsageRequest) -> Result<GetUsageResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).get_usage(request).await
        })
        .await
    }

    /// Returns how long things took.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`.
    pub async fn get_latency(
        &self,
        request: GetLatencyRequest,
    ) -> Result<GetLatencyResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).get_latency(request).await
        })
        .await
    }

    /// Compares models, or other groups.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`.
    pub async fn compare_models(
        &self,
        request: CompareModelsRequest,
    ) -> Result<CompareModelsResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).compare_models(request).await
        })
        .await
    }

    /// Returns how often observations failed.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`.
    pub async fn get_errors(&self, request: GetErrorsRequest) -> Result<GetErrorsResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).get_errors(request).await
        })
        .await
    }

    /// Lists the observations that cost most.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`.
    pub async fn list_expensive_observations(
        &self,
        request: ListExpensiveObservationsRequest,
    ) -> Result<ListExpensiveObservationsResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).list_expensive_observations(request).await
        })
        .await
    }

    /// Returns usage by the hour of the week.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`, also for an unknown time zone.
    pub async fn get_heatmap(
        &self,
        request: GetHeatmapRequest,
    ) -> Result<GetHeatmapResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).get_heatmap(request).await
        })
        .await
    }

    /// Lists models whose cost is not known for all calls.
    ///
    /// # Errors
    ///
    /// `QUESTION_TOO_BROAD`; `INVALID_FIELD`.
    pub async fn list_unknown_models(
        &self,
        request: ListUnknownModelsRequest,
    ) -> Result<ListUnknownModelsResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).list_unknown_models(request).await
        })
        .await
    }

    /// Returns how the ingestion is doing.
    ///
    /// # Errors
    ///
    /// As every call: the daemon cannot be reached, or says why not.
    pub async fn get_ingestion(&self) -> Result<GetIngestionResponse, Error> {
        let request = GetIngestionRequest {};
        self.call(request, |channel, request| async move {
            stub(channel).get_ingestion(request).await
        })
        .await
    }
}
