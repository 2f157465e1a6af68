//! The calls that look after the daemon.

use tonic::transport::Channel;

use crate::client::Client;
use crate::error::Error;
use crate::notification::present;
use crate::pb::admin::v1::admin_service_client::AdminServiceClient;
use crate::pb::admin::v1::{
    CheckIntegrityRequest, CheckIntegrityResponse, CheckpointRequest, CheckpointResponse,
    GetMetricsRequest, GetStatusRequest, ServerStatus,
};
use crate::session::MAX_REPLY_BYTES;

fn stub(channel: Channel) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

impl Client {
    /// How the daemon is doing.
    ///
    /// # Errors
    ///
    /// As every call: the daemon cannot be reached, or says why not.
    pub async fn get_status(&self) -> Result<ServerStatus, Error> {
        let reply = self
            .call(GetStatusRequest {}, |channel, request| async move {
                stub(channel).get_status(request).await
            })
            .await?;
        present(reply.status, "GetStatus")
    }

    /// What the daemon counts, as text for Prometheus.
    ///
    /// # Errors
    ///
    /// As [`Client::get_status`].
    pub async fn get_metrics(&self) -> Result<String, Error> {
        let reply = self
            .call(GetMetricsRequest {}, |channel, request| async move {
                stub(channel).get_metrics(request).await
            })
            .await?;
        Ok(reply.text)
    }

    /// Moves the write-ahead log of a database into its file.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`: there is no such database. `DATABASE_BUSY` and the like as of a write.
    pub async fn checkpoint(
        &self,
        request: CheckpointRequest,
    ) -> Result<CheckpointResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).checkpoint(request).await
        })
        .await
    }

    /// Looks for damage in the databases, within [`ConnectOptions::call_timeout`](crate::ConnectOptions::call_timeout): what was not looked at by
    /// then is left out, and the answer says so.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`: there is no such database. `DATABASE_UNAVAILABLE`: it cannot be read at all.
    pub async fn check_integrity(
        &self,
        request: CheckIntegrityRequest,
    ) -> Result<CheckIntegrityResponse, Error> {
        self.call(request, |channel, request| async move {
            stub(channel).check_integrity(request).await
        })
        .await
    }
}
