//! All databases of a data directory, as an operator sees them.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::watch;

use super::store::{NOTIFICATIONS_FILE, SqliteStore};
use super::telemetry::{SqliteTelemetry, TELEMETRY_FILE};
use crate::domain::admin::{
    CheckpointMode, CheckpointOutcome, DatabaseStatus, IntegrityCheck, IntegrityReport, StoreAdmin,
    WriterActivity,
};
use crate::domain::backup::{Backup, BackupProgress, BackupRequest, BackupStore};
use crate::domain::error::{Error, Result};

/// The notifications, and the telemetry where there is any.
pub struct Databases {
    /// The notifications.
    pub notifications: Arc<SqliteStore>,
    /// The telemetry, whose file may not be there yet.
    pub telemetry: Arc<SqliteTelemetry>,
}

/// One of the databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Notifications,
    Telemetry,
}

impl Databases {
    /// The database called `name`; `None` for the empty name.
    fn which(&self, name: &str) -> Result<Option<Which>> {
        match name {
            "" => Ok(None),
            NOTIFICATIONS_FILE => Ok(Some(Which::Notifications)),
            TELEMETRY_FILE if self.telemetry.exists() => Ok(Some(Which::Telemetry)),
            TELEMETRY_FILE => {
                let rule = "there is no such database yet: nothing was recorded";
                Err(Error::invalid("database", rule))
            }
            _ => {
                let rule = format!(
                    "there is no such database; there are: {NOTIFICATIONS_FILE}, {TELEMETRY_FILE}"
                );
                Err(Error::invalid("database", rule))
            }
        }
    }
}

#[async_trait]
impl StoreAdmin for Databases {
    fn backend(&self) -> String {
        super::backend_version()
    }

    fn activity(&self) -> &WriterActivity {
        self.notifications.activity()
    }

    async fn status(&self) -> Result<Vec<DatabaseStatus>> {
        let mut databases = self.notifications.status().await?;
        databases.extend(self.telemetry.status().await);
        Ok(databases)
    }

    async fn checkpoint(
        &self,
        database: &str,
        mode: CheckpointMode,
        deadline: Option<Instant>,
    ) -> Result<CheckpointOutcome> {
        match self.which(database)? {
            None | Some(Which::Notifications) => {
                self.notifications
                    .checkpoint(database, mode, deadline)
                    .await
            }
            Some(Which::Telemetry) => self.telemetry.checkpoint(mode, deadline).await,
        }
    }

    async fn check_integrity(
        &self,
        check: IntegrityCheck,
        deadline: Option<Instant>,
    ) -> Result<IntegrityReport> {
        let which = self.which(&check.database)?;
        let mut report = IntegrityReport {
            complete: true,
            ..IntegrityReport::default()
        };
        let mut add = |found: IntegrityReport| {
            report.findings.extend(found.findings);
            report.complete &= found.complete;
            report.databases.extend(found.databases);
        };
        if which != Some(Which::Telemetry) {
            add(self
                .notifications
                .check_integrity(check.clone(), deadline)
                .await?);
        }
        let with_telemetry = which.is_none() && self.telemetry.exists();
        if which == Some(Which::Telemetry) || with_telemetry {
            add(self.telemetry.check_integrity(&check, deadline).await?);
        }
        report.complete &= report.findings.len() <= check.limit;
        report.findings.truncate(check.limit);
        Ok(report)
    }
}

#[async_trait]
impl BackupStore for Databases {
    async fn create_backup(
        &self,
        request: BackupRequest,
        progress: watch::Sender<BackupProgress>,
    ) -> Result<Backup> {
        match self.which(&request.database)? {
            None | Some(Which::Notifications) => {
                self.notifications.create_backup(request, progress).await
            }
            Some(Which::Telemetry) => self.telemetry.create_backup(request, progress).await,
        }
    }
}
