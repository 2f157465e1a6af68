//! Bytes on the socket: whatever somebody sends, the daemon answers by its rules, goes on serving, and grows no larger.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use barista_client::pb::consumer::v1::{AcknowledgeConsumerRequest, CreateConsumerRequest};
use barista_client::pb::notification::v1::{
    BatchCreateNotificationsRequest, CreateNotificationRequest, Cursor, GetNotificationRequest,
    ListNotificationsRequest, NotificationFilter, Option as NotificationOption,
    RespondNotificationRequest, create_notification_request,
};
use prost::Message;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;

use crate::support::{Seed, TestDaemon, answer, beside, code_and_reason, is_long, question, soon};

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header as HPACK writes one that it does not remember.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.push(u8::try_from(text.len()).expect("short"));
        field.extend(text.bytes());
    }
    field
}

/// What a client sends that creates a notification, byte by byte.
fn conversation() -> Vec<u8> {
    let headers = [
        header(":method", "POST"),
        header(":scheme", "http"),
        header(
            ":path",
            "/barista.notification.v1.NotificationService/CreateNotification",
        ),
        header(":authority", "localhost"),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    ];
    let [(_, message), ..] = messages();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    body.extend(message);
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &headers.concat()),
        frame(0, 1, 1, &body),
        frame(6, 0, 0, b"pingping"),
    ]
    .concat()
}

/// `bytes` with a few of them changed, moved, taken away or repeated. The first ones, without which nothing is read, mostly stay.
fn spoil(mut bytes: Vec<u8>, seed: &mut Seed) -> Vec<u8> {
    let place = |seed: &mut Seed, length: usize| {
        usize::try_from(seed.below(length as u64 + 1)).expect("small")
    };
    let kept = if seed.below(10) == 0 { 0 } else { 24 };
    for _ in 0..1 + seed.below(6) {
        let at = kept + place(seed, bytes.len().saturating_sub(kept));
        let end = bytes.len().min(at + place(seed, 12));
        if at > bytes.len() {
            continue;
        }
        match seed.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => bytes.insert(at, u8::try_from(seed.below(256)).expect("a byte")),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << seed.below(8);
                }
            }
        }
    }
    bytes
}

/// Says `bytes` and hears what the daemon says to that, until it hangs up or has nothing more to say.
fn say(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a limit");
    // The daemon may hang up before everything is said.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    heard
}

/// Fails when any byte ends a task of the daemon with a panic: let `field::request_id` unwrap what it parses.
#[tokio::test]
async fn spoilt_conversations_harm_nobody() {
    let count = if is_long() { 50_000 } else { 1_000 };
    let daemon = TestDaemon::start().await;
    let socket = daemon.client().socket().to_owned();
    let good = conversation();
    let answered = beside(move || {
        // The unspoilt one is understood, or this would test nothing.
        let heard = say(&socket, &good);
        assert!(heard.windows(4).any(|word| word == b"ping"), "{heard:?}");
        let mut seed = Seed::new();
        (0..count)
            .filter(|_| !say(&socket, &spoil(good.clone(), &mut seed)).is_empty())
            .count()
    })
    .await;
    assert!(answered > 0, "all were hung up on");
    let created = daemon.ask("Still there?").await;
    assert!(created.id > 1, "the unspoilt one was stored, at least");
    let said = daemon.process().said();
    assert!(!said.contains("panicked"), "{said}");
}

const REQUEST_ID: &str = "0190a6c1-7c4e-7d3b-9d1e-2f6a5b8c0d1e";

/// A question with every field that can be spoilt.
fn full() -> CreateNotificationRequest {
    let option = NotificationOption {
        name: "yes".to_owned(),
        description: "go on".to_owned(),
    };
    let span = prost_types::Duration {
        seconds: 60,
        nanos: 1,
    };
    CreateNotificationRequest {
        request_id: REQUEST_ID.to_owned(),
        context: "{\"a\": [1, null]}".to_owned(),
        tags: vec!["tag".to_owned()],
        options: vec![option],
        expiration: Some(create_notification_request::Expiration::Ttl(span)),
        default_response: "yes".to_owned(),
        ..question("From a fuzzer")
    }
}

/// What methods expect.
fn messages() -> [(&'static str, Vec<u8>); 9] {
    let batch = BatchCreateNotificationsRequest {
        requests: vec![full(), question("Another")],
    };
    let list = ListNotificationsRequest {
        page_size: 7,
        page_token: "b3Bx".to_owned(),
        filter: Some(NotificationFilter {
            agent: "tester".to_owned(),
            ..NotificationFilter::default()
        }),
        ..ListNotificationsRequest::default()
    };
    let respond = RespondNotificationRequest {
        request_id: REQUEST_ID.to_owned(),
        ..answer(1, "yes")
    };
    let consumer = CreateConsumerRequest {
        name: "bell".to_owned(),
        request_id: REQUEST_ID.to_owned(),
        ..CreateConsumerRequest::default()
    };
    let acknowledge = AcknowledgeConsumerRequest {
        name: "bell".to_owned(),
        through: Some(Cursor {
            epoch: "e".to_owned(),
            sequence: 1,
        }),
        generation: 1,
        ..AcknowledgeConsumerRequest::default()
    };
    let get = GetNotificationRequest { id: 1 };
    [
        (
            "barista.notification.v1.NotificationService/CreateNotification",
            full().encode_to_vec(),
        ),
        (
            "barista.notification.v1.NotificationService/BatchCreateNotifications",
            batch.encode_to_vec(),
        ),
        (
            "barista.notification.v1.NotificationService/GetNotification",
            get.encode_to_vec(),
        ),
        (
            "barista.notification.v1.NotificationService/ListNotifications",
            list.encode_to_vec(),
        ),
        (
            "barista.notification.v1.NotificationService/RespondNotification",
            respond.encode_to_vec(),
        ),
        (
            "barista.consumer.v1.ConsumerService/CreateConsumer",
            consumer.encode_to_vec(),
        ),
        (
            "barista.consumer.v1.ConsumerService/AcknowledgeConsumer",
            acknowledge.encode_to_vec(),
        ),
        ("barista.admin.v1.AdminService/GetStatus", Vec::new()),
        (
            "opentelemetry.proto.collector.trace.v1.TraceService/Export",
            crate::otlp::spans(3, 10).encode_to_vec(),
        ),
    ]
}

/// Fails when a handler meets bytes that it takes for its own defect, an internal error: let `field::request_id` answer so. Every second one of the messages is
/// one that another method expects.
#[tokio::test]
async fn spoilt_messages_are_refused_with_a_reason_or_served() {
    let count = if is_long() { 20_000 } else { 1_200 };
    let daemon = TestDaemon::start().await;
    let raw = daemon.raw().await;
    let mut seed = Seed::new();
    let messages = messages();
    for number in 0..count {
        let (path, own) = &messages[number % messages.len()];
        let other = usize::try_from(seed.below(messages.len() as u64)).expect("small");
        let message = if seed.below(2) == 0 {
            own
        } else {
            &messages[other].1
        };
        // What is spoilt begins after the first bytes.
        let bytes = spoil([&[0; 24][..], message].concat(), &mut seed);
        let bytes = Bytes(bytes.get(24..).unwrap_or_default().to_vec());
        let mut client = tonic::client::Grpc::new(raw.channel.clone());
        soon(client.ready()).await.expect("ready");
        let path = PathAndQuery::try_from(format!("/{path}")).expect("a path");
        let codec = tonic_prost::ProstCodec::<Bytes, Bytes>::default();
        let request = tonic::Request::new(bytes.clone());
        if let Err(status) = soon(client.unary(request, path.clone(), codec)).await {
            let (code, reason) = code_and_reason(&status);
            assert_ne!(code, Code::Internal, "{path} {reason} {bytes:?}");
        }
    }
    daemon.ask("Still there?").await;
    let said = daemon.process().said();
    assert!(!said.contains("panicked"), "{said}");
}

/// A message of bytes that were not encoded by anybody.
#[derive(Debug, Clone, Default, PartialEq)]
struct Bytes(Vec<u8>);

impl Message for Bytes {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        kind: prost::encoding::WireType,
        buffer: &mut impl prost::bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(kind, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {}
}
