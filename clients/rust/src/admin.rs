//! The calls that look after the daemon.

use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Channel;

use crate::client::Client;
use crate::error::Error;
use crate::notification::present;
use crate::pb::admin::v1::admin_service_client::AdminServiceClient;
use crate::pb::admin::v1::create_backup_response::Part;
use crate::pb::admin::v1::{
    ApplyRetentionRequest, Backup, BackupProgress, CheckIntegrityRequest, CheckIntegrityResponse,
    CheckpointRequest, CheckpointResponse, CreateBackupRequest, GetMetricsRequest,
    GetServerInfoRequest, GetStatusRequest, RetentionReport, ServerInfo, ServerStatus,
};
use crate::session::MAX_REPLY_BYTES;

/// How long removing what is no longer kept may take.
const RETENTION_LIMIT: Duration = Duration::from_secs(60 * 60);

fn stub(channel: Channel) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

impl Client {
    /// Who the daemon is, asked anew; [`Client::server_info`] remembers it from the handshake. It touches no database.
    ///
    /// # Errors
    ///
    /// As [`Client::get_status`].
    pub async fn get_server_info(&self) -> Result<ServerInfo, Error> {
        let reply = self
            .call(GetServerInfoRequest {}, |channel, request| async move {
                stub(channel).get_server_info(request).await
            })
            .await?;
        present(reply.info, "GetServerInfo")
    }

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

    /// Copies the database into a new file while it is in use, and tells `progress` how far that is. It takes as long as it takes; dropping the
    /// call ends it, and nothing is left of it.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`: nothing may be written at this path. `BACKUP_RUNNING`, `BACKUP_FAILED`, `DISK_FULL`.
    pub async fn create_backup(
        &self,
        request: CreateBackupRequest,
        mut progress: impl FnMut(BackupProgress),
    ) -> Result<Backup, Error> {
        // This call is not repeated; another one finds out whether the connection is still good.
        self.get_status().await?;
        let session = self.session();
        let socket = self.socket();
        let limit = self.target().call_timeout;
        let failed = |status| Error::from_status(&status, &socket, limit);
        let reply = stub(session.channel.clone()).create_backup(request).await;
        let mut parts = reply.map_err(failed)?.into_inner();
        while let Some(reply) = parts.message().await.map_err(failed)? {
            match reply.part {
                Some(Part::Progress(state)) => progress(state),
                Some(Part::Backup(backup)) => return Ok(backup),
                None => {}
            }
        }
        present(None, "CreateBackup")
    }

    /// Removes what is no longer kept, or only says what that is. May take minutes.
    ///
    /// # Errors
    ///
    /// `DATABASE_BUSY` and the like as of a write; what was removed before is gone.
    pub async fn apply_retention(
        &self,
        request: ApplyRetentionRequest,
    ) -> Result<RetentionReport, Error> {
        // As above.
        self.get_status().await?;
        let deadline = Instant::now() + RETENTION_LIMIT;
        let send = |channel, request| async move { stub(channel).apply_retention(request).await };
        let reply = self
            .send_once(&self.session(), request, deadline, RETENTION_LIMIT, &send)
            .await?;
        present(reply.report, "ApplyRetention")
    }
}
