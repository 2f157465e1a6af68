//! `AdminService`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::metrics::Metrics;
use super::pb::admin::v1 as pb;
use super::pb::admin::v1::admin_service_server::AdminService;
use super::{deadline, field, keeping, write};
use crate::connection::Connections;
use crate::domain::admin::{
    CheckpointMode, DatabaseStatus, IntegrityCheck, IntegrityDepth, IntegrityFinding,
    IntegrityKind, StoreAdmin, WalLock, WalLockKind,
};
use crate::domain::authority::Authority;
use crate::domain::backup::{BackupProgress, BackupRequest, BackupStore};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::notifications::Notifications;
use crate::domain::retention::Retention;

/// The oldest and the newest revision of the protocol that this daemon serves.
const PROTOCOL_MIN: i32 = 1;
const PROTOCOL_MAX: i32 = 1;
/// How many findings of a check are returned, unless its caller says otherwise, and at most.
const DEFAULT_FINDINGS: usize = 100;
const MAX_FINDINGS: usize = 1_000;
/// How far open notifications are counted.
const MAX_COUNTED: usize = 10_000;

/// Who this daemon is.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// The release.
    pub version: String,
    /// The data directory, absolute and without symbolic links.
    pub data_dir: PathBuf,
    /// The socket's path.
    pub socket: PathBuf,
    /// The process id.
    pub pid: i32,
    /// The user id that the daemon runs as: the only one, beside root, that is served.
    pub uid: u32,
    /// When it started.
    pub start_time: Timestamp,
    /// Open connections, counted by whoever accepts them: one count for each socket.
    pub connections: Vec<Connections>,
    /// The agent socket's path, where there is one.
    pub agent_socket: Option<PathBuf>,
}

/// Serves `AdminService`.
pub(super) struct Handler {
    pub(super) store: Arc<dyn StoreAdmin>,
    pub(super) notifications: Arc<Notifications>,
    pub(super) retention: Arc<Retention>,
    pub(super) backups: Arc<dyn BackupStore>,
    pub(super) identity: Arc<ServerIdentity>,
    pub(super) metrics: Metrics,
    /// Where writes run.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the daemon is stopping.
    pub(super) stop: CancellationToken,
}

#[tonic::async_trait]
impl AdminService for Handler {
    async fn get_server_info(
        &self,
        request: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        let identity = &self.identity;
        // Nothing that agents may call without a secret has an authority.
        let by_person = request.extensions().get() == Some(&Authority::Person);
        let path = |path: Option<&Path>| match path {
            Some(path) if by_person => path.display().to_string(),
            _ => String::new(),
        };
        let info = pb::ServerInfo {
            version: identity.version.clone(),
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            build: format!("{} {}", env!("BARISTA_TARGET"), env!("BARISTA_PROFILE")),
            data_dir: path(Some(&identity.data_dir)),
            socket: path(Some(&identity.socket)),
            epoch: self.notifications.epoch().to_owned(),
            pid: if by_person { identity.pid } else { 0 },
            uid: identity.uid,
            backend: self.store.backend(),
            start_time: Some(field::to_timestamp(identity.start_time)),
            agent_socket: path(identity.agent_socket.as_deref()),
            authority: if by_person {
                pb::Authority::Person.into()
            } else {
                pb::Authority::Agent.into()
            },
        };
        Ok(Response::new(pb::GetServerInfoResponse {
            info: Some(info),
        }))
    }

    async fn get_status(
        &self,
        _request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let databases = self.store.status().await?;
        let open = self.notifications.count_open(MAX_COUNTED + 1).await?;
        let feed = self.notifications.feed();
        let pid = self.identity.pid;
        let last = self.retention.last();
        let status = pb::ServerStatus {
            databases: databases
                .into_iter()
                .map(|database| to_database(database, pid))
                .collect(),
            watchers: int32(feed.followers()),
            waiters: int32(feed.waiters()),
            open_notifications: int64(open.min(MAX_COUNTED)),
            open_notifications_truncated: open > MAX_COUNTED,
            connections: int32(
                self.identity
                    .connections
                    .iter()
                    .map(Connections::open)
                    .sum(),
            ),
            shutting_down: self.stop.is_cancelled(),
            last_retention_time: last.as_ref().map(|(at, _)| field::to_timestamp(*at)),
            last_retention: last.map(|(_, report)| keeping::to_report(report)),
        };
        Ok(Response::new(pb::GetStatusResponse {
            status: Some(status),
        }))
    }

    async fn get_metrics(
        &self,
        _request: Request<pb::GetMetricsRequest>,
    ) -> Result<Response<pb::GetMetricsResponse>, Status> {
        let text = self.metrics.page().await?;
        Ok(Response::new(pb::GetMetricsResponse { text }))
    }

    async fn checkpoint(
        &self,
        request: Request<pb::CheckpointRequest>,
    ) -> Result<Response<pb::CheckpointResponse>, Status> {
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let mode = checkpoint_mode(request.mode)?;
        let store = Arc::clone(&self.store);
        let write = async move { store.checkpoint(&request.database, mode, deadline).await };
        let outcome = write::detached(&self.tasks, write).await?;
        Ok(Response::new(pb::CheckpointResponse {
            busy: outcome.busy,
            log_frames: outcome.frames.log,
            checkpointed_frames: outcome.frames.checkpointed,
        }))
    }

    async fn check_integrity(
        &self,
        request: Request<pb::CheckIntegrityRequest>,
    ) -> Result<Response<pb::CheckIntegrityResponse>, Status> {
        let deadline = deadline::of_work(&request);
        let request = request.into_inner();
        let check = IntegrityCheck {
            depth: integrity_depth(request.depth)?,
            limit: max_findings(request.max_findings)?,
            database: request.database,
            now: self.notifications.now(),
        };
        let report = tokio::select! {
            report = self.store.check_integrity(check, deadline) => report?,
            () = self.stop.cancelled() => return Err(Error::ShuttingDown.into()),
        };
        Ok(Response::new(pb::CheckIntegrityResponse {
            findings: report.findings.into_iter().map(to_finding).collect(),
            complete: report.complete,
            databases: report.databases,
        }))
    }

    type CreateBackupStream = keeping::BackupStream;

    async fn create_backup(
        &self,
        request: Request<pb::CreateBackupRequest>,
    ) -> Result<Response<Self::CreateBackupStream>, Status> {
        let request = request.into_inner();
        let request = BackupRequest {
            database: request.database,
            path: request.path,
            now: self.notifications.now(),
        };
        let (tell, progress) = watch::channel(BackupProgress::default());
        let backups = Arc::clone(&self.backups);
        let making = Box::pin(async move { backups.create_backup(request, tell).await });
        let stream = keeping::backup(making, progress, self.stop.clone());
        Ok(Response::new(stream))
    }

    async fn apply_retention(
        &self,
        request: Request<pb::ApplyRetentionRequest>,
    ) -> Result<Response<pb::ApplyRetentionResponse>, Status> {
        let dry_run = request.into_inner().dry_run;
        let report = async {
            if dry_run {
                self.retention.survey().await
            } else {
                self.retention.apply().await
            }
        };
        let report = tokio::select! {
            report = report => keeping::to_report(report?),
            () = self.stop.cancelled() => return Err(Error::ShuttingDown.into()),
        };
        let report = Some(report);
        Ok(Response::new(pb::ApplyRetentionResponse { report }))
    }
}

fn integrity_depth(number: i32) -> Result<IntegrityDepth> {
    match pb::IntegrityDepth::try_from(number) {
        Ok(pb::IntegrityDepth::Unspecified | pb::IntegrityDepth::Quick) => {
            Ok(IntegrityDepth::Quick)
        }
        Ok(pb::IntegrityDepth::Full) => Ok(IntegrityDepth::Full),
        Err(_) => Err(field::unknown("depth", number)),
    }
}

fn max_findings(number: i32) -> Result<usize> {
    match usize::try_from(number) {
        Ok(0) => Ok(DEFAULT_FINDINGS),
        Ok(number) => Ok(number.min(MAX_FINDINGS)),
        Err(_) => Err(Error::invalid("max_findings", "must not be negative")),
    }
}

fn to_finding(finding: IntegrityFinding) -> pb::IntegrityFinding {
    let kind = match finding.kind {
        IntegrityKind::Damage => pb::IntegrityFindingKind::Damage,
        IntegrityKind::ForeignKey => pb::IntegrityFindingKind::ForeignKey,
        IntegrityKind::Schema => pb::IntegrityFindingKind::Schema,
        IntegrityKind::Clock => pb::IntegrityFindingKind::Clock,
        IntegrityKind::Unusable => pb::IntegrityFindingKind::Unusable,
    };
    pb::IntegrityFinding {
        database: finding.database,
        kind: kind.into(),
        text: finding.text,
    }
}

fn checkpoint_mode(number: i32) -> Result<CheckpointMode> {
    match pb::CheckpointMode::try_from(number) {
        Ok(pb::CheckpointMode::Unspecified | pb::CheckpointMode::Passive) => {
            Ok(CheckpointMode::Passive)
        }
        Ok(pb::CheckpointMode::Truncate) => Ok(CheckpointMode::Truncate),
        Err(_) => Err(field::unknown("mode", number)),
    }
}

fn to_database(database: DatabaseStatus, daemon: i32) -> pb::DatabaseStatus {
    let locks = database.wal_locks.into_iter();
    pb::DatabaseStatus {
        name: database.name,
        size_bytes: int64(database.size),
        wal_bytes: int64(database.wal_size),
        wal_frames: database.wal.log,
        wal_checkpointed_frames: database.wal.checkpointed,
        wal_locks: locks.map(|lock| to_wal_lock(lock, daemon)).collect(),
        queue_depth: int64(database.queue_depth),
        queue_capacity: int64(database.queue_capacity),
        head_sequence: database.head,
        oldest_sequence: database.oldest,
        commits: int64(database.commits),
        writes: int64(database.writes),
        foreign_commits: int64(database.foreign_commits),
        busy_retries: int64(database.busy_retries),
        writable: database.unwritable.is_none(),
        unwritable_reason: database.unwritable.unwrap_or_default(),
        disk_available_bytes: int64(database.disk_available),
        last_checkpoint_time: database.last_checkpoint.map(field::to_timestamp),
        schema_version: database.schema_version,
    }
}

fn to_wal_lock(lock: WalLock, daemon: i32) -> pb::WalLock {
    let kind = match lock.kind {
        WalLockKind::Read => pb::WalLockKind::Read,
        WalLockKind::Write => pb::WalLockKind::Write,
        WalLockKind::Checkpoint => pb::WalLockKind::Checkpoint,
        WalLockKind::Recover => pb::WalLockKind::Recover,
    };
    pb::WalLock {
        pid: lock.pid,
        command: lock.command,
        kind: kind.into(),
        is_daemon: lock.pid == daemon,
    }
}

/// A count for the wire, held at the largest that it can carry.
fn int32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count or size for the wire, held at the largest that it can carry.
fn int64(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
