use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus as Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::super::pb::admin::v1 as admin_pb;
use super::super::pb::notification::v1 as pb;
use super::super::testing::{Client, TestServer, metadata, reason};
use super::*;

const CREATE: &str = "/barista.notification.v1.NotificationService/CreateNotification";
const GET: &str = "/barista.notification.v1.NotificationService/GetNotification";
const WAIT: &str = "/barista.notification.v1.NotificationService/WaitNotification";
const WATCH: &str = "/barista.notification.v1.NotificationService/WatchNotifications";
const GRACE: Duration = Duration::from_secs(10);

fn question(title: &str) -> pb::CreateNotificationRequest {
    pb::CreateNotificationRequest {
        r#type: pb::NotificationType::Question.into(),
        title: title.to_owned(),
        ..Default::default()
    }
}

async fn create(client: &Client, request: pb::CreateNotificationRequest) -> pb::Notification {
    let reply: pb::CreateNotificationResponse =
        client.call(CREATE, request).await.expect("created");
    reply.notification.expect("a notification")
}

async fn watch(client: &Client, start: pb::StartAt) -> Streaming<pb::WatchNotificationsResponse> {
    let request = pb::WatchNotificationsRequest {
        start_at: start.into(),
        ..Default::default()
    };
    client.stream(WATCH, request).await.expect("a stream")
}

async fn end_of<T>(stream: &mut Streaming<T>) -> Status {
    loop {
        if let Err(status) = stream.message().await.transpose().expect("a status") {
            return status;
        }
    }
}

#[tokio::test]
async fn a_client_learns_who_serves_it_and_how_it_does() {
    let server = TestServer::start(Limits::default(), GRACE);
    let client = server.connect().await;
    create(&client, question("Deploy?")).await;
    let reply: admin_pb::GetServerInfoResponse = client
        .call(
            "/barista.admin.v1.AdminService/GetServerInfo",
            admin_pb::GetServerInfoRequest {},
        )
        .await
        .expect("info");
    let info = reply.info.expect("info");
    assert_eq!((info.protocol_min, info.protocol_max), (1, 1));
    assert_eq!((info.pid, info.version.as_str()), (4_321, "0.0.1"));
    assert!(!info.epoch.is_empty() && info.backend.starts_with("SQLite"));
    assert!(info.build.contains(env!("BARISTA_TARGET")));
    let reply: admin_pb::GetStatusResponse = client
        .call(
            "/barista.admin.v1.AdminService/GetStatus",
            admin_pb::GetStatusRequest {},
        )
        .await
        .expect("a status");
    let status = reply.status.expect("a status");
    assert_eq!((status.open_notifications, status.connections), (1, 1));
    assert!(!status.open_notifications_truncated && !status.shutting_down);
    let [database] = &status.databases[..] else {
        panic!("expected one database");
    };
    assert!(database.writable && database.head_sequence == 1);
    let unknown = admin_pb::CheckpointRequest {
        database: "../other.db".to_owned(),
        ..Default::default()
    };
    let refusal: Result<admin_pb::CheckpointResponse, Status> = client
        .call("/barista.admin.v1.AdminService/Checkpoint", unknown)
        .await;
    assert_eq!(reason(&refusal.expect_err("refused")), "INVALID_FIELD");
    server.stop().await;
}

#[tokio::test]
async fn errors_of_the_transport_have_reasons_too() {
    let server = TestServer::start(Limits::default(), GRACE);
    let client = server.connect().await;
    let failed = async |method, request| -> Status {
        let reply: Result<pb::CreateNotificationResponse, Status> =
            client.call(method, request).await;
        reply.expect_err("an error")
    };
    for method in [
        "/barista.notification.v1.NotificationService/BrewNotification",
        "/barista.coffee.v1.CoffeeService/Brew",
    ] {
        let status = failed(method, question("")).await;
        assert_eq!(status.code(), Code::Unimplemented, "{method}");
        assert_eq!(reason(&status), "METHOD_NOT_FOUND", "{method}");
    }
    let status = failed(CREATE, question(&"t".repeat(5 * 1024 * 1024))).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "MESSAGE_TOO_LARGE");
    // The first field of a BytesValue holds bytes, where the method expects a text.
    let reply: Result<pb::CreateNotificationResponse, Status> =
        client.call(CREATE, vec![0xff_u8, 0xfe]).await;
    let status = reply.expect_err("malformed");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "MALFORMED_MESSAGE");
    let mut compressed = tonic::Request::new(question("small"));
    let gzip = tonic::metadata::MetadataValue::from_static("gzip");
    compressed.metadata_mut().insert("grpc-encoding", gzip);
    let reply: Result<pb::CreateNotificationResponse, Status> =
        client.call_with(CREATE, compressed).await;
    let status = reply.expect_err("compressed");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(reason(&status), "MALFORMED_MESSAGE");
    let unknown = HealthCheckRequest {
        service: "coffee".to_owned(),
    };
    let reply: Result<HealthCheckResponse, Status> =
        client.call("/grpc.health.v1.Health/Check", unknown).await;
    let status = reply.expect_err("unknown");
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status), "INVALID_FIELD");
    let missing: Result<pb::GetNotificationResponse, Status> = client
        .call(GET, pb::GetNotificationRequest { id: 99 })
        .await;
    assert_eq!(
        reason(&missing.expect_err("missing")),
        "NOTIFICATION_NOT_FOUND"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_watches_waits_and_health_and_waits_for_no_silent_client() {
    let server = TestServer::start(Limits::default(), GRACE);
    let client = server.connect().await;
    let mut silent = UnixStream::connect(&server.socket).await.expect("a socket");
    let asked = create(&client, question("Deploy?")).await;
    let mut stream = watch(&client, pb::StartAt::Oldest).await;
    // The start, and the one event.
    for _ in 0..2 {
        stream.message().await.expect("a message");
    }
    let mut health: Streaming<HealthCheckResponse> = client
        .stream(
            "/grpc.health.v1.Health/Watch",
            HealthCheckRequest::default(),
        )
        .await
        .expect("a stream");
    let first = health.message().await.expect("health").expect("a message");
    assert_eq!(first.status(), Health::Serving);
    let waiter = client.clone();
    let wait = tokio::spawn(async move {
        let request = pb::WaitNotificationRequest {
            id: asked.id,
            timeout: None,
        };
        waiter
            .call::<_, pb::WaitNotificationResponse>(WAIT, request)
            .await
    });
    while server.shelf.notifications.feed().waiters() == 0 {
        tokio::task::yield_now().await;
    }

    let shelf = server.stop().await;

    let status = end_of(&mut stream).await;
    assert_eq!(reason(&status), "SHUTTING_DOWN");
    assert_eq!(metadata(&status, "last_sequence").as_deref(), Some("1"));
    let waited = wait.await.expect("no panic").expect_err("stopping");
    assert_eq!(reason(&waited), "SHUTTING_DOWN");
    let last = health.message().await.expect("health").expect("a message");
    assert_eq!(last.status(), Health::NotServing);
    assert_eq!(reason(&end_of(&mut health).await), "SHUTTING_DOWN");
    let mut rest = Vec::new();
    // Closed, in whatever way.
    drop(silent.read_to_end(&mut rest).await);
    assert_eq!(shelf.notifications.feed().followers(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_hold_a_stop_up() {
    let server = TestServer::start(Limits::default(), Duration::from_millis(200));
    let client = server.connect().await;
    let mut large = question("large");
    large.message = "m".repeat(60 * 1024);
    large.context = format!("{{\"k\":\"{}\"}}", "c".repeat(250 * 1024));
    for _ in 0..12 {
        create(&client, large.clone()).await;
    }
    // A snapshot that is larger than the client's window of 2 MiB, and never read.
    let stream = watch(&client, pb::StartAt::Snapshot).await;
    let shelf = server.stop().await;
    while shelf.notifications.feed().followers() > 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
}

#[tokio::test]
async fn no_more_watches_are_served_than_allowed() {
    let limits = Limits {
        watchers: 1,
        ..Limits::default()
    };
    let server = TestServer::start(limits, GRACE);
    let client = server.connect().await;
    let mut first = watch(&client, pb::StartAt::Oldest).await;
    first.message().await.expect("started");
    let second: Result<Streaming<pb::WatchNotificationsResponse>, Status> = client
        .stream(WATCH, pb::WatchNotificationsRequest::default())
        .await;
    let status = second.expect_err("one watch");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "TOO_MANY_STREAMS");
    server.stop().await;
}

#[tokio::test]
async fn reflection_names_every_service_in_both_versions() {
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let server = TestServer::start(Limits::default(), GRACE);
    let client = server.connect().await;
    // Both versions have the same messages.
    for method in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut replies: Streaming<ServerReflectionResponse> =
            client.stream(method, request).await.expect("a stream");
        let reply = replies.message().await.expect("a reply").expect("one");
        let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
            panic!("expected a list of services");
        };
        let names: Vec<String> = list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect();
        for name in [
            notification_service_server::SERVICE_NAME,
            admin_service_server::SERVICE_NAME,
            "grpc.health.v1.Health",
        ] {
            assert!(
                names.iter().any(|known| known == name),
                "{name} in {names:?}"
            );
        }
    }
    server.stop().await;
}
