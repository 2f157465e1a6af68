//! The composition root: the only file that knows every module. It reads like the daemon's life.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use barista_locate::Located;
use futures_util::stream::select_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::{Arguments, VERSION};
use crate::config::{self, Config, ConfigError, Content};
use crate::connection::{self, Door, Incoming};
use crate::data_dir::{self, DataDir, DatabaseFile};
use crate::domain::analytics::Analytics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::consumer::LagLimits;
use crate::domain::consumer::store::ConsumerStore;
use crate::domain::consumers::Consumers;
use crate::domain::forgetting::{self, Forgetting};
use crate::domain::notification::store::NotificationStore;
use crate::domain::notifications::Notifications;
use crate::domain::redaction::ContentPolicy;
use crate::domain::retention::{Policy, Retention};
use crate::domain::traces::Traces;
use crate::failpoint::failpoint;
use crate::grpc::admin::ServerIdentity;
use crate::grpc::metrics::Metrics;
use crate::grpc::server::{self, Limits, Services};
use crate::instance::{Instance, InstanceError};
use crate::platform::WriteWatch;
use crate::scrape::{Render, Scrape};
use crate::shutdown::{Hangup, on_signals};
use crate::socket::{BoundSocket, Place, Sockets, Wanted};
use crate::store::sqlite::{
    Databases, NOTIFICATIONS_FILE, SqliteStore, SqliteTelemetry, TELEMETRY_FILE,
};
use crate::{notify, platform, telemetry};
use stores::{options, telemetry_options};

mod stores;

/// How long all of a shutdown may take: the configured grace for calls, and what is left of this for closing the databases.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);
/// How often the daemon looks whether its lock file is still there.
const INSTANCE_CHECK: Duration = Duration::from_secs(2);
/// How long the store looks by itself after it was told that somebody writes, at least: our own writes are announced, too.
const HINT_INTERVAL: Duration = Duration::from_millis(500);
/// How long to wait before the log is watched again, when it could not be or was deleted.
const HINT_RETRY: Duration = Duration::from_secs(5);

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the Clock that everybody else takes"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()).unwrap_or(Timestamp::MAX)
    }
}

/// The exit code that `error`, from [`run`], asks for.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<InstanceError>() {
        return error.exit_code();
    }
    let usage = error.is::<ConfigError>() || error.is::<barista_locate::LocateError>();
    if usage { 2 } else { 1 }
}

/// What `error`, from [`run`], says: with its causes, as far as it does not tell them itself.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// What to do about `error`, from [`run`], where its own text does not say.
#[must_use]
pub fn remedy(error: &anyhow::Error) -> Option<String> {
    error.downcast_ref().map(ConfigError::remedy)
}

/// Runs the daemon until a signal stops it.
///
/// # Errors
///
/// Why it could not start, or could not go on: a sentence for people, whose exit code [`exit_code`] knows.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let current_dir =
        std::env::current_dir().context("the current directory is gone; change to another one")?;
    let variable = |name: &str| std::env::var_os(name);
    let located = barista_locate::data_dir(arguments.data_dir.as_deref(), variable, &current_dir)?;
    config::refuse_unknown_variables(std::env::vars_os().map(|(name, _)| name))?;
    let config = Config::load(arguments, variable, &located.path)?;
    platform::make_new_files_private();
    let is_new = !located.path.exists();
    let data_dir = open_data_dir(&located, &config)?;
    if arguments.detached {
        platform::leave_session().context("cannot leave the terminal's session")?;
    }
    let instance = Arc::new(Instance::acquire(&data_dir)?);
    telemetry::init(&config.log, arguments.detached.then(|| data_dir.log_file()))?;
    let open_files = platform::raise_open_files_limit().unwrap_or(0);
    tracing::info!(version = VERSION, data_dir = %data_dir.path().display(), found = %located.source, open_files, "starting");
    if is_new {
        tracing::info!(data_dir = %data_dir.path().display(), "made the data directory");
    }
    failpoint!("locked");
    finish_restore(&data_dir)?;
    let sockets = Sockets::open(&data_dir, wanted_sockets(&config), &instance)?;
    failpoint!("bound");
    let outcome = serve_on(&config, &data_dir, &instance, sockets, arguments.detached);
    match &outcome {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!(error = explain(error), "stopped"),
    }
    drop(instance);
    outcome
}

/// Where `config` wants the sockets to be.
pub(crate) fn wanted_sockets(config: &Config) -> Wanted<'_> {
    Wanted {
        socket: config.server.socket.as_deref(),
        for_agents: config.agent.enabled,
        agent_socket: config.agent.socket.as_deref(),
    }
}

pub(crate) fn open_data_dir(located: &Located, config: &Config) -> anyhow::Result<DataDir> {
    let options = data_dir::Options {
        allow_network_file_system: config.storage.allow_network_file_system,
    };
    Ok(DataDir::open(located, options)?)
}

/// Does what is left of a restore that was decided and then interrupted.
fn finish_restore(data_dir: &DataDir) -> anyhow::Result<()> {
    for name in [NOTIFICATIONS_FILE, TELEMETRY_FILE] {
        let database = data_dir.database(name)?;
        let finished = data_dir
            .finish_replacing(&database)
            .context("a restore that was interrupted cannot be finished; see the directories replaced-* in the data directory")?;
        if let Some(aside) = finished {
            tracing::warn!(replaced = %aside.display(), "finished a restore that was interrupted");
        }
    }
    Ok(())
}

/// Makes the runtime and serves until the end; then nothing that still runs can hold the process up.
fn serve_on(
    config: &Config,
    data_dir: &DataDir,
    instance: &Arc<Instance>,
    sockets: Sockets,
    detached: bool,
) -> anyhow::Result<()> {
    // One thread serves everything as fast as several do on a small machine, and for less processor time; reads and writes have threads
    // of their own in either case.
    let mut runtime = match config.server.worker_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        several => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(several);
            runtime
        }
    };
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let stop = CancellationToken::new();
    let outcome = runtime.block_on(async {
        let (listener, place) = sockets.socket.into_listener()?;
        let agents = sockets.agents.map(BoundSocket::into_listener).transpose()?;
        let _signals = on_signals(stop.clone(), Hangup::fitting(detached))?;
        let options = options(config, data_dir, NOTIFICATIONS_FILE)?;
        let telemetry = SqliteTelemetry::new(telemetry_options(config, data_dir)?);
        let log = options.path.path_of(DatabaseFile::Wal);
        let prepared = async {
            let scrape = match config.metrics.listen {
                Some(address) => Some(Scrape::bind(address).await?),
                None => None,
            };
            anyhow::Ok((scrape, SqliteStore::open(options)?))
        };
        let (scrape, store) = prepared.await.inspect_err(|_| {
            place.unlink_if_ours();
            agents.iter().for_each(|(_, place)| {
                place.unlink_if_ours();
            });
        })?;
        let store = Arc::new(store);
        let accept = |listener, door, max_connections| {
            let limits = connection::Limits {
                max_connections,
                handshake_timeout: config.server.handshake_timeout,
            };
            Incoming::new(listener, door, limits, stop.clone())
        };
        let mut incoming = vec![accept(
            listener,
            Door::Person,
            config.server.max_connections,
        )];
        let agent_place = agents.map(|(listener, place)| {
            incoming.push(accept(listener, Door::Agent, config.agent.max_connections));
            place
        });
        let daemon = Daemon {
            config,
            data_dir,
            instance: Arc::clone(instance),
            store,
            telemetry: Arc::new(telemetry),
            log,
            place,
            agent_place,
            scrape,
            stop: stop.clone(),
        };
        daemon.serve(incoming).await
    });
    runtime.shutdown_background();
    outcome
}

/// The parts that live while the daemon serves.
struct Daemon<'a> {
    config: &'a Config,
    data_dir: &'a DataDir,
    instance: Arc<Instance>,
    store: Arc<SqliteStore>,
    telemetry: Arc<SqliteTelemetry>,
    /// The write-ahead log of the store.
    log: PathBuf,
    place: Place,
    agent_place: Option<Place>,
    scrape: Option<Scrape>,
    stop: CancellationToken,
}

impl Daemon<'_> {
    async fn serve(mut self, incoming: Vec<Incoming>) -> anyhow::Result<()> {
        let store = Arc::clone(&self.store) as Arc<dyn NotificationStore>;
        let notifications = Arc::new(Notifications::new(store, Arc::new(SystemClock)));
        let retention = self.retention();
        let mut background = self.background(&notifications, &retention);
        let databases = Arc::new(Databases {
            notifications: Arc::clone(&self.store),
            telemetry: Arc::clone(&self.telemetry),
        });
        let services = Services {
            notifications,
            traces: self.traces(),
            analytics: self.analytics(),
            retention,
            backups: Arc::clone(&databases) as _,
            consumers: self.consumers(),
            admin: databases,
            identity: self.identity(&incoming),
        };
        let metrics = Metrics::new(services);
        self.scrape(&metrics, &mut background);
        let socket = self.place.path().display().to_string();
        let agent_socket = self
            .agent_place
            .as_ref()
            .map(|place| place.path().display().to_string());
        tracing::info!(
            socket,
            agent_socket,
            activated = self.place.is_activated(),
            "ready"
        );
        notify::ready(&format!("Serving {socket}"));
        let grace = self.config.server.shutdown_grace;
        let stop = self.stop.clone();
        let stopped_at = async {
            stop.cancelled().await;
            self.store.hurry();
            self.telemetry.hurry();
            notify::stopping();
            Instant::now()
        };
        let stopping = self.stop.clone();
        let serving = async {
            let incoming = select_all(incoming);
            let served =
                server::serve(metrics, self.limits(), incoming, self.stop.clone(), grace).await;
            // A server that ends by itself ends the daemon.
            stopping.cancel();
            served
        };
        let (served, stopped_at) = tokio::join!(serving, stopped_at);
        background.join_all().await;
        self.close(stopped_at + SHUTDOWN_LIMIT).await;
        Ok(served?)
    }

    /// What goes on beside the calls, until the stop.
    fn background(
        &self,
        notifications: &Arc<Notifications>,
        retention: &Arc<Retention>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (feed, stop) = (Arc::clone(notifications.feed()), self.stop.clone());
        tasks.spawn(async move { feed.run(stop).await });
        let (expiry, stop) = (Arc::clone(notifications), self.stop.clone());
        tasks.spawn(async move { expiry.run_expiry(stop).await });
        let (retention, stop) = (Arc::clone(retention), self.stop.clone());
        tasks.spawn(async move { retention.run(stop).await });
        let (forgetting, stop) = (self.forgetting(), self.stop.clone());
        tasks.spawn(async move { forgetting.run(stop).await });
        tasks.spawn(guard(Arc::clone(&self.instance), self.stop.clone()));
        let telemetry = Arc::clone(&self.telemetry);
        if telemetry.exists() {
            // Whoever records first need not wait for it, and nobody has to wait for the start because of it. An error was logged, and the first call
            // that needs it tries again.
            tasks.spawn(async move { drop(telemetry.prepare().await) });
        }
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        tasks.spawn(until(self.stop.clone(), async move {
            announce_writes(&store, &log).await
        }));
        if let Some(limit) = notify::watchdog() {
            let store = Arc::clone(&self.store);
            let fed = notify::feed_watchdog(limit, move || store.signs_of_life());
            tasks.spawn(until(self.stop.clone(), fed));
        }
        tasks
    }

    /// Serves the metrics over HTTP, where that is asked for.
    fn scrape(&mut self, metrics: &Metrics, tasks: &mut JoinSet<()>) {
        let Some(scrape) = self.scrape.take() else {
            return;
        };
        let address = scrape.address();
        tracing::info!("serving metrics on http://{address}/metrics");
        let metrics = metrics.clone();
        let render: Render = Arc::new(move || {
            let metrics = metrics.clone();
            Box::pin(async move { metrics.page().await.map_err(|error| error.to_string()) })
        });
        tasks.spawn(scrape.serve(render, self.stop.clone()));
    }

    fn consumers(&self) -> Arc<Consumers> {
        let store = Arc::clone(&self.store) as Arc<dyn ConsumerStore>;
        Arc::new(Consumers::new(
            store,
            Arc::new(SystemClock),
            self.lag_limits(),
        ))
    }

    fn forgetting(&self) -> Forgetting {
        let retention = &self.config.retention;
        let limit = |age: Duration| (!age.is_zero()).then_some(age);
        let policy = forgetting::Policy {
            observations_max_age: limit(retention.observations_max_age),
            payloads_max_age: limit(retention.payloads_max_age),
            journal_max_events: retention.observation_events,
        };
        let store = Arc::clone(&self.telemetry) as _;
        Forgetting::new(store, Arc::new(SystemClock), policy, retention.interval)
    }

    fn traces(&self) -> Arc<Traces> {
        let content = match self.config.telemetry.content {
            Content::Off => ContentPolicy::Off,
            Content::Truncated => ContentPolicy::Truncated,
            Content::Full => ContentPolicy::Full,
        };
        let store = Arc::clone(&self.telemetry) as _;
        Arc::new(Traces::new(
            store,
            Arc::new(SystemClock),
            content,
            Arc::default(),
        ))
    }

    fn analytics(&self) -> Arc<Analytics> {
        let store = Arc::clone(&self.telemetry) as _;
        Arc::new(Analytics::new(store, Arc::new(SystemClock)))
    }

    fn lag_limits(&self) -> LagLimits {
        LagLimits {
            max_events: self.config.consumers.max_lag_events,
            max_age: self.config.consumers.max_age,
        }
    }

    fn retention(&self) -> Arc<Retention> {
        let retention = &self.config.retention;
        let closed = retention.closed_max_age;
        let policy = Policy {
            journal_max_age: retention.journal_max_age,
            journal_max_events: retention.journal_max_events,
            closed_max_age: (!closed.is_zero()).then_some(closed),
            limits: self.lag_limits(),
        };
        let store = Arc::clone(&self.store) as _;
        let interval = retention.interval;
        Arc::new(Retention::new(
            store,
            Arc::new(SystemClock),
            policy,
            interval,
        ))
    }

    fn identity(&self, incoming: &[Incoming]) -> ServerIdentity {
        ServerIdentity {
            version: VERSION.to_owned(),
            data_dir: self.data_dir.path().to_owned(),
            socket: self.place.path().to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            uid: self.data_dir.uid(),
            start_time: SystemClock.now(),
            connections: incoming.iter().map(Incoming::connections).collect(),
            agent_socket: self
                .agent_place
                .as_ref()
                .map(|place| place.path().to_owned()),
        }
    }

    fn limits(&self) -> Limits {
        let server = &self.config.server;
        Limits {
            request_bytes: server.max_message_bytes,
            streams_per_connection: server.max_concurrent_streams,
            keepalive_interval: server.keepalive_interval,
            watchers: server.max_watchers,
            waiters: server.max_watchers,
            agent_calls: self.config.agent.max_calls,
            agent_defaults: self.config.agent.allow_default,
            ..Limits::default()
        }
    }

    /// Closes the databases and removes the socket, by `end` at the latest: everything acknowledged is on the disk already.
    async fn close(self, end: Instant) {
        let store = self.store;
        let telemetry = self.telemetry;
        let closed = tokio::task::spawn_blocking(move || {
            store.close();
            telemetry.close();
        });
        if tokio::time::timeout_at(end, closed).await.is_err() {
            tracing::warn!(
                "the databases did not close in time; nothing is lost, the next start tidies up"
            );
        }
        self.place.unlink_if_ours();
        if let Some(place) = &self.agent_place {
            place.unlink_if_ours();
        }
    }
}

/// Does what has no end of its own, until the stop.
async fn until(stop: CancellationToken, endless: impl Future<Output = Infallible>) {
    tokio::select! {
        never = endless => match never {},
        () = stop.cancelled() => {}
    }
}

/// Stops the daemon when its lock file is deleted or replaced: another daemon could start beside it.
async fn guard(instance: Arc<Instance>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INSTANCE_CHECK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if !instance.still_ours() {
            tracing::error!(
                "the lock file of this daemon was removed; stopping, as another daemon could start"
            );
            return stop.cancel();
        }
    }
}

/// Tells the store when somebody writes to its log, so that it need not look for commits by other programs all the time. Where the system
/// cannot tell, it does.
async fn announce_writes(store: &SqliteStore, log: &Path) -> Infallible {
    loop {
        match WriteWatch::new(log) {
            Ok(mut watch) => {
                store.set_hinted(true);
                // What was written before the watch began is news, too.
                store.hint();
                while watch.written().await.is_ok() {
                    store.hint();
                    tokio::time::sleep(HINT_INTERVAL).await;
                }
                store.set_hinted(false);
            }
            Err(error) => tracing::debug!(%error, "writes to the log are not announced"),
        }
        tokio::time::sleep(HINT_RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let missing = std::io::Error::from_raw_os_error(2);
        let told = crate::socket::SocketError::System {
            what: "bind",
            path: "/s".into(),
            source: missing,
        };
        let text = explain(&anyhow::Error::from(told).context("no start"));
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
        assert!(text.starts_with("no start: cannot bind "), "{text}");
    }
}
