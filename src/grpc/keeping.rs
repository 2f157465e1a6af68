//! What `AdminService` says about backups and retention.

use std::pin::Pin;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::pb::admin::v1 as pb;
use crate::domain::backup::{Backup, BackupPhase, BackupProgress};
use crate::domain::error::{Error, Result};
use crate::domain::retention::{Class, Report};

/// What a caller of `CreateBackup` is sent.
pub(super) type BackupStream =
    Pin<Box<dyn Stream<Item = Result<pb::CreateBackupResponse, Status>> + Send>>;

/// Tells how far `making` is, and what it made. The work ends when the stream is dropped, and with `stop`.
pub(super) fn backup(
    making: BoxFuture<'static, Result<Backup>>,
    progress: watch::Receiver<BackupProgress>,
    stop: CancellationToken,
) -> BackupStream {
    let making = Making {
        making: Some(making),
        progress,
        stop,
    };
    Box::pin(stream::unfold(making, |mut making| async {
        Some((making.next().await?, making))
    }))
}

struct Making {
    /// `None` after the end.
    making: Option<BoxFuture<'static, Result<Backup>>>,
    progress: watch::Receiver<BackupProgress>,
    stop: CancellationToken,
}

impl Making {
    async fn next(&mut self) -> Option<Result<pb::CreateBackupResponse, Status>> {
        use pb::create_backup_response::Part;
        let making = self.making.as_mut()?;
        let made = tokio::select! {
            biased;
            made = making => made,
            Ok(()) = self.progress.changed() => {
                let progress = to_progress(*self.progress.borrow_and_update());
                let part = Some(Part::Progress(progress));
                return Some(Ok(pb::CreateBackupResponse { part }));
            }
            () = self.stop.cancelled() => Err(Error::ShuttingDown),
        };
        self.making = None;
        let part = made.map(|backup| Some(Part::Backup(to_backup(backup))));
        Some(
            part.map(|part| pb::CreateBackupResponse { part })
                .map_err(Status::from),
        )
    }
}

fn to_progress(progress: BackupProgress) -> pb::BackupProgress {
    let phase = match progress.phase {
        BackupPhase::Copying => pb::BackupPhase::Copying,
        BackupPhase::Checking => pb::BackupPhase::Checking,
    };
    pb::BackupProgress {
        phase: phase.into(),
        pages_done: progress.pages_done,
        pages_total: progress.pages_total,
    }
}

fn to_backup(backup: Backup) -> pb::Backup {
    pb::Backup {
        path: backup.path,
        size_bytes: int64(backup.size),
        sequence: backup.sequence,
        epoch: backup.epoch,
        sha256: backup.sha256,
    }
}

/// Renders what retention did, or would do.
pub(super) fn to_report(report: Report) -> pb::RetentionReport {
    let amounts = Class::ALL.into_iter().zip(report.amounts);
    let amounts = amounts.map(|(class, amount)| pb::RetentionAmount {
        retention_class: to_class(class).into(),
        rows: int64(amount.rows),
        bytes: int64(amount.bytes),
    });
    let holds = report.cut.holds.into_iter();
    pb::RetentionReport {
        amounts: amounts.collect(),
        holds: holds
            .map(|hold| pb::RetentionHold {
                consumer: hold.consumer,
                acknowledged_sequence: hold.acknowledged,
                held_changes: int64(hold.changes),
            })
            .collect(),
        left_behind: report.cut.left_behind,
        returned_bytes: int64(report.returned),
        free_bytes: int64(report.space.free),
        shrinks: report.space.shrinks,
        oldest_sequence: report.oldest,
    }
}

fn to_class(class: Class) -> pb::RetentionClass {
    match class {
        Class::Journal => pb::RetentionClass::Journal,
        Class::Contents => pb::RetentionClass::Contents,
        Class::Closed => pb::RetentionClass::Closed,
    }
}

/// A count or size for the wire, held at the largest that it can carry.
fn int64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
