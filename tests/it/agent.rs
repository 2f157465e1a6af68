//! An agent in a sandbox, which has only the agent socket, and what it tries in order to get around it.

use barista_client::pb::admin::v1::{Authority, CheckpointRequest};
use barista_client::pb::notification::v1::{
    CancelNotificationRequest, ChangeKind, CreateNotificationRequest, DismissNotificationRequest,
    ListNotificationsRequest, NotificationFilter, NotificationState, NotificationType, StartAt,
    WaitNotificationRequest, WatchNotificationsRequest, create_notification_request::Expiration,
};
use barista_client::{Client, Error, ErrorReason, WaitOutcome};
use http::uri::PathAndQuery;
use prost::Message;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request};

use crate::support::{
    Foreign, Raw, Recorder, TestDaemon, answer, beside, code_and_reason, from, move_to, question,
    soon, uuid,
};

/// The secrets of two agents.
const ROBIN: &str = "robin-robin-robin-robin-robin-robin";
const CUCKOO: &str = "cuckoo-cuckoo-cuckoo-cuckoo-cuckoo";

fn cancel(id: i64) -> CancelNotificationRequest {
    CancelNotificationRequest {
        id,
        actor: "ann".to_owned(),
        surface: "cli".to_owned(),
        ..CancelNotificationRequest::default()
    }
}

/// A watch that says itself that it wants to see only some changes: of the others the recorder would miss every one that it is not shown.
fn filtered(start_at: StartAt) -> WatchNotificationsRequest {
    WatchNotificationsRequest {
        filter: Some(NotificationFilter {
            types: vec![NotificationType::Question.into()],
            ..NotificationFilter::default()
        }),
        ..from(start_at)
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ErrorReason {
    outcome.expect_err("refused").reason()
}

#[tokio::test]
async fn an_agent_asks_waits_and_hears_the_answer_of_a_person() {
    let mut daemon = TestDaemon::start().await;
    let robin = daemon.agent(ROBIN).await;
    let info = robin.server_info();
    assert_eq!(info.authority(), Authority::Agent);
    assert_eq!(
        (info.data_dir.as_str(), info.socket.as_str(), info.pid),
        ("", "", 0)
    );
    let asked = soon(robin.create_notification(question("Deploy?")))
        .await
        .expect("created");
    assert!(asked.from_agent_socket);
    assert!(
        daemon.get(asked.id).await.from_agent_socket,
        "a person is told"
    );
    let mut watch = Recorder::start(&robin, from(StartAt::Oldest)).await;
    assert_eq!(watch.event().await.surface, "agent-socket");
    // The question is the agent's own whoever restarts meanwhile.
    daemon.terminate().await;
    daemon.restart().await;
    let waiting = tokio::spawn({
        let (robin, id) = (robin.clone(), asked.id);
        async move { robin.wait(id, None).await }
    });
    daemon.respond(asked.id, "yes").await.expect("answered");
    let ended = soon(waiting).await.expect("no panic").expect("waited");
    let WaitOutcome::Ended(ended) = ended else {
        panic!("no end");
    };
    assert_eq!(ended.response.expect("a response").text, "yes");
    let history = soon(robin.list_notification_events(asked.id)).await;
    assert_eq!(history.expect("its own").len(), 2);
    assert_eq!(watch.event().await.kind(), ChangeKind::Responded);
}

#[tokio::test]
async fn an_agent_can_neither_answer_nor_put_away_its_own_question() {
    let daemon = TestDaemon::start().await;
    let robin = daemon.agent(ROBIN).await;
    let id = soon(robin.create_notification(question("Deploy?")))
        .await
        .expect("created")
        .id;
    let denied = ErrorReason::AgentNotAllowed;
    assert_eq!(
        refused(soon(robin.respond_notification(answer(id, "yes"))).await),
        denied
    );
    assert_eq!(
        refused(soon(robin.mark_notification_read(move_to(id))).await),
        denied
    );
    let dismiss = DismissNotificationRequest {
        id,
        ..DismissNotificationRequest::default()
    };
    assert_eq!(
        refused(soon(robin.dismiss_notification(dismiss)).await),
        denied
    );
    assert_eq!(daemon.get(id).await.state(), NotificationState::Pending);
    // Its own it may withdraw, in nobody's name but that of a sandbox.
    let mut watch = daemon.watch(StartAt::Now).await;
    let withdrawn = soon(robin.cancel_notification(cancel(id)))
        .await
        .expect("withdrawn");
    assert_eq!(withdrawn.state(), NotificationState::Cancelled);
    assert_eq!(watch.event().await.surface, "agent-socket");
}

#[tokio::test]
async fn an_agent_cannot_answer_itself_with_a_default() {
    let with_default = || CreateNotificationRequest {
        default_response: "yes".to_owned(),
        expiration: Some(Expiration::Ttl(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        })),
        ..question("Deploy?")
    };
    let daemon = TestDaemon::start().await;
    let robin = daemon.agent(ROBIN).await;
    let refusal = soon(robin.create_notification(with_default())).await;
    assert_eq!(refused(refusal), ErrorReason::AgentNotAllowed);
    let permissive = TestDaemon::configured("[agent]\nallow_default = true").await;
    let robin = permissive.agent(ROBIN).await;
    let allowed = soon(robin.create_notification(with_default())).await;
    assert_eq!(allowed.expect("allowed").default_response, "yes");
}

#[tokio::test]
async fn what_others_have_asked_does_not_exist_for_an_agent() {
    let daemon = TestDaemon::start().await;
    let (robin, cuckoo) = (daemon.agent(ROBIN).await, daemon.agent(CUCKOO).await);
    // The names that a notification carries are claims, and open nothing.
    let claim = CreateNotificationRequest {
        agent: "robin".to_owned(),
        session: "s".to_owned(),
        ..question("Mine?")
    };
    let of_robin = soon(robin.create_notification(claim.clone()))
        .await
        .expect("created")
        .id;
    let of_ann = daemon.ask("Ann's?").await.id;
    soon(cuckoo.create_notification(claim))
        .await
        .expect("created");
    let missing = ErrorReason::NotificationNotFound;
    for id in [of_robin, of_ann] {
        let text = |error: Error| error.to_string().replace(&id.to_string(), "N");
        let get = soon(cuckoo.get_notification(id))
            .await
            .expect_err("not its own");
        let nothing = soon(cuckoo.get_notification(999))
            .await
            .expect_err("nobody's");
        // Word for word as if there were none.
        assert_eq!(text(get), nothing.to_string().replace("999", "N"));
        assert_eq!(
            refused(soon(cuckoo.wait(id, Some(Duration::ZERO))).await),
            missing
        );
        assert_eq!(
            refused(soon(cuckoo.list_notification_events(id)).await),
            missing
        );
        assert_eq!(
            refused(soon(cuckoo.cancel_notification(cancel(id))).await),
            missing
        );
        assert_eq!(daemon.get(id).await.state(), NotificationState::Pending);
    }
    let list = cuckoo.list_notifications(ListNotificationsRequest::default());
    assert_eq!(refused(soon(list).await), ErrorReason::AgentNotAllowed);
}

#[tokio::test]
async fn a_wait_for_somebody_else_s_question_does_not_hold_until_it_is_answered() {
    let daemon = TestDaemon::start().await;
    let of_ann = daemon.ask("Ann's?").await.id;
    let mut raw = Raw::connect(&daemon.agent_socket()).await;
    let mut request = Request::new(WaitNotificationRequest {
        id: of_ann,
        timeout: None,
    });
    sign(&mut request, CUCKOO);
    let status = soon(raw.notifications.wait_notification(request))
        .await
        .expect_err("not its own");
    assert_eq!(
        code_and_reason(&status),
        (Code::NotFound, "NOTIFICATION_NOT_FOUND".to_owned())
    );
}

#[tokio::test]
async fn a_watch_and_its_snapshot_show_an_agent_nothing_but_its_own() {
    let daemon = TestDaemon::start().await;
    let (robin, cuckoo) = (daemon.agent(ROBIN).await, daemon.agent(CUCKOO).await);
    let before = daemon.ask("Before").await.id;
    soon(robin.create_notification(question("Robin's")))
        .await
        .expect("created");
    let mut all = Recorder::start(&cuckoo, filtered(StartAt::Oldest)).await;
    let mut snapshot = Recorder::start(&cuckoo, filtered(StartAt::Snapshot)).await;
    assert_eq!(snapshot.snapshot().await, []);
    // Direct tooling deletes a row: a tombstone of somebody else's must not come through either.
    let foreign = daemon.foreign();
    beside(move || delete(&foreign, before)).await;
    let own = soon(cuckoo.create_notification(question("Cuckoo's")))
        .await
        .expect("created");
    assert_eq!(all.event().await.notification, Some(own.clone()));
    assert_eq!(snapshot.event().await.notification, Some(own));
    let as_consumer = WatchNotificationsRequest {
        consumer: "bell".to_owned(),
        ..WatchNotificationsRequest::default()
    };
    let mut watch = cuckoo.watch(as_consumer);
    assert_eq!(
        refused(soon(watch.next()).await),
        ErrorReason::AgentNotAllowed
    );
}

fn delete(foreign: &Foreign, id: i64) {
    foreign.run(&format!("DELETE FROM notifications WHERE id = {id}"));
}

#[tokio::test]
async fn a_row_that_direct_tooling_puts_in_the_place_of_an_agent_s_is_not_the_agent_s() {
    let daemon = TestDaemon::start().await;
    let robin = daemon.agent(ROBIN).await;
    let id = soon(robin.create_notification(question("Robin's")))
        .await
        .expect("created")
        .id;
    let foreign = daemon.foreign();
    beside(move || {
        foreign.run(&format!(
            "INSERT OR REPLACE INTO notifications (id, type, title, message, created_at, updated_at)
             VALUES ({id}, 'question', 'A secret', '', '2026-01-01T00:00:00', '2026-01-01T00:00:00')"
        ));
    })
    .await;
    let missing = ErrorReason::NotificationNotFound;
    assert_eq!(refused(soon(robin.get_notification(id)).await), missing);
    assert_eq!(
        refused(soon(robin.list_notification_events(id)).await),
        missing
    );
    let mut watch = Recorder::start(&robin, filtered(StartAt::Oldest)).await;
    let own = soon(robin.create_notification(question("Again")))
        .await
        .expect("created");
    assert_eq!(watch.event().await.notification, Some(own));
}

#[tokio::test]
async fn an_id_that_direct_tooling_uses_again_does_not_open_what_it_stood_for() {
    let daemon = TestDaemon::start().await;
    let secret = daemon.ask("A secret").await.id;
    let foreign = daemon.foreign();
    beside(move || foreign.run("DELETE FROM notifications; DELETE FROM sqlite_sequence")).await;
    let robin = daemon.agent(ROBIN).await;
    let own = soon(robin.create_notification(question("Robin's"))).await;
    let own = own.expect("created");
    assert_eq!(own.id, secret, "the same id");
    let history = soon(robin.list_notification_events(own.id)).await;
    assert_eq!(history.expect("its own").len(), 1);
    let mut watch = Recorder::start(&robin, filtered(StartAt::Oldest)).await;
    assert_eq!(watch.event().await.notification, Some(own));
}

#[tokio::test]
async fn a_request_id_of_somebody_else_tells_an_agent_nothing() {
    let daemon = TestDaemon::start().await;
    let (robin, cuckoo) = (daemon.agent(ROBIN).await, daemon.agent(CUCKOO).await);
    let request = |title: &str, request_id: &str| CreateNotificationRequest {
        request_id: request_id.to_owned(),
        ..question(title)
    };
    let shared = uuid();
    let first = soon(robin.create_notification(request("Deploy?", &shared)))
        .await
        .expect("created");
    for title in ["Deploy?", "Something else?"] {
        let other = soon(cuckoo.create_notification(request(title, &uuid()))).await;
        let same_id = soon(cuckoo.create_notification(request("Deploy?", &shared))).await;
        assert!(other.expect("created").id > first.id);
        assert_ne!(same_id.expect("its own").id, first.id);
    }
    let again = soon(robin.create_notification(request("Deploy?", &shared))).await;
    assert_eq!(again.expect("the same").id, first.id);
}

fn sign<T>(request: &mut Request<T>, key: &'static str) {
    let key = AsciiMetadataValue::from_static(key);
    request.metadata_mut().insert("barista-session-key", key);
}

/// Calls a method by its path, past everything that a client library would do.
async fn call<Q: Message + 'static>(raw: &Raw, path: &'static str, message: Q) -> (Code, String) {
    let mut grpc = Grpc::new(raw.channel.clone());
    soon(grpc.ready()).await.expect("a connection");
    let mut request = Request::new(message);
    sign(&mut request, ROBIN);
    let codec = tonic_prost::ProstCodec::<Q, ()>::default();
    let path = PathAndQuery::from_static(path);
    let status = soon(grpc.unary(request, path, codec))
        .await
        .expect_err("refused");
    code_and_reason(&status)
}

#[tokio::test]
async fn administration_reflection_and_unknown_methods_are_refused_alike() {
    let daemon = TestDaemon::start().await;
    let raw = Raw::connect(&daemon.agent_socket()).await;
    let denied = (Code::PermissionDenied, "AGENT_NOT_ALLOWED".to_owned());
    for path in [
        "/barista.admin.v1.AdminService/GetStatus",
        "/barista.admin.v1.AdminService/CreateBackup",
        "/barista.consumer.v1.ConsumerService/ListConsumers",
        "/barista.notification.v1.NotificationService/BatchCreateNotifications",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Watch",
        "/barista.notification.v1.NotificationService/RespondNotification/",
        "/nothing.v1.Nothing/Nothing",
    ] {
        assert_eq!(call(&raw, path, ()).await, denied, "{path}");
    }
    let checkpoint = "/barista.admin.v1.AdminService/Checkpoint";
    let outcome = call(&raw, checkpoint, CheckpointRequest::default()).await;
    assert_eq!(outcome, denied);
}

#[tokio::test]
async fn a_call_without_a_secret_or_with_a_name_for_one_is_refused() {
    let daemon = TestDaemon::start().await;
    let mut raw = Raw::connect(&daemon.agent_socket()).await;
    for key in [
        None,
        Some("robin"),
        Some(""),
        Some("a key that has spaces, and is long enough"),
    ] {
        let mut request = Request::new(question("Deploy?"));
        if let Some(key) = key {
            sign(&mut request, key);
        }
        let status = soon(raw.notifications.create_notification(request)).await;
        let refusal = code_and_reason(&status.expect_err("refused"));
        assert_eq!(
            refusal,
            (Code::InvalidArgument, "INVALID_FIELD".to_owned()),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn agents_cannot_use_up_what_people_need() {
    let daemon = TestDaemon::configured("[agent]\nmax_calls = 2\nmax_connections = 8").await;
    let robin = daemon.agent(ROBIN).await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        watches.push(Recorder::start(&robin, from(StartAt::Now)).await);
    }
    let mut raw = Raw::connect(&daemon.agent_socket()).await;
    let mut request = Request::new(question("Deploy?"));
    sign(&mut request, ROBIN);
    let status = soon(raw.notifications.create_notification(request)).await;
    assert_eq!(
        code_and_reason(&status.expect_err("refused")),
        (Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned())
    );
    // Agents have used up their own, and people notice nothing.
    let asked = daemon.ask("Still there?").await;
    daemon.respond(asked.id, "yes").await.expect("answered");
    // A message far beyond what a notification can hold is not even read.
    drop(watches);
    let huge = CreateNotificationRequest {
        context: "x".repeat(3 << 20),
        ..question("Deploy?")
    };
    let outcome = soon(robin.create_notification(huge)).await;
    assert_ne!(refused(outcome), ErrorReason::InvalidField);
    daemon.ask("And now?").await;
}

#[tokio::test]
async fn without_the_agent_socket_there_is_none() {
    let daemon = TestDaemon::configured("[agent]\nenabled = false").await;
    assert!(!daemon.agent_socket().exists());
    assert_eq!(daemon.client().server_info().agent_socket, "");
    assert_eq!(daemon.client().server_info().authority(), Authority::Person);
}

#[tokio::test]
async fn what_a_sandbox_puts_into_the_directory_keeps_nobody_from_starting() {
    let mut daemon = TestDaemon::start().await;
    let socket = daemon.agent_socket();
    daemon.terminate().await;
    assert!(!socket.exists(), "the daemon takes its socket with it");
    let squatter = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    daemon.restart().await;
    daemon.ask("Still there?").await;
    let client: Client = daemon.connect().await;
    assert_eq!(client.server_info().agent_socket, "");
    drop(squatter);
    daemon.terminate().await;
    // What nobody listens on any more is removed.
    daemon.restart().await;
    daemon.agent(ROBIN).await;
}
