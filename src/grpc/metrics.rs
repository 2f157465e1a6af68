//! What is counted about calls, and the page on which everything that is counted stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tonic::Code;

use super::agent;
use super::server::Services;
use crate::connection::{Connections, Door};
use crate::domain::admin::{DatabaseStatus, WriterActivity};
use crate::domain::consumers::View;
use crate::domain::error::Result;
use crate::domain::notifications::Notifications;
use crate::metrics::{Counter, Histogram, Kind, MOMENTS, Page};
use crate::platform;

/// Every gRPC code, by its number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// Methods that take as long as their caller likes, or as there is to copy: how long they took says nothing about the daemon.
const OPEN_ENDED: [&str; 6] = [
    "AdminService/CreateBackup",
    "WaitNotification",
    "WatchNotifications",
    "Health/Watch",
    "v1.ServerReflection/ServerReflectionInfo",
    "v1alpha.ServerReflection/ServerReflectionInfo",
];
/// What stands for a method that the daemon does not have: callers make up as many names as they like.
const OTHER: &str = "other";
/// How far open notifications are counted.
const MAX_OPEN: usize = 10_000;
/// The most consumers whose lag is shown.
const MAX_CONSUMERS: usize = 1_000;

/// What is counted about the calls of one method over one socket.
#[derive(Debug)]
struct Method {
    path: &'static str,
    is_open_ended: bool,
    codes: [[Counter; CODES.len()]; 2],
    duration: Histogram,
}

/// What is counted about all calls.
#[derive(Debug)]
pub(super) struct Rpcs {
    methods: Vec<Method>,
    running: AtomicU64,
}

/// A call that runs.
#[derive(Debug)]
pub(super) struct Running {
    rpcs: Arc<Rpcs>,
    method: usize,
    door: Door,
}

impl Rpcs {
    pub(super) fn new() -> Arc<Self> {
        let paths = agent::methods().chain([OTHER]);
        let methods = paths.map(|path| Method {
            path,
            is_open_ended: OPEN_ENDED.iter().any(|end| path.ends_with(end)),
            codes: Default::default(),
            duration: Histogram::new(&MOMENTS),
        });
        Arc::new(Self {
            methods: methods.collect(),
            running: AtomicU64::new(0),
        })
    }

    /// Notes that a call of the method at `path` has begun.
    pub(super) fn begin(self: &Arc<Self>, path: &str, door: Door) -> Running {
        let found = self.methods.iter().position(|method| method.path == path);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running {
            rpcs: Arc::clone(self),
            method: found.unwrap_or(self.methods.len() - 1),
            door,
        }
    }

    fn show(&self, page: &mut Page) {
        page.family(
            "barista_rpcs_total",
            Kind::Counter,
            "Calls that have ended, by method, code and socket.",
        );
        for method in &self.methods {
            for (door, codes) in ["person", "agent"].iter().zip(&method.codes) {
                for (code, count) in CODES.iter().zip(codes) {
                    if count.get() > 0 {
                        let labels = [("method", method.path), ("code", code), ("socket", door)];
                        page.sample(&labels, count.get());
                    }
                }
            }
        }
        page.family(
            "barista_rpc_duration_seconds",
            Kind::Histogram,
            "How long calls took to their last byte; waits and streams excepted.",
        );
        for method in self
            .methods
            .iter()
            .filter(|method| method.duration.count() > 0)
        {
            page.histogram(&[("method", method.path)], &method.duration);
        }
        page.family("barista_rpcs_running", Kind::Gauge, "Calls that run now.")
            .sample(&[], self.running.load(Ordering::Relaxed));
    }
}

impl Running {
    /// Notes that the call has ended with `code` after `duration`. CANCELLED stands for a client that went away.
    pub(super) fn end(&self, code: Code, duration: Duration) {
        let method = &self.rpcs.methods[self.method];
        let door = match self.door {
            Door::Person => 0,
            Door::Agent => 1,
        };
        if let Some(count) = usize::try_from(code as i32)
            .ok()
            .and_then(|code| method.codes[door].get(code))
        {
            count.increment();
        }
        if !method.is_open_ended {
            method.duration.observe_span(duration);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.rpcs.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is counted, as a page for Prometheus.
#[derive(Clone)]
pub struct Metrics {
    pub(super) services: Services,
    pub(super) rpcs: Arc<Rpcs>,
}

impl Metrics {
    /// Counts for `services`, nothing so far.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self {
            services,
            rpcs: Rpcs::new(),
        }
    }

    /// Renders the page.
    ///
    /// # Errors
    ///
    /// Those of the store's readers.
    pub async fn page(&self) -> Result<String> {
        let Services {
            notifications,
            consumers,
            admin,
            identity,
            ..
        } = &self.services;
        let databases = admin.status().await?;
        let open = notifications.count_open(MAX_OPEN).await?;
        let consumers = consumers.list(0, MAX_CONSUMERS).await?;
        let mut page = Page::default();
        let build = [
            ("version", identity.version.as_str()),
            ("target", env!("BARISTA_TARGET")),
        ];
        page.family(
            "barista_build_info",
            Kind::Gauge,
            "The daemon's release; always 1.",
        )
        .sample(&build, 1);
        self.rpcs.show(&mut page);
        show_connections(&mut page, &identity.connections);
        show_notifications(&mut page, notifications, open);
        show_consumers(&mut page, &consumers);
        show_databases(&mut page, &databases);
        show_writer(&mut page, admin.activity());
        show_process(&mut page, identity.start_time.as_micros());
        Ok(page.into_text())
    }
}

fn show_connections(page: &mut Page, connections: &[Connections]) {
    let open: usize = connections.iter().map(Connections::open).sum();
    let refused: u64 = connections.iter().map(Connections::refused).sum();
    page.family(
        "barista_connections",
        Kind::Gauge,
        "Open connections to the sockets.",
    )
    .sample(&[], open);
    page.family(
        "barista_connections_refused_total",
        Kind::Counter,
        "Connections that were closed at once.",
    )
    .sample(&[], refused);
}

fn show_notifications(page: &mut Page, notifications: &Notifications, open: usize) {
    let feed = notifications.feed();
    let activity = notifications.activity();
    page.family(
        "barista_watchers",
        Kind::Gauge,
        "Streams that follow changes.",
    )
    .sample(&[], feed.followers());
    page.family(
        "barista_waiters",
        Kind::Gauge,
        "Calls that wait for a response.",
    )
    .sample(&[], feed.waiters());
    page.family(
        "barista_notifications_open",
        Kind::Gauge,
        "Notifications that are pending or read, counted up to 10000.",
    )
    .sample(&[], open);
    page.family(
        "barista_notifications_created_total",
        Kind::Counter,
        "Notifications that were created through the daemon.",
    )
    .sample(&[], activity.created.get());
    page.family(
        "barista_notifications_expired_total",
        Kind::Counter,
        "Notifications that have expired.",
    )
    .sample(&[], activity.expired.get());
    page.family(
        "barista_response_delay_seconds",
        Kind::Histogram,
        "From the creation of a notification to the response through the daemon.",
    )
    .histogram(&[], &activity.answer_time);
}

fn show_consumers(page: &mut Page, consumers: &[View]) {
    page.family(
        "barista_consumer_lag_events",
        Kind::Gauge,
        "Changes that a consumer has not acknowledged.",
    );
    for view in consumers {
        let lag = view.standing.lag();
        page.sample(&[("consumer", &view.standing.consumer.name)], lag);
    }
    page.family(
        "barista_consumer_set_aside_events",
        Kind::Gauge,
        "Changes that are set aside for a consumer.",
    );
    for view in consumers {
        let consumer = &view.standing.consumer;
        page.sample(&[("consumer", &consumer.name)], consumer.set_aside);
    }
    page.family(
        "barista_consumer_connected",
        Kind::Gauge,
        "Whether somebody watches as the consumer: 1 or 0.",
    );
    for view in consumers {
        let connected = u8::from(view.connected.is_some());
        page.sample(&[("consumer", &view.standing.consumer.name)], connected);
    }
    page.family(
        "barista_consumer_holds_journal",
        Kind::Gauge,
        "Whether the journal is kept for the consumer: 1, or 0 where it is too far behind, or from before a restored backup.",
    );
    for view in consumers {
        let holds = u8::from(view.holds_journal);
        page.sample(&[("consumer", &view.standing.consumer.name)], holds);
    }
}

/// One number of a database, with the family that shows it.
type Column = (
    &'static str,
    Kind,
    &'static str,
    fn(&DatabaseStatus) -> i128,
);

const COLUMNS: [Column; 15] = [
    (
        "barista_database_size_bytes",
        Kind::Gauge,
        "Size of the database file.",
        |d| d.size.into(),
    ),
    (
        "barista_database_wal_size_bytes",
        Kind::Gauge,
        "Size of the write-ahead log's file.",
        |d| d.wal_size.into(),
    ),
    (
        "barista_database_wal_frames",
        Kind::Gauge,
        "Frames in the write-ahead log.",
        |d| d.wal.log.into(),
    ),
    (
        "barista_database_wal_checkpointed_frames",
        Kind::Gauge,
        "Those of them that are in the database file.",
        |d| d.wal.checkpointed.into(),
    ),
    (
        "barista_database_wal_locks",
        Kind::Gauge,
        "Locks on the write-ahead log, the daemon's own among them.",
        |d| d.wal_locks.len() as i128,
    ),
    (
        "barista_writer_queue_depth",
        Kind::Gauge,
        "Writes that wait in the queue.",
        |d| d.queue_depth as i128,
    ),
    (
        "barista_writer_queue_capacity",
        Kind::Gauge,
        "Writes that the queue takes.",
        |d| d.queue_capacity as i128,
    ),
    (
        "barista_journal_head_sequence",
        Kind::Gauge,
        "The sequence of the last published change.",
        |d| d.head.into(),
    ),
    (
        "barista_journal_oldest_sequence",
        Kind::Gauge,
        "The first sequence that the journal keeps.",
        |d| d.oldest.into(),
    ),
    (
        "barista_writer_commits_total",
        Kind::Counter,
        "Transactions that the daemon has committed.",
        |d| d.commits.into(),
    ),
    (
        "barista_writer_writes_total",
        Kind::Counter,
        "Writes in them.",
        |d| d.writes.into(),
    ),
    (
        "barista_database_foreign_commits_total",
        Kind::Counter,
        "Commits by other processes that were noticed.",
        |d| d.foreign_commits.into(),
    ),
    (
        "barista_database_busy_retries_total",
        Kind::Counter,
        "Attempts to begin that met another process's lock.",
        |d| d.busy_retries.into(),
    ),
    (
        "barista_database_writable",
        Kind::Gauge,
        "Whether writes are taken: 1 or 0.",
        |d| i128::from(d.unwritable.is_none()),
    ),
    (
        "barista_database_disk_available_bytes",
        Kind::Gauge,
        "Space left on the file system.",
        |d| d.disk_available.into(),
    ),
];

fn show_databases(page: &mut Page, databases: &[DatabaseStatus]) {
    for (name, kind, help, value) in COLUMNS {
        page.family(name, kind, help);
        for database in databases {
            page.sample(&[("database", &database.name)], value(database));
        }
    }
}

fn show_writer(page: &mut Page, activity: &WriterActivity) {
    let families = [
        (
            "barista_writer_batch_writes",
            "Writes in one transaction.",
            &activity.batch_writes,
        ),
        (
            "barista_writer_batch_duration_seconds",
            "From the begin of a transaction to its end on the disk.",
            &activity.batch_time,
        ),
        (
            "barista_writer_commit_duration_seconds",
            "The commit alone, with the sync of the disk.",
            &activity.commit_time,
        ),
        (
            "barista_writer_checkpoint_duration_seconds",
            "Moving the write-ahead log into the database file.",
            &activity.checkpoint_time,
        ),
    ];
    for (name, help, histogram) in families {
        page.family(name, Kind::Histogram, help)
            .histogram(&[], histogram);
    }
}

/// The names that every program with Prometheus metrics uses. What the platform cannot tell is left out.
fn show_process(page: &mut Page, started_micros: i64) {
    let process = platform::process_usage();
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory.",
            process.resident_bytes,
        ),
        (
            "process_open_fds",
            "Open file descriptors.",
            process.open_files,
        ),
        (
            "process_max_fds",
            "The most file descriptors that may be open.",
            process.max_files,
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.family(name, Kind::Gauge, help).sample(&[], value);
        }
    }
    if let Some(used) = process.cpu_time {
        page.family(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time that was used.",
        )
        .sample(&[], used.as_secs_f64());
    }
    let (seconds, micros) = (
        started_micros.div_euclid(1_000_000),
        started_micros.rem_euclid(1_000_000),
    );
    page.family(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the daemon started, in seconds since 1970.",
    )
    .sample(&[], format!("{seconds}.{micros:06}"));
}

#[cfg(test)]
mod tests;
