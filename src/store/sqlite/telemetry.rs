//! Telemetry in a SQLite file of its own, which is opened when it is first needed: who records nothing pays nothing for it.

mod analytics;
mod forget;
mod hourly;
mod legacy;
mod pack;
mod read;
mod record;
mod row;
#[cfg(test)]
mod tests;
mod traces;
mod words;

use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{OnceCell, watch};

use super::contents::Contents;
use super::database::Database;
use super::failure::Failure;
use super::offline::GivenOut;
use super::store::Options;
use crate::domain::admin::{
    CheckpointMode, CheckpointOutcome, DatabaseStatus, IntegrityCheck, IntegrityReport,
};
use crate::domain::analytics::store::{AnalyticsStore, ExpensiveQuery, Ingestion, Sum, SumsQuery};
use crate::domain::backup::{Backup, BackupProgress, BackupRequest};
use crate::domain::change::JournalBounds;
use crate::domain::error::{Error, Result};
use crate::domain::hourly::Hourly;
use crate::domain::notification::store::Call;
use crate::domain::observation::Observation;
use crate::domain::observation::draft::Report;
use crate::domain::observation::id::TraceId;
use crate::domain::observation::store::{
    Forget, ObservationChange, ObservationFilter, Page, PageQuery, Recorded, TelemetryStore,
    TraceFilter, TraceTree,
};
use crate::domain::trace::Trace;
use crate::sync::Mutex;
use record::{Memory, Prepared};

/// The name of the telemetry's file: the one that earlier tooling reads.
pub const TELEMETRY_FILE: &str = "langfuse_export.db";
/// Bytes of reports from which on they are packed on a thread of their own, so that other calls need not wait.
const PACKED_APART: usize = 64 * 1024;

/// What the file contains.
pub(super) static TELEMETRY: Contents = Contents {
    file: TELEMETRY_FILE,
    thread: "sqlite-traces",
    migrations: &[
        include_str!("migrations/telemetry/0001_observations.sql"),
        include_str!("migrations/telemetry/0002_expensive.sql"),
    ],
    records: "telemetry_observations",
    journal: "telemetry_changes",
    telltale: "telemetry_observations_span",
    last: record::last,
    oldest: read::oldest,
    read_ahead: |_, _, _| Ok(Vec::new()),
    newest: None,
    seed: "INSERT OR IGNORE INTO barista_meta (key, value) VALUES
        ('epoch', lower(hex(randomblob(16)))), ('heartbeat', 0)",
    recounts: &[],
    shared: None,
    given_out: |connection| {
        Ok(GivenOut {
            record: record::last(connection)?,
            generation: 0,
        })
    },
    go_on_after,
    adopt: legacy::adopt,
};

/// Sequences are ids, too. So the journal of a copy begins anew with its last change, at a sequence that was not given out yet.
fn go_on_after(copy: &Connection, given_out: GivenOut) -> rusqlite::Result<()> {
    let last = record::last(copy)?;
    if given_out.record <= last {
        return Ok(());
    }
    copy.execute("DELETE FROM telemetry_changes WHERE seq < ?1", [last])?;
    let raise = "UPDATE telemetry_changes SET seq = ?1";
    copy.execute(raise, [given_out.record + 1]).map(drop)
}

/// Telemetry in a SQLite file.
pub struct SqliteTelemetry {
    options: Options,
    open: OnceCell<Arc<Open>>,
}

/// The file, once it is open.
struct Open {
    database: Database,
    memory: Arc<Mutex<Memory>>,
}

impl SqliteTelemetry {
    /// Telemetry in the file that `options` name. Nothing is opened yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            open: OnceCell::new(),
        }
    }

    /// Whether the file exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.options.path.identity().is_ok()
    }

    /// Opens the file if that has not been done, making or upgrading it where needed.
    ///
    /// # Errors
    ///
    /// `DatabaseUnavailable`, which says why; the next call tries again.
    pub async fn prepare(&self) -> Result<()> {
        self.opened().await.map(drop)
    }

    async fn opened(&self) -> Result<&Arc<Open>> {
        let open = || async {
            let options = self.options.clone();
            let work = tokio::task::spawn_blocking(move || Database::open(options, &TELEMETRY));
            let unfinished =
                |error| Error::Internal(format!("the opening did not finish: {error}"));
            let database = work.await.map_err(unfinished)?.map_err(|error| {
                let reason = error.to_string();
                tracing::error!(reason, "the telemetry's database cannot be opened");
                Error::DatabaseUnavailable { reason }
            })?;
            Ok(Arc::new(Open {
                database,
                memory: Arc::default(),
            }))
        };
        self.open.get_or_try_init(open).await
    }

    /// Stops waiting for locks that other processes hold: the daemon is about to stop.
    pub fn hurry(&self) {
        if let Some(open) = self.open.get() {
            open.database.hurry();
        }
    }

    /// Ends the writer after the writes that wait already, and closes the file. Blocks.
    pub fn close(&self) {
        if let Some(open) = self.open.get() {
            open.database.close();
        }
    }

    /// How the database is doing; `None` before it is open.
    pub(super) async fn status(&self) -> Option<DatabaseStatus> {
        match self.open.get() {
            Some(open) => Some(open.database.status().await),
            None => None,
        }
    }

    /// See [`crate::domain::admin::StoreAdmin::checkpoint`].
    pub(super) async fn checkpoint(
        &self,
        mode: CheckpointMode,
        deadline: Option<Instant>,
    ) -> Result<CheckpointOutcome> {
        let open = self.opened().await?;
        open.database.writer().checkpoint(mode, deadline).await
    }

    /// See [`crate::domain::admin::StoreAdmin::check_integrity`].
    pub(super) async fn check_integrity(
        &self,
        check: &IntegrityCheck,
        deadline: Option<Instant>,
    ) -> Result<IntegrityReport> {
        let open = self.opened().await?;
        open.database.check_integrity(check, deadline).await
    }

    /// See [`crate::domain::backup::BackupStore`].
    pub(super) async fn create_backup(
        &self,
        request: BackupRequest,
        progress: watch::Sender<BackupProgress>,
    ) -> Result<Backup> {
        let open = self.opened().await?;
        open.database.create_backup(request, progress).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    {
        self.opened().await?.database.readers().read(work).await
    }

    /// Runs `work` in the writer's next batch, with what the writer remembers.
    async fn write<T, F>(&self, call: Call, size: usize, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection, &mut Memory) -> std::result::Result<T, Failure> + Send + 'static,
    {
        let open = self.opened().await?;
        let memory = Arc::clone(&open.memory);
        let work = move |connection: &Connection| {
            // Whoever panicked had taken out what was in it.
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            work(connection, &mut memory)
        };
        open.database
            .writer()
            .write(call.deadline, size, work)
            .await
    }
}

/// Packs the payloads of `reports`, before the writer has to wait for that.
async fn prepare(reports: Vec<Report>) -> Result<Vec<Prepared>> {
    let size: usize = reports.iter().map(Report::size).sum();
    let pack = move || reports.into_iter().map(Prepared::new).collect();
    if size < PACKED_APART {
        return Ok(pack());
    }
    tokio::task::spawn_blocking(pack)
        .await
        .map_err(|error| Error::Internal(format!("the packing did not finish: {error}")))
}

#[async_trait]
impl TelemetryStore for SqliteTelemetry {
    async fn record(&self, reports: Vec<Report>, call: Call) -> Result<Vec<Recorded>> {
        let reports = prepare(reports).await?;
        let size = reports.iter().map(Prepared::size).sum();
        let record = move |connection: &Connection, memory: &mut Memory| {
            record::record(connection, memory, &reports)
        };
        self.write(call, size, record).await
    }

    async fn observation(&self, id: i64) -> Result<Observation> {
        self.read(move |connection| Ok(row::load(connection, id)?))
            .await?
            .ok_or(Error::ObservationNotFound { id })
    }

    async fn trace(&self, id: TraceId, limit: usize) -> Result<TraceTree> {
        self.read(move |connection| read::tree(connection, &id, limit))
            .await
    }

    async fn traces(&self, query: PageQuery<TraceFilter>) -> Result<Page<Trace>> {
        self.read(move |connection| Ok(read::traces(connection, &query)?))
            .await
    }

    async fn observations(&self, query: PageQuery<ObservationFilter>) -> Result<Page<Observation>> {
        self.read(move |connection| Ok(read::observations(connection, &query)?))
            .await
    }

    async fn hourly(&self, hours: Range<i64>) -> Result<Vec<Hourly>> {
        self.read(move |connection| Ok(hourly::read(connection, &hours)?))
            .await
    }

    async fn rebuild_hourly(&self, call: Call) -> Result<()> {
        self.write(call, 0, record::rebuild_hourly).await
    }

    async fn head(&self) -> Result<watch::Receiver<i64>> {
        let open = self.opened().await?;
        Ok(open.database.writer().shared().head.subscribe())
    }

    async fn bounds(&self) -> Result<JournalBounds> {
        let open = Arc::clone(self.opened().await?);
        let (epoch, head) = (Arc::clone(open.database.epoch()), open.database.published());
        self.read(move |connection| Ok(Database::bounds_in(&epoch, head, connection, &TELEMETRY)?))
            .await
    }

    async fn changes_after(&self, after: i64, limit: usize) -> Result<Vec<ObservationChange>> {
        let open = Arc::clone(self.opened().await?);
        let (epoch, head) = (Arc::clone(open.database.epoch()), open.database.published());
        self.read(move |connection| {
            let bounds = |connection: &_| Database::bounds_in(&epoch, head, connection, &TELEMETRY);
            read::changes_after(connection, bounds, after, head, limit)
        })
        .await
    }

    async fn forget(&self, what: Forget, limit: usize, call: Call) -> Result<usize> {
        let forget = move |connection: &Connection, memory: &mut Memory| {
            forget::forget(connection, memory, what, limit)
        };
        self.write(call, 0, forget).await
    }

    async fn return_space(&self, call: Call) -> Result<u64> {
        self.opened().await?.database.return_space(call).await
    }

    fn is_used(&self) -> bool {
        self.exists()
    }
}

#[async_trait]
impl AnalyticsStore for SqliteTelemetry {
    async fn sums(&self, query: SumsQuery) -> Result<Vec<Sum>> {
        // Who asks before anything was recorded makes no file.
        if !self.exists() {
            return Ok(Vec::new());
        }
        self.read(move |connection| analytics::sums(connection, &query))
            .await
    }

    async fn expensive(&self, query: ExpensiveQuery) -> Result<Vec<Observation>> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        self.read(move |connection| analytics::expensive(connection, &query))
            .await
    }

    async fn ingestion(&self) -> Result<Ingestion> {
        if !self.exists() {
            return Ok(Ingestion {
                newest: None,
                oldest: None,
                head: 0,
            });
        }
        self.read(move |connection| Ok(analytics::ingestion(connection)?))
            .await
    }
}
