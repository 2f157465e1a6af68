//! A daemon whose every answer the test gives, on a real socket, that can die as by `kill -9`.

// The definition has a message of this name, too.
use std::option::Option;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barista_client::pb::admin::v1::*;
use barista_client::pb::notification::v1::*;
use barista_client::{Autostart, Client, ConnectOptions};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::too_many_lines,
    reason = "the generator knows nothing of the crate around its code"
)]
mod admin {
    include!(concat!(env!("OUT_DIR"), "/server/barista.admin.v1.rs"));
}
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::too_many_lines,
    reason = "the generator knows nothing of the crate around its code"
)]
mod notification {
    include!(concat!(
        env!("OUT_DIR"),
        "/server/barista.notification.v1.rs"
    ));
}

/// How long the test waits for something that should happen at once.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits for `future`, and fails the test rather than hanging.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("it should have happened long ago")
}

/// A call that has arrived, with the means to answer it.
pub(crate) enum Call {
    Create(
        CreateNotificationRequest,
        oneshot::Sender<Result<Notification, Status>>,
    ),
    Wait(
        WaitNotificationRequest,
        oneshot::Sender<Result<Notification, Status>>,
    ),
    Watch(
        WatchNotificationsRequest,
        mpsc::Sender<Result<WatchNotificationsResponse, Status>>,
    ),
}

/// One life of the daemon.
pub(crate) struct Daemon {
    runtime: Option<Runtime>,
    calls: mpsc::Receiver<Call>,
}

impl Daemon {
    /// Listens on `socket`, in place of whatever was there.
    pub(crate) fn start(socket: &Path) -> Self {
        let info = ServerInfo {
            protocol_min: 1,
            protocol_max: 1,
            version: "0.0.1".into(),
            ..ServerInfo::default()
        };
        Self::start_as(socket, info)
    }

    /// The same, with this to say about itself.
    pub(crate) fn start_as(socket: &Path, info: ServerInfo) -> Self {
        let admin = Admin {
            info,
            status: None,
            farewell: None,
        };
        Self::start_with(socket, admin)
    }

    /// The same, with all of its administration.
    pub(crate) fn start_with(socket: &Path, admin: Admin) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let (sender, calls) = mpsc::channel(16);
        let _ = std::fs::remove_file(socket);
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(socket).expect("a socket")
        };
        runtime.spawn(serve(listener, admin, sender));
        Self {
            runtime: Some(runtime),
            calls,
        }
    }

    /// The next call that arrives.
    pub(crate) async fn call(&mut self) -> Call {
        soon(self.calls.recv()).await.expect("the daemon lives")
    }

    pub(crate) async fn create(
        &mut self,
    ) -> (
        CreateNotificationRequest,
        oneshot::Sender<Result<Notification, Status>>,
    ) {
        match self.call().await {
            Call::Create(request, answer) => (request, answer),
            _ => panic!("another call than CreateNotification"),
        }
    }

    pub(crate) async fn wait(
        &mut self,
    ) -> (
        WaitNotificationRequest,
        oneshot::Sender<Result<Notification, Status>>,
    ) {
        match self.call().await {
            Call::Wait(request, answer) => (request, answer),
            _ => panic!("another call than WaitNotification"),
        }
    }

    pub(crate) async fn watch(
        &mut self,
    ) -> (
        WatchNotificationsRequest,
        mpsc::Sender<Result<WatchNotificationsResponse, Status>>,
    ) {
        match self.call().await {
            Call::Watch(request, answers) => (request, answers),
            _ => panic!("another call than WatchNotifications"),
        }
    }

    /// Serves for good, as the process of a daemon does.
    pub(crate) async fn serve_forever(mut self) {
        while self.calls.recv().await.is_some() {}
    }
}

impl Drop for Daemon {
    /// Ends every task where it is, and returns when all have: connections break without a word, and the socket's file stays.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not end inside another one, where the test runs.
            std::thread::spawn(move || drop(runtime))
                .join()
                .expect("the daemon ends");
        }
    }
}

async fn serve(listener: UnixListener, admin: Admin, calls: mpsc::Sender<Call>) {
    tonic::transport::Server::builder()
        .add_service(admin::admin_service_server::AdminServiceServer::new(admin))
        .add_service(
            notification::notification_service_server::NotificationServiceServer::new(Service {
                calls,
            }),
        )
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
        .expect("the server runs");
}

/// A directory with a socket to be, and a client of it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("barista.sock")
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new()
            .socket(self.socket())
            .autostart(Autostart::Never)
    }

    pub(crate) async fn connect(&self) -> Client {
        soon(Client::connect(self.options()))
            .await
            .expect("connected")
    }
}

/// What the daemon says about itself.
pub(crate) struct Admin {
    pub(crate) info: ServerInfo,
    /// `None`: it does not know the call.
    pub(crate) status: Option<ServerStatus>,
    /// Set once the process shall end. It says one more time who it is, and ends when asked again.
    pub(crate) farewell: Option<Farewell>,
}

/// The way out of a daemon that is not gone at once.
#[derive(Clone, Default)]
pub(crate) struct Farewell {
    leaving: Arc<AtomicBool>,
    said: Arc<AtomicBool>,
}

impl Farewell {
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asks a daemon on its way out for the second time.
    fn ends_now(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) && self.said.swap(true, Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl admin::admin_service_server::AdminService for Admin {
    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        if self.farewell.as_ref().is_some_and(Farewell::ends_now) {
            std::process::exit(0);
        }
        Ok(Response::new(GetServerInfoResponse {
            info: Some(self.info.clone()),
        }))
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        match &self.status {
            Some(status) => Ok(Response::new(GetStatusResponse {
                status: Some(status.clone()),
            })),
            None => Err(Status::unimplemented("not in this play")),
        }
    }

    async fn get_metrics(
        &self,
        _: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn checkpoint(
        &self,
        _: Request<CheckpointRequest>,
    ) -> Result<Response<CheckpointResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn check_integrity(
        &self,
        _: Request<CheckIntegrityRequest>,
    ) -> Result<Response<CheckIntegrityResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    type CreateBackupStream = tokio_stream::Empty<Result<CreateBackupResponse, Status>>;

    async fn create_backup(
        &self,
        _: Request<CreateBackupRequest>,
    ) -> Result<Response<Self::CreateBackupStream>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn apply_retention(
        &self,
        _: Request<ApplyRetentionRequest>,
    ) -> Result<Response<ApplyRetentionResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }
}

struct Service {
    calls: mpsc::Sender<Call>,
}

impl Service {
    /// Hands a call to the test and waits for its answer.
    async fn ask(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<Notification, Status>>) -> Call,
    ) -> Result<Option<Notification>, Status> {
        let (sender, answer) = oneshot::channel();
        self.calls
            .send(call(sender))
            .await
            .map_err(|_| Status::internal("the test is over"))?;
        answer
            .await
            .map_err(|_| Status::internal("the test gave no answer"))?
            .map(Some)
    }
}

#[tonic::async_trait]
impl notification::notification_service_server::NotificationService for Service {
    async fn create_notification(
        &self,
        request: Request<CreateNotificationRequest>,
    ) -> Result<Response<CreateNotificationResponse>, Status> {
        let request = request.into_inner();
        let notification = self.ask(|answer| Call::Create(request, answer)).await?;
        Ok(Response::new(CreateNotificationResponse { notification }))
    }

    async fn wait_notification(
        &self,
        request: Request<WaitNotificationRequest>,
    ) -> Result<Response<WaitNotificationResponse>, Status> {
        let request = request.into_inner();
        let notification = self.ask(|answer| Call::Wait(request, answer)).await?;
        Ok(Response::new(WaitNotificationResponse { notification }))
    }

    type WatchNotificationsStream = ReceiverStream<Result<WatchNotificationsResponse, Status>>;

    async fn watch_notifications(
        &self,
        request: Request<WatchNotificationsRequest>,
    ) -> Result<Response<Self::WatchNotificationsStream>, Status> {
        let (sender, messages) = mpsc::channel(16);
        let call = Call::Watch(request.into_inner(), sender);
        self.calls
            .send(call)
            .await
            .map_err(|_| Status::internal("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn batch_create_notifications(
        &self,
        _: Request<BatchCreateNotificationsRequest>,
    ) -> Result<Response<BatchCreateNotificationsResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn get_notification(
        &self,
        _: Request<GetNotificationRequest>,
    ) -> Result<Response<GetNotificationResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn list_notifications(
        &self,
        _: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn list_notification_events(
        &self,
        _: Request<ListNotificationEventsRequest>,
    ) -> Result<Response<ListNotificationEventsResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn respond_notification(
        &self,
        _: Request<RespondNotificationRequest>,
    ) -> Result<Response<RespondNotificationResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn mark_notification_read(
        &self,
        _: Request<MarkNotificationReadRequest>,
    ) -> Result<Response<MarkNotificationReadResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn dismiss_notification(
        &self,
        _: Request<DismissNotificationRequest>,
    ) -> Result<Response<DismissNotificationResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn cancel_notification(
        &self,
        _: Request<CancelNotificationRequest>,
    ) -> Result<Response<CancelNotificationResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }
}
