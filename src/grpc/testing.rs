//! What the tests of the wire need: notifications in a real store, and a server on a real socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use barista_locate::{Located, Source};
use hyper_util::rt::TokioIo;
use prost::Message;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt;

use super::admin::ServerIdentity;
use super::metrics::Metrics;
use super::server::{Limits, ServeError, Services, serve};
use crate::connection::{self, Door, Incoming};
use crate::data_dir::{self, DataDir};
use crate::domain::analytics::Analytics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::consumer::LagLimits;
use crate::domain::consumers::Consumers;
use crate::domain::notification::draft::Draft;
use crate::domain::notification::{Notification, NotificationType, Priority};
use crate::domain::notifications::Notifications;
use crate::domain::redaction::ContentPolicy;
use crate::domain::retention::{Policy, Retention};
use crate::domain::traces::Traces;
use crate::store::sqlite::{
    NOTIFICATIONS_FILE, Options, SqliteStore, SqliteTelemetry, Surroundings, TELEMETRY_FILE,
};

/// A clock that stands still.
struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_760_000_000_000_000).expect("in range")
    }
}

fn retention(store: &Arc<SqliteStore>, limits: LagLimits) -> Retention {
    let policy = Policy {
        journal_max_age: Duration::from_secs(3_600),
        journal_max_events: 1_000,
        closed_max_age: None,
        limits,
    };
    let hour = Duration::from_secs(3_600);
    Retention::new(Arc::clone(store) as _, Arc::new(Frozen), policy, hour)
}

/// Notifications in a new file.
pub(super) struct Shelf {
    pub(super) notifications: Arc<Notifications>,
    pub(super) consumers: Arc<Consumers>,
    pub(super) store: Arc<SqliteStore>,
    pub(super) traces: Arc<Traces>,
    pub(super) analytics: Arc<Analytics>,
    pub(super) retention: Arc<Retention>,
    pub(super) stop: CancellationToken,
    dir: TempDir,
}

impl Shelf {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let located = Located {
            path: dir.path().join("data"),
            source: Source::Flag,
        };
        let data_dir = DataDir::open(&located, data_dir::Options::default()).expect("valid");
        let path = data_dir.database(NOTIFICATIONS_FILE).expect("a path");
        let surroundings = Surroundings {
            disk_available: Box::new(|| Ok(u64::MAX)),
            wal_locks: Box::new(Vec::new),
        };
        let telemetry = data_dir.database(TELEMETRY_FILE).expect("a path");
        let options = Options {
            data_dir,
            path,
            clock: Arc::new(Frozen),
            surroundings: Arc::new(surroundings),
            queue_capacity: 1_000,
            batch_writes: 100,
            batch_bytes: 1024 * 1024,
            readers: 2,
            cache_kib: 1_000,
            busy_timeout: Duration::from_secs(30),
            busy_attempts: 3,
            followed_poll: Duration::from_millis(5),
            idle_poll: Duration::from_millis(100),
            look_interval: Duration::from_secs(5),
            checkpoint_frames: 500,
            truncate_frames: 5_000,
            min_free_disk: 0,
        };
        let telemetry = SqliteTelemetry::new(Options {
            path: telemetry,
            ..options.clone()
        });
        let telemetry = Arc::new(telemetry);
        let analytics = Analytics::new(Arc::clone(&telemetry) as _, Arc::new(Frozen));
        let traces = Traces::new(
            telemetry,
            Arc::new(Frozen),
            ContentPolicy::Off,
            Arc::default(),
        );
        let store = Arc::new(SqliteStore::open(options).expect("a store"));
        let notifications = Arc::new(Notifications::new(
            Arc::clone(&store) as _,
            Arc::new(Frozen),
        ));
        let limits = LagLimits {
            max_events: 100,
            max_age: Duration::from_secs(3_600),
        };
        let retention = retention(&store, limits);
        let consumers = Consumers::new(Arc::clone(&store) as _, Arc::new(Frozen), limits);
        let stop = CancellationToken::new();
        let feed = Arc::clone(notifications.feed());
        let stop_feed = stop.clone();
        tokio::spawn(async move { feed.run(stop_feed).await });
        Self {
            notifications,
            consumers: Arc::new(consumers),
            traces: Arc::new(traces),
            analytics: Arc::new(analytics),
            retention: Arc::new(retention),
            store,
            stop,
            dir,
        }
    }

    /// What a server would serve.
    pub(super) fn services(&self) -> Services {
        Services {
            notifications: Arc::clone(&self.notifications),
            consumers: Arc::clone(&self.consumers),
            traces: Arc::clone(&self.traces),
            analytics: Arc::clone(&self.analytics),
            retention: Arc::clone(&self.retention),
            backups: Arc::clone(&self.store) as _,
            admin: Arc::clone(&self.store) as _,
            identity: ServerIdentity {
                version: "0.0.1".to_owned(),
                data_dir: self.dir.path().to_owned(),
                socket: self.dir.path().join("s"),
                pid: 4_321,
                uid: rustix::process::getuid().as_raw(),
                start_time: Frozen.now(),
                connections: Vec::new(),
                agent_socket: None,
            },
        }
    }

    /// Creates a notification of `agent`.
    pub(super) async fn create(&self, agent: &str, title: &str) -> Notification {
        let draft = draft(agent, title);
        let created = self.notifications.create(draft, None).await;
        created.expect("created")
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.stop.cancel();
        self.store.close();
    }
}

/// A question of `agent` that any text answers.
pub(super) fn draft(agent: &str, title: &str) -> Draft {
    Draft {
        request_id: None,
        kind: NotificationType::Question,
        priority: Priority::Normal,
        title: title.to_owned(),
        message: String::new(),
        context: String::new(),
        agent: agent.to_owned(),
        session: String::new(),
        project: String::new(),
        tags: Vec::new(),
        options: Vec::new(),
        allow_multiple: false,
        allow_text: false,
        expiration: None,
        default_response: String::new(),
        surface: String::new(),
        owner: None,
    }
}

/// A server on a socket, with its shelf.
pub(super) struct TestServer {
    pub(super) shelf: Shelf,
    pub(super) socket: PathBuf,
    served: JoinHandle<Result<(), ServeError>>,
}

impl TestServer {
    pub(super) fn start(limits: Limits, grace: Duration) -> Self {
        let shelf = Shelf::new();
        let socket = shelf.dir.path().join("s");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let limits_of_connections = connection::Limits {
            max_connections: 100,
            handshake_timeout: Duration::from_secs(600),
        };
        let incoming = Incoming::new(
            listener,
            Door::Person,
            limits_of_connections,
            shelf.stop.clone(),
        );
        let mut services = shelf.services();
        services.identity.connections = vec![incoming.connections()];
        let serving = serve(
            Metrics::new(services),
            limits,
            incoming,
            shelf.stop.clone(),
            grace,
        );
        Self {
            served: tokio::spawn(serving),
            shelf,
            socket,
        }
    }

    /// Connects a client.
    pub(super) async fn connect(&self) -> Client {
        let socket = self.socket.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(connector).await;
        Client(channel.expect("a connection"))
    }

    /// Stops the server, and waits until it has stopped.
    pub(super) async fn stop(self) -> Shelf {
        self.shelf.stop.cancel();
        self.served.await.expect("no panic").expect("served");
        self.shelf
    }
}

/// A client without any convenience: one call at a time, by name.
#[derive(Clone)]
pub(super) struct Client(Channel);

impl Client {
    pub(super) async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.call_with(method, Request::new(request)).await
    }

    /// Calls with metadata.
    pub(super) async fn call_with<Q, A>(
        &self,
        method: &'static str,
        request: Request<Q>,
    ) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.expect("a connection");
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let path = http::uri::PathAndQuery::from_static(method);
        let response = grpc.unary(request, path, codec).await;
        response.map(Response::into_inner)
    }

    pub(super) async fn stream<Q, A>(
        &self,
        method: &'static str,
        request: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.expect("a connection");
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let path = http::uri::PathAndQuery::from_static(method);
        let response = grpc
            .server_streaming(Request::new(request), path, codec)
            .await;
        response.map(Response::into_inner)
    }
}

/// The reason that a status gives.
pub(super) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.expect("an ErrorInfo").reason
}

/// A value of the metadata of a status.
pub(super) fn metadata(status: &Status, name: &str) -> Option<String> {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    info.metadata.get(name).cloned()
}
