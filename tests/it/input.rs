//! Bad input: each kind has its typed error, names its field, and does no harm.

use barista_client::pb::notification::v1::create_notification_request::Expiration;
use barista_client::pb::notification::v1::{
    CreateNotificationRequest, ListNotificationEventsRequest, ListNotificationsRequest,
    Notification, NotificationFilter, Option as Choice, RespondNotificationRequest, StartAt,
    WaitNotificationRequest, WatchNotificationsRequest,
};
use barista_client::{Code, Error, ErrorReason};
use tonic::codegen::http::uri::PathAndQuery;

use crate::support::{
    TestDaemon, answer, code_and_reason, every, from, move_to, question, soon, uuid,
};

/// Checks that a call was refused because of `field`.
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Error>, field: &str) {
    let error = outcome.expect_err(field);
    assert_eq!(
        error.reason(),
        ErrorReason::InvalidField,
        "{field}: {error}"
    );
    let rpc = error.rpc().expect("from the daemon");
    assert_eq!(rpc.code, Code::InvalidArgument);
    let fields: Vec<&str> = rpc
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, [field], "{error}");
}

fn with(change: impl FnOnce(&mut CreateNotificationRequest)) -> CreateNotificationRequest {
    let mut request = question("Good");
    change(&mut request);
    request
}

fn option(name: &str) -> Choice {
    Choice {
        name: name.to_owned(),
        description: String::new(),
    }
}

fn ttl(seconds: i64, nanos: i32) -> Option<Expiration> {
    Some(Expiration::Ttl(prost_types::Duration { seconds, nanos }))
}

fn expire_time(seconds: i64, nanos: i32) -> Option<Expiration> {
    Some(Expiration::ExpireTime(prost_types::Timestamp {
        seconds,
        nanos,
    }))
}

fn bad_creations() -> Vec<(&'static str, CreateNotificationRequest)> {
    let text = |length: usize| "é".repeat(length);
    vec![
        ("type", with(|r| r.r#type = 0)),
        ("type", with(|r| r.r#type = 99)),
        ("type", with(|r| r.r#type = i32::MIN)),
        ("priority", with(|r| r.priority = 99)),
        ("title", with(|r| r.title = String::new())),
        ("title", with(|r| r.title = "  ".into())),
        ("title", with(|r| r.title = text(257))),
        ("title", with(|r| r.title = "two\nlines".into())),
        ("title", with(|r| r.title = "nul\0".into())),
        ("message", with(|r| r.message = "m".repeat(64 * 1024 + 1))),
        (
            "context",
            with(|r| r.context = format!("{{\"a\":\"{}\"}}", "c".repeat(256 * 1024))),
        ),
        ("context", with(|r| r.context = "[1, 2]".into())),
        ("context", with(|r| r.context = "\"text\"".into())),
        ("context", with(|r| r.context = "{\"a\": }".into())),
        ("context", with(|r| r.context = "{} {}".into())),
        ("agent", with(|r| r.agent = text(129))),
        ("session", with(|r| r.session = text(129))),
        ("project", with(|r| r.project = text(257))),
        ("surface", with(|r| r.surface = text(65))),
        ("tags", with(|r| r.tags = vec!["t".into(); 17])),
        (
            "tags[1]",
            with(|r| r.tags = vec!["t".into(), String::new()]),
        ),
        (
            "options",
            with(|r| r.options = (0..17).map(|n| option(&n.to_string())).collect()),
        ),
        ("options[0].name", with(|r| r.options = vec![option("")])),
        (
            "options[1].name",
            with(|r| r.options = vec![option("a"), option("a")]),
        ),
        ("allow_multiple", with(|r| r.allow_multiple = true)),
        ("expire_time", with(|r| r.expiration = expire_time(1, 0))),
        (
            "expire_time",
            with(|r| r.expiration = expire_time(i64::MAX, -1)),
        ),
        ("ttl", with(|r| r.expiration = ttl(0, 0))),
        ("ttl", with(|r| r.expiration = ttl(-1, 0))),
        ("ttl", with(|r| r.expiration = ttl(i64::MAX, i32::MAX))),
        (
            "default_response",
            with(|r| r.default_response = "yes".into()),
        ),
        ("request_id", with(|r| r.request_id = "not a uuid".into())),
    ]
}

#[tokio::test]
async fn what_breaks_a_rule_is_not_created() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    for (field, request) in bad_creations() {
        assert_refused(soon(client.create_notification(request)).await, field);
    }
    let unlisted = with(|r| {
        r.options = vec![option("yes")];
        r.expiration = ttl(60, 0);
        r.default_response = "no".into();
    });
    assert_refused(
        soon(client.create_notification(unlisted)).await,
        "default_response",
    );
    let too_many = vec![question("x"); 1_001];
    for batch in [Vec::new(), too_many] {
        assert_refused(
            soon(client.batch_create_notifications(batch)).await,
            "requests",
        );
    }
    assert_eq!(every(client).await, []);
    assert_eq!(daemon.ask("Good").await.id, 1, "not even an id was used");
}

#[tokio::test]
async fn what_just_keeps_every_rule_is_created() {
    let daemon = TestDaemon::start().await;
    let largest = with(|r| {
        r.title = "é".repeat(256);
        r.message = "m".repeat(64 * 1024);
        r.context = format!("{{\"a\":\"{}\"}}", "c".repeat(256 * 1024 - 8));
        r.agent = "ä".repeat(128);
        r.tags = vec!["t".repeat(64); 16];
        r.options = (0..16)
            .map(|number| option(&format!("{number:064}")))
            .collect();
    });
    let created: Notification = soon(daemon.client().create_notification(largest.clone()))
        .await
        .expect("created");
    assert_eq!(
        (created.title, created.message),
        (largest.title, largest.message)
    );
    assert_eq!(
        (created.context, created.agent),
        (largest.context, largest.agent)
    );
    assert_eq!(
        (created.tags, created.options),
        (largest.tags, largest.options)
    );
}

/// A parser that recurses for each level would end the daemon here.
#[tokio::test]
async fn a_context_nested_deeply_does_no_harm() {
    let daemon = TestDaemon::start().await;
    let depth = 100_000;
    let context = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let nested = with(|r| r.context.clone_from(&context));
    let created = soon(daemon.client().create_notification(nested))
        .await
        .expect("an object all the same");
    assert_eq!(daemon.get(created.id).await.context, context);
}

#[tokio::test]
async fn ids_that_cannot_exist_are_refused_or_not_found() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    for id in [0, -1, i64::MIN] {
        assert_refused(soon(client.get_notification(id)).await, "id");
        assert_refused(soon(client.list_notification_events(id)).await, "id");
        assert_refused(soon(client.mark_notification_read(move_to(id))).await, "id");
        assert_refused(soon(client.wait(id, None)).await, "id");
        assert_refused(daemon.respond(id, "yes").await, "id");
    }
    let error = soon(client.get_notification(i64::MAX))
        .await
        .expect_err("none");
    assert_eq!(error.reason(), ErrorReason::NotificationNotFound);
}

#[tokio::test]
async fn answers_that_break_a_rule_are_refused() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let id = daemon.ask("Deploy?").await.id;
    let changed = |change: fn(&mut RespondNotificationRequest)| {
        let mut request = answer(id, "yes");
        change(&mut request);
        request
    };
    let bad = [
        ("text", changed(|r| r.text = String::new())),
        ("text", changed(|r| r.text = "t".repeat(64 * 1024 + 1))),
        ("text", changed(|r| r.text = "nul\0".into())),
        ("responder", changed(|r| r.responder = "r".repeat(129))),
        ("surface", changed(|r| r.surface = "s".repeat(65))),
        ("request_id", changed(|r| r.request_id = "1".into())),
    ];
    for (field, request) in bad {
        assert_refused(soon(client.respond_notification(request)).await, field);
    }
    let unknown = changed(|r| r.options = vec!["none".into()]);
    let error = soon(client.respond_notification(unknown))
        .await
        .expect_err("no option");
    assert_eq!(error.reason(), ErrorReason::ResponseNotAllowed);
    assert!(daemon.respond(id, "yes").await.is_ok());
}

#[tokio::test]
async fn pages_that_cannot_be_are_refused() {
    let daemon = TestDaemon::start().await;
    for number in 0..3 {
        daemon.ask(&number.to_string()).await;
    }
    let client = daemon.client();
    let list = |change: &dyn Fn(&mut ListNotificationsRequest)| {
        let mut request = ListNotificationsRequest::default();
        change(&mut request);
        soon(client.list_notifications(request))
    };
    assert_refused(list(&|r| r.page_size = -1).await, "page_size");
    assert_refused(list(&|r| r.order = 9).await, "order");
    let odd = NotificationFilter {
        states: vec![1, 77],
        ..NotificationFilter::default()
    };
    assert_refused(
        list(&|r| r.filter = Some(odd.clone())).await,
        "filter.states[1]",
    );
    let page = list(&|r| r.page_size = 1).await.expect("a page");
    let token = page.next_page_token;
    let mut forged = token.clone().into_bytes();
    forged[5] = if forged[5] == b'0' { b'1' } else { b'0' };
    let forged = String::from_utf8(forged).expect("ASCII");
    for bad in [
        "x",
        "\0",
        "'; DROP TABLE notifications; --",
        &forged,
        &"9".repeat(100_000),
    ] {
        assert_refused(list(&|r| r.page_token = bad.to_owned()).await, "page_token");
    }
    // A token belongs to its filter, its order and its method.
    assert_refused(
        list(&|r| (r.page_token, r.order) = (token.clone(), 2)).await,
        "page_token",
    );
    let mut raw = daemon.raw().await;
    let history = ListNotificationEventsRequest {
        id: 1,
        page_token: token,
        ..ListNotificationEventsRequest::default()
    };
    let status = soon(raw.notifications.list_notification_events(history))
        .await
        .expect_err("another method's");
    assert_eq!(
        code_and_reason(&status),
        (Code::InvalidArgument, "INVALID_FIELD".into())
    );
}

#[tokio::test]
async fn watches_and_waits_that_cannot_be_are_refused() {
    let daemon = TestDaemon::start().await;
    let cursor = |sequence| {
        let epoch = String::new();
        Some(barista_client::pb::notification::v1::Cursor { epoch, sequence })
    };
    let bad = [
        (
            "after.sequence",
            WatchNotificationsRequest {
                after: cursor(-1),
                ..Default::default()
            },
        ),
        (
            "start_at",
            WatchNotificationsRequest {
                after: cursor(0),
                ..from(StartAt::Oldest)
            },
        ),
        (
            "start_at",
            WatchNotificationsRequest {
                start_at: 50,
                ..Default::default()
            },
        ),
        (
            "kinds[0]",
            WatchNotificationsRequest {
                kinds: vec![0],
                ..Default::default()
            },
        ),
        (
            "kinds[1]",
            WatchNotificationsRequest {
                kinds: vec![1, -4],
                ..Default::default()
            },
        ),
    ];
    for (field, request) in bad {
        assert_refused::<()>(Err(daemon.follow_refused(request).await), field);
    }
    let mut raw = daemon.raw().await;
    let id = daemon.ask("Deploy?").await.id;
    for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MAX, 0), (1, i32::MAX)] {
        let timeout = Some(prost_types::Duration { seconds, nanos });
        let wait = WaitNotificationRequest { id, timeout };
        let status = soon(raw.notifications.wait_notification(wait))
            .await
            .expect_err("no span");
        assert_eq!(
            code_and_reason(&status),
            (Code::InvalidArgument, "INVALID_FIELD".into())
        );
    }
}

#[tokio::test]
async fn a_message_beyond_4_mib_is_too_large_and_the_connection_lives() {
    let daemon = TestDaemon::start().await;
    let mut raw = daemon.raw().await;
    let huge = CreateNotificationRequest {
        request_id: uuid(),
        message: "m".repeat(4 * 1024 * 1024),
        ..question("Huge")
    };
    let status = soon(raw.notifications.create_notification(huge))
        .await
        .expect_err("too large");
    assert_eq!(
        code_and_reason(&status),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".into())
    );
    let small = soon(raw.notifications.create_notification(question("Small"))).await;
    assert!(small.is_ok(), "{small:?}");
}

#[tokio::test]
async fn bytes_that_are_no_message_and_methods_that_do_not_exist_have_reasons_too() {
    let daemon = TestDaemon::start().await;
    let raw = daemon.raw().await;
    let service = "/barista.notification.v1.NotificationService";
    let cases = [
        (
            format!("{service}/CreateNotification"),
            Code::InvalidArgument,
            "MALFORMED_MESSAGE",
        ),
        (
            format!("{service}/Create"),
            Code::Unimplemented,
            "METHOD_NOT_FOUND",
        ),
        (
            "/elsewhere.Service/Do".to_owned(),
            Code::Unimplemented,
            "METHOD_NOT_FOUND",
        ),
    ];
    for (path, code, reason) in cases {
        let mut client = tonic::client::Grpc::new(raw.channel.clone());
        soon(client.ready()).await.expect("ready");
        let path = PathAndQuery::try_from(path).expect("a path");
        let codec = tonic_prost::ProstCodec::<Garbage, Garbage>::default();
        let status = soon(client.unary(tonic::Request::new(Garbage), path, codec))
            .await
            .expect_err("refused");
        assert_eq!(code_and_reason(&status), (code, reason.to_owned()));
    }
}

/// A message whose bytes are none: an unfinished field.
#[derive(Debug, Clone, Default, PartialEq)]
struct Garbage;

impl prost::Message for Garbage {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&[0x0a, 0xff, 0xff, 0xff]);
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: prost::encoding::WireType,
        _: &mut impl prost::bytes::Buf,
        _: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn clear(&mut self) {}
}
